"""Qwen2-Audio behind an OpenAI-compatible server such as vLLM, asked by the official client."""

import base64
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from gpu_service.engines import answer_form as form
from gpu_service.engines import measures, vendor
from gpu_service.engines import qwen2_prompts as prompts
from gpu_service.engines.engine import Capabilities, Clip
from gpu_service.engines.generation import looping
from gpu_service.engines.qwen2_audio import ANSWER_CUT, LEAST_TOKENS, TOKENS_PER_S
from gpu_service.engines.registry import EngineSettings
from gpu_service.engines.silence import speaks
from gpu_service.engines.sound_files import wav
from gpu_service.engines.sound_labels import EVERYDAY
from gpu_service.engines.whisper import (
    LANGUAGE_GUESSED,
    LANGUAGE_UNKNOWN,
    REPETITION,
    UNEXPLAINED,
)
from shared import settings as house
from shared.domain.answers import Answer, SoundEvent, Task, Token
from shared.domain.sound import MAX_SEGMENT_S, SAMPLE_RATE
from shared.errors import VendorAnswerUnreadable

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat.chat_completion import Choice

UNLISTED = "label_unlisted"  #: the model named a sound that is none of the labels


#: Source: vLLM, "Structured Outputs"; OpenAI's `response_format` of the same shape.
FORM = {
    "type": "json_schema",
    "json_schema": {"name": form.NAME, "strict": True, "schema": form.SCHEMA},
}


