"""Cloud Storage `object.v1.finalized` -> one recording, queued, deferred or rejected."""

import functions_framework
from cloudevents.http import CloudEvent

from functions.events import uploaded_object
from functions.invocations import invoked
from shared import wiring
from shared.edge import settling


@functions_framework.cloud_event
def on_audio_uploaded(event: CloudEvent) -> None:
    with invoked("on_audio_uploaded", "datasource", event), settling(event["id"]):
        wiring.intake_from_environment()(uploaded_object(event))
