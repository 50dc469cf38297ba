"""Many streams in one process: tiny chunks, slow readers, lines that break."""

import asyncio
import os
from pathlib import Path

import numpy as np
import pytest

from gpu_service.streaming.listening import CAPACITY
from tests.engines.speech import said, silence
from tests.streaming.conftest import given
from tests.streaming.serving import Client, chunks, connected, pcm16, running

SPOKEN = np.concatenate(
    [said("The engineer explained the bridge."), silence(1.2), said("Good night."), silence(1.0)]
)
FRAMES = chunks(pcm16(SPOKEN), 320)


async def reads_along(up):
    async with connected(up) as line:
        client = Client(line)
        await client.open(chunk_ms=10)
        reading = asyncio.create_task(client.rest())
        await client.send(FRAMES)
        await client.end()
        await reading
    return [f["segment"] for f in client.of("final")]


async def reads_late(up):
    """Nothing is read before everything was sent, and its window is small."""
    async with connected(up, max_queue=1) as line:
        client = Client(line)
        await client.open(chunk_ms=10, max_queue_chunks=1)
        await client.send(FRAMES)
        await client.end()
        await client.rest()
    return [f["segment"] for f in client.of("final")]


async def breaks(up):
    async with connected(up) as line:
        await Client(line).open(chunk_ms=10)
        await Client(line).send(FRAMES[: len(FRAMES) // 2])
        line.transport.abort()
    return


async def breaks_and_returns(up):
    async with connected(up) as line:
        client = Client(line)
        ready = await client.open(chunk_ms=10)
        await client.send(FRAMES[: len(FRAMES) // 2])
        line.transport.abort()
    async with connected(up) as line:
        client = Client(line)
        again = await client.open(resume=ready["resume"])
        await client.send(chunks(pcm16(SPOKEN)[2 * again["sample"] :], 320))
        await client.end()
        await client.rest()
    return [f["segment"] for f in client.of("final")]


KINDS = (reads_along, reads_late, breaks, breaks_and_returns)
EXPECTED = [[0, 1], [0, 1], None, [0, 1]]


async def crowd(up, each):
    return await asyncio.gather(*(kind(up) for _ in range(each) for kind in KINDS))


async def test_everybody_of_a_crowd_gets_every_final_once(tmp_path, caplog):
    with running(given(tmp_path, streams=24)) as up:
        answers = await crowd(up, each=4)
        streams = up.streams

        assert answers == EXPECTED * 4
        async with asyncio.timeout(10):
            while streams.taken:
                await asyncio.wait([asyncio.ensure_future(asyncio.sleep(0.01))])
        assert streams.talking == {}
        assert [r.message for r in caplog.records if r.levelname == "ERROR"] == []
        assert len(streams.parked) <= 4  # those that never came back
        assert all(
            session._listener._n_held <= CAPACITY and len(session.asking) <= 2
            for _, session in streams.parked._waiting.values()
        )


def resident_mb():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_crowd_after_crowd_costs_no_more_memory(tmp_path):
    """32 streams at a time, 30 times: what the first 15 rounds took is all there is to take.

    Those that never come back are parked: 8 a round, at most 40, so the fifth round is full; the
    allocator settles until about the 13th (285 MB, 311 in the tenth, then 315 to 319 up to the
    fortieth).
    """
    with running(given(tmp_path, streams=40)) as up:
        grown = []
        for _ in range(30):
            assert await crowd(up, each=8) == EXPECTED * 8
            grown.append(resident_mb())

    print([round(mb) for mb in grown])
    assert max(grown[15:]) - max(grown[:15]) < 8
