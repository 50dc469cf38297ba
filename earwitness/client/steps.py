"""What a call consists of: requests and pauses, without the means to make them.

A call is a generator that yields steps and is sent answers. `Earwitness` and `AsyncEarwitness`
take the same steps, each in its own way, so that everything between is written once.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import httpx

from earwitness.client.sources import Body

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    """One request; its answer is sent back, read to its end. What broke is thrown."""

    method: str
    url: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | Body = b""
    #: Looks at an answer of success and says where its body goes as it comes; without one it is
    #: read to its end.
    take: "Take | None" = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing for so many seconds."""

    seconds: float


Take: TypeAlias = Callable[[httpx.Response], Callable[[bytes], object]]
Flow: TypeAlias = Generator[Send | Pause, httpx.Response | None, T]


def sent(step: Send) -> Flow[httpx.Response]:
    """The answer to one request."""
    answer = yield step
    assert answer is not None
    return answer
