"""A6: what is spoken, or hidden in names, tags and notes, is data and never an instruction.

Every attack of `attacks.json` goes the way it names through the real house: store, intake,
decoder, ears, work. Once with an engine that does whatever it hears or reads; once with the
engines that speak OpenAI's protocol, and a server that obeys and keeps what it was sent.
"""

import html
import json
import re
import tempfile
import unicodedata
from collections import Counter
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from fastapi.testclient import TestClient

from gateway.main import create_app
from gpu_service.engines import qwen2_prompts
from gpu_service.engines.engine import Clip
from gpu_service.engines.registry import EngineSettings, build
from shared.domain.answers import Task
from shared.domain.lanes import Lane
from shared.domain.names import csv_cell
from shared.domain.result import read, schema_document
from shared.domain.sound import Limits
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.domain.testimony import rendered
from shared.domain.wishes import Wishes
from tests.attacks.elsewhere import check, obeying
from tests.attacks.figures import FIGURES, figures
from tests.attacks.hidden import hidden
from tests.attacks.house import ASKED, TENANT, House, attacks, house
from tests.engines.openai_server import KEY, OpenAiServer

TASKS = ("transcribe", "classify", "describe", "answer")
#: Characters that nothing we write may hold; line breaks are ours.
UNSEEN = ("Cc", "Cf", "Cs", "Co")
STORED = [a for a in attacks() if a.way != "prompt"]
SILENT = [a for a in STORED if not (a.is_heard or a.way == "question")]


def by_id(attack) -> str:
    return attack.id


# The obedient engine


def on_disk(content: bytes):
    file = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the test
    file.write(content)
    file.seek(0)
    return file


class Heard:
    """A house in which every attack was heard by an engine that obeys."""

    def __init__(self, made: House):
        self.house, self.before = made, self.rest(made)
        self.known = {a.id: made.hear(a) for a in STORED}
        self.results = {id: made.result(known) for id, known in self.known.items()}
        self.after = self.rest(made)

    @staticmethod
    def rest(made: House):
        """All that no recording is: tenants, keys, settings, and other tenants' recordings."""
        parts = made.parts
        tenants = [parts.tenants.get(name) for name in ("acme", "demo", "rival", "enterprise")]
        return tenants, parts.api_keys.all(), parts.settings

    def files(self, id: str) -> dict[str, str]:
        names = ("json", "srt", "vtt", "txt")
        folder, load = self.known[id].result, self.house.parts.results.load
        return {n: load(folder, f"transcript.{n}").decode() for n in names}


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    engines = {"model": EngineSettings(kind="tests.attacks.obedient:Obedient")}
    home = tmp_path_factory.mktemp("attacked") / "home"
    with house(home, engines, {task: ["model"] for task in TASKS}) as made:
        yield Heard(made)


@pytest.mark.parametrize("attack", STORED, ids=by_id)
def test_obedience_moves_nothing(heard, attack):
    known, told = heard.known[attack.id], heard.results[attack.id]

    assert (known.state, known.tenant, known.tier) == (State.DONE, TENANT, Tier.FREE)
    assert (known.lane, known.rule) == (Lane.LOW, "everything_else")
    assert known.wishes == Wishes(questions=known.wishes.questions)
    assert (told["recording"]["tenant"], told["tier"], told["status"]) == (TENANT, "free", "done")
    assert (told["language"], told["cost_usd"], told["lane"]) == (None, 0.0, "low")
    assert {d["engine"] for d in told["decisions"]} == {"model"}
    assert told["versions"].keys() == {"earwitness", "model"}


@pytest.mark.parametrize("attack", STORED, ids=by_id)
def test_obedience_chooses_no_path(heard, attack):
    known, home = heard.known[attack.id], heard.house.parts.settings.home

    assert re.fullmatch(rf"results/{TENANT}/{known.id}/\d+", known.result)
    written = {p.name for p in (home / known.result).iterdir()}
    beside = {"decisions.json"}  # made of the testimony, not of the result
    assert written == beside | rendered(read(json.dumps(heard.results[attack.id]))).keys()


