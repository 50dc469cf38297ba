"""P4: decode, resample and hash, beside bare PyAV, soundfile with soxr, and ffmpeg's pipe.

CPU seconds of everything that works (this process, and the decoder's child or ffmpeg), so that
the load of the machine moves the figures less; everybody hashes the same bytes with SHA-256.
Ours fills the spool the service hears from; the peers drop what they decoded.

The sandbox is measured against our own reading in this process: same code, same checks of the
samples, same spool, in the order A B B A.

What others do on the machine can only add CPU time (shared caches, shared cores), up to half of
it. So the better quartiles are judged: on a quiet machine they say what the medians say, on a
loaded one they still do. The ratios of the medians stand beside them.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr

from bench.measuring import Series, goal, interleaved
from gpu_service.decoding.decoder import Decoder, sane
from gpu_service.decoding.reading import Reading
from gpu_service.decoding.sealed_file import SealedFile
from gpu_service.hearing.pcm import Pcm
from shared.domain.sound import SAMPLE_RATE, Limits
from tests.decoding.media import Media, wav

SECONDS = 300
REPEATS = 7
#: Rounds for the sandbox's cost: few per cent are to be told from the noise of a shared machine.
ROUNDS = 11
LIMITS = Limits(max_seconds=5 * 3600, max_bytes=1 << 40)
MEDIA = {
    "wav": Media("wav", "pcm_s16le", 44_100, 2, SECONDS),
    "mp3": Media("mp3", "libmp3lame", 44_100, 2, SECONDS),
    "flac": Media("flac", "flac", 44_100, 2, SECONDS),
    "opus": Media("ogg", "libopus", 48_000, 1, SECONDS),
    "m4a": Media("ipod", "aac", 44_100, 2, SECONDS),
}
#: What libsndfile reads.
SOUNDFILE_READS = {"wav", "mp3", "flac", "opus"}


def run() -> bool:
    """Print every format's series; True where the goals are met."""
    if not shutil.which("ffmpeg"):
        print("  the ffmpeg pipe is left out: there is no ffmpeg on PATH")
    decoder = Decoder(processes=1)
    decoder.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            met = [_compare(decoder, name, Path(folder)) for name in MEDIA]
            return all(met) & _memory(Path(folder))
    finally:
        decoder.stop()


def _compare(decoder: Decoder, name: str, folder: Path) -> bool:
    path = folder / f"sound.{name}"
    path.write_bytes(MEDIA[name].data())
    return _beside_peers(decoder, name, path) & _cost(decoder, name, path)


def _beside_peers(decoder: Decoder, name: str, path: Path) -> bool:
    """Ours, and every peer that reads this and is here."""
    cases = {
        "ours, sandboxed": lambda: SECONDS / _cpu_s(lambda: sandboxed(decoder, path)),
        "bare PyAV": lambda: SECONDS / _cpu_s(lambda: bare_pyav(path)),
    }
    if name in SOUNDFILE_READS:
        cases["soundfile + soxr"] = lambda: SECONDS / _cpu_s(lambda: soundfile_soxr(path))
    if shutil.which("ffmpeg"):
        cases["ffmpeg pipe"] = lambda: SECONDS / _cpu_s(lambda: ffmpeg_pipe(path))
    print(f"  {name}, {SECONDS} s: seconds of sound a CPU second")
    ours, *peers = interleaved(cases, "s/s", REPEATS).values()
    best = max(peers, key=lambda peer: peer.quartiles[1])
    medians = ours.median / max(peer.median for peer in peers)
    print(f"  {name}: of the best peer by medians, not judged: {medians:.2f}")
    reached = ours.quartiles[1] / best.quartiles[1]
    return goal(f"{name}: of the best peer, {best.name}", reached, 0.9)


def _cost(decoder: Decoder, name: str, path: Path) -> bool:
    """What the sandbox adds to the CPU time."""
    cases = {
        "sandboxed": lambda: 1e3 * _cpu_s(lambda: sandboxed(decoder, path)),
        "in this process": lambda: 1e3 * _cpu_s(lambda: unsandboxed(path)),
        "in this process, again": lambda: 1e3 * _cpu_s(lambda: unsandboxed(path)),
        "sandboxed, again": lambda: 1e3 * _cpu_s(lambda: sandboxed(decoder, path)),
    }
    a, b, c, d = (s.values for s in interleaved(cases, "CPU ms", ROUNDS).values())
    inside, outside = Series("sandboxed", a + d), Series("in this process", b + c)
    medians = 100 * (inside.median / outside.median - 1)
    print(f"  {name}: cost of the sandbox by medians, not judged: {medians:.2f} %")
    quartiles = 100 * (inside.quartiles[0] / outside.quartiles[0] - 1)
    return goal(f"{name}: cost of the sandbox in %", quartiles, 5.0, at_most=True)


