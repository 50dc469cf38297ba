"""Whisper through faster-whisper: speech to words with times, on the CPU or a GPU.

voice activity -> pack -> encode -> language -> decode together -> split -> ask the doubtful alone
"""

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from threading import RLock
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from gpu_service.engines import measures
from gpu_service.engines.engine import Capabilities, Clip, Samples, Span, check
from gpu_service.engines.packing import Place, Window, pack, split
from gpu_service.engines.registry import EngineSettings
from gpu_service.hearing.voice_activity import VoiceActivity
from gpu_service.weights import pinned
from gpu_service.weights.loading import Part, part
from shared.domain.answers import Answer, Task, Word
from shared.domain.sound import MAX_SEGMENT_S, SAMPLE_RATE

#: Seconds of silence between two clips of a window. Measured on 70 sentences (four voices,
#: 412 words): word error rate alone 4.1 %; packed 5.1, 4.6, 4.2, 4.2, 4.4 % at a gap of
#: 0, 0.3, 0.5, 1.0, 1.5 s, in 11.2 to 12.5 s instead of 41.1 s.
GAP_S = 0.5
#: Probability of the language below which a window is not believed. A window of one language
#: scores 0.9 or more on clean speech; faster-whisper's own threshold is the same 0.5.
LANGUAGE_BAR = 0.5
#: Probability of its language below which each clip of a packed window is looked at by itself:
#: 17 s of English beside 9 s of Spanish score 0.79, and the Spanish alone 0.98 for Spanish.
ONE_LANGUAGE_BAR = 0.95
#: Geometric mean of a packed clip's word probabilities below which it is asked alone: it may
#: be in another language than its window. Measured: 8 foreign sentences heard as English score
#: 0.14 to 0.39; of 70 English ones in their own language one scores below 0.69 (0.58).
DOUBT_BAR = 0.5
#: zlib ratio of the text above which it repeats itself (Whisper paper, section 4.5).
REPETITION_BAR = 2.4
#: Mean log-probability of the tokens below which a decoding failed (same section).
LOG_PROBABILITY_BAR = -1.0
#: With LOG_PROBABILITY_BAR: probability of no speech above which a window is silent (same).
NO_SPEECH_BAR = 0.6
#: Seconds from the nearest voice activity beyond which a word is an invention. Its padding
#: (0.25 s) already covers late onsets.
STRAY_S = 0.5

#: Seconds faster-whisper's word times are too early, by pinned model: median over 350 words of one
#: voice (flite's awb) against the phones flite prints; starts and ends agree within 10 ms, other
#: voices within 20. A constant of the attention heads the alignment reads, so each model's own.
LEADS_S = {pinned.BASE.name: 0.065, pinned.TINY_EN.name: -0.08}

#: Source: CTranslate2, "Quantization", `compute_type`.
DTYPES = frozenset(
    {"default", "auto", "int8", "int8_float32", "int8_float16", "int8_bfloat16"}
    | {"int16", "float16", "bfloat16", "float32"}
)

LANGUAGE_GUESSED = "language_guessed"  #: no language reached LANGUAGE_BAR
LANGUAGE_UNKNOWN = "language_unknown"  #: the wished language is none of the model's
REPETITION = "repetition_suspected"  #: the first try repeated itself; the second may have cut it
INVENTED = "words_in_silence_dropped"  #: words where nobody speaks were taken out
PROMPT_CUT = "prompt_cut"  #: the model reads only the end of so long a prompt
UNEXPLAINED = "speech_without_words"  #: somebody seems to speak but no word was found


