"""recordings people corrected -> their sound and what was said, side by side: a labelled set."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from shared.domain.corrected import Passage, transcript
from shared.domain.corrections import Correction
from shared.domain.recording import Recording
from shared.domain.result import Result
from shared.errors import EarwitnessError, WrongState
from shared.flows.correct import Correct, Heard
from shared.wiring import Parts

MANIFEST = "manifest.json"
#: What a file's name may end with to be kept as it is; else the container's name is the ending.
#: `txt`, `json`, `srt` and `vtt` are endings of transcripts.
_SOUNDS = frozenset(
    {"wav", "flac", "mp3", "ogg", "opus", "m4a", "mp4", "aac", "webm", "mkv", "aiff", "aif", "mov"}
)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A recording of the set, as the manifest tells of it."""

    recording_id: str
    tenant: str
    name: str  #: the uploader's; the files are named by the id
    sound: str
    transcript: str
    sha256: str
    checked_s: float  #: seconds of the transcript that a person corrected or confirmed
    spoken_s: float  #: seconds of all of it
    versions: dict[str, str]  #: who heard it first
    original: str  #: what the machine wrote
    corrections: list[dict[str, object]]  #: version, by, at, and the stretches or the whole


@dataclass(frozen=True, slots=True)
class LeftOut:
    recording_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Export:
    """Writes a set that `earwitness calibrate` reads: ID.wav beside ID.json, and a manifest.

    Of a recording only partly checked the rest is the machine's own text. Taken for the truth it
    would flatter the machine, so such recordings are left out unless they are asked for.

    Safe to repeat: files are named by recording and written anew; the manifest comes last.
    """

    parts: Parts
    folder: Path
    partly: bool = False

    def __call__(self, tenant: str | None) -> tuple[list[Labelled], list[LeftOut]]:
        """What was written, and what was left out and why.

        Raises:
            OSError: the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        taken, left = list[Labelled](), list[LeftOut]()
        for known in self._corrected(tenant):
            try:
                taken.append(self._one(known))
            except EarwitnessError as error:
                left.append(LeftOut(known.id, str(error)))
        told = {"recordings": [asdict(one) for one in taken], "left_out": [asdict(o) for o in left]}
        (self.folder / MANIFEST).write_text(_json(told), encoding="utf-8")
        return taken, left

    def _corrected(self, tenant: str | None) -> Iterator[Recording]:
        for recording_id in self.parts.corrections.corrected(tenant):
            known = self.parts.recordings.get(recording_id)
            if known is not None:
                yield known

    def _one(self, known: Recording) -> Labelled:
        heard = Correct(self.parts.corrections, self.parts.results, self.parts.now).heard(known)
        checked_s, spoken_s = _seconds(heard.passages)
        if not heard.made:
            raise WrongState("It was heard again after it was corrected.")
        if checked_s < spoken_s and not self.partly:
            raise WrongState(
                f"{checked_s:.1f} of {spoken_s:.1f} s were checked: correct or confirm the rest, or"
                " ask for recordings that are partly checked, too."
            )
        sound = f"{known.id}.{_ending(known, heard.result)}"
        original = known.original
        with self.parts.uploads.fetch(original.name, original.generation) as fetched:
            _copy(fetched.file, self.folder / sound)
        return self._written(known, heard, sound, fetched.sha256, (checked_s, spoken_s))

    def _written(
        self, known: Recording, heard: Heard, sound: str, sha256: str, seconds: tuple[float, float]
    ) -> Labelled:
        said = transcript(heard.said, heard.passages)
        name = f"{known.id}.json"
        (self.folder / name).write_text(said.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return Labelled(
            recording_id=known.id,
            tenant=known.tenant,
            name=known.path,
            sound=sound,
            transcript=name,
            sha256=sha256,
            checked_s=round(seconds[0], 3),
            spoken_s=round(seconds[1], 3),
            versions=dict(heard.result.versions),
            original=heard.said.text,
            corrections=[_told(c) for c in heard.made],
        )


def _told(made: Correction) -> dict[str, object]:
    who = {"version": made.version, "by": asdict(made.by), "at": made.at.isoformat()}
    if made.whole is not None:
        return {**who, "whole": made.whole}
    return {**who, "stretches": [asdict(one) for one in made.stretches]}


def _seconds(passages: Sequence[Passage]) -> tuple[float, float]:
    """Seconds a person checked, and seconds of all."""
    lengths = [(p.segment.end_s - p.segment.start_s, p.correction is not None) for p in passages]
    return sum(s for s, checked in lengths if checked), sum(s for s, _ in lengths)


def _ending(known: Recording, result: Result) -> str:
    """A name's own ending where it is one of sound: nothing else of the name gets into a path."""
    if known.archived is not None:
        return known.original.ending.removeprefix(".")
    own = known.path.rpartition(".")[2].lower()
    if own in _SOUNDS:
        return own
    return result.audio.container if result.audio else "sound"


def _copy(sound: BinaryIO, place: Path) -> None:
    aside = place.with_name(f".{place.name}.part")
    with aside.open("wb") as file:
        shutil.copyfileobj(sound, file)
    aside.replace(place)


def _json(told: object) -> str:
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"
