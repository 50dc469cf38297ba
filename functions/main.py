"""Every entry point of the one archive. Each name here is a function in functions.json."""

import gc

# Next to nothing of what a start makes is garbage, and looking for it is a tenth of the start (P8).
gc.disable()

from functions.deliver import deliver
from functions.envelope import settle_refusals
from functions.on_announcement import on_announcement
from functions.on_audio_uploaded import on_audio_uploaded
from functions.on_job_dead import on_job_dead
from functions.reconcile import reconcile
from functions.retire import retire
from functions.seal import seal
from shared import logs, wiring

__all__ = [
    "deliver",
    "on_announcement",
    "on_audio_uploaded",
    "on_job_dead",
    "reconcile",
    "retire",
    "seal",
]

logs.set_up()
settle_refusals()
# Clients are built while the instance starts (the CPU is boosted then), not in the first request.
wiring.from_environment()

# What is here stays: the first request does not look through it, nor copies it after a fork.
gc.freeze()
gc.enable()
