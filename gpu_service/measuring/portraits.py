"""What is read off the house when somebody asks: engines, breakers, queues, places, streams."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from gpu_service.hosting.host import State, Status
from gpu_service.house import House
from gpu_service.serving.server import Server
from gpu_service.stream import Streams
from shared.domain.breaker import Position
from shared.domain.lanes import Lane
from shared.flows.work import Settled

MIB = 1 << 20


class Portrait:
    """A collector: reads a few attributes of each part, takes no lock for longer than that."""

    def __init__(self, house: House, streams: Streams) -> None:
        self._house, self._streams = house, streams

    def collect(self) -> Iterator[Metric]:
        yield from self._engines()
        yield from self._queues()
        yield from self._batches()
        yield from self._places()
        yield from self._lines()

    def _engines(self) -> Iterator[Metric]:
        status = {name: self._house.fleet.status(name) for name in self._house.hosts}
        positions = {name: server.position for name, server in self._house.servers.items()}
        yield _states("engine_state", "1 for the state it is in.", State, _state_of(status))
        yield _states("breaker_position", "1 for where its breaker is.", Position, positions)
        memory = {name: s.memory_mb * MIB for name, s in status.items()}
        yield _gauge("engine_memory_bytes", "Memory held on its device.", memory)
        moved = {name: float(s.fallback is not None) for name, s in status.items()}
        yield _gauge("engine_on_fallback_device", "1 where its own device cannot be had.", moved)

    def _queues(self) -> Iterator[Metric]:
        servers = self._house.servers
        clips = {name: float(server.waiting) for name, server in servers.items()}
        yield _gauge("queue_clips", "Clips that wait for the engine.", clips)
        waiting = GaugeMetricFamily(
            "earwitness_queue_sound_seconds",
            "Sound that waits for the engine.",
            labels=["engine", "lane"],
        )
        for name, server in servers.items():
            for lane in Lane:
                waiting.add_metric([name, lane.value], server.waiting_s(lane))
        yield waiting

    def _batches(self) -> Iterator[Metric]:
        def counted(name: str, said: str, of: Callable[[Server], float]) -> Metric:
            return _counter(name, said, {n: of(s) for n, s in self._house.servers.items()})

        yield counted("batches", "Calls of the engine.", lambda s: s.figures.batches)
        yield counted("batch_clips", "Clips in all batches.", lambda s: s.figures.clips)
        yield counted("batch_sound_seconds", "Sound in them.", lambda s: s.figures.sound_s)
        yield counted("batch_paid_seconds", "The same with padding.", lambda s: s.figures.paid_s)
        yield counted("batch_lost", "Calls that answered nothing.", lambda s: s.figures.lost)
        yield counted("batch_retried", "Clips asked again.", lambda s: s.figures.retried)
        last = {n: float(s.figures.last_clips) for n, s in self._house.servers.items()}
        yield _gauge("batch_last_clips", "Clips in the last batch.", last)

    def _places(self) -> Iterator[Metric]:
        slots = self._house.slots
        yield _alone("slots", "Places for jobs.", slots.places)
        yield _alone("slots_taken", "Places that are taken.", slots.taken)
        yield _alone("ready", "1 while tickets are welcome.", not self._house.stopping)
        # Known outcomes are told from the start, or the first of each would be no increase.
        pushes = dict.fromkeys(map(str, Settled), 0) | self._house.pushes
        yield _counter("pushes", "Tickets, by what became of them.", pushes, label="outcome")

    def _lines(self) -> Iterator[Metric]:
        streams = self._streams
        yield _alone("stream_places", "Places for live streams.", streams.places)
        yield _alone("streams", "Live streams now.", streams.taken)
        yield _alone("streams_parked", "Those whose client may come back.", len(streams.parked))
        yield _counter(
            "streams_ended", "Streams, by what became of them.", streams.ended, label="outcome"
        )
        yield _counter("stream_bytes", "Bytes of all streams.", streams.bytes, label="direction")


def _state_of(status: Mapping[str, Status]) -> dict[str, State]:
    return {name: s.state for name, s in status.items()}


def _states(
    name: str, said: str, states: Iterable[StrEnum], now: Mapping[str, StrEnum]
) -> GaugeMetricFamily:
    """One series a state, as Prometheus has no words for values."""
    label = name.rpartition("_")[2]
    family = GaugeMetricFamily(f"earwitness_{name}", said, labels=["engine", label])
    for engine, current in now.items():
        for state in states:
            family.add_metric([engine, state.value], float(state is current))
    return family


def _gauge(name: str, said: str, of: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"earwitness_{name}", said, labels=["engine"])
    for engine, value in of.items():
        family.add_metric([engine], value)
    return family


def _counter(
    name: str, said: str, of: Mapping[str, float], label: str = "engine"
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"earwitness_{name}", said, labels=[label])
    for key, value in dict(of).items():
        family.add_metric([key], value)
    return family


def _alone(name: str, said: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"earwitness_{name}", said, value=float(value))
