"""S4 in small: what is not exactly our token is refused. (The 25 forgeries come with the cloud.)"""

import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from gpu_service.push_tokens import PushTokens
from shared.errors import ForgedTicket, InvalidSettings
from shared.settings import load

KEY, STRANGER = (rsa.generate_private_key(65537, 2048) for _ in range(2))


def public(key, kid="k1"):
    return json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) | {"kid": kid}


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [public(KEY)]}))
    return PushTokens(settings(push_keys=str(path)))


def settings(**changes):
    return load(
        push_issuer="https://earwitness.local",
        push_audience="earwitness",
        push_email="push@earwitness.local",
        push_subject="local-push",
        **changes,
    )


def token(key=KEY, kid="k1", algorithm="RS256", headers=None, **changes):
    now = int(time.time())
    claims = {
        "iss": "https://earwitness.local",
        "aud": "earwitness",
        "email": "push@earwitness.local",
        "email_verified": True,
        "sub": "local-push",
        "iat": now,
        "exp": now + 3600,
    }
    kept = {k: v for k, v in (claims | changes).items() if v is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers={"kid": kid} | (headers or {}))


def test_our_token_is_ours(tokens):
    tokens.verify(f"Bearer {token()}")
    tokens.verify(f"bearer {token()}")


def test_a_known_token_is_known_until_it_expires(tokens):
    ours = token(exp=int(time.time()) + 60)
    tokens.verify(f"Bearer {ours}")
    tokens.verify(f"Bearer {ours}")

    with pytest.raises(ForgedTicket):
        tokens.verify(f"Bearer {ours}x")
    tokens._known = (ours, time.time() - 1)
    later = token(exp=int(time.time()) - 3600)
    tokens._known = (later, time.time() - 3600)
    with pytest.raises(ForgedTicket):
        tokens.verify(f"Bearer {later}")


PAST = int(time.time()) - 3600
FORGED = {
    "nothing": "",
    "no scheme": token(),
    "other scheme": f"Basic {token()}",
    "empty": "Bearer ",
    "garbage": "Bearer a.b.c",
    "another's key": f"Bearer {token(STRANGER)}",
    "unknown key id": f"Bearer {token(kid='k2')}",
    "no signature": f"Bearer {token(algorithm='none', key=None)}",
    "symmetric": f"Bearer {token(key='x' * 64, algorithm='HS256')}",
    "stripped": f"Bearer {token().rsplit('.', 1)[0]}.SIGNATURE_REMOVED_BY_GOOGLE",
    "issuer": f"Bearer {token(iss='https://accounts.google.com')}",
    "audience": f"Bearer {token(aud='other')}",
    "audience list": f"Bearer {token(aud=['earwitness', 'other'])}",
    "no audience": f"Bearer {token(aud=None)}",
    "expired": f"Bearer {token(exp=PAST)}",
    "no expiry": f"Bearer {token(exp=None)}",
    "from the future": f"Bearer {token(iat=int(time.time()) + 3600)}",
    "e-mail": f"Bearer {token(email='push@evil.example')}",
    "no e-mail": f"Bearer {token(email=None)}",
    "unverified": f"Bearer {token(email_verified=False)}",
    "verified as text": f"Bearer {token(email_verified='true')}",
    "subject": f"Bearer {token(sub='someone')}",
    "no subject": f"Bearer {token(sub=None)}",
}


@pytest.mark.parametrize("authorization", FORGED.values(), ids=FORGED.keys())
def test_a_forgery_is_refused(tokens, authorization):
    with pytest.raises(ForgedTicket):
        tokens.verify(authorization)


def test_without_an_identity_the_service_does_not_start():
    with pytest.raises(InvalidSettings):
        PushTokens(load())


@pytest.mark.parametrize("content", [None, "no json", '{"keys": []}', '{"keys": [{"kty": "x"}]}'])
def test_an_unreadable_key_set_is_said_at_start(tmp_path, content):
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)

    with pytest.raises(InvalidSettings):
        PushTokens(settings(push_keys=str(path)))
