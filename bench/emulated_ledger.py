"""Every effect on the emulators that somebody else can see: announcements, rows, passages."""

import json
from collections import Counter

from google.api_core.exceptions import DeadlineExceeded
from google.pubsub_v1 import Subscription

from local.emulated.project import DATASET, PROJECT
from shared.adapters.gcp.bigquery_measurements import VIEW
from shared.adapters.gcp.firestore_rows import PASSAGES, RECORDINGS
from shared.domain.recording import Topic
from tests.journeys.emulated import Emulated
from tests.journeys.running import until

SUBSCRIPTION = f"projects/{PROJECT}/subscriptions/ledger"
#: Seconds of silence after which all announcements have come.
SILENCE_S = 5.0


class Ledger:
    """Made before the first recording that counts: a subscription hears what comes after it."""

    def __init__(self, up: Emulated) -> None:
        self._up = up
        self._before = {known.id for known in up.recordings().values()}
        topic = f"projects/{PROJECT}/topics/{Topic.EVENTS.value}"
        up.subscriber.create_subscription(
            Subscription(name=SUBSCRIPTION, topic=topic, ack_deadline_seconds=60)
        )

    def read(self, recordings: int) -> tuple[Counter[str], Counter[str], Counter[str]]:
        """By recording: how often it was announced as done (each event id once, as every
        consumer does), measured (in the view that drops doubles), and found by search."""
        until(lambda: len(self._measured()) >= recordings, pause_s=1.0)
        return self._announced(), self._measured(), self._found()

    def _announced(self) -> Counter[str]:
        bodies: dict[str, dict[str, str]] = {}
        while received := self._pull():
            for one in received:
                body = json.loads(one.message.data)
                bodies[body["event_id"]] = body
        done = [body for body in bodies.values() if body["type"] == "recording.done"]
        return Counter(body["recording_id"] for body in done)

    def _pull(self):
        try:
            answer = self._up.subscriber.pull(
                subscription=SUBSCRIPTION, max_messages=1_000, retry=None, timeout=SILENCE_S
            )
        except DeadlineExceeded:
            return []
        handles = [one.ack_id for one in answer.received_messages]
        if handles:
            self._up.subscriber.acknowledge(subscription=SUBSCRIPTION, ack_ids=handles)
        return answer.received_messages

    def _measured(self) -> Counter[str]:
        query = f"SELECT recording_id, COUNT(*) FROM `{PROJECT}.{DATASET}.{VIEW}` GROUP BY 1"
        rows = dict(tuple(row) for row in self._up.tables.query(query).result())
        return Counter({id: n for id, n in rows.items() if id not in self._before})

    def _found(self) -> Counter[str]:
        """What search may show: passages under the token their recording names. Those of a lost
        lease lie there too and nobody sees them; a search itself looks at the newest 500 only."""
        known = self._up.documents.collection(RECORDINGS).select(["token"]).stream()
        token = {one.id: one.get("token") for one in known}
        passages = self._up.documents.collection(PASSAGES).select(["recording_id", "token"])
        seen = [(one.get("recording_id"), one.get("token")) for one in passages.stream()]
        visible = [id for id, of in seen if token[id] == of and id not in self._before]
        return Counter(visible)
