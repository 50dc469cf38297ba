"""The way back in after the line broke: tokens, and streams that wait for their clients."""

import base64
import binascii
import hmac
import json
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Generic, TypeVar

from shared.errors import InvalidStream, ResumeLost

#: Seconds on a clock that never goes back.
Seconds = Callable[[], float]
Kept = TypeVar("Kept")
#: Bytes of the signature: 128 bit cannot be guessed in the seconds a token lives.
MAC_BYTES = 16


@dataclass(frozen=True, slots=True)
class Claim:
    """What a token says."""

    stream: str
    sample: int  #: of the client's count: all before was told, in finals
    segment: int  #: the next one

    @property
    def lost(self) -> ResumeLost:
        """What to answer where the stream is gone: it names the sample, which needs no trust."""
        return ResumeLost(
            f"What was heard of this stream is gone. Begin a new one with start_sample"
            f" {self.sample} and start_segment {self.segment}.",
            sample=self.sample,
            segment=self.segment,
        )


class Tokens:
    """Signs and reads tokens with a key that lives as long as this process, as the streams do."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def signed(self, claim: Claim) -> str:
        body = json.dumps(asdict(claim), separators=(",", ":")).encode()
        return f"{_text(body)}.{_text(self._mac(body))}"

    def read(self, token: str) -> tuple[Claim, bool]:
        """The claim, and whether we signed it.

        Raises:
            InvalidStream: it is no token at all.
        """
        try:
            body, mac = (_bytes(part) for part in token.split("."))
            said = json.loads(body)
            claim = Claim(str(said["stream"]), int(said["sample"]), int(said["segment"]))
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise InvalidStream("This is no resume token of ours.") from error
        return claim, hmac.compare_digest(mac, self._mac(body))

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, sha256)[:MAC_BYTES]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Parked(Generic[Kept]):
    """What waits for a client to come back: at most `room`, each for `patience_s`."""

    def __init__(self, room: int, patience_s: float, now: Seconds = time.monotonic) -> None:
        self._room, self._patience_s, self._now = room, patience_s, now
        self._waiting: OrderedDict[str, tuple[float, Kept]] = OrderedDict()

    def __len__(self) -> int:
        self.sweep()
        return len(self._waiting)

    def put(self, name: str, kept: Kept) -> None:
        """Keep it; whoever waited longest goes if there is no room."""
        self.sweep()
        while len(self._waiting) >= self._room:
            self._waiting.popitem(last=False)
        self._waiting[name] = (self._now() + self._patience_s, kept)

    def take(self, name: str) -> Kept | None:
        """Give it back, once; None if it is not, or no longer, there."""
        self.sweep()
        _, kept = self._waiting.pop(name, (0.0, None))
        return kept

    def sweep(self) -> None:
        """Forget those whose time is over."""
        now = self._now()
        while self._waiting and next(iter(self._waiting.values()))[0] <= now:
            self._waiting.popitem(last=False)