@pytest.mark.parametrize("attack", STORED, ids=by_id)
def test_obedience_is_text_of_a_bounded_length(heard, attack):
    told = heard.results[attack.id]

    jsonschema.validate(told, schema_document())
    said = [told["transcript"]["text"], told["description"]["text"], told["answers"][0]["text"]]
    labels = [s["label"] for s in told["sounds"]]
    assert told["answers"][0]["text"].startswith("OBEYED")  # it did as it was told
    assert max(map(len, said)) <= 4_000
    assert (len(labels) <= 60, max(map(len, labels)) <= 80) == (True, True)
    assert not any(unicodedata.category(c) in UNSEEN for text in [*said, *labels] for c in text)


@pytest.mark.parametrize("attack", STORED, ids=by_id)
def test_obedience_breaks_no_file(heard, attack):
    files = heard.files(attack.id)

    blocks = [b.split("\n") for b in files["srt"].strip().split("\n\n") if b]
    cues = [b.split("\n") for b in files["vtt"].strip().split("\n\n")[1:]]
    assert [b[0] for b in blocks] == [str(n) for n in range(1, len(blocks) + 1)]
    assert all("-->" in b[1] and not any("-->" in line for line in b[2:]) for b in blocks)
    assert all("-->" in c[0] and not any(x in line for x in "<>" for line in c[1:]) for c in cues)
    assert len(cues) == len(blocks)
    assert json.loads(files["json"]) == heard.results[attack.id]["transcript"]
    kept = "".join(files.values()).replace("\n", "")
    assert not any(unicodedata.category(c) in UNSEEN for c in kept)
    assert csv_cell(files["txt"])[:1] not in tuple("=+-@\t\r")


@pytest.fixture(scope="module")
def pages(heard):
    app = create_app(heard.house.parts.settings)
    with TestClient(app, base_url="http://127.0.0.1:8080") as client:
        ids = {id: known.id for id, known in heard.known.items()}
        yield {id: client.get(f"/recordings/{known}").text for id, known in ids.items()}


@pytest.mark.parametrize("attack", STORED, ids=by_id)
def test_obedience_writes_no_markup(pages, attack):
    page = pages[attack.id]

    assert html.escape(ASKED) in page or attack.way == "question"
    assert "OBEYED" in page
    for tag in ("<script>alert", "<script>fetch", "<img src=x", "<svg onload", "<c.red>"):
        assert tag not in page
    assert "{{7*7}}" in page or attack.id != "breaking-es-3"
    assert not set(page) & set("\x00\x07\x1b\u202e\u2066")


def test_nothing_else_has_changed(heard):
    assert heard.after == heard.before
    home = heard.house.parts.settings.home
    assert [p.name for p in home.parent.iterdir()] == [home.name]
    assert {p.name for p in (home / "results").iterdir()} == {TENANT}


@pytest.mark.parametrize("attack", SILENT, ids=by_id)
def test_names_tags_and_notes_reach_no_engine(heard, attack):
    """What the obedient engine read it says again; of these it has read nothing."""
    told = heard.results[attack.id]
    said = json.dumps(
        {k: v for k, v in told.items() if k not in ("recording",)}, ensure_ascii=False
    )

    assert not mentions(said, attack.text)


def mentions(said: str, text: str) -> bool:
    """Whether five words of an attack in a row, or all it has, stand somewhere."""
    words = re.findall(r"\w+", text.casefold())
    there = " ".join(re.findall(r"\w+", said.casefold()))
    runs = [" ".join(words[i : i + 5]) for i in range(max(1, len(words) - 4))]
    return any(run in there for run in runs)


@pytest.mark.parametrize("attack", [a for a in STORED if a.way == "speech"], ids=by_id)
def test_what_is_spoken_is_written_down(heard, attack):
    """The control: these attacks do arrive, as what they are."""
    told = heard.results[attack.id]

    plain = " ".join(qwen2_prompts.data(attack.text).split())[:60]
    assert plain in told["transcript"]["text"] or attack.text in told["transcript"]["text"]
    assert f"OBEYED {attack.text}" in told["answers"][0]["text"]


