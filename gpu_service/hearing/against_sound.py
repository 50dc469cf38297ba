"""What an engine wrote, held against the sound it was given."""

from dataclasses import replace

from gpu_service.engines.engine import Capabilities, Clip
from gpu_service.hearing.boundaries import refined
from shared.domain.answers import Answer
from shared.domain.repetition import without_loop
from shared.domain.sound import SAMPLE_RATE

#: Version of what is done here; part of what a cached result depends on.
RULES = "against_sound/1"


def checked(answer: Answer, clip: Clip, able: Capabilities) -> Answer:
    """A transcript of `clip` without loops, its words where the sound begins and ends.

    `able` is the engine that wrote it.
    """
    kept = without_loop(answer, speech_s(clip))
    return replace(kept, words=refined(kept.words, clip.samples, able.word_lead_s))


def speech_s(clip: Clip) -> float:
    """Seconds somebody speaks; all of the clip where nobody looked."""
    if clip.speech is None:
        return clip.samples.size / SAMPLE_RATE
    return sum(end - start for start, end in clip.speech)
