"""faster-whisper's model, which also says what it noticed while it wrote.

Importing it takes 0.4 s and 100 MB; only a loading engine does.
"""

from typing import Any

from faster_whisper import WhisperModel


class NoticingModel(WhisperModel):  # type: ignore[misc]  # it publishes no types
    """`WhisperModel` that remembers the figures it throws away. One call at a time."""

    #: Probability that a window of the last decoding holds no speech, the highest of them. The
    #: segments of a window carry it, but a window left out for it has none.
    no_speech: float | None = None

    def generate_segments(self, *args: Any, **kwargs: Any) -> Any:
        """As there, but all at once, with what was noticed meanwhile."""
        self.no_speech = None
        return list(super().generate_segments(*args, **kwargs))

    def generate_with_fallback(self, *args: Any, **kwargs: Any) -> Any:
        decoded = super().generate_with_fallback(*args, **kwargs)
        self.no_speech = max(self.no_speech or 0.0, float(decoded[0].no_speech_prob))
        return decoded
