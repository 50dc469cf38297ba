"""Pub/Sub `ticks` -> webhooks that could not be told are tried again."""

import functions_framework
from cloudevents.http import CloudEvent

from functions.events import ticks_for
from functions.invocations import invoked
from shared import wiring
from shared.edge import settling


@functions_framework.cloud_event
def deliver(event: CloudEvent) -> None:
    with invoked("deliver", "pubsub", event), settling(event["id"]):
        if ticks_for(event, "deliver"):
            wiring.deliver_from_environment()()
