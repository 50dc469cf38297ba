"""One connection: frames in, heard, asked about, answers out; four tasks and their end.

    socket -> read -> [chunks, bounded] -> hear -> [pieces, bounded] -> ask
                                        -> [finals, bounded; one partial] -> send -> socket

Whatever is slow stops what is before it: a busy engine stops `hear`, that stops `read`, and a
socket that is not read stops the client. A client that does not read stops `send`; then finals
fill the mailbox, nothing more is asked, and after a bounded wait the connection ends.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.websockets import WebSocket, WebSocketDisconnect

from gpu_service.streaming import protocol
from gpu_service.streaming.listening import Piece
from gpu_service.streaming.mailbox import Mailbox
from gpu_service.streaming.protocol import Reply
from gpu_service.streaming.rates import RateWatch
from gpu_service.streaming.resuming import Claim
from gpu_service.streaming.session import Session
from shared import errors as e
from shared.domain.answers import Answer

log = logging.getLogger("earwitness.stream")
T = TypeVar("T")

#: Chunks heard in one go, as in the seeds.
BATCH = 4
DIRECTIONS = ("in", "out")
MISPACED = (
    "Sound comes at {pace:.2f} times the declared rate. Check sample_rate, channels and encoding."
)


#: Asks the engines about a piece; calls the last argument while it waits.
Heard = Callable[[Session, Piece, Callable[[], None]], tuple[Answer, int]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long one stream may take for what; seconds."""

    stream_s: float  #: sound in one stream
    idle_s: float  #: without any frame
    reader_s: float = 10.0  #: an answer waits for its reader, once the socket's buffers are full


@dataclass(frozen=True, slots=True)
class Workers:
    """Threads: streams wait in them for an engine, never on the loop and never on a device."""

    hear: Executor
    ask: Executor


class Gone(Exception):
    """The client hung up."""


