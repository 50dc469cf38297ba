"""How a written number is said: 1,234.5, 21st, $5, 50 %, 1990, 10:30."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache

#: Languages whose rules are below.
KNOWN = ("en", "es", "fr")
#: Languages in which num2words may be asked for a plain number: those it says, or refuses to
#: say, in no time (tested). Amharic it says for ever from 234,000,000 on.
SAYABLE = frozenset(
    "ar az be bn ca cs cy da de en eo es fa fi fr he hu id is it ja ko lt lv nl no pl"  # noqa: SIM905  # a list is 38 lines
    " pt ro ru sk sl sr sv th tr uk vi".split()
)
#: More digits in a row than this are read one by one: telephone numbers, identifiers.
MOST_DIGITS = 6
#: Characters of a number with marks in it (a quadrillion); a longer one is read digit by digit.
LONGEST_NUMBER = 16
#: A bare number of four digits in here is said like a year: nineteen ninety.
YEARS = range(1100, 2100)
#: Characters of a word. No number that is longer is said as one; and the rules look ahead as
#: far as a word goes from each of its characters, so their time grows with its square.
LONGEST = 64

MINUS = {"en": "minus", "es": "menos", "fr": "moins"}
SYMBOLS: Mapping[str, Mapping[str, str]] = {
    "%": {"en": "percent", "es": "por ciento", "fr": "pour cent"},
    "&": {"en": "and", "es": "y", "fr": "et"},
    "+": {"en": "plus", "es": "más", "fr": "plus"},
    "=": {"en": "equals", "es": "igual a", "fr": "égale"},
    "@": {"en": "at", "es": "arroba", "fr": "arobase"},
    "°": {"en": "degrees", "es": "grados", "fr": "degrés"},
    "#": {"en": "number", "es": "número", "fr": "numéro"},
}
#: One of it, and several.
CURRENCIES: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "$": {"en": ("dollar", "dollars"), "es": ("dólar", "dólares"), "fr": ("dollar", "dollars")},
    "€": {"en": ("euro", "euros"), "es": ("euro", "euros"), "fr": ("euro", "euros")},
    "£": {"en": ("pound", "pounds"), "es": ("libra", "libras"), "fr": ("livre", "livres")},
}
MONEY = "".join(CURRENCIES)

GROUPED = {"en": r"\d{1,3}(?:,\d{3})+", "es": r"\d{1,3}(?:\.\d{3})+", "fr": r"\d{1,3}(?:\.\d{3})+"}
ORDINAL = {
    "en": re.compile(r"(\d+)(?:st|nd|rd|th)\b", re.IGNORECASE),
    "es": re.compile(r"(\d+)\.?(?:o|a|er|ra|ro)\b", re.IGNORECASE),  # NFKC makes º an o
    "fr": re.compile(r"(\d+)(?:er|re|e|è|ème|eme|nd|nde)\b", re.IGNORECASE),
}
CLOCK = re.compile(r"\b(\d{1,2}):(\d{2})(?::(\d{2}))?\b")
#: As the French write it: 10h30.
HOURS = re.compile(r"\b(\d{1,2})h(\d{2})?\b")
DECADE = re.compile(r"\b(\d{2}|\d{4})s\b")


def spoken(text: str, language: str | None) -> str:
    """The text with every number and sign in it said in words of `language`.

    What has no rule in the language stays as it is. Numbers are said one way where people
    know several ("one thousand and one", "a thousand one"): alignment forgives it.

    Args:
        text: a word, NFKC-normalised, punctuation and all.
        language: ISO 639-1; None is taken for English.
    """
    language = language or "en"
    if len(text) > LONGEST:
        return re.sub(r"\d", lambda found: f" {_digit(found[0], language)} ", text)
    for pattern, say in _rules(language):
        text = re.sub(pattern, lambda found, say=say: f" {say(found, language)} ", text)
    return _signs(text, language)


Say = Callable[[re.Match[str], str], str]


Rule = tuple[str | re.Pattern[str], Say]


def _rules(language: str) -> list[Rule]:
    """Most particular first."""
    point = r"\." if language == "en" else "[.,]"
    grouped = GROUPED.get(language, GROUPED["en"])
    plain = rf"{grouped}(?:{point}\d+)?(?!\d)|\d+(?:{point}\d+)?"
    minus = rf"(?<!\S)[-−]?(?:{plain})|{plain}"
    if language not in KNOWN:
        return [(minus, _number)]
    money = rf"([{MONEY}])\s?({plain})|({plain})\s?([{MONEY}])"
    return [
        (money, _money),
        (CLOCK, _clock),
        *PARTICULAR.get(language, ()),
        (ORDINAL[language], _ordinal),
        (minus, _number),
    ]


def _signs(text: str, language: str) -> str:
    for sign, said in SYMBOLS.items():
        text = text.replace(sign, f" {said[language]} " if language in said else sign)
    for sign, names in CURRENCIES.items():
        text = text.replace(sign, f" {names[language][1]} " if language in names else sign)
    return text


def _money(found: re.Match[str], language: str) -> str:
    """$5.50: five dollars fifty."""
    sign = found[1] or found[4]
    whole, _, small = _plain(found[2] or found[3], language).partition(".")
    one, several = CURRENCIES[sign][language]
    name = one if whole == "1" and not small.strip("0") else several
    cents = _cardinal(small.ljust(2, "0"), language) if small.strip("0") else ""
    return f"{_cardinal(whole, language)} {name} {cents}"


def _clock(found: re.Match[str], language: str) -> str:
    """10:30: ten thirty. 10:05: ten oh five."""
    hour, *rest = (part for part in found.groups() if part)
    said = [_cardinal(hour, language), *(["heures"] if language == "fr" else [])]
    for part in rest:
        if int(part):
            said += ["oh"] if language == "en" and part.startswith("0") else []
            said.append(_cardinal(str(int(part)), language))
    return " ".join(said)


def _decade(found: re.Match[str], language: str) -> str:
    """1990s: nineteen nineties."""
    digits = found[1]
    said = _year(digits, language) if len(digits) == 4 else _cardinal(digits, language)
    return f"{said[:-1]}ies" if said.endswith("y") else f"{said}s"


def _ordinal(found: re.Match[str], language: str) -> str:
    digits = found[1]
    if len(digits) > MOST_DIGITS:
        return _cardinal(digits, language)
    said = _said(int(digits), language, "ordinal") or digits
    feminine = language == "es" and found[0].lower().endswith("a")
    return re.sub(r"o\b", "a", said) if feminine else said


def _number(found: re.Match[str], language: str) -> str:
    written = found[0].lstrip("-−")
    sign = "-" if written != found[0] else ""
    plain = _plain(written, language)
    whole, _, rest = plain.partition(".")
    if rest or (len(whole) > MOST_DIGITS and not written.isdecimal()):
        said = len(plain) <= LONGEST_NUMBER and _said(Decimal(sign + plain), language)
        return said or _cardinal(whole + rest, language)
    year = language in KNOWN and not sign and len(written) == 4
    if year and int(whole) in YEARS:
        return _year(whole, language)
    less = MINUS.get(language, "") if sign else ""
    return f"{less} {_cardinal(whole, language)}"


def _year(digits: str, language: str) -> str:
    return _said(int(digits), language, "year") or digits


def _plain(written: str, language: str) -> str:
    """Without the marks between thousands, and with a point before the decimals."""
    grouped = re.match(rf"{GROUPED.get(language, GROUPED['en'])}(?!\d)", written)
    end = grouped.end() if grouped else 0
    whole = re.sub(r"\D", "", written[:end])
    digits = whole + written[end:].replace(",", ".")
    return "".join(c if c == "." else str(int(c)) for c in digits)  # any script's digits


def _cardinal(digits: str, language: str) -> str:
    """Digit by digit where people do: after a leading zero, and where there are many."""
    one_by_one = len(digits) > MOST_DIGITS or (len(digits) > 1 and digits.startswith("0"))
    if one_by_one:
        return " ".join(_digit(digit, language) for digit in digits)
    return _said(int(digits), language) or digits


@cache  # ten a language: a text may hold thousands, and each would cost 35 us
def _digit(digit: str, language: str) -> str:
    return _said(int(digit), language) or digit


#: Ways to write that only one language has.
PARTICULAR: Mapping[str, tuple[Rule, ...]] = {"en": ((DECADE, _decade),), "fr": ((HOURS, _clock),)}


def _said(number: int | Decimal, language: str, to: str = "cardinal") -> str | None:
    """As num2words says it; None in a language, or of a number, it does not know.

    Its languages, each of another author, fail each in its own way: Polish on -1 with
    ValueError, Azerbaijani on large numbers with KeyError, Turkish by answering None.
    """
    if language not in SAYABLE:
        return None
    from num2words import num2words  # 40 ms of imports, only where a number is met

    try:
        said = num2words(number, lang=language, to=to)
    except (NotImplementedError, ArithmeticError, LookupError, TypeError, ValueError):
        return None
    return said if isinstance(said, str) else None
