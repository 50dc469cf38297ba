import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_service.alignment.ctc import STAR
from gpu_service.alignment.numbers import SAYABLE
from gpu_service.alignment.spelling import NOBODY, Vocabulary, spell

LOWER = "abcdefghijklmnopqrstuvwxyz'"
VOCABULARIES = {
    "en": LOWER,
    "es": LOWER + "áéíóúüñ",
    "fr": LOWER + "àâçèéêëîïôöùûü",
    "de": LOWER + "äöü",
}


def written(text, language, letters=None):
    """The characters `text` is spelled with; a blank between, * for a star."""
    letters = VOCABULARIES[language] if letters is None else letters
    vocabulary = Vocabulary({c: i + 2 for i, c in enumerate(letters)}, blank=0, delimiter=1)
    characters = {STAR: "*", 1: " ", **{i + 2: c for i, c in enumerate(letters)}}
    return "".join(characters[t] for t in spell(text, vocabulary, language).tokens)


SAID = [
    ("en", "1,234.5", "one thousand two hundred and thirty four point five"),
    (
        "en",
        "1,234,567",
        "one million two hundred and thirty four thousand five hundred and sixty seven",
    ),
    ("en", "21st", "twenty first"),
    ("en", "$5", "five dollars"),
    ("en", "$1.", "one dollar"),
    ("en", "$5.50", "five dollars fifty"),
    ("en", "€1.00", "one euro"),
    ("en", "50 %", "fifty percent"),
    ("en", "50%", "fifty percent"),
    ("en", "1990", "nineteen ninety"),
    ("en", "1990s", "nineteen nineties"),
    ("en", "1099", "one thousand and ninety nine"),
    ("en", "2001", "two thousand and one"),
    ("en", "10:30", "ten thirty"),
    ("en", "10:05", "ten oh five"),
    ("en", "twenty-one", "twenty one"),
    ("en", "10-20", "ten twenty"),
    ("en", "-5", "minus five"),
    ("en", "\u22125", "minus five"),
    ("en", "007", "zero zero seven"),
    ("en", "5551234", "five five five one two three four"),
    ("en", "1,2,3", "one two three"),
    ("en", "\u0663", "three"),
    ("en", "mp3", "mp three"),
    ("en", "R&D", "r and d"),
    ("en", "and/or", "and or"),
    ("en", "½", "one two"),
    ("es", "1.234,5", "mil doscientos treinta y cuatro punto cinco"),
    ("es", "3,14", "tres punto uno cuatro"),
    ("es", "1º", "primero"),
    ("es", "21.ª", "vigésima primera"),
    ("es", "5€", "cinco euros"),
    ("es", "50 %", "cincuenta por ciento"),
    ("es", "1990", "mil novecientos noventa"),
    ("es", "10:30", "diez treinta"),
    ("fr", "1.234,5", "mille deux cent trente quatre virgule cinq"),
    ("fr", "1er", "premier"),
    ("fr", "2e", "deuxième"),
    ("fr", "71 %", "soixante et onze pour cent"),
    ("fr", "10h30", "dix heures trente"),
    ("fr", "10:30", "dix heures trente"),
    ("de", "21", "einundzwanzig"),
    ("de", "2001", "zweitausendeins"),
]


@pytest.mark.parametrize(("language", "text", "said"), SAID, ids=[f"{x[0]} {x[1]}" for x in SAID])
def test_numbers_are_written_as_they_are_said(language, text, said):
    assert written(text, language) == said


@pytest.mark.parametrize(
    ("text", "letters", "spelled"),
    [
        ("Don’t!", "abdnot'", "don't"),
        ("HOLA, ¿qué tal?", VOCABULARIES["es"], "hola qué tal"),
        ("qué", "QUE", "QUE"),
        ("e\u0301", "é", "é"),
        ("ﬁn ｆｉｎ", "fin", "fin fin"),
        ("Straße", "STRAßE", "STRAßE"),
        ("Straße", "STRAE", "STRASSE"),
        ("Œuvre", "oeuvr", "oeuvre"),
    ],
)
def test_letters_are_those_of_the_vocabulary(text, letters, spelled):
    assert written(text, "en", letters) == spelled


@pytest.mark.parametrize("text", ["漢字", "—", "...", "😀", "\u0301"])
def test_a_word_nobody_can_spell_is_a_star(text):
    assert written(f"a {text} b", "en") == "a * b"


def test_numbers_in_a_language_nobody_knows_to_count_in_are_stars():
    vocabulary = Vocabulary({"a": 1}, blank=0)

    assert spell("a 12", vocabulary, "zh").tokens == (1, STAR)


def test_without_a_delimiter_words_follow_each_other():
    spelling = spell("ab 'a", Vocabulary({"a": 1, "b": 2}, blank=0), "en")

    assert (spelling.tokens, spelling.owners) == ((1, 2, 1), (0, 0, 1))
    assert spelling.borders == (True, False, True, True)


def test_sound_outside_the_text_may_lie_between_words_not_inside_them():
    spelling = spell("a 21", Vocabulary({c: i + 2 for i, c in enumerate(LOWER)}, 0, 1), "en")

    inner = [b for b, o in zip(spelling.borders[1:-1], spelling.owners[1:], strict=True) if o == 1]
    assert inner == [True] + [False] * (len(inner) - 1)
    assert spelling.owners[1] == NOBODY and NOBODY not in spelling.owners[2:]


@settings(deadline=None)
@given(st.text(max_size=200), st.sampled_from(["en", "es", "fr", "de", "xx", None]))
def test_every_word_of_any_text_has_its_tokens_in_order(text, language):
    vocabulary = Vocabulary({c: i + 2 for i, c in enumerate(LOWER)}, blank=0, delimiter=1)

    spelling = spell(text, vocabulary, language)

    owned = [owner for owner in spelling.owners if owner != NOBODY]
    assert spelling.words == tuple(text.split())
    assert sorted(set(owned)) == list(range(len(spelling.words))) and owned == sorted(owned)
    assert len(spelling.borders) == len(spelling.tokens) + 1


@settings(deadline=None)
@given(st.text("0123456789.,:$€%-°h", max_size=80), st.sampled_from(sorted(SAYABLE)))
def test_any_jumble_of_digits_and_signs_is_spelled(text, language):
    vocabulary = Vocabulary({c: i + 2 for i, c in enumerate(LOWER)}, blank=0, delimiter=1)

    assert len(spell(text, vocabulary, language).words) == len(text.split())


@pytest.mark.parametrize("language", [*sorted(SAYABLE), "am", "xx"])
def test_no_language_breaks_on_a_number_or_takes_for_ever(language):
    vocabulary = Vocabulary({c: i + 2 for i, c in enumerate(LOWER)}, blank=0, delimiter=1)
    whole = [str(10**k) for k in range(60)] + [f"{2340**k:,}" for k in range(12)]

    spelling = spell(" ".join([*whole, "-1", "3.14", "9.999.999,5", "0.005"]), vocabulary, language)

    assert len(spelling.words) == 76


def test_a_hundred_thousand_digits_are_read_one_by_one():
    assert written("1" * 100_000, "en").startswith("one one one")
