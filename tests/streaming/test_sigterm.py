"""The service as a process of its own, ended as the platform ends it."""

import json
import os
import signal
import subprocess
import sys
import time

import httpx
import numpy as np
from websockets.asyncio.client import connect

from tests.engines.speech import said, silence
from tests.journeys.running import until
from tests.streaming.conftest import given
from tests.streaming.serving import Client, chunks, pcm16, vouched

#: The platform kills after 10 s.
GRACE_S = 10.0
NAMES = ("issuer", "audience", "email", "subject", "keys")


def environment(settings):
    mine = {f"push_{name}": getattr(settings, f"push_{name}") for name in NAMES}
    mine |= {f"gateway_{name}": getattr(settings, f"gateway_{name}") for name in NAMES[2:4]}
    mine |= {"home": settings.home, "cascade__transcribe": '["echo"]', "cascade__classify": "[]"}
    named = {f"EARWITNESS_{name.upper()}": str(value) for name, value in mine.items()}
    return os.environ | named


def answers(port):
    try:
        return httpx.get(f"http://127.0.0.1:{port}/livez").status_code == 200
    except httpx.TransportError:
        return False


async def test_a_speaker_is_told_all_before_the_process_ends(tmp_path, unused_tcp_port):
    settings, port = given(tmp_path), unused_tcp_port
    sound = np.concatenate([said("Nobody remembered where the keys were kept."), silence(0.1)])
    command = [sys.executable, "-m", "local.child", "service", "--port", str(port)]
    process = subprocess.Popen(command, env=environment(settings), stdin=subprocess.PIPE)
    try:
        until(lambda: answers(port), patience_s=60)
        url = f"ws://127.0.0.1:{port}/v1/audio/stream"
        headers = vouched(settings)
        async with connect(url, additional_headers=headers, ping_interval=None) as line:
            client = Client(line)
            await client.open(chunk_ms=10)
            await client.send(chunks(pcm16(sound), 320))
            await client.until("partial")
            process.send_signal(signal.SIGTERM)
            begun = time.monotonic()
            code = await client.rest()
        process.wait(timeout=30)
        took_s = time.monotonic() - begun
    finally:
        process.kill()
        process.wait()

    closing = client.replies[-1]
    assert (closing["code"], code) == ("service_stopping", 1001), json.dumps(client.replies)
    assert [f["segment"] for f in client.of("final")] == [0]
    assert closing["segment"] == 1 and closing["resume"]
    assert took_s < GRACE_S
