"""The clock that the cloud's scheduler would be."""

import logging
import threading
from collections.abc import Callable

from local.broker import Broker
from shared.errors import EarwitnessError
from shared.logs import say

log = logging.getLogger("earwitness.ticks")

TOPIC = "ticks"
#: Seconds. What went missing is found this soon; in the cloud it is a minute.
EVERY_S = 2.0
#: {} in base64, as the scheduler's messages are.
BODY = "e30="


class Ticks:
    """Publishes one tick at the start and one every `every_s` seconds."""

    def __init__(self, publish: Callable[[], None], every_s: float = EVERY_S) -> None:
        self._publish, self._every_s = publish, every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ticks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._publish()
            except EarwitnessError as error:  # the next tick finds what this one would have
                say(log, error)
            self._stopped.wait(self._every_s)


def into_broker(broker: Broker) -> Callable[[], None]:
    """Publishes a tick, unless the last one still waits."""

    def publish() -> None:
        if not broker.waiting(TOPIC):
            broker.publish(TOPIC, [{"data": BODY}])

    return publish
