"""Pub/Sub `jobs-dead` -> one line in the log that alerts a person."""

import logging

import functions_framework
from cloudevents.http import CloudEvent

from functions.events import published_message
from functions.invocations import invoked
from shared.edge import settling

log = logging.getLogger("earwitness.dead")


@functions_framework.cloud_event
def on_job_dead(event: CloudEvent) -> None:
    with invoked("on_job_dead", "pubsub", event), settling(event["id"]):
        letter = published_message(event)
        fields = {k: letter.get(k) for k in ("recording_id", "tenant", "code", "event_id")}
        log.error("dead letter: %s", letter.get("message", ""), extra=fields)
