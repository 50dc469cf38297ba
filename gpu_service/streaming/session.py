"""One stream, whoever is connected: what was heard, what waits to be asked, what was told."""

from collections import deque
from dataclasses import replace
from threading import Lock

from gpu_service.engines.engine import Clip
from gpu_service.hearing.ears import moved
from gpu_service.streaming import protocol
from gpu_service.streaming.listening import Listener, Piece
from gpu_service.streaming.protocol import Config, Reply
from gpu_service.streaming.resuming import Claim
from gpu_service.streaming.samples import Intake
from shared.domain.answers import Answer
from shared.domain.sound import MAX_SEGMENT_S, SAMPLE_RATE

#: Seconds of ended speech that may wait for an engine; then no more sound is taken. With the
#: open segment a stream holds at most 86 s, 5.5 MB.
MAX_WAITING_S = 2 * MAX_SEGMENT_S
#: Finals kept for a client that did not get them. More were sent than a socket buffers.
KEPT_FINALS = 256
#: Seconds of new sound a partial must bring. More often costs more than it tells.
PARTIAL_EVERY_S = 1.0


class Session:
    """Outlives its connection. `take`, `finish`, `interim` run in threads, all else on the loop."""

    def __init__(self, stream: str, tenant: str, config: Config) -> None:
        self.stream, self.tenant, self.config = stream, tenant, config
        self.ended = False  #: all sound was given
        self.asking: deque[Piece] = deque()
        self.cautions: dict[str, str] = {}  #: to be said once, by code
        self._intake = Intake(config)
        self._listener = Listener(config.start_segment)
        self._lock = Lock()
        self._told: deque[tuple[Piece, Reply]] = deque(maxlen=KEPT_FINALS)
        self._sent = config.start_segment  # the next segment the socket did not take yet
        self._partial_s = 0.0

    @property
    def received(self) -> int:
        """Samples taken, in the client's count: the next one to send."""
        return self.config.start_sample + self._intake.received

    @property
    def seconds(self) -> float:
        """Sound taken in this stream."""
        return self._intake.received / self.config.sample_rate

    @property
    def held_s(self) -> float:
        """Sound kept in memory: around the open segment, waiting to be asked about, and told."""
        pieces = [*self.asking, *(piece for piece, _ in self._told)]
        return self._listener.held_s + sum(p.samples.size for p in pieces) / SAMPLE_RATE

    @property
    def full(self) -> bool:
        """Whether so much waits for an engine that no sound may be taken now."""
        return sum(p.duration_s for p in self.asking) >= MAX_WAITING_S

    def take(self, frames: list[bytes]) -> None:
        """Hear some frames, in order.

        Raises:
            GarbageInStream: the frames before were taken; this one and those after were not.
        """
        with self._lock:
            for frame in frames:
                self.asking += self._listener.add(self._intake.take(frame))
            if self._intake.mismatched:
                said = "The overlap does not repeat the end of the chunk before; it was skipped."
                self.cautions.setdefault("overlap_mismatch", said)

    def finish(self) -> None:
        """No more sound comes: what is open ends. Finishing twice is finishing once."""
        with self._lock:
            if not self.ended:
                self.asking += self._listener.add(self._intake.rest())
                self.asking += self._listener.end()
                self.ended = True

    def interim(self) -> Piece | None:
        """The open speech, if a partial of it is wanted and would be news."""
        if not self.config.interim or self.asking:
            return None
        with self._lock:
            piece = self._listener.open()
        if piece is None or piece.end_s - self._partial_s < PARTIAL_EVERY_S:
            return None
        self._partial_s = piece.end_s
        return piece

    def clip(self, piece: Piece) -> Clip:
        return Clip(
            piece.samples,
            tenant=self.tenant,
            language=self.config.language,
            speech=piece.speech,
        )

    def partial(self, piece: Piece, answer: Answer) -> Reply:
        return protocol.partial(piece.index, self._span(piece), answer)

    def told(self, answer: Answer) -> Reply:
        """Settle the first piece that waits; gives its final."""
        piece = self.asking.popleft()
        offset_s = self.config.start_sample / self.config.sample_rate
        timed = moved(answer, piece.start_s + offset_s)
        reply = protocol.final(piece.index, self._span(piece), timed)
        # Without its sound: this is kept for a client that may ask again for the words only.
        self._told.append((replace(piece, samples=piece.samples[:0].copy()), reply))
        return reply

    def sent(self, reply: Reply) -> None:
        """The socket took this final."""
        self._sent = int(reply["segment"]) + 1

    def claim(self) -> Claim:
        """Up to where the client was told all, as far as we gave it to the socket."""
        untold = [p for p, _ in self._told if p.index >= self._sent] + list(self.asking)
        at_s = untold[0].start_s if untold else self._listener.settled_s
        return self._claim(at_s, self._sent)

    def claim_after(self, reply: Reply) -> Claim:
        """What a client knows that got this final."""
        index = int(reply["segment"])
        [end_s] = (p.end_s for p, r in self._told if r is reply)
        return self._claim(end_s, index + 1)

    def again(self, segment: int) -> list[Reply] | None:
        """The finals from `segment` on that were told already; None if some are gone.

        The stream is ready for a new connection afterwards.
        """
        first = self._told[0][0].index if self._told else None
        if first is not None and segment < first and segment < self._sent:
            return None
        self._intake.part()
        self._sent = segment
        return [r for p, r in self._told if p.index >= segment]

    def _claim(self, at_s: float, segment: int) -> Claim:
        # Rounded down: a sample sent twice is silence before a word, one left out may be a word.
        sample = int(min(at_s, self.seconds) * self.config.sample_rate)
        return Claim(self.stream, self.config.start_sample + sample, segment)

    def _span(self, piece: Piece) -> tuple[float, float]:
        offset_s = self.config.start_sample / self.config.sample_rate
        return piece.start_s + offset_s, piece.end_s + offset_s
