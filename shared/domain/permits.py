"""What one upload may be, as headers that are signed into its address and sent with the bytes.

Cloud Storage looks at them, and the embedded bucket does the same. Source: Cloud Storage, XML API,
"HTTP headers and query string parameters" (x-goog-content-length-range,
x-goog-if-generation-match, x-goog-meta-, x-goog-resumable); "Signatures", V4.
"""

import base64
import re
from binascii import Error as NotBase64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.errors import InvalidRequest

CONTENT_TYPE = "Content-Type"
LENGTH_RANGE = "x-goog-content-length-range"
#: 0: only if nothing lies under that name.
GENERATION_MATCH = "x-goog-if-generation-match"
META = "x-goog-meta-"
RESUMABLE = "x-goog-resumable"
#: A key of metadata is part of a header's name, which Cloud Storage reads in lower case.
KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
#: What a header carries as it is: printable, with single spaces inside. A signature sees two
#: spaces as one (V4, "Canonical headers"), so a value with two must travel otherwise.
_PLAIN = re.compile(r"[!-~]+( [!-~]+)*")
#: One encoded word, of any length. Source: RFC 2047 section 2.
_ENCODED = re.compile(r"=\?utf-8\?b\?([A-Za-z0-9+/]*={0,2})\?=", re.IGNORECASE)
_RANGE = re.compile(r"(\d{1,15}),(\d{1,15})")


@dataclass(frozen=True, slots=True)
class Permit:
    """What may be uploaded, under which name: once, nothing else, not again."""

    name: str  #: uploads/{tenant}/{ulid}
    content_type: str
    size_bytes: int  #: exactly
    metadata: Mapping[str, str]

    def headers(self, *, resumable: bool = False) -> dict[str, str]:
        """What has to be sent with the bytes, or with the request that begins a session."""
        return {
            CONTENT_TYPE: self.content_type,
            LENGTH_RANGE: f"{self.size_bytes},{self.size_bytes}",
            GENERATION_MATCH: "0",
            **({RESUMABLE: "start"} if resumable else {}),
            **{META + key: value for key, value in sent(self.metadata).items()},
        }


@dataclass(frozen=True, slots=True)
class Signed:
    """One request that is let in until `expires_at`, with exactly these headers."""

    method: str
    url: str
    headers: Mapping[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Brought:
    """A request as it came: what a signature is compared with."""

    method: str
    path: str  #: as sent, percent-encoded
    query: str  #: as sent
    headers: Mapping[str, str]  #: by lower-case name


def permitted(name: str, headers: Mapping[str, str]) -> Permit:
    """The permit that headers by lower-case name are those of; of signed headers only.

    Raises:
        InvalidRequest: they are nobody's.
    """
    range_ = _RANGE.fullmatch(headers.get(LENGTH_RANGE, ""))
    if range_ is None or range_[1] != range_[2]:
        raise InvalidRequest(f"The header {LENGTH_RANGE} is not one of an upload.")
    metadata = {k.removeprefix(META): v for k, v in headers.items() if k.startswith(META)}
    kind = headers.get(CONTENT_TYPE.lower(), "")
    return Permit(name, kind, int(range_[1]), kept(metadata))


def sent(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata as headers carry it: what is not plain ASCII as one encoded word of RFC 2047.

    "You should generally avoid non-ascii characters, because they are not permitted in HTTP
    headers, which the XML API uses." Source: Cloud Storage, "Object metadata".
    """
    return {key: _sent(value) for key, value in metadata.items()}


def _sent(value: str) -> str:
    if _PLAIN.fullmatch(value) and not _ENCODED.fullmatch(value):
        return value
    return f"=?utf-8?B?{base64.b64encode(value.encode()).decode()}?="


def kept(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata as it was meant, of objects that came over headers or otherwise."""
    return {key: _kept(value) for key, value in metadata.items()}


def _kept(value: str) -> str:
    word = _ENCODED.fullmatch(value)
    if word is None:
        return value
    try:
        return base64.b64decode(word[1], validate=True).decode()
    except (NotBase64, UnicodeDecodeError):
        return value  # somebody's own text that only looks like one


def size_bytes(metadata: Mapping[str, str]) -> int:
    """Bytes of metadata as the bucket counts them: keys and values, as they are sent."""
    return sum(len(key) + len(value) for key, value in sent(metadata).items())
