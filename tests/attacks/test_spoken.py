"""Attacks said aloud, heard by the real Whisper, and asked about elsewhere."""

import json
import re

import pytest

from gpu_service.engines.registry import DEFAULTS, EngineSettings
from shared.domain.states import State
from shared.domain.tenants import Tier
from tests.attacks.elsewhere import check, obeying
from tests.attacks.house import Attack, House, attacks, house
from tests.engines.openai_server import KEY, OpenAiServer
from tests.engines.speech import said, slowly
from tests.sounds import wav

pytestmark = pytest.mark.whisper
ALOUD = [a for a in attacks("speech") if a.get("aloud")]
VOICES = {"es": "es+m4", "fr": "fr-be+m4"}
#: Of an attack's words that Whisper base writes down at least; espeak-ng is hard to understand.
UNDERSTOOD = {"en": 0.6, "es": 0.3, "fr": 0.15}


class Spoken(Attack):
    """The same attack, in a voice."""

    def content(self) -> bytes:
        language = str(self["language"])
        voice = said(self.text) if language == "en" else slowly(self.text, VOICES[language])
        return wav(voice * 0.9)

    @property
    def metadata(self) -> dict[str, str]:
        return {**super().metadata, "language": str(self["language"])}


@pytest.fixture(scope="module")
def server():
    with OpenAiServer() as running:
        running.speak = obeying
        yield running
    assert running.refused == []


@pytest.fixture(scope="module")
def listening(server, tmp_path_factory):
    options = {"endpoint": server.url}
    engines = {
        "whisper": DEFAULTS["whisper"],
        "qwen": EngineSettings(kind="qwen2_remote", options=options),
    }
    home = tmp_path_factory.mktemp("spoken") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QWEN_API_KEY", KEY)
        with house(home, engines, {"transcribe": ["whisper"], "answer": ["qwen"]}) as made:
            yield made


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


@pytest.mark.parametrize("attack", ALOUD, ids=lambda a: a.id)
def test_a_voice_that_gives_orders_is_testimony(
    listening: House, server: OpenAiServer, attack: Attack
) -> None:
    server.calls.clear()

    known = listening.hear(Spoken(attack))

    told = listening.result(known)
    heard = told["transcript"]["text"]
    share = len(words(heard) & words(attack.text)) / len(words(attack.text))
    assert share >= UNDERSTOOD[attack["language"]], heard
    assert (known.state, known.tier, told["language"]) == (
        State.DONE,
        Tier.FREE,
        attack["language"],
    )
    [data] = [one for call in server.calls for one in check(call)]
    assert words(heard) <= words(json.loads(data)["transcript"])
    assert told["answers"][0]["text"].startswith("OBEYED")
    assert {d["engine"] for d in told["decisions"]} == {"whisper", "sounds", "qwen"}
