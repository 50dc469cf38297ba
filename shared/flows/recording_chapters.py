"""a page of recordings -> of each what is known, its results, its sound -> a chapter."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from zlib import crc32

from shared.domain.exports import (
    CHAPTER_RECORDINGS,
    CHAPTER_SOUND,
    CHAPTER_TEXT,
    RECORDING_JSON,
    Asked,
    Chapter,
    Dossier,
    Entry,
    Stage,
    digests,
    original_path,
    texted,
    to_json,
)
from shared.domain.recording import Recording, UploadedObject
from shared.domain.states import State
from shared.ports import Corrections, Recordings, Results, Uploads

#: Bytes of sound read at a time.
BLOCK = 4 << 20
#: What files of a result may be called in an archive; ours all are.
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
#: Times a recording is read again that changes while it is read.
LOOKS = 5


@dataclass(frozen=True, slots=True)
class RecordingChapters:
    """Reads, and changes nothing."""

    recordings: Recordings
    corrections: Corrections
    uploads: Uploads
    results: Results

    def __call__(self, asked: Asked, before: Chapter | None) -> Chapter:
        """The chapter behind `before`: full, or to the end."""
        # Newest first, as everywhere; no recording has an id before "0".
        start = (before.at or asked.at, before.after) if before else (asked.at, "0")
        rows = self.recordings.page(asked.tenant, before=start, limit=CHAPTER_RECORDINGS + 1)
        draft, number = _Draft(start), before.number + 1 if before else 0
        for row in rows[:CHAPTER_RECORDINGS]:
            draft.add(row, list(self._entries(asked, row)))
            if draft.full:
                break
        more = bool(rows) and draft.after != (rows[-1].received_at, rows[-1].id)
        made = tuple(draft.entries)
        return Chapter(Stage.RECORDINGS, number, made, more, draft.recordings, *draft.after)

    def _entries(self, asked: Asked, row: Recording) -> Iterator[Entry]:
        dossier = self._dossier(row)
        known = dossier.recording
        if known.state is State.ERASED:
            return
        upload = self._stat(known) if asked.originals else None
        if upload is not None:
            dossier = replace(dossier, original=original_path(known), upload=upload)
        yield texted(f"recordings/{known.id}/{RECORDING_JSON}", to_json(dossier))
        for name in self.results.names(known.result) if known.result else ():
            if _NAME.fullmatch(name):
                yield self._result(known, name)
        if upload is not None:
            yield self._original(known, upload)

    def _stat(self, known: Recording) -> UploadedObject | None:
        original = known.original
        return self.uploads.stat(original.name, original.generation)

    def _dossier(self, row: Recording) -> Dossier:
        """All of one moment: read again if the recording changed while its history was read."""
        for _ in range(LOOKS):
            history = tuple(self.recordings.history(row.id))
            corrections = tuple(self.corrections.of(row.id))
            now = self.recordings.get(row.id)
            if now is None or now == row:
                break
            row = now
        return Dossier(row, history, corrections)

    def _result(self, known: Recording, name: str) -> Entry:
        content = self.results.load(known.result or "", name)
        path = f"recordings/{known.id}/results/{name}"
        return Entry(path, len(content), *digests(content), result=known.result)

    def _original(self, known: Recording, upload: UploadedObject) -> Entry:
        """The sound, read once for its digests."""
        place = (upload.name, upload.generation)
        crc, digest = 0, sha256()
        for start in range(0, upload.size_bytes, BLOCK):
            block = self.uploads.read(*place, start, BLOCK)
            crc = crc32(block, crc)
            digest.update(block)
        path = original_path(known)
        return Entry(path, upload.size_bytes, crc, digest.hexdigest(), upload=place)


class _Draft:
    """A chapter that grows."""

    def __init__(self, after: tuple[datetime, str]) -> None:
        self.entries: list[Entry] = []
        self.recordings, self._sound, self._text = 0, 0, 0
        self.after = after

    def add(self, row: Recording, entries: Sequence[Entry]) -> None:
        self.entries += entries
        self.after, self.recordings = (row.received_at, row.id), self.recordings + bool(entries)
        self._sound += sum(one.size_bytes for one in entries if one.upload)
        self._text += sum(one.size_bytes for one in entries if one.text is not None)

    @property
    def full(self) -> bool:
        return self._sound >= CHAPTER_SOUND or self._text >= CHAPTER_TEXT
