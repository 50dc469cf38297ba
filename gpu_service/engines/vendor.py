"""Asking a server elsewhere by the official client: the line to it, and its errors in our words."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from shared.domain.retry_after import retry_after_s
from shared.errors import (
    Detail,
    InvalidSettings,
    VendorAnswerUnreadable,
    VendorBusy,
    VendorCreditSpent,
    VendorFailure,
    VendorKeyRefused,
    VendorRefusedCall,
    VendorTimedOut,
)

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAI

Read = TypeVar("Read", bound=BaseModel)
#: Seconds until a server that is there has accepted a connection, on any network.
CONNECT_S = 10.0
#: Codes of OpenAI's 429 that waiting does not help against ("Error codes" in its guides).
_SPENT = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
#: Status codes by what they mean for us. Everything else from 500 on is the vendor's fault.
_REFUSALS: Mapping[int, type[VendorFailure]] = {401: VendorKeyRefused, 403: VendorKeyRefused}


def connected(
    *, base_url: str | None, api_key: str, variable: str, max_retries: int = 0
) -> "OpenAI":
    """A client; nothing is sent yet.

    Args:
        variable: what the key is set with, for the message.
        max_retries: the client's own. 0 where a call costs money: each is our decision.

    Raises:
        InvalidSettings: there is no key.
    """
    if not api_key:
        raise InvalidSettings(f"{variable} is not set; the engine needs a key.")
    from openai import OpenAI

    return OpenAI(api_key=api_key, base_url=base_url, max_retries=max_retries)


def patience(wait_s: float) -> Any:
    """The client's timeout: quick to connect, `wait_s` between two signs of life."""
    from openai import Timeout

    return Timeout(wait_s, connect=min(CONNECT_S, wait_s))


def asked(engine: str, kind: type[Read], call: Callable[[], Any]) -> Read:
    """The raw answer of `call`, read strictly: the client itself takes any JSON for an answer.

    Raises:
        VendorFailure: its context says `charged: False` where for certain nothing was bought.
    """
    with translated(engine):
        raw = call()
    try:
        return kind.model_validate_json(raw.content)
    except ValidationError as error:
        raise VendorAnswerUnreadable(engine=engine, problems=error.error_count()) from error


@contextmanager
def translated(engine: str) -> Iterator[None]:
    """The client's errors in our words.

    A refusal (4xx) is not charged. After a timeout, a lost line or a 5xx nobody knows, so
    nothing is said and the call counts as paid.
    """
    import openai

    try:
        yield
    except openai.APITimeoutError as error:
        raise VendorTimedOut(engine=engine) from error
    except openai.APIStatusError as error:
        raise _refusal(engine, error) from error
    except openai.APIResponseValidationError as error:
        raise VendorAnswerUnreadable(engine=engine) from error
    except openai.APIConnectionError as error:
        raise VendorFailure(
            "The line to the engine's vendor broke or was never there.", engine=engine
        ) from error


def _refusal(engine: str, error: "APIStatusError") -> VendorFailure:
    kind, facts = VendorFailure, dict[str, Detail]()
    if error.status_code == 429:
        kind = VendorCreditSpent if error.code in _SPENT else VendorBusy
        if kind is VendorBusy:  # with a time to come back the server asks once more by itself
            said = error.response.headers
            facts["retry_after_s"] = retry_after_s(said.get("retry-after"), said.get("date"))
    elif error.status_code < 500:
        kind = _REFUSALS.get(error.status_code, VendorRefusedCall)
    refusal = kind(engine=engine, status=error.status_code, vendor_code=error.code)
    refusal.context |= facts | {"request_id": error.request_id}
    if error.status_code < 500:
        refusal.context["charged"] = False
    return refusal
