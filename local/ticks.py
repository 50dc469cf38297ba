"""The clock that the cloud's scheduler would be."""

import threading

from local.broker import Broker

TOPIC = "ticks"
#: Seconds. What went missing is found this soon; in the cloud it is a minute.
EVERY_S = 2.0


class Ticks:
    """Publishes one tick at the start and one every EVERY_S, unless the last still waits."""

    def __init__(self, broker: Broker, every_s: float = EVERY_S) -> None:
        self._broker, self._every_s = broker, every_s
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
            if not self._broker.waiting(TOPIC):
                self._broker.publish(TOPIC, [{"data": "e30="}])  # {}
            self._stopped.wait(self._every_s)
