"""The client for programs with an event loop: the same calls, awaited."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
import httpx
from anyio import to_thread
from httpx_sse import EventSource, SSEError

from earwitness.client import calls, exporting
from earwitness.client.blocking import TIMEOUT
from earwitness.client.breaker import Breaker
from earwitness.client.calls import Door
from earwitness.client.errors import ConnectionLost, NotUnderstood, broken, failure
from earwitness.client.exporting import Writable
from earwitness.client.here import here
from earwitness.client.listening import STREAM_TIMEOUT, Changed, Reopening, heard
from earwitness.client.patience import Patience
from earwitness.client.sources import Body, Progress, Source, Uploadable
from earwitness.client.steps import Flow, Pause, Send, Take
from earwitness.client.uploading import Uploaded, upload
from earwitness.client.wanted import wanted
from shared.domain.api import (
    AuditPage,
    Cause,
    CorrectedStretch,
    Corrections,
    DeadLetter,
    Discarding,
    Erasure,
    Export,
    HistoryLine,
    Hit,
    Keeping,
    Key,
    Listed,
    MadeCorrection,
    MadeKey,
    MadeWebhook,
    NewCorrection,
    NewKey,
    NewSecret,
    NewWebhook,
    RotatedKey,
    Rotation,
    Usage,
    WantedExport,
    WantedExtension,
    WantedHold,
    Webhook,
    WebhookDelivery,
)
from shared.domain.api_keys import Role, Scope
from shared.domain.deliberations import Deliberations
from shared.domain.result import Result
from shared.domain.states import State
from shared.domain.webhooks import Delivered
from shared.errors import EarwitnessError

T = TypeVar("T")


class AsyncEarwitness:
    """One gateway. An asynchronous context manager; may be shared between tasks of one loop.

    The calls are those of `Earwitness`, which says of each what it does and raises.
    """

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        *,
        token: str | None = None,
        patience: Patience | None = None,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[object]] = anyio.sleep,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """`key` is an API key, sent as a bearer token; `token` is what a gateway on 127.0.0.1
        wants instead, from `HOME/keys/page.token`. `http` brings other timeouts, proxies or
        certificates; it is closed with this client.
        """
        self._door = Door(
            base_url.rstrip("/"),
            key,
            token,
            clock,
            patience=patience or Patience(),
            breaker=breaker or Breaker(clock),
        )
        self._pause = pause
        self._http = http or httpx.AsyncClient(timeout=TIMEOUT)

    @classmethod
    def local(cls, home: Path | None = None, **options: Any) -> Self:
        """The one that `earwitness up` runs on this machine.

        Raises:
            NotRunning: there is none.
        """
        found = here(home)
        http = httpx.AsyncClient(timeout=TIMEOUT, trust_env=False)  # no proxy leads to this machine
        return cls(found.url, token=found.token, http=http, **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def upload(
        self,
        what: Uploadable,
        *,
        name: str | None = None,
        tenant: str | None = None,
        lane: str | None = None,
        language: str | None = None,
        engine: str | None = None,
        questions: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
        content_type: str | None = None,
        on_progress: Progress = lambda sent, size: None,
    ) -> Uploaded:
        """Hand over a file, whole and once: what breaks off goes on where it stopped."""
        wishes = {"lane": lane, "language": language, "engine": engine}
        source = await to_thread.run_sync(Source, what, name, content_type)
        with source:
            asked = wanted(source, tenant, wishes, metadata or {}, questions)
            return await self._run(upload(self._door, source, asked, on_progress))

    async def wait(self, recording: Uploaded | str, timeout_s: float = 3_600.0) -> Result:
        """The result once the recording is settled: done, dead, rejected, erased or deferred.

        `result.status` says which; `result.error` says why there is nothing to read.

        Raises:
            WaitedTooLong: it is not settled yet; the work goes on.
            NotFound: nothing with this id has arrived in two minutes.
        """
        known = recording if isinstance(recording, str) else recording.id
        return await self._run(calls.wait(self._door, known, timeout_s))

    async def recordings(
        self, *, tenant: str | None = None, states: Sequence[State] = (), page_size: int = 50
    ) -> AsyncIterator[Listed]:
        """All recordings, newest first, asked for a page at a time."""
        before: str | None = None
        while True:
            page = await self._run(calls.recordings(self._door, tenant, states, before, page_size))
            for listed in page.recordings:
                yield listed
            before = page.next
            if before is None:
                return

    async def recording(self, recording_id: str) -> Result:
        """What is known: the result document, in the same shape while there is none yet."""
        return await self._run(calls.recording(self._door, recording_id))

    async def history(self, recording_id: str) -> list[HistoryLine]:
        """Every change of state, oldest first."""
        return await self._run(calls.history(self._door, recording_id))

    async def transcript(
        self, recording_id: str, form: str = "txt", *, corrected: bool = False
    ) -> str:
        """What was said, as txt, srt, vtt or json; with people's corrections if asked for.

        Raises:
            NotFound: the recording has none.
        """
        return await self._run(calls.transcript(self._door, recording_id, form, corrected))

    async def deliberations(self, recording_id: str) -> Deliberations:
        """What each engine said of each segment, what it was worth, and what followed from that.

        Raises:
            NotFound: nothing was decided of it.
        """
        return await self._run(calls.deliberations(self._door, recording_id))

    async def corrections(self, recording_id: str) -> Corrections:
        """What people corrected, each with who, when and what the machine says there."""
        return await self._run(calls.corrections(self._door, recording_id))

    async def correct(
        self,
        recording_id: str,
        *,
        base: int,
        segments: Sequence[CorrectedStretch] | None = None,
        text: str | None = None,
    ) -> MadeCorrection:
        """Say what was said, in some stretches or in the whole, on top of version `base`.

        `base` is `corrections(...).version`; 0 is the machine's.

        Raises:
            CorrectionOutdated: somebody corrected it meanwhile, maybe an earlier call of yours.
            UnplacedCorrection: a stretch lies across those that stand there.
            WrongState: there is no transcript.
        """
        told = NewCorrection(
            base=base, segments=None if segments is None else list(segments), text=text
        )
        return await self._run(calls.correct(self._door, recording_id, told))

    async def search(self, text: str, *, tenant: str | None = None, limit: int = 20) -> list[Hit]:
        """Passages that hold every word; words in double quotes are a phrase. Best first."""
        return await self._run(calls.search(self._door, text, tenant, limit))

    async def dead_letters(self, *, tenant: str | None = None, limit: int = 100) -> list[Listed]:
        """Recordings out of attempts that nobody discarded, newest first."""
        return await self._run(calls.dead_letters(self._door, tenant, limit))

    async def dead_letter(self, recording_id: str) -> DeadLetter:
        """One of them with each attempt on it; also one that was replayed or discarded."""
        return await self._run(calls.dead_letter(self._door, recording_id))

    async def causes_of_death(self, *, days: int = 30) -> list[Cause]:
        """What recordings died of, by UTC day, the newest first."""
        return await self._run(calls.causes_of_death(self._door, days))

    async def replay(self, recording_id: str) -> Listed:
        """Give a dead recording its attempts back, in the low lane.

        Raises:
            WrongState: it is not dead; also if an earlier call did it and its answer was lost.
        """
        return await self._run(calls.decide(self._door, recording_id, "replay"))

    async def discard(self, recording_id: str, why: str) -> Listed:
        """Take a dead recording off the list for good; recording and upload stay.

        Raises:
            WrongState: as in `replay`.
        """
        return await self._run(
            calls.decide(self._door, recording_id, "discard", Discarding(why=why))
        )

    async def audit(
        self, *, tenant: str | None = None, before: str | None = None, page_size: int = 50
    ) -> AuditPage:
        """Who did what, the newest first, with the last seal; `before` is a page's `next`."""
        return await self._run(calls.audit(self._door, tenant, before, page_size))

    async def usage(self, *, tenant: str | None = None) -> Usage:
        """What the tenant used of its UTC day, of how much, and when the next one begins."""
        return await self._run(calls.usage(self._door, tenant))

    async def keys(self, *, tenant: str | None = None) -> list[Key]:
        """API keys, the newest first, revoked ones too."""
        return await self._run(calls.keys(self._door, tenant))

    async def make_key(
        self,
        *,
        tenant: str | None = None,
        role: Role | None = None,
        scopes: Sequence[Scope] = (),
        name: str = "",
        expires_in_days: int | None = None,
    ) -> MadeKey:
        """Make an API key; its `key` is told this once. Each call makes another.

        Without role and scopes it may look, upload and transcribe.
        """
        wanted = NewKey(
            tenant=tenant,
            role=role,
            scopes=list(scopes),
            name=name,
            expires_in_days=expires_in_days,
        )
        return await self._run(calls.make_key(self._door, wanted))

    async def rotate_key(
        self, key_id: str, *, overlap_hours: float = 24.0, expires_in_days: int | None = None
    ) -> RotatedKey:
        """Make a key of the same rights; the old one opens for the overlap, and then ends.

        Raises:
            NotFound: no key has this id.
            WrongState: it was rotated already, was revoked, or its time is over.
        """
        wanted = Rotation(overlap_hours=overlap_hours, expires_in_days=expires_in_days)
        return await self._run(calls.rotate_key(self._door, key_id, wanted))

    async def revoke_key(self, key_id: str) -> Key:
        """End an API key for good. Revoking twice is once.

        Raises:
            NotFound: no key has this id.
        """
        return await self._run(calls.revoke_key(self._door, key_id))

    async def keeping(self, recording_id: str) -> Keeping:
        """How long it is kept, why, and how far it may be extended.

        Raises:
            NotFound: there is no such recording.
        """
        return await self._run(calls.keeping(self._door, recording_id))

    async def extend(self, recording_id: str, until: datetime) -> Keeping:
        """Keep it at least until then (with a time zone), where its tenant's tier allows that.

        An extension is never shortened, and asking twice is asking once.

        Raises:
            ExtensionRefused: the tier does not keep it so long. NotFound: no such recording.
        """
        return await self._run(calls.extend(self._door, recording_id, WantedExtension(until=until)))

    async def hold(self, recording_id: str, reason: str) -> Keeping:
        """Let nothing of it be erased until it is released; a hold that stands stays.

        Raises:
            NotFound: there is no such recording.
        """
        return await self._run(calls.hold(self._door, recording_id, WantedHold(reason=reason)))

    async def release(self, recording_id: str) -> Keeping:
        """End its hold. What is due goes within minutes.

        Raises:
            NotFound: there is no such recording.
        """
        return await self._run(calls.release(self._door, recording_id))

    async def erase(self, recording_id: str) -> Erasure:
        """Erase a recording for good, with every other generation of its object.

        Nobody finds it from then on. Under hold it waits for the release. Asking twice is once.

        Raises:
            NotFound: there is no such recording.
        """
        return await self._run(calls.erase(self._door, recording_id))

    async def erasure(self, erasure_id: str) -> Erasure:
        """How far an erasure has come; once it is done, with its signed receipt.

        Raises:
            NotFound: there is no such erasure.
        """
        return await self._run(calls.erasure(self._door, erasure_id))

    async def make_export(self, *, tenant: str | None = None, originals: bool = False) -> Export:
        """Everything of a tenant as of now, planned; it can be fetched for a day.

        With `originals` the uploaded sound is in it, too. A large one takes minutes.

        Raises:
            UnknownTenant: there is none of this name.
        """
        wanted = WantedExport(tenant=tenant, originals=originals)
        return await self._run(exporting.make(self._door, wanted))

    async def export(self, export_id: str) -> Export:
        """How large an export is, and until when it can be fetched.

        Raises:
            ExportOver: it is over. NotFound: there is none of this id.
        """
        return await self._run(exporting.known(self._door, export_id))

    async def fetch_export(
        self, export: Export, to: Writable, *, on_progress: Progress = lambda got, size: None
    ) -> None:
        """Write the archive to a path, or to a file opened for writing bytes.

        What a path holds already is taken for the beginning of this very export, so one that broke
        off goes on where it stopped. `on_progress` is called with (bytes there, bytes in all).

        Raises:
            ExportOver: something in it was erased, or its day has passed: make another one.
            OSError: it cannot be written.
        """
        with exporting.opened(to) as target:
            await self._run(exporting.fetch(self._door, export, target, on_progress))

    async def end_export(self, export_id: str) -> None:
        """End an export before its day has passed: what was planned of it is forgotten.

        Raises:
            ExportOver: it is over already.
        """
        await self._run(exporting.end(self._door, export_id))

    async def webhooks(self, *, tenant: str | None = None) -> list[Webhook]:
        """Whom what happens is told, the newest first, disabled ones too."""
        return await self._run(calls.webhooks(self._door, tenant))

    async def make_webhook(
        self, url: str, *, types: Sequence[str] = (), tenant: str | None = None
    ) -> MadeWebhook:
        """Tell an endpoint what happens from now on; its `secret` is told this once.

        `types` such as recording.done; none: everything. Each call makes another.
        """
        told = NewWebhook(url=url, types=list(types), tenant=tenant)
        return await self._run(calls.make_webhook(self._door, told))

    async def rotate_webhook(self, webhook_id: str, *, overlap_hours: float = 24.0) -> MadeWebhook:
        """Give a webhook a new secret, told this once; the old one signs beside it for a while.

        Raises:
            NotFound: no webhook has this id.
        """
        told = NewSecret(overlap_hours=overlap_hours)
        return await self._run(calls.rotate_webhook(self._door, webhook_id, told))

    async def remove_webhook(self, webhook_id: str) -> Webhook:
        """Tell it nothing more, and forget its deliveries.

        Raises:
            NotFound: no webhook has this id; also if an earlier call removed it.
        """
        return await self._run(calls.remove_webhook(self._door, webhook_id))

    async def deliveries(
        self, webhook_id: str, *, state: Delivered | None = None, page_size: int = 50
    ) -> AsyncIterator[WebhookDelivery]:
        """What it was told and what is on its way, newest first, asked for a page at a time."""
        before: str | None = None
        while True:
            asked = calls.deliveries(self._door, webhook_id, state, before, page_size)
            page = await self._run(asked)
            for one in page.deliveries:
                yield one
            before = page.next
            if before is None:
                return

    async def replay_delivery(self, webhook_id: str, event_id: str) -> WebhookDelivery:
        """Send it again with the same id and body, whatever became of it.

        Raises:
            NotFound: this webhook was given no such event, or it lapsed.
            WrongState: the webhook is disabled.
        """
        return await self._run(calls.replay_delivery(self._door, webhook_id, event_id))

    async def events(self) -> AsyncIterator[Changed]:
        """One at once, then one whenever anything may look different, without end.

        A stream that breaks off is opened again, and then says so once, because something may
        have changed meanwhile.

        Raises:
            EarwitnessError: it could not be opened again for as long as patience lasts.
        """
        again = Reopening(self._door)
        while True:
            try:
                async for event in self._stream():
                    again.heard()
                    yield event
                lost: EarwitnessError = ConnectionLost()  # the gateway stopped
            except EarwitnessError as error:
                lost = error
            await self._pause(again.after(lost))

    async def _stream(self) -> AsyncIterator[Changed]:
        """One stream to its end."""
        url, headers = f"{self._door.url}/v1/events", self._door.headers()
        try:
            async with self._http.stream(
                "GET", url, headers=headers, timeout=STREAM_TIMEOUT
            ) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise failure(answer)
                async for event in EventSource(answer).aiter_sse():
                    yield heard(event)
        except SSEError as error:
            raise NotUnderstood from error
        except httpx.TransportError as error:
            raise broken(error) from error

    async def _run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    answer = await self._take(step)
                except EarwitnessError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _take(self, step: Send | Pause) -> httpx.Response | None:
        if isinstance(step, Pause):
            await self._pause(step.seconds)
            return None
        try:
            if step.take is None:
                return await self._http.send(self._request(step))
            return await self._taken(step, step.take)
        except httpx.TransportError as error:
            raise broken(error) from error

    async def _taken(self, step: Send, take: Take) -> httpx.Response:
        async with self._http.stream(step.method, step.url, headers=step.headers) as answer:
            if not answer.is_success:
                await answer.aread()
                return answer
            write = take(answer)
            async for block in answer.aiter_raw(exporting.BLOCK):
                await to_thread.run_sync(write, block)
        return answer

    def _request(self, step: Send) -> httpx.Request:
        content = step.content.in_thread() if isinstance(step.content, Body) else step.content
        return self._http.build_request(
            step.method, step.url, params=step.params or None, headers=step.headers, content=content
        )