class Conversation:
    """Runs a session over one accepted WebSocket until it is over, fails, or the line breaks."""

    def __init__(
        self,
        line: WebSocket,
        session: Session,
        heard: Heard,
        *,
        workers: Workers,
        bounds: Bounds,
        signed: Callable[[Claim], str],
        charge: Callable[[float], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`charge` counts seconds against the tenant's day, or raises OverQuota."""
        self._line, self._session, self._heard = line, session, heard
        self._workers, self._bounds, self._signed, self._now = workers, bounds, signed, now
        self._charge = charge
        self.mail = Mailbox()
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(session.config.max_queue_chunks)
        self._heard_more, self._asked_more = asyncio.Event(), asyncio.Event()
        self._rates = RateWatch()
        self._reader: asyncio.Task[None] | None = None
        self._leaving: e.EarwitnessError | None = None
        self._over = False
        self._cautions: set[str] = set()
        self.bytes, self.most_queued = dict.fromkeys(DIRECTIONS, 0), 0

    async def run(self, again: list[Reply]) -> e.EarwitnessError | None:
        """Talk until everything is told; `again` are finals to tell once more.

        Gives why it ended before the client said so, or None.

        Raises:
            Gone: the line broke. EarwitnessError: what the client did, or could not be done.
        """
        reader = self._reader = asyncio.create_task(self._read())
        sender = asyncio.create_task(self._send())
        others = {asyncio.create_task(self._hear()), asyncio.create_task(self._ask(again))}
        tasks = {reader, sender, *others}
        try:
            await _until(sender, tasks)
        finally:
            self._over = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self._leaving

    def leave(self, why: e.EarwitnessError) -> None:
        """Hear no more of it: tell what was heard, then why it ends. Leaving twice is once."""
        if self._leaving is None and not self._session.ended:
            self._leaving = why
            self._heard_more.set()
            if self._reader is not None:
                self._reader.cancel()
            if not self._chunks.full():  # else `hear` looks at `_leaving` after the next one
                self._chunks.put_nowait(None)

    async def _read(self) -> None:
        ended = False
        while True:
            frame = await self._frame(None if ended else self._bounds.idle_s)
            if frame is None or ended:
                if ended:
                    raise e.UnexpectedText("Something came after the end of the stream.")
                ended = True
            elif len(frame) > self._session.config.chunk_bytes:
                raise e.GarbageInStream(
                    f"A frame of {len(frame)} bytes is longer than chunk_ms allows.",
                )
            if self._chunks.full():
                self._rates.stalled()
            await self._chunks.put(frame)
            self.most_queued = max(self.most_queued, self._chunks.qsize())

    async def _frame(self, patience_s: float | None) -> bytes | None:
        """The next chunk; None for the end."""
        try:
            async with asyncio.timeout(patience_s):
                said = await self._line.receive()
        except TimeoutError as error:
            raise e.StreamIdle from error
        if said["type"] == "websocket.disconnect":
            raise Gone
        frame: bytes | None = said.get("bytes")
        if frame is None and not protocol.ends(said.get("text") or ""):
            raise e.UnexpectedText
        self.bytes["in"] += len(frame or b"")
        return frame

    async def _hear(self) -> None:
        session = self._session
        while (frames := await self._next_frames()) and not self._leaving:
            try:
                await self._through(self._workers.hear, self._take, frames)
            except e.OverQuota as over:
                self.leave(over)
                continue
            self._watch(sum(map(len, frames)))
            self._heard_more.set()
            if session.seconds > self._bounds.stream_s:
                self.leave(e.StreamTooLong(max_seconds=self._bounds.stream_s))
            while session.full:
                self._rates.stalled()
                await self._asked_more.wait()
                self._asked_more.clear()
        await self._through(self._workers.hear, session.finish)
        self._heard_more.set()

    def _take(self, frames: list[bytes]) -> None:
        """Counted before it is heard; what the day has no room for is not taken."""
        config = self._session.config
        self._charge(sum(map(len, frames)) / config.frame_bytes / config.sample_rate)
        self._session.take(frames)

    async def _next_frames(self) -> list[bytes]:
        """Up to BATCH chunks; none at the end, which stays where it is."""
        frames = [await self._chunks.get()]
        while len(frames) < BATCH and not self._chunks.empty() and frames[-1] is not None:
            frames.append(self._chunks.get_nowait())
        if frames[-1] is None and len(frames) > 1:
            self._chunks.put_nowait(None)
        return [frame for frame in frames if frame is not None]

    def _watch(self, size: int) -> None:
        config = self._session.config
        if config.live:
            seconds = size / config.frame_bytes / config.sample_rate
            pace = self._rates.heard(seconds, self._now())
            if pace is not None:
                said = MISPACED.format(pace=pace)
                self._session.cautions.setdefault("rate_mismatch", said)
        for code in self._session.cautions.keys() - self._cautions:
            self._cautions.add(code)
            self.mail.warn(protocol.warning(code, self._session.cautions[code]))

    async def _ask(self, again: list[Reply]) -> None:
        for reply in again:
            await self._tell(reply)
        session = self._session
        while session.asking or not session.ended:
            if session.asking:
                answer, _ = await self._through(
                    self._workers.ask, self._heard, session, session.asking[0], self._alive
                )
                reply = session.told(answer)
                self._asked_more.set()
                await self._tell(reply)
            elif not await self._told_partly():
                await self._heard_more.wait()
                self._heard_more.clear()
        self.mail.close(self._farewell)

    async def _told_partly(self) -> bool:
        """Whether a partial was due; then it waits in the mailbox, or no engine had time."""
        piece = await self._through(self._workers.hear, self._session.interim)
        if piece is None:
            return False
        with contextlib.suppress(e.EngineUnavailable, e.EngineDied):  # its final will be asked
            answer, _ = await self._through(
                self._workers.ask, self._heard, self._session, piece, self._alive
            )
            self.mail.partial(self._session.partial(piece, answer))
        return True

    def _alive(self) -> None:
        if self._over:
            raise Gone

    async def _tell(self, reply: Reply) -> None:
        token = self._signed(self._session.claim_after(reply))
        await self.mail.final({**reply, "resume": token})

    def _farewell(self) -> Reply:
        if self._leaving is None:
            return {"type": "done", "samples": self._session.received}
        return {**protocol.fault(self._leaving, **self.way_back()), "type": "closing"}

    def way_back(self) -> dict[str, Any]:
        """What a client needs to go on: a token, and the same in plain numbers."""
        claim = self._session.claim()
        plain = {"send_from_sample": claim.sample, "segment": claim.segment}
        return {"resume": self._signed(claim), **plain}

    async def _send(self) -> None:
        last = False
        while not last:
            reply, last = await self.mail.take()
            await self.say(reply)
            if reply["type"] == "final":
                self._session.sent(reply)

    async def say(self, reply: Reply) -> None:
        """Hand one reply to the socket.

        Raises:
            SlowReader: nobody reads at the other end. Gone: there is no other end.
        """
        text = json.dumps(reply, ensure_ascii=False)
        try:
            async with asyncio.timeout(self._bounds.reader_s):
                await self._line.send_text(text)
        except TimeoutError as error:
            raise e.SlowReader from error
        except (WebSocketDisconnect, RuntimeError) as error:
            raise Gone from error
        self.bytes["out"] += len(text)

    async def _through(self, pool: Executor, call: Callable[..., T], *given: object) -> T:
        """`call` in a thread; a cancelled task waits for it, so that nobody meets it there."""
        running = asyncio.get_running_loop().run_in_executor(pool, call, *given)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            running.add_done_callback(_read)
            if pool is self._workers.hear:
                await asyncio.wait([running])
            raise


def _read(running: "asyncio.Future[Any]") -> None:
    """Nobody waits for it any more: its failure is no news."""
    if not running.cancelled():
        running.exception()


async def _until(last: "asyncio.Task[None]", tasks: set["asyncio.Task[None]"]) -> None:
    """Wait until `last` is done; the first failure of any ends it."""
    waiting = set(tasks)
    while not last.done():
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.cancelled():  # `leave` cancels the reader
                task.result()
