"""A whole `earwitness up` with the echo engine in front, for tests that come from outside."""

from tests.journeys.running import ECHO, Up

#: Bytes and seconds the service takes here: small, so that too much is quickly made.
MAX_BYTES, MAX_SECONDS = 2 << 20, 40.0
LIMITS = {
    "EARWITNESS_API_MAX_BYTES": str(MAX_BYTES),
    "EARWITNESS_API_MAX_SECONDS": str(MAX_SECONDS),
    "EARWITNESS_DECODERS": "1",
}


class Listener(Up):
    """What answers at `url`."""

    def __init__(self, home, **environment):
        super().__init__(home, **{**ECHO, **LIMITS, **environment})

    @property
    def url(self):
        return f"{self.note()['url']}/v1"
