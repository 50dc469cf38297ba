"""What Ctrl-C rings: from a signal handler, wherever the main thread is."""

import subprocess
import sys
import threading

from local.bell import Bell

#: The main thread goes in and out of `wait` while signals come from outside at any moment.
#: With `threading.Event` in place of Bell this ends in a deadlock within a second or two.
HAMMERED = """
import os, signal, subprocess, sys
from local.bell import Bell

bell = Bell()
signal.signal(signal.SIGUSR1, lambda *_: bell.set())
ring = f"import os\\nfor _ in range(20_000): os.kill({os.getpid()}, {int(signal.SIGUSR1)})"
ringer = subprocess.Popen([sys.executable, "-c", ring])
while ringer.poll() is None:
    bell.wait(0.00001)
    bell = Bell()
"""


def test_a_signal_may_ring_it_at_any_moment():
    subprocess.run([sys.executable, "-c", HAMMERED], check=True, timeout=60)


def test_it_has_rung_for_ever():
    bell = Bell()
    assert not bell.is_set() and not bell.wait(0)

    bell.set()

    assert bell.is_set() and bell.wait(0) and bell.wait(0)


def test_whoever_waits_is_woken_by_another_thread():
    bell = Bell()
    ringer = threading.Thread(target=bell.set)
    ringer.start()

    assert bell.wait(60)
    ringer.join()
