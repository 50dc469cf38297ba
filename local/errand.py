"""Bring files in, wait for what is heard: what `hear` and `add` do.

files -> uploads -> (whoever serves this HOME) -> terminal recordings
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Protocol

from local.claim import claim, is_claimed, running, write_note
from local.drops import Drop, content_type, look, object_path
from local.stack import Stack
from shared.domain.names import ROOT, recording_id
from shared.domain.recording import Recording, UploadedObject
from shared.domain.states import TERMINAL, State
from shared.domain.tenants import kept_until
from shared.domain.wishes import wishes
from shared.errors import AlreadyRunning, AudioTooLarge, EarwitnessError, UnknownTenant
from shared.settings import Backend, Settings
from shared.wiring import Parts

if TYPE_CHECKING:
    from earwitness.client import Earwitness

#: Seconds a gateway on this machine may be away; one that is started again is back sooner.
GATEWAY_PATIENCE_S = 10.0
#: The name of what came through standard input.
STDIN = "stdin"
#: Seconds between two looks at the recordings that are waited for.
LOOK_EVERY_S = 0.05
#: Seconds between two looks whether anybody still serves this HOME.
GUARD_EVERY_S = 1.0
#: States in which nothing more will happen soon.
SETTLED = TERMINAL | {State.DEFERRED}


@dataclass(frozen=True, slots=True)
class Sound:
    """One file to hear; `path` becomes its name inside the tenant's folder."""

    path: str
    file: Path | None  #: None: standard input

    def opened(self) -> AbstractContextManager[BinaryIO]:
        return nullcontext(sys.stdin.buffer) if self.file is None else self.file.open("rb")


def sounds(asked: Iterable[str]) -> Iterator[Sound]:
    """What the arguments name, in their order: a file, `-`, or every file below a folder."""
    for name in asked:
        if name == "-":
            yield Sound(STDIN, None)
        elif (folder := Path(name)).is_dir():
            inside = f"{folder.resolve().name}/"
            for found in look(folder, inside):
                if isinstance(found, Drop):
                    yield Sound(object_path(found.inside), found.path)
        else:
            yield Sound(object_path(folder.name), folder)


def bring_in(
    parts: Parts, sound: Sound, tenant: str, metadata: Mapping[str, str]
) -> UploadedObject:
    """Copy one file in; its event waits in the store until somebody serves this HOME.

    Raises:
        UnknownTenant, InvalidWish, DiskFull: nothing was kept.
    """
    _check(parts, tenant, metadata)
    with sound.opened() as content:
        return parts.inlet.put(
            f"{ROOT}/{tenant}/{sound.path}",
            content,
            content_type=content_type(sound.path),
            metadata=metadata,
            at=parts.now(),
        )


def _check(parts: Parts, tenant: str, metadata: Mapping[str, str]) -> None:
    if parts.tenants.get(tenant) is None:
        raise UnknownTenant(
            f"There is no tenant {tenant}. Create it with `earwitness tenants set {tenant}"
            " --tier free`."
        )
    wishes(metadata)


class Delivery:
    """Brings files in: through the gateway of the `earwitness up` that runs here, as any program
    does, else straight into the store. A context manager."""

    def __init__(self, parts: Parts, patience_s: float = GATEWAY_PATIENCE_S) -> None:
        self._parts, self._patience_s = parts, patience_s
        self._open = contextlib.ExitStack()
        up = running(parts.settings.home)
        self._gateway = self._client() if up is not None and up.url else None

    def __enter__(self) -> "Delivery":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def __call__(self, sound: Sound, tenant: str, metadata: Mapping[str, str]) -> UploadedObject:
        """The upload, whole and once.

        Raises:
            UnknownTenant, InvalidWish, DiskFull: nothing was kept.
            EarwitnessError: the gateway stopped answering in the middle.
        """
        if self._gateway is None:
            return bring_in(self._parts, sound, tenant, metadata)
        try:
            return self._through(self._gateway, sound, tenant, metadata)
        except EarwitnessError as error:
            if not _store_may_take(sound, error):
                raise
            return bring_in(self._parts, sound, tenant, metadata)

    def _client(self) -> "Earwitness | None":
        from earwitness.client import Earwitness, NotRunning, Patience  # 0.3 s

        try:
            made = Earwitness.local(
                self._parts.settings.home, patience=Patience(total_s=self._patience_s)
            )
        except NotRunning:  # it has just stopped
            return None
        return self._open.enter_context(made)

    def _through(
        self, gateway: "Earwitness", sound: Sound, tenant: str, metadata: Mapping[str, str]
    ) -> UploadedObject:
        _check(self._parts, tenant, metadata)
        kind = content_type(sound.path)
        with sound.opened() as content:
            done = gateway.upload(
                content, name=sound.path, tenant=tenant, metadata=metadata, content_type=kind
            )
        # Its generation is the bucket's own: nobody else writes under a name of the gateway's.
        [upload] = self._parts.uploads.page((f"{ROOT}/{tenant}/{done.object_name}", 0), 1)
        assert id_of(upload) == done.id
        return upload


