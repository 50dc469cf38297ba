"""S4: what is not exactly our token is refused, at the door of the real service."""

import json
from http import HTTPStatus

import httpx
import pytest

from gpu_service.main import create_app
from gpu_service.push_tokens import MAX_TOKEN, PushTokens
from shared.errors import ForgedTicket, InvalidSettings, KeysUnavailable
from shared.key_sets import FRESH_S, PAUSE_S, KeySet
from shared.settings import load
from shared.signed_tokens import LEEWAY_S
from tests.gpu_service.key_server import KeyServer
from tests.gpu_service.tokens import (
    FORGED,
    HOUR,
    IDENTITY,
    KEY,
    KEYS,
    NOW,
    OURS,
    STRANGER,
    bearer,
    public,
    token,
)

TICKET = {"message": {"data": "eyJ2IjoxLCJsYW5lIjoiaGlnaCJ9", "messageId": "1"}}


class Owner:
    """Publishes keys, and is down on demand."""

    def __init__(self):
        self.document, self.down, self.asked = KEYS, False, 0

    def __call__(self):
        self.asked += 1
        if self.down:
            raise OSError("down")
        return json.dumps(self.document).encode()


class Clock:
    def __init__(self, at=NOW):
        self.at = at

    def __call__(self):
        return self.at


@pytest.fixture
def owner():
    return Owner()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tokens(owner, clock):
    return PushTokens(load(**IDENTITY), KeySet(owner, clock), clock)


@pytest.fixture(scope="module")
def key_server(tmp_path_factory):
    with (
        KeyServer(tmp_path_factory.mktemp("keys"), KEYS) as server,
        pytest.MonkeyPatch.context() as m,
    ):
        m.setenv("SSL_CERT_FILE", str(server.certificate))
        yield server


@pytest.fixture(scope="module")
def app(tmp_path_factory, key_server):
    """The real service; nothing of it is started, for nothing is to be heard."""
    settings = load(
        home=tmp_path_factory.mktemp("home"),
        push_keys=key_server.url,
        cascade={"transcribe": ["echo"], "classify": []},
        **IDENTITY,
    )
    return create_app(settings)


async def push(app, authorization, path="/pubsub/tickets"):
    headers = [("authorization", said.encode()) for said in authorization]
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://service"
    ) as client:
        return await client.post(path, json=TICKET, headers=headers)


@pytest.mark.parametrize("authorization", OURS.values(), ids=OURS.keys())
async def test_our_push_is_taken(app, authorization):
    assert (await push(app, authorization)).status_code == HTTPStatus.NO_CONTENT


@pytest.mark.parametrize("authorization", FORGED.values(), ids=FORGED.keys())
async def test_a_forgery_is_refused(app, authorization):
    await push(app, bearer())

    answer = await push(app, authorization)

    assert (answer.status_code, answer.content) == (HTTPStatus.FORBIDDEN, b"")


async def test_a_token_in_the_query_is_none(app):
    path = f"/pubsub/tickets?access_token={token()}&authorization=Bearer%20{token()}"

    assert (await push(app, [], path)).status_code == HTTPStatus.FORBIDDEN


async def test_forgeries_do_not_make_us_ask_for_the_keys_each_time(app, key_server):
    await push(app, bearer())
    asked = key_server.asked

    for n in range(20):
        await push(app, bearer(kid=f"guess-{n}"))

    assert key_server.asked - asked <= 1


