"""An export: all of a tenant in one zip, planned before the first byte of it is sent.

The plan is a list of chapters, each with some recordings. It keeps what may change (what is known
of a recording, its history, its corrections) as text, and of what never changes (results, the sound
itself) only where it lies, its size and digests. So every byte of the archive follows from the
plan, and is read where it lies when it is sent.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from zlib import crc32

from pydantic import TypeAdapter

from shared.domain.corrections import Correction
from shared.domain.names import TENANT
from shared.domain.recording import Moved, Recording, UploadedObject
from shared.domain.zips import END_BYTES, Member, listed_bytes, stored_bytes

FORMAT = "earwitness.export/v1"
#: How long an archive can be fetched: what lies in the temporary place lives no longer.
VALID = timedelta(hours=24)
#: Recordings of a chapter, and the bytes at which one is full before: of sound, which is read once
#: for its digests, and of text, which is held in memory.
CHAPTER_RECORDINGS, CHAPTER_SOUND, CHAPTER_TEXT = 100, 1 << 30, 8 << 20
#: The last entry: a line of JSON for the whole, one for each other entry, and one that adds up.
MANIFEST = "manifest.jsonl"
#: What is the tenant's and no recording's.
TENANT_JSON, KEYS_JSON, WEBHOOKS_JSON = "tenant.json", "keys.json", "webhooks.json"
RECORDING_JSON = "recording.json"
_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}$")
_ID = re.compile(rf"({TENANT.pattern})-([0-7][0-9A-HJKMNP-TV-Z]{{25}})")


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asked for; never changed afterwards."""

    id: str  #: {tenant}-{ULID}
    tenant: str
    originals: bool
    at: datetime  #: what came later is not in it
    versions: dict[str, str]

    @property
    def ends_at(self) -> datetime:
        return self.at + VALID


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the archive, and where its bytes are: exactly one of the last three is set."""

    path: str
    size_bytes: int
    crc32: int
    sha256: str
    text: str | None = None
    result: str | None = None  #: folder of the results; its name there is the path's last part
    upload: tuple[str, int] | None = None  #: name and generation

    @property
    def member(self) -> Member:
        return Member(self.path, self.size_bytes, self.crc32)

    @property
    def recording_id(self) -> str | None:
        kind, _, rest = self.path.partition("/")
        return rest.partition("/")[0] if kind == "recordings" else None


class Stage(StrEnum):
    """What chapters are about, in this order.

    Seals come before what they are about, so that nothing is sealed that is not there.
    """

    PAPERS = "papers"
    SEALS = "seals"
    ACTIONS = "actions"
    CHAINS = "chains"
    RECORDINGS = "recordings"


@dataclass(frozen=True, slots=True)
class Chapter:
    """Some entries of one stage, and where the next chapter goes on."""

    stage: Stage
    number: int  #: in its stage, from 0
    entries: tuple[Entry, ...]
    more: bool  #: whether its stage goes on
    recordings: int = 0
    at: datetime | None = None  #: moment and id of the last one in it, as pages are asked for
    after: str = ""

    @property
    def last(self) -> bool:
        return not self.more and self.stage is tuple(Stage)[-1]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Where a chapter lies in the archive."""

    at: int
    stored: int  #: bytes of its entries with their headers
    lines: int  #: bytes of its lines in the manifest
    listed: int  #: bytes of its lines in the directory


@dataclass(frozen=True, slots=True)
class Index:
    """Where everything lies in the archive."""

    manifest: Member
    etag: str  #: SHA-256 of the manifest, which names the digest of everything else
    foot: str  #: the manifest's last line
    stretches: tuple[Stretch, ...]
    recordings: int
    members: int
    directory_at: int
    size_bytes: int

    @property
    def manifest_at(self) -> int:
        """Where the manifest begins, with its header."""
        return self.directory_at - stored_bytes(self.manifest)

    @property
    def listed(self) -> int:
        """Bytes of the directory."""
        return self.size_bytes - self.directory_at - END_BYTES


def tenant_of(export_id: str) -> str | None:
    """Whose export this would be; None if it is no export's id."""
    match = _ID.fullmatch(export_id)
    return match[1] if match else None


