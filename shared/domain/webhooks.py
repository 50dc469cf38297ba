"""Webhooks: who is told of what, in which words, and when it is tried again.

Source: Standard Webhooks 1.0.0 (standard-webhooks/standard-webhooks, spec/standard-webhooks.md),
whose sections are named below.
"""

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from urllib.parse import SplitResult, urlsplit

from shared.domain.addresses import refusal
from shared.errors import InvalidRequest

#: Bytes of randomness of a webhook's id and of its secret. "Signature scheme" wants 24 to 64.
ID_BYTES, SECRET_BYTES = 8, 32
ENTROPY_BYTES = ID_BYTES + SECRET_BYTES
SECRET_PREFIX = "whsec_"  # noqa: S105  # how one begins ("Signature scheme")
#: Seconds before each attempt, counted from the one before it ("Deliverability and reliability",
#: the example schedule): over three days in all.
SCHEDULE_S = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
#: Share of a wait that is added at random, so that what failed together parts ("some level of
#: random jitter"). Added, for an endpoint was promised no earlier try.
JITTER = 0.1
#: For how long an old secret may sign beside a new one.
MAX_OVERLAP = timedelta(days=30)
#: Attempts a delivery remembers; a person who replays for days does not grow it without bound.
MOST_ATTEMPTS = 50
#: Of one tenant.
MOST_WEBHOOKS = 20
MOST_TYPES, MAX_URL = 20, 2_000
#: What is announced of a recording (`messages.announcement`).
TYPE = re.compile(r"recording\.[a-z_]{1,40}")
#: "I am no longer interested" ("Delivery success and failure").
GONE = 410
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}$)({_LABEL}\.)*{_LABEL}")
#: Programs read these as numbers: 127.1, 0x7f.0.0.1 and 2130706433 are all this machine.
_NUMBER = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)")


class Fault(StrEnum):
    """Why there was no answer. A closed set: never what an endpoint said, never an address."""

    ADDRESS_REFUSED = "address_refused"  #: its name leads where nobody may send us
    UNKNOWN_HOST = "unknown_host"  #: its name has no address
    UNREACHABLE = "unreachable"  #: no connection, or it broke
    NOT_TRUSTED = "not_trusted"  #: its certificate does not stand
    TIMED_OUT = "timed_out"  #: no answer in time
    DISABLED = "disabled"  #: the webhook is off; nothing was sent


@dataclass(frozen=True, slots=True)
class Webhook:
    """An endpoint of a tenant that is told what happens to its recordings."""

    id: str
    tenant: str
    url: str
    types: tuple[str, ...]  #: told of these; empty: of all
    secret: str = field(repr=False)  #: whsec_…; kept, for it signs each attempt
    made_at: datetime
    disabled_at: datetime | None = None
    old_secret: str | None = field(default=None, repr=False)
    old_until: datetime | None = None  #: until when the old secret signs, too
    failing_since: datetime | None = None  #: its last attempt failed, as did those since then

    def wants(self, kind: str, at: datetime) -> bool:
        """Whether it is told of this: what happened before it was made is no news to it."""
        asked = not self.types or kind in self.types
        return asked and self.disabled_at is None and at >= self.made_at

    def secrets(self, now: datetime) -> tuple[str, ...]:
        """Those that sign an attempt, the current one first."""
        old = self.old_until is not None and now < self.old_until
        return (self.secret, self.old_secret) if old and self.old_secret else (self.secret,)


class Delivered(StrEnum):
    """How far a delivery has come."""

    WAITING = "waiting"  #: for its first or its next attempt
    DELIVERED = "delivered"
    FAILED = "failed"  #: given up; a person may replay it


@dataclass(frozen=True, slots=True)
class Attempt:
    at: datetime
    status: int | None  #: of the answer
    fault: Fault | None  #: why there is none


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one webhook. `body` never changes, nor does its id."""

    webhook_id: str
    tenant: str
    event_id: str  #: `webhook-id` of every attempt
    type: str
    recording_id: str
    body: str
    made_at: datetime
    state: Delivered = Delivered.WAITING
    next_at: datetime | None = None  #: while it waits; whoever leases it moves it ahead
    tries: int = 0  #: attempts since it was made, or replayed last
    attempts: tuple[Attempt, ...] = ()  #: the last MOST_ATTEMPTS, oldest first
    settled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Happening:
    """An announcement of `recording-events`; ids only."""

    event_id: str
    type: str
    recording_id: str
    tenant: str
    at: datetime
    seq: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of one attempt: a status, or why there is none."""

    status: int | None = None
    fault: Fault | None = None
    retry_after_s: float = 0.0  #: as the endpoint asks ("Delivery success and failure")

    @property
    def accepted(self) -> bool:
        """2xx is success, all else is failure, 3xx too: no redirect is followed."""
        return self.status is not None and 200 <= self.status < 300


