"""How a stream ends when neither side wanted it to: bounds, failures, SIGTERM."""

import asyncio
import contextlib
import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gpu_service.streaming.conversation import Bounds, Conversation, Workers
from gpu_service.streaming.listening import CAPACITY
from gpu_service.streaming.mailbox import ROOM
from gpu_service.streaming.protocol import Config
from gpu_service.streaming.session import MAX_WAITING_S, Session
from shared.domain.answers import Answer, Task
from shared.errors import SlowReader
from tests.engines.mortal import Gate
from tests.engines.speech import said, silence
from tests.streaming.conftest import given
from tests.streaming.serving import Client, chunks, connected, pcm16, running

SPOKEN = np.concatenate([said("Nobody remembered where the keys were kept."), silence(1.5)])


async def test_a_stream_has_a_longest_and_tells_all_it_heard(tmp_path):
    with running(given(tmp_path, stream_s=3.0)) as up:
        async with connected(up) as line:
            client = Client(line)
            await client.open(interim=False)
            await client.send(chunks(pcm16(np.concatenate([SPOKEN] * 3)), 3200))
            code = await client.rest()

    closing = client.replies[-1]
    assert (closing["type"], closing["code"], code) == ("closing", "stream_too_long", 1008)
    assert client.of("final")[-1]["end_s"] <= closing["send_from_sample"] / 16_000 <= 3.5


async def test_a_stream_that_says_nothing_is_let_go(tmp_path):
    with running(given(tmp_path, stream_idle_s=0.05)) as up:
        async with connected(up) as line:
            client = Client(line)
            await client.open()
            await client.rest()

    assert [e["code"] for e in client.of("error")] == ["stream_idle"]
    assert client.of("error")[0]["resume"]


@pytest.mark.parametrize(
    ("cascade", "kinds", "code"),
    [
        (["mortal", "echo"], ["ready", "final", "done"], 1000),
        (["mortal"], ["ready", "error"], 1013),
    ],
)
async def test_an_engine_that_dies_is_tried_again_then_the_next_then_told(
    tmp_path, cascade, kinds, code
):
    mortal = {"kind": "tests.engines.mortal:Mortal", "options": {"dies_loading": True}}
    settings = given(
        tmp_path, cascade={"transcribe": cascade, "classify": []}, engines={"mortal": mortal}
    )
    with running(settings) as up:
        async with connected(up) as line:
            client = Client(line)
            await client.open(interim=False)
            await client.send(chunks(pcm16(SPOKEN), 3200))
            await client.end()
            closed = await client.rest()

    assert ([r["type"] for r in client.replies], closed) == (kinds, code)
    if code == 1013:
        error = client.replies[-1]
        assert (error["code"], error["retry_count"]) == ("engine_died", 1)
        assert error["recoverable"] and error["send_from_sample"] < 1_000  # where speech begins


async def test_sigterm_tells_what_was_heard_and_how_to_go_on(tmp_path):
    """The platform gives 10 s; somebody who speaks gets the words said so far as a final."""
    with running(given(tmp_path)) as up:
        async with connected(up) as line:
            client = Client(line)
            await client.open(chunk_ms=10)
            await client.send(chunks(pcm16(SPOKEN[: 16_000 * 2]), 320))
            await client.until("partial")  # the service has heard, and the segment is open
            up.terminate()
            code = await client.rest()

    closing, [final] = client.replies[-1], client.of("final")
    assert (closing["type"], closing["code"], code) == ("closing", "service_stopping", 1001)
    assert closing["recoverable"] and closing["segment"] == 1
    assert closing["send_from_sample"] >= final["end_s"] * 16_000 - 1


async def test_sigterm_with_a_stuck_engine_leads_back_to_before_what_was_not_told(tmp_path):
    gate = Gate()  # nobody lets a call begin
    stuck = {"kind": "tests.engines.mortal:Mortal", "options": {"gate": gate.port}}
    settings = given(
        tmp_path, cascade={"transcribe": ["mortal"], "classify": []}, engines={"mortal": stuck}
    )
    with contextlib.closing(gate), running(settings) as up:
        async with connected(up) as line:
            client = Client(line)
            await client.open(interim=False)
            await client.send(chunks(pcm16(SPOKEN), 3200))
            await client.end()
            while not up.app.state.house.servers["mortal"].busy:
                await asyncio.wait([asyncio.ensure_future(line.ping())])
            up.terminate()
            await client.rest()

    assert client.of("final") == []
    assert client.replies[-1]["type"] == "closing"
    assert client.replies[-1]["send_from_sample"] < 1_000 and client.replies[-1]["segment"] == 0


