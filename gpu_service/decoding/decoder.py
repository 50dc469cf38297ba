"""open a recording -> a sandboxed child decodes it -> blocks of 16 kHz float32.

The master checks and counts everything the child says; a child that errs in any way is
thrown away, and one that ever decoded for a tenant decodes for no other.
"""

import math
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gpu_service.decoding.children import Allowance, Child, Nursery, Pool
from shared.domain.sound import (
    MAX_CHANNELS,
    MAX_RATE_HZ,
    MIN_RATE_HZ,
    SAMPLE_RATE,
    Caution,
    Facts,
    Limits,
)
from shared.errors import (
    AudioTooLarge,
    AudioTooLong,
    DecoderDied,
    EmptyAudio,
    RefusedAudio,
    SandboxUnavailable,
    leaves,
)

#: CPU seconds for opening any file, however small. Bombs measured: at most 0.4.
CPU_BASE_S = 1.0
#: CPU seconds for each MiB of file; copying costs 0.001, the rest is room for slow machines.
CPU_PER_MIB_S = 0.05
#: CPU seconds for each decoded second. The slowest we hear, 8 channels at 384 kHz, takes 0.03.
CPU_PER_DECODED_S = 0.05
#: Bytes a child may need beyond its warm state (50 MB): with it S1's 128 MB hold for short limits.
MEMORY_BYTES = 64 << 20
#: Bytes more for each hour the tier allows: MP4 keeps an index of 24 bytes a frame in memory,
#: of every track, so an hour of 60 frames a second and AAC takes 9 MB while it grows.
MEMORY_PER_HOUR_BYTES = 16 << 20
#: Samples over all channels a recording may have for each second its tier allows: 8 channels at
#: 96 kHz, or 2 at 384 kHz, in full length. Beyond, silence costs more CPU than S1 grants a bomb.
SAMPLES_PER_SECOND = 8 * 96_000
#: Seconds a header may promise above the limit: codecs count their priming (Opus 6.5 ms).
PROMISE_TOLERANCE_S = 0.5
#: Seconds a decoder may say nothing at all.
PATIENCE_S = 60.0
#: Seconds between two calls of `alive`.
ALIVE_S = 1.0

REFUSALS = {r.code: r for r in leaves(RefusedAudio) if issubclass(r, RefusedAudio)}
CONTAINERS = frozenset(
    {"wav", "flac", "mp3", "ogg", "mp4", "mov", "matroska", "webm", "aiff", "aac"}
)
CODEC = re.compile(r"[a-z0-9_]{1,32}")
CAUTION = re.compile(r"[a-z_]{1,32}")
#: Characters of a sentence a child may hand on to people.
MAX_SENTENCE = 240


class Decoder:
    """Decodes recordings in warm, sandboxed children; any thread may use it."""

    sandboxed: bool = False  #: known after `start`

    def __init__(self, *, processes: int, allow_unsandboxed: bool = False) -> None:
        self._allow_unsandboxed = allow_unsandboxed
        self._nursery = Nursery()
        self._pool = Pool(self._nursery, processes)

    def start(self) -> None:
        """Start the nursery and a warm child for every place; call it before any model loads.

        Raises:
            SandboxUnavailable: no filter can be installed here and nobody allowed to go without.
            DecoderDied: children cannot be started at all.
        """
        self._nursery.start()
        self._pool.fill()
        self.sandboxed = self._pool.sandboxed()
        if not self.sandboxed and not self._allow_unsandboxed:
            self.stop()
            raise SandboxUnavailable

    def stop(self) -> None:
        """End all children; a recording being decoded ends with DecoderDied."""
        self._pool.empty()
        self._nursery.stop()

    @contextmanager
    def open(
        self,
        sound: BinaryIO,
        *,
        tenant: str,
        limits: Limits,
        separate: bool = False,
        alive: Callable[[], None] = lambda: None,
    ) -> Iterator["Decoding"]:
        """Begin to decode `sound`, an open regular file; blocks until a child is free.

        Its position is neither used nor changed. `alive` is called about once a second while
        waiting and decoding; what it raises ends the decoding.

        Raises (here and while iterating):
            RefusedAudio: one of its leaves; repeating changes nothing.
            DecoderDied: the child was killed or crashed; repeating may help.
        """
        size = _size(sound, limits)
        child = self._pool.take(tenant, alive)
        decoding = Decoding(child, limits, _allowance(size, limits), _paced(alive))
        try:
            decoding.begin(sound.fileno(), size, separate)
            yield decoding
        finally:
            self._pool.give(tenant, child, clean=decoding.finished)


