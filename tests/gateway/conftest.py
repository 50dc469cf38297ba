"""A gateway over a store in a temporary HOME, filled through the ports."""

import pytest
from fastapi.testclient import TestClient

from gateway.main import create_app
from shared.settings import Settings
from tests.gateway.testimony import Filled
from tests.laid_out import laid_out

HOST = "127.0.0.1:8080"


@pytest.fixture
def settings(tmp_path):
    return Settings(home=laid_out(tmp_path / "home"), broker_url="http://127.0.0.1:9")


@pytest.fixture
def app(settings):
    return create_app(settings)


@pytest.fixture
def store(app):
    return Filled(app.state.parts)


@pytest.fixture
def client(app):
    """Comes from this machine, with the page's token; failures of ours are answers, not raised."""
    with TestClient(app, base_url=f"http://{HOST}", raise_server_exceptions=False) as made:
        made.headers["X-Earwitness-Token"] = app.state.page_token
        yield made
