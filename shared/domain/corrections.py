"""What a person says was said: corrections of a transcript, each on top of those before it.

The machine's result is never changed. A correction names the stretches it is about and what is
said there; one that says what the machine said confirms it. How they are laid over the machine's
transcript: `shared.domain.corrected`.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime

#: Stretches of one correction; a page sends one, a program that corrects an hour about 200.
MAX_STRETCHES = 500
#: Characters of a stretch: 28 s of the fastest speech are under 1,000.
MAX_TEXT = 10_000
#: Characters of a whole text: four hours at 14 a second. A request ends at 512 KiB, a document of
#: Firestore at 1 MiB.
MAX_WHOLE = 200_000
#: Corrections of one recording.
MAX_VERSIONS = 1_000


@dataclass(frozen=True, slots=True)
class Author:
    """Who corrected."""

    name: str  #: the key's name, or the local user's
    key: str | None = None  #: the API key's id; None: whoever sat at the machine


@dataclass(frozen=True, slots=True)
class Said:
    """What is said in one stretch; an empty text: nothing."""

    start_s: float
    end_s: float
    text: str
    channel: int | None = None  #: from 0; None: the mix


@dataclass(frozen=True, slots=True)
class Correction:
    """One version; it is never changed. Exactly one of `stretches` and `whole` is set."""

    recording_id: str
    tenant: str
    version: int  #: from 1; it was made on top of the one before, 0 being the machine's
    result: str  #: the folder of the result that was corrected
    by: Author
    at: datetime
    stretches: tuple[Said, ...] = ()
    whole: str | None = None  #: the text of the whole recording, without times


def written(correction: Correction) -> str:
    """As JSON, to be kept."""
    return json.dumps({**asdict(correction), "at": correction.at.isoformat()}, ensure_ascii=False)


def read(text: str) -> Correction:
    """What `written` wrote."""
    kept = json.loads(text)
    kept["at"], kept["by"] = datetime.fromisoformat(kept["at"]), Author(**kept["by"])
    kept["stretches"] = tuple(Said(**one) for one in kept["stretches"])
    return Correction(**kept)
