"""Every failure leaves as {"error": {message, type, param, code}}, or as a page for people."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.templating import Jinja2Templates

from gateway.headers import HEADERS
from shared import errors as e
from shared.domain.api import ErrorBody, ErrorDetail
from shared.logs import say

log = logging.getLogger("earwitness.gateway")

#: Seconds after which a store that was busy or full is worth another try.
RETRY_AFTER_S = 5
BUSY = HTTPStatus.SERVICE_UNAVAILABLE
#: What a status says besides. Source: RFC 9110 sections 10.2.3 and 11.6.1, RFC 6750 section 3.
FURTHER: dict[int, dict[str, str]] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": 'Bearer realm="earwitness"'},
    BUSY: {"Retry-After": str(RETRY_AFTER_S)},
    HTTPStatus.BAD_GATEWAY: {"Retry-After": str(RETRY_AFTER_S)},
}
#: Where answers are for programs; elsewhere a browser gets a page.
API = ("/v1/", "/healthz", "/openapi.json", "/fragments/")


class TooLarge(
    e.InvalidRequest, layer=e.Layer.VALIDATION, severity=e.Severity.INFO, retryable=False
):
    """The request is too large. Send recordings through POST /v1/uploads."""


#: For the API description: any failure of any route has this shape.
DESCRIBED: dict[int | str, dict[str, Any]] = {
    "default": {"model": ErrorBody, "description": "Why the request failed."}
}

#: The most particular class an error belongs to decides.
STATUS: dict[type[e.EarwitnessError], int] = {
    e.NotFound: 404,
    e.UnknownTenant: 404,
    e.InvalidApiKey: 401,
    e.Forbidden: 403,
    e.WrongState: 409,
    e.ExportOver: 410,
    e.AddressUsed: 412,
    TooLarge: 413,
    e.AudioTooLarge: 413,
    e.InvalidRequest: 400,
    e.InvalidWish: 422,
    e.ServiceUnreachable: 502,
    e.ServiceSilent: 504,
}
TYPES = {
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    503: "unavailable_error",
}
#: What the framework refuses by itself.
SENTENCES = {
    404: "There is nothing at this address.",
    405: "This address does not know that method.",
}


def register(app: FastAPI) -> None:
    """Answer every failure, ours, the framework's and the unforeseen."""
    app.add_exception_handler(e.EarwitnessError, known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _framework)
    app.add_exception_handler(Exception, _unforeseen)


def status_of(error: e.EarwitnessError) -> int:
    """The HTTP status of a failure: its own, or that of its layer."""
    own = (STATUS[c] for c in type(error).__mro__ if c in STATUS)
    by_layer = 422 if error.layer is e.Layer.VALIDATION else 500
    return next(own, 503 if error.retryable else by_layer)


def answer(request: Request, error: e.EarwitnessError) -> Response:
    """Our failure as a response. `error.context` stays inside: it may name paths."""
    status = status_of(error)
    return _response(request, status, str(error), error.code, headers=dict(FURTHER.get(status, {})))


def plain(error: e.EarwitnessError) -> JSONResponse:
    """The same for a program whose line is not open yet."""
    status = status_of(error)
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    detail = ErrorDetail(message=str(error), type=kind, param=None, code=error.code)
    headers = dict(FURTHER.get(status, {}))
    return JSONResponse(ErrorBody(error=detail).model_dump(), status, headers)


def known(request: Request, error: Exception) -> Response:
    """The answer to a failure of ours, which is logged too."""
    assert isinstance(error, e.EarwitnessError)
    say(log, error)
    return answer(request, error)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    # The message names what is wrong, never what was sent.
    said = "The request is not JSON." if first["type"] == "json_invalid" else first["msg"]
    return _response(
        request, 422, f"{said}.".replace("..", "."), "invalid_request", ".".join(where)
    )


def _framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    said = SENTENCES.get(status) or "The request is not understood."
    code = HTTPStatus(status).name.lower()
    return _response(request, status, said, code, headers=dict(error.headers or {}))


def _unforeseen(request: Request, error: Exception) -> Response:
    # The framework logs and raises on; the caller learns nothing of our insides, and this
    # answer alone passes no middleware.
    said = "Something went wrong here; the log of the gateway says what."
    return _response(request, 500, said, "internal_error", headers=HEADERS)


def _response(
    request: Request,
    status: int,
    message: str,
    code: str,
    param: str = "",
    headers: dict[str, str] | None = None,
) -> Response:
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    detail = ErrorDetail(message=message, type=kind, param=_plain(param) or None, code=code)
    if _for_people(request):
        pages: Jinja2Templates = request.app.state.templates
        shown = {"status": status, "error": detail}
        return pages.TemplateResponse(request, "error.html", shown, status, headers)
    return JSONResponse(ErrorBody(error=detail).model_dump(), status, headers)


def _plain(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()[:200]


def _for_people(request: Request) -> bool:
    """A browser that navigates, or sends a form; scripts ask for */*."""
    wants_html = "text/html" in request.headers.get("accept", "")
    form = request.method == "POST"
    return wants_html and (form or not request.url.path.startswith(API))