def new(
    tenant: str,
    url: str,
    types: Sequence[str],
    at: datetime,
    entropy: bytes,
    *,
    private: bool = False,
) -> Webhook:
    """A webhook with a secret of its own. `entropy`: ENTROPY_BYTES, secret.

    Raises:
        InvalidRequest: nobody may be told there, or of that.
    """
    check_url(url, private=private)
    wrong = next((kind for kind in types if not TYPE.fullmatch(kind)), None)
    if wrong is not None or len(types) > MOST_TYPES:
        raise InvalidRequest(
            f"Types are names such as recording.done, at most {MOST_TYPES}; none means all."
        )
    secret = new_secret(entropy[ID_BYTES:])
    wanted = tuple(sorted(set(types)))
    return Webhook(f"wh_{entropy[:ID_BYTES].hex()}", tenant, url, wanted, secret, at)


def new_secret(entropy: bytes) -> str:
    """Of SECRET_BYTES secret ones ("Signature scheme": base64 behind `whsec_`)."""
    return SECRET_PREFIX + base64.b64encode(entropy).decode()


def check_url(url: str, *, private: bool = False) -> SplitResult:
    """The parts of a URL that may be posted to, as far as its text tells.

    `private` allows http and this machine's own addresses. Where a name leads is looked at again
    before each attempt, for that may change.

    Raises:
        InvalidRequest: it may not.
    """
    if not (url.isascii() and url.isprintable()) or set(url) & set(" \\") or len(url) > MAX_URL:
        raise InvalidRequest(
            f"A webhook's URL has at most {MAX_URL:,} characters of ASCII and no spaces; write a"
            " name in other letters as its xn-- form."
        )
    parts = _split(url)
    if parts.scheme not in (("https", "http") if private else ("https",)):
        raise InvalidRequest("A webhook's URL begins with https://.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InvalidRequest("A webhook's URL has no user, no password and no # part.")
    _check_host(parts.hostname or "", private)
    return parts


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        valid = parts.port is None or parts.port > 0  # the port is parsed when it is asked for
    except ValueError as error:
        raise InvalidRequest("The webhook's URL is none.") from error
    if not valid:
        raise InvalidRequest("The webhook's URL has a port that is none.")
    return parts


def _check_host(host: str, private: bool) -> None:
    try:
        # The zone of an IPv6 address is a word of one machine's own.
        refused = refusal(host.replace("%", " "), private=private)
    except ValueError:
        if not _NAME.fullmatch(host) or _NUMBER.fullmatch(host):
            raise InvalidRequest("The webhook's URL names no host.") from None
        return
    if refused is not None:
        raise InvalidRequest(f"A webhook cannot be at a {refused} address. Name a public one.")


def delivery(webhook: Webhook, event: Happening, now: datetime, leased_s: float) -> Delivery:
    """The event on its way to the webhook, leased by whoever makes it."""
    return Delivery(
        webhook_id=webhook.id,
        tenant=webhook.tenant,
        event_id=event.event_id,
        type=event.type,
        recording_id=event.recording_id,
        body=body(event),
        made_at=now,
        next_at=now + timedelta(seconds=leased_s),
    )


def body(event: Happening) -> str:
    """What is sent: ids only ("Thin" payloads), compact, in the order of "Payload structure"."""
    data = {
        "recording_id": event.recording_id,
        "tenant": event.tenant,
        "event_id": event.event_id,
        "seq": event.seq,
    }
    at = event.at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    told = {"type": event.type, "timestamp": at, "data": data}
    return json.dumps(told, separators=(",", ":"))


def after(known: Delivery, reply: Reply, now: datetime, chance: float) -> Delivery:
    """The delivery once an attempt was made: settled, or waiting for its next.

    `chance`: uniform in 0..1, drawn by the caller.
    """
    tried = replace(_remembering(known, reply, now), tries=known.tries + 1)
    if reply.accepted:
        return _settled(tried, Delivered.DELIVERED, now)
    if tried.tries >= len(SCHEDULE_S) or reply.status == GONE or reply.fault is Fault.DISABLED:
        return _settled(tried, Delivered.FAILED, now)
    wait_s = SCHEDULE_S[tried.tries] * (1 + JITTER * chance)
    # Never longer than the schedule's longest wait, whatever the endpoint asks for.
    wait_s = max(wait_s, min(reply.retry_after_s, SCHEDULE_S[-1]))
    return replace(tried, next_at=now + timedelta(seconds=wait_s))


def noted(
    stored: Delivery, leased: Delivery, reply: Reply, now: datetime, chance: float
) -> Delivery:
    """What is kept of an attempt that was made under a lease.

    Where the lease is over, somebody else moves the delivery; that it arrived counts all the same.
    """
    waits = stored.state is Delivered.WAITING
    if waits and (stored.next_at == leased.next_at or reply.accepted):
        return after(stored, reply, now, chance)
    return _remembering(stored, reply, now)


def _remembering(known: Delivery, reply: Reply, now: datetime) -> Delivery:
    attempts = (*known.attempts, Attempt(now, reply.status, reply.fault))
    return replace(known, attempts=attempts[-MOST_ATTEMPTS:])


def _settled(tried: Delivery, state: Delivered, now: datetime) -> Delivery:
    return replace(tried, state=state, next_at=None, settled_at=now)


def replayed(known: Delivery, now: datetime) -> Delivery:
    """The delivery, to be tried again at once with all its attempts before it; same id and body."""
    return replace(known, state=Delivered.WAITING, next_at=now, tries=0, settled_at=None)
