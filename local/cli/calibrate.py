"""calibrate: recordings with transcripts in, a calibration file and what it is worth out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from local import errand
from local.cli.hear import waited
from local.cli.options import (
    engine_option,
    home_option,
    json_option,
    language_option,
    settings_of,
    tenant_option,
)
from local.cli.output import payload, say
from local.drops import object_path
from local.telling import verdict
from shared.domain.recording import Recording
from shared.domain.states import State
from shared.domain.tenants import DEMO
from shared.settings import Settings
from shared.wiring import Parts, clock, parts

if TYPE_CHECKING:
    from local.calibration.fitting import Example
    from local.calibration.references import Pair
    from shared.domain.confidence import Calibration, Figures, Interval

#: The folder of the tenant's in which the recordings stand in `ls`.
INSIDE = "calibrate"


@click.command()
@click.argument(
    "folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@home_option
@engine_option
@language_option
@click.option(
    "-o", "to", type=click.Path(file_okay=False, path_type=Path), help="The report, in here."
)
@tenant_option(DEMO)
@json_option
def calibrate(
    folder: Path,
    home: Path | None,
    engine: str | None,
    language: str | None,
    to: Path | None,
    tenant: str,
    as_json: bool,
) -> None:
    """Learn how sure an engine may be, from recordings whose transcripts lie beside them.

    DIR holds recordings, each with what is said in it under the same name: .txt, .json (as
    `hear --format json` or `corrections export` write it), .srt or .vtt. They are heard like any
    other; then a calibration is fitted to three fifths of them, bent straight on a fifth, and
    measured on the last. Without --language it is for any language without a file of its own.
    """
    # Imported here: scipy takes a second, and no other command needs it.
    from local.calibration import hearing, references, report, shelf
    from local.calibration.fitting import parted

    settings = settings_of(home)
    engine = engine or settings.cascade.transcribe[0]
    found = list(references.pairs(folder))
    if not found:
        raise click.UsageError(f"No recording in {folder} has a transcript of its name beside it.")
    texts = [references.text_of(pair.transcript) for pair in found]
    opened = parts(settings)
    heard = _heard(
        settings, opened, found, folder, tenant, {"engine": engine, "language": language}
    )
    said = [hearing.Said(r, t) for r, t in zip(heard, texts, strict=True) if r.state is State.DONE]
    examples = [e for s in said for e in hearing.examples(opened.results, s, engine, language)]
    model = _fitted(settings, examples, engine, language, len(said))
    written = shelf.put(model, engine, shelf.folder(settings))
    reports = to or shelf.folder(settings) / shelf.REPORTS
    test = parted(examples).test
    files = report.write(model, test, reports, shelf.stem(engine, model))
    _tell(model, examples, len(said), [written, *files])
    if as_json:
        payload(report.report(model, test))


def _heard(
    settings: Settings,
    opened: Parts,
    found: "Sequence[Pair]",
    folder: Path,
    tenant: str,
    wishes: dict[str, str | None],
) -> list[Recording]:
    """Each recording, settled, as `hear` does it; what could not be heard is said."""
    metadata = {key: value for key, value in wishes.items() if value is not None}
    with errand.Delivery(opened) as deliver:
        named = ((p, f"{INSIDE}/{p.sound.relative_to(folder)}") for p in found)
        sounds = (errand.Sound(object_path(name), pair.sound) for pair, name in named)
        uploads = [deliver(sound, tenant, metadata) for sound in sounds]
    heard = waited(settings, opened, uploads)
    for recording in heard:
        if recording.state is not State.DONE:
            say(f"Left out: {verdict(recording)}")
    return heard


def _fitted(
    settings: Settings, examples: "Sequence[Example]", engine: str, language: str | None, files: int
) -> "Calibration":
    from local.calibration.fitting import About, fit, parted
    from local.calibration.hearing import identity

    data = f"{files} recordings heard by {engine}"
    about = About(identity(settings, engine), language, data, clock())
    return fit(parted(examples), about)


def _tell(
    model: "Calibration", examples: "Sequence[Example]", files: int, written: Sequence[Path]
) -> None:
    right = sum(e.right for e in examples) / len(examples)
    say(f"{files} recordings, {len(examples)} segments; {right:.0%} of them right ({model.label}).")
    if model.measured:
        for line in _worth(model.measured):
            say(line)
    say(f"The calibration counts from the next start on: {written[0]}")
    for path in written[1:]:
        say(f"Report: {path}")


def _worth(found: "Figures") -> list[str]:
    """The figures, and what they mean."""
    lines = [
        f"Measured on {found.segments} segments of {found.texts} recordings that were not learned"
        " from, with 95 % intervals:",
        f"  ECE   {_shown(found.ece)}: how far confidence is from what came true; 0 is honest.",
    ]
    if found.auroc is None:
        return [*lines, "  AUROC: not known, they are all right or all wrong."]
    return [
        *lines,
        f"  AUROC {_shown(found.auroc)}: how often a right segment is surer than a wrong one;"
        " 0.5 is chance.",
    ]


def _shown(found: "Interval") -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
