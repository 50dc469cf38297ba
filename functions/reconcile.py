"""Pub/Sub `ticks` -> declared tenants are there; whatever went missing is found and mended."""

import functions_framework
from cloudevents.http import CloudEvent

from functions.events import ticks_for
from functions.invocations import invoked
from shared import wiring
from shared.edge import settling


@functions_framework.cloud_event
def reconcile(event: CloudEvent) -> None:
    with invoked("reconcile", "pubsub", event), settling(event["id"]):
        if ticks_for(event, "reconcile"):
            wiring.welcome_from_environment()()
            wiring.reconcile_from_environment()()
