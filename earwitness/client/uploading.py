"""mint -> send it whole, or begin a session -> (where it broke off: ask how far it came -> send the
rest)* -> one recording.

The same steps serve Cloud Storage's bucket and the gateway of one machine. Source: Cloud Storage,
"Signed URLs" and "Perform resumable uploads".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import httpx
from pydantic import ValidationError

from earwitness.client.calls import Door, understood
from earwitness.client.errors import CircuitOpen, ConnectionLost, NotUnderstood, upload_failure
from earwitness.client.patience import Tries
from earwitness.client.sources import Body, Progress, Source
from earwitness.client.steps import Flow, Send
from shared.domain.api import Minted, Resumable, Taken, Wanted
from shared.errors import EarwitnessError

#: The answer to a request that leaves an upload unfinished.
UNFINISHED = httpx.codes.PERMANENT_REDIRECT
#: Something lies under this name already. Nobody but us was told the name.
THERE = httpx.codes.PRECONDITION_FAILED
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
        taken = yield from _sending(door, source, minted, progress).run()
        known = yield from _id(door, taken, minted)
    except EarwitnessError as error:
        error.context["recording_id"] = minted.recording_hint
        raise
    progress(source.size_bytes, source.size_bytes)
    key = urlsplit(minted.url).path.rpartition("/")[2]
    return Uploaded(known, wanted.name, wanted.size, key)


def _sending(
    door: Door, source: Source, minted: Minted, progress: Progress
) -> "_AtOnce | _InSession":
    if minted.resumable is None:
        return _AtOnce(door, source, minted, progress)
    return _InSession(door, source, minted.resumable, progress)


def _id(door: Door, taken: httpx.Response, minted: Minted) -> Flow[str]:
    """The gateway of one machine tells it with the bytes; a bucket knows no recordings, but the
    gateway knows the bucket's objects, and so the id, when the object is there."""
    try:
        return Taken.model_validate_json(taken.content).recording_hint
    except ValidationError:
        if minted.status_url is None:
            return minted.recording_hint
    answer = yield from door.ask("GET", urlsplit(minted.status_url).path)
    return understood(Taken, answer).recording_hint


class _AtOnce:
    """One request with all of it; what breaks off is sent again from its beginning."""

    def __init__(self, door: Door, source: Source, minted: Minted, progress: Progress) -> None:
        self._door, self._source, self._minted, self._progress = door, source, minted, progress
        self._begun = False

    def run(self) -> Flow[httpx.Response]:
        """The answer to the request that completed it."""
        return (yield from Tries(self._door.patience, self._door.clock, _helps).run(self._attempt))

    def _attempt(self) -> Flow[httpx.Response]:
        minted, whole = self._minted, Body(self._source, 0, self._progress)
        headers = {**minted.headers, "Content-Length": str(whole.length)}
        again, self._begun = self._begun, True
        # Who we are is told to the gateway alone: this address may be another's.
        step = Send(minted.method, minted.url, headers=headers, content=whole)
        answer = yield from self._door.send(step)
        # All was there before; only the answer to it had been lost.
        if answer.is_success or (again and answer.status_code == THERE):
            return answer
        raise upload_failure(answer)


class _InSession:
    """A session, of which what breaks off goes on where it stopped."""

    def __init__(
        self, door: Door, source: Source, resumable: Resumable, progress: Progress
    ) -> None:
        self._door, self._source, self._progress = door, source, progress
        self._resumable = resumable
        self._tries = Tries(door.patience, door.clock, _helps)
        self._session: str | None = None
        self._begun = False
        self._held = 0  #: the most bytes the other side ever said it holds

    def run(self) -> Flow[httpx.Response]:
        """The answer to the request that completed it."""
        return (yield from self._tries.run(self._attempt))

    def _attempt(self) -> Flow[httpx.Response]:
        session = self._session or (yield from self._begin())
        start = 0
        if self._begun:
            answer = yield from self._put(session, {"Content-Range": f"bytes */{self._size}"}, b"")
            if answer.status_code != UNFINISHED:
                return answer  # all was there; only its answer had been lost
            start = self._advanced(_held_bytes(answer))
        rest = Body(self._source, start, self._progress)
        answer = yield from self._put(session, self._rest_headers(rest), rest)
        if answer.status_code == UNFINISHED:
            raise ConnectionLost("The upload came in part.")
        return answer

    def _begin(self) -> Flow[str]:
        """Where the bytes go. One whose answer was lost is left behind; it holds nothing."""
        asked = self._resumable
        step = Send(asked.method, asked.url, headers={**asked.headers, "Content-Length": "0"})
        answer = yield from self._door.send(step)
        if not answer.is_success:
            raise upload_failure(answer)
        where = answer.headers.get("location")
        if where is None:
            raise NotUnderstood(status=answer.status_code)
        self._session = urljoin(asked.url, where)
        return self._session

    def _advanced(self, held: int) -> int:
        """A step forward is worth all patience anew, so that hours of uploading outlast a bad
        line, and a line that lets nothing through does not."""
        if held > self._held:
            self._tries.refresh()
            self._held = held
        return held

    def _rest_headers(self, rest: Body) -> dict[str, str]:
        headers = {"Content-Length": str(rest.length)}
        if self._begun and rest.length:
            headers["Content-Range"] = f"bytes {rest.start}-{self._size - 1}/{self._size}"
        return headers

    def _put(
        self, session: str, headers: Mapping[str, str], content: bytes | Body
    ) -> Flow[httpx.Response]:
        """An answer of success, one that says how far it came, or that it is there already."""
        again = self._begun
        if isinstance(content, Body):
            self._begun = True
        step = Send("PUT", session, headers=headers, content=content)
        answer = yield from self._door.send(step)
        fine = answer.is_success or answer.status_code == UNFINISHED
        if not fine and not (again and answer.status_code == THERE):
            raise upload_failure(answer)
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
