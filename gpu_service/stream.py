"""`WS /v1/audio/stream`: who may come in, who goes on where they were, and how it ends."""

import asyncio
import contextlib
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from gpu_service.house import House
from gpu_service.openai_api import failures
from gpu_service.openai_api.callers import gateway_tokens, tenant_of, verified
from gpu_service.streaming import asking, protocol
from gpu_service.streaming.conversation import DIRECTIONS, Bounds, Conversation, Gone, Workers
from gpu_service.streaming.listening import Piece
from gpu_service.streaming.protocol import Config, Reply, Resume
from gpu_service.streaming.resuming import Parked, Tokens
from gpu_service.streaming.session import Session
from shared import errors as e
from shared.domain.answers import Answer
from shared.domain.tenants import Tenant
from shared.logs import say

log = logging.getLogger("earwitness.stream")
router = APIRouter()

#: Seconds the first message may take.
OPENING_S = 10.0
#: Bytes. A token is some 130; whoever sends more did not mean to open a stream.
MAX_OPENING = 4 << 10
#: Threads that look for speech. It takes 0.2 % of real time, so two keep up with 900 streams.
HEARERS = 2
#: Close codes. Source: RFC 6455, section 7.4.1, and the IANA WebSocket close code registry.
NORMAL, AWAY, UNSUPPORTED, INVALID, POLICY, INTERNAL, LATER = (
    *(1000, 1001, 1003, 1007, 1008),
    *(1011, 1013),
)
CLOSES: dict[type[e.EarwitnessError], int] = {
    e.ServiceStopping: AWAY,
    e.UnexpectedText: UNSUPPORTED,
    e.GarbageInStream: INVALID,
    e.SlowReader: LATER,
    e.TooManyStreams: LATER,
    e.EngineUnavailable: LATER,
    e.EngineDied: LATER,
}


