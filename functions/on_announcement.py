"""Pub/Sub `recording-events` -> the tenant's webhooks are told, or will be by `deliver`."""

import functions_framework
from cloudevents.http import CloudEvent

from functions.events import happening
from functions.invocations import invoked
from shared import wiring
from shared.edge import settling


@functions_framework.cloud_event
def on_announcement(event: CloudEvent) -> None:
    with invoked("on_announcement", "pubsub", event), settling(event["id"]):
        wiring.deliver_from_environment().tell(happening(event))
