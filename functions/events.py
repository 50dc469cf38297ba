"""CloudEvents of Cloud Storage and Pub/Sub, in our words."""

import base64
import json
from datetime import datetime
from typing import Any

from cloudevents.http import CloudEvent

from shared.domain.recording import UploadedObject
from shared.errors import InvalidRequest


def uploaded_object(event: CloudEvent) -> UploadedObject:
    """The object of a `google.cloud.storage.object.v1.finalized` event.

    Source: googleapis/google-cloudevents, proto google.events.cloud.storage.v1.StorageObjectData;
    64-bit numbers are strings in JSON.

    Raises:
        InvalidRequest: not such an event. Repeating will not help.
    """
    try:
        data: dict[str, Any] = event.data
        return UploadedObject(
            bucket=data["bucket"],
            name=data["name"],
            generation=int(data["generation"]),
            size_bytes=int(data["size"]),
            content_type=data.get("contentType") or "application/octet-stream",
            metadata=tuple(sorted((data.get("metadata") or {}).items())),
            created_at=datetime.fromisoformat(data["timeCreated"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidRequest("This is no storage event: a field is missing or odd.") from error


def published_message(event: CloudEvent) -> dict[str, Any]:
    """The JSON body of a `google.cloud.pubsub.topic.v1.messagePublished` event; {} if empty.

    Raises:
        InvalidRequest: not such an event. Repeating will not help.
    """
    try:
        data = event.data["message"].get("data") or ""
        body = json.loads(base64.b64decode(data)) if data else {}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidRequest("This is no Pub/Sub event with a JSON body.") from error
    if not isinstance(body, dict):
        raise InvalidRequest("The message is no JSON object.")
    return body
