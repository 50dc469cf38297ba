"""verified archive -> tenant -> per recording, oldest first: results -> recording -> sound."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import BinaryIO

from shared.domain.exports import Dossier
from shared.domain.readdressed import carried, moved_to, result_moved
from shared.domain.recording import Passage, Recording
from shared.domain.result import read, written
from shared.domain.states import TERMINAL, State
from shared.errors import ImportRefused
from shared.flows.parcel import Parcel, opened
from shared.ports import Bookmarks, Clock, Imports, Recordings, Results, Tenants

RESULT = "result.json"


@dataclass(slots=True)
class Report:
    """What an import did."""

    tenant: str
    brought: int = 0
    known: int = 0  #: were there already, from an import that broke off
    left: int = 0  #: unfinished, and without their sound nobody can finish them
    erased: int = 0  #: were erased here, and stay so
    sounds: int = 0


@dataclass(frozen=True, slots=True)
class BringIn:
    """Nothing is changed before all of the archive was verified. After that recordings appear one
    by one, each whole.

    Safe to repeat: an import that broke off goes on with the same archive; what is there stays as
    it is.
    """

    tenants: Tenants
    recordings: Recordings
    results: Results
    imports: Imports
    bookmarks: Bookmarks
    now: Clock

    def __call__(self, file: BinaryIO, tenant: str | None = None) -> Report:
        """Import an archive, as its own tenant or as another one.

        Raises:
            ImportRefused: the archive is damaged or no export, or the tenant has recordings that
                are not of an import of it.
        """
        with opened(file) as parcel:
            name = tenant or parcel.tenant.id
            self._claim(parcel, name)
            self.tenants.put(replace(parcel.tenant, id=name))
            report = Report(name)
            ids = self._ids(parcel, name)
            # Oldest first, as they came: search prefers what came last.
            for known_id in reversed(parcel.parts):
                self._bring(parcel, parcel.dossier(known_id), ids, report)
            return report

    def _claim(self, parcel: Parcel, name: str) -> None:
        """Note whose import fills this tenant, before its first recording."""
        note = f"import-{name}"
        seen = self.bookmarks.get(note)
        if seen == parcel.digest:
            return
        taken = bool(self.recordings.page(name, limit=1))
        if taken or not self.bookmarks.move(note, seen, parcel.digest):
            raise ImportRefused(
                f"The tenant {name} has recordings of its own. Import under another name:"
                " `--tenant NAME`."
            )

    def _ids(self, parcel: Parcel, tenant: str) -> Mapping[str, str]:
        """What becomes of each recording's id; nothing where the tenant stays."""
        if tenant == parcel.tenant.id:
            return {}
        found = (parcel.dossier(one).recording for one in parcel.parts)
        return {one.id: moved_to(one, tenant).id for one in found}

    def _bring(
        self, parcel: Parcel, dossier: Dossier, ids: Mapping[str, str], report: Report
    ) -> None:
        was = dossier.recording
        known = moved_to(was, report.tenant)
        if known.archived is not None:  # and the archive has it all
            known = replace(known, compress_at=None, clear_at=None)
        if was.state not in TERMINAL and dossier.original is None:
            report.left += 1
            return
        if self._erased(known):
            report.erased += 1
            return
        # Results before the recording that points to them, as `work` writes them; the sound after
        # it, for an object that no recording knows would be taken for a new one.
        passages = self._keep(parcel, was, known, ids)
        made = carried(dossier, known, passages, self.now())
        new = self.imports.bring(made)
        report.brought, report.known = report.brought + new, report.known + (not new)
        if dossier.original is not None and dossier.upload is not None:
            upload = replace(dossier.upload, name=known.original.name)
            with closing(parcel.original(dossier)) as sound:
                report.sounds += self.imports.lay(upload, sound, held=known.hold is not None)

    def _erased(self, known: Recording) -> bool:
        """Whether it was here before and was erased: that is for good."""
        there = self.recordings.get(known.id)
        return there is not None and there.state is State.ERASED

    def _keep(
        self, parcel: Parcel, was: Recording, known: Recording, ids: Mapping[str, str]
    ) -> tuple[Passage, ...]:
        """Write the result's files; returns what search shall find."""
        if known.result is None:
            return ()
        files = parcel.results(was.id)
        result = read(files[RESULT])
        if ids:
            result = result_moved(result, known, ids)
            files[RESULT] = written(result)
        self.results.save(known.result, files)
        said = result.transcript.segments if result.transcript else ()
        return tuple(Passage(one.start_s, one.end_s, one.text) for one in said)
