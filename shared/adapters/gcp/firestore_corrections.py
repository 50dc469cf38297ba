"""Implements `Corrections` on Firestore."""

from collections.abc import Iterator

from google.cloud.firestore_v1 import Client
from google.cloud.firestore_v1.base_query import FieldFilter

from shared.adapters.gcp.firestore_client import PAGE, Commit, Documents, possible
from shared.adapters.gcp.firestore_rows import CORRECTIONS, RECORDINGS, row, touch
from shared.domain.corrections import Correction, read, written
from shared.domain.states import State
from shared.errors import CorrectionOutdated, NotFound, WrongState


class FirestoreCorrections:
    """One document a version, below its recording, which counts them.

    The count is changed on condition in the same commit: so no two get one number, and none
    is added to a recording that was erased meanwhile.

    IAM: roles/datastore.user, granted in terraform/stack/firestore.tf. Run on the
    Firestore emulator of the gcloud SDK.
    """

    def __init__(self, client: Client) -> None:
        self._db = Documents(client)

    def add(self, correction: Correction) -> None:
        def step(commit: Commit) -> None:
            if not possible(correction.recording_id):
                raise NotFound
            known = self._db.get(self._db.at(RECORDINGS, correction.recording_id))
            fields = row(known)
            if not known.exists:
                raise NotFound(recording_id=correction.recording_id)
            if (fields["state"], fields["result"]) != (State.DONE, correction.result):
                raise WrongState(state=fields["state"])
            last = fields.get(CORRECTIONS, 0)
            if correction.version != last + 1:
                raise CorrectionOutdated(version=correction.version, last=last)
            touch(commit, known, {CORRECTIONS: correction.version})
            at = known.reference.collection(CORRECTIONS).document(str(correction.version))
            body = written(correction)
            commit.create(at, {"version": correction.version, "body": body})

        self._db.settle(step)

    def of(self, recording_id: str) -> list[Correction]:
        if not possible(recording_id):
            return []
        query = self._db.all_of(f"{RECORDINGS}/{recording_id}/{CORRECTIONS}").order_by("version")
        return [read(row(one)["body"]) for one in self._db.found(query)]

    def corrected(self, tenant: str | None = None) -> Iterator[str]:
        query = self._db.all_of(RECORDINGS).where(filter=FieldFilter(CORRECTIONS, ">", 0))
        if tenant is not None:
            query = query.where(filter=FieldFilter("tenant", "==", tenant))
        query = query.order_by(CORRECTIONS).order_by("__name__").select([CORRECTIONS])
        ids: list[str] = []
        page = self._db.found(query.limit(PAGE))
        while page:
            ids += [one.id for one in page]
            full = len(page) == PAGE
            page = self._db.found(query.start_after(page[-1]).limit(PAGE)) if full else []
        yield from sorted(ids)
