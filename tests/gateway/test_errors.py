"""Every failure has one shape, says what to do, and tells nothing of our insides."""

from dataclasses import replace

import pytest
from fastapi import Request

from gateway import errors
from shared import errors as e


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/recordings/none", 404, "not_found"),
        ("GET", "/static/nothing.js", 404, "not_found"),
        ("DELETE", "/v1/recordings", 405, "method_not_allowed"),
        ("GET", "/v1/recordings?limit=0", 422, "invalid_request"),
        ("GET", "/v1/recordings?limit=201", 422, "invalid_request"),
        ("GET", "/v1/recordings?state=happy", 422, "invalid_request"),
        ("GET", "/v1/recordings?tenant=NOT%20ONE", 422, "invalid_request"),
        ("GET", "/v1/recordings?before=%C3%A9", 400, "invalid_request"),
        ("GET", f"/v1/recordings/{'x' * 65}", 422, "invalid_request"),
        ("GET", f"/v1/search?q={'x' * 501}", 422, "invalid_request"),
        ("POST", "/v1/dead-letters/none/replay", 404, "not_found"),
    ],
)
def test_failures_have_one_shape(client, method, path, status, code):
    answer = client.request(method, path)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]


def test_wrong_parameter_is_named(client):
    error = client.get("/v1/recordings?limit=many").json()["error"]

    assert error["param"] == "limit"


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"", b"\xff", b'{"name": "\\ud800"}'])
def test_malformed_json_is_a_422_that_echoes_nothing(client, body):
    headers = {"Content-Type": "application/json"}

    answer = client.post("/v1/uploads", content=body, headers=headers)

    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["code"] in ("invalid_request", "bad_request")


def test_param_of_strange_keys_is_plain_text(client):
    body = '{"name": "a", "size": 1, "metadata": {"\\ud800\\n": 3}}'

    answer = client.post("/v1/uploads", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 422
    assert answer.json()["error"]["param"].isascii()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (e.NotFound(), 404),
        (e.UnknownTenant(), 404),
        (e.Forbidden(), 403),
        (e.WrongState(), 409),
        (e.AudioTooLarge(), 413),
        (errors.TooLarge(), 413),
        (e.InvalidRequest(), 400),
        (e.InvalidWish(), 422),
        (e.EmptyAudio(), 422),
        (e.StoreUnavailable(), 503),
        (e.DiskFull(), 503),
        (e.BrokerUnavailable(), 503),
        (e.StaleLease(), 500),
    ],
    ids=lambda value: getattr(value, "code", str(value)),
)
def test_status_follows_from_the_failure(error, status):
    assert errors.status_of(error) == status


class Broken:
    """Stands in the place of recordings and fails as told."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def page(self, *_: object, **__: object) -> None:
        raise self._error


def break_store(app, error):
    app.state.parts = replace(app.state.parts, recordings=Broken(error))


@pytest.mark.parametrize("error", [e.StoreUnavailable(detail="/secret/path"), e.DiskFull()])
def test_store_in_trouble_says_when_to_come_back(app, client, error):
    break_store(app, error)

    answer = client.get("/healthz")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, str(errors.RETRY_AFTER_S))
    assert answer.json()["error"]["message"] == str(type(error)())
    assert "secret" not in answer.text


def test_unforeseen_failure_tells_nothing_of_our_insides(app, client):
    break_store(app, RuntimeError("/secret/path token=abc"))

    answer = client.get("/v1/recordings")

    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert "secret" not in answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/recordings/none", "text/html"),
        ("/nothing", "text/html"),
        ("/v1/recordings/none", "application/json"),
    ],
)
def test_people_get_a_page_and_programs_get_json(client, path, kind):
    answer = client.get(path, headers={"Accept": "text/html,*/*"})

    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith(kind)


def test_form_that_fails_gets_a_page(client, store):
    done, token = store.done(), client.headers.pop("X-Earwitness-Token")

    answer = client.post(
        f"/v1/dead-letters/{done.id}/replay",
        data={"token": token},
        headers={"Accept": "text/html"},
    )

    assert answer.status_code == 409
    assert "only dead letters can be replayed" in answer.text
    assert "<html" in answer.text


def test_answer_never_shows_the_context(app):
    scope = {"type": "http", "headers": [], "method": "GET", "path": "/v1/x", "app": app}
    scope |= {"query_string": b"", "server": ("127.0.0.1", 1), "scheme": "http"}

    answer = errors.answer(Request(scope), e.NotFound(file="/secret/path"))

    assert b"secret" not in bytes(answer.body)
