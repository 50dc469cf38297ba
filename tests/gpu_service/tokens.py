"""Push tokens as Google signs them, and every way to get one wrong."""

import base64
import json
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

KEY, STRANGER = (rsa.generate_private_key(65537, 2048) for _ in range(2))
CURVE = ec.generate_private_key(ec.SECP256R1())
IDENTITY = {
    "push_issuer": "https://accounts.google.com",
    "push_audience": "https://service.example/pubsub/tickets",
    "push_email": "push@project.iam.gserviceaccount.com",
    "push_subject": "113774264463038321964",
}
NOW = int(time.time())
HOUR = 3600


def public(key, kid="k1"):
    found = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return found | {"kid": kid, "use": "sig", "alg": "RS256"}


def curve(kid="k-ec"):
    return json.loads(jwt.algorithms.ECAlgorithm.to_jwk(CURVE.public_key())) | {"kid": kid}


KEYS = {"keys": [public(KEY), curve()]}


def token(key=KEY, kid="k1", algorithm="RS256", headers=None, **changes):
    claims = {
        "iss": IDENTITY["push_issuer"],
        "aud": IDENTITY["push_audience"],
        "azp": IDENTITY["push_subject"],
        "sub": IDENTITY["push_subject"],
        "email": IDENTITY["push_email"],
        "email_verified": True,
        "iat": NOW,
        "exp": NOW + HOUR,
    }
    kept = {k: v for k, v in (claims | changes).items() if v is not None}
    # Not `jwt.encode`: it refuses to write what must be refused when read.
    return jwt.PyJWS().encode(
        json.dumps(kept).encode(), key, algorithm, {"kid": kid} | (headers or {})
    )


def bearer(*args, **changes):
    return [f"Bearer {token(*args, **changes)}"]


def _base64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _payload_changed():
    head, _, signature = token().split(".")
    claims = jwt.decode(token(), options={"verify_signature": False}) | {"exp": NOW + 9 * HOUR}
    return f"{head}.{_base64(json.dumps(claims).encode())}.{signature}"


def _signed_with_the_public_key():
    """HS256 over the text of our public key: what a verifier that trusts `alg` accepts."""
    text = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = _base64(json.dumps({"alg": "HS256", "kid": "k1", "typ": "JWT"}).encode())
    body = token().split(".")[1]
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        f"{head}.{body}".encode(), text
    )
    return f"{head}.{body}.{_base64(signature)}"


def _nested():
    """A JWS whose payload is our own good token."""
    signer = jwt.PyJWS()
    return signer.encode(token().encode(), KEY, "RS256", headers={"kid": "k1", "cty": "JWT"})


def _unsigned():
    head = _base64(json.dumps({"alg": "none", "kid": "k1", "typ": "JWT"}).encode())
    return f"{head}.{token().split('.')[1]}."


def _part(i, change):
    parts = token().split(".")
    parts[i] = change(parts[i])
    return [f"Bearer {'.'.join(parts)}"]


ELSEWHERE = "https://evil.example/certs"
#: What the Authorization headers of a forged push say.
FORGED = {
    "no header": [],
    "empty header": [""],
    "empty bearer": ["Bearer "],
    "token without scheme": [token()],
    "basic": [f"Basic {token()}"],
    "scheme glued on": [f"Bearer{token()}"],
    "two spaces": [f"Bearer  {token()}"],
    "tab": [f"Bearer\t{token()}"],
    "a word behind": [f"Bearer {token()} x"],
    "two tokens in one": [f"Bearer {token()}, Bearer {token()}"],
    "two headers, both ours": [*bearer(), *bearer()],
    "two headers, ours second": ["Bearer a.b.c", *bearer()],
    "garbage": ["Bearer a.b.c"],
    "non-ASCII": ["Bearer \u00e4.b.c"],
    "alg none": [f"Bearer {_unsigned()}"],
    "alg none with our signature": [f"Bearer {_unsigned()}{token().split('.')[2]}"],
    "HS256 with the public key": [f"Bearer {_signed_with_the_public_key()}"],
    "HS256 with a guess": bearer("x" * 64, algorithm="HS256"),
    "RS512 with our key": bearer(algorithm="RS512"),
    "ES256 under our key id": bearer(CURVE, algorithm="ES256"),
    "ES256 with a published key": bearer(CURVE, "k-ec", "ES256"),
    "another's key under our key id": bearer(STRANGER),
    "unknown key id": bearer(kid="k2"),
    "unknown key": bearer(STRANGER, "k2"),
    "no key id": bearer(headers={"kid": ""}),
    "jku": bearer(STRANGER, headers={"jku": ELSEWHERE}),
    "jwk": bearer(STRANGER, headers={"jwk": public(STRANGER)}),
    "x5u": bearer(STRANGER, headers={"x5u": ELSEWHERE}),
    "jku under our signature": bearer(headers={"jku": ELSEWHERE}),
    "crit": bearer(headers={"crit": ["exp"]}),
    "crit of our own": bearer(headers={"crit": ["earwitness"], "earwitness": 1}),
    "nested": [f"Bearer {_nested()}"],
    "stripped by Google": _part(2, lambda _: "SIGNATURE_REMOVED_BY_GOOGLE"),
    "signature cut": _part(2, lambda s: s[:-8]),
    "signature empty": _part(2, lambda _: ""),
    "signature longer": _part(2, lambda s: s + "AAAA"),
    "payload changed": [f"Bearer {_payload_changed()}"],
    "payload no JSON": _part(1, lambda _: _base64(b"no json")),
    "expired": bearer(iat=NOW - 2 * HOUR, exp=NOW - HOUR),
    "expiry as text": bearer(exp=str(NOW + HOUR)),
    "not yet valid": bearer(nbf=NOW + HOUR),
    "issued in the future": bearer(iat=NOW + HOUR, exp=NOW + 2 * HOUR),
    "issuer": bearer(iss="https://evil.example"),
    "issuer with a slash": bearer(iss="https://accounts.google.com/"),
    "issuer without https": bearer(iss="accounts.google.com"),
    "issuer list": bearer(iss=["https://accounts.google.com"]),
    "audience": bearer(aud="https://other.example"),
    "audience of the host": bearer(aud="https://service.example"),
    "audience list with ours": bearer(aud=[IDENTITY["push_audience"], "other"]),
    "audience list of ours": bearer(aud=[IDENTITY["push_audience"]]),
    "e-mail": bearer(email="push@evil.example"),
    "e-mail in capitals": bearer(email="Push@project.iam.gserviceaccount.com"),
    "e-mail not verified": bearer(email_verified=False),
    "e-mail verified as text": bearer(email_verified="true"),
    "e-mail verified as number": bearer(email_verified=1),
    "subject": bearer(sub="113774264463038321965"),
    "subject as number": bearer(sub=int(IDENTITY["push_subject"])),
    "very long": [f"Bearer {token(pad='x' * 8_000)}"],
    **{
        f"no {claim}": bearer(**{claim: None})
        for claim in ("iss", "aud", "exp", "iat", "sub", "email", "email_verified")
    },
}
#: What a push of the platform says; also with what RFC 7235 lets differ.
OURS = {
    "ours": bearer(),
    "ours, scheme in small letters": [f"bearer {token()}"],
    "ours, a clock 20 s ahead": bearer(iat=NOW + 20),
    "ours, just valid": bearer(nbf=NOW),
}