def _cpu_s(work: Callable[[], float]) -> float:
    """CPU seconds of this process, and of others as `work` says."""
    begun = time.process_time()
    elsewhere_s = work()
    return time.process_time() - begun + elsewhere_s


def sandboxed(decoder: Decoder, path: Path) -> float:
    """The product's way, sandbox, checks and all."""
    _hash(path)
    # The child that will be taken: opening the file counts too.
    child = [*decoder._pool._virgins, *(c for _, c in decoder._pool._settled)][0]
    begun = _at_rest_s(child.pid)
    with (
        Pcm(None) as pcm,
        path.open("rb") as sound,
        decoder.open(sound, tenant="bench", limits=LIMITS) as decoding,
    ):
        assert decoding._child is child
        for block in decoding:
            pcm.add(block)
        used = _at_rest_s(child.pid) - begun
    assert abs(decoding.duration_s - SECONDS) < 1
    return used


def unsandboxed(path: Path) -> float:
    """The same reading without a child: what the sandbox is measured against."""
    _hash(path)
    with Pcm(None) as pcm, path.open("rb") as sound:
        file = SealedFile(path.stat().st_size, lambda n, at: os.pread(sound.fileno(), n, at))
        reading = Reading(file, separate=False)
        for block in reading.blocks():
            pcm.add(sane(np.array(np.frombuffer(block, np.float32)[np.newaxis])))
        reading.close()
    return 0.0


def bare_pyav(path: Path) -> float:
    """As PyAV's own cookbook does it, on one thread."""
    _hash(path)
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            for resampled in resampler.resample(frame):
                resampled.to_ndarray()
        resampler.resample(None)
    return 0.0


def soundfile_soxr(path: Path) -> float:
    """Blocks of 65,536 frames, averaged, through soxr's stream at its default quality."""
    _hash(path)
    with soundfile.SoundFile(path) as sound:
        stream = soxr.ResampleStream(sound.samplerate, SAMPLE_RATE, 1, dtype="float32")
        for block in sound.blocks(65_536, dtype="float32", always_2d=True):
            stream.resample_chunk(block.mean(axis=1))
        stream.resample_chunk(np.zeros(0, np.float32), last=True)
    return 0.0


def ffmpeg_pipe(path: Path) -> float:
    """The command line tool, its samples read from a pipe."""
    _hash(path)
    before = os.times()
    arguments = ["-threads", "1", "-i", str(path), "-f", "f32le", "-ac", "1", "-ar", "16000", "-"]
    subprocess.run(["ffmpeg", "-v", "error", *arguments], stdout=subprocess.PIPE, check=True)
    after = os.times()
    return (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )


def _hash(path: Path) -> None:
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256").digest()


def _at_rest_s(pid: int) -> float:
    """CPU seconds of a child, once it has put its last recording away and sleeps.

    The first figure of /proc/PID/schedstat, in ns: the ticks of /proc/PID/stat are too coarse.
    While a process runs it lags behind by up to a tick.
    """
    while Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1] != b"S":
        os.sched_yield()
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _memory(folder: Path) -> bool:
    """Peak memory of the child over a minute and over four hours of the same sound."""
    peaks = [_peak_bytes(folder, seconds) for seconds in (60, 4 * 3600)]
    print(f"  child's peak: 1 min {peaks[0] / 2**20:.1f} MiB, 4 h {peaks[1] / 2**20:.1f} MiB")
    return goal("memory of 4 h, of 1 min", peaks[1] / peaks[0], 1.1, at_most=True)


def _peak_bytes(folder: Path, seconds: int) -> int:
    path = folder / "long.wav"
    head = wav(b"", rate=SAMPLE_RATE, data_size=seconds * SAMPLE_RATE * 2)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + seconds * SAMPLE_RATE * 2)  # holes: no disk is used
    decoder = Decoder(processes=1)
    decoder.start()
    try:
        with path.open("rb") as sound, decoder.open(sound, tenant="m", limits=LIMITS) as decoding:
            n_samples = sum(block.shape[1] for block in decoding)
            peak = decoding._child.end().peak_bytes
    finally:
        decoder.stop()
    assert n_samples == seconds * SAMPLE_RATE
    return peak


if __name__ == "__main__":
    sys.exit(0 if run() else 1)
