"""Who signed in before the door opens the page; nobody else's word for it counts."""

import json
from http import HTTPStatus

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi.testclient import TestClient
from starlette.datastructures import Headers

from gateway.callers import Caller, actor
from gateway.main import create_app
from gateway.viewers import ALGORITHM, HEADER, ISSUER, Viewers
from shared.domain.api_keys import ENTROPY_BYTES, WRITER, minted
from shared.errors import InvalidApiKey, InvalidSettings
from shared.key_sets import KeySet, key_set
from shared.settings import Settings
from shared.signed_tokens import LEEWAY_S
from tests.builders import NOW
from tests.gateway.testimony import Filled

HOST = "ew-gateway-4711.europe-west4.run.app"
AUDIENCE = "/projects/4711/locations/europe-west4/services/ew-gateway"
KEY, STRANGER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
AT = int(NOW.timestamp())
#: Seconds an assertion lives.
LIFE = 600


def public(key, kid="k1"):
    return json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())) | {"kid": kid}


def assertion(key=KEY, kid="k1", algorithm=ALGORITHM, headers=None, **changes):
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "accounts.google.com:113774264463038321964",
        "email": "listener@example.com",
        "iat": AT,
        "exp": AT + LIFE,
    }
    kept = {k: v for k, v in (claims | changes).items() if v is not None}
    # Not `jwt.encode`: it refuses to write what must be refused when read.
    said = {"kid": kid} | (headers or {})
    return jwt.PyJWS().encode(json.dumps(kept).encode(), key, algorithm, said)


FORGED = {
    "another's key": assertion(STRANGER),
    "an unknown key": assertion(kid="k2"),
    "another audience": assertion(aud=AUDIENCE + "-2"),
    "a list of audiences": assertion(aud=[AUDIENCE, "other"]),
    "another issuer": assertion(iss="https://accounts.google.com"),
    "over": assertion(iat=AT - 9 * LIFE, exp=AT - 8 * LIFE),
    "not begun": assertion(iat=AT + LIFE, exp=AT + 2 * LIFE),
    "not yet valid": assertion(nbf=AT + LEEWAY_S + 1),
    "a key brought along": assertion(headers={"jwk": {"kty": "EC"}}),
    "endless": assertion(exp=None),
    "a text for a time": assertion(exp="9999999999"),
    "nobody's": assertion(email=None),
    "unsigned": assertion(None, algorithm="none"),
    "signed with a guess": assertion("x" * 64, algorithm="HS256"),
    "empty": "",
    "garbage": "a.b.c",
}


@pytest.fixture
def settings(tmp_path):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [public(KEY)]}))
    return Settings(
        home=tmp_path / "home",
        broker_url="http://127.0.0.1:9",
        public_hosts=[HOST],
        viewer_audience=AUDIENCE,
        viewer_keys=str(keys),
    )


@pytest.fixture
def app(settings):
    made = create_app(settings)
    # The clock alone is ours: an assertion of the time these tests were read would be over by now.
    keys = key_set(settings.viewer_keys, ALGORITHM, setting="viewer_keys")
    made.state.viewers = Viewers(AUDIENCE, keys, lambda: AT)
    return made


@pytest.fixture
def client(app):
    with TestClient(app, base_url=f"https://{HOST}", raise_server_exceptions=False) as made:
        yield made


def key_of(parts, tenant):
    text, key = minted(tenant, WRITER, "", NOW, b"x" * ENTROPY_BYTES)
    parts.api_keys.add(key)
    return {"Authorization": f"Bearer {text}"}


def test_who_signed_in_opens_the_page(client):
    page = client.get("/", headers={HEADER: assertion()})

    assert page.status_code == HTTPStatus.OK
    assert "<html" in page.text


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
@pytest.mark.parametrize("path", ["/", "/v1/recordings"])
def test_a_forged_assertion_opens_nothing(client, forged, path):
    assert client.get(path, headers={HEADER: forged}).status_code == HTTPStatus.UNAUTHORIZED


def test_two_assertions_are_none(client):
    twice = [(HEADER, assertion()), (HEADER, assertion())]

    assert client.get("/", headers=twice).status_code == HTTPStatus.UNAUTHORIZED


