"""Frames of any rate, format and layout -> 16 kHz float32 in blocks of one second.

The mix is the mean of all channels, made by FFmpeg's `pan` before resampling: one channel is
resampled instead of two (measured 15 % of the decoding of a stereo WAV), and swr's own matrix
is avoided: for float output it adds stereo with -3 dB a side, which clips where both sides
agree, and it drops the LFE of 5.1. Frames collect in the graph and are pulled once a second:
pulling after every frame as PyAV's AudioResampler does costs 1.3 to 2 times the whole decoding.
"""

from collections.abc import Iterator

from av.audio.frame import AudioFrame
from av.error import BlockingIOError as NothingYet
from av.error import EOFError as Ended
from av.filter import Graph

from gpu_service.decoding.wire import BLOCK_SAMPLES, SAMPLE_BYTES
from shared.domain.sound import SAMPLE_RATE


def matrix(n_in: int, n_out: int) -> str:
    """The `pan` that mixes to the mean (n_out = 1), or keeps channels apart.

    Where a stream changes to fewer channels midway the last one stands in for those missing.
    """
    if n_out == 1:
        return "1c|c0=" + "+".join(f"{1 / n_in:.9f}*c{n}" for n in range(n_in))
    kept = (f"c{n}=c{min(n, n_in - 1)}" for n in range(n_out))
    return f"{n_out}c|" + "|".join(kept)


class Shaper:
    """Takes frames that are all alike, gives blocks of (n_samples, n_channels) float32.

    A block is FFmpeg's own memory, which it keeps alive: nothing is copied here.
    """

    def __init__(self, like: AudioFrame, n_channels: int) -> None:
        self._like = _form(like)
        self._sample_bytes = n_channels * SAMPLE_BYTES
        self._rate, self._waiting = like.sample_rate, 0
        self._graph = Graph()
        # A thread could not start inside the sandbox, and one recording gets one core.
        self._graph.threads = 1
        nodes = [
            self._graph.add(
                "abuffer",
                sample_rate=str(like.sample_rate),
                sample_fmt=like.format.name,
                channel_layout=like.layout.name,
                time_base=f"1/{like.sample_rate}",
            ),
            self._graph.add("pan", matrix(like.layout.nb_channels, n_channels)),
            self._graph.add("aresample", str(SAMPLE_RATE)),
            self._graph.add("aformat", sample_rates=str(SAMPLE_RATE), sample_fmts="flt"),
            self._graph.add("asetnsamples", f"n={BLOCK_SAMPLES}:p=0"),
            self._graph.add("abuffersink"),
        ]
        self._graph.link_nodes(*nodes)
        self._graph.configure()
        self._source, self._sink = nodes[0], nodes[-1]

    def fits(self, frame: AudioFrame) -> bool:
        return _form(frame) == self._like

    def push(self, frame: AudioFrame) -> Iterator[memoryview]:
        """Take a frame; gives what is complete about once a second."""
        # Positions are counted in samples: time stamps of hostile files reach no filter.
        frame.pts = None
        self._source.push(frame)
        self._waiting += frame.samples
        if self._waiting >= self._rate:
            self._waiting = 0
            yield from self._ready()

    def flush(self) -> Iterator[memoryview]:
        """What is left, the last block shorter."""
        self._source.push(None)
        yield from self._ready()

    def _ready(self) -> Iterator[memoryview]:
        while True:
            try:
                block = self._sink.pull()
            except (NothingYet, Ended):
                return
            assert isinstance(block, AudioFrame)
            # Interleaved, so there is one plane: PyAV 18 reads beyond the end of eight (it looks
            # for a null pointer that is not there). A plane may be longer than its samples.
            yield memoryview(block.planes[0])[: block.samples * self._sample_bytes]


def silence(seconds: float, n_channels: int) -> Iterator[memoryview]:
    """Blocks of digital silence."""
    n_samples = round(seconds * SAMPLE_RATE)
    while n_samples > 0:
        n = min(n_samples, BLOCK_SAMPLES)
        yield memoryview(bytes(n * n_channels * SAMPLE_BYTES))
        n_samples -= n


def _form(frame: AudioFrame) -> tuple[int, str, str]:
    return frame.sample_rate, frame.format.name, frame.layout.name
