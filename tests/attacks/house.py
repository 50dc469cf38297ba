"""A house under attack: the real store, intake, decoder, ears and work flow."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gpu_service.decoding.decoder import Decoder
from gpu_service.engines.registry import EngineSettings
from gpu_service.hearing.ears import LocalEars
from gpu_service.hosting.host import EngineHost
from gpu_service.hosting.remote import RemoteHost
from gpu_service.serving.server import Server
from shared import wiring
from shared.domain.lanes import Lane
from shared.domain.recording import Message, Recording, UploadedObject
from shared.domain.tenants import Tenant, Tier
from shared.ports import Ears
from shared.settings import load
from tests.attacks.hidden import hidden
from tests.decoding.media import Media

ATTACKS = json.loads(Path(__file__).with_name("attacks.json").read_text(encoding="utf-8"))
TENANT = "acme"
#: Muxer, codec and ending of files whose tags an attack stands in: ID3, Vorbis comments, atoms.
TAGGED = (("mp3", "libmp3lame", "mp3"), ("flac", "flac", "flac"), ("ipod", "aac", "m4a"))
ASKED = "What is said?"


class Attack(dict[str, Any]):
    """One line of attacks.json."""

    @property
    def id(self) -> str:
        return str(self["id"])

    @property
    def way(self) -> str:
        return str(self["way"])

    @property
    def text(self) -> str:
        return str(self["text"])

    @property
    def is_heard(self) -> bool:
        """Whether it is in the sound itself."""
        return self.way in ("speech", "breaking")

    @property
    def path(self) -> str:
        paths = {"object_name": self.text, "folder": f"{self.text}/talk.wav"}
        return paths.get(self.way, f"{self.id}.wav")

    @property
    def question(self) -> str:
        return self.text if self.way == "question" else ASKED

    @property
    def metadata(self) -> dict[str, str]:
        said = {"note": self.text, "title": self.text, "tier": "enterprise", "tenant": "rival"}
        own = said if self.way == "metadata" else {}
        return {**own, "questions": json.dumps([self.question])}

    def content(self) -> bytes:
        if self.way == "tag":
            return tagged(self.text, int(self.id[-1]))
        return hidden(self.text if self.is_heard else f"good morning, {self.way} {self.id[-4:]}")


def attacks(*ways: str) -> list[Attack]:
    found = [Attack(one) for one in ATTACKS]
    return [one for one in found if not ways or one.way in ways]


def tagged(text: str, number: int) -> bytes:
    """Two seconds of a tone whose title, artist, album, comment and lyrics are the attack."""
    muxer, codec, _ = TAGGED[number % len(TAGGED)]
    tags = dict.fromkeys(("title", "artist", "album", "comment", "lyrics"), text)
    return Media(
        muxer, codec, rate=44_100, seconds=2.0 + number / 10, tags=tuple(tags.items())
    ).data()


class Mute:
    """Takes every message and tells nobody."""

    def publish(self, messages: Sequence[Message]) -> None:
        return


@dataclass(frozen=True)
class House:
    """Parts, ears and a tenant that everything belongs to."""

    parts: wiring.Parts
    ears: Ears

    def upload(self, attack: Attack) -> UploadedObject:
        return self.parts.inlet.put(
            f"uploads/{TENANT}/{attack.path}",
            io.BytesIO(attack.content()),
            content_type="audio/wav",
            metadata=attack.metadata,
            at=self.parts.now(),
        )

    def hear(self, attack: Attack) -> Recording:
        """The recording of an attack, as far as it came."""
        made = wiring.intake(self.parts)(self.upload(attack))
        wiring.work(self.parts, self.ears)((Lane.HIGH, Lane.LOW))
        known = self.parts.recordings.get(made.id)
        assert known is not None
        return known

    def result(self, known: Recording) -> dict[str, Any]:
        assert known.result is not None, known.error
        found: dict[str, Any] = json.loads(self.parts.results.load(known.result, "result.json"))
        return found


@contextmanager
def house(
    home: Path, engines: Mapping[str, EngineSettings], cascade: Mapping[str, Sequence[str]]
) -> Iterator[House]:
    """With these engines; the tenant is a free one that may spend, so that paid ones are asked."""
    settings = load(
        home=home, broker_url="http://127.0.0.1:9", cascade={k: list(v) for k, v in cascade.items()}
    )
    parts = replace(wiring.parts(settings), publisher=Mute())
    rules = (("fallback_usd_a_day", 1_000.0), ("files_a_day", 1_000.0))
    parts.tenants.put(Tenant(TENANT, Tier.FREE, parts.now(), rules, fallback=True))
    decoder = Decoder(processes=1)
    decoder.start()
    remote = ("openai", "qwen2_remote")
    hosts = {
        name: (RemoteHost if engine.kind in remote else EngineHost)(name, engine, cache=home)
        for name, engine in engines.items()
    }
    servers = {name: Server(host) for name, host in hosts.items()}
    for server in servers.values():
        server.start()
    try:
        yield House(parts, LocalEars(decoder, servers, None))
    finally:
        for server in servers.values():
            server.stop()
        decoder.stop()
