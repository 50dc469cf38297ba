"""Originals as FLAC: MB a second and size beside the flac tool with --verify; memory.

CPU seconds of everything that works, so that the load of the machine moves the figures less. Ours
looks at the chunks, encodes, hashes, decodes again, restores the whole file and hashes that; the
tool decodes while it encodes and compares the samples. So half its rate is the goal: there are two
SHA-256 and an MD5 more, of all bytes. Levels of FFmpeg's encoder and of the tool are not the same
work; 5 is the usual one of both.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.measuring import goal, interleaved
from gpu_service.archiving.encoder import LEVEL
from gpu_service.archiving.flac import compress
from tests.gpu_service.originals import extensible_format, pcm_format, wave

MB = 1_000_000
#: Bytes of each sound: seconds of work for everybody.
SOUND = 24 * MB
#: MB of sound, and how many times as many must not cost more memory.
FEW, MANY = 3, 300
TEXT = "The train to Hamburg leaves today from platform seven, and nobody knows why. " * 20


def run() -> bool:
    if not shutil.which("flac"):
        print("  MISS there is no flac to compare with (apt-get install flac)")
        return False
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        met = [_beside_tool(name, content, Path(folder)) for name, content in sounds().items()]
        return all(met) & _memory()


def sounds() -> dict[str, bytes]:
    """Speech, noise and music; each a file of about as many bytes."""
    dice = np.random.default_rng(1)
    noise = dice.integers(-3_000, 3_000, SOUND // 2, dtype=np.int16).tobytes()
    return {
        "espeak-ng, 22 kHz": wave(_spoken("espeak-ng", "--stdout", TEXT), pcm_format(1, 22_050)),
        "flite, 16 kHz": wave(_by_flite(), pcm_format(1, 16_000)),
        "noise, stereo": wave(noise, pcm_format(2, 48_000)),
        "music, 24 bits": wave(_music(dice), extensible_format(2, 48_000, 24, 0x3)),
    }


def _spoken(*command: str) -> bytes:
    said = subprocess.run(command, check=True, capture_output=True).stdout
    sound = said[said.index(b"data") + 8 :]
    return (sound * (SOUND // len(sound) + 1))[: SOUND // 2 * 2]


def _by_flite() -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        return _spoken("sh", "-c", f"flite -t '{TEXT}' -o {file.name} && cat {file.name}")


def _music(dice: np.random.Generator) -> bytes:
    """Sixty plucked notes with four overtones, somewhere between left and right, and hiss."""
    time_s = np.arange(SOUND // 6) / 48_000
    both = dice.normal(0, 2e-4, (len(time_s), 2))
    for _ in range(60):
        after = np.clip(time_s - dice.uniform(0, time_s[-1]), 0, None)
        pitch, left = 110 * 2 ** (dice.integers(0, 36) / 12), dice.uniform(0.2, 0.8)
        tones = sum(np.sin(2 * np.pi * pitch * n * after) / n**1.5 for n in range(1, 5))
        both += (0.05 * tones * np.exp(-3 * after))[:, np.newaxis] * [left, 1 - left]
    wide = (np.clip(both, -1, 1) * (2**23 - 1)).astype("<i4").reshape(-1, 1)
    return wide.view(np.uint8)[:, :3].tobytes()


def _beside_tool(name: str, content: bytes, folder: Path) -> bool:
    file, made = folder / "sound.wav", {"ours": folder / "ours.flac", "tool": folder / "tool.flac"}
    file.write_bytes(content)
    told = ("flac", "-f", "--totally-silent", f"-{LEVEL}", "--verify", "--keep-foreign-metadata")
    tool = (*told, str(file), "-o", str(made["tool"]))
    print(f"  {name}: MB of the original a CPU second")
    cases = {
        "ours: encoded, restored, compared": lambda: _rate(lambda: _ours(file, made["ours"])),
        f"flac -{LEVEL} --verify": lambda: _rate(lambda: subprocess.run(tool, check=True)),
    }
    ours, theirs = interleaved(cases, "MB/s").values()
    sizes = {who: path.stat().st_size / len(content) for who, path in made.items()}
    print(f"  {name}: {sizes['ours']:.4f} of the original, the tool {sizes['tool']:.4f}")
    met = goal(f"{name}: rate / flac", ours.median / theirs.median, 0.5)
    return met & goal(f"{name}: size / flac", sizes["ours"] / sizes["tool"], 1.02, at_most=True)


def _rate(act: Callable[[], object]) -> float:
    begun = _cpu_s()
    act()
    return SOUND / MB / (_cpu_s() - begun)


def _cpu_s() -> float:
    """Of this process and of the children it waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _ours(file: Path, made: Path) -> None:
    with file.open("rb") as original, made.open("w+b") as into:
        here = original.fileno()
        compress(lambda at, n: os.pread(here, n, at), file.stat().st_size, into, lambda: None)


def _memory() -> bool:
    """Of a process of its own that compresses little and much."""
    few, many = (_peak_mb(megabytes) for megabytes in (FEW, MANY))
    print(f"  peak memory: {few:.0f} MB for {FEW} MB of sound, {many:.0f} MB for {MANY} MB")
    return goal("peak memory at a hundred times the size", many / few, 1.1, at_most=True)


def _peak_mb(megabytes: int) -> float:
    made = subprocess.run(
        [sys.executable, "-m", "bench.archiving", str(megabytes)],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(made.stdout)


def main(megabytes: int) -> None:
    """Compress so many MB of a hum; print this process's peak memory in MB."""
    hum = (3_000 * np.sin(np.arange(MB // 2) / 50)).astype("<i2").tobytes()
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        file = Path(folder) / "hum.wav"
        with file.open("wb") as out:
            size = megabytes * len(hum)
            head = bytearray(wave(b"", pcm_format(1, 48_000)))
            head[4:8], head[40:] = (size + 36).to_bytes(4, "little"), size.to_bytes(4, "little")
            out.write(head)
            for _ in range(megabytes):
                out.write(hum)
        _ours(file, Path(folder) / "hum.flac")
    # VmHWM and not getrusage(2), which begins with what the parent had when it started this.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(int(status.split("VmHWM:")[1].split()[0]) * 1024 / MB)


if __name__ == "__main__":
    main(int(sys.argv[1]))
