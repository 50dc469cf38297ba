"""V4 signed requests, checked as Cloud Storage checks them: by its pages, and by nothing of ours.

Source: Cloud Storage, "Canonical requests" and "Signatures"; for HMAC keys, "V4 signing process
with your own program". What is sent is compared, not what was meant: change a header, and no
signature fits.
"""

import hashlib
import hmac
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256


def said(url):
    """The parameters of a signed address."""
    return dict(parse_qsl(urlsplit(url).query, strict_parsing=True))


def canonical(method, url, headers):
    """HTTP_VERB, PATH, QUERY_STRING, HEADERS, an empty line, SIGNED_HEADERS, PAYLOAD."""
    place, lines = urlsplit(url), {}
    for name, value in {"Host": place.netloc, **headers}.items():
        words = value.replace("\t", " ").split(" ")
        lines[name.lower()] = " ".join(word for word in words if word)
    names = said(url)["X-Goog-SignedHeaders"].split(";")
    query = [one for one in place.query.split("&") if not one.startswith("X-Goog-Signature=")]
    for one in query:  # nothing is encoded otherwise than RFC 3986 has it
        name, _, value = one.partition("=")
        assert quote(unquote(name), safe="~") == name
        assert quote(unquote(value), safe="~") == value
    return "\n".join(
        [method, place.path, "&".join(sorted(query))]
        + [f"{name}:{lines[name]}" for name in sorted(names)]
        + ["", ";".join(sorted(names)), "UNSIGNED-PAYLOAD"]
    )


def to_sign(method, url, headers):
    told = said(url)
    scope = told["X-Goog-Credential"].split("/", 1)[1]
    digest = hashlib.sha256(canonical(method, url, headers).encode()).hexdigest()
    return "\n".join([told["X-Goog-Algorithm"], told["X-Goog-Date"], scope, digest])


def signed_by_key(key: RSAPublicKey, method, url, headers) -> bool:
    """GOOG4-RSA-SHA256: PKCS #1 v1.5."""
    assert said(url)["X-Goog-Algorithm"] == "GOOG4-RSA-SHA256"
    signature = bytes.fromhex(said(url)["X-Goog-Signature"])
    try:
        key.verify(signature, to_sign(method, url, headers).encode(), PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def signed_by_secret(secret: str, method, url, headers) -> bool:
    """GOOG4-HMAC-SHA256: a key derived from the secret, for a day, a place and a service."""
    told = said(url)
    assert told["X-Goog-Algorithm"] == "GOOG4-HMAC-SHA256"
    key = f"GOOG4{secret}".encode()
    for part in told["X-Goog-Credential"].split("/")[1:]:
        key = hmac.digest(key, part.encode(), "sha256")
    made = hmac.digest(key, to_sign(method, url, headers).encode(), "sha256")
    return hmac.compare_digest(made.hex(), told["X-Goog-Signature"])
