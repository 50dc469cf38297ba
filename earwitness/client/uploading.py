"""mint -> send -> (where it broke off: ask how far it came -> send the rest)* -> one recording.

The same steps serve the gateway of one machine and a session of Cloud Storage. Source: Cloud
Storage, "Perform resumable uploads".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
from pydantic import ValidationError

from earwitness.client.calls import Door, understood
from earwitness.client.errors import CircuitOpen, ConnectionLost, NotUnderstood, failure
from earwitness.client.patience import Tries
from earwitness.client.sources import Body, Progress, Source
from earwitness.client.steps import Flow, Send
from shared.domain.api import Minted, Taken, Wanted
from shared.errors import EarwitnessError

#: The answer to a request that leaves an upload unfinished.
UNFINISHED = httpx.codes.PERMANENT_REDIRECT
_HELD = re.compile(r"bytes=0-(\d{1,15})")


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What was handed over; `id` is the recording it becomes."""

    id: str
    name: str
    size_bytes: int
    object_name: str  #: last part of the object's name in the bucket


def upload(door: Door, source: Source, wanted: Wanted, progress: Progress) -> Flow[Uploaded]:
    """Hand the source over, whole and once.

    Raises:
        EarwitnessError: it was refused, or there was no progress for as long as `door.patience`
            lasts. Where bytes may have arrived, its context says which `recording_id` they
            would become: starting anew may make a second recording of the same sound.
    """
    answer = yield from door.ask("POST", "/v1/uploads", told=wanted)
    minted = understood(Minted, answer)
    try:
        taken = yield from _Sending(door, source, minted, progress).run()
    except EarwitnessError as error:
        error.context["recording_id"] = minted.recording_hint
        raise
    progress(source.size_bytes, source.size_bytes)
    key = urlsplit(minted.url).path.rpartition("/")[2]
    return Uploaded(_id(taken, minted), wanted.name, wanted.size, key)


def _id(taken: httpx.Response, minted: Minted) -> str:
    """Google's bucket knows an object's generation, and so the id, when the object is there."""
    try:
        return Taken.model_validate_json(taken.content).recording_hint
    except ValidationError:
        return minted.recording_hint


class _Sending:
    def __init__(self, door: Door, source: Source, minted: Minted, progress: Progress) -> None:
        self._door, self._source, self._minted, self._progress = door, source, minted, progress
        self._tries = Tries(door.patience, door.clock, _helps)
        self._begun = False
        self._held = 0  #: the most bytes the other side ever said it holds

    def run(self) -> Flow[httpx.Response]:
        """The answer to the request that completed it."""
        return (yield from self._tries.run(self._attempt))

    def _attempt(self) -> Flow[httpx.Response]:
        start = 0
        if self._begun:
            answer = yield from self._put({"Content-Range": f"bytes */{self._size}"}, b"")
            if answer.is_success:
                return answer  # all was there; only its answer had been lost
            start = self._advanced(_held_bytes(answer))
        rest = Body(self._source, start, self._progress)
        answer = yield from self._put(self._rest_headers(rest), rest)
        if not answer.is_success:
            raise ConnectionLost("The upload came in part.")
        return answer

    def _advanced(self, held: int) -> int:
        """A step forward is worth all patience anew, so that hours of uploading outlast a bad
        line, and a line that lets nothing through does not."""
        if held > self._held:
            self._tries.refresh()
            self._held = held
        return held

    def _rest_headers(self, rest: Body) -> dict[str, str]:
        headers = {**self._minted.headers, "Content-Length": str(rest.length)}
        if self._begun and rest.length:
            headers["Content-Range"] = f"bytes {rest.start}-{self._size - 1}/{self._size}"
        return headers

    def _put(self, headers: Mapping[str, str], content: bytes | Body) -> Flow[httpx.Response]:
        """An answer of success, or one that says how far it came."""
        if isinstance(content, Body):
            self._begun = True
        # Who we are is told to the gateway alone: this address may be another's.
        step = Send(self._minted.method, self._minted.url, headers=headers, content=content)
        answer = yield from self._door.send(step)
        if not answer.is_success and answer.status_code != UNFINISHED:
            raise failure(answer)
        return answer

    @property
    def _size(self) -> int:
        return self._source.size_bytes


def _helps(error: BaseException) -> bool:
    # An upload waits until the breaker lets it find out.
    return isinstance(error, EarwitnessError) and (
        error.retryable or isinstance(error, CircuitOpen)
    )


def _held_bytes(answer: httpx.Response) -> int:
    """What a Range header says is held; nothing without one."""
    given = answer.headers.get("range")
    if given is None:
        return 0
    match = _HELD.fullmatch(given)
    if match is None:
        raise NotUnderstood(status=answer.status_code)
    return int(match[1]) + 1
