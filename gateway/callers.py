"""Who asks: the holder of an API key, or, on one machine, whoever sits at it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request


@dataclass(frozen=True, slots=True)
class Caller:
    """`tenant` None: whoever sits at this machine, and may see everybody's."""

    tenant: str | None = None


def caller_of(request: Request) -> Caller:
    caller: Caller = getattr(request.state, "caller", Caller())
    return caller


Calling = Annotated[Caller, Depends(caller_of)]