class Decoding:
    """One recording being decoded; iterate once."""

    facts: Facts

    def __init__(
        self, child: Child, limits: Limits, allowance: Allowance, alive: Callable[[], None]
    ) -> None:
        self._child, self._limits = child, limits
        self._allowance, self._alive = allowance, alive
        self._max_s = limits.max_seconds
        self._n_channels = 1
        self._n_samples = 0
        self.cautions: list[Caution] = []
        self.finished = False

    @property
    def duration_s(self) -> float:
        """Seconds decoded so far."""
        return self._n_samples / SAMPLE_RATE

    def begin(self, fd: int, size: int, separate: bool) -> None:
        """Hand the file to the child and learn the facts."""
        self._child.begin(fd, size, separate, self._allowance)
        said = self._hear("facts")
        self.facts = _facts(said)
        self._n_channels = self.facts.channels if separate else 1
        per_second = self.facts.channels * self.facts.sample_rate_hz
        if per_second > SAMPLES_PER_SECOND:
            self._max_s *= SAMPLES_PER_SECOND / per_second
        promised_s = self.facts.duration_s if said.get("promised") is True else None
        # Hours that would be refused in the end are not decoded first.
        if promised_s is not None and promised_s > self._max_s + PROMISE_TOLERANCE_S:
            raise self._too_long()

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Blocks of at most a second: float32, (n_channels, n_samples), 16 kHz, -1..1."""
        checked_at = time.monotonic()
        while (said := self._hear("tray", "end"))["say"] == "tray":
            for piece in self._child.pieces(said.get("bytes"), self._n_channels):
                block = self._block(piece)
                if time.monotonic() - checked_at > ALIVE_S / 4:
                    checked_at = time.monotonic()
                    self._child.check(self._allowance, self.duration_s)
                    self._alive()
                yield block
        self.cautions = _cautions(said)
        self.finished = True

    def _hear(self, *expected: str) -> dict[str, Any]:
        said = self._child.hear(self._allowance, self.duration_s, self._alive)
        if said.get("say") == "refused":
            raise _refusal(said, self._child)
        if said.get("say") not in expected:
            raise DecoderDied("The decoder answered nonsense.")
        return said

    def _block(self, piece: memoryview) -> NDArray[np.float32]:
        interleaved = np.frombuffer(piece, np.float32).reshape(-1, self._n_channels)
        self._n_samples += len(interleaved)
        if self.duration_s > self._max_s:
            raise self._too_long()
        # A copy even of one channel: what is checked must be what is used.
        return sane(np.array(interleaved.T, order="C"))

    def _too_long(self) -> AudioTooLong:
        signal = f" at {self.facts.channels} channels and {self.facts.sample_rate_hz} Hz"
        return AudioTooLong(
            f"The recording is longer than {self._max_s:g} s"
            f"{signal if self._max_s < self._limits.max_seconds else ''}; "
            "split it, or raise the tier.",
            **self._child.end().figures(),
        )


def sane(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """In place: float files may hold values beyond full scale, infinities and NaN."""
    np.clip(block, -1.0, 1.0, out=block)
    # One NaN makes the sum NaN, which is cheaper to see than every sample.
    if math.isnan(float(block.sum())):
        np.nan_to_num(block, copy=False)
    return block


def _size(sound: BinaryIO, limits: Limits) -> int:
    found = os.fstat(sound.fileno())
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("only regular files can be decoded")
    if not found.st_size:
        raise EmptyAudio
    if found.st_size > limits.max_bytes:
        raise AudioTooLarge(
            f"The file has {found.st_size} bytes; the tier allows {limits.max_bytes}. "
            "Compress or split it, or raise the tier."
        )
    return found.st_size


def _allowance(size: int, limits: Limits) -> Allowance:
    return Allowance(
        cpu_s=CPU_BASE_S + CPU_PER_MIB_S * size / 2**20,
        per_decoded_s=CPU_PER_DECODED_S,
        memory_bytes=MEMORY_BYTES + int(MEMORY_PER_HOUR_BYTES * limits.max_seconds / 3600),
        patience_s=PATIENCE_S,
        max_seconds=limits.max_seconds,
    )


def _paced(alive: Callable[[], None]) -> Callable[[], None]:
    """`alive`, at most once a second however often it is called."""
    last = time.monotonic()

    def call() -> None:
        nonlocal last
        if time.monotonic() - last >= ALIVE_S:
            last = time.monotonic()
            alive()

    return call


def _facts(said: dict[str, Any]) -> Facts:
    """The child's facts, if they are possible at all."""
    container, codec = said.get("container"), said.get("codec")
    rate, channels, duration = (
        said.get("sample_rate_hz"),
        said.get("channels"),
        said.get("duration_s"),
    )
    possible = (
        container in CONTAINERS
        and isinstance(codec, str)
        and CODEC.fullmatch(codec)
        and isinstance(rate, int)
        and MIN_RATE_HZ <= rate <= MAX_RATE_HZ
        and isinstance(channels, int)
        and 1 <= channels <= MAX_CHANNELS
        and (duration is None or (isinstance(duration, float) and 0 < duration < math.inf))
    )
    if not possible:
        raise DecoderDied("The decoder answered nonsense.")
    return Facts(str(container), str(codec), int(rate or 0), int(channels or 0), duration)


def _cautions(said: dict[str, Any]) -> list[Caution]:
    try:
        return [
            Caution(_caution_code(c["code"]), _sentence(c["message"])) for c in said["cautions"]
        ]
    except (KeyError, TypeError) as error:
        raise DecoderDied("The decoder answered nonsense.") from error


def _caution_code(code: object) -> str:
    if not isinstance(code, str) or not CAUTION.fullmatch(code):
        raise TypeError
    return code


def _refusal(said: dict[str, Any], child: Child) -> RefusedAudio | DecoderDied:
    leaf = REFUSALS.get(str(said.get("code")))
    figures = child.end().figures()
    if leaf is None:
        return DecoderDied("The decoder answered nonsense.", **figures)
    return leaf(_sentence(said.get("message")), **figures)


def _sentence(said: object) -> str:
    """What a child says to people, without anything that is not plain text."""
    return "".join(c for c in str(said) if c.isprintable())[:MAX_SENTENCE]
