"""Permits to upload one object, signed by us: what a signed URL is in the cloud."""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import asdict, dataclass
from datetime import datetime

from pydantic import TypeAdapter

from shared.errors import Forbidden

#: Parts this signature from every other use a key may find.
PURPOSE = b"earwitness-upload-v1\n"


@dataclass(frozen=True, slots=True)
class Permit:
    """What may be uploaded, as whom, under which name, until when."""

    method: str
    name: str  #: uploads/{tenant}/{ulid}
    tenant: str
    content_type: str
    size_bytes: int
    expires_s: float  #: seconds since the epoch
    metadata: dict[str, str]


_PERMIT = TypeAdapter(Permit)


def sign(permit: Permit, key: str) -> str:
    """A token that carries the permit and proves that we gave it; safe in a URL."""
    payload = json.dumps(asdict(permit), sort_keys=True, ensure_ascii=False).encode()
    return f"{_text(payload)}.{_text(_mac(payload, key))}"


def verify(token: str, key: str, now: datetime) -> Permit:
    """The permit in `token`.

    Raises:
        Forbidden: it is not ours, was changed, or has expired. Ask for a new one.
    """
    payload, _, mac = token.partition(".")
    try:
        content, given = _bytes(payload), _bytes(mac)
    except (binascii.Error, ValueError) as error:
        raise Forbidden("This upload address is not one of ours. Ask for a new one.") from error
    # Nothing in the payload is looked at before the signature holds.
    if not hmac.compare_digest(_mac(content, key), given):
        raise Forbidden("This upload address is not one of ours. Ask for a new one.")
    permit = _PERMIT.validate_json(content)
    if now.timestamp() >= permit.expires_s:
        raise Forbidden("This upload address has expired. Ask for a new one.")
    return permit


def _mac(payload: bytes, key: str) -> bytes:
    return hmac.new(key.encode(), PURPOSE + payload, hashlib.sha256).digest()


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    padded = text + "=" * (-len(text) % 4)
    return base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
