"""One service with the echo engine for all stream tests that do not end it."""

import pytest

from local import push_keys
from local.push_keys import PushKeys
from shared.settings import load
from shared.wiring import clock
from tests.streaming.serving import running


def given(home, **more):
    """Settings of a service and of its gateway in this HOME."""
    keys = PushKeys(home / "keys", clock)
    usual = {
        "push_issuer": push_keys.ISSUER,
        "push_audience": push_keys.AUDIENCE,
        "push_email": push_keys.EMAIL,
        "push_subject": push_keys.SUBJECT,
        "push_keys": str(keys.jwks),
        "gateway_email": push_keys.GATEWAY_EMAIL,
        "gateway_subject": push_keys.GATEWAY_SUBJECT,
        "signing_key": keys.pem,
        "cascade": {"transcribe": ["echo"], "classify": []},
        "slots": 2,
        "decoders": 1,
    }
    return load(home=home, **usual | more)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with running(given(tmp_path_factory.mktemp("home"), streams=8)) as up:
        yield up
