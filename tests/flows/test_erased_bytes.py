"""E1: a canary in every place a recording reaches is found in no byte of HOME after its erasure."""

import json
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from io import BytesIO

import pytest

from local import receipts
from shared import wiring
from shared.domain.erasures import Step
from shared.domain.names import EXPORTS
from shared.domain.tenants import TIERS, Tier
from shared.domain.timekeeping import Times
from shared.errors import NotErased
from tests.builders import NOW
from tests.flows.erasing import CANARIES, NAME, SOUND, filled, found_in, parts_in

RULES = TIERS[Tier.FREE]
LATER = NOW + timedelta(days=1)


def test_every_canary_is_found_before(tmp_path):
    """Else the search would prove nothing."""
    parts = parts_in(tmp_path)
    filled(parts)

    assert {where for _, where in found_in(tmp_path)} == set(CANARIES)


def test_no_canary_is_found_after(tmp_path):
    parts = parts_in(tmp_path)
    id = filled(parts)

    erase = wiring.erase(parts)
    done = erase.run(erase.ask(id, "cli", LATER), LATER)

    assert done.step is Step.DONE
    assert found_in(tmp_path) == set()


def test_another_recording_of_the_same_sound_keeps_it(tmp_path):
    """Bytes lie under their digest, once for all who have them."""
    parts = parts_in(tmp_path)
    id = filled(parts)
    other = "uploads/acme/other.wav"
    parts.inlet.put(other, BytesIO(SOUND), content_type="audio/wav", metadata={}, at=NOW)

    erase = wiring.erase(parts)
    done = erase.run(erase.ask(id, "cli", LATER), LATER)

    assert done.step is Step.DONE
    assert parts.uploads.read(other, 1, 0, 4) == b"RIFF"
    assert {where for _, where in found_in(tmp_path)} == {"sound"}


def test_every_generation_of_the_object_goes_with_its_recording(tmp_path):
    parts = parts_in(tmp_path)
    first, second = filled(parts), filled(parts)

    erase = wiring.erase(parts)
    erase.ask(first, "cli", LATER)
    erase.resume(LATER)

    assert first != second
    assert parts.erasures.of(second).step is Step.DONE
    assert found_in(tmp_path) == set()


def test_expiry_takes_only_its_own_generation(tmp_path):
    parts = parts_in(tmp_path)
    first, second = filled(parts), filled(parts)
    parts.retention.settle(first, RULES, Times(LATER, LATER))
    long_after = LATER + timedelta(days=400)

    parts.retention.settle(first, RULES, Times(long_after, long_after))
    wiring.erase(parts).expire(first, long_after + timedelta(days=8))
    wiring.erase(parts).resume(long_after + timedelta(days=8))

    assert parts.erasures.of(first).step is Step.DONE
    assert [one.generation for one in parts.uploads.generations(NAME)] == [2]
    assert parts.erasures.of(second) is None


# --- killed at every step -------------------------------------------------------------------------


class Killed(BaseException):
    """As a kill is: nothing is caught, nothing is tidied up."""


class Fatal:
    """A port whose n-th call of all ports together is the last: before or after its effect."""

    def __init__(self, inner, countdown):
        self._inner, self._countdown = inner, countdown

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        return self._counted(found) if callable(found) else found

    def _counted(self, call):
        def counted(*args, **kwargs):
            self._countdown.step()
            answer = call(*args, **kwargs)
            self._countdown.step()
            return answer

        return counted


class Countdown:
    def __init__(self, left):
        self.left, self.taken = left, 0

    def step(self):
        self.taken += 1
        if self.taken == self.left:
            raise Killed


PORTS = ("recordings", "uploads", "results", "temporary", "leftovers", "erasures", "signer")


def fatal(erase, countdown):
    return replace(erase, **{port: Fatal(getattr(erase, port), countdown) for port in PORTS})