class Qwen2RemoteOptions(BaseModel):
    """`options` of the kind `qwen2_remote`; those of the engine `qwen` come from QWEN_*."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str = Field(pattern="^https?://", description="Base URL, with /v1 where it has one.")
    model: str = Field("Qwen/Qwen2-Audio-7B-Instruct", min_length=1)
    calls: int = Field(10, ge=1, le=256, description="Calls at once.")
    timeout_s: float = Field(30.0, gt=0, description="Seconds a call may be silent.")
    retries: int = Field(3, ge=0, le=10, description="Tries after the first that failed.")
    structured: bool = Field(
        True, description="Ask for answers in a JSON schema, as vLLM's `response_format` does."
    )
    answer_tokens: int = Field(256, ge=1, le=4096, description="Of a description or an answer.")


class Qwen2Remote:
    """Implements `Engine` for TRANSCRIBE, CLASSIFY, DESCRIBE and ANSWER.

    A chat is all such a server offers, so the words are those for the Instruct checkpoint;
    the base checkpoint's prompts need control tokens that no chat lets through. Instruct may
    answer instead of transcribing, which the local base checkpoint does not.

    Confidence of a text: geometric mean of its tokens' probabilities as the server says them;
    None where it says none. A class is named, not scored: the likelihoods of a whole label set
    would be a call each. Uncalibrated.

    Nothing is paid by the call, so the client may retry. Threads may share the engine.
    """

    options: ClassVar[type[BaseModel]] = Qwen2RemoteOptions

    def __init__(self, name: str, settings: EngineSettings, *, cache: Path) -> None:
        self.name = name
        self._options = Qwen2RemoteOptions.model_validate(settings.options)
        self._places = BoundedSemaphore(self._options.calls)
        self._client: OpenAI | None = None

    def capabilities(self) -> Capabilities:
        return Capabilities(
            frozenset({Task.TRANSCRIBE, Task.CLASSIFY, Task.DESCRIBE, Task.ANSWER}),
            max_duration_s=MAX_SEGMENT_S,
            languages=frozenset(prompts.LANGUAGES),
            versions={"checkpoint": self._options.model, "rules": "qwen2_remote/2"},
            concurrency=self._options.calls,
            heeds=frozenset({"temperature"}),
        )

    def load(self) -> None:
        """Make the client; nothing is sent. A server without a key takes any."""
        self._client = self._client or vendor.connected(
            base_url=self._options.endpoint,
            api_key=house.load().qwen_api_key or "none",
            variable="QWEN_API_KEY",
            max_retries=self._options.retries,
        )

    def unload(self) -> None:
        self._client = None

    def infer(self, task: Task, batch: Sequence[Clip]) -> list[Answer]:
        """Answer every clip, as many at once as calls are allowed; silence is not sent.

        Raises:
            VendorFailure: a call failed after its retries; asking again may help.
        """
        self.load()
        client = self._client
        assert client is not None
        with ThreadPoolExecutor(max(1, min(len(batch), self._options.calls))) as pool:
            return list(pool.map(lambda clip: self._answered(client, task, clip), batch))

    def _answered(self, client: "OpenAI", task: Task, clip: Clip) -> Answer:
        if not clip.samples.size or (task is Task.TRANSCRIBE and not speaks(clip)):
            return Answer(self.name, task, language=clip.language)
        with self._places:
            begun = time.monotonic()
            choice = self._asked(client, task, clip)
            taken = time.monotonic() - begun
        said = told(task, clip, choice)
        return Answer(self.name, task, seconds=taken, **said)

    def _asked(self, client: "OpenAI", task: Task, clip: Clip) -> "Choice":
        from openai.types.chat import ChatCompletion

        asked: dict[str, Any] = {
            "model": self._options.model,
            "messages": messages(task, clip),
            # `max_completion_tokens` is newer than some servers that serve this model.
            "max_tokens": self._limit(task, clip),
            "temperature": clip.temperature,
            "logprobs": True,
        }
        if task is Task.ANSWER and self._options.structured:
            asked["response_format"] = FORM
        wait = vendor.patience(self._options.timeout_s)
        create = client.chat.completions.with_raw_response.create
        said = vendor.asked(self.name, ChatCompletion, lambda: create(**asked, timeout=wait))
        if not said.choices:
            raise VendorAnswerUnreadable(engine=self.name)
        return said.choices[0]

    def _limit(self, task: Task, clip: Clip) -> int:
        spoken = LEAST_TOKENS + math.ceil(TOKENS_PER_S * clip.samples.size / SAMPLE_RATE)
        return spoken if task is Task.TRANSCRIBE else self._options.answer_tokens


def messages(task: Task, clip: Clip) -> list[dict[str, Any]]:
    """The sound and our words in the user's turn; of what others wrote, no control tokens.

    With a question our words are the system's, for the user's turn is the tenant's.
    """
    words = prompts.asked(task, prompts.Style.INSTRUCT, clip.language, None)
    system: list[dict[str, Any]] = []
    if task is Task.ANSWER:
        words = form.asked(prompts.data(clip.text or ""), prompts.data(clip.transcript))
        system = [{"role": "system", "content": form.INSTRUCTIONS}]
    if task is Task.CLASSIFY:
        labels = ", ".join(prompts.data(label) for label in clip.labels or EVERYDAY)
        words = f"{words} One of: {labels}."
    sound = {"data": base64.b64encode(wav(clip.samples)).decode(), "format": "wav"}
    content = [{"type": "input_audio", "input_audio": sound}, {"type": "text", "text": words}]
    return [*system, {"role": "user", "content": content}]


def told(task: Task, clip: Clip, choice: "Choice") -> dict[str, Any]:
    """What a choice says, as fields of an Answer."""
    text = prompts.shown(choice.message.content or "")
    tokens = _tokens(choice)
    # As of a text made here, less the entropies, which no server says.
    found = measures.of_logprobs([token.logprob for token in tokens]) | measures.of_tokens(tokens)
    confidence = math.exp(found["mean_logprob"]) if found else None
    if task is Task.CLASSIFY:
        return _class(clip, text, confidence)
    said: dict[str, Any] = {"text": text, "confidence": confidence, "tokens": tokens}
    language = clip.language if task is Task.TRANSCRIBE else None
    found |= measures.of_clip(clip, text) if task is Task.TRANSCRIBE else {}
    cautions = _cautions(task, clip, choice, tokens, text)
    if task is Task.ANSWER:
        filled = form.read(text) or form.plainly(text)
        cautions += filled.pop("cautions", ())
        said |= filled
    return {**said, "signals": found, "language": language, "cautions": cautions}


def _class(clip: Clip, text: str, confidence: float | None) -> dict[str, Any]:
    """The label the model named, over the whole clip; none if it named another."""
    wanted = text.strip(" .\"'").casefold()
    names = {prompts.data(label).casefold(): label for label in clip.labels or EVERYDAY}
    if wanted not in names:
        return {"cautions": (UNLISTED,)}
    seconds = clip.samples.size / SAMPLE_RATE
    event = SoundEvent(names[wanted], 0.0, seconds, confidence)
    return {"events": (event,), "confidence": confidence}


def _tokens(choice: "Choice") -> tuple[Token, ...]:
    content = choice.logprobs.content if choice.logprobs else None
    # A server may write -inf or -9999 for what it cannot say; no confidence is made of that.
    kept = (t for t in content or () if -1_000.0 < t.logprob <= 0.0)
    return tuple(Token(t.token, t.logprob) for t in kept if not _is_control(t.token))


def _is_control(token: str) -> bool:
    return not prompts.data(token) and not token.isspace()


def _cautions(
    task: Task, clip: Clip, choice: "Choice", tokens: Sequence[Token], text: str
) -> tuple[str, ...]:
    numbers: dict[str, int] = {}
    turns = looping([numbers.setdefault(t.text, len(numbers)) for t in tokens]) if tokens else 0
    spoken = task is Task.TRANSCRIBE
    cautions = {
        ANSWER_CUT: choice.finish_reason == "length",
        REPETITION: turns > 0,
        LANGUAGE_UNKNOWN: spoken and clip.language not in (None, *prompts.LANGUAGES),
        LANGUAGE_GUESSED: spoken and clip.language is None,
        UNEXPLAINED: spoken and not text,
    }
    return tuple(code for code, holds in cautions.items() if holds)
