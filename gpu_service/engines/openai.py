"""OpenAI as an engine: transcription by one model, sounds, descriptions and answers by another.

A call is made once: who may call, and what it may cost, was committed before
(`shared.flows.purchase`), and the client's own retries are off. Only a call that was refused for
its rate (429, not charged) is made again, by the engine's server and within its retry budget.
"""

import base64
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gpu_service.engines import answer_form as form
from gpu_service.engines import measures, vendor
from gpu_service.engines.engine import Capabilities, Clip
from gpu_service.engines.registry import EngineSettings
from gpu_service.engines.sound_files import BASE64, BYTES_PER_S, flac, wav
from shared import settings as house
from shared.domain.answers import Answer, SoundEvent, Task
from shared.domain.prices import Price, Terms, Used, cost_usd, price_of
from shared.domain.sound import SAMPLE_RATE
from shared.errors import VendorAnswerUnreadable

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.audio import Transcription
    from openai.types.chat import ChatCompletion
    from openai.types.chat.chat_completion import Choice

#: Seconds a call may be silent: so much, and so much more for each second of sound. A file is
#: read in first; nothing comes back before all of it was heard.
WAIT_S, WAIT_PER_S = 30.0, 0.5
#: Tokens sent as text, for the estimate: the instructions and the function are less than 1,800
#: characters together (a test counts), so the rest is for labels and the question.
TEXT_IN = 2_000
#: With a question: 300 characters are at most 1,200 bytes, an excerpt of 1,500 bytes at most twice
#: that in JSON, and no token is less than a byte.
TEXT_IN_QUESTION = 6_000
#: Tokens a description, an answer or a report may have; the model's own limit is 16 times it.
MAX_OUT = 1_024

TRUNCATED = "answer_cut"  #: the model had more to say than it was allowed to
FILTERED = "answer_filtered"  #: the vendor's filter left out the answer or a part of it

INSTRUCTIONS: Mapping[Task, str] = {
    Task.DESCRIBE: "Describe in one to three sentences what can be heard." + form.DATA_ONLY,
    Task.ANSWER: form.INSTRUCTIONS,
    Task.CLASSIFY: "Report the sounds that can be heard, with the seconds from the start of the"
    " sound at which each begins and ends." + form.DATA_ONLY,
}
REPORT = "report_sounds"


