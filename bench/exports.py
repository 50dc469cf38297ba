"""Exports: MB a second planned, sent, brought back in, beside the standard library; memory."""

import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from bench.measuring import goal, interleaved
from shared import wiring
from shared.domain.exports import Asked, Index
from shared.domain.ulids import ENTROPY_BYTES
from shared.settings import Settings
from tests.gateway.testimony import Filled

MB = 1_000_000
#: Bytes of one recording's sound: an hour of MP3 at 64 kbit/s is 29 MB.
SOUND = 25 * MB
#: Recordings with sound, and how many times as many must not cost more memory.
FEW, MANY = 4, 40
#: Recordings without their sound: what one costs.
SMALL = 500


class House:
    """A HOME with recordings of one tenant, and exports of it."""

    def __init__(self, home: Path, recordings: int, sound: int) -> None:
        self.parts = wiring.parts(Settings(home=home))
        store, noise = Filled(self.parts), os.urandom(sound)
        for n in range(recordings):
            store.done(f"{n}.wav", content=n.to_bytes(8, "big") + noise)

    def planned(self, originals: bool = True) -> tuple[Asked, Index]:
        plan = wiring.plan_export(self.parts)
        asked = plan.begin("demo", originals, os.urandom(ENTROPY_BYTES))
        while (index := plan.go_on(asked)) is None:
            pass
        return asked, index

    def send(self, asked: Asked, index: Index, into: IO[bytes]) -> None:
        for block in wiring.zipped(self.parts, asked, index).read(0, index.size_bytes):
            into.write(block)

    def zipped(self, into: IO[bytes]) -> None:
        """The same sound by the standard library, from the files themselves."""
        with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as made:
            for file in sorted((self.parts.settings.home / "uploads").rglob("*")):
                if file.is_file():
                    made.write(file, file.name)


def mb_s(act: Callable[[], object], size: int) -> float:
    begun = time.perf_counter()
    act()
    return size / MB / (time.perf_counter() - begun)


def run() -> bool:
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        met = _rates(Path(folder))
        met &= _memory(Path(folder))
        _small(Path(folder) / "small")
    return met


def _rates(folder: Path) -> bool:
    house = House(folder / "few", FEW, SOUND)
    asked, index = house.planned()
    size, file, homes = index.size_bytes, folder / "whole.zip", iter(range(1_000))
    with Path(os.devnull).open("wb") as null:
        with file.open("wb") as out:
            house.send(asked, index, out)

        def back() -> None:
            home = wiring.parts(Settings(home=folder / f"back-{next(homes)}"))
            with file.open("rb") as archive:
                wiring.bring_in(home)(archive)

        cases = {
            "planned: read once, SHA-256 and CRC-32": lambda: mb_s(house.planned, size),
            "sent": lambda: mb_s(lambda: house.send(asked, index, null), size),
            "zipfile, stored, from files": lambda: mb_s(lambda: house.zipped(null), size),
            "brought in: verified, then written and synced": lambda: mb_s(back, size),
        }
        found = interleaved(cases, "MB/s")
    sent, peer = found["sent"].median, found["zipfile, stored, from files"].median
    return goal("sent / zipfile", sent / peer, 1.0)


def _memory(folder: Path) -> bool:
    """Of a process of its own that plans, sends and brings in: few and many recordings."""
    few, many = (_peak_mb(folder / f"peak-{n}", n) for n in (FEW, MANY))
    print(f"  peak memory: {few:.0f} MB for {FEW * SOUND / MB:,.0f} MB of sound,")
    print(f"    {many:.0f} MB for {MANY * SOUND / MB:,.0f} MB")
    return goal("peak memory at ten times the size", many / few, 1.1, at_most=True)


def _peak_mb(home: Path, recordings: int) -> float:
    House(home, recordings, SOUND)
    made = subprocess.run(
        [sys.executable, "-m", "bench.exports", str(home)],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(made.stdout)


def _small(home: Path) -> None:
    house = House(home, SMALL, 1_000)
    begun = time.perf_counter()
    asked, index = house.planned(originals=False)
    planned = time.perf_counter()
    with Path(os.devnull).open("wb") as null:
        house.send(asked, index, null)
    sent = time.perf_counter()
    print(
        f"  without sound: {SMALL / (planned - begun):,.0f} recordings planned a second,"
        f" {SMALL / (sent - planned):,.0f} sent, {index.size_bytes / SMALL / 1e3:.1f} kB each"
    )


def main(home: Path) -> None:
    """Plan, send and bring in what is in HOME; print this process's peak memory in MB."""
    house = House(home, 0, 0)
    asked, index = house.planned()
    with tempfile.TemporaryFile(dir=home) as out:
        house.send(asked, index, out)
        out.seek(0)
        wiring.bring_in(wiring.parts(Settings(home=home / "back")))(out)
    # Linux counts in KiB (getrusage(2)).
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