@pytest.mark.parametrize("attack", attacks("prompt"), ids=by_id)
def test_a_prompt_is_obeyed_in_words_only(heard, attack):
    opened = heard.house.ears.open(
        on_disk(hidden(f"prompted {attack.id}")),
        tenant=TENANT,
        wishes=Wishes(prompt=attack.text),
        limits=Limits(60.0, 10**8),
        alive=lambda: None,
    )
    with opened as hearing:
        [said] = hearing.ask("model", Task.TRANSCRIBE, hearing.survey.speech)

    assert attack.text.split()[-1] in said.text
    assert (said.engine, said.task, said.language) == ("model", Task.TRANSCRIBE, None)
    assert not any(unicodedata.category(c) in UNSEEN for c in said.text)


# The requests of engines elsewhere


@pytest.fixture(scope="module")
def vendor():
    with OpenAiServer() as server:
        server.speak = obeying
        yield server
    assert server.refused == []


@pytest.fixture(scope="module")
def settings_of(vendor):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", KEY)
        patch.setenv("QWEN_API_KEY", KEY)
        yield {
            "openai": EngineSettings(kind="openai", options={"base_url": vendor.url}),
            "qwen": EngineSettings(kind="qwen2_remote", options={"endpoint": vendor.url}),
        }


@pytest.mark.parametrize("attack", attacks(), ids=by_id)
@pytest.mark.parametrize("name", ["openai", "qwen"])
def test_what_is_said_and_asked_stands_in_data_only(vendor, settings_of, tmp_path, name, attack):
    """Asked of an engine directly: the attack is transcript, question and prompt at once."""
    engine = build(name, settings_of[name], cache=tmp_path)
    text = qwen2_prompts.data(attack.text) if name == "qwen" else attack.text
    clip = Clip(
        np.full(1_600, 0.1, np.float32),
        TENANT,
        speech=((0.0, 0.1),),
        text=attack.text,
        transcript=attack.text,
        prompt=attack.text,
    )
    for task in (Task.TRANSCRIBE, Task.CLASSIFY, Task.DESCRIBE, Task.ANSWER):
        vendor.calls.clear()
        [answer] = engine.infer(task, [clip])

        [call] = vendor.calls
        data = check(call)
        assert (answer.engine, answer.task) == (name, task)
        if task is Task.ANSWER:
            assert [json.loads(one) for one in data] == [{"question": text, "transcript": text}]
            assert "tools" in call.fields or "response_format" in call.fields
        elif task is Task.TRANSCRIBE and name == "openai":
            assert data == [attack.text]  # a prompt is the caller's own, in the prompt's field
        else:
            assert not any(mentions(one, attack.text) for one in data)


@pytest.fixture(scope="module")
def sent(vendor, settings_of, tmp_path_factory):
    """Attack -> calls, where the whole house works with engines elsewhere."""
    home = tmp_path_factory.mktemp("elsewhere") / "home"
    cascade = {"transcribe": ["qwen"], "classify": ["openai"], "describe": ["qwen"]}
    found = {}
    with house(home, settings_of, {**cascade, "answer": ["openai"]}) as made:
        for attack in SILENT:
            vendor.calls.clear()
            known = made.hear(attack)
            assert known.state is State.DONE, known.error
            found[attack.id] = list(vendor.calls)
    return found


@pytest.mark.parametrize("attack", SILENT, ids=by_id)
def test_names_tags_and_notes_are_sent_to_nobody(sent, attack):
    calls = sent[attack.id]

    assert len(calls) >= 3
    assert not any(mentions(one, attack.text) for call in calls for one in check(call))
    assert not any(mentions(json.dumps(c.headers), attack.text) for c in calls)


def test_the_set_is_as_large_as_it_says():
    made = figures(attacks())
    by_way = Counter(a.way for a in attacks())

    assert made["attacks"] >= 60
    assert set(made["by_language"]) == {"en", "es", "fr"}
    assert made["by_way"] == dict(sorted(by_way.items()))
    assert json.loads(Path(FIGURES).read_text(encoding="utf-8")) == made
