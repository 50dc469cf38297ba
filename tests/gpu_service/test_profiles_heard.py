"""A profile over real ears: the real decoder, and engines behind the servers that ask them."""

from pathlib import Path
from threading import Barrier, Event
from typing import ClassVar

import pytest

from gpu_service.decoding.decoder import Decoder
from gpu_service.engines.engine import Capabilities
from gpu_service.engines.registry import EngineSettings
from gpu_service.hearing.ears import LocalEars
from gpu_service.hosting.remote import RemoteHost
from gpu_service.serving.server import Server
from shared.domain.answers import Task
from shared.domain.tenants import Tier
from shared.flows.work import Settled
from tests.builders import NOW
from tests.contracts.conftest import sqlite_in_memory
from tests.engines.kinds import Listener
from tests.flows.test_profiles import own
from tests.flows.test_reuse import add, result
from tests.flows.test_work import LANES, Clock, work
from tests.sounds import speech

CASCADE = {Task.TRANSCRIBE: ("writer",), Task.CLASSIFY: ("namer",)}


class Meeting(Listener):
    """Answers when the other task is being asked about, too."""

    meeting: ClassVar[Barrier] = Barrier(2, timeout=60)

    def capabilities(self):
        tasks = frozenset({Task.TRANSCRIBE, Task.CLASSIFY})
        return Capabilities(tasks, max_duration_s=28.0, concurrency=2)

    def infer(self, task, batch):
        self.meeting.wait()
        return super().infer(task, batch)


class Stuck(Meeting):
    """Answers when the test is over."""

    over: ClassVar[Event] = Event()

    def infer(self, task, batch):
        if task is Task.CLASSIFY:
            self.over.wait(60)
        return Listener.infer(self, task, batch)


@pytest.fixture
def store(tmp_path):
    made = sqlite_in_memory(tmp_path)
    made.tenants.ensure("acme", Tier.FREE, NOW)
    return made


@pytest.fixture
def ears(tmp_path):
    """Makes ears whose engines are all of one kind, and stops them again."""
    decoder, servers = Decoder(processes=1), {}
    decoder.start()

    def make(kind):
        settings = EngineSettings(kind=f"{__name__}:{kind.__name__}")
        for name in ("writer", "namer"):
            host = RemoteHost(name, settings, cache=Path("unused"))
            servers[name] = Server(host)
            servers[name].start()
        return LocalEars(decoder, servers, tmp_path)

    Stuck.over.clear()
    yield make
    Stuck.over.set()
    for server in servers.values():
        server.stop()
    decoder.stop()


def test_two_engines_hear_one_recording_at_the_same_time(store, ears):
    made = add(store, "a.wav", content=speech("Hello there, this is a test."))
    own(store, {"transcribe": {}, "classify": {}}, parallel=2)

    settled = work(store, ears(Meeting), cascade=CASCADE)(LANES)

    told = result(store, made)
    assert settled is Settled.DONE
    assert {(d["task"], d["verdict"]) for d in told["decisions"]} == {
        ("transcribe", "accept"),
        ("classify", "accept"),
    }


@pytest.mark.parametrize("parallel", [1, 2])
def test_an_engine_that_hangs_holds_a_recording_no_longer_than_its_task_may(store, ears, parallel):
    """20 s of the test's time pass at every look; whoever waits looks once a second."""
    made = add(store, "a.wav", content=speech("Hello there, this is a test."))
    own(store, {"transcribe": {}, "classify": {"timeout_s": 30}}, parallel=parallel)

    settled = work(store, ears(Stuck), clock=Clock(20.0), ticket_s=1e9, cascade=CASCADE)(LANES)

    told = result(store, made)
    [missing] = [w["message"] for w in told["warnings"] if w["code"] == "sounds_missing"]
    assert settled is Settled.DONE
    assert told["transcript"]["text"]
    assert "Engine namer was not waited for" in missing
    assert not Stuck.over.is_set()


def test_decoding_is_not_waited_for_longer_than_the_profile_says(store, ears):
    made = add(store, "a.wav", content=speech("Hello there, this is a test."))
    own(store, {"decode": {"timeout_s": 1}, "transcribe": {}})

    settled = work(store, ears(Stuck), clock=Clock(20.0), cascade=CASCADE)(LANES)

    assert settled is Settled.FAILED
    assert store.recordings.get(made.id).error.code == "task_timed_out"
