"""What a conquered decoder can do: nothing. What it says: checked."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from gpu_service.decoding import decoder as decoder_module
from gpu_service.decoding.children import BOOT, ROOT, WORKER, Nursery, Pool
from gpu_service.decoding.decoder import Decoder
from gpu_service.decoding.sandbox import seccomp_filter
from gpu_service.decoding.trays import TRAY_BYTES, shared_memory
from gpu_service.decoding.wire import send_order
from shared.domain.sound import Limits
from shared.errors import (
    AudioTooLong,
    DecoderDied,
    DecoderLimit,
    NotAudio,
    RefusedAudio,
    SandboxUnavailable,
)
from tests.decoding import conquered
from tests.decoding.conftest import LIMITS, on_disk
from tests.decoding.media import wav

linux = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")


class ConqueredDecoder(Decoder):
    """A decoder whose children run `serve_at` instead of the worker."""

    def __init__(self, serve_at: str) -> None:
        super().__init__(processes=1)
        self._nursery = Nursery(f"tests.decoding.conquered:{serve_at}")
        self._pool = Pool(self._nursery, 1)


@pytest.fixture
def started():
    """Start a decoder, and stop it when the test is over."""
    running = []

    def start(decoder):
        running.append(decoder)
        decoder.start()
        return decoder

    yield start
    for decoder in running:
        decoder.stop()


def decode(decoder, data, limits=LIMITS):
    with on_disk(data) as sound, decoder.open(sound, tenant="demo", limits=limits) as decoding:
        return np.concatenate([*decoding], axis=1)


def decode_away(decoder, data, limits):
    """Decode and keep nothing."""
    with on_disk(data) as sound, decoder.open(sound, tenant="demo", limits=limits) as decoding:
        for _ in decoding:
            pass


@pytest.fixture(scope="module")
def outcomes():
    """What came of everything a conquered decoder tried."""
    nursery = Nursery("tests.decoding.conquered:try_everything")
    child = nursery.birth()
    assert child.sandboxed()
    with on_disk(b"recording") as sound:
        allowance = decoder_module._allowance(9, LIMITS)
        child.begin(sound.fileno(), 9, False, allowance)
        found = {}
        while (said := child.hear(allowance, 0.0, lambda: None))["say"] != "end":
            found[said["name"]] = said["outcome"]
    child.end()
    nursery.stop()
    return found


@linux
@pytest.mark.parametrize("attempt", conquered.ATTEMPTS)
def test_conquered_decoder_is_denied(outcomes, attempt):
    assert outcomes[attempt].startswith("denied")


@linux
def test_decoder_has_no_environment_and_no_descriptor_but_its_channel(outcomes):
    assert outcomes["environment"] in ("{}", '{"LC_CTYPE": "C.UTF-8"}')  # Python's own, PEP 538
    assert outcomes["descriptors"] == "[3]"


@pytest.mark.parametrize("lie", conquered.LIES)
def test_lying_decoder_is_thrown_away(started, lie):
    liar = started(ConqueredDecoder("lie"))
    number = list(conquered.LIES).index(lie)

    with pytest.raises(DecoderDied):
        decode(liar, bytes([number]))


def test_decoder_that_spins_meets_the_cpu_limit(started):
    with pytest.raises(DecoderLimit) as met:
        decode(started(ConqueredDecoder("misbehave")), b"spin")

    assert met.value.context["cpu_s"] < 3


@linux
def test_decoder_that_hoards_meets_the_memory_limit(started):
    with pytest.raises(DecoderLimit) as met:
        decode(started(ConqueredDecoder("misbehave")), b"hoard")

    assert met.value.context["peak_bytes"] <= 128 << 20  # S1


def test_decoder_that_stands_still_is_stopped(started, monkeypatch):
    monkeypatch.setattr(decoder_module, "PATIENCE_S", 0.1)

    with pytest.raises(DecoderDied, match="stood still"):
        decode(started(ConqueredDecoder("misbehave")), b"stand-still")


def test_endless_sound_is_counted_by_the_master(started):
    with pytest.raises(AudioTooLong):
        decode(started(ConqueredDecoder("misbehave")), b"flood")


def test_decoder_that_takes_nothing_back_blocks_nobody(started):
    """Its master answers every tray and the answers fill the channel."""
    endless = Limits(max_seconds=1e9, max_bytes=50_000_000)

    with pytest.raises(DecoderDied, match="nonsense"):
        decode_away(started(ConqueredDecoder("misbehave")), b"flood", endless)


def test_samples_that_change_while_they_are_read_are_checked_as_they_are_used(started):
    """The tray is written to, NaN and beyond full scale, while the master copies from it."""
    racing = decode(started(ConqueredDecoder("misbehave")), b"change-what-is-read")

    assert racing.shape == (1, TRAY_BYTES // 4)
    assert np.abs(racing).max() <= 1.0  # and no NaN, with which this is not true


@linux
def test_hole_in_the_shared_memory_is_silence(started):
    holed = decode(started(ConqueredDecoder("misbehave")), b"take-pages-away")

    assert holed.shape == (1, TRAY_BYTES // 4)
    assert not holed.any()


def test_master_cannot_write_into_the_trays_and_every_child_has_its_own(started):
    decoder = started(Decoder(processes=2))
    one, other = decoder._pool._virgins
    one.sandboxed()
    other.sandboxed()

    with pytest.raises(TypeError):
        one._memory[0] = 1
    with on_disk(wav(b"\1\1" * 1600)) as sound:
        allowance = decoder_module._allowance(3244, LIMITS)
        one.begin(sound.fileno(), 3244, False, allowance)
        while one.hear(allowance, 0.0, lambda: None)["say"] != "tray":
            pass
    assert any(one._memory[:6400])
    assert not any(other._memory[:])


def test_what_a_decoder_says_to_people_is_short_and_plain(started):
    with pytest.raises(NotAudio) as said:
        decode(started(ConqueredDecoder("misbehave")), b"slander")

    assert str(said.value).isprintable()
    assert len(str(said.value)) <= decoder_module.MAX_SENTENCE


@pytest.mark.parametrize("misdeed", ["crash", "leave", "abort"])
def test_decoder_that_dies_by_itself_is_retryable(started, misdeed):
    with pytest.raises(DecoderDied) as died:
        decode(started(ConqueredDecoder("misbehave")), misdeed.encode())

    assert died.value.retryable


def test_child_of_one_tenant_never_meets_another(started):
    decoder = started(Decoder(processes=1))
    seen = []
    for tenant in ("a", "a", "b", "b", "a"):
        with (
            on_disk(wav(bytes(3200))) as sound,
            decoder.open(sound, tenant=tenant, limits=LIMITS) as decoding,
        ):
            seen.append(decoding._child.pid)
            assert sum(block.shape[1] for block in decoding) == 1600

    first, second, third, fourth, fifth = seen
    assert first == second
    assert third == fourth
    assert len({first, third, fifth}) == 3


def test_child_is_thrown_away_after_a_refusal_an_early_stop_and_64_files(started):
    decoder = started(Decoder(processes=1))

    def pid_after(data, take=None):
        with (
            on_disk(data) as sound,
            decoder.open(sound, tenant="a", limits=LIMITS) as decoding,
        ):
            for n, _ in enumerate(decoding):
                if n == take:
                    break
            return decoding._child.pid

    long, short = wav(bytes(320_000)), wav(bytes(3_200))
    first = pid_after(short)
    with pytest.raises(RefusedAudio):
        decode(decoder, b"no sound")
    second = pid_after(long, take=0)
    third = pid_after(short)
    pids = {pid_after(short) for _ in range(63)}

    assert len({first, second, third}) == 3
    assert pids == {third}
    assert pid_after(short) != third


def test_killed_decoder_fails_its_own_recording_only(started):
    """R6: SIGKILL in the middle of a file; the neighbour, in the middle of its own, goes on."""
    decoder = started(Decoder(processes=2))
    long = wav(bytes(32_000 * 60))
    with (
        on_disk(long) as one,
        on_disk(long) as other,
        decoder.open(other, tenant="b", limits=LIMITS) as neighbour,
    ):
        neighbours = iter(neighbour)
        next(neighbours)
        with (
            pytest.raises(DecoderDied) as died,
            decoder.open(one, tenant="a", limits=LIMITS) as decoding,
        ):
            blocks = iter(decoding)
            next(blocks)
            os.kill(decoding._child.pid, signal.SIGKILL)
            for _ in blocks:
                pass
        rest = sum(block.shape[1] for block in neighbours)

    assert died.value.retryable
    assert died.value.context["signal"] == signal.SIGKILL
    assert rest == 59 * 16_000
    assert decode(decoder, long).shape == (1, 60 * 16_000)


def test_child_killed_while_idle_costs_nobody_an_attempt(started):
    decoder = started(Decoder(processes=1))
    decode(decoder, wav(bytes(3200)))
    _, idle = decoder._pool._settled[0]

    os.kill(idle.pid, signal.SIGKILL)
    gone = select.poll()
    gone.register(idle._channel, select.POLLIN)
    assert gone.poll(30_000)  # its channel ends with it

    assert decode(decoder, wav(bytes(3200))).shape == (1, 1600)


def test_killed_nursery_is_started_again(started):
    decoder = started(Decoder(processes=1))
    decode(decoder, wav(bytes(3200)))

    decoder._nursery._process.kill()
    decoder._nursery._process.wait()

    for _ in range(3):  # what was waiting died with it, which is an attempt and no more
        try:
            samples = decode(decoder, wav(bytes(3200)))
            break
        except DecoderDied:
            continue
    assert samples.shape == (1, 1600)


def test_stop_ends_every_process(started):
    decoder = started(Decoder(processes=2))
    decode(decoder, wav(bytes(3200)))
    pids = [c.pid for c in decoder._pool._virgins] + [c.pid for _, c in decoder._pool._settled]

    decoder.stop()

    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_stop_in_the_middle_of_a_recording_ends_it_and_starts_nothing(started):
    decoder = started(Decoder(processes=1))
    with (
        on_disk(wav(bytes(32_000 * 60))) as sound,
        pytest.raises(DecoderDied),
        decoder.open(sound, tenant="a", limits=LIMITS) as decoding,
    ):
        for _ in decoding:
            decoder.stop()

    assert decoder._nursery._process is None
    with pytest.raises(DecoderDied):
        decode(decoder, wav(bytes(3200)))


def alone(orders):
    """A nursery of its own: what it answers to `orders`, how it ended, whom it left behind."""
    ours, theirs = socket.socketpair()
    path = json.dumps([str(ROOT), *filter(None, sys.path)])
    with theirs:
        nursery = subprocess.Popen(
            [sys.executable, "-c", BOOT, path, str(theirs.fileno()), WORKER],
            pass_fds=[theirs.fileno()],
        )
    answers, channels = [], []
    for order in orders:
        one, other = socket.socketpair()
        memory_fd = shared_memory()
        send_order(ours, order(answers), *((other.fileno(), memory_fd) if not answers else ()))
        answers.append(json.loads(ours.recv(512)))
        other.close()
        os.close(memory_fd)
        channels.append(one)
    ours.close()
    code = nursery.wait()
    pids = [a["pid"] for a in answers if "pid" in a]
    return answers, code, [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@linux
def test_nursery_without_a_master_takes_its_children_along():
    _, code, left = alone([lambda _: {"do": "fork"}])

    assert (code, left) == (0, [])


@linux
def test_nursery_ends_its_own_children_and_nobody_else():
    answers, code, _ = alone(
        [
            lambda _: {"do": "fork"},
            lambda _: {"do": "end", "pid": os.getpid()},
            lambda told: {"do": "end", "pid": told[0]["pid"]},
            lambda told: {"do": "end", "pid": told[0]["pid"]},
        ]
    )

    assert code == 0
    assert [a["signal"] for a in answers[1:]] == [0, signal.SIGKILL, 0]
    assert answers[2]["peak_bytes"] > 0


def test_more_recordings_than_children_wait_and_stay_alive(started):
    decoder = started(Decoder(processes=1))
    data = wav(bytes(32_000 * 5))
    lengths = []

    def one():
        lengths.append(decode(decoder, data).shape[1])

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert lengths == [80_000] * 6


def test_what_alive_raises_ends_the_decoding(started, monkeypatch):
    monkeypatch.setattr(decoder_module, "ALIVE_S", 0.0)
    decoder = started(Decoder(processes=1))

    class LeaseLost(Exception):
        pass

    def alive():
        raise LeaseLost

    with (
        on_disk(wav(bytes(32_000 * 20))) as sound,
        pytest.raises(LeaseLost),
        decoder.open(sound, tenant="a", limits=LIMITS, alive=alive) as decoding,
    ):
        for _ in decoding:
            pass

    assert decode(decoder, wav(bytes(3200))).shape == (1, 1600)


def test_without_a_filter_the_decoder_does_not_start_unless_told(monkeypatch):
    """As on a system without seccomp; the children are born by a nursery that has no rules."""
    elsewhere = BOOT.replace("from gpu_service", "sys.platform = 'elsewhere'; from gpu_service")
    monkeypatch.setattr("gpu_service.decoding.children.BOOT", elsewhere)
    refused, allowed = Decoder(processes=1), Decoder(processes=1, allow_unsandboxed=True)

    with pytest.raises(SandboxUnavailable):
        refused.start()
    allowed.start()

    assert not allowed.sandboxed
    assert decode(allowed, wav(bytes(3200))).shape == (1, 1600)
    allowed.stop()


@linux
def test_filter_can_be_built_here():
    assert seccomp_filter() is not None


def test_children_that_cannot_be_born_are_said():
    with pytest.raises(DecoderDied):
        ConqueredDecoder("nowhere_to_be_found").start()
