"""The archive: the same bytes everywhere, nothing too much in it, and every function starts."""

import ast
import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution, distributions
from io import BytesIO
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from deploy import archive, entry_points
from local.cloud_events import PubsubMessage, message_published, storage_finalized
from shared import wiring
from shared.domain.messages import announcement
from shared.domain.recording import Topic
from shared.domain.states import State
from shared.errors import InvalidEvent
from shared.settings import load
from tests.broker import RecordingBroker
from tests.builders import recording as made
from tests.builders import webhook
from tests.endpoints import Endpoint, answers
from tests.functions.deployment import Function
from tests.sounds import silence_wav

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "numpy", "fastapi", "av", "faster_whisper", "onnxruntime")
LISTED = sorted(entry_points.listed(ROOT))


@pytest.fixture
def checkout(tmp_path):
    """What the archive is made of, copied to another folder."""
    for room in ("functions", "shared"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "requirements").mkdir()
    shutil.copy(ROOT / "requirements/functions.txt", tmp_path / "requirements")
    return tmp_path


def test_the_same_sources_give_the_same_bytes_elsewhere_and_later(checkout):
    archive.build(ROOT, checkout / "here.zip")
    for path in checkout.rglob("*.py"):
        path.chmod(0o600)
        os.utime(path, (0, 0))
    (checkout / "shared/__pycache__").mkdir()
    (checkout / "shared/__pycache__/errors.cpython-311.pyc").write_bytes(b"old")
    (checkout / "functions/.main.py.swp").write_bytes(b"an editor's")

    archive.build(checkout, checkout / "there.zip")

    assert (checkout / "here.zip").read_bytes() == (checkout / "there.zip").read_bytes()


def test_a_changed_source_changes_the_bytes(checkout):
    archive.build(checkout, checkout / "before.zip")
    with (checkout / "shared/edge.py").open("a") as file:
        file.write("\n")

    archive.build(checkout, checkout / "after.zip")

    assert (checkout / "before.zip").read_bytes() != (checkout / "after.zip").read_bytes()


def test_the_archive_holds_sources_and_nothing_else():
    names = list(archive.contents(ROOT))
    at_the_root = [n for n in names if "/" not in n]
    inside = {(n.split("/")[0], Path(n).suffix) for n in names if "/" in n}

    assert at_the_root == ["main.py", "requirements.txt"]
    assert inside <= {("functions", ".py"), ("functions", ".json")} | {
        ("shared", ".py"),
        ("shared", ".json"),
    }
    assert names == sorted(names)
    assert not [n for n in names if {"tests", "__pycache__"} & set(n.split("/"))]


def test_make_archive_says_where_how_large_and_which():
    done = subprocess.run(
        ["make", "--no-print-directory", "archive"], cwd=ROOT, capture_output=True, text=True
    )

    content = (ROOT / "dist/functions.zip").read_bytes()
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        *("dist/functions.zip", f"{len(content):,}", "bytes"),
        *("sha256", hashlib.sha256(content).hexdigest()),
    ]


def test_the_three_lists_of_functions_are_one():
    assert entry_points.faults(ROOT) == []


def test_a_function_nobody_listed_is_a_fault(checkout):
    source = "import functions_framework\n@functions_framework.cloud_event\ndef loud(event): ...\n"
    (checkout / "functions/loud.py").write_text(source)

    assert entry_points.faults(checkout) == [
        "functions/loud.py: loud is missing from functions/functions.json."
    ]


def test_a_listed_function_nobody_wrote_is_a_fault(checkout):
    (checkout / "functions/reconcile.py").unlink()

    assert entry_points.faults(checkout) == [
        "functions/functions.json: nothing in functions/ is reconcile."
    ]


def test_a_function_main_does_not_export_is_a_fault(checkout):
    main = checkout / "functions/main.py"
    main.write_text(main.read_text().replace("import reconcile\n", "import reconcile as other\n"))

    assert entry_points.faults(checkout) == ["functions/main.py: reconcile is not exported."]


#: Topics nobody publishes to but a clock or the platform.
FOREIGN_TOPICS = {"ticks"}


