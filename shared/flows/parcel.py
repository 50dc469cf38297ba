"""zip -> its names -> every checksum of its manifest -> its papers: all of it, or refused."""

import hashlib
import json
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from pydantic import ValidationError

from shared.domain import long_term
from shared.domain.exports import FORMAT, MANIFEST, RECORDING_JSON, TENANT_JSON, Dossier, dossier_of
from shared.domain.names import ARCHIVED, ROOT, TENANT, recording_id
from shared.domain.readdressed import folder_of
from shared.domain.recording import Recording
from shared.domain.result import read as read_result
from shared.domain.tenant_papers import tenant_of
from shared.domain.tenants import Tenant
from shared.errors import ImportRefused

#: Bytes read at a time.
BLOCK = 1 << 20
#: Bytes. A line of the manifest is some 200; a document of ours has at most some tens of millions
#: (twelve hours of words with their times), and one that says it has more is not read.
MAX_LINE, MAX_DOCUMENT = 4 << 10, 512 << 20
#: What files of an export are called; an archive with any other is refused.
_OF_RECORDING = re.compile(
    r"recordings/([0-9a-f]{32})/"
    r"(recording\.json|original(?:\.[a-z0-9]{1,5}){0,2}|results/[a-z0-9][a-z0-9_.-]{0,63})"
)
_OF_TENANT = re.compile(r"[a-z_]{1,40}\.jsonl?|audit/[a-z0-9_-]{1,64}\.jsonl?")
#: The bit of a file that is encrypted. Source: PKWARE's specification, section 4.4.4.
_ENCRYPTED = 1
#: What the library says of damaged headers, besides that they are.
_DAMAGED = (BadZipFile, NotImplementedError, UnicodeDecodeError, EOFError, OverflowError)
AGAIN = "Fetch the export again, and import the file as it came."


@dataclass(frozen=True, slots=True)
class Parcel:
    """An archive whose every byte was compared with its manifest."""

    file: ZipFile
    digest: str  #: SHA-256 of its manifest, which names everything in it
    tenant: Tenant
    parts: dict[str, tuple[str, ...]]  #: a recording's files; the newest recording first

    def dossier(self, known_id: str) -> Dossier:
        return dossier_of(self.file.read(f"recordings/{known_id}/{RECORDING_JSON}"))

    def results(self, known_id: str) -> dict[str, bytes]:
        """The files of its result, by name."""
        names = [one for one in self.parts[known_id] if one.startswith("results/")]
        prefix = f"recordings/{known_id}/"
        return {one.partition("/")[2]: self.file.read(prefix + one) for one in names}

    def original(self, dossier: Dossier) -> IO[bytes]:
        """Its sound, to be closed after reading; of a dossier that has one."""
        assert dossier.original is not None
        return self.file.open(dossier.original)


@contextmanager
def opened(file: BinaryIO) -> Iterator[Parcel]:
    """The archive, once all of it was verified.

    Raises:
        ImportRefused: it is damaged, cut short, changed, or no export of ours.
    """
    try:
        archive = ZipFile(file)
    except _DAMAGED as error:
        raise ImportRefused(f"The file is no whole zip archive. {AGAIN}") from error
    with archive:
        yield _verified(archive)


def _verified(archive: ZipFile) -> Parcel:
    listed = _listed(archive)
    if MANIFEST not in listed or TENANT_JSON not in listed:
        raise ImportRefused("The file is no export: its manifest or its tenant is missing.")
    try:
        digest = _compared(archive, listed)
        tenant = tenant_of(archive.read(TENANT_JSON))
        parcel = Parcel(archive, digest, tenant, _parts(listed))
        _check_tenant(tenant, parcel)
    except _DAMAGED as error:
        raise ImportRefused(f"A file of the archive is damaged. {AGAIN}") from error
    except ValidationError as error:
        raise ImportRefused(
            "A document of the export is none of ours, or of a newer Earwitness."
        ) from error
    return parcel


def _listed(archive: ZipFile) -> dict[str, ZipInfo]:
    """Every file by its name, none of which is looked at before its name and kind are known.

    Everything is stored as it is, so nothing grows when it is read, and all files together are no
    longer than the archive, so none lie upon each other.
    """
    found: dict[str, ZipInfo] = {}
    for one in archive.infolist():
        if one.filename in found:
            raise ImportRefused("The archive has two files of one name. No export has.")
        if not (_OF_RECORDING.fullmatch(one.filename) or _OF_TENANT.fullmatch(one.filename)):
            raise ImportRefused("The archive has a file whose name no export gives.")
        _check_kind(one)
        found[one.filename] = one
    if sum(one.file_size for one in found.values()) > archive.start_dir:
        raise ImportRefused("The archive's files are longer than itself. No export's are.")
    return found


