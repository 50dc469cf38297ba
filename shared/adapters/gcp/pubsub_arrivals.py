"""Implements `Arrivals` on a pull subscription to the uploads bucket's second notification.

IAM on the subscription: roles/pubsub.subscriber for `reconcile`; terraform/storage.tf, which
also sets its acknowledgement deadline to 60 s. Emulator: the gcloud SDK's, found by
PUBSUB_EMULATOR_HOST, with fake-gcs-server as the bucket.
"""

import json
import logging
from collections.abc import Sequence
from datetime import datetime

from google.api_core.exceptions import DeadlineExceeded, GoogleAPIError
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1 import ReceivedMessage, SubscriberClient

from shared.adapters.gcp.storage_answers import of_resource
from shared.domain.recording import Arrival
from shared.errors import BrokerUnavailable

log = logging.getLogger("earwitness.arrivals")

#: Seconds to wait for a first message; Pub/Sub itself would wait for 90.
PULL_S = 3.0
#: Seconds an acknowledgement may take.
ACK_S = 5.0
#: Source: "Pub/Sub notifications for Cloud Storage", attribute eventType.
_FINALIZED = "OBJECT_FINALIZE"
_ONCE = Retry(predicate=if_exception_type())


class PubSubArrivals:
    """One client for all threads; made once at start."""

    def __init__(self, client: SubscriberClient, project: str, subscription: str) -> None:
        self._client = client
        self._subscription = f"projects/{project}/subscriptions/{subscription}"

    def pull(self, now: datetime, limit: int = 100) -> list[Arrival]:
        """As the port says; what is no upload is acknowledged, counted and left out."""
        received = self._received(limit)
        read = {one.ack_id: _arrival(one) for one in received}
        strange = [handle for handle, arrival in read.items() if arrival is None]
        if strange:
            log.warning("notifications that are no uploads", extra={"count": len(strange)})
            self._forget(strange)
        return [arrival for arrival in read.values() if arrival is not None]

    def _received(self, limit: int) -> Sequence[ReceivedMessage]:
        try:
            answer = self._client.pull(
                subscription=self._subscription, max_messages=limit, retry=_ONCE, timeout=PULL_S
            )
        except DeadlineExceeded:
            return []  # nothing came while we waited
        except (GoogleAPIError, GoogleAuthError) as error:
            raise BrokerUnavailable(detail=type(error).__name__) from error
        return list(answer.received_messages)

    def ack(self, arrivals: Sequence[Arrival]) -> None:
        if arrivals:
            self._forget([a.handle for a in arrivals])

    def _forget(self, handles: Sequence[str]) -> None:
        try:
            self._client.acknowledge(
                subscription=self._subscription, ack_ids=list(handles), timeout=ACK_S
            )
        except (GoogleAPIError, GoogleAuthError) as error:
            raise BrokerUnavailable(detail=type(error).__name__) from error


def _arrival(received: ReceivedMessage) -> Arrival | None:
    message = received.message
    if message.attributes.get("eventType") != _FINALIZED:
        return None
    try:
        return Arrival(of_resource(json.loads(message.data)), received.ack_id)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
