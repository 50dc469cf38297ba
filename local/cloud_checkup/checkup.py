"""Every check of a project, in the order in which one rests on another."""

import time
from collections.abc import Callable, Iterable, Iterator

from local.cloud_checkup.apis import apis
from local.cloud_checkup.buckets import buckets, notifications
from local.cloud_checkup.builders import builders
from local.cloud_checkup.deployment import Deployment
from local.cloud_checkup.findings import Finding, left_open, problem
from local.cloud_checkup.firestore import database, fields, indexes, vectors
from local.cloud_checkup.grants import grants
from local.cloud_checkup.keys import keys
from local.cloud_checkup.pubsub import subscriptions, topics
from local.cloud_checkup.push import Ring
from local.cloud_checkup.rest import NotEmulated
from local.cloud_checkup.services import functions, quotas, services, ticks
from local.cloud_checkup.unproved import unproved
from local.cloud_checkup.viewers import viewers
from shared.errors import EarwitnessError, IdentityUnavailable
from shared.wiring import clock

Check = Callable[[Deployment], list[Finding]]

#: By name. Those that only read come first.
READING: dict[str, Check] = {
    "apis": apis,
    "buckets": buckets,
    "arrivals": notifications,
    "topics": topics,
    "subscriptions": subscriptions,
    "database": database,
    "indexes": indexes,
    "vectors": vectors,
    "fields": fields,
    "functions": functions,
    "ticks": ticks,
    "services": services,
    "quotas": quotas,
    "grants": grants,
    "viewers": viewers,
    "keys": keys,
    "builders": builders,
}


def checks(ringing: bool) -> dict[str, Check]:
    """All of them; `ringing` allows the one that does something."""
    ring: dict[str, Check] = {"push": Ring(clock, time.sleep)} if ringing else {}
    return {**READING, **ring, "unproved": unproved}


def findings(d: Deployment, wanted: dict[str, Check]) -> Iterator[Finding]:
    """What each check finds, as it is found; one that cannot look says why.

    Raises:
        IdentityUnavailable: nobody is logged in, so none of them can.
    """
    for name, check in wanted.items():
        yield from _looked(name, check, d)


def _looked(name: str, check: Check, d: Deployment) -> Iterable[Finding]:
    try:
        return check(d)
    except IdentityUnavailable:
        raise
    except NotEmulated as error:
        return [left_open(name, str(error))]
    except EarwitnessError as error:
        return [problem(name, str(error))]