async def test_the_length_of_a_token_is_bounded_on_both_sides(tokens):
    room = MAX_TOKEN - len(f"Bearer {token(pad='')}")
    longest = bearer(pad="x" * (room * 3 // 4 - 3))

    tokens.verify(longest)
    with pytest.raises(ForgedTicket):
        tokens.verify([longest[0] + "A" * (MAX_TOKEN + 1 - len(longest[0]))])


def test_a_known_token_is_looked_up_and_a_changed_one_is_not(tokens):
    tokens.verify(bearer())

    assert tokens.knows(bearer())
    assert not tokens.knows([bearer()[0] + "x"])
    assert not tokens.knows([*bearer(), *bearer()])
    assert not tokens.knows([])


def test_a_known_token_is_replayed_after_its_end_in_vain(tokens, clock):
    tokens.verify(bearer())
    clock.at = NOW + HOUR + LEEWAY_S - 1
    tokens.verify(bearer())
    clock.at += 1

    assert not tokens.knows(bearer())
    with pytest.raises(ForgedTicket):
        tokens.verify(bearer())


def test_many_tokens_are_ours_at_once(tokens):
    many = [bearer(azp=str(n)) for n in range(20)]

    for one in many:
        tokens.verify(one)

    assert tokens.knows(many[-1])


def test_a_new_key_is_found_when_it_first_signs(tokens, owner, clock):
    tokens.verify(bearer())
    owner.document = {"keys": [public(KEY), public(STRANGER, "k2")]}
    clock.at += PAUSE_S

    tokens.verify(bearer(STRANGER, "k2"))

    assert owner.asked == 2


def test_a_withdrawn_key_signs_no_longer_than_the_set_counts(tokens, owner, clock):
    tokens.verify(bearer(exp=NOW + 9 * HOUR))
    owner.document = {"keys": [public(STRANGER, "k2")]}
    clock.at += FRESH_S

    with pytest.raises(ForgedTicket):
        tokens.verify(bearer(exp=NOW + 9 * HOUR, azp="another"))


def test_without_the_keys_nobody_can_tell(tokens, owner, clock):
    """Neither accepted nor refused: the platform rings again, and is heard then."""
    owner.down = True
    for ours in (bearer(), bearer(STRANGER, "k2")):
        with pytest.raises(KeysUnavailable):
            tokens.verify(ours)
    owner.down = False
    clock.at += PAUSE_S

    tokens.verify(bearer())

    assert owner.asked == 2


def test_an_owner_that_is_down_later_is_needed_for_new_keys_only(tokens, owner, clock):
    tokens.verify(bearer())
    owner.down = True
    clock.at += PAUSE_S

    tokens.verify(bearer(azp="another"))
    with pytest.raises(KeysUnavailable):
        tokens.verify(bearer(STRANGER, "k2"))
    clock.at = NOW + FRESH_S
    with pytest.raises(KeysUnavailable):
        tokens.verify(bearer(exp=NOW + 9 * HOUR))


def owner_says(status, document, location=""):
    return {"status": status, "document": document, "location": location}


ODD = {
    "error": owner_says(500, KEYS),
    "moved": owner_says(302, KEYS, "http://127.0.0.1:9/certs"),
    "no keys": owner_says(200, {"keys": []}),
    "no key set": owner_says(200, []),
    "only others' kinds": owner_says(200, {"keys": [KEYS["keys"][1]]}),
    "too large": owner_says(200, {"keys": KEYS["keys"], "pad": "x" * 2_000_000}),
}


@pytest.mark.parametrize("said", ODD.values(), ids=ODD.keys())
async def test_an_owner_that_says_odd_things_is_asked_again(tmp_path, monkeypatch, said):
    with KeyServer(tmp_path, KEYS) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        vars(server).update(said)
        app = create_app(load(home=tmp_path, push_keys=server.url, **IDENTITY))

        answer = await push(app, bearer())

    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert app.state.house.pushes == {"keys_unavailable": 1}


async def test_a_key_server_that_nobody_vouches_for_is_not_believed(tmp_path, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with KeyServer(tmp_path, KEYS) as server:
        app = create_app(load(home=tmp_path, push_keys=server.url, **IDENTITY))

        answer = await push(app, bearer())

    assert (answer.status_code, server.asked) == (HTTPStatus.SERVICE_UNAVAILABLE, 0)


def test_keys_may_lie_in_a_file_that_is_read_again(tmp_path, clock):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(KEYS))
    tokens = PushTokens(load(push_keys=str(path), **IDENTITY))

    tokens.verify(bearer())

    with pytest.raises(ForgedTicket):
        tokens.verify(bearer(STRANGER))


def test_without_an_identity_the_service_does_not_start():
    with pytest.raises(InvalidSettings):
        PushTokens(load())


@pytest.mark.parametrize("content", [None, "no json", '{"keys": []}', '{"keys": [{"kty": "x"}]}'])
def test_an_unreadable_key_set_is_said_at_start(tmp_path, content):
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)

    with pytest.raises(InvalidSettings):
        PushTokens(load(push_keys=str(path), **IDENTITY))


def test_keys_over_plain_http_are_refused_at_start():
    with pytest.raises(InvalidSettings):
        PushTokens(load(push_keys="http://127.0.0.1:9/certs", **IDENTITY))
