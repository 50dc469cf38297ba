"""What can go wrong between a program and the gateway, as types.

A code that `shared.errors` knows is raised as that class; here is what only a client meets.
`error.context` holds `status`, `code` and `param` of the answer, and `retry_after_s` where the
gateway said when to come back.
"""

import re

import httpx
from pydantic import ValidationError

from shared import errors
from shared.domain.api import ErrorBody, ErrorDetail
from shared.domain.retry_after import retry_after_s
from shared.errors import Detail, EarwitnessError, Layer, Severity


class Unreachable(EarwitnessError, layer=Layer.CONTEXT, severity=Severity.ERROR, retryable=True):
    """The gateway cannot be reached. Check its address, and that it runs."""


class ConnectionLost(EarwitnessError, layer=Layer.CONTEXT, severity=Severity.ERROR, retryable=True):
    """The connection to the gateway broke off. Try again."""


class TimedOut(EarwitnessError, layer=Layer.CONTEXT, severity=Severity.ERROR, retryable=True):
    """The gateway did not answer in time. Try again, or give it more time."""


class CircuitOpen(EarwitnessError, layer=Layer.CONTEXT, severity=Severity.ERROR, retryable=False):
    """The gateway failed again and again and is left alone for a while. Try again later."""


class WaitedTooLong(
    EarwitnessError, layer=Layer.RESOURCE, severity=Severity.WARNING, retryable=False
):
    """The recording was not settled in the time given. The work goes on; wait again."""


class SourceChanged(
    EarwitnessError, layer=Layer.VALIDATION, severity=Severity.WARNING, retryable=False
):
    """The file changed while it was uploaded. Upload it again once it is written completely."""


class NotUnderstood(EarwitnessError, layer=Layer.CONTEXT, severity=Severity.ERROR, retryable=False):
    """The answer is not one of Earwitness's. Check the address, and what stands in between."""


class Refused(EarwitnessError, layer=Layer.VALIDATION, severity=Severity.ERROR, retryable=False):
    """The gateway refused the request. Its code and message say why."""


class RequestTooLarge(Refused, layer=Layer.VALIDATION, severity=Severity.ERROR, retryable=False):
    """The request is larger than the gateway takes. Send recordings with `upload`."""


class UploadRefused(Refused, layer=Layer.VALIDATION, severity=Severity.ERROR, retryable=False):
    """The bucket refused the upload. Upload it anew: an address is good once, for 15 minutes."""


class WrongMethod(Refused, layer=Layer.VALIDATION, severity=Severity.ERROR, retryable=False):
    """This gateway does not know that call. It may be older than this client; update it."""


class TooManyRequests(
    EarwitnessError, layer=Layer.RESOURCE, severity=Severity.WARNING, retryable=True
):
    """The gateway takes no more requests just now. Send fewer, or later."""


class ServerFailed(EarwitnessError, layer=Layer.EXECUTION, severity=Severity.ERROR, retryable=True):
    """The gateway failed. Try again later; its log says what happened."""


#: A bucket's own word for what was wrong.
_CODE = re.compile(r"<Code>(\w{1,80})</Code>")
#: Codes that only the gateway or its framework gives, and what they are here.
_OWN: dict[str, type[EarwitnessError]] = {
    "too_large": RequestTooLarge,
    "method_not_allowed": WrongMethod,
    "internal_error": ServerFailed,
    "too_many_requests": TooManyRequests,
}
#: code -> class, for every code there is.
KINDS: dict[str, type[EarwitnessError]] = {
    **{leaf.code: leaf for leaf in errors.leaves() if leaf.__module__ == errors.__name__},
    **_OWN,
}


def broken(error: httpx.TransportError) -> EarwitnessError:
    """A failure of the way to the gateway, in our words."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return Unreachable()
    if isinstance(error, httpx.TimeoutException):
        return TimedOut()
    return ConnectionLost()


def was_sent(error: EarwitnessError) -> bool:
    """Whether the gateway may have acted on the request that failed so."""
    return not isinstance(error, Unreachable | CircuitOpen)


def failure(response: httpx.Response) -> EarwitnessError:
    """What an answer that is no success says, as the class of its code."""
    context: dict[str, Detail] = {"status": response.status_code}
    wait_s = retry_after_s(*map(response.headers.get, ("retry-after", "date")))
    if wait_s is not None:
        context["retry_after_s"] = wait_s
    said = _said(response)
    if said is None:
        return _by_status(response.status_code)("", **context)
    kind = KINDS.get(said.code) or _by_status(response.status_code, Refused)
    return kind(said.message, **context, code=said.code, param=said.param)


def upload_failure(response: httpx.Response) -> EarwitnessError:
    """What an answer of the gateway or of a bucket says, which speaks XML.

    Source: Cloud Storage, XML API, "HTTP status and error codes".
    """
    found = failure(response)
    if not isinstance(found, NotUnderstood) or not httpx.codes.is_client_error(
        response.status_code
    ):
        return found
    code = _CODE.search(response.text)
    said = f" It said {code[1]}." if code else ""
    return UploadRefused(f"{UploadRefused()}{said}", **found.context)


def _said(response: httpx.Response) -> ErrorDetail | None:
    try:
        return ErrorBody.model_validate_json(response.content).error
    except ValidationError:
        return None


def _by_status(
    status: int, otherwise: type[EarwitnessError] = NotUnderstood
) -> type[EarwitnessError]:
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return TooManyRequests
    return ServerFailed if status >= httpx.codes.INTERNAL_SERVER_ERROR else otherwise
