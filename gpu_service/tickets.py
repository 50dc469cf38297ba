"""`POST /pubsub/tickets`: a doorbell rings, one job is heard."""

import asyncio
import base64
import binascii
import json
import logging
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError

from gpu_service.house import House
from shared.domain.lanes import Lane, lease_order
from shared.errors import EarwitnessError, ForgedTicket, InvalidRequest, ServiceFull
from shared.flows.work import Settled

log = logging.getLogger("earwitness.tickets")
router = APIRouter()
#: Bytes. A ticket is some 400; whoever sends more is not Pub/Sub.
MAX_BODY = 64 << 10
#: An ack is any 2xx. Everything else makes Pub/Sub ring again, with backoff.
ACK, FULL, AGAIN = 204, 429, 503
STATUS = dict.fromkeys(Settled, ACK) | {Settled.FAILED: AGAIN, Settled.LOST: ACK}


class PushedMessage(BaseModel):
    data: str = ""
    messageId: str = ""  # noqa: N815  # Pub/Sub's name


class Envelope(BaseModel):
    """Source: Google Cloud, "Push subscriptions", section "Message format"."""

    #: No two message ids are the same: pydantic would fill its cache of 16,384 strings with them,
    #: 1.3 MB that grow for 30,000 tickets and are never of use.
    model_config = ConfigDict(cache_strings="keys")

    message: PushedMessage
    subscription: str = ""


class Ticket(BaseModel):
    v: int
    lane: Lane


@router.post("/pubsub/tickets", status_code=ACK)
async def take_ticket(request: Request, authorization: Annotated[str, Header()] = "") -> Response:
    """Hear one job of the lane that rang.

    204: done, or nothing was ready. 429: every place is taken. 503: the attempt failed, or
    the store did; the redelivery is the retry. 403: not our token. 400: not a ticket.
    """
    house: House = request.app.state.house
    try:
        house.tokens.verify(authorization)
        lane = parse(await _bounded(request)).lane
        return Response(status_code=STATUS[await _work(house, lane)])
    except ForgedTicket:
        log.warning("a push without our token was refused")
        return Response(status_code=403)
    except InvalidRequest as error:
        return Response(str(error), status_code=400)
    except ServiceFull:
        return Response(status_code=FULL)
    except EarwitnessError as error:
        # The store or the disk is in trouble: nothing could be recorded, so ring again.
        log.log(logging.getLevelNamesMapping()[error.severity], "%s: %s", error.code, error)
        return Response(status_code=AGAIN)


async def _work(house: House, lane: Lane) -> Settled:
    async with house.slots.take(lane) as turn:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            house.threads, house.work, lease_order(turn), house.should_yield
        )


async def _bounded(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise InvalidRequest("The ticket is too large.")
    return body


def parse(body: bytes) -> Ticket:
    """The ticket in a push envelope.

    Raises:
        InvalidRequest: it is none. A redelivery will not change it.
    """
    try:
        envelope = Envelope.model_validate_json(body)
        data: Any = json.loads(base64.b64decode(envelope.message.data, validate=True))
        return Ticket.model_validate(data)
    except (ValidationError, binascii.Error, ValueError) as error:
        raise InvalidRequest("This is no ticket.") from error
