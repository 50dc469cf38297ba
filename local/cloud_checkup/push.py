"""One real push: ring a lane once, and read in the service's log how it was taken.

A ticket names no job, so a spare one is harmless: the service finds nothing ready, answers 204,
and that is the proof. Google signed the push, Cloud Run let it through, and the service verified
the token in full; with any of the three wrong the log says 403. A sleeping service is woken by
it, and with a GPU that costs what a start costs (docs/deploy.md).
"""

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from local.cloud_checkup.deployment import Deployment
from local.cloud_checkup.findings import Finding, fine, problem
from local.cloud_checkup.pubsub import TICKETS
from local.cloud_checkup.rest import Answer
from shared.domain.lanes import Lane
from shared.domain.recording import LANE_TOPIC
from shared.ports import Clock

#: The lane that nobody is waiting in.
LANE = Lane.LOW
#: Seconds between two looks at the log, and looks: a service with a GPU needs a minute to start.
LOOK_EVERY_S, LOOKS = 5.0, 36
TAKEN, FORBIDDEN = 204, (401, 403)


@dataclass(frozen=True, slots=True)
class Ring:
    now: Clock
    wait: Callable[[float], None]

    def __call__(self, d: Deployment) -> list[Finding]:
        if not d.run_by("service"):
            return [problem("push", "there is no service that a ticket could be pushed to")]
        since = self.now()
        if ring(d) is None:
            return [problem("push", f"the topic {d.named(LANE_TOPIC[LANE])} is missing")]
        return [self._answered(d, since)]

    def _answered(self, d: Deployment, since: datetime) -> Finding:
        seen: list[int] = []
        for _ in range(LOOKS):
            self.wait(LOOK_EVERY_S)
            seen = statuses(entries(d, since))
            if TAKEN in seen or any(status in FORBIDDEN for status in seen):
                break
        return judged(seen)


def ring(d: Deployment) -> Answer | None:
    ticket = json.dumps({"v": 1, "lane": LANE.value}).encode()
    body = {"messages": [{"data": base64.b64encode(ticket).decode()}]}
    return d.google.post("pubsub", f"v1/{d.topic(LANE_TOPIC[LANE].value)}:publish", body)


def entries(d: Deployment, since: datetime) -> list[Answer]:
    """The service's own record of requests. Source: Cloud Logging REST, entries.list."""
    names = " OR ".join(f'"{str(s["name"]).rpartition("/")[2]}"' for s in d.run_by("service"))
    wanted = [
        'resource.type="cloud_run_revision"',
        f"resource.labels.service_name=({names})",
        f'httpRequest.requestUrl:"{TICKETS}"',
        f'timestamp>="{since.isoformat()}"',
    ]
    body = {"resourceNames": [d.project], "filter": " AND ".join(wanted), "pageSize": 100}
    found: list[Answer] = (d.google.post("logging", "v2/entries:list", body) or {}).get(
        "entries", []
    )
    return found


def statuses(found: Iterable[Answer]) -> list[int]:
    return [int(e["httpRequest"]["status"]) for e in found if "status" in e.get("httpRequest", {})]


def judged(seen: list[int]) -> Finding:
    if TAKEN in seen:
        return fine("push", "Google's push was signed, let through and taken (204)")
    if any(status in FORBIDDEN for status in seen):
        return problem(
            "push",
            "pushes are refused: compare EARWITNESS_PUSH_EMAIL, _SUBJECT and _AUDIENCE of the"
            " service with what the lane's subscription signs",
        )
    if not seen:
        waited = f"{LOOK_EVERY_S * LOOKS:.0f} s"
        return problem("push", f"no push reached the service in {waited}; its log says why")
    return problem("push", f"the service answers {', '.join(map(str, sorted(set(seen))))}")
