"""Pub/Sub `ticks` -> what histories and actions say until now is under a seal."""

import functions_framework
from cloudevents.http import CloudEvent

from functions.events import ticks_for
from functions.invocations import invoked
from shared import wiring
from shared.edge import settling


@functions_framework.cloud_event
def seal(event: CloudEvent) -> None:
    with invoked("seal", "pubsub", event), settling(event["id"]):
        if ticks_for(event, "seal"):
            wiring.sealing_from_environment()()
