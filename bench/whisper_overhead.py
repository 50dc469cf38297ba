"""P15: what Earwitness adds to faster-whisper on long sound, and saves on many short clips.

Run: python -m bench.whisper_overhead [--repeats N]. Both sides decode the same way (base, int8,
same threads, greedy, word times, language not given) and run in turns, ABAB, in processes that
loaded their model before the clock starts. Needs flite.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from gpu_service.engines.engine import Clip, Samples
from gpu_service.engines.host import EngineHost
from gpu_service.engines.registry import EngineSettings
from gpu_service.engines.serving import Server
from gpu_service.engines.weights import whisper_base
from gpu_service.hearing.segmentation import cut
from gpu_service.hearing.voice_activity import VoiceActivity
from shared.domain.answers import Task
from shared.domain.sound import SAMPLE_RATE
from tests.engines.speech import SENTENCES, said, silence, word_error_rate

#: GOALS P15.
MOST_OVERHEAD, LEAST_SAVING = 1.05, 1.5
#: Samples handed to the voice detector at a time, as the decoder does.
BLOCK = SAMPLE_RATE
VOICES = ("slt", "rms", "awb")

Transcribe = Callable[[Sequence[Samples]], list[str]]


@dataclass(frozen=True)
class Side:
    name: str
    transcribe: Transcribe


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repeats", type=int, default=5)
    repeats = arguments.parse_args().repeats
    with TemporaryDirectory() as folder:
        cache, threads = Path(folder), len(os.sched_getaffinity(0))
        settings = EngineSettings(kind="whisper", threads=threads)
        server = Server(EngineHost("whisper", settings, cache=cache))
        server.start()
        direct = Side("faster-whisper", directly(cache, threads))
        filtered = Side("faster-whisper, its own VAD", directly(cache, threads, vad_filter=True))
        try:
            long = compare(
                [direct, filtered, Side("earwitness", whole(server))], *lecture(), repeats
            )
            short = compare([direct, Side("earwitness", together(server))], *messages(), repeats)
        finally:
            server.stop()
    judged("long form: earwitness / faster-whisper", long[-1] / long[0], most=MOST_OVERHEAD)
    judged("short clips: faster-whisper / earwitness", short[0] / short[-1], least=LEAST_SAVING)


def lecture() -> tuple[list[Samples], list[str]]:
    """Over three minutes of speech with pauses of 0.5, 1.0 and 2.5 s."""
    parts: list[Samples] = []
    texts: list[str] = []
    for voice in (*VOICES, "slt"):
        for i, text in enumerate(SENTENCES):
            parts += [said(text, voice), silence(2.5 if i % 12 == 11 else 0.5 + 0.5 * (i % 4 == 3))]
            texts.append(text)
    return [np.concatenate(parts)], [" ".join(texts)]


def messages() -> tuple[list[Samples], list[str]]:
    """Forty clips of one sentence each."""
    spoken = [(text, voice) for voice in (*VOICES, "kal16") for text in SENTENCES][:40]
    return [said(*one) for one in spoken], [text for text, _ in spoken]


def directly(cache: Path, threads: int, *, vad_filter: bool = False) -> Transcribe:
    """The peer: one `transcribe` a clip, as its README shows."""
    from faster_whisper import WhisperModel

    folder = str(whisper_base(cache))
    model = WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=threads)

    def transcribe(clips: Sequence[Samples]) -> list[str]:
        return [
            "".join(
                segment.text
                for segment in model.transcribe(
                    samples,
                    beam_size=1,
                    temperature=0.0,
                    word_timestamps=True,
                    condition_on_previous_text=False,
                    vad_filter=vad_filter,
                )[0]
            )
            for samples in clips
        ]

    return transcribe


def whole(server: Server) -> Transcribe:
    """Ours on long sound: find the speech block by block, cut, ask the engine's process."""

    def transcribe(clips: Sequence[Samples]) -> list[str]:
        texts: list[str] = []
        for samples in clips:
            voice = VoiceActivity()
            for at in range(0, samples.size, BLOCK):
                voice.add(samples[at : at + BLOCK])
            segments = cut(voice.result(), samples.size / SAMPLE_RATE, quietest=voice.quietest)
            bounds = [
                (round(s.start_s * SAMPLE_RATE), round(s.end_s * SAMPLE_RATE)) for s in segments
            ]
            asked = [Clip(samples[a:b], "bench") for a, b in bounds]
            texts.append(" ".join(a.text for a in server.infer(Task.TRANSCRIBE, asked)))
        return texts

    return transcribe


def together(server: Server) -> Transcribe:
    """Ours on short clips: all are asked, the engine packs them."""

    def transcribe(clips: Sequence[Samples]) -> list[str]:
        asked = [Clip(samples, "bench") for samples in clips]
        return [answer.text for answer in server.infer(Task.TRANSCRIBE, asked)]

    return transcribe


def compare(
    sides: Sequence[Side], clips: Sequence[Samples], texts: Sequence[str], repeats: int
) -> list[float]:
    """Median seconds of each side over `repeats` rounds in turns; prints all there is to know."""
    seconds = sum(c.size for c in clips) / SAMPLE_RATE
    print(f"\n{len(clips)} clip(s), {seconds:.0f} s of speech, load {os.getloadavg()[0]:.1f}")
    for side in sides:
        side.transcribe([said("hello")])  # loads the model, fills the caches
    taken: dict[str, list[float]] = {side.name: [] for side in sides}
    heard: dict[str, list[str]] = {}
    for _ in range(repeats):
        for side in sides:
            began = time.perf_counter()
            heard[side.name] = side.transcribe(clips)
            taken[side.name].append(time.perf_counter() - began)
    for name, times in taken.items():
        low, middle, high = statistics.quantiles(times, n=4)
        rate = word_error_rate(list(texts), heard[name])
        print(f"  {name:28} {middle:6.2f} s (quartiles {low:.2f} to {high:.2f}), WER {rate:.1%}")
    print(f"  load after {os.getloadavg()[0]:.1f}")
    return [statistics.median(times) for times in taken.values()]


def judged(what: str, ratio: float, *, most: float = np.inf, least: float = 0.0) -> None:
    goal = f"<= {most}" if least == 0 else f">= {least}"
    print(f"{what}: {ratio:.2f} (goal {goal}) {'met' if least <= ratio <= most else 'MISSED'}")


if __name__ == "__main__":
    main()
