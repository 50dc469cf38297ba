import pytest

from shared.errors import EarwitnessError, Layer, RefusedAudio, leaves

ALL = list(leaves())


@pytest.mark.parametrize("leaf", ALL, ids=lambda leaf: leaf.code)
def test_every_failure_tells_the_user_what_to_do(leaf):
    message = str(leaf())

    assert len(message) > 20
    assert message.endswith(".")
    assert leaf.code == leaf.code.lower()


@pytest.mark.parametrize("leaf", list(leaves(RefusedAudio)), ids=lambda leaf: leaf.code)
def test_a_refusal_is_never_retried(leaf):
    assert (leaf.retryable, leaf.layer) == (False, Layer.VALIDATION)


def test_codes_are_unique():
    assert len({leaf.code for leaf in ALL}) == len(ALL)


def test_a_failure_without_its_facts_cannot_be_declared():
    with pytest.raises(TypeError):
        type("Nameless", (EarwitnessError,), {})