class OpenAiOptions(BaseModel):
    """`options` of the kind `openai`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    transcribe: str = Field("gpt-transcribe", min_length=1, description="Model for speech.")
    understand: str = Field(
        "gpt-audio-1.5", min_length=1, description="Model for sounds, descriptions, answers."
    )
    base_url: str | None = Field(None, description="Another server that speaks the protocol.")
    prices: dict[str, Price] = Field(
        default_factory=dict, description="Prices by model, in place of the table's."
    )
    wait_s: float = Field(WAIT_S, gt=0, description="Seconds a call may be silent ...")
    wait_per_s: float = Field(WAIT_PER_S, ge=0, description="... and more per second of sound.")


class Sound(BaseModel):
    """One sound as the model reports it."""

    label: str
    start_s: float
    end_s: float


class Report(BaseModel):
    """The argument of REPORT."""

    sounds: list[Sound]


class OpenAi:
    """Implements `Engine` for TRANSCRIBE, CLASSIFY, DESCRIBE and ANSWER.

    `gpt-transcribe` gives text and languages; no times, no log-probabilities: `words` are empty
    and `confidence` is None. Whether its text was cut short it does not say. `gpt-audio-1.5`
    has no structured outputs (its page, 2026-11), so sounds and answers are asked for as the
    arguments of a function, which has a JSON schema; they are checked here all the same. No
    function stands for anything that could be done, and nothing carries one out.

    Threads may share it: the client is thread-safe and nothing else changes after `load`.
    """

    options: ClassVar[type[BaseModel]] = OpenAiOptions

    def __init__(self, name: str, settings: EngineSettings, *, cache: Path) -> None:
        self.name = name
        self._options = o = OpenAiOptions.model_validate(settings.options)
        self._heard, self._understood = (
            price_of(model, o.prices) for model in (o.transcribe, o.understand)
        )
        self._client: OpenAI | None = None

    def capabilities(self) -> Capabilities:
        o, understood = self._options, self._terms_of_chat()
        terms = dict.fromkeys((Task.CLASSIFY, Task.DESCRIBE), understood)
        terms[Task.ANSWER] = understood.model_copy(update={"text_in": TEXT_IN_QUESTION})
        terms[Task.TRANSCRIBE] = Terms(price=self._heard, bytes_per_s=BYTES_PER_S, merges=True)
        return Capabilities(
            frozenset(terms),
            max_duration_s=max(one.max_call_s for one in terms.values()),
            versions={"transcribe": o.transcribe, "understand": o.understand},
            concurrency=8,
            paid=True,
            terms=terms,
            heeds=frozenset({"prompt", "temperature"}),
        )

    def _terms_of_chat(self) -> Terms:
        sent = BYTES_PER_S * BASE64
        return Terms(price=self._understood, text_in=TEXT_IN, max_out=MAX_OUT, bytes_per_s=sent)

    def load(self) -> None:
        """Make the client; nothing is sent.

        Raises:
            InvalidSettings: OPENAI_API_KEY is not set.
        """
        self._client = self._client or vendor.connected(
            base_url=self._options.base_url,
            api_key=house.load().openai_api_key,
            variable="OPENAI_API_KEY",
        )

    def unload(self) -> None:
        self._client = None

    def infer(self, task: Task, batch: Sequence[Clip]) -> list[Answer]:
        """One call a clip, one after another; an empty clip is answered without a call.

        Raises:
            VendorFailure: a call failed; answers of earlier clips are lost, so whoever pays
                asks about one clip at a time.
        """
        self.load()
        assert self._client is not None
        return [self._answered(self._client, task, clip) for clip in batch]

    def _answered(self, client: "OpenAI", task: Task, clip: Clip) -> Answer:
        if not clip.samples.size:
            return Answer(self.name, task)
        begun, seconds = time.monotonic(), clip.samples.size / SAMPLE_RATE
        wait = vendor.patience(self._options.wait_s + self._options.wait_per_s * seconds)
        said: dict[str, Any]
        if task is Task.TRANSCRIBE:
            said = self._transcribed(client, clip, seconds, wait)
        else:
            said = self._understood_by(client, task, clip, seconds, wait)
        return Answer(self.name, task, seconds=time.monotonic() - begun, **said)

    def _transcribed(
        self, client: "OpenAI", clip: Clip, seconds: float, wait: Any
    ) -> dict[str, Any]:
        from openai.types.audio import Transcription

        asked: dict[str, Any] = {
            "file": ("sound.flac", flac(clip.samples), "audio/flac"),
            "model": self._options.transcribe,
            "response_format": "json",
        }
        asked |= {"languages": [clip.language]} if clip.language else {}
        asked |= {"prompt": clip.prompt} if clip.prompt else {}
        asked |= {"temperature": clip.temperature} if clip.temperature else {}
        create = client.audio.transcriptions.with_raw_response.create
        heard = vendor.asked(self.name, Transcription, lambda: create(**asked, timeout=wait))
        text = heard.text.strip()
        return {
            "text": text,
            "signals": measures.of_clip(clip, text),
            "language": _language(heard) or clip.language,
            "cost_usd": cost_usd(self._heard, _used(heard, seconds)),
        }

    def _understood_by(
        self, client: "OpenAI", task: Task, clip: Clip, seconds: float, wait: Any
    ) -> dict[str, Any]:
        from openai.types.chat import ChatCompletion

        asked: dict[str, Any] = {
            "model": self._options.understand,
            "modalities": ["text"],
            "messages": messages(task, clip),
            "max_completion_tokens": MAX_OUT,
            "temperature": clip.temperature,
            "store": False,
        }
        if task is Task.CLASSIFY:
            asked |= {"tools": [tool(clip.labels)], "tool_choice": _forced(REPORT)}
        if task is Task.ANSWER:
            asked |= {"tools": [FORM], "tool_choice": _forced(form.NAME)}
        create = client.chat.completions.with_raw_response.create
        said = vendor.asked(self.name, ChatCompletion, lambda: create(**asked, timeout=wait))
        told = self._told(task, said, seconds)
        return {**told, "cost_usd": cost_usd(self._understood, self._used(said, seconds))}

    def _told(self, task: Task, said: "ChatCompletion", seconds: float) -> dict[str, Any]:
        if not said.choices:
            raise VendorAnswerUnreadable(engine=self.name)
        choice = said.choices[0]
        cautions = {"length": (TRUNCATED,), "content_filter": (FILTERED,)}
        told: dict[str, Any] = {"cautions": cautions.get(choice.finish_reason, ())}
        if task is Task.ANSWER:
            return {**told, **self._answer(choice, told["cautions"])}
        if task is not Task.CLASSIFY:
            return {**told, "text": (choice.message.content or "").strip()}
        for call in choice.message.tool_calls or ():
            if call.type == "function" and call.function.name == REPORT:
                return {**told, "events": self._events(call.function.arguments, seconds)}
        if cautions.get(choice.finish_reason):
            return told
        raise VendorAnswerUnreadable("No sounds were reported.", engine=self.name)

    def _answer(self, choice: "Choice", cautions: tuple[str, ...]) -> dict[str, Any]:
        """The first form that was filled in; calls of anything else are not even read."""
        for call in choice.message.tool_calls or ():
            if call.type != "function" or call.function.name != form.NAME:
                continue
            if (found := form.read(call.function.arguments)) is not None:
                return found
        if said := (choice.message.content or "").strip():
            return {"text": said, "cautions": (*cautions, form.UNSTRUCTURED)}
        if not cautions:
            raise VendorAnswerUnreadable("The question was not answered.", engine=self.name)
        return {}

    def _events(self, arguments: str, seconds: float) -> tuple[SoundEvent, ...]:
        try:
            report = Report.model_validate_json(arguments)
        except ValidationError as error:
            raise VendorAnswerUnreadable(engine=self.name) from error
        inside = (
            SoundEvent(s.label, max(s.start_s, 0.0), min(s.end_s, seconds), None)
            for s in report.sounds
        )
        return tuple(event for event in inside if event.start_s < event.end_s)

    def _used(self, said: "ChatCompletion", seconds: float) -> Used:
        """What was used; where it is not said, the most it can have been."""
        if said.usage is None:
            sound = round(seconds * self._understood.audio_tokens_per_s)
            return Used(text_in=TEXT_IN, audio_in=sound, text_out=MAX_OUT)
        details = said.usage.prompt_tokens_details
        audio_in = (details and details.audio_tokens) or 0
        return Used(
            text_in=said.usage.prompt_tokens - audio_in,
            audio_in=audio_in,
            text_out=said.usage.completion_tokens,
        )


def messages(task: Task, clip: Clip) -> list[dict[str, Any]]:
    """Our instructions as the system; sound and question as data in the user's turn."""
    sound = {"data": base64.b64encode(wav(clip.samples)).decode(), "format": "wav"}
    content: list[dict[str, Any]] = [{"type": "input_audio", "input_audio": sound}]
    if task is Task.ANSWER:
        content.append({"type": "text", "text": form.asked(clip.text or "", clip.transcript)})
    return [
        {"role": "system", "content": INSTRUCTIONS[task]},
        {"role": "user", "content": content},
    ]


