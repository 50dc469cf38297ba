"""A typed client of the gateway: `Earwitness`, and `AsyncEarwitness` with the same calls.

with Earwitness.local() as ears:
    result = ears.wait(ears.upload("talk.mp3"))
    print(result.transcript and result.transcript.text)
"""

from earwitness.client.awaiting import AsyncEarwitness
from earwitness.client.blocking import Earwitness
from earwitness.client.breaker import Breaker
from earwitness.client.errors import (
    CircuitOpen,
    ConnectionLost,
    NotUnderstood,
    Refused,
    RequestTooLarge,
    ServerFailed,
    SourceChanged,
    TimedOut,
    TooManyRequests,
    Unreachable,
    UploadRefused,
    WaitedTooLong,
    WrongMethod,
)
from earwitness.client.listening import Changed
from earwitness.client.patience import Patience
from earwitness.client.uploading import Uploaded
from shared.domain.api import (
    Cause,
    CorrectedStretch,
    Corrections,
    DeadLetter,
    Export,
    HistoryLine,
    Hit,
    Listed,
    MadeCorrection,
    MadeWebhook,
    Webhook,
    WebhookDelivery,
)
from shared.domain.deliberations import Deliberations
from shared.domain.result import Result
from shared.domain.states import State
from shared.domain.webhooks import Delivered
from shared.errors import EarwitnessError, NotRunning

__all__ = [
    "AsyncEarwitness",
    "Breaker",
    "Cause",
    "Changed",
    "CircuitOpen",
    "ConnectionLost",
    "CorrectedStretch",
    "Corrections",
    "DeadLetter",
    "Deliberations",
    "Delivered",
    "Earwitness",
    "EarwitnessError",
    "Export",
    "HistoryLine",
    "Hit",
    "Listed",
    "MadeCorrection",
    "MadeWebhook",
    "NotRunning",
    "NotUnderstood",
    "Patience",
    "Refused",
    "RequestTooLarge",
    "Result",
    "ServerFailed",
    "SourceChanged",
    "State",
    "TimedOut",
    "TooManyRequests",
    "Unreachable",
    "UploadRefused",
    "Uploaded",
    "WaitedTooLong",
    "Webhook",
    "WebhookDelivery",
    "WrongMethod",
]