def erased(home, killed_at=None):
    """The end state after one kill and a resume: the receipt's stores, and all files."""
    parts = parts_in(home)
    id = filled(parts)
    erase, countdown = wiring.erase(parts), Countdown(killed_at)
    with suppress(Killed):
        dying = fatal(erase, countdown)
        dying.run(dying.ask(id, "cli", LATER), LATER)
    if parts.erasures.of(id) is None:
        erase.ask(id, "cli", LATER)  # nothing was promised yet; whoever asked asks again
    erase.resume(LATER)
    return countdown.taken, end_state(parts, id)


def end_state(parts, id):
    done = parts.erasures.of(id)
    said = json.loads(done.receipt)
    known = receipts.of_home(parts.settings.home)
    files = {str(p.relative_to(parts.settings.home)) for p in parts.settings.home.rglob("*")}
    return {
        "verdict": receipts.verdict(said, known),
        "stores": said["stores"],
        "processors": said["processors"],
        "files": files - {f"{wiring.STORE}-{end}" for end in ("wal", "shm")},
        "canaries": found_in(parts.settings.home),
        "recording": parts.recordings.get(id),
        "history": parts.recordings.history(id),
        "record": (done.step, done.name, done.before, done.after),
    }


def test_killed_at_any_step_it_ends_in_the_same_place(tmp_path):
    steps, undisturbed = erased(tmp_path / "undisturbed")

    assert undisturbed["canaries"] == set()
    assert undisturbed["verdict"] is receipts.Verdict.OK
    assert undisturbed["processors"] == [{"engine": "openai", "processor": "OpenAI"}]
    for k in range(1, steps + 1):
        _, state = erased(tmp_path / str(k), killed_at=k)
        assert state == undisturbed, f"killed at {k} of {steps}"


@pytest.mark.parametrize("step", [one.value for one in Step][1:-1])
def test_a_process_killed_after_a_step_leaves_what_another_finishes(tmp_path, step):
    """A real kill -9, right after the commit that writes the step down."""
    parts = parts_in(tmp_path)
    id = filled(parts)

    died = subprocess.run([sys.executable, "-c", DIES, str(tmp_path), id, step], timeout=60)

    assert died.returncode == -signal.SIGKILL
    assert parts.erasures.of(id).step.value == step
    wiring.erase(parts).resume(LATER)
    assert parts.erasures.of(id).step is Step.DONE
    assert found_in(tmp_path) == set()


DIES = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from shared import wiring
from tests.flows.erasing import parts_in
from tests.flows.test_erased_bytes import LATER

home, id, step = sys.argv[1:]

class Last:
    def __init__(self, inner): self._inner = inner
    def __getattr__(self, name): return getattr(self._inner, name)
    def ask(self, *given): return self._dead(self._inner.ask(*given))
    def go_on(self, *given): return self._dead(self._inner.go_on(*given))
    def _dead(self, after):
        if after.step.value == step: os.kill(os.getpid(), signal.SIGKILL)
        return after

parts = parts_in(Path(home))
erase = wiring.erase(parts)
erase = replace(erase, erasures=Last(erase.erasures))
erase.run(erase.ask(id, "cli", LATER), LATER)
"""


# --- stores that lie ------------------------------------------------------------------------------


class Deaf:
    """A store that ignores deletes, and says it is done."""

    def __init__(self, inner, *ignored):
        self._inner, self._ignored = inner, ignored

    def __getattr__(self, name):
        return (lambda *_: None) if name in self._ignored else getattr(self._inner, name)


@pytest.mark.parametrize(
    ("port", "ignored"),
    [("uploads", "delete"), ("results", "remove"), ("erasures", "forget"), ("temporary", "remove")],
)
def test_a_store_that_ignores_deletes_yields_no_receipt(tmp_path, port, ignored):
    parts = parts_in(tmp_path)
    id = filled(parts)
    erase = wiring.erase(parts)
    if port == "temporary":
        parts.temporary.save(f"{EXPORTS}/acme", {"plan": b"{}"})
    deaf = replace(erase, **{port: Deaf(getattr(erase, port), ignored)})
    begun = deaf.ask(id, "cli", LATER)

    with pytest.raises(NotErased):
        deaf.run(begun, LATER)

    assert parts.erasures.of(id).receipt is None
    erase.resume(LATER)  # and once the store hears again:
    assert parts.erasures.of(id).step is Step.DONE
