"""Pub/Sub `ticks` -> what ends is announced, what is due is erased, erasures go on."""

import functions_framework
from cloudevents.http import CloudEvent

from functions.events import ticks_for
from functions.invocations import invoked
from shared import wiring
from shared.edge import settling


@functions_framework.cloud_event
def retire(event: CloudEvent) -> None:
    with invoked("retire", "pubsub", event), settling(event["id"]):
        if ticks_for(event, "retire"):
            wiring.retire_from_environment()()
