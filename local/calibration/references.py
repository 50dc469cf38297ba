"""What was really said: a transcript beside each recording, in whatever form there is one."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import webvtt
from webvtt.errors import MalformedCaptionError, MalformedFileError

from shared.errors import InvalidReference

#: Endings of transcripts; where a recording has several, the first of these counts.
ENDINGS = (".txt", ".json", ".srt", ".vtt")
#: How a file fails that is not what its ending says; what is no UTF-8 is a ValueError.
UNREADABLE = (
    *(ValueError, KeyError, TypeError, AttributeError),
    *(MalformedFileError, MalformedCaptionError),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A recording, and the file that says what is said in it."""

    sound: Path
    transcript: Path


def pairs(folder: Path) -> Iterator[Pair]:
    """Every recording below `folder` with a transcript of the same stem, by name."""
    for sound in sorted(p for p in folder.rglob("*") if p.is_file()):
        if sound.suffix.lower() in ENDINGS or sound.name.startswith("."):
            continue
        beside = (sound.with_suffix(ending) for ending in ENDINGS)
        if (transcript := next((p for p in beside if p.is_file()), None)) is not None:
            yield Pair(sound, transcript)


def text_of(transcript: Path) -> str:
    """What a transcript says, without its times and numbers.

    Raises:
        InvalidReference: it is not what its ending says.
    """
    try:
        return _readers[transcript.suffix](transcript)
    except UNREADABLE as error:
        raise InvalidReference(
            f"{transcript.name} is no {transcript.suffix[1:]} transcript in UTF-8. Write it again,"
            " or take it away.",
            file=transcript.name,
        ) from error


def _plain(file: Path) -> str:
    return file.read_text(encoding="utf-8-sig")


def _document(file: Path) -> str:
    """A result, its transcript alone, or whatever else says its `text`."""
    said = json.loads(_plain(file))
    text = (said.get("transcript") or said)["text"]
    if not isinstance(text, str):
        raise TypeError("text is no text")
    return text


def _captions(file: Path) -> str:
    read = webvtt.from_srt if file.suffix == ".srt" else webvtt.read
    found = read(str(file))
    return " ".join(found[n].text for n in range(len(found)))


_readers = {".txt": _plain, ".json": _document, ".srt": _captions, ".vtt": _captions}
