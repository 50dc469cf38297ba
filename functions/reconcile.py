"""Pub/Sub `ticks` -> whatever went missing is found and mended."""

import logging

import functions_framework
from cloudevents.http import CloudEvent

from shared import wiring
from shared.edge import settling

log = logging.getLogger("earwitness.reconcile")


@functions_framework.cloud_event
def reconcile(event: CloudEvent) -> None:
    with settling(event["id"]):
        found = {what: n for what, n in wiring.reconcile_from_environment()().items() if n}
        if found:
            log.info("reconciled", extra={"found": found})
