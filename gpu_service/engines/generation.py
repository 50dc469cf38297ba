"""Text out of a model, token after token: how sure it was, where it ran in circles, where it ended.

logits -> choose -> note -> (end | limit | loop | step)

An own loop and not `transformers`' `generate`, because every row needs its own limit, its own
dice and a stop of its own, the figures of the chosen token alone (not the scores of 156,000
others for each step), and no more of a long prompt's logits than the last.
"""

import hashlib
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from gpu_service.engines import measures
from gpu_service.engines.engine import Samples

if TYPE_CHECKING:
    import torch

#: A run of tokens counts as a loop when it comes this many times in a row ...
LEAST_TURNS = 6
#: ... and its turns are this many tokens together: "no" said eight times is no loop.
LEAST_LOOPED = 24
#: Tokens of the longest turn looked for, about fifty words.
LONGEST_TURN = 64

OVERFLOWED = "numbers_overflowed"  #: the model gave no number; a float16 that is too small


class Ending(StrEnum):
    """Why a text went no further."""

    END = "end"  #: the model said so
    LIMIT = "limit"  #: as many tokens as its plan allows
    LOOP = "loop"  #: it repeated itself


@dataclass(frozen=True, slots=True)
class Plan:
    """How one text is to be made."""

    limit: int  #: tokens at most
    temperature: float = 0.0  #: 0 = always the most probable token
    seed: int = 0  #: of the dice, where the temperature is not 0


@dataclass(slots=True)
class Draft:
    """A text in the making; the token that ends it is not among its tokens."""

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)  #: natural, of the tokens chosen
    entropies: list[float] = field(default_factory=list)  #: nats, of what could have been chosen
    ending: Ending | None = None

    @property
    def overflowed(self) -> bool:
        """Whether the model gave something that is no number; then its words mean nothing."""
        return not all(map(math.isfinite, (*self.logprobs, *self.entropies)))

    def note(self, token: int, logprob: float, entropy: float, limit: int) -> None:
        """Take one more token, unless it is one too many."""
        if len(self.tokens) >= limit:
            self.ending = Ending.LIMIT
            return
        self.tokens.append(token)
        self.logprobs.append(logprob)
        self.entropies.append(entropy)
        if turn := looping(self.tokens):
            self.ending = Ending.LOOP
            self._keep_first(turn)

    def _keep_first(self, turn: int) -> None:
        """Cut what repeats down to its first turn."""
        at = len(self.tokens)
        while at > turn and self.tokens[at - 1] == self.tokens[at - 1 - turn]:
            at -= 1
        for figures in (self.tokens, self.logprobs, self.entropies):
            del figures[at:]

    def without(self, n_first: int) -> "Draft":
        """The same without its first tokens."""
        logprobs, entropies = self.logprobs[n_first:], self.entropies[n_first:]
        return Draft(self.tokens[n_first:], logprobs, entropies, self.ending)


def looping(tokens: Sequence[int]) -> int:
    """Tokens of the turn that `tokens` end in again and again; 0 = they do not."""
    for turn in range(1, min(LONGEST_TURN, len(tokens) // LEAST_TURNS) + 1):
        if tokens[-1] != tokens[-1 - turn]:
            continue
        span = turn * max(LEAST_TURNS, math.ceil(LEAST_LOOPED / turn))
        if span <= len(tokens):
            tail = tokens[-span:]
            if tail[turn:] == tail[:-turn]:
                return turn
    return 0


def signals(draft: Draft) -> dict[str, float]:
    """What a calibration reads of a text, under the names of `Answer.signals`; {} of none."""
    if not draft.logprobs:
        return {}
    entropy = sum(draft.entropies) / len(draft.entropies)
    return measures.of_logprobs(draft.logprobs) | {"mean_entropy": entropy}


def seed(samples: Samples, *said: object) -> int:
    """Of a sound and what was said of it: the same sound has the same luck when asked again."""
    digest = hashlib.sha256(np.ascontiguousarray(samples, "<f4").tobytes())
    digest.update(repr(said).encode())
    return int.from_bytes(digest.digest()[:8], "big") >> 1  # torch takes 63 bits


def generate(
    logits: "torch.Tensor",
    step: Callable[["torch.Tensor"], "torch.Tensor"],
    plans: Sequence[Plan],
    ends: Collection[int],
) -> list[Draft]:
    """A draft for every plan.

    Args:
        logits: of the first tokens, float32, (n_plans, n_vocabulary).
        step: takes the chosen tokens, int64 (n_plans,), and gives the logits of the next. Rows
            that have ended go on with tokens nobody reads, so that the shapes stay.
        ends: tokens that end a text.
    """
    drafts = [Draft() for _ in plans]
    dice = [_dice(plan, logits.device) for plan in plans]
    while True:
        chosen, figures = _chosen(logits, plans, dice)
        rows = zip(drafts, plans, figures, strict=True)
        for draft, plan, (token, logprob, entropy) in rows:
            if draft.ending is None and token in ends:
                draft.ending = Ending.END
            elif draft.ending is None:
                draft.note(int(token), logprob, entropy, plan.limit)
        if all(draft.ending for draft in drafts):
            return drafts
        logits = step(chosen)


def _dice(plan: Plan, device: Any) -> Any:
    import torch

    return torch.Generator(device=device).manual_seed(plan.seed)


def _chosen(
    logits: "torch.Tensor", plans: Sequence[Plan], dice: Sequence[Any]
) -> tuple["torch.Tensor", list[list[float]]]:
    """The next token of every row; and again with its log-probability and the entropy.

    Sampling is the most probable token after noise (Gumbel-max: Gumbel 1954, "Statistical
    Theory of Extreme Values"), so that a row's choice is its own dice's, whoever its neighbours.
    The figures are of the model's own distribution, without temperature.
    """
    import torch

    known = logits.log_softmax(-1)  # (n_rows, n_vocabulary)
    wanted = known
    if any(plan.temperature > 0 for plan in plans):
        wanted = torch.stack([_noisy(*row) for row in zip(known, plans, dice, strict=True)])
    chosen = wanted.argmax(-1)  # (n_rows,)
    taken = known.gather(-1, chosen[:, None])[:, 0]
    # A forbidden token has probability 0 and log-probability -inf; 0 · -inf is to be 0.
    entropies = -(known.exp() * known.clamp(min=-1e4)).sum(-1)
    # One transfer from the device a step: each waits for the device. Tokens are exact in float64.
    return chosen, torch.stack([chosen.double(), taken.double(), entropies.double()], -1).tolist()


def _noisy(known: "torch.Tensor", plan: Plan, dice: Any) -> "torch.Tensor":
    """One row, (n_vocabulary,), as its temperature and its dice change it."""
    import torch

    if not plan.temperature:
        return known
    noise = torch.empty_like(known).exponential_(generator=dice)
    return known / plan.temperature - noise.log()
