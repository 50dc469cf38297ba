"""What an import makes of an exported recording, under its own tenant's name or another one."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from shared.domain.attempts import discarding
from shared.domain.carried import Carried
from shared.domain.corrections import Correction
from shared.domain.exports import Dossier
from shared.domain.lanes import Lane
from shared.domain.long_term import name_of
from shared.domain.names import ROOT, recording_id
from shared.domain.recording import Archived, Moved, Passage, Recording
from shared.domain.result import Result
from shared.domain.states import TERMINAL, State
from shared.domain.testimony import subject

#: Who wrote a history's line that an import added.
ACTOR = "import"
CONTINUED = "brought from elsewhere, unfinished"


def folder_of(known: Recording) -> str | None:
    """Where its results lie; it follows from tenant, id and the token at its end."""
    if known.result is None:
        return None
    return f"results/{known.tenant}/{known.id}/{token_of(known)}"


def token_of(known: Recording) -> int:
    """The fencing token under which its result was written; 0 without one.

    Raises:
        ValueError: the result's folder does not end in one.
    """
    return int(known.result.rpartition("/")[2]) if known.result else 0


def moved_to(known: Recording, tenant: str) -> Recording:
    """The recording as if it had been dropped into that tenant's folder.

    An id follows from the object's name, so under another tenant it is another one.
    """
    if tenant == known.tenant:
        return known
    name = f"{ROOT}/{tenant}/{known.name.split('/', 2)[2]}"
    made = replace(
        known, tenant=tenant, name=name, id=recording_id(known.bucket, name, known.generation)
    )
    return replace(made, result=folder_of(made), archived=_shelved(made))


def _shelved(known: Recording) -> Archived | None:
    """Its FLAC, where it lies in the archive of the recording's tenant."""
    if known.archived is None:
        return None
    token = known.archived.name.rpartition("/")[2].removesuffix(".flac")
    return replace(known.archived, name=name_of(known, token))


def result_moved(result: Result, known: Recording, ids: Mapping[str, str]) -> Result:
    """The document as if it had been heard there. `ids`: what became of other recordings' ids."""
    changes = {
        "recording": subject(known, result.recording.sha256),
        "reused_from": ids.get(result.reused_from or "", result.reused_from),
    }
    return result.model_copy(update=changes)


def carried(
    dossier: Dossier, known: Recording, passages: tuple[Passage, ...], now: datetime
) -> Carried:
    """`known` is the dossier's recording where it shall be now.

    What was not finished is begun anew, with all its attempts; its sound has to be there.
    """
    corrections = tuple(_own(one, known) for one in dossier.corrections)
    if known.state in TERMINAL:
        job, token = _job(dossier), token_of(known)
        return Carried(known, dossier.history, corrections, passages, job, token)
    again = replace(
        known,
        state=State.QUEUED,
        lane=known.lane or Lane.LOW,
        deferred_until=None,
        attempts=0,
        progress=0.0,
        updated_at=now,
    )
    line = Moved(State.QUEUED, now, ACTOR, CONTINUED)
    return Carried(again, (*dossier.history, line), corrections, (), "ready")


def _own(made: Correction, known: Recording) -> Correction:
    return replace(
        made, recording_id=known.id, tenant=known.tenant, result=known.result or made.result
    )


def _job(dossier: Dossier) -> str | None:
    state = dossier.recording.state
    if state is State.DEAD:
        return "discarded" if discarding(dossier.history) else "dead"
    # What was refused at the door never had one; what decoding refused did.
    return "over" if dossier.recording.lane is not None else None