def tool(labels: Sequence[str]) -> dict[str, Any]:
    """The function REPORT; its labels are free where none are given."""
    label: dict[str, Any] = {"type": "string"}
    label |= {"enum": list(labels)} if labels else {"description": "One to three words."}
    seconds = {"type": "number", "description": "Seconds from the start of the sound."}
    sound = _object({"label": label, "start_s": seconds, "end_s": seconds})
    parameters = _object({"sounds": {"type": "array", "items": sound}})
    return _function(REPORT, "Report every sound heard.", parameters)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _function(name: str, about: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A form to fill in: nothing here carries out a call, its arguments are only read."""
    said = {"name": name, "description": about, "parameters": parameters}
    return {"type": "function", "function": said}


def _forced(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


FORM = _function(form.NAME, "Answer the question.", form.SCHEMA)


def _language(heard: "Transcription") -> str | None:
    """The first language detected; the list is empty where none was told for certain."""
    return heard.languages[0].code if heard.languages else None


def _used(heard: "Transcription", seconds: float) -> Used:
    """What was used by the vendor's count; by the sound's own length where it is silent."""
    usage = heard.usage
    if usage is None:
        return Used(seconds=seconds)
    if usage.type == "duration":
        return Used(seconds=usage.seconds)
    details = usage.input_token_details
    return Used(
        text_in=(details and details.text_tokens) or 0,
        audio_in=(details and details.audio_tokens) or usage.input_tokens,
        text_out=usage.output_tokens,
        # A price by the minute holds whatever else is counted.
        seconds=seconds,
    )
