"""Names: whose, which, and how they are shown (S3)."""

import csv
import io
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.names import csv_cell, display, recording_id, tenant_and_path
from shared.errors import OutsideTenantFolder

ANY = st.text(st.characters(codec=None, exclude_categories=()))
STRANGE = [
    "../../etc/passwd",
    "a\x00b.wav",
    "a\r\nSet-Cookie: x.wav",
    "a\u202evaw.exe",
    "talk #1 [final]*?.wav",
    "//",
    " ",
    ".",
    "<script>.wav",
    "=cmd|' /C calc'!A0",
    "\N{LATIN SMALL LETTER E WITH ACUTE}.wav",
    "e\N{COMBINING ACUTE ACCENT}.wav",
]


@pytest.mark.parametrize("path", STRANGE, ids=ascii)
def test_any_text_is_a_path_in_its_tenants_folder(path):
    assert tenant_and_path(f"uploads/acme/{path}") == ("acme", path)


@pytest.mark.parametrize("tenant", ["abc", "a" * 40, "a-1", "---", "007"])
def test_tenant_of_legal_shape_is_taken(tenant):
    assert tenant_and_path(f"uploads/{tenant}/x")[0] == tenant


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x.wav",
        "uploads",
        "uploads/",
        "uploads/acme",
        "uploads/acme/",
        "uploads//x.wav",
        "/uploads/acme/x.wav",
        "results/acme/x.wav",
        "Uploads/acme/x.wav",
        "uploads/ab/x.wav",
        f"uploads/{'a' * 41}/x.wav",
        "uploads/Acme/x.wav",
        "uploads/acme\n/x.wav",
        "uploads/ac me/x.wav",
        "uploads/../x.wav",
        "uploads/.../x.wav",
        "uploads/ａｃｍｅ/x.wav",
        "uploads/١٢٣/x.wav",
        "uploads/acme/\ud800.wav",
    ],
    ids=ascii,
)
def test_anything_else_is_outside(name):
    with pytest.raises(OutsideTenantFolder):
        tenant_and_path(name)


@pytest.mark.parametrize("filler", ["x", "é", "😀"])
def test_a_name_may_have_1024_bytes_and_not_one_more(filler):
    room = 1_024 - len("uploads/acme/")
    longest = filler * (room // len(filler.encode()))
    longest += "x" * (room - len(longest.encode()))

    assert tenant_and_path(f"uploads/acme/{longest}") == ("acme", longest)
    with pytest.raises(OutsideTenantFolder, match="1,024 bytes"):
        tenant_and_path(f"uploads/acme/{longest}x")


@given(ANY)
def test_splitting_any_text_gives_a_legal_tenant_or_refuses(name):
    try:
        tenant, path = tenant_and_path(name)
    except OutsideTenantFolder:
        return
    assert re.fullmatch(r"[a-z0-9-]{3,40}", tenant)
    assert name == f"uploads/{tenant}/{path}"


@given(ANY)
def test_shown_name_is_one_harmless_line(name):
    shown = display(name)

    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.bidirectional(c) in BIDI_CONTROLS for c in shown)


BIDI_CONTROLS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@given(ANY, ANY)
def test_different_names_are_shown_differently(one, other):
    assert (display(one) == display(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name.wav", "plain name.wav"),
        ("naïve – 日本語 שלום.wav", "naïve – 日本語 שלום.wav"),
        ("a\u202eb", r"a\u202eb"),
        ("a\r\n\tb", r"a\r\n\tb"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\x00\x7f\x9b", r"\x00\x7f\x9b"),
        ("a\u2028b\u0085c", r"a\u2028b\x85c"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("lone\ud800", r"lone\ud800"),
        ("a\\u202eb", r"a\\u202eb"),
    ],
    ids=ascii,
)
def test_shown_form(name, shown):
    assert display(name) == shown


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("talk.wav", "talk.wav"),
        ("", ""),
        ("1-2=3", "1-2=3"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\rx", "'\rx"),
        ("\nx", "'\nx"),
        ("  =1", "'  =1"),
        ("\u200b=1", "'\u200b=1"),
        ("＝1", "'＝1"),
        ("|cmd", "'|cmd"),
    ],
    ids=ascii,
)
def test_cell_form(text, cell):
    assert csv_cell(text) == cell


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00")))
def test_no_cell_of_a_csv_file_starts_a_formula(text):
    file = io.StringIO()
    csv.writer(file).writerow(["x", csv_cell(text)])
    cell = next(csv.reader(io.StringIO(file.getvalue(), newline="")))[1]

    assert cell.removeprefix("'") == text.removeprefix("'")
    assert not cell.strip().startswith(("=", "+", "-", "@"))


def test_id_is_the_same_for_ever():
    """Ids stand in results and receipts: a change of the hash would orphan them."""
    assert recording_id("b", "uploads/acme/x.wav", 7) == "69e6033bf23688c574ea5590ecad6f6c"


@pytest.mark.parametrize(
    "other",
    [
        ("b", "uploads/acme/e\N{COMBINING ACUTE ACCENT}", 1),
        ("b", "uploads/acme/\N{LATIN SMALL LETTER E WITH ACUTE}", 2),
        ("c", "uploads/acme/\N{LATIN SMALL LETTER E WITH ACUTE}", 1),
        ("b", "uploads/acme/\N{LATIN SMALL LETTER E WITH ACUTE} ", 1),
        ("b", "uploads/acme/\N{LATIN SMALL LETTER E WITH ACUTE}#1", 1),
    ],
    ids=["nfd", "generation", "bucket", "blank", "hash"],
)
def test_another_object_has_another_id(other):
    assert recording_id(*other) != recording_id("b", "uploads/acme/é", 1)


OBJECTS = st.tuples(
    st.text("abc-", min_size=1, max_size=3), st.text("a/#1é\u0301", max_size=6), st.integers(0, 20)
)


@given(st.sets(OBJECTS, max_size=50))
def test_ids_do_not_collide(objects):
    assert len({recording_id(*o) for o in objects}) == len(objects)


@given(ANY, st.integers(0))
def test_every_name_has_an_id(name, generation):
    assert re.fullmatch(r"[0-9a-f]{32}", recording_id("bucket", name, generation))
