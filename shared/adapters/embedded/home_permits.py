"""Implements `Permits` on one machine: addresses signed with a key of HOME, as Cloud Storage's are.

Algorithm GOOG4-HMAC-SHA256. Source: Cloud Storage, "V4 signing process", "Canonical requests" and
"Signatures" (string-to-sign, and the signing key of an HMAC secret).
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, urlsplit

from shared.domain.permits import Brought, Permit, Signed, permitted
from shared.errors import Forbidden, InvalidRequest
from shared.ports import Clock

ALGORITHM = "GOOG4-HMAC-SHA256"
ACCESS_ID = "earwitness"
#: Under which addresses uploads are taken; an object's name goes on where its root ends.
DOOR = "/v1/uploads/"
ROOT = "uploads/"
SIGNATURE = "X-Goog-Signature"
PARAMETERS = frozenset(
    f"X-Goog-{one}"
    for one in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")
)
#: Bodies are not part of the signature: their length is a header.
PAYLOAD = "UNSIGNED-PAYLOAD"
_DATE = "%Y%m%dT%H%M%SZ"
#: Headers that speak to a bucket; one that is not signed is no part of what was allowed.
_SPEAKING = re.compile(r"x-goog-|content-type$")


class HomePermits:
    """Any thread may ask; nothing is kept but the key."""

    def __init__(self, key: str, now: Clock) -> None:
        """`key` is the secret of this HOME; whoever knows it can sign."""
        self._key, self._now = key.encode(), now

    bucket_url = None
    sessions = True

    def sign(
        self, permit: Permit, door: str, valid: timedelta, *, resumable: bool = False
    ) -> Signed:
        at = self._now().astimezone(UTC).replace(microsecond=0)
        method, path = "POST" if resumable else "PUT", DOOR + permit.name.removeprefix(ROOT)
        headers = permit.headers(resumable=resumable)
        signed = {k.lower(): v for k, v in headers.items()} | {"host": urlsplit(door).netloc}
        query = {
            "X-Goog-Algorithm": ALGORITHM,
            "X-Goog-Credential": f"{ACCESS_ID}/{_scope(at)}",
            "X-Goog-Date": at.strftime(_DATE),
            "X-Goog-Expires": str(int(valid.total_seconds())),
            "X-Goog-SignedHeaders": ";".join(sorted(signed)),
        }
        signature = self._signature(canonical(method, path, query.items(), signed), at)
        url = f"{door}{path}?{_encoded(query.items())}&{SIGNATURE}={signature}"
        return Signed(method, url, headers, at + valid)

    def opened(self, request: Brought) -> Permit:
        query = _parameters(request.query)
        signed = _signed_headers(request, query["X-Goog-SignedHeaders"])
        at, until = _times(query)
        unsigned = [(name, value) for name, value in query.items() if name != SIGNATURE]
        asked = canonical(request.method, request.path, unsigned, signed)
        whole = query["X-Goog-Credential"] == f"{ACCESS_ID}/{_scope(at)}"
        given = query[SIGNATURE].encode("utf-8", "surrogatepass")
        matches = hmac.compare_digest(self._signature(asked, at).encode(), given)
        # Nothing the request says is believed before the signature holds.
        if not (matches and whole and query["X-Goog-Algorithm"] == ALGORITHM):
            raise Forbidden("This upload is not the one its address was signed for.")
        if not at <= self._now() < until:
            raise InvalidRequest("This upload address has expired. Ask for a new one.")
        return permitted(ROOT + request.path.removeprefix(DOOR), signed)

    def _signature(self, canonical_request: str, at: datetime) -> str:
        digest = hashlib.sha256(canonical_request.encode("utf-8", "surrogatepass")).hexdigest()
        to_sign = "\n".join([ALGORITHM, at.strftime(_DATE), _scope(at), digest])
        key = b"GOOG4" + self._key
        for part in _scope(at).split("/"):
            key = _mac(key, part)
        return _mac(key, to_sign).hex()


def canonical(
    method: str, path: str, query: Iterable[tuple[str, str]], headers: Mapping[str, str]
) -> str:
    """The request as both sides write it down; headers by lower-case name, all of them signed."""
    ordered = sorted(headers.items())
    lines = [f"{name}:{' '.join(value.split())}" for name, value in ordered]
    names = ";".join(name for name, _ in ordered)
    return "\n".join([method, path, _encoded(query), *lines, "", names, PAYLOAD])


def _encoded(query: Iterable[tuple[str, str]]) -> str:
    pairs = ((quote(name, safe=""), quote(value, safe="")) for name, value in query)
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _scope(at: datetime) -> str:
    return f"{at:%Y%m%d}/auto/storage/goog4_request"


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _parameters(query: str) -> dict[str, str]:
    """What a signed address says, each once and nothing else."""
    pairs = parse_qsl(query, keep_blank_values=True, errors="surrogateescape")
    found = dict(pairs)
    if len(pairs) != len(found) or found.keys() != PARAMETERS:
        raise Forbidden("This upload address is not one of ours. Ask for a new one.")
    return found


def _signed_headers(request: Brought, names: str) -> dict[str, str]:
    """Raises InvalidRequest: one is missing, or one that speaks to the bucket was not signed."""
    listed = names.split(";")
    missing = [name for name in listed if name not in request.headers]
    if missing:
        raise InvalidRequest(f"The header {missing[0][:80]!r} was signed and is missing.")
    more = [h for h in request.headers if _SPEAKING.match(h) and h not in listed]
    if more:
        raise InvalidRequest(f"The header {more[0][:80]!r} was not signed. Leave it out.")
    return {name: request.headers[name] for name in listed}


def _times(query: Mapping[str, str]) -> tuple[datetime, datetime]:
    try:
        at = datetime.strptime(query["X-Goog-Date"], _DATE).replace(tzinfo=UTC)
        return at, at + timedelta(seconds=int(query["X-Goog-Expires"]))
    except (ValueError, OverflowError) as error:
        raise Forbidden("This upload address is not one of ours. Ask for a new one.") from error
