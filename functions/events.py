"""CloudEvents of Cloud Storage and Pub/Sub, in our words."""

import base64
import json
from datetime import datetime
from typing import Annotated, Any

import msgspec
from cloudevents.http import CloudEvent
from msgspec import Meta, Struct

from shared.domain.permits import kept
from shared.domain.recording import UploadedObject
from shared.domain.webhooks import Happening
from shared.errors import InvalidEvent

#: int64 in the protocol.
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class StorageObject(Struct, rename="camel"):
    """What we read of an object's resource; other fields are Google's own business.

    Source: googleapis/google-cloudevents, proto google.events.cloud.storage.v1.StorageObjectData;
    64-bit numbers are strings in JSON.
    """

    bucket: str
    name: str
    generation: Count
    size: Count
    time_created: Annotated[datetime, Meta(tz=True)]
    content_type: str | None = None
    metadata: dict[str, str] | None = None


def uploaded_object(event: CloudEvent) -> UploadedObject:
    """The object of a `google.cloud.storage.object.v1.finalized` event.

    Raises:
        InvalidEvent: not such an event. Repeating will not help.
    """
    try:
        found = msgspec.convert(event.data, StorageObject, strict=False)
        msgspec.json.encode(found)  # a lone surrogate is no text: no store keeps it
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise InvalidEvent("This is no storage event: a field is missing or odd.") from error
    return UploadedObject(
        bucket=found.bucket,
        name=found.name,
        generation=found.generation,
        size_bytes=found.size,
        content_type=found.content_type or "application/octet-stream",
        metadata=tuple(sorted(kept(found.metadata or {}).items())),
        created_at=found.time_created,
    )


def published_message(event: CloudEvent) -> dict[str, Any]:
    """The JSON body of a `google.cloud.pubsub.topic.v1.messagePublished` event; {} if empty.

    Raises:
        InvalidEvent: not such an event. Repeating will not help.
    """
    try:
        data = event.data["message"].get("data") or ""
        body = json.loads(base64.b64decode(data)) if data else {}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InvalidEvent("This is no Pub/Sub event with a JSON body.") from error
    if not isinstance(body, dict):
        raise InvalidEvent("The message is no JSON object.")
    return body


#: What may stand in a header and before a full stop. Source: Standard Webhooks 1.0.0, "Signature
#: scheme": an id has no full stop.
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,128}$")]


class Announcement(Struct):
    """A message of `recording-events` (`shared.domain.messages`), as far as it is passed on."""

    event_id: Name
    type: Annotated[str, Meta(pattern=r"^recording\.[a-z_]{1,40}$")]
    recording_id: Name
    tenant: Name
    at: Annotated[datetime, Meta(tz=True)]
    seq: Count


def happening(event: CloudEvent) -> Happening:
    """The announcement of a `messagePublished` event of `recording-events`.

    Raises:
        InvalidEvent: not such an event. Repeating will not help.
    """
    try:
        told = msgspec.convert(published_message(event), Announcement)
    except msgspec.ValidationError as error:
        raise InvalidEvent("This is no announcement: a field is missing or odd.") from error
    return Happening(**msgspec.structs.asdict(told))


def ticks_for(event: CloudEvent, function: str) -> bool:
    """Whether this tick is meant for the function: each has a clock, and all of them one topic.

    A tick without a name is for everybody: somebody published it by hand.
    """
    try:
        named = event.data["message"].get("attributes") or {}
        return bool(named.get("function", function) == function)
    except (KeyError, TypeError, AttributeError):
        return True
