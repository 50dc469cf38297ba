"""ask -> chapter by chapter: read what is known, digest it, keep the plan -> index."""

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
    KEYS_JSON,
    RECORDING_JSON,
    TENANT_JSON,
    Asked,
    Chapter,
    Dossier,
    Entry,
    Index,
    digests,
    indexed,
    original_path,
    texted,
    to_json,
)
from shared.domain.recording import Recording, UploadedObject
from shared.domain.states import State
from shared.domain.tenant_papers import keys_json, tenant_json
from shared.errors import ExportOver, UnknownTenant
from shared.flows.export_plans import ExportPlans
from shared.ports import ApiKeys, Clock, Corrections, Recordings, Results, Tenants, Uploads

#: Bytes of sound read at a time.
BLOCK = 4 << 20
#: What files of a result may be called in an archive; ours all are.
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
#: Times a recording is read again that changes while it is read.
LOOKS = 5


@dataclass(frozen=True, slots=True)
class PlanExport:
    """Safe to repeat at any step: chapters are create-only, and whoever comes second takes what
    the first one kept."""

    tenants: Tenants
    recordings: Recordings
    corrections: Corrections
    api_keys: ApiKeys
    uploads: Uploads
    results: Results
    plans: ExportPlans
    now: Clock

    def ask(self, asked: Asked) -> None:
        """Begin. Nothing is read yet.

        Raises:
            UnknownTenant: there is none.
        """
        if self.tenants.get(asked.tenant) is None:
            raise UnknownTenant
        self.plans.begin(asked)

    def asked(self, export_id: str) -> Asked:
        """What was asked for.

        Raises:
            ExportOver: its day has passed, something in it was erased, or it never was.
        """
        found = self.plans.asked(export_id)
        if found is None or self.now() >= found.ends_at:
            raise ExportOver
        return found

    def go_on(self, asked: Asked) -> Index | None:
        """Plan one more chapter; the index once there is none to plan.

        Raises:
            ExportOver: something of the tenant was erased meanwhile.
        """
        index = self.plans.index(asked)
        if index is not None:
            return index
        number, last = self.plans.last(asked)
        if last is None or not last.last:
            made = self._chapter(asked, last)
            self.plans.add(asked, number, made)
            self._check(asked, made)
            if not made.last:
                return None
        index = indexed(asked, self.plans.chapters(asked))
        self.plans.finish(asked, index)
        return index

    def _check(self, asked: Asked, made: Chapter) -> None:
        """What was erased while this was read and kept is not kept.

        An erasure marks the recording first and removes the tenant's plans then: it came either
        before this look, which sees the mark, or after it and finds the chapter.
        """
        ids = list(dict.fromkeys(e.recording_id for e in made.entries if e.recording_id))
        known = self.recordings.many(ids) if ids else {}
        gone = any(one.state is State.ERASED for one in known.values()) or len(known) < len(ids)
        if gone or self.plans.asked(asked.id) is None:
            self.plans.withdraw(asked.tenant)
            raise ExportOver

    def _chapter(self, asked: Asked, before: Chapter | None) -> Chapter:
        draft = _Draft([] if before else list(self._papers(asked)))
        # Newest first, as everywhere; no recording has an id before "0".
        after = (before and before.after) or (asked.at, "0")
        rows = self.recordings.page(asked.tenant, before=after, limit=CHAPTER_RECORDINGS + 1)
        for row in rows[:CHAPTER_RECORDINGS]:
            draft.add(row, list(self._entries(asked, row)))
            if draft.full:
                break
        at_end = not rows or draft.after == (rows[-1].received_at, rows[-1].id)
        return Chapter(tuple(draft.entries), draft.recordings, draft.after or after, at_end)

    def _papers(self, asked: Asked) -> Iterator[Entry]:
        """What is the tenant's and no recording's."""
        tenant = self.tenants.get(asked.tenant)
        if tenant is None:
            raise ExportOver
        yield texted(TENANT_JSON, tenant_json(tenant))
        yield texted(KEYS_JSON, keys_json(self.api_keys.all(asked.tenant)))

    def _entries(self, asked: Asked, row: Recording) -> Iterator[Entry]:
        dossier = self._dossier(row)
        known = dossier.recording
        if known.state is State.ERASED:
            return
        upload = self.uploads.stat(known.name, known.generation) if asked.originals else None
        if upload is not None:
            dossier = replace(dossier, original=original_path(known), upload=upload)
        yield texted(f"recordings/{known.id}/{RECORDING_JSON}", to_json(dossier))
        for name in self.results.names(known.result) if known.result else ():
            if _NAME.fullmatch(name):
                yield self._result(known, name)
        if upload is not None:
            yield self._original(known, upload)

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


@dataclass(slots=True)
class _Draft:
    """A chapter that grows."""

    entries: list[Entry]
    recordings: int = 0
    sound: int = 0  #: bytes
    text: int = 0  #: bytes
    after: tuple[datetime, str] | None = None

    def add(self, row: Recording, entries: Sequence[Entry]) -> None:
        self.entries += entries
        self.after, self.recordings = (row.received_at, row.id), self.recordings + bool(entries)
        self.sound += sum(one.size_bytes for one in entries if one.upload)
        self.text += sum(one.size_bytes for one in entries if one.text is not None)

    @property
    def full(self) -> bool:
        return self.sound >= CHAPTER_SOUND or self.text >= CHAPTER_TEXT