@pytest.mark.parametrize("name", LISTED)
def test_every_function_has_a_trigger_that_exists(name):
    entry = entry_points.listed(ROOT)[name]
    trigger = entry["trigger"]

    assert entry.keys() == {"description", "trigger"}
    assert entry["description"].endswith(".")
    if "bucket" in trigger:
        assert trigger == {
            "event_type": "google.cloud.storage.object.v1.finalized",
            "bucket": "uploads",
        }
    else:
        assert trigger.keys() == {"event_type", "topic"}
        assert trigger["event_type"] == "google.cloud.pubsub.topic.v1.messagePublished"
        assert trigger["topic"] in {*Topic, *FOREIGN_TOPICS}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def asked(file: str) -> set[str]:
    """Distributions a .in file asks for."""
    lines = (ROOT / "requirements" / file).read_text().splitlines()
    wanted = [line for line in lines if line and line[0] not in "#-"]
    return {canonical(re.split(r"[^\w.-]", line)[0]) for line in wanted}


def pinned(file: str) -> dict[str, str]:
    """Distribution -> version of a compiled file."""
    text = (ROOT / "requirements" / file).read_text()
    return {canonical(n): v for n, v in re.findall(r"^([\w.-]+)(?:\[.*\])?==(\S+)", text, re.M)}


def imports(room: str) -> Iterator[str]:
    """Every module imported anywhere in the room, at the top or late."""
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules() -> dict[str, str]:
    """Module -> distribution it comes from, of everything we run on."""
    found = {}
    for name in pinned("run.txt").keys() & installed():
        for file in distribution(name).files or ():
            if file.suffix == ".py":
                parts = file.with_suffix("").parts
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = name
    return found


def installed() -> set[str]:
    return {canonical(d.name) for d in distributions()}


def provider(module: str, known: dict[str, str]) -> str:
    """The distribution of the longest part of the name that is a module; the name if none is."""
    parts = module.split(".")
    candidates = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((known[c] for c in candidates if c in known), module)


def test_functions_require_what_they_import_and_nothing_else():
    known = modules()
    at_hand = sys.stdlib_module_names | {"functions", "shared", "_typeshed"}
    foreign = {
        module
        for room in ("functions", "shared")
        for module in imports(room)
        if module.split(".")[0] not in at_hand
    }

    needed = {provider(module, known) for module in foreign}
    assert needed == asked("functions.in"), "edit functions.in and compile it (CONTRIBUTING.md)"


def test_functions_run_on_the_versions_the_services_run_on():
    run, functions = pinned("run.txt"), pinned("functions.txt")

    assert functions
    assert {n: run.get(n) for n in functions} == functions


def test_nothing_heavy_can_be_imported_there(deployed):
    there = deployed.python(
        "from importlib.metadata import distributions; print(*(d.name for d in distributions()))"
    )
    heavy = deployed.python(
        f"from importlib.util import find_spec; print(*filter(find_spec, {HEAVY}))"
    )

    assert {canonical(n) for n in there.split()} - {"pip", "setuptools"} <= set(
        pinned("functions.txt")
    )
    assert heavy.split() == []


