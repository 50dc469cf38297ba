"""A recording is dropped and its transcript waited for: `python -m deploy.smoke`.

drop -> noticed -> queued -> heard -> read

What a deployment must do at the very least. It goes the way of any uploader: into the bucket, and
then it only looks; whoever notices and hears the recording is the deployment.
"""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from deploy import entry_points
from shared import wiring
from shared.domain.names import ROOT as UPLOADS
from shared.domain.names import recording_id
from shared.domain.recording import Recording
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.errors import EarwitnessError
from shared.settings import load

SAMPLE = entry_points.ROOT / "local" / "sample"
#: A tenant of its own: its recordings are nobody's, and go after the free tier's 30 days.
TENANT = "smoke"
#: Seconds. A GPU that has to be found, started and given its weights takes minutes.
PATIENCE_S = 900.0
#: Seconds between two looks; each reads one document.
LOOK_EVERY_S = 5.0
#: Share of the words said that must be among the words heard. An engine may mishear a few; a
#: transcript of something else has none of them.
MOST_OF_THEM = 0.6
WORD = re.compile(r"[\w']+")


class SmokeFailed(Exception):
    """The deployment did not do what it is for. The message says where to look."""


class NotNoticed(SmokeFailed):
    """The drop reached the bucket, and no recording was made of it."""


class NotHeard(SmokeFailed):
    """The recording was made and waits still, or its hearing takes too long."""


class NotTaken(SmokeFailed):
    """The recording was refused, deferred, or ran out of attempts."""


class Misheard(SmokeFailed):
    """There is a transcript, and it is not of what was said."""


@dataclass(frozen=True, slots=True)
class Smoke:
    """One deployment, and how long it may take."""

    parts: wiring.Parts
    patience_s: float
    look_every_s: float
    seconds: Callable[[], float]  #: a clock that never goes back
    wait: Callable[[float], object]

    def __call__(self, sound: Path, name: str, said: str) -> str:
        """The transcript of `sound`, dropped under `name`. Safe to repeat: another generation.

        Raises:
            SmokeFailed: one of its kinds, by how far it came.
            EarwitnessError: store or bucket did not answer.
        """
        p = self.parts
        p.tenants.ensure(TENANT, Tier.FREE, p.now())
        with sound.open("rb") as content:
            kept = p.inlet.put(
                f"{UPLOADS}/{TENANT}/{name}",
                content,
                content_type="audio/flac",
                metadata={},
                at=p.now(),
            )
        done = self._settled(recording_id(kept.bucket, kept.name, kept.generation), kept.name)
        text = p.results.load(str(done.result), "transcript.txt").decode()
        if alike(text, said) < MOST_OF_THEM:
            raise Misheard(f"{kept.name} was heard as {text.strip()!r}. {_LOGS['service']}")
        return text

    def _settled(self, id: str, name: str) -> Recording:
        give_up = self.seconds() + self.patience_s
        while True:
            known = self.parts.recordings.get(id)
            if known is not None and known.state is State.DONE:
                return known
            if known is not None and known.state in ENDED:
                raise NotTaken(f"{name} is {known.state}: {_cause(known)} {_LOGS['service']}")
            if self.seconds() >= give_up:
                raise self._late(known, name)
            self.wait(self.look_every_s)

    def _late(self, known: Recording | None, name: str) -> SmokeFailed:
        within = f"within {self.patience_s:.0f} s"
        if known is None:
            return NotNoticed(f"Nothing noticed {name} {within}. {_LOGS['on_audio_uploaded']}")
        if known.state is State.PROCESSING:
            heard = f"{known.progress:.0%} of {name} were heard"
            return NotHeard(f"{heard} {within}. {_LOGS['service']}")
        return NotHeard(
            f"{name} is {known.state} in lane {known.lane}; nothing took it {within}."
            f" Look whether the subscription lane-{known.lane} delivers. {_LOGS['service']}"
        )


#: No transcript follows any more, or none today.
ENDED = (State.DEAD, State.REJECTED, State.DEFERRED, State.ERASED)
_LOGS = {
    "on_audio_uploaded": "Look into the log of the function on_audio_uploaded, and whether the"
    " uploads bucket's events reach it (docs/operate.md).",
    "service": "Look into the log of the GPU service (docs/operate.md).",
}


def _cause(known: Recording) -> str:
    return known.error.message if known.error else "nobody wrote down why."


def alike(heard: str, said: str) -> float:
    """Share of the different words of `said` that are in `heard`, 0 to 1."""
    wanted = _words(said)
    return len(wanted & _words(heard)) / len(wanted)


def _words(text: str) -> frozenset[str]:
    return frozenset(WORD.findall(text.lower()))


def environments(text: str) -> dict[str, dict[str, str]]:
    """Stack -> variables, as `terraform output -json environments` prints them."""
    read = json.loads(text)
    return {stack: {k: str(v) for k, v in one.items()} for stack, one in read.items()}


def _settings(variables: Mapping[str, str]) -> dict[str, str]:
    """What a workload is told, as settings by name; traces of a smoke test are nobody's."""
    names = {key.removeprefix("EARWITNESS_").lower(): value for key, value in variables.items()}
    return {**names, "traces": "none"}


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="deploy.smoke", description="Drops a recording and waits for its transcript."
    )
    parser.add_argument(
        "--environments",
        type=Path,
        help="stacks and their variables, as `terraform output -json environments` prints them;"
        " without it the one stack that this environment's variables mean",
    )
    parser.add_argument("--sound", type=Path, default=SAMPLE / "welcome.flac")
    parser.add_argument("--said", type=Path, default=SAMPLE / "welcome.txt")
    parser.add_argument("--patience", type=float, default=PATIENCE_S, help="seconds, each stack")
    parser.add_argument("--look-every", type=float, default=LOOK_EVERY_S, help="seconds")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """0: every stack gave its transcript; 1: one did not, and it is said where to look."""
    asked = _parsed(arguments)
    stacks: Mapping[str, Mapping[str, str]] = {"this": {}}
    if asked.environments:
        stacks = environments(asked.environments.read_text(encoding="utf-8"))
    return max([_run(stack, variables, asked) for stack, variables in stacks.items()], default=0)


def _run(stack: str, variables: Mapping[str, str], asked: argparse.Namespace) -> int:
    name = f"smoke/{os.environ.get('BUILD_ID') or uuid4().hex}{asked.sound.suffix}"
    said = asked.said.read_text(encoding="utf-8")
    try:
        parts = wiring.parts(load(**_settings(variables)))
        smoke = Smoke(parts, asked.patience, asked.look_every, time.monotonic, time.sleep)
        text = smoke(asked.sound, name, said)
    except (SmokeFailed, EarwitnessError) as error:
        print(f"{stack}: {error}", file=sys.stderr)
        return 1
    print(f"{stack}: {text.strip()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
