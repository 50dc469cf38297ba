"""The clock that the cloud's scheduler would be."""

import json
import logging
import threading
from collections.abc import Callable, Sequence
from importlib.resources import files

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


def listeners() -> list[str]:
    """The functions that listen to ticks, from the one list."""
    listed = json.loads(files("functions").joinpath("functions.json").read_text(encoding="utf-8"))
    return [name for name, one in listed.items() if one["trigger"].get("topic") == TOPIC]


def topic_of(function: str) -> str:
    """Where the broker keeps the ticks of one function: a slow one holds up no other."""
    return f"{TOPIC}-{function}"


def into_broker(broker: Broker, functions: Sequence[str]) -> Callable[[], None]:
    """Publishes a tick for each function, unless its last one still waits."""

    def publish() -> None:
        for name in functions:
            if not broker.waiting(topic_of(name)):
                # As the cloud does, where each has a clock (terraform/stack/scheduler.tf).
                broker.publish(topic_of(name), [{"data": BODY, "attributes": {"function": name}}])

    return publish