class Stuck:
    """A socket whose reader has gone for coffee: sound comes, and no answer gets out."""

    def __init__(self, frames):
        self.frames, self.sent = iter(frames), []
        self._never = asyncio.Event()

    async def receive(self):
        frame = next(self.frames, None)
        if frame is None:
            await self._never.wait()
        return {"type": "websocket.receive", "bytes": frame}

    async def send_text(self, text):
        self.sent.append(text)
        await self._never.wait()


@pytest.fixture
def workers():
    pools = Workers(ThreadPoolExecutor(1), ThreadPoolExecutor(1))
    yield pools
    pools.hear.shutdown()
    pools.ask.shutdown()


def conversation(line, session, workers, reader_s, now=time.monotonic):
    def heard(session, piece, alive):
        return Answer("echo", Task.TRANSCRIBE, text=f"{piece.index}"), 0

    return Conversation(
        line,
        session,
        heard,
        workers=workers,
        bounds=Bounds(stream_s=3600, idle_s=60, reader_s=reader_s),
        signed=lambda claim: "token",
        charge=lambda seconds: None,
        now=now,
    )


WORD = np.concatenate([said("Stop."), silence(1.0)])


async def test_a_slow_reader_costs_a_bounded_number_of_answers(workers):
    """By construction: however much is said, so much waits, and no more is asked or read."""
    line = Stuck(chunks(pcm16(np.concatenate([WORD] * 200)), 3200))
    session = Session("s", "demo", Config())
    talk = conversation(line, session, workers, reader_s=60)

    task = asyncio.create_task(talk.run([]))
    async with asyncio.timeout(30):
        while not (session.full and talk.mail.most == ROOM and talk.most_queued == 10):
            await asyncio.wait([task], timeout=0.01)
    task.cancel()
    await asyncio.wait([task])

    assert len(line.sent) == 1
    waiting_s = sum(p.duration_s for p in session.asking)
    assert waiting_s < MAX_WAITING_S + 2 * WORD.size / 16_000  # a batch of chunks ends one or two
    assert next(line.frames, None) is not None  # the rest was not even read
    assert session.held_s < CAPACITY / 16_000 + waiting_s + 1e-3  # what was told is not kept
    told = [r["segment"] for r in session.again(0)]
    assert told == list(range(ROOM + 2))  # one is being sent, one being posted, ROOM wait


async def test_a_reader_that_does_not_come_back_in_time_is_left(workers):
    line = Stuck(chunks(pcm16(WORD), 3200))
    session = Session("s", "demo", Config(interim=False))

    with pytest.raises(SlowReader):
        await conversation(line, session, workers, reader_s=0.05).run([])

    assert session.claim().segment == 0  # nothing counts as told
    assert [r["segment"] for r in session.again(0)] == [0]


class Told:
    """A socket whose client sends all it has, ends, and reads everything."""

    def __init__(self, frames):
        self.frames, self.replies = [*frames, None], []

    async def receive(self):
        if not self.frames:
            await asyncio.Event().wait()
        frame = self.frames.pop(0)
        end = {"text": '{"type": "end"}'}
        return {"type": "websocket.receive", **(end if frame is None else {"bytes": frame})}

    async def send_text(self, text):
        self.replies.append(json.loads(text))


@pytest.mark.parametrize(("live", "warnings"), [(True, ["rate_mismatch"]), (False, [])])
async def test_live_sound_at_another_rate_than_declared_is_warned_of_once(workers, live, warnings):
    """The clock moves 0.2 s for each look at 1 to 4 chunks of 0.1 s: whatever the pace, not 1."""
    line = Told([bytes(3200)] * 250)  # its queue is never full: we stop nobody
    session = Session("s", "demo", Config(live=live, max_queue_chunks=256))
    clock = itertools.count(0.0, 0.2)
    talk = conversation(line, session, workers, 60, lambda: next(clock))

    await talk.run([])

    assert [r["code"] for r in line.replies if r["type"] == "warning"] == warnings
