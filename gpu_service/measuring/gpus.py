"""How busy and how full the GPUs are, through NVML; nothing where there is none."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from prometheus_client.core import GaugeMetricFamily

log = logging.getLogger("earwitness.gpus")


class Gpus:
    """A collector. NVML is looked for once, at the first scrape; that it is absent is said once."""

    def __init__(self) -> None:
        self._handles: list[Any] | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        if self._handles is None:
            self._handles = _found()
        if not self._handles:
            return
        import pynvml

        busy = _gauge("utilisation_ratio", "Share of the last second in which kernels ran.")
        used = _gauge("memory_used_bytes", "Memory in use, by everybody.")
        size = _gauge("memory_bytes", "Memory there is.")
        power = _gauge("power_watts", "Power drawn now.")
        for n, handle in enumerate(self._handles):
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            used.add_metric([str(n)], memory.used)
            size.add_metric([str(n)], memory.total)
            # Parts of a GPU (MIG) tell neither.
            with suppress(pynvml.NVMLError):
                rates = pynvml.nvmlDeviceGetUtilizationRates(handle)
                busy.add_metric([str(n)], rates.gpu / 100)
            with suppress(pynvml.NVMLError):
                power.add_metric([str(n)], pynvml.nvmlDeviceGetPowerUsage(handle) / 1000)
        yield from (busy, used, size, power)


def _gauge(name: str, said: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"earwitness_gpu_{name}", said, labels=["gpu"])


def _found() -> list[Any]:
    try:
        import pynvml

        pynvml.nvmlInit()
        return [pynvml.nvmlDeviceGetHandleByIndex(n) for n in range(pynvml.nvmlDeviceGetCount())]
    except Exception as error:  # no driver, no library, no permission: each has its own kind
        log.info("no GPU is measured: %s", type(error).__name__)
        return []
