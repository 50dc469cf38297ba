"""How long this machine has been up: the clock that nobody sets."""

import time
from contextlib import suppress
from pathlib import Path

from shared.domain.timekeeping import Uptime

#: Names this start of the machine. Source: Linux, "Documentation/admin-guide/sysctl/kernel.rst".
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: One that goes on while the machine sleeps: Linux's own, or macOS's CLOCK_MONOTONIC
#: (clock_gettime(3) there: "will continue to increment while the system is asleep").
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def uptime() -> Uptime:
    """Elsewhere than on Linux a start has no name; it is known by a smaller number of seconds."""
    boot = ""
    with suppress(OSError):
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    return Uptime(boot, time.clock_gettime(_CLOCK))