class WhisperOptions(BaseModel):
    """`options` of the kind `whisper`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: 1 and 5 gave the same word error rate (3.8 and 4.0 % on 57 real recordings, 4.1 and
    #: 4.4 % on 70 synthetic ones) and 5 costs 12 % to 40 % more.
    beam_size: int = Field(1, ge=1, le=10, description="Hypotheses kept while decoding.")


@dataclass(frozen=True, slots=True)
class Heard:
    """What the model says of one window."""

    words: tuple[Word, ...]
    language: str
    language_probability: float
    no_speech: float | None  #: probability that nobody speaks in the window; None = not said
    detected: bool  #: the model chose the language itself, among several
    failed: bool  #: improbable or repetitive even in the chosen decoding
    repeats: bool  #: the first decoding repeated itself
    seconds: float  #: what the window took; its share of what was done together
    strangers: frozenset[int] = frozenset()  #: clips packed in it that speak another language


@dataclass(frozen=True, slots=True)
class _Sound:
    """A window to hear: samples, a clip that wants what all in it want, and where each lies."""

    samples: Samples
    wanted: Clip
    places: Sequence[Place] = ()


class Whisper:
    """Implements `Engine` for TRANSCRIBE.

    Confidence of a clip: geometric mean of its word probabilities, each the mean of its
    tokens' probabilities given the text (faster-whisper's alignment pass). Uncalibrated.
    Signals are of the clip's own words, also where it shared a window, but the probabilities of
    no speech and of the language: the model says those of the whole window. It gives no entropy
    (CTranslate2 would hand out 52,000 numbers a token to take it from).

    Decoding is greedy. Where the text repeats itself or is improbable, clips that shared a
    window are asked alone, and a clip alone is decoded once more with a beam of 5 that may not
    repeat three tokens. Whisper's own ladder samples at temperatures up to 1.0; it is left out
    because the same sound must always give the same words.

    `Clip.prompt` is what was said before: names in it are written as they are written there.
    `Clip.temperature` above 0 samples the first decoding; two calls then differ, for CTranslate2
    seeds the dice of a thread once.
    """

    options: ClassVar[type[BaseModel]] = WhisperOptions
    dtypes: ClassVar[frozenset[str]] = DTYPES

    def __init__(self, name: str, settings: EngineSettings, *, cache: Path) -> None:
        self.name = name
        self._settings = settings
        self._options = WhisperOptions.model_validate(settings.options)
        self._cache = cache
        self._model: Any = None
        self._at_once = 1  # windows; until the first is encoded nobody knows how large they are

    def capabilities(self) -> Capabilities:
        s, known = self._settings, self._pinned
        return Capabilities(
            tasks=frozenset({Task.TRANSCRIBE}),
            max_duration_s=MAX_SEGMENT_S,
            versions={
                "checkpoint": known.repository if known else s.checkpoint or pinned.BASE_REPOSITORY,
                "revision": known.revision if known else s.revision or "",
                "dtype": s.dtype,
                "beam_size": str(self._options.beam_size),
                "rules": "whisper/2",
            },
            heeds=frozenset({"prompt", "temperature"}),
            word_lead_s=LEADS_S.get(known.name, 0.0) if known else 0.0,
        )

    def load(self) -> None:
        if self._model is not None:
            return
        with part(Part.LOCATE):
            folder = self._folder()
        # Read when the library is loaded. Threads that wait for each other in a loop burn the
        # cores of those they wait for: asleep they took 9 % fewer CPU seconds on two cores
        # shared with others, and the same time on free ones.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        with part(Part.IMPORT):
            from tqdm import tqdm  # type: ignore[import-untyped]  # it publishes no types

            from gpu_service.engines.whisper_model import NoticingModel

        # The progress bar faster-whisper never shows would make a lock shared by processes: a
        # semaphore that stays behind when this one is killed.
        tqdm.set_lock(RLock())
        device, _, index = self._settings.device.partition(":")
        self._model = NoticingModel(
            str(folder),
            device=device,
            device_index=int(index or 0),
            compute_type=self._settings.dtype,
            cpu_threads=self._settings.threads or len(os.sched_getaffinity(0)),
            local_files_only=True,
        )

    def unload(self) -> None:
        self._model = None

    def infer(self, task: Task, batch: Sequence[Clip]) -> list[Answer]:
        """Transcribe every clip; short ones of the same tenant and wish share a window.

        Raises:
            ValueError: a clip is longer than 28 s, or the task is not TRANSCRIBE.
        """
        check(self.name, self.capabilities(), task, batch)
        speech = [_voiced(c.samples) if c.speech is None else c.speech for c in batch]
        silent = Answer(self.name, task, signals={"speech_share": 0.0})
        answers = {i: silent for i, spans in enumerate(speech) if not spans}
        for chosen in _alike(batch, [i for i, spans in enumerate(speech) if spans]):
            answers |= self._together(batch, speech, chosen)
        return [answers[i] for i in range(len(batch))]

    @property
    def _pinned(self) -> pinned.Pinned | None:
        return pinned.pinned(self._settings.checkpoint, self._settings.revision)

    def _folder(self) -> Path:
        """Where the model's files are, proven against every digest that was given."""
        s = self._settings
        if self._pinned is not None:
            folder = pinned.whisper(self._pinned, self._cache)
        else:
            name = s.checkpoint or pinned.BASE_REPOSITORY
            path = Path(name).expanduser()
            folder = path if path.is_dir() else pinned.snapshot(hub_name(name), s.revision)
        if s.sha256:
            pinned.verify(folder, {"model.bin": s.sha256})
        return folder

    def _together(
        self, batch: Sequence[Clip], speech: Sequence[Sequence[Span]], chosen: Sequence[int]
    ) -> dict[int, Answer]:
        """Answers of clips that may share windows; the doubtful ones are asked again alone."""
        durations = [batch[i].samples.size / SAMPLE_RATE for i in chosen]
        windows = pack(durations, MAX_SEGMENT_S, GAP_S)
        members = [[chosen[place.clip] for place in window.places] for window in windows]
        sounds = [
            _Sound(_joined(window, [batch[i] for i in of]), batch[of[0]], window.places)
            for window, of in zip(windows, members, strict=True)
        ]
        answers: dict[int, Answer] = {}
        doubtful: list[int] = []
        for window, of, heard in zip(windows, members, self._hear(sounds), strict=True):
            parts = zip(of, window.places, split(window, heard.words), strict=True)
            for i, place, words in parts:
                own = replace(heard, words=words, seconds=heard.seconds / len(of))
                answers[i] = self._answer(batch[i], speech[i], own)
                stranger = place.clip in heard.strangers
                if len(of) > 1 and (stranger or _doubtful(answers[i], heard)):
                    doubtful.append(i)
        again = self._hear([_Sound(batch[i].samples, batch[i]) for i in doubtful])
        for i, heard in zip(doubtful, again, strict=True):
            spent_s = answers[i].seconds + heard.seconds
            answers[i] = self._answer(batch[i], speech[i], replace(heard, seconds=spent_s))
        return answers

    def _answer(self, clip: Clip, spans: Sequence[Span], heard: Heard) -> Answer:
        words = tuple(word for word in heard.words if near(word, spans))
        text = "".join(word.text for word in words).strip()
        signals = _signals(clip, spans, text, replace(heard, words=words))
        guessed = clip.language != heard.language and heard.language_probability < LANGUAGE_BAR
        cautions = {
            LANGUAGE_GUESSED: guessed,
            LANGUAGE_UNKNOWN: clip.language is not None and clip.language != heard.language,
            REPETITION: heard.repeats,
            PROMPT_CUT: self._cut(clip.prompt),
            INVENTED: len(words) < len(heard.words),
            UNEXPLAINED: not words,
        }
        return Answer(
            self.name,
            Task.TRANSCRIBE,
            text=text,
            language=heard.language,
            confidence=math.exp(signals["mean_logprob"]) if words else None,
            words=tuple(replace(word, text=word.text.strip()) for word in words),
            seconds=heard.seconds,
            cautions=tuple(code for code, holds in cautions.items() if holds),
            signals=signals,
        )

    def _cut(self, prompt: str | None) -> bool:
        """Whether a prompt has more tokens than `WhisperModel.get_prompt` lets through."""
        if not prompt:
            return False
        tokens = self._model.hf_tokenizer.encode(f" {prompt.strip()}", add_special_tokens=False)
        return bool(len(tokens.ids) >= self._model.max_length // 2)

    def _hear(self, sounds: Sequence[_Sound]) -> list[Heard]:
        """What the model says of windows that want the same, in order."""
        found: list[Heard] = []
        while len(found) < len(sounds):
            found += self._heard(sounds[len(found) : len(found) + self._at_once])
        return found

    def _heard(self, sounds: Sequence[_Sound]) -> list[Heard]:
        """Encode once, then detect and decode on the same encoding, as is wanted.

        `WhisperModel.transcribe` encodes twice when the language is not given, and the encoder
        is two thirds of the work on a short clip. These are the methods it is made of
        (faster-whisper is pinned; a test compares the words with `transcribe`).
        """
        began = time.monotonic()
        self.load()
        from gpu_service.engines.whisper_model import at_once, joined

        wanted = sounds[0].wanted
        features = [self._model.feature_extractor(s.samples) for s in sounds]
        encoded = [self._model.encode(_thirty_seconds(f, self._model)) for f in features]
        every = joined(encoded)
        self._at_once = at_once(encoded[0], self._options.beam_size)
        languages = self._languages(every, wanted.language)
        begun = self._begun(every, [language for language, _ in languages], wanted)
        shared_s = (time.monotonic() - began) / len(sounds)
        windows = zip(sounds, features, encoded, languages, begun, strict=True)
        return [self._finished(*window, shared_s) for window in windows]

    def _begun(self, encoded: Any, languages: Sequence[str], wanted: Clip) -> list[Any]:
        """The first decoding of every window, made together; None = none was.

        Throws of the dice are each window's own.
        """
        if len(languages) == 1 or wanted.temperature:
            return [None] * len(languages)
        how = self._ways(wanted)[0]
        tokenizers = [self._tokenizer(language) for language in languages]
        asked = f" {how['initial_prompt']}" if how["initial_prompt"] else None
        before = tokenizers[0].encode(asked) if asked else []
        prompts = [self._model.get_prompt(tokenizer, before) for tokenizer in tokenizers]
        return list(self._model.begin(encoded, prompts, _options(tokenizers[0], how)))

    def _finished(
        self,
        sound: _Sound,
        features: Any,
        encoded: Any,
        language: tuple[str, float],
        begun: Any,
        spent_s: float,
    ) -> Heard:
        """The window's words, from what was begun, and from a second decoding where that failed."""
        began = time.monotonic()
        named, probability = language
        tries: list[list[Any]] = []
        no_speech = None  # of the first window of the first decoding: the same for all of them
        alone = len(sound.places) < 2
        for how in self._ways(sound.wanted)[: 1 + alone]:
            tries.append(self._decode(features, encoded, named, how, None if tries else begun))
            no_speech = self._model.no_speech if no_speech is None else no_speech
            if not _failed(tries[-1]):
                break
        repeats = any(map(_repeats, tries[0]))
        chosen = tries[-1] if repeats else max(tries, key=_log_probability)
        return Heard(
            words=_words(chosen),
            language=named,
            language_probability=probability,
            no_speech=no_speech,
            detected=self._model.model.is_multilingual and sound.wanted.language != named,
            failed=_failed(chosen),
            repeats=repeats,
            seconds=spent_s + time.monotonic() - began,
            strangers=self._strangers(encoded, sound.places, named, probability),
        )

    def _strangers(
        self, encoded: Any, places: Sequence[Place], language: str, probability: float
    ) -> frozenset[int]:
        """Clips whose own part of a window's encoding is in another language than the window.

        Decoded with the others they would be translated, fluently and with confidence.
        """
        if len(places) < 2 or probability >= ONE_LANGUAGE_BAR:
            return frozenset()
        from gpu_service.engines.whisper_model import stretch

        parts = [stretch(encoded, place.start_s, place.end_s) for place in places]
        own = {p.clip: self._languages(e, None)[0] for p, e in zip(places, parts, strict=True)}
        return frozenset(
            n for n, (other, sure) in own.items() if other != language and sure >= LANGUAGE_BAR
        )

    def _languages(self, encoded: Any, wished: str | None) -> list[tuple[str, float]]:
        """The language of each window, and the model's probability of it."""
        if not self._model.model.is_multilingual:
            return [("en", 1.0)] * encoded.shape[0]
        if wished in self._model.supported_languages:
            return [(str(wished), 1.0)] * encoded.shape[0]
        likeliest = (ranked[0] for ranked in self._model.model.detect_language(encoded))
        return [(str(token).strip("<|>"), float(sure)) for token, sure in likeliest]

    def _ways(self, wanted: Clip) -> list[dict[str, Any]]:
        """How to decode, and how once more where that failed: then as if nothing was asked for.

        A prompt may be what the decoder repeats, and a throw of the dice what was improbable.
        """
        first = {
            "beam_size": self._options.beam_size,
            "temperatures": [wanted.temperature],
            "initial_prompt": (wanted.prompt or "").strip() or None,
        }
        again = {"beam_size": 5, "no_repeat_ngram_size": 3}
        return [{**DECODING, **way} for way in (first, again)]

    def _decode(
        self, features: Any, encoded: Any, language: str, how: dict[str, Any], begun: Any
    ) -> list[Any]:
        tokenizer = self._tokenizer(language)
        return list(
            self._model.generate_segments(
                features, tokenizer, _options(tokenizer, how), False, encoded, begun=begun
            )
        )

    def _tokenizer(self, language: str) -> Any:
        from faster_whisper.tokenizer import Tokenizer

        model = self._model
        return Tokenizer(
            model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language=language
        )


def _options(tokenizer: Any, how: dict[str, Any]) -> Any:
    from faster_whisper.transcribe import TranscriptionOptions, get_suppressed_tokens

    return TranscriptionOptions(suppress_tokens=get_suppressed_tokens(tokenizer, [-1]), **how)


#: The defaults of `WhisperModel.transcribe`, but: word times on, no ladder (see Whisper),
#: and no condition on earlier text, which carries a loop from one window into the next.
DECODING: dict[str, Any] = {
    "best_of": 1,
    "patience": 1,
    "length_penalty": 1,
    "repetition_penalty": 1,
    "no_repeat_ngram_size": 0,
    "log_prob_threshold": LOG_PROBABILITY_BAR,
    "no_speech_threshold": NO_SPEECH_BAR,
    "compression_ratio_threshold": REPETITION_BAR,
    "condition_on_previous_text": False,
    "prompt_reset_on_temperature": 0.5,
    "temperatures": [0.0],
    "initial_prompt": None,
    "prefix": None,
    "suppress_blank": True,
    "without_timestamps": False,
    "max_initial_timestamp": 1.0,
    "word_timestamps": True,
    "prepend_punctuations": "\"'“¿([{-",
    "append_punctuations": "\"'.。,，!！?？:：”)]}、",
    "multilingual": False,
    "max_new_tokens": None,
    "clip_timestamps": "0",
    "hallucination_silence_threshold": None,
    "hotwords": None,
}


def hub_name(checkpoint: str) -> str:
    """`small` means the conversion its makers publish; `owner/name` is taken as it is."""
    return checkpoint if "/" in checkpoint else f"Systran/faster-whisper-{checkpoint}"


def _voiced(samples: Samples) -> Sequence[Span]:
    voice = VoiceActivity()
    voice.add(samples)
    return voice.result()


def _alike(batch: Sequence[Clip], chosen: Sequence[int]) -> list[list[int]]:
    """Indices in groups that may share a window: same tenant, and the same wishes."""

    def key(i: int) -> tuple[str, str, str, float]:
        clip = batch[i]
        return clip.tenant, clip.language or "", clip.prompt or "", clip.temperature

    return [list(group) for _, group in groupby(sorted(chosen, key=key), key)]


def _joined(window: Window, clips: Sequence[Clip]) -> Samples:
    sound = np.zeros(round(window.duration_s * SAMPLE_RATE), np.float32)
    for place, clip in zip(window.places, clips, strict=True):
        at = round(place.start_s * SAMPLE_RATE)
        sound[at : at + clip.samples.size] = clip.samples[: sound.size - at]
    return sound


def _thirty_seconds(features: Any, model: Any) -> Any:
    """Mel frames without the one `transcribe` drops, filled up to the 30 s the model takes."""
    from faster_whisper.audio import pad_or_trim

    frames = min(features.shape[-1] - 1, model.feature_extractor.nb_max_frames)
    return pad_or_trim(features[:, :frames])


def _failed(segments: Sequence[Any]) -> bool:
    return any(_repeats(s) or s.avg_logprob < LOG_PROBABILITY_BAR for s in segments)


def _log_probability(segments: Sequence[Any]) -> float:
    return float(sum(s.avg_logprob for s in segments)) / max(len(segments), 1)


def _words(segments: Sequence[Any]) -> tuple[Word, ...]:
    return tuple(
        Word(float(w.start), float(w.end), w.word, float(w.probability))
        for segment in segments
        for w in segment.words
    )


def _repeats(segment: Any) -> bool:
    return bool(segment.compression_ratio > REPETITION_BAR)


def _doubtful(answer: Answer, heard: Heard) -> bool:
    """Whether a clip of a packed window must be asked alone.

    Its speech got no words (the window's text stopped early or slid to a neighbour), its words
    are improbable, or the window as a whole is in no sure language, improbable or repetitive
    (as it must be where several clips say the same).
    """
    window_unsure = heard.failed or heard.language_probability < LANGUAGE_BAR
    return window_unsure or answer.confidence is None or answer.confidence < DOUBT_BAR


def near(word: Word, spans: Sequence[Span]) -> bool:
    return any(s - STRAY_S <= word.end_s and word.start_s <= e + STRAY_S for s, e in spans)


def _signals(clip: Clip, spans: Sequence[Span], text: str, heard: Heard) -> dict[str, float]:
    found = measures.of_words(heard.words) | measures.of_text(text, clip.samples.size, spans)
    if heard.no_speech is not None:
        found["no_speech_probability"] = heard.no_speech
    if heard.detected:
        found["language_probability"] = heard.language_probability
    return found
