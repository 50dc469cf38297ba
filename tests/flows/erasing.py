"""A HOME in which one recording left its canaries everywhere, and a search of every byte of it."""

import base64
import hashlib
import json
import os
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path

from local.drops import Drop
from local.inbox import Seen, SeenDrops
from shared import wiring
from shared.adapters.embedded.sqlite_database import Database
from shared.domain.answers import Task
from shared.domain.corrections import Author, Correction
from shared.domain.lanes import Lane
from shared.domain.messages import dead_letter
from shared.domain.names import recording_id
from shared.domain.recording import (
    Archived,
    Checkpoint,
    Failure,
    Message,
    Outcome,
    Passage,
    Topic,
)
from shared.domain.result import written
from shared.domain.spending import PaidCall
from shared.domain.tenants import Tier
from shared.domain.testimony import summary
from shared.domain.wishes import Wishes
from shared.settings import Backend, Settings
from tests.builders import NOW, placed, recording

#: One word for each place; none is part of another, and no program of ours says them.
CANARIES = {
    where: f"qz{hashlib.sha256(where.encode()).hexdigest()[:14]}xv"
    for where in (
        *("name", "tag", "subject", "speech", "wish", "checkpoint", "paid", "letter", "reason"),
        *("correction", "decision", "feature", "sound", "type", "archived"),
    )
}
WHO, BY = "acme", Author("page", None)
NAME = f"uploads/{WHO}/{CANARIES['name']}.wav"
SOUND = b"RIFF" + CANARIES["sound"].encode() * 9_000


def parts_in(home: Path) -> wiring.Parts:
    made = wiring.parts(Settings(home=home))
    made.tenants.ensure(WHO, Tier.FREE, NOW)
    return made


def forms(word: str) -> set[bytes]:
    """The ways in which a word may lie in a file."""
    text = word.encode()
    shifted = {base64.b64encode(b"\0" * n + text)[n + 3 : -4] for n in range(3)}
    wide = {word.encode("utf-16-le"), word.encode("utf-16-be")}
    hexed = {text.hex().encode(), text.hex().upper().encode()}
    return {text, text.upper(), *wide, *hexed, *shifted}


def found_in(home: Path) -> set[tuple[str, str]]:
    """Where which canary still lies: every byte of every file is looked at."""
    looked_for = [(where, form) for where, word in CANARIES.items() for form in forms(word)]
    found = set()
    for path in home.rglob("*"):
        inside = str(path.relative_to(home)).encode()
        content = inside + (path.read_bytes() if path.is_file() else b"")
        hits = {where for where, form in looked_for if form in content}
        found |= {(str(path.relative_to(home)), where) for where in hits}
    return found


def filled(parts: wiring.Parts, name: str = NAME, sound: bytes = SOUND, subject=True) -> str:
    """A recording that died once, was replayed, heard, paid for, corrected; its id."""
    c = CANARIES
    upload = parts.inlet.put(
        name,
        BytesIO(sound),
        content_type=f"audio/{c['type']}",
        metadata={"name": c["name"], "mood": c["tag"], "subject": c["subject"]},
        at=NOW,
    )
    id = recording_id(upload.bucket, upload.name, upload.generation)
    draft = recording(
        id=id,
        name=name,
        path=c["name"],
        content_type=upload.content_type,
        generation=upload.generation,
        subject=c["subject"] if subject else None,
        wishes=Wishes(prompt=c["wish"], questions=(c["wish"],)),
    )
    parts.recordings.create_or_get(draft, lambda _: placed(), upload.digests)
    here = parts.settings.backend is Backend.EMBEDDED
    _die(parts, here)
    parts.jobs.replay(id, c["reason"], NOW)
    _heard(parts, id, here)
    _archived(parts, id)
    _corrected(parts, id)
    note = json.dumps({"day": "2026-03-01", "after": [upload.name, upload.generation]})
    parts.bookmarks.move("reconcile/uploads", parts.bookmarks.get("reconcile/uploads"), note)
    if here:
        _dropped(parts, upload)
    return id


def _die(parts: wiring.Parts, here: bool) -> None:
    c = CANARIES
    lease = parts.jobs.lease_next([Lane.LOW], "w", NOW, 60)
    cause = Failure("engine_unavailable", c["letter"], "openai")
    parts.jobs.checkpoint(lease, [Checkpoint("p", "transcribe", 0, c["checkpoint"])], 0.5, NOW)
    parts.jobs.fail(lease, cause, None, NOW)
    if here:  # as the topic's table would keep it
        parts.publisher._keep([dead_letter(lease.recording, cause, NOW, 99)])


def _heard(parts: wiring.Parts, id: str, here: bool) -> None:
    c = CANARIES
    lease = parts.jobs.lease_next([Lane.LOW], "w", NOW, 60)
    call = PaidCall("openai", Task.TRANSCRIBE, (0,), 0.01)
    intent = parts.spending.intend(lease, call, None, NOW)
    parts.spending.settle(intent, 0.01, c["paid"])
    parts.jobs.checkpoint(lease, [Checkpoint("p", "transcribe", 1, c["checkpoint"])], 0.9, NOW)
    for token in (1, lease.token):  # an attempt that was killed left a folder, too
        folder = f"results/{WHO}/{id}/{token}"
        files = {
            "result.json": written(summary(lease.recording)),
            "transcript.txt": c["speech"].encode() * 300,
            "decisions.json": c["decision"].encode(),
            "features.npy": c["feature"].encode() * 100,
        }
        parts.results.save(folder, files)
    said = tuple(Passage(n, n + 1, f"{c['speech']} said {n}") for n in range(200))
    row = Message(Topic.METRICS, id, {"v": 1, "recording_id": id}, f"m{id}"[:32])
    outcome = Outcome(folder, 1.0, "en", 0.9, False, said, c["speech"])
    parts.jobs.complete(lease, outcome, [row], NOW)
    if here:
        parts.publisher._keep([row])


def _archived(parts: wiring.Parts, id: str) -> None:
    """Two days before its upload goes; somebody who was killed left another FLAC."""
    for token in ("0" * 32, "1" * 32):
        content = BytesIO(b"fLaC" + CANARIES["archived"].encode() * 9_000)
        name = f"archive/{WHO}/{id}/{token}.flac"
        made = parts.uploads.shelve(name, content, "audio/flac", NOW)
    kept = Archived(made.name, made.generation, made.size_bytes, NOW)
    parts.retention.decide(id, lambda it: replace(it, archived=kept, clear_at=NOW), "archive", NOW)


def _corrected(parts: wiring.Parts, id: str) -> None:
    known = parts.recordings.get(id)
    parts.corrections.add(
        Correction(id, WHO, 1, known.result, BY, NOW, whole=CANARIES["correction"])
    )


def _dropped(parts: wiring.Parts, upload) -> None:
    """As the inbox notes it, and as a killed upload leaves it."""
    db = Database(parts.settings.home / wiring.STORE)
    drop = Drop(Path("x"), f"{WHO}/{CANARIES['name']}.wav", len(SOUND), 7)
    digest = hashlib.sha256(SOUND).hexdigest()
    SeenDrops(db).keep(drop.key, Seen(len(SOUND), 7, digest), upload.name, upload.generation)
    spool = parts.settings.home / "tmp" / "upload-left-behind"
    spool.write_bytes(SOUND)
    old = (NOW - timedelta(hours=1)).timestamp()
    os.utime(spool, (old, old))
