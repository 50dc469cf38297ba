"""One caller's sound, heard in a thread while the caller waits; a gone caller ends it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import copy_context
from typing import BinaryIO

from fastapi import Request

from gpu_service.admission import expected_s
from gpu_service.house import House
from shared.domain.cascade import Decided
from shared.domain.lanes import Lane
from shared.domain.sound import Survey
from shared.domain.tenants import Tenant
from shared.errors import EarwitnessError, Layer, ServiceStopping, Severity

Step = Survey | tuple[Decided, ...]
Hear = Callable[[BinaryIO, Callable[[], None]], Iterator[Step]]


class CallerGone(EarwitnessError, layer=Layer.CONTEXT, severity=Severity.INFO, retryable=False):
    """Whoever asked has hung up; nobody waits for the answer."""


class Call:
    """Takes a place, hears, and tells what was decided; owns the sound and closes it.

    The sound counts against its tenant's day once its length is known, before any engine hears
    it; one that then fails has counted, as an upload has. Asking again counts again.
    """

    def __init__(self, house: House, tenant: Tenant, sound: BinaryIO, hear: Hear) -> None:
        self._house, self._tenant, self._sound, self._hear = house, tenant, sound, hear
        self._told: asyncio.Queue[Step | BaseException | None] = asyncio.Queue()
        self._gone = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._begun = False
        self._work = asyncio.create_task(self._run())

    async def steps(self) -> AsyncIterator[Step]:
        """The survey, then what was decided, as it comes; leaving it hangs up.

        Raises:
            ServiceFull: too much sound waits, or no place came free in time.
            OverQuota: the tenant has had more heard today than it may.
            Else what `Listen` raises.
        """
        try:
            while (step := await self._told.get()) is not None:
                if isinstance(step, BaseException):
                    raise step
                yield step
        finally:
            self.hang_up()

    def hang_up(self) -> None:
        """Nobody waits any more: the work ends before its next question. May be said twice."""
        self._gone.set()
        if not self._begun:
            self._work.cancel()

    async def _run(self) -> None:
        try:
            seconds = await self._loop.run_in_executor(None, expected_s, self._sound)
            house = self._house
            async with house.admission.take(seconds, Lane.HIGH), house.slots.take(Lane.HIGH):
                self._begun = True
                here = copy_context().run
                await self._loop.run_in_executor(self._house.threads, here, self._in_thread)
        except Exception as error:  # whoever waits is told, and answers or logs it
            self._told.put_nowait(error)
        finally:
            self._sound.close()
            self._told.put_nowait(None)

    def _in_thread(self) -> None:
        for step in self._hear(self._sound, self._alive):
            if isinstance(step, Survey):
                self._house.allowance.charge(self._tenant, step.facts.duration_s or 0.0)
            self._loop.call_soon_threadsafe(self._told.put_nowait, step)

    def _alive(self) -> None:
        if self._gone.is_set():
            raise CallerGone
        if self._house.stopping:
            raise ServiceStopping


async def hung_up(request: Request) -> None:
    """Return when the caller has gone; the body must have been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
