"""Server-sent events of one call: a delta a segment, then the whole."""

import json
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpu_service.openai_api import failures
from gpu_service.openai_api.asked import Format
from gpu_service.openai_api.testifying import Witness
from gpu_service.openai_api.transcripts import diarized, logprobs, usage
from shared.domain.cascade import Decided
from shared.errors import EarwitnessError
from shared.logs import say

log = logging.getLogger("earwitness.openai_api")


@dataclass(slots=True)
class Telling:
    """Source: OpenAI, "API reference", "Streaming events" of transcriptions."""

    witness: Witness
    decided: list[Decided] = field(default_factory=list)
    text: str = ""
    segments: int = 0

    async def events(self, steps: AsyncIterator[Sequence[Decided]]) -> AsyncIterator[str]:
        """Every event of the call, as text. A failure is the last: the status is long sent."""
        try:
            async for decided in steps:
                for event in self._of(decided):
                    yield _event(event)
            yield _event(self._done())
        except EarwitnessError as error:
            say(log, error)
            yield _event({"type": "error", "error": failures.detail(error).model_dump()})

    def _of(self, decided: Sequence[Decided]) -> Iterator[dict[str, Any]]:
        self.decided += decided
        told = self.witness.transcript(decided)
        if told.text:
            # What the deltas say, one after another, is what the end says.
            delta = f" {told.text}" if self.text else told.text
            self.text += delta
            yield self._delta(delta, told.decided)
        if self.witness.asked.format is Format.DIARIZED_JSON:
            for segment in told.segments:
                yield diarized(segment, self.segments)
                self.segments += 1

    def _delta(self, delta: str, decided: Sequence[Decided]) -> dict[str, Any]:
        event: dict[str, Any] = {"type": "transcript.text.delta", "delta": delta}
        if self.witness.asked.logprobs:
            event["logprobs"] = logprobs([d.answer for d in decided])
        return event

    def _done(self) -> dict[str, Any]:
        whole = self.witness.transcript(self.decided)
        event: dict[str, Any] = {
            "type": "transcript.text.done",
            "text": self.text,
            "usage": usage(whole.duration_s),
            "x_earwitness_engines": whole.engines,
        }
        if self.witness.asked.logprobs:
            known = whole.logprobs_source != "none"
            event["logprobs"] = logprobs([d.answer for d in whole.decided]) if known else []
        return event | ({"warnings": whole.warnings} if whole.warnings else {})


def _event(data: dict[str, Any]) -> str:
    return f"event: {data['type']}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
