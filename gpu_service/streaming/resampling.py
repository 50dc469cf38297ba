"""Mono sound of any rate -> 16 kHz, as it comes."""

import numpy as np
from av.audio.frame import AudioFrame
from av.error import BlockingIOError as NothingYet
from av.error import EOFError as Ended
from av.filter import Graph

from gpu_service.engines.engine import Samples
from shared.domain.sound import SAMPLE_RATE


class Resampler:
    """By the filter the decoder uses for files, so a stream sounds as its recording would.

    Safe in this process, unlike a decoder: raw samples have no syntax to parse. What reaches
    FFmpeg is a rate we checked and finite floats in a frame we made, so a stranger chooses
    numbers, never structure. One thread a graph: the default starts one for every core.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate = rate_hz
        self._graph = Graph()
        self._graph.threads = 1
        mono = {"sample_fmt": "flt", "channel_layout": "mono", "time_base": f"1/{self._rate}"}
        nodes = [
            self._graph.add("abuffer", sample_rate=str(self._rate), **mono),
            self._graph.add("aresample", str(SAMPLE_RATE)),
            self._graph.add("aformat", sample_rates=str(SAMPLE_RATE), sample_fmts="flt"),
            self._graph.add("abuffersink"),
        ]
        self._graph.link_nodes(*nodes)
        self._graph.configure()
        self._source, self._sink = nodes[0], nodes[-1]

    def push(self, samples: Samples) -> Samples:
        if samples.size:
            frame = AudioFrame.from_ndarray(samples[np.newaxis], format="flt", layout="mono")
            frame.sample_rate = self._rate
            self._source.push(frame)
        return self._ready()

    def flush(self) -> Samples:
        self._source.push(None)
        return self._ready()

    def _ready(self) -> Samples:
        ready: list[Samples] = []
        while True:
            try:
                block = self._sink.pull()
            except (NothingYet, Ended):
                break
            assert isinstance(block, AudioFrame)
            ready.append(block.to_ndarray()[0].astype(np.float32))
        return np.concatenate(ready) if ready else np.zeros(0, np.float32)
