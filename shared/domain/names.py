"""Names people give to objects: whose they are, what id they get, how they are shown.

Any text may be a name; nothing in it is ever a path, a control sequence or a formula.
"""

import hashlib
import re

from shared.errors import OutsideTenantFolder

ROOT = "uploads"
#: What the names of originals in their long-term form begin with.
ARCHIVE = "archive"
#: What all of such a name looks like (`long_term.name_of`).
ARCHIVED = re.compile(rf"{ARCHIVE}/[a-z0-9-]{{3,40}}/[0-9a-f]{{32}}/[0-9a-f]{{32}}\.flac")
#: DESIGN section 4. ASCII only, so a tenant is safe in a path, a URL and a metric label.
TENANT = re.compile(r"[a-z0-9-]{3,40}")
#: Where plans of exports lie in the temporary place.
EXPORTS = "exports"
#: Bytes of UTF-8. Source: Cloud Storage, "Object naming requirements".
MAX_NAME_BYTES = 1_024
#: Hexadecimal digits of sha256 kept, 128 bit.
ID_DIGITS = 32
#: What spreadsheets take for the start of a formula; the last six are full-width twins.
#: Source: OWASP, "CSV Injection".
_FORMULA = frozenset("=+-@|%＝＋－＠｜％")
#: Shown as an escape too, so that a name that spells an escape is not mistaken for one.
_BACKSLASH = "\\"


def tenant_and_path(name: str) -> tuple[str, str]:
    """Split `uploads/{tenant}/{path}`. The path is any text and never becomes a file's path.

    Raises:
        OutsideTenantFolder: the name has another shape, or is longer than 1,024 bytes.
    """
    root, _, rest = name.partition("/")
    tenant, _, path = rest.partition("/")
    # The tenant first: nothing is built from it, not even a message, before it matches.
    if not TENANT.fullmatch(tenant) or root != ROOT or not path:
        raise OutsideTenantFolder
    if not _fits(name):
        raise OutsideTenantFolder(
            f"The object's name is not UTF-8 text of at most {MAX_NAME_BYTES:,} bytes."
            " Upload it under a shorter, plain name."
        )
    return tenant, path


def _fits(name: str) -> bool:
    try:
        return len(name.encode()) <= MAX_NAME_BYTES
    except UnicodeEncodeError:  # a lone surrogate: no such object name exists
        return False


def recording_id(bucket: str, name: str, generation: int) -> str:
    """The id of one generation of one object: 32 lowercase hexadecimal digits.

    Different objects are hashed from different texts: a bucket's name has no slash, and
    the generation is what follows the last `#`. Bytes decide, so NFC and NFD spellings of
    a name are two recordings, as they are two objects. At 128 bit, one billion recordings
    collide with probability 1.5e-21 (birthday bound, n^2 / 2^129).
    """
    # surrogatepass: also a name that is refused gets an id of its own to be refused under.
    text = f"{bucket}/{name}#{generation}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:ID_DIGITS]


def display(name: str) -> str:
    r"""One line that is safe on a terminal and in a log, whatever the name holds.

    Control, format (bidi overrides, zero widths), line-breaking, unassigned and surrogate
    characters become escapes such as `\u202e`; a backslash is doubled. Different names
    are shown differently.
    """
    return "".join(map(_shown, name))


def _shown(character: str) -> str:
    if character.isprintable() and character != _BACKSLASH:
        return character
    return character.encode("unicode_escape").decode("ascii")


def csv_cell(text: str) -> str:
    """`text` as a cell no spreadsheet takes for a formula; quoting is left to the csv writer.

    An apostrophe is put in front where the first character that is not blank or invisible
    could start a formula, or where a tab, carriage return or line feed leads. Source:
    OWASP, "CSV Injection".
    """
    leading = text[:1] in ("\t", "\r", "\n")
    first = next((c for c in text if c.isprintable() and not c.isspace()), "")
    return f"'{text}" if leading or first in _FORMULA else text
