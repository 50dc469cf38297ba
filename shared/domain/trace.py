"""W3C trace context: which trace something belongs to, as one line of text.

Source: W3C Recommendation "Trace Context" (2021), section 3.2, header `traceparent`.
"""

import re
from dataclasses import dataclass

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
#: The key under which a trace context travels: in HTTP headers and in message attributes.
TRACEPARENT = "traceparent"
#: Characters. Version 00 has 55; a later one may add to it.
MOST = 256


@dataclass(frozen=True, slots=True)
class Trace:
    """Where in which trace: the span that caused what happens now."""

    trace_id: str  #: 32 hexadecimal digits
    span_id: str  #: 16 hexadecimal digits
    sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


def parse(said: str | None) -> Trace | None:
    """The context in a `traceparent`; None if it is none, which the standard says to ignore."""
    found = _TRACEPARENT.fullmatch(said) if said and len(said) <= MOST else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if (
        version == "ff"
        or (version == "00" and more)
        or not int(trace_id, 16)
        or not int(span_id, 16)
    ):
        return None
    return Trace(trace_id, span_id, bool(int(flags, 16) & 1))