def texted(path: str, document: bytes) -> Entry:
    return Entry(path, len(document), *digests(document), text=document.decode())


def digests(content: bytes) -> tuple[int, str]:
    return crc32(content), hashlib.sha256(content).hexdigest()


def original_path(known: Recording) -> str:
    """Only the ending is of the uploader's making, and only a plain one."""
    match = _SUFFIX.search(known.path.lower())
    return f"recordings/{known.id}/original{match[0] if match else ''}{known.original.ending}"


@dataclass(frozen=True, slots=True)
class Dossier:
    """All that is known of one recording besides its results."""

    recording: Recording
    history: tuple[Moved, ...] = ()
    corrections: tuple[Correction, ...] = ()
    #: Of the sound, where it is in the archive: its path there, and the object it was.
    original: str | None = None
    upload: UploadedObject | None = None


#: Of what is written as JSON, a document each.
_KINDS: dict[type, TypeAdapter[Any]] = {
    kind: TypeAdapter(kind) for kind in (Dossier, Asked, Chapter, Index)
}


def to_json(value: Dossier | Asked | Chapter | Index) -> bytes:
    document: bytes = _KINDS[type(value)].dump_json(value)
    return document


def dossier_of(document: bytes) -> Dossier:
    """Raises ValueError (pydantic's): this is none."""
    made: Dossier = _KINDS[Dossier].validate_json(document)
    return made


def asked_of(document: bytes) -> Asked:
    made: Asked = _KINDS[Asked].validate_json(document)
    return made


def chapter_of(document: bytes) -> Chapter:
    made: Chapter = _KINDS[Chapter].validate_json(document)
    return made


def index_of(document: bytes) -> Index:
    made: Index = _KINDS[Index].validate_json(document)
    return made


def lines(chapter: Chapter) -> bytes:
    """The chapter's part of the manifest."""
    return b"".join(
        _line({"path": e.path, "size": e.size_bytes, "sha256": e.sha256}) for e in chapter.entries
    )


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def head(asked: Asked) -> bytes:
    """The manifest's first line."""
    return _line(
        {
            "format": FORMAT,
            "id": asked.id,
            "tenant": asked.tenant,
            "made_at": asked.at.isoformat(),
            "originals": asked.originals,
            "versions": asked.versions,
        }
    )


class _Manifest:
    """Adds up what the manifest will be, without holding it."""

    def __init__(self, head: bytes) -> None:
        self.size_bytes, self.crc32, self.sha256 = 0, 0, hashlib.sha256()
        self.add(head)

    def add(self, text: bytes) -> None:
        self.size_bytes += len(text)
        self.crc32 = crc32(text, self.crc32)
        self.sha256.update(text)


def indexed(asked: Asked, chapters: Iterable[Chapter]) -> Index:
    """Where everything lies, in one pass; the manifest comes last, for it names all the others."""
    manifest, stretches = _Manifest(head(asked)), list[Stretch]()
    at = recordings = members = content = 0
    for chapter in chapters:
        text = lines(chapter)
        manifest.add(text)
        stretches.append(_stretch(chapter, at, len(text)))
        at += stretches[-1].stored
        recordings += chapter.recordings
        members += len(chapter.entries)
        content += sum(one.size_bytes for one in chapter.entries)
    foot = _line({"recordings": recordings, "entries": members, "size_bytes": content})
    manifest.add(foot)
    last = Member(MANIFEST, manifest.size_bytes, manifest.crc32)
    listed = sum(one.listed for one in stretches) + listed_bytes(last, at)
    directory_at = at + stored_bytes(last)
    return Index(
        manifest=last,
        etag=manifest.sha256.hexdigest(),
        foot=foot.decode(),
        stretches=tuple(stretches),
        recordings=recordings,
        members=members + 1,
        directory_at=directory_at,
        size_bytes=directory_at + listed + END_BYTES,
    )


def _stretch(chapter: Chapter, begin: int, lines: int) -> Stretch:
    at, listed = begin, 0
    for one in chapter.entries:
        listed += listed_bytes(one.member, at)
        at += stored_bytes(one.member)
    return Stretch(begin, at - begin, lines, listed)
