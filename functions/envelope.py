"""A request that is no CloudEvent is settled too: nobody mends it by sending it again."""

from http import HTTPStatus
from traceback import walk_tb
from typing import Any

import functions_framework
from flask import request
from werkzeug.exceptions import MethodNotAllowed, NotFound

from shared.edge import settling
from shared.errors import InvalidEvent

#: Where an exception comes from that a function let out on purpose, or that we do not understand.
OURS = ("functions.", "shared.")


def settle_refusals() -> None:
    """Answer 204 where the framework would refuse an envelope with 400, 415 or 500; log it.

    Eventarc and Pub/Sub take all but 2xx for "deliver again", for up to 24 hours. To be called
    while the framework loads main.py: it then offers its app's `errorhandler`. What left our own
    code stays the 500 that asks for a redelivery.
    """
    functions_framework.errorhandler(Exception)(_answer)


def _answer(error: Exception) -> Any:
    if isinstance(error, MethodNotAllowed | NotFound):
        return error
    if _left_our_code(error):
        raise error
    with settling(request.headers.get("ce-id", "")):
        raise InvalidEvent("The request is no CloudEvent.") from error
    return "", HTTPStatus.NO_CONTENT


def _left_our_code(error: Exception) -> bool:
    """The framework reads the envelope before it calls a function."""
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    return any(frame.f_globals.get("__name__", "").startswith(OURS) for frame in frames)
