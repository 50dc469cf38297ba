"""Implements `Courier`: signs by the library of Standard Webhooks and posts.

IAM: none. It calls out to the internet (docs/webhooks.md says from where); no emulator.
Source: Standard Webhooks 1.0.0, "Webhook headers" and "Signature scheme".
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from shared.domain.webhooks import Delivery, Reply, Webhook

#: URL, headers, body -> what came of it (`pinned_posts.PinnedPosts.post`).
Post = Callable[[str, Mapping[str, str], bytes], Reply]
SENDER = "Earwitness"


class StandardWebhooks:
    """Threads may share it."""

    def __init__(self, post: Post) -> None:
        self._post = post

    def send(self, webhook: Webhook, delivery: Delivery, now: datetime) -> Reply:
        return self._post(webhook.url, headers(webhook, delivery, now), delivery.body.encode())


def headers(webhook: Webhook, delivery: Delivery, now: datetime) -> dict[str, str]:
    """Those of one attempt: its own time, the id of the event, a signature for each secret."""
    from standardwebhooks import Webhook as Signer  # 21 ms that most functions never need

    at = now.astimezone(UTC)
    signed = (
        Signer(secret).sign(delivery.event_id, at, delivery.body) for secret in webhook.secrets(now)
    )
    return {
        "content-type": "application/json",
        "user-agent": SENDER,
        "webhook-id": delivery.event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signed),
    }