def _store_may_take(sound: Sound, error: EarwitnessError) -> bool:
    """Whether what the gateway did not take can go into the store beside it."""
    if sound.file is None:
        return False  # it was read already, and cannot be read again
    # The door turns it away without a trace; the person gets a recording that says why.
    too_large = isinstance(error, AudioTooLarge)
    # It stopped before anything was handed over; the store is here all the same.
    never_begun = error.retryable and "recording_id" not in error.context
    return too_large or never_begun


def expected(parts: Parts, upload: UploadedObject) -> Recording:
    """The recording an upload will become, as it is before intake has seen it."""
    _, owner, path = upload.name.split("/", 2)
    tenant = parts.tenants.get(owner)
    assert tenant is not None
    return Recording(
        id=id_of(upload),
        tenant=owner,
        bucket=upload.bucket,
        name=upload.name,
        path=dict(upload.metadata).get("name", path),
        generation=upload.generation,
        size_bytes=upload.size_bytes,
        content_type=upload.content_type,
        state=State.RECEIVED,
        tier=tenant.tier,
        lane=None,
        rule=None,
        wishes=wishes(dict(upload.metadata)),
        received_at=upload.created_at,
        updated_at=upload.created_at,
        kept_until=kept_until(upload.created_at, tenant.rules),
    )


def id_of(upload: UploadedObject) -> str:
    return recording_id(upload.bucket, upload.name, upload.generation)


class Guard:
    """Sees to it that somebody serves this HOME: whoever does already, or a stack of our own.

    A context manager; a stack that it started is stopped at the end.
    """

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._settings, self._say = settings, say
        self._own = contextlib.ExitStack()
        self._serves = False

    def __enter__(self) -> "Guard":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._own.close()

    def look(self) -> None:
        """Start a stack if nobody serves this HOME now, and it is not served in the cloud.

        Raises:
            PartNotStarted: none could be started.
        """
        in_the_cloud = self._settings.backend is Backend.GCP
        if self._serves or in_the_cloud or is_claimed(self._settings.home):
            return
        with contextlib.suppress(AlreadyRunning):  # somebody was faster
            self._own.enter_context(self._stack())
            self._serves = True

    @contextlib.contextmanager
    def _stack(self) -> Iterator[None]:
        with claim(self._settings.home):
            stack = Stack(self._settings, say=self._say)
            stack.start()
            try:
                write_note(self._settings.home, stack.up(os.getpid()))
                yield
            finally:
                stack.stop()


class Watcher(Protocol):
    def update(self, recordings: Sequence[Recording | None]) -> None:
        """Called after every look, with what is known, in the order given."""
        ...


@dataclass(slots=True)
class Wait:
    """Waits until each recording is settled: done, dead, rejected or put off."""

    parts: Parts
    guard: Callable[[], None]
    watcher: Watcher
    pause: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    _known: dict[str, Recording | None] = field(default_factory=dict)

    def __call__(self, ids: Sequence[str]) -> list[Recording]:
        """The settled recordings, in the order given."""
        guard_at_s = self.monotonic()
        while not self._all_settled(ids):
            if self.monotonic() >= guard_at_s:
                self.guard()
                guard_at_s = self.monotonic() + GUARD_EVERY_S
            self.pause(LOOK_EVERY_S)
        return [found for id in ids if (found := self._known[id]) is not None]

    def _all_settled(self, ids: Sequence[str]) -> bool:
        for id in ids:
            known = self._known.get(id)
            if known is None or known.state not in SETTLED:
                self._known[id] = self.parts.recordings.get(id)
        self.watcher.update([self._known[id] for id in ids])
        return all(r is not None and r.state in SETTLED for r in self._known.values())
