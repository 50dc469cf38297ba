"""Who the gateway is, told by HOME's key and by Google's metadata server (a small one of ours)."""

import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlparse

import jwt
import pytest

from local.push_keys import PushKeys
from shared.adapters.embedded.home_identity import LIFETIME, MARGIN, Claims, identity
from shared.adapters.gcp.google_identity import MARGIN_S, GoogleIdentity
from shared.errors import IdentityUnavailable
from tests.builders import NOW

CLAIMS = Claims("https://issuer", "earwitness", "gateway@example.com", "7")


class MetadataServer(HTTPServer):
    """Answers as Google's does: an ID token of whoever runs here, for the audience asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Metadata)
        self.asked, self.foreign = 0, False


class _Metadata(BaseHTTPRequestHandler):
    def do_GET(self):
        asked = urlparse(self.path)
        if asked.path.endswith("/identity"):
            self.server.asked += 1
            claims = {"aud": parse_qs(asked.query)["audience"][0], "exp": int(time.time()) + 3600}
            token = jwt.encode(claims, "x" * 32, algorithm="HS256")
            self._answer(token, "application/text")
        else:
            self._answer('{"email": "gateway@example.com"}', "application/json")

    def _answer(self, body, kind):
        self.send_response(200)
        if not self.server.foreign:
            self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        """Nobody reads it."""


@pytest.fixture
def metadata(monkeypatch):
    with MetadataServer() as server:
        address = f"127.0.0.1:{server.server_port}"
        monkeypatch.setenv("GCE_METADATA_HOST", address)
        monkeypatch.setenv("GCE_METADATA_IP", address)
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def claims_in(authorization):
    scheme, _, token = authorization.partition(" ")
    assert scheme == "Bearer"
    return jwt.decode(token, options={"verify_signature": False})


def test_home_vouches_and_renews_in_time(tmp_path):
    at = [NOW]
    keys = PushKeys(tmp_path, lambda: at[0])
    ours = identity(keys.pem, CLAIMS, lambda: at[0])

    first = ours.authorization()
    at[0] = NOW + LIFETIME - MARGIN - timedelta(seconds=1)
    same = ours.authorization()
    at[0] = NOW + LIFETIME - MARGIN
    renewed = ours.authorization()

    claims = claims_in(first)
    assert (claims["iss"], claims["aud"]) == ("https://issuer", "earwitness")
    assert (claims["email"], claims["sub"]) == ("gateway@example.com", "7")
    assert first == same != renewed


def test_google_vouches_for_the_audience_and_is_asked_again_in_time(metadata):
    now = [time.time()]
    google = GoogleIdentity("earwitness", lambda: now[0])

    first, same = google.authorization(), google.authorization()
    asked_once = metadata.asked
    now[0] = claims_in(first)["exp"] - MARGIN_S
    google.authorization()

    assert claims_in(first)["aud"] == "earwitness"
    assert first == same
    assert (asked_once, metadata.asked) == (1, 2)


def test_nobody_vouches_where_google_does_not_answer(metadata):
    metadata.foreign = True

    with pytest.raises(IdentityUnavailable):
        GoogleIdentity("earwitness").authorization()
