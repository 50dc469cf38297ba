"""The key of one machine, and the tokens it signs."""

import json
import stat
from datetime import timedelta

import jwt
import pytest

from gpu_service.push_tokens import PushTokens
from local import push_keys
from local.push_keys import PushKeys
from shared.errors import ForgedTicket
from shared.settings import load
from shared.wiring import clock
from tests.builders import NOW


class Hands:
    """A clock that is moved by hand."""

    def __init__(self, at=NOW):
        self.at = at

    def __call__(self):
        return self.at


def verifier(keys, tmp_path):
    return PushTokens(
        load(
            home=tmp_path,
            push_issuer=push_keys.ISSUER,
            push_audience=push_keys.AUDIENCE,
            push_email=push_keys.EMAIL,
            push_subject=push_keys.SUBJECT,
            push_keys=str(keys.jwks),
        )
    )


def test_gpu_service_accepts_our_token_and_no_other_machines(tmp_path):
    ours, theirs = PushKeys(tmp_path / "a", clock), PushKeys(tmp_path / "b", clock)

    verifier(ours, tmp_path).verify([ours.authorization()])
    with pytest.raises(ForgedTicket):
        verifier(ours, tmp_path).verify([theirs.authorization()])


def test_token_says_what_googles_say(tmp_path):
    keys = PushKeys(tmp_path, clock)
    token = keys.authorization().removeprefix("Bearer ")
    public = jwt.PyJWKSet.from_dict(json.loads(keys.jwks.read_text())).keys[0]

    claims = jwt.decode(
        token, public, algorithms=["RS256"], audience="earwitness", issuer=push_keys.ISSUER
    )

    assert jwt.get_unverified_header(token)["kid"] == public.key_id
    assert claims["exp"] - claims["iat"] == 3600
    assert (claims["sub"], claims["email"]) == ("local-push", "push@earwitness.local")
    assert claims["email_verified"] is True


@pytest.mark.parametrize(("minutes", "renewed"), [(0, False), (54, False), (55, True), (61, True)])
def test_token_is_made_once_and_renewed_before_it_ends(tmp_path, minutes, renewed):
    now = Hands()
    keys = PushKeys(tmp_path, now)
    first = keys.authorization()
    now.at += timedelta(minutes=minutes)

    assert (keys.authorization() != first) is renewed


def test_private_key_is_ours_alone_and_stays(tmp_path):
    first = PushKeys(tmp_path, clock)
    public = first.jwks.read_text()
    mode = stat.S_IMODE((tmp_path / "push.pem").stat().st_mode)

    assert mode == 0o600
    assert PushKeys(tmp_path, clock).jwks.read_text() == public
    assert "PRIVATE" not in public


def test_damaged_key_is_replaced(tmp_path):
    PushKeys(tmp_path, clock)
    (tmp_path / "push.pem").write_bytes(b"")
    keys = PushKeys(tmp_path, clock)

    verifier(keys, tmp_path).verify([keys.authorization()])
