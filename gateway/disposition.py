"""File names for downloads, safe whatever the uploader called the file."""

from urllib.parse import quote

from shared.domain.names import display

#: Characters of the name that are offered; file systems allow 255 bytes.
MAX_NAME = 60


def attachment(path: str, suffix: str = "") -> str:
    """A Content-Disposition that saves. Source: RFC 6266 section 4.3, RFC 8187 section 3.2."""
    return f"attachment; {_filename(path, suffix)}"


def inline(path: str) -> str:
    """A Content-Disposition that plays in place, with a name for whoever saves it."""
    return f"inline; {_filename(path, '')}"


def _filename(path: str, suffix: str) -> str:
    last = display(path.rpartition("/")[2])[-MAX_NAME:]
    # Dots in front would hide the file; separators were folders once.
    name = last.replace("\\", "_").replace("/", "_").lstrip(".") or "recording"
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_. ") else "_" for c in name)
    return f"filename=\"{plain}{suffix}\"; filename*=UTF-8''{quote(name + suffix, safe='')}"
