"""The stream of events: what one says, and when a stream that broke off is opened again."""

import httpx
from httpx_sse import ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from earwitness.client.calls import Door
from earwitness.client.errors import NotUnderstood
from earwitness.client.patience import Tries
from shared.errors import EarwitnessError

#: Seconds of silence after which a stream is taken for dead; the gateway beats every 15.
SILENCE_S = 45.0
STREAM_TIMEOUT = httpx.Timeout(10.0, read=SILENCE_S)


class Changed(BaseModel):
    """Something may look different now; look again."""

    model_config = ConfigDict(frozen=True)

    changed: int = Field(description="Another number than before; it has no other meaning.")


def heard(event: ServerSentEvent) -> Changed:
    try:
        return Changed.model_validate_json(event.data)
    except ValidationError as error:
        raise NotUnderstood from error


class Reopening:
    """After a break the pause before the next try; a stream that said something begins anew."""

    def __init__(self, door: Door) -> None:
        self._tries = Tries(door.patience, door.clock, _helps)

    def heard(self) -> None:
        self._tries.refresh()

    def after(self, error: EarwitnessError) -> float:
        """Seconds to wait, or raises `error` where that will not help."""
        return self._tries.pause_s(error)


def _helps(error: BaseException) -> bool:
    return isinstance(error, EarwitnessError) and error.retryable