def test_without_an_assertion_the_page_stays_shut(client):
    said = {"x-goog-authenticated-user-email": "accounts.google.com:listener@example.com"}

    assert client.get("/", headers=said).status_code == HTTPStatus.UNAUTHORIZED


def test_where_no_proxy_was_announced_an_assertion_counts_for_nothing(tmp_path):
    app = create_app(Settings(home=tmp_path, broker_url="http://127.0.0.1:9", public_hosts=[HOST]))
    with TestClient(app, base_url=f"https://{HOST}") as client:
        answer = client.get("/", headers={HEADER: assertion()})

    assert answer.status_code == HTTPStatus.UNAUTHORIZED


def test_a_program_that_signed_in_still_means_the_tenant_of_its_key(app, client):
    found = Filled(app.state.parts).done("heard.wav").id
    theirs = key_of(app.state.parts, "acme") | {HEADER: assertion()}

    everybodys = client.get(f"/v1/recordings/{found}", headers={HEADER: assertion()})
    answer = client.get(f"/v1/recordings/{found}", headers=theirs)

    assert (everybodys.status_code, answer.status_code) == (HTTPStatus.OK, HTTPStatus.NOT_FOUND)


def test_a_wrong_key_is_not_mended_by_signing_in(client):
    wrong = {"Authorization": "Bearer ew_nobody", HEADER: assertion()}

    assert client.get("/v1/recordings", headers=wrong).status_code == HTTPStatus.UNAUTHORIZED


def test_who_signed_in_changes_things_with_the_pages_token_only(app, client):
    signed_in = {HEADER: assertion()}
    wanted = {"name": "a.wav", "size": 10}

    without = client.post("/v1/uploads", json=wanted, headers=signed_in)
    token = {"X-Earwitness-Token": app.state.page_token}
    with_it = client.post("/v1/uploads", json=wanted, headers=signed_in | token)

    assert (without.status_code, with_it.status_code) == (HTTPStatus.FORBIDDEN, HTTPStatus.CREATED)


def test_a_correction_is_signed_by_who_signed_in(app, client):
    found = Filled(app.state.parts).done("heard.wav").id
    headers = {HEADER: assertion(), "X-Earwitness-Token": app.state.page_token}

    made = client.post(
        f"/v1/recordings/{found}/corrections",
        json={"base": 0, "text": "So it was."},
        headers=headers,
    )

    assert made.status_code == HTTPStatus.CREATED
    kept = app.state.parts.corrections.of(found)
    assert [correction.by.name for correction in kept] == ["listener@example.com"]


@pytest.mark.parametrize("path", ["/recordings/{}/hold", "/v1/recordings/{}/hold"])
def test_a_hold_is_that_of_who_signed_in_by_a_digest(app, client, path):
    found = Filled(app.state.parts).done("held.wav").id
    signed_in = {HEADER: assertion(), "X-Earwitness-Token": app.state.page_token}
    said = {"reason": "a claim"}

    if path.startswith("/v1/"):
        client.put(path.format(found), json=said, headers=signed_in)
    else:
        client.post(path.format(found), data=said, headers=signed_in)

    held = app.state.parts.recordings.get(found).hold
    assert held.actor == actor(Caller(viewer="listener@example.com"))


@pytest.mark.parametrize(
    ("now", "good"),
    [
        (AT - LEEWAY_S, True),
        (AT - LEEWAY_S - 1, False),
        (AT + LIFE + LEEWAY_S - 1, True),
        (AT + LIFE + LEEWAY_S, False),
    ],
    ids=["early enough", "too early", "late enough", "too late"],
)
def test_two_clocks_may_differ_by_half_a_minute(now, good):
    keys = KeySet(lambda: json.dumps({"keys": [public(KEY)]}).encode(), algorithm=ALGORITHM)
    headers = Headers({HEADER: assertion()})

    if good:
        seen = Viewers(AUDIENCE, keys, lambda: now).signed_in(headers)
        assert seen == "listener@example.com"
    else:
        with pytest.raises(InvalidApiKey):
            Viewers(AUDIENCE, keys, lambda: now).signed_in(headers)


def test_a_file_without_such_keys_is_said_at_the_start(settings, tmp_path):
    (tmp_path / "keys.json").write_text('{"keys": []}')

    with pytest.raises(InvalidSettings, match="EARWITNESS_VIEWER_KEYS"):
        create_app(settings)
