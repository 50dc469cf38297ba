import pytest

from shared.domain.trace import Trace, parse

ID, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{ID}-{SPAN}-01"


def test_a_traceparent_is_read_and_written():
    assert parse(GOOD) == Trace(ID, SPAN, sampled=True)
    assert str(parse(GOOD)) == GOOD
    assert parse(f"00-{ID}-{SPAN}-00") == Trace(ID, SPAN, sampled=False)


def test_a_later_version_may_say_more():
    assert parse(f"cc-{ID}-{SPAN}-03-what-else") == Trace(ID, SPAN, sampled=True)


@pytest.mark.parametrize(
    "said",
    [
        None,
        "",
        "nonsense",
        f"00-{ID}-{SPAN}",
        f"00-{ID}-{SPAN}-01-more",
        f"ff-{ID}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{ID}-{'0' * 16}-01",
        f"00-{ID.upper()}-{SPAN}-01",
        f"00-{ID}-{SPAN}-01\n",
        f"01-{ID}-{SPAN}-01-{'x' * 300}",
    ],
)
def test_what_is_no_traceparent_is_ignored(said):
    assert parse(said) is None
