"""Our failures in OpenAI's shape, {"error": {message, type, param, code}}, and their status."""

from http import HTTPStatus
from math import ceil

from starlette.responses import JSONResponse

from gpu_service.openai_api.forms import REMEDY, BodyTooLarge, NoForm
from shared import errors as e
from shared.domain.api import ErrorBody, ErrorDetail

#: Seconds after which a full or stumbling service is worth another try.
RETRY_AFTER_S = 5
#: The most particular class an error belongs to decides.
STATUS: dict[type[e.EarwitnessError], int] = {
    e.ForgedTicket: 403,
    e.ModelNotFound: 404,
    e.AudioTooLong: 413,
    e.AudioTooLarge: 413,
    BodyTooLarge: 413,
    NoForm: 415,
    e.ServiceFull: 429,
    e.TooManyStreams: 429,
    e.OverQuota: 429,
    e.NoEngineSet: 422,
}
#: Source: OpenAI, "API reference", "Error codes", and the bodies their API answers with.
TYPES = {403: "permission_error", 429: "rate_limit_error", 503: "unavailable_error"}
CODES: dict[type[e.EarwitnessError], str] = {
    e.ServiceFull: "rate_limit_exceeded",
}
AGAIN = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


def status_of(error: e.EarwitnessError) -> int:
    own = (STATUS[c] for c in type(error).__mro__ if c in STATUS)
    by_layer = 400 if error.layer is e.Layer.VALIDATION else 500
    return next(own, 503 if error.retryable else by_layer)


def detail(error: e.EarwitnessError) -> ErrorDetail:
    """What is said of it; its context stays inside, but for the parameter at fault."""
    status = status_of(error)
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return ErrorDetail(
        message=_message(error),
        type=kind,
        param=_param(error),
        code=CODES.get(type(error), error.code),
    )


def answer(error: e.EarwitnessError) -> JSONResponse:
    status = status_of(error)
    after_s = error.context.get("retry_after_s") or RETRY_AFTER_S
    headers = {"Retry-After": str(ceil(float(after_s)))} if status in AGAIN else {}
    return JSONResponse(ErrorBody(error=detail(error)).model_dump(), status, headers)


def _message(error: e.EarwitnessError) -> str:
    """A tier's remedies do not help here: the limit is this address's."""
    if isinstance(error, e.AudioTooLong):
        return f"The sound is longer than a caller can wait for here. {REMEDY}"
    return str(error)


def _param(error: e.EarwitnessError) -> str | None:
    if isinstance(error, (e.RefusedAudio, BodyTooLarge)):
        return "file"
    param = error.context.get("param")
    return None if param is None else str(param).encode("ascii", "backslashreplace").decode()