class Streams:
    """The streams of this process: those that talk, and those that wait for their client."""

    def __init__(self, house: House, answered: Callable[[Answer], None] = lambda _: None) -> None:
        """`answered` is shown what engines say, from any thread."""
        s = house.settings
        self._house, self._answered, self.places = house, answered, s.streams
        self._workers = Workers(
            ThreadPoolExecutor(HEARERS, thread_name_prefix="stream-hear"),
            ThreadPoolExecutor(s.streams, thread_name_prefix="stream-ask"),
        )
        self.bounds = Bounds(s.stream_s, s.stream_idle_s)
        self._gateway = gateway_tokens(s)
        self._tokens = Tokens(secrets.token_bytes(32))
        self.parked: Parked[Session] = Parked(s.streams, s.stream_resume_s)
        self.talking: dict[str, tuple[Conversation, asyncio.Task[Any]]] = {}
        self.taken = 0
        self.ended: Counter[str] = Counter(done=0)  #: by what became of them
        self._bytes: Counter[str] = Counter(dict.fromkeys(DIRECTIONS, 0))  # of those that are over

    @property
    def bytes(self) -> dict[str, int]:
        """Bytes that came and went, by direction; also of streams that go on."""
        now = [talk.bytes for talk, _ in list(self.talking.values())]
        return {way: self._bytes[way] + sum(one[way] for one in now) for way in DIRECTIONS}

    async def tenant(self, line: WebSocket) -> str:
        """Whose sound it is: the gateway says so, who alone may open a stream here.

        Raises:
            ForgedTicket: somebody else calls. InvalidRequest, UnknownTenant: it names none.
        """
        await verified(self._gateway, line)
        found = await asyncio.to_thread(tenant_of, line, self._house.parts)
        return found.id

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for one connection.

        Raises:
            ServiceStopping, TooManyStreams: there is none.
        """
        if self._house.stopping:
            raise e.ServiceStopping
        if self.taken >= self.places:
            raise e.TooManyStreams
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    async def session(self, opening: Config | Resume, tenant: str) -> tuple[Session, list[Reply]]:
        """A new session, or the one a client comes back to with the finals it missed.

        Raises:
            InvalidStream, ResumeLost.
        """
        if isinstance(opening, Config):
            self.engines(opening)
            return Session(secrets.token_hex(8), tenant, opening), []
        claim, ours = self._tokens.read(opening.resume)
        if not ours:
            raise claim.lost
        await self._evicted(claim.stream)
        known = self.parked.take(claim.stream)
        again = known.again(claim.segment) if known and known.tenant == tenant else None
        if known is None or again is None:
            raise claim.lost
        return known, again

    def engines(self, config: Config) -> tuple[str, ...]:
        cascade = self._house.settings.cascade.transcribe
        return asking.chosen(config.engine, config.language, cascade, self._house.servers)

    async def talk(self, line: WebSocket, session: Session, again: list[Reply]) -> None:
        """Talk until it is over; a session that is not stays for its client to come back.

        Raises:
            Gone, EarwitnessError: as Conversation.run.
        """
        # As its rules are now: a stream lasts an hour at most.
        tenant = await asyncio.to_thread(self._house.parts.tenants.get, session.tenant)
        talk = Conversation(
            line,
            session,
            self._heard,
            workers=self._workers,
            bounds=self.bounds,
            signed=self._tokens.signed,
            charge=partial(self._house.allowance.charge, _known(tenant)),
        )
        task = asyncio.current_task()
        assert task is not None
        self.talking[session.stream] = talk, task
        try:
            await talk.say(self._ready(session, talk))
            why = await talk.run(again)
        except e.EarwitnessError as error:
            self.parked.put(session.stream, session)
            await _last_word(talk, error)
            raise
        except BaseException:  # gone, cancelled or unforeseen: the client may come back
            self.parked.put(session.stream, session)
            raise
        finally:
            del self.talking[session.stream]
            self._bytes.update(talk.bytes)
        if why is not None:
            raise _Told(why)

    async def drain(self, within_s: float) -> None:
        """Let every stream tell what it heard, and its client go elsewhere; for SIGTERM."""
        for talk, _ in list(self.talking.values()):
            talk.leave(e.ServiceStopping())
        tasks = [task for _, task in self.talking.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=within_s)
        for talk, task in list(self.talking.values()):
            # An engine takes too long: the way back leads to before what it was asked.
            with contextlib.suppress(Gone, e.SlowReader):
                await talk.say(_closing(e.ServiceStopping(), talk))
            task.cancel()

    def stop(self) -> None:
        """Let go of the threads; those that wait for an engine end with it."""
        for pool in (self._workers.hear, self._workers.ask):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _evicted(self, stream: str) -> None:
        """A client that comes back has left its old line, whether that line knows or not."""
        if stream in self.talking:
            _, task = self.talking[stream]
            task.cancel()
            await asyncio.wait([task])

    def _heard(
        self, session: Session, piece: Piece, alive: Callable[[], None]
    ) -> tuple[Answer, int]:
        engines = self.engines(session.config)
        answer, failed = asking.heard(self._house.servers, engines, session.clip(piece), alive)
        self._answered(answer)
        return answer, failed

    def _ready(self, session: Session, talk: Conversation) -> Reply:
        return {
            "type": "ready",
            "stream": session.stream,
            "engines": list(self.engines(session.config)),
            "sample": session.received,
            **{k: v for k, v in talk.way_back().items() if k == "resume"},
        }


def _known(tenant: Tenant | None) -> Tenant:
    if tenant is None:
        raise e.UnknownTenant
    return tenant


class _Told(Exception):
    """The stream ended early, and its client was told why."""

    def __init__(self, why: e.EarwitnessError) -> None:
        super().__init__(why.code)
        self.why = why


async def _last_word(talk: Conversation, error: e.EarwitnessError) -> None:
    if isinstance(error, e.SlowReader):
        return  # it would not be read either
    retries = error.context.get("retry_count", 0)
    with contextlib.suppress(Gone, e.SlowReader):
        await talk.say(protocol.fault(error, int(retries or 0), **talk.way_back()))


def _closing(error: e.EarwitnessError, talk: Conversation) -> Reply:
    return {**protocol.fault(error, **talk.way_back()), "type": "closing"}


@router.websocket("/v1/audio/stream")
async def stream(line: WebSocket) -> None:
    """Sound in, hypotheses out; `docs/streaming.md` describes the messages."""
    streams: Streams = line.app.state.streams
    try:
        tenant = await streams.tenant(line)
        with streams.place():
            await line.accept()
            code, became = await _served(streams, line, tenant)
            streams.ended[became] += 1
            with contextlib.suppress(RuntimeError, TimeoutError, WebSocketDisconnect):
                async with asyncio.timeout(1.0):
                    await line.close(code, became)
    except e.EarwitnessError as error:
        say(log, error)
        streams.ended[error.code] += 1
        await _deny(line, failures.answer(error))


async def _served(streams: Streams, line: WebSocket, tenant: str) -> tuple[int, str]:
    """The close code and what became of it."""
    try:
        session, again = await streams.session(await _opening(line), tenant)
        await streams.talk(line, session, again)
    except Gone:
        return NORMAL, "gone"
    except asyncio.CancelledError:
        return AWAY, "left"
    except _Told as told:
        return CLOSES.get(type(told.why), POLICY), told.why.code
    except (e.InvalidStream, e.UnusualSignal, e.ResumeLost) as error:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await line.send_json(_refused(error))
        return POLICY, error.code
    except e.EarwitnessError as error:
        say(log, error)
        return CLOSES.get(type(error), POLICY if not error.retryable else LATER), error.code
    return NORMAL, "done"


def _refused(error: e.EarwitnessError) -> Reply:
    if isinstance(error, e.ResumeLost):
        sample, segment = error.context["sample"], error.context["segment"]
        return protocol.fault(error, send_from_sample=int(sample or 0), segment=int(segment or 0))
    return protocol.fault(error)


async def _opening(line: WebSocket) -> Config | Resume:
    """The first message.

    Raises:
        InvalidStream, UnusualSignal: it is none. Gone: none came.
    """
    try:
        async with asyncio.timeout(OPENING_S):
            said = await line.receive()
    except TimeoutError as error:
        raise e.InvalidStream("No first message came.") from error
    if said["type"] == "websocket.disconnect":
        raise Gone
    text = said.get("text")
    if text is None or len(text) > MAX_OPENING:
        raise e.InvalidStream("The first message must be a short JSON text.")
    return protocol.opening(text)


async def _deny(line: WebSocket, answer: Response) -> None:
    await line.send_denial_response(answer)
    # uvicorn 0.54 takes a refused handshake for an unfinished one, and logs an error, unless the
    # line is gone before we return: it goes in the loop's next turn.
    await asyncio.sleep(0)
