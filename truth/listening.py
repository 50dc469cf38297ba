"""The engines listen to the planned sounds; what is answered already is not asked again.

plan -> what is missing -> sound -> engine, one process a core -> kept after every recording
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from gpu_service.engines.engine import Clip, Engine
from gpu_service.engines.registry import EngineSettings, build
from gpu_service.weights import pinned
from shared.domain.answers import Task
from shared.settings import Settings
from truth import answers, plan
from truth.answers import Header, Heard
from truth.corpus import Part
from truth.plan import OtherSound, Utterance
from truth.sound import cache_folder, heard, sounded

#: One thread an engine and one process a core: twice one thread beats one engine of two.
ENGINES: Mapping[str, EngineSettings] = {
    "whisper-base": EngineSettings(kind="whisper", threads=1),
    "whisper-tiny.en": EngineSettings(kind="whisper", checkpoint="tiny.en", threads=1),
}
#: Engines that know no other language.
ENGLISH_ONLY = frozenset({"whisper-tiny.en"})
#: The name of the file of sounds nobody speaks in, beside those of the parts.
OTHERS = "others"

Segment = Utterance | OtherSound
_engine: Engine | None = None  # of a listening process; loaded once


def listen(names: Iterable[str] = ENGINES, processes: int | None = None) -> None:
    """Bring every file of answers up to the plan. Safe to repeat, and to stop at any time."""
    chosen = list(names)
    for scope in (Part.TRAIN, Part.CALIBRATION, OTHERS, Part.TEST):
        for name in chosen:
            _up_to_date(name, scope, processes or len(os.sched_getaffinity(0)))


def path(engine: str, scope: str) -> Path:
    return answers.FOLDER / f"{engine}.{scope}.jsonl"


def planned(engine: str, scope: str) -> list[list[Segment]]:
    """What the engine is to hear of a part, in recordings."""
    if scope == OTHERS:
        kinds: list[list[Segment]] = [[one] for one in plan.other_sounds()]
        return kinds
    groups = plan.recordings(Part(scope))
    return [list(g) for g in groups if engine not in ENGLISH_ONLY or g[0].text.language == "en"]


def header(engine: str) -> Header:
    versions = _built(engine).capabilities().versions
    return Header(engine, versions, datetime.now(UTC).date().isoformat())


def _up_to_date(engine: str, scope: str, processes: int) -> None:
    about, groups = header(engine), planned(engine, scope)
    unfinished = cache_folder() / "answers" / path(engine, scope).name
    known = _known(path(engine, scope), about) | _known(unfinished, about)
    missing = [group for group in groups if not all(_answered_by(known, one) for one in group)]
    order = [one.id for group in groups for one in group]
    # By lot: what is there of an unfinished file is then a fair sample of all.
    missing.sort(key=lambda group: plan.seed_of(group[0].id))
    for n, found in enumerate(_asked(engine, missing, processes), 1):
        known |= {one.id: one for one in found}
        answers.write(unfinished, about, known.values())
        print(f"\r{engine} {scope}: {n}/{len(missing)}", end="", file=sys.stderr, flush=True)
    if missing:
        print(file=sys.stderr)
        answers.write(path(engine, scope), about, [known[name] for name in order])
        unfinished.unlink()


def _answered_by(known: Mapping[str, Heard], one: Segment) -> bool:
    return one.id in known and known[one.id].key == one.key


def _known(file: Path, about: Header) -> dict[str, Heard]:
    """What a file holds, if the same engine said it."""
    try:
        kept, known = answers.read(file)
    except FileNotFoundError:
        return {}
    return known if kept == about else {}


def _asked(
    engine: str, groups: Sequence[Sequence[Segment]], processes: int
) -> Iterator[list[Heard]]:
    """The answers of each group, in the order they come."""
    if not groups:
        return
    # Not forked: the libraries of an engine have threads.
    with ProcessPoolExecutor(processes, get_context("spawn"), _load, (engine,)) as pool:
        asked: list[Future[list[Heard]]] = [pool.submit(_answered, group) for group in groups]
        for future in as_completed(asked):
            yield future.result()


def _load(engine: str) -> None:
    global _engine  # noqa: PLW0603 - a process of the pool has one engine for all its groups
    _engine = _built(engine)
    _engine.load()


def _built(engine: str) -> Engine:
    return build(engine, ENGINES[engine], cache=pinned.folder(Settings(home=cache_folder())))


def _answered(group: Sequence[Segment]) -> list[Heard]:
    assert _engine is not None
    found = _engine.infer(Task.TRANSCRIBE, [_clip(one) for one in group])
    return [Heard.of(o.id, o.key, answer) for o, answer in zip(group, found, strict=True)]


def _clip(one: Segment) -> Clip:
    if isinstance(one, OtherSound):
        return Clip(sounded(one), "truth")
    return Clip(heard(one, cache_folder() / "speech"), "truth", one.language_said)
