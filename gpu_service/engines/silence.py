"""Whether anybody speaks: what writes text invents some for silence, so it is not asked then."""

from gpu_service.engines.engine import Clip
from gpu_service.hearing.voice_activity import VoiceActivity


def speaks(clip: Clip) -> bool:
    """Whether there is voice in `clip`; the caller's own finding is believed."""
    if clip.speech is not None:
        return bool(clip.speech)
    if not clip.samples.any():
        return False
    voice = VoiceActivity()
    voice.add(clip.samples)
    return bool(voice.result())
