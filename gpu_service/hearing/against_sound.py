"""What an engine wrote, held against the sound it was given."""

from gpu_service.engines.engine import Clip
from shared.domain.answers import Answer
from shared.domain.repetition import without_loop
from shared.domain.sound import SAMPLE_RATE


def checked(answer: Answer, clip: Clip) -> Answer:
    """A transcript of `clip` without a loop the sound has no time for."""
    return without_loop(answer, speech_s(clip))


def speech_s(clip: Clip) -> float:
    """Seconds somebody speaks; all of the clip where nobody looked."""
    if clip.speech is None:
        return clip.samples.size / SAMPLE_RATE
    return sum(end - start for start, end in clip.speech)
