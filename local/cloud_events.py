"""The events the cloud would send to our functions: CloudEvents 1.0, HTTP binary mode.

Source: CloudEvents HTTP Protocol Binding 1.0.2, section 3.1; googleapis/google-cloudevents,
protos google.events.cloud.storage.v1 and google.events.cloud.pubsub.v1.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from shared.domain.messages import event_id
from shared.domain.permits import sent
from shared.domain.recording import UploadedObject

STORAGE_FINALIZED = "google.cloud.storage.object.v1.finalized"
MESSAGE_PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"
#: Printable ASCII that a header carries as it is (section 3.1.3.2 names the three exceptions).
_PLAIN = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"%')


@dataclass(frozen=True, slots=True)
class CloudEvent:
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class PubsubMessage:
    """One published message, as Pub/Sub keeps it."""

    id: str
    data: str  #: base64
    attributes: Mapping[str, str]
    published: str  #: RFC 3339, UTC

    def as_json(self) -> dict[str, object]:
        return {
            "attributes": dict(self.attributes),
            "data": self.data,
            "messageId": self.id,
            "publishTime": self.published,
        }


def rfc3339(at: datetime) -> str:
    """The way Google's APIs write a time: UTC, milliseconds, Z."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def storage_finalized(upload: UploadedObject) -> CloudEvent:
    """The event of one new generation. The same generation always has the same event id."""
    at = rfc3339(upload.created_at)
    resource = {
        "kind": "storage#object",
        "id": f"{upload.bucket}/{upload.name}/{upload.generation}",
        "bucket": upload.bucket,
        "name": upload.name,
        "generation": str(upload.generation),
        "metageneration": "1",
        "size": str(upload.size_bytes),
        "contentType": upload.content_type,
        "metadata": sent(dict(upload.metadata)),
        "storageClass": "STANDARD",
        "timeCreated": upload.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "updated": at,
    }
    return _event(
        id=event_id(f"{upload.bucket}/{upload.name}", "finalized", upload.generation),
        source=f"//storage.googleapis.com/projects/_/buckets/{upload.bucket}",
        type=STORAGE_FINALIZED,
        subject=f"objects/{upload.name}",
        time=at,
        body=resource,
    )


def message_published(topic: str, message: PubsubMessage) -> CloudEvent:
    """The event of one message on a topic that a function listens to."""
    return _event(
        id=message.id,
        source=f"//pubsub.googleapis.com/projects/local/topics/{topic}",
        type=MESSAGE_PUBLISHED,
        subject=None,
        time=message.published,
        body={
            "message": message.as_json(),
            "subscription": f"projects/local/subscriptions/{topic}",
        },
    )


def _event(
    *, id: str, source: str, type: str, subject: str | None, time: str, body: object
) -> CloudEvent:
    headers = {
        "ce-specversion": "1.0",
        "ce-id": id,
        "ce-source": source,
        "ce-type": type,
        "ce-time": time,
        "content-type": "application/json",
    }
    if subject is not None:
        headers["ce-subject"] = quote(subject, safe=_PLAIN, errors="surrogatepass")
    return CloudEvent(headers, json.dumps(body).encode())