@pytest.fixture(scope="module")
def broker():
    with RecordingBroker() as running:
        yield running


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return wiring.parts(load(home=tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def functions(deployed, broker, parts):
    """Every listed function, each in a framework process of its own, on one HOME."""
    home = parts.settings.home
    environment = {
        "EARWITNESS_HOME": str(home),
        "EARWITNESS_BROKER_URL": broker.url,
        "EARWITNESS_WEBHOOKS_PRIVATE": "true",
    }
    started = [Function(deployed, n, home / f"{n}.log", **environment) for n in LISTED]
    try:
        yield {one.name: one.until_ready() for one in started}
    finally:
        for one in started:
            one.end()


def uploaded(parts, name):
    """An object, and the event that tells of it."""
    return storage_finalized(
        parts.inlet.put(
            f"uploads/demo/{name}",
            BytesIO(silence_wav(2.0)),
            content_type="audio/wav",
            metadata={},
            at=parts.now(),
        )
    )


def recording(parts, path):
    [found] = [r for r in parts.recordings.page() if r.path == path]
    return found


def tickets(broker):
    return broker.bodies("lane-high") + broker.bodies("lane-low")


def accepts_an_upload(functions, parts, broker):
    event = uploaded(parts, "first.wav")

    codes = [functions["on_audio_uploaded"].post(event.headers, event.body) for _ in range(2)]

    assert codes == [200, 200]
    assert recording(parts, "first.wav").state is State.QUEUED
    assert tickets(broker) == [{"v": 1, "lane": recording(parts, "first.wav").lane.value}]


def logs_a_dead_letter(functions, parts, broker):
    letter = {"recording_id": "r1", "tenant": "demo", "code": "engine_died", "message": "It died."}

    answer = functions["on_job_dead"].post(*event_of("jobs-dead", letter))

    assert answer == 200
    assert "dead letter: It died." in functions["on_job_dead"].log.read_text()


def drains_the_outbox(functions, parts, broker):
    event = uploaded(parts, "late.wav")
    broker.status = 503
    refused = functions["on_audio_uploaded"].post(event.headers, event.body)
    broker.status, before = 200, len(tickets(broker))

    answer = functions["reconcile"].post(*event_of("ticks", {}))

    assert (refused, answer) == (500, 200)
    assert parts.outbox.pending() == []
    assert len(tickets(broker)) > before


def seals_what_was_written(functions, parts, broker):
    event = uploaded(parts, "sealed.wav")
    functions["on_audio_uploaded"].post(event.headers, event.body)

    answer = functions["seal"].post(*event_of("ticks", {}))

    assert answer == 200
    assert parts.seals.numbers("demo") == [1]
    assert wiring.verify(parts)("demo").findings == ()


def erases_what_was_asked(functions, parts, broker):
    event = uploaded(parts, "gone.wav")
    functions["on_audio_uploaded"].post(event.headers, event.body)
    known = recording(parts, "gone.wav")
    begun = wiring.erase(parts).ask(known.id, "cli", parts.now())

    answer = functions["retire"].post(*event_of("ticks", {}))

    assert answer == 200
    assert json.loads(parts.erasures.get(begun.id).receipt)["recording_id"] == known.id
    assert parts.uploads.stat(known.name, known.generation) is None


def announced(parts, endpoint, number):
    """A webhook, and the event that concerns it."""
    hook = webhook(number, tenant="demo", url=endpoint.url())
    parts.webhooks.add(hook)
    told = announcement(made(number, tenant="demo"), "done", parts.now(), 3)
    return hook, told


def tells_a_webhook(functions, parts, broker):
    with Endpoint() as endpoint:
        hook, told = announced(parts, endpoint, 1)

        answer = functions["on_announcement"].post(*event_of("recording-events", told.body))

        _, headers, body = endpoint.take()
    assert answer == 200
    assert Webhook(hook.secret).verify(body, headers)["data"]["event_id"] == told.event_id
    parts.webhooks.remove(hook.id)


def tells_a_webhook_again(functions, parts, broker):
    with Endpoint(said=[answers(500)]) as endpoint:
        hook, told = announced(parts, endpoint, 2)
        functions["on_announcement"].post(*event_of("recording-events", told.body))
        parts.deliveries.replay(hook.id, told.event_id, parts.now())

        answer = functions["deliver"].post(*event_of("ticks", {}))

    kept = parts.deliveries.get(hook.id, told.event_id)
    assert (answer, [a.status for a in kept.attempts]) == (200, [500, 204])
    parts.webhooks.remove(hook.id)


def event_of(topic, body):
    data = base64.b64encode(json.dumps(body).encode()).decode()
    event = message_published(topic, PubsubMessage("1", data, {}, "2026-01-01T00:00:00Z"))
    return event.headers, event.body


EFFECTS = {
    "on_announcement": tells_a_webhook,
    "deliver": tells_a_webhook_again,
    "on_audio_uploaded": accepts_an_upload,
    "on_job_dead": logs_a_dead_letter,
    "reconcile": drains_the_outbox,
    "retire": erases_what_was_asked,
    "seal": seals_what_was_written,
}


@pytest.mark.parametrize("name", LISTED)
def test_the_deployed_function_does_its_work(functions, parts, broker, name):
    broker.taken.clear()

    EFFECTS[name](functions, parts, broker)


@pytest.mark.parametrize("name", LISTED)
def test_the_deployed_function_settles_what_is_no_event(functions, name):
    assert functions[name].post({"content-type": "application/json"}, b"{") == 204
    said = functions[name].log.read_text()
    assert InvalidEvent.code in said or str(InvalidEvent()) in said
