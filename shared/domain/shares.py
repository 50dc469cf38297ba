"""Numbers into the shape results have."""


def share(confidence: float | None) -> float | None:
    """Into 0..1: float32 probabilities may be a rounding error above."""
    return None if confidence is None else min(max(confidence, 0.0), 1.0)
