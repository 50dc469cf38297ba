"""Implements `Arrivals` on a pull subscription to the uploads bucket's second notification.

IAM on the subscription: roles/pubsub.subscriber for `reconcile`; terraform/stack/pubsub.tf,
which also sets its acknowledgement deadline to 60 s. Emulator: the gcloud SDK's, found by
PUBSUB_EMULATOR_HOST, with fake-gcs-server as the bucket.
"""

import json
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from shared.adapters.gcp.storage_answers import of_resource
from shared.domain.recording import Arrival

if TYPE_CHECKING:
    from google.pubsub_v1 import ReceivedMessage

    from shared.adapters.gcp.pubsub_pull import PullSubscription

log = logging.getLogger("earwitness.arrivals")

#: Source: "Pub/Sub notifications for Cloud Storage", attribute eventType.
_FINALIZED = "OBJECT_FINALIZE"


class PubSubArrivals:
    """One subscription for all threads."""

    def __init__(self, subscribed: Callable[[], "PullSubscription"]) -> None:
        """`subscribed` is asked once, at the first pull or by `open`: of all functions only
        `reconcile` has use for the client, and the others need not wait for it."""
        self._subscribed = subscribed

    def open(self) -> None:
        """Build the client now."""
        _ = self._subscription

    @cached_property
    def _subscription(self) -> "PullSubscription":
        return self._subscribed()

    def pull(self, now: datetime, limit: int = 100) -> list[Arrival]:
        """As the port says; Pub/Sub has its own clock, and its oldest first is nearly so.

        What is no upload is acknowledged, counted and left out.
        """
        read = {one.ack_id: _arrival(one) for one in self._subscription.pull(limit)}
        strange = [handle for handle, arrival in read.items() if arrival is None]
        if strange:
            log.warning("notifications that are no uploads", extra={"count": len(strange)})
            self._subscription.ack(strange)
        return [arrival for arrival in read.values() if arrival is not None]

    def ack(self, arrivals: Sequence[Arrival]) -> None:
        self._subscription.ack([a.handle for a in arrivals])


def _arrival(received: "ReceivedMessage") -> Arrival | None:
    message = received.message
    if message.attributes.get("eventType") != _FINALIZED:
        return None
    try:
        return Arrival(of_resource(json.loads(message.data)), received.ack_id)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
