"""ask: tombstone and hold check, fence raised -> list -> forget passages -> caches -> metadata ->
delete results and generations -> list again -> receipt."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from shared.domain import erasures, retention
from shared.domain.erasures import Cause, Erasure, Listing, Part, Step
from shared.domain.long_term import folder_of
from shared.domain.names import EXPORTS, ROOT
from shared.domain.names import recording_id as id_of
from shared.domain.recording import Recording, UploadedObject
from shared.domain.result import Result
from shared.domain.result import read as read_result
from shared.domain.states import State
from shared.errors import EarwitnessError, NotErased, NotFound
from shared.logs import about, say
from shared.ports import Erasures, Leftovers, Recordings, Results, Retention, Signer, Uploads

log = logging.getLogger("earwitness.erase")

#: Who erases what is due, in histories.
EXPIRED_BY = "retention"
#: Recordings, and their erasures, of a tenant looked at together.
PAGE = 100
#: Takes an erasure one step on.
Going = Callable[[Erasure, datetime], Erasure]
#: What a signature is called in a receipt.
ALGORITHM = "Ed25519"


@dataclass(frozen=True, slots=True)
class Erase:
    """Everything an erasure needs; built once per process by `shared.wiring`.

    Safe to repeat, to kill and to run beside itself: each step does again what may have been done
    and is then written down by a commit on condition of the step before it. Nothing is deleted
    before the record says what there is; nothing is receipted that a listing still finds.
    """

    recordings: Recordings
    uploads: Uploads
    results: Results
    temporary: Results  #: where plans of exports lie
    leftovers: Leftovers
    erasures: Erasures
    retention: Retention
    signer: Signer
    processors: Mapping[str, str]  #: who runs an engine elsewhere, by its name
    outer_bound_days: int = 0

    def ask(
        self, recording_id: str, actor: str, now: datetime, cause: Cause = Cause.REQUEST
    ) -> Erasure:
        """Begin to erase a recording, with every other generation of its object.

        Under hold it waits and begins at the release. The rest is done by `run` or `resume`.

        Raises:
            NotFound: there is no such recording.
            StoreUnavailable: repeating will help.
        """
        known = self.recordings.get(recording_id)
        if known is None:
            raise NotFound(recording_id=recording_id)
        for other in self._others(known):
            self._begin(other, cause, actor, now)
        return self._begin(recording_id, cause, actor, now)

    def _begin(self, recording_id: str, cause: Cause, actor: str, now: datetime) -> Erasure:
        begun = self.erasures.ask(
            recording_id, lambda known: erasures.of_recording(known, cause, actor, now)
        )
        assert begun is not None
        return begun

    def _others(self, known: Recording) -> Iterator[str]:
        """Recordings of the other generations of the same object."""
        every = self.uploads.generations(known.name) if known.name else []
        ids = [id_of(one.bucket, one.name, one.generation) for one in every]
        # Of archived ones the uploads may be gone.
        archived = self.retention.archived_as(known.name) if known.name else []
        ids += [one for one in archived if one not in ids]
        found = self.recordings.many([one for one in ids if one != known.id]) if ids else {}
        yield from (one.id for one in found.values() if one.state is not State.ERASED)

    def ask_subject(self, tenant: str, subject: str, actor: str, now: datetime) -> list[Erasure]:
        """Begin to erase every recording that is about `subject`; none is no error."""
        found = self.recordings.about(tenant, subject)
        return [self.ask(one, actor, now, Cause.SUBJECT) for one in found]

    def ask_restored(self, actor: str, now: datetime) -> list[Erasure]:
        """Begin to erase again whatever was erased and is there: a backup brought it back.

        A tenant that was erased as a whole is, once one of its recordings shows that. Looks at
        every recording there is, so it is for whoever restored, before anybody is served.

        Raises:
            StoreUnavailable: repeating will help.
        """
        found, tenants = [], set[str]()
        for known in self._recordings(None):
            its = self.erasures.of(known.id)
            if its is not None and erasures.came_back(its, known):
                found.append(self.ask(known.id, actor, now, its.cause))
                tenants |= {known.tenant} if its.cause is Cause.TENANT else set()
        for tenant in sorted(tenants):
            with suppress(NotFound):
                found.append(self.ask_tenant(tenant, actor, now))
        return found

    def ask_tenant(self, tenant: str, actor: str, now: datetime) -> Erasure:
        """Begin to erase all that is a tenant's, and the tenant; what is held makes it wait.

        Raises:
            NotFound: there is no such tenant.
        """
        return self.erasures.ask_tenant(erasures.of_tenant(tenant, actor, now))

    def expire(self, recording_id: str, now: datetime) -> Erasure | None:
        """Begin to erase what is due, announced and not held; None where it is none of it.

        Only this generation: others of the same object have their own time.

        Raises:
            NotFound: there is no such recording.
        """

        def draft(known: Recording) -> Erasure | None:
            if not retention.expires(known, now):
                return None
            return erasures.of_recording(known, Cause.EXPIRY, EXPIRED_BY, now)

        return self.erasures.ask(recording_id, draft)

    def resume(self, now: datetime, limit: int = 100) -> int:
        """Begin what waited for a hold that is gone, and finish what was begun; how many were.

        One that cannot be finished now is said and tried again next time.
        """
        self._release(now)
        return self._finish(self.erasures.running(limit), now)

    def attempt(self, erasure: Erasure, now: datetime) -> Erasure:
        """As `run`; what cannot be done here and now is said, and the tick's to do."""
        return self._tried(erasure, now, Step.DONE)

    def _finish(self, begun: Sequence[Erasure], now: datetime) -> int:
        """All are brought to where they are verified, then each to its end: the store is purged
        of all of them at once, which costs it as much as of one."""
        near = [self._tried(one, now, Step.GENERATIONS) for one in begun]
        return sum(self._tried(one, now, Step.DONE).step is Step.DONE for one in near)

    def _tried(self, erasure: Erasure, now: datetime, until: Step) -> Erasure:
        try:
            return self.run(erasure, now, until)
        except EarwitnessError as error:
            say(log, error)
            return erasure

    def _release(self, now: datetime) -> None:
        after = ""
        while page := self.erasures.waiting(after):
            known = self.recordings.many([str(one.recording_id) for one in page])
            for one in page:
                its = known.get(str(one.recording_id))
                if its is not None and its.hold is None:
                    self._begin(its.id, one.cause, one.actor, now)
            after = page[-1].id

    def run(self, erasure: Erasure, now: datetime, until: Step = Step.DONE) -> Erasure:
        """Go on with one erasure to its end, or as far as `until`; one that waits stays as it is.

        Raises:
            NotErased: a store still lists what was deleted; repeating may help.
            StoreUnavailable, SignerUnavailable: repeating will help.
        """
        steps = self._steps() if erasure.recording_id else self._steps_of_tenant()
        with about(erasure.recording_id or erasure.id):
            while erasure.step is not until and (step := steps.get(erasure.step)):
                after = step(erasure, now)
                if after.step is erasure.step:
                    break  # something of the tenant is under hold
                erasure = after
        return erasure

    def _steps(self) -> dict[Step, Going]:
        return {
            Step.FENCED: self._list,
            Step.LISTED: self._forgetting(Part.PASSAGES, Step.PASSAGES),
            Step.PASSAGES: self._forget_copies,
            Step.CACHES: self._forgetting(Part.METADATA, Step.METADATA),
            Step.METADATA: self._delete,
            Step.GENERATIONS: self._verify,
            Step.VERIFIED: self._receipt,
        }

    def _steps_of_tenant(self) -> dict[Step, Going]:
        return {
            Step.FENCED: self._list_tenant,
            Step.LISTED: self._delete_of_tenant,
            Step.GENERATIONS: self._verify_tenant,
            Step.VERIFIED: self._receipt,
        }

    def _list(self, erasure: Erasure, now: datetime) -> Erasure:
        """Write down all there is, before any of it is deleted."""
        mine = self._generations(erasure)
        before = self._listing(erasure)
        left = erasures.tombstones(
            erasure,
            self.erasures.key(erasure.tenant),
            # Its FLAC, too, as the player and exports hand it out.
            erasures.digests([*mine, *self._shelved(folder_of(erasure.tenant, _id(erasure)))])
            | self._heard_digests(before),
            self.outer_bound_days,
        )
        engines = tuple(sorted({*self._engines(before), *self.erasures.engines(_id(erasure))}))
        listed = erasure.at(Step.LISTED, before=before, engines=engines)
        return self.erasures.go_on(erasure, listed, left)

    def _forgetting(self, part: Part, step: Step) -> Going:
        def forget(erasure: Erasure, now: datetime) -> Erasure:
            self.erasures.forget(part, erasure)
            return self.erasures.go_on(erasure, erasure.at(step))

        return forget

    def _forget_copies(self, erasure: Erasure, now: datetime) -> Erasure:
        """What is answered again, and what the tenant's exports still know of it: they end."""
        self.temporary.remove(_exports(erasure))
        self.erasures.forget(Part.CACHES, erasure)
        return self.erasures.go_on(erasure, erasure.at(Step.CACHES))

    def _delete(self, erasure: Erasure, now: datetime) -> Erasure:
        for folder in {*erasure.before.results, *self._folders(erasure)}:
            self.results.remove(folder)
        for one in self._generations(erasure):
            self._remove_leftovers(one, now)
            self.uploads.delete(one.name, one.generation)
        self.leftovers.remove_shelving(_id(erasure), now)
        self._unshelve(folder_of(erasure.tenant, _id(erasure)))
        return self.erasures.go_on(erasure, erasure.at(Step.GENERATIONS))

    def _unshelve(self, folder: str) -> None:
        for one in self._shelved(folder):
            self.uploads.delete(one.name, one.generation)

    def _shelved(self, folder: str) -> Iterator[UploadedObject]:
        """Objects of the archive."""
        after = ""
        while page := self.uploads.shelved(folder, after):
            yield from page
            after = page[-1].name

    def _remove_leftovers(self, one: UploadedObject, now: datetime) -> None:
        """While there is something to compare them with."""

        def read(start: int, length: int) -> bytes:
            return self.uploads.read(one.name, one.generation, start, length)

        with suppress(NotFound):  # its bytes are gone: it was killed before its row went
            self.leftovers.remove(one.size_bytes, read, now)

    def _verify(self, erasure: Erasure, now: datetime) -> Erasure:
        """List every store anew. What came after the first listing is deleted here, once."""
        after = self._listing(erasure)
        if not after.empty:
            self._again(erasure)
            after = self._listing(erasure)
        if not after.empty:
            raise NotErased(erasure_id=erasure.id)
        self.erasures.purge()
        # The object's name has done its work; from here on only ids are left.
        verified = erasure.at(Step.VERIFIED, after=after, erased_at=now, name=None)
        return self.erasures.go_on(erasure, verified)

    def _again(self, erasure: Erasure) -> None:
        self.temporary.remove(_exports(erasure))
        for part in Part:
            self.erasures.forget(part, erasure)
        for folder in self._folders(erasure):
            self.results.remove(folder)
        for one in self._generations(erasure):
            self.uploads.delete(one.name, one.generation)
        self._unshelve(folder_of(erasure.tenant, _id(erasure)))

    def _receipt(self, erasure: Erasure, now: datetime) -> Erasure:
        self.erasures.purge()
        said = erasures.receipt(erasure, self.processors, self.outer_bound_days)
        said |= {"key_id": self.signer.key_id, "public_key": self.signer.public_key().decode()}
        signature = self.signer.sign(erasures.statement(said)).hex()
        signed = said | {"signature": {"algorithm": ALGORITHM, "hex": signature}}
        done = erasure.at(Step.DONE, receipt=json.dumps(signed, indent=2))
        return self.erasures.go_on(erasure, done)

    # --- of a whole tenant ------------------------------------------------------------------------

    def _list_tenant(self, erasure: Erasure, now: datetime) -> Erasure:
        before = Listing(counts=self.erasures.tenant_counts(erasure.tenant))
        return self.erasures.go_on(erasure, erasure.at(Step.LISTED, before=before))

    def _delete_of_tenant(self, erasure: Erasure, now: datetime) -> Erasure:
        """Its recordings one by one, each with its receipt; then what is left of it."""
        held = 0
        for known in self._recordings(erasure.tenant):
            begun = self._begin(known.id, Cause.TENANT, erasure.actor, now)
            held += self.run(begun, now, Step.GENERATIONS).step is Step.WAITING
        while its := self._running(erasure.tenant):
            for begun in its:
                self.run(begun, now)
        if held:
            log.info("waits for releases", extra={"held": held})
            return erasure
        self._sweep_tenant(erasure.tenant)
        self.erasures.forget_tenant(erasure.tenant)
        return self.erasures.go_on(erasure, erasure.at(Step.GENERATIONS))

    def _running(self, tenant: str) -> list[Erasure]:
        found = self.erasures.running(PAGE, tenant)
        return [one for one in found if one.recording_id is not None]

    def _recordings(self, tenant: str | None) -> Iterator[Recording]:
        before: tuple[datetime, str] | None = None
        while page := self.recordings.page(tenant, before=before, limit=PAGE):
            before = page[-1].received_at, page[-1].id
            yield from page

    def _sweep_tenant(self, tenant: str) -> None:
        """What nobody recorded, no commit points to, or was planned to be exported."""
        self.temporary.remove(f"{EXPORTS}/{tenant}")
        for folder in self._folders_of_tenant(tenant):
            self.results.remove(folder)
        for one in self._objects_of_tenant(tenant):
            self.uploads.delete(one.name, one.generation)
        self._unshelve(folder_of(tenant))

    def _objects_of_tenant(self, tenant: str) -> Iterator[UploadedObject]:
        folder = f"{ROOT}/{tenant}/"
        after = (folder, 0)
        while page := self.uploads.page(after):
            its = [one for one in page if one.name.startswith(folder)]
            yield from its
            if len(its) < len(page):
                return
            after = page[-1].name, page[-1].generation

    def _folders_of_tenant(self, tenant: str) -> Iterator[str]:
        root = f"results/{tenant}/"
        after: str | None = f"results/{tenant}"
        while page := self.results.folders(after):
            its = [kept.folder for kept in page if kept.folder.startswith(root)]
            yield from its
            if len(its) < len(page):
                return
            after = page[-1].folder

    def _verify_tenant(self, erasure: Erasure, now: datetime) -> Erasure:
        tenant = erasure.tenant
        left = next(self._objects_of_tenant(tenant), None) or next(self._recordings(tenant), None)
        after = Listing(
            results=tuple(self._folders_of_tenant(tenant)),
            counts=self.erasures.tenant_counts(tenant),
            archived=tuple(one.name for one in self._shelved(folder_of(tenant))),
        )
        if left is not None or not after.empty or self.erasures.running(2, tenant) != [erasure]:
            self._delete_of_tenant(erasure.at(Step.LISTED), now)
            raise NotErased(erasure_id=erasure.id)
        self.erasures.purge()
        return self.erasures.go_on(erasure, erasure.at(Step.VERIFIED, after=after, erased_at=now))

    # --- what there is ----------------------------------------------------------------------------

    def _listing(self, erasure: Erasure) -> Listing:
        return Listing(
            tuple(one.generation for one in self._generations(erasure)),
            tuple(self._folders(erasure)),
            (*self.erasures.counts(erasure), ("exports", self._planned(erasure))),
            tuple(one.name for one in self._shelved(folder_of(erasure.tenant, _id(erasure)))),
        )

    def _planned(self, erasure: Erasure) -> int:
        """How many files plans of the tenant's exports have, whatever they say of it."""
        return len(self.temporary.names(_exports(erasure)))

    def _generations(self, erasure: Erasure) -> list[UploadedObject]:
        """The recording's own, and those that are nobody's: no other recording has its own way."""
        every = self.uploads.generations(erasure.name) if erasure.name else []
        ids = {id_of(one.bucket, one.name, one.generation): one for one in every}
        others = self.recordings.many(list(ids)) if ids else {}
        mine = [one for id, one in ids.items() if id == erasure.recording_id]
        if erasure.cause in erasures.REQUESTED:
            mine += [one for id, one in ids.items() if id not in others]
        return mine

    def _folders(self, erasure: Erasure) -> list[str]:
        return self.results.all_of(erasure.tenant, _id(erasure))

    def _heard_digests(self, listing: Listing) -> set[str]:
        found = (result.recording.sha256 for result in self._heard(listing))
        return {f"sha256:{one}" for one in found if one}

    def _engines(self, listing: Listing) -> set[str]:
        return {step.engine for result in self._heard(listing) for step in result.decisions}

    def _heard(self, listing: Listing) -> Iterator[Result]:
        for folder in listing.results:
            try:
                yield read_result(self.results.load(folder, "result.json"))
            except NotFound:
                continue  # an attempt that was killed


def _id(erasure: Erasure) -> str:
    return str(erasure.recording_id)


def _exports(erasure: Erasure) -> str:
    return f"{EXPORTS}/{erasure.tenant}"
