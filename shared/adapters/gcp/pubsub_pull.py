"""One pull subscription: take, acknowledge; Pub/Sub's errors in our words.

IAM on the subscription: roles/pubsub.subscriber. Emulator: the gcloud SDK's, found by
PUBSUB_EMULATOR_HOST. Source: `google.pubsub.v1.Subscriber`, unary Pull.
"""

from collections.abc import Sequence

from google.api_core.exceptions import DeadlineExceeded, GoogleAPIError
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1 import ReceivedMessage, SubscriberClient

from shared.errors import BrokerUnavailable

#: Seconds to wait for a first message; Pub/Sub itself would wait for 90.
PULL_S = 3.0
#: Seconds an acknowledgement may take.
ACK_S = 5.0
_ONCE = Retry(predicate=if_exception_type())


class PullSubscription:
    """Threads may share it."""

    def __init__(self, client: SubscriberClient, project: str, name: str) -> None:
        self._client = client
        self._path = f"projects/{project}/subscriptions/{name}"

    def pull(self, limit: int) -> list[ReceivedMessage]:
        """At most `limit` messages, hidden until their deadline; none after PULL_S of silence.

        Raises:
            BrokerUnavailable: pull again later.
        """
        try:
            answer = self._client.pull(
                subscription=self._path, max_messages=limit, retry=_ONCE, timeout=PULL_S
            )
        except DeadlineExceeded:
            return []
        except (GoogleAPIError, GoogleAuthError) as error:
            raise BrokerUnavailable(detail=type(error).__name__) from error
        return list(answer.received_messages)

    def ack(self, handles: Sequence[str]) -> None:
        """Forget messages; forgetting what is forgotten does nothing.

        Raises:
            BrokerUnavailable: they may come again.
        """
        if not handles:
            return
        try:
            self._client.acknowledge(subscription=self._path, ack_ids=list(handles), timeout=ACK_S)
        except (GoogleAPIError, GoogleAuthError) as error:
            raise BrokerUnavailable(detail=type(error).__name__) from error
