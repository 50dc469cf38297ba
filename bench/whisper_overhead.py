"""P15: the default engine through Earwitness beside faster-whisper called directly.

Both sides decode the same way (Whisper base, int8, same threads, greedy, word times, language
not given) and have loaded their model before the clock starts. Ours pays for finding the speech,
cutting it, and the way to the engine's own process and back. Needs flite.

The overhead is judged by CPU seconds of all our processes: on cores shared with others wall times
of the same side differ by 2 times, which drowns 5 %. Wall times are printed beside them.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.measuring import REPEATS, Series, goal, interleaved
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
#: By how much the word error rate may differ and still be "the same": two words in 300.
SAME_WER = 0.007
#: Samples handed to the voice detector at a time, as the decoder does.
BLOCK = SAMPLE_RATE
VOICES = ("slt", "rms", "awb")
PEER, OURS = "faster-whisper", "earwitness"

Transcribe = Callable[[Sequence[Samples]], list[str]]


def run() -> bool:
    threads = len(os.sched_getaffinity(0))
    with TemporaryDirectory() as folder:
        cache = Path(folder)
        settings = EngineSettings(kind="whisper", threads=threads)
        host = EngineHost("whisper", settings, cache=cache)
        server = Server(host)
        server.start()
        peer = directly(cache, threads)
        try:
            long = Duel({PEER: peer, OURS: whole(server)}, host, *lecture())
            short = Duel({PEER: peer, OURS: together(server)}, host, *messages())
            long.fight()
            short.fight()
        finally:
            server.stop()
    met = goal("long: our CPU time / theirs", 1 / long.gain("cpu"), MOST_OVERHEAD, at_most=True)
    met &= goal("long: our WER - theirs", long.loss(), SAME_WER, at_most=True)
    met &= goal("short clips: their wall time / ours", short.gain("wall"), LEAST_SAVING)
    return met & goal("short clips: our WER - theirs", short.loss(), SAME_WER, at_most=True)


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
    """Thirty clips of one sentence each, 2.6 to 5 s."""
    spoken = [(text, voice) for voice in VOICES for text in SENTENCES][:30]
    return [said(*one) for one in spoken], [text for text, _ in spoken]


def directly(cache: Path, threads: int) -> Transcribe:
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


@dataclass
class Duel:
    """Both sides on the same clips, in turns."""

    sides: dict[str, Transcribe]
    host: EngineHost
    clips: Sequence[Samples]
    texts: list[str]
    taken: dict[str, dict[str, Series]] = field(default_factory=dict)
    heard: dict[str, list[str]] = field(default_factory=dict)

    def fight(self) -> None:
        seconds = sum(c.size for c in self.clips) / SAMPLE_RATE
        print(f"  {len(self.clips)} clip(s), {seconds:.0f} s of sound; wall, then CPU")
        for transcribe in self.sides.values():
            transcribe([said("hello")])  # loads the model
        spent: dict[str, list[float]] = {name: [] for name in self.sides}
        cases = {name: partial(self._round, name, spent[name]) for name in self.sides}
        self.taken["wall"] = interleaved(cases, "s", REPEATS)
        self.taken["cpu"] = {name: Series(name, tuple(v)) for name, v in spent.items()}
        for series in self.taken["cpu"].values():
            print(series.line("s"))
        print(f"  word error rate: {PEER} {self._wer(PEER):.1%}, {OURS} {self._wer(OURS):.1%}")

    def gain(self, clock: str) -> float:
        """Their median time over ours."""
        return self.taken[clock][PEER].median / self.taken[clock][OURS].median

    def loss(self) -> float:
        """Our word error rate less theirs."""
        return self._wer(OURS) - self._wer(PEER)

    def _wer(self, name: str) -> float:
        return word_error_rate(self.texts, self.heard[name])

    def _round(self, name: str, spent: list[float]) -> float:
        began, cpu = time.perf_counter(), self._cpu_s()
        self.heard[name] = self.sides[name](self.clips)
        spent.append(self._cpu_s() - cpu)
        return time.perf_counter() - began

    def _cpu_s(self) -> float:
        """CPU seconds of this process and the engine's so far (proc(5), fields 14 and 15)."""
        stat = Path(f"/proc/{self.host.pid}/stat").read_text().rsplit(")", 1)[1].split()
        child = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
        return time.process_time() + child
