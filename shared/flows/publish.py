"""outbox -> broker -> forget."""

from dataclasses import dataclass

from shared.ports import Clock, Outbox, Publisher

#: Messages taken from the outbox at a time.
PAGE = 100


@dataclass(frozen=True, slots=True)
class PublishOutbox:
    """Send what was committed and not yet published.

    Safe to repeat: a message published twice is dropped by its event id, or is a ticket,
    which is harmless. Publish before forget: the other order could lose a message.
    """

    outbox: Outbox
    publisher: Publisher
    now: Clock

    def __call__(self, recording_id: str | None = None, most: int | None = None) -> int:
        """Publish all that waits, or one recording's; returns how many.

        With `most`, no further page is begun once so many were published.

        Raises:
            BrokerUnavailable, StoreUnavailable: what is left waits; repeating will help.
        """
        sent = 0
        while messages := self.outbox.pending(recording_id, PAGE):
            self.publisher.publish(messages)
            self.outbox.sent(messages, self.now())
            sent += len(messages)
            if len(messages) < PAGE or (most is not None and sent >= most):
                break  # whoever laid out more meanwhile publishes it
        return sent
