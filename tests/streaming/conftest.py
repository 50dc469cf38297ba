"""One service with the echo engine for all stream tests that do not end it."""

import pytest

from shared.settings import load
from tests.streaming.serving import running


def given(home, **more):
    usual = {
        "push_email": "push@earwitness.local",
        "push_subject": "local-push",
        "cascade": {"transcribe": ["echo"], "classify": []},
        "slots": 2,
        "decoders": 1,
    }
    return load(home=home, **usual | more)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with running(given(tmp_path_factory.mktemp("home"), streams=8)) as up:
        yield up
