"""`POST /pubsub/tickets`: a doorbell rings, one job is heard; or originals are compressed."""

import asyncio
import base64
import binascii
import json
import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from contextvars import copy_context
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gpu_service.house import House
from shared.domain.lanes import Lane, lease_order
from shared.domain.recording import LANE_TOPIC
from shared.domain.trace import TRACEPARENT
from shared.errors import EarwitnessError, ForgedTicket, InvalidEvent, ServiceFull
from shared.flows.work import Settled
from shared.logs import say
from shared.spans import Kind, span

log = logging.getLogger("earwitness.tickets")
#: Bytes. A ticket is some 400; whoever sends more is not Pub/Sub.
MAX_BODY = 64 << 10
#: An ack is any 2xx. Everything else makes Pub/Sub ring again, with backoff.
ACK, FORBIDDEN, FULL, AGAIN = 204, 403, 429, 503
STATUS = dict.fromkeys(Settled, ACK) | {Settled.FAILED: AGAIN, Settled.LOST: ACK}


class PushedMessage(BaseModel):
    data: str = ""
    attributes: dict[str, str] = {}
    messageId: str = ""  # noqa: N815  # Pub/Sub's name


class Envelope(BaseModel):
    """Source: Google Cloud, "Push subscriptions", section "Message format"."""

    #: No two message ids are the same: pydantic would fill its cache of 16,384 strings with them,
    #: 1.3 MB that grow for 30,000 tickets and are never of use.
    model_config = ConfigDict(cache_strings="keys")

    message: PushedMessage
    subscription: str = ""


class Ticket(BaseModel):
    v: Literal[1]
    lane: Lane


async def take_ticket(request: Request) -> Response:
    """Hear one job of the lane that rang.

    204: done, or nothing was ready, or it is no ticket (it would be none the next time
    either). 429: every place is taken. 503: the attempt failed, or the store or the keys
    did; the redelivery is the retry. 403: not our token. What became of each is counted.
    """
    house: House = request.app.state.house
    what, status = await _taken(house, request)
    house.pushes[what] += 1
    return Response(status_code=status)


#: Not FastAPI's: its work on arguments and answers, of which there are none here, is 8 % of all
#: that the interpreter does for a recording that is heard at once.
ROUTE = Route("/pubsub/tickets", take_ticket, methods=["POST"])


async def _taken(house: House, request: Request) -> tuple[str, int]:
    """What became of a push, in a word, and the status that says it to Pub/Sub."""
    try:
        await _verified(house, request.headers.getlist("authorization"))
        ticket, cause = parse(await _bounded(request))
        with _span_of(ticket.lane, cause or request.headers.get(TRACEPARENT)):
            settled = await _work(house, ticket.lane)
        return settled.value, STATUS[settled]
    except ForgedTicket as error:
        say(log, error)
        return error.code, FORBIDDEN
    except ServiceFull as error:
        return error.code, FULL
    except InvalidEvent as error:
        say(log, error)
        return error.code, ACK
    except EarwitnessError as error:
        # The store or the disk is in trouble: nothing could be recorded, so ring again.
        say(log, error)
        return error.code, AGAIN


async def _verified(house: House, authorization: Sequence[str]) -> None:
    if not house.tokens.knows(authorization):
        # A key that is not known yet is asked for over the network.
        await asyncio.to_thread(house.tokens.verify, authorization)


async def _work(house: House, lane: Lane) -> Settled:
    async with house.slots.take(lane) as turn:
        loop = asyncio.get_running_loop()
        # With our context: what is said and measured there belongs to this push.
        here = copy_context().run
        return await loop.run_in_executor(house.threads, here, _heard, house, lane, turn)


def _heard(house: House, lane: Lane, turn: int) -> Settled:
    """Hear a job. While there is none, what is kept long is compressed, on this ticket's time."""
    settled = house.work(lease_order(turn), house.should_yield)
    if settled is Settled.NOTHING and lane is Lane.LOW:
        house.compress(house.needed, lambda: house.slots.waits(Lane.LOW))
    return settled


def _span_of(lane: Lane, cause: str | None) -> AbstractContextManager[None]:
    """Below whoever rang, which mostly is the recording that is heard then."""
    attributes = {
        "messaging.system": "gcp_pubsub",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": LANE_TOPIC[lane].value,
    }
    name = f"process {LANE_TOPIC[lane].value}"
    return span(name, Kind.CONSUMER, parent=cause, attributes=attributes)


async def _bounded(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise InvalidEvent("A push is too large for a ticket.")
    return body


def parse(body: bytes) -> tuple[Ticket, str | None]:
    """The ticket in a push envelope, and the trace context that was sent along.

    Raises:
        InvalidEvent: it is none. A redelivery will not change it.
    """
    try:
        envelope = Envelope.model_validate_json(body)
        data: Any = json.loads(base64.b64decode(envelope.message.data, validate=True))
        return Ticket.model_validate(data), envelope.message.attributes.get(TRACEPARENT)
    except (ValidationError, binascii.Error, ValueError) as error:
        raise InvalidEvent("A push carries no ticket.") from error