def _check_kind(one: ZipInfo) -> None:
    kind = stat.S_IFMT(one.external_attr >> 16)
    plain = kind in (0, stat.S_IFREG) and not one.flag_bits & _ENCRYPTED
    if not plain or one.compress_type != ZIP_STORED or one.compress_size != one.file_size:
        raise ImportRefused(f"The archive was packed anew: it holds no plain files. {AGAIN}")
    if (
        one.file_size > MAX_DOCUMENT
        and "/original" not in one.filename
        and one.filename != MANIFEST
    ):
        raise ImportRefused("The archive has a document longer than any of ours.")


def _compared(archive: ZipFile, listed: Mapping[str, ZipInfo]) -> str:
    """Compare every file with its line of the manifest; returns the manifest's digest."""
    digest, seen, size = hashlib.sha256(), set[str](), 0
    lines = _lines(archive, digest.update)
    _check_head(next(lines, {}))
    last: dict[str, Any] = {}
    for line in lines:
        if "path" not in line:
            last = line
            break
        _check_file(archive, listed, line, seen)
        seen.add(line["path"])
        size += listed[line["path"]].file_size
    whole = (last.get("entries"), last.get("size_bytes")) == (len(seen), size)
    if not whole or next(lines, None) is not None or seen | {MANIFEST} != listed.keys():
        raise ImportRefused(f"The archive and its manifest do not name the same files. {AGAIN}")
    return digest.hexdigest()


def _lines(archive: ZipFile, read: Any) -> Iterator[dict[str, Any]]:
    """The manifest's lines, one at a time."""
    with archive.open(MANIFEST) as file:
        while text := file.readline(MAX_LINE + 1):
            read(text)
            try:
                line = json.loads(text) if len(text) <= MAX_LINE else None
            except ValueError:
                line = None
            if not isinstance(line, dict):
                raise ImportRefused(f"The manifest cannot be read. {AGAIN}")
            yield line


def _check_head(head: Mapping[str, Any]) -> None:
    form = str(head.get("format"))
    if form != FORMAT:
        newer = form.startswith(FORMAT.rpartition("/")[0])
        raise ImportRefused(
            "The export is of a newer version of Earwitness. Import it with that one."
            if newer
            else "The file is no export: its manifest says something else."
        )


def _check_file(
    archive: ZipFile, listed: Mapping[str, ZipInfo], line: Mapping[str, Any], seen: set[str]
) -> None:
    path = line["path"]
    if not isinstance(path, str) or path not in listed or path in seen:
        raise ImportRefused(f"The manifest names a file that is not in the archive. {AGAIN}")
    digest = hashlib.sha256()
    with archive.open(path) as file:
        while block := file.read(BLOCK):
            digest.update(block)
    if (listed[path].file_size, digest.hexdigest()) != (line.get("size"), line.get("sha256")):
        raise ImportRefused(f"A file of the archive is not as its manifest says. {AGAIN}")


def _parts(listed: Mapping[str, ZipInfo]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for name in listed:
        if match := _OF_RECORDING.fullmatch(name):
            found.setdefault(match[1], []).append(match[2])
    return {known_id: tuple(parts) for known_id, parts in found.items()}


def _check_tenant(tenant: Tenant, parcel: Parcel) -> None:
    if not TENANT.fullmatch(tenant.id):
        raise ImportRefused("The export's tenant has a name that no tenant has.")
    for known_id, parts in parcel.parts.items():
        if RECORDING_JSON not in parts:
            raise ImportRefused("A recording of the export has no papers.")
        _check_dossier(parcel, known_id, parts)


def _check_dossier(parcel: Parcel, known_id: str, parts: tuple[str, ...]) -> None:
    """What will become names of objects and folders follows from what it says, and from nothing
    else: an id from the object's name, a folder from the id."""
    dossier = parcel.dossier(known_id)
    known = dossier.recording
    own = known.id == known_id and known.tenant == parcel.tenant.id and _named(known)
    whole = known.result is None or "results/result.json" in parts
    here = dossier.original in (None, *(f"recordings/{known_id}/{part}" for part in parts))
    if not (own and whole and here and _of_it(dossier)):
        raise ImportRefused("The papers of a recording do not fit it. No export's are so.")
    if known.result is not None:
        read_result(parcel.file.read(f"recordings/{known_id}/results/result.json"))


def _named(known: Recording) -> bool:
    in_folder = known.name.startswith(f"{ROOT}/{known.tenant}/")
    return in_folder and known.id == recording_id(known.bucket, known.name, known.generation)


def _of_it(dossier: Dossier) -> bool:
    known, upload = dossier.recording, dossier.upload
    try:
        folder = folder_of(known)
    except ValueError:
        return False
    mine = all(one.recording_id == known.id for one in dossier.corrections)
    same = (known.original.name, known.original.generation)
    lies = upload is not None and (upload.name, upload.generation) == same
    heard = folder == known.result and mine and _shelved(known)
    return heard and (lies or dossier.original is None)


def _shelved(known: Recording) -> bool:
    """Whether its FLAC, if it has one, is in its own folder of the archive."""
    name = known.archived.name if known.archived else None
    mine = long_term.folder_of(known.tenant, known.id)
    return name is None or (bool(ARCHIVED.fullmatch(name)) and name.startswith(mine))
