"""settings -> adapters -> flows: the only place that knows every adapter."""

import os
import random
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from shared import spans
from shared.errors import ImportRefused
from shared.flows.allowance import Allowance
from shared.flows.intake import Intake
from shared.flows.keep import Keep
from shared.flows.load import Load
from shared.flows.publish import PublishOutbox
from shared.flows.reconcile import Reconcile
from shared.flows.retire import Retire
from shared.flows.seal import Sealing
from shared.flows.shelves import Shelves
from shared.flows.subscribe import Subscribe
from shared.flows.verify import Verify, trusting
from shared.flows.welcome import Welcome
from shared.ports import Clock, Compressor, Ears, Identity, Permits
from shared.settings import Backend, Settings, Traces, load, policy
from shared.wiring.inventory import STORE as STORE
from shared.wiring.inventory import Parts as Parts
from shared.wiring.inventory import clock as clock

if TYPE_CHECKING:
    from shared.domain.confidence import Calibrations
    from shared.domain.exports import Asked, Index
    from shared.flows.bring_in import BringIn
    from shared.flows.compress import Compress
    from shared.flows.deliver import Deliver
    from shared.flows.erase import Erase
    from shared.flows.plan_export import PlanExport
    from shared.flows.work import Work
    from shared.flows.zipped import Zipped

#: Seconds until a ready job is rung for again. The local broker forgets its tickets when it is
#: started anew; Pub/Sub keeps them, and redelivers after 10 s or more.
RING_PATIENCE_S = {Backend.EMBEDDED: 5.0, Backend.GCP: 60.0}
#: The folder in HOME that `earwitness calibrate` writes to.
CALIBRATIONS = "calibrations"


def observe(settings: Settings, service: str) -> None:
    """Collect the spans of this process if the settings say so; to be called before `parts`."""
    if settings.traces is Traces.NONE:
        return
    from shared.adapters import opentelemetry_spans as otel

    exporter = otel.otlp() if settings.traces is Traces.OTLP else otel.console()
    spans.install(otel.OpenTelemetrySpans(exporter, service, settings.project))


def parts(settings: Settings) -> Parts:
    """Build every adapter of the backend; embedded creates HOME and migrates its store.

    Raises:
        InvalidSettings: the store is a newer version's, or nobody has said who we are to Google.
        StoreUnavailable, DiskFull: building again may help.
    """
    made = _built(settings)
    return traced(made) if spans.collected() else made


def _built(settings: Settings) -> Parts:
    if settings.backend is Backend.EMBEDDED:
        from shared.wiring.embedded import embedded

        return embedded(settings)
    from shared.wiring.google import google

    return google(settings)


def traced(p: Parts) -> Parts:
    """The same parts, with a span around each call of the store and the broker."""
    from shared.adapters.traced import Traced, TracedPublisher

    system = "sqlite" if p.settings.backend is Backend.EMBEDDED else "gcp.firestore"
    names = (
        "tenants",
        "recordings",
        "jobs",
        "outbox",
        "spending",
        "quotas",
        "corrections",
        "actions",
    )
    stores: dict[str, Any] = {name: Traced(getattr(p, name), name, system) for name in names}
    return replace(p, **stores, publisher=TracedPublisher(p.publisher))


def gateway_identity(settings: Settings) -> Identity:
    """What the gateway proves to the GPU service who it is with.

    Raises:
        InvalidSettings: the signing key cannot be read.
    """
    s = settings
    if s.signing_key is None:
        from shared.adapters.gcp.google_identity import GoogleIdentity

        return GoogleIdentity(s.push_audience)
    from shared.adapters.embedded.home_identity import Claims, identity

    claims = Claims(s.push_issuer, s.push_audience, s.gateway_email, s.gateway_subject)
    return identity(s.signing_key, claims, clock)


def permits(settings: Settings, key: Callable[[], str], now: Clock) -> Permits:
    """Who signs the addresses of uploads: the bucket's own identity, or `key` of this HOME.

    Raises:
        InvalidSettings: nobody has said who we are to Google, or the signing key cannot be read.
    """
    s = settings
    if s.backend is Backend.EMBEDDED:
        from shared.adapters.embedded.home_permits import HomePermits

        return HomePermits(key(), now)
    from google.cloud import storage

    from shared.adapters.gcp.storage_permits import IamSigner, KeySigner, StoragePermits
    from shared.wiring.google import identity_said

    with identity_said():
        files = storage.Client(s.project)
    if s.signing_key is None:
        return StoragePermits(files, s.uploads_bucket, IamSigner())
    signer = KeySigner(s.signing_key, s.gateway_email)
    return StoragePermits(files, s.uploads_bucket, signer, sessions=False)


def publish(p: Parts) -> PublishOutbox:
    return PublishOutbox(p.outbox, p.publisher, p.now)


def intake(p: Parts) -> Intake:
    return Intake(
        tenants=p.tenants,
        recordings=p.recordings,
        uploads=p.uploads,
        publish=publish(p),
        now=p.now,
        max_seconds=p.settings.max_seconds,
        backlog=load_of(p).backlog,
    )


def load_of(p: Parts) -> Load:
    """How much waits and how fast it is heard; one a process, for it remembers what it read."""
    return Load(p.jobs, p.bookmarks, p.now)


def allowance_of(p: Parts) -> Allowance:
    """What this process may hear at once; its holder is nobody else's, whatever it is named."""
    return Allowance(p.quotas, p.now, f"{p.settings.worker or 'process'}-{uuid4().hex[:12]}")


def reconcile(p: Parts) -> Reconcile:
    return Reconcile(
        tenants=p.tenants,
        recordings=p.recordings,
        jobs=p.jobs,
        uploads=p.uploads,
        arrivals=p.arrivals,
        results=p.results,
        bookmarks=p.bookmarks,
        publisher=p.publisher,
        publish=publish(p),
        intake=intake(p),
        now=p.now,
        patience_s=RING_PATIENCE_S[p.settings.backend],
    )


def sealing(p: Parts) -> Sealing:
    return Sealing(p.chains, p.seals, p.signer, p.bookmarks, p.now)


def verify(p: Parts, keys: Iterable[bytes] = ()) -> Verify:
    """Believes the signer's key, and these: PEM of keys that were ours once.

    Raises:
        SignerUnavailable: nobody knows which key is ours.
    """
    from shared.adapters import signatures

    found = [signatures.read_pem(pem) for pem in (p.signer.public_key(), *keys)]
    pems = {signatures.id_of(key): signatures.pem_of(key) for key in found if key}
    return Verify(p.tenants, p.chains, p.actions, p.seals, trusting(pems, signatures.holds))


def erase(p: Parts) -> "Erase":
    """What erases, with a receipt. Imported late like `work`: it reads results."""
    from shared.flows.erase import Erase

    return Erase(
        recordings=p.recordings,
        uploads=p.uploads,
        results=p.results,
        temporary=p.temporary,
        leftovers=p.leftovers,
        erasures=p.erasures,
        retention=p.retention,
        signer=p.signer,
        processors=processors(p.settings),
        outer_bound_days=p.settings.outer_bound_days,
    )


def processors(settings: Settings) -> dict[str, str]:
    """Who runs the engines that are not here, by the engine's name.

    An engine of a kind that only a vendor runs is the vendor's; one with an endpoint is whoever's
    serves there. What is set up no longer is named by the engine alone.
    """
    said = {"openai": "OpenAI"}
    if settings.qwen_endpoint:
        said["qwen"] = settings.qwen_endpoint
    for name, engine in settings.engines.items():
        if engine.get("kind") == "openai":
            said[name] = "OpenAI"
        elif engine.get("endpoint"):
            said[name] = str(engine["endpoint"])
    return said


def keep(p: Parts) -> Keep:
    return Keep(p.tenants, p.retention, p.uploads, p.now)


def retire(p: Parts) -> Retire:
    return Retire(
        tenants=p.tenants,
        retention=p.retention,
        bookmarks=p.bookmarks,
        erasing=erase(p),
        erasures=p.erasures,
        sweeper=p.sweeper,
        shelves=Shelves(
            retention=p.retention,
            recordings=p.recordings,
            uploads=p.uploads,
            bookmarks=p.bookmarks,
            publisher=p.publisher,
            after_days=p.settings.archive_after_days,
        ),
        now=p.now,
    )


def compress(p: Parts, compressor: Compressor) -> "Compress":
    """What brings originals into their long-term form. `compressor`: whoever may open sound."""
    from shared.adapters.embedded.disk import spooled
    from shared.flows.compress import Compress

    s = p.settings
    here = s.home / "tmp" if s.backend is Backend.EMBEDDED else None
    return Compress(
        retention=p.retention,
        uploads=p.uploads,
        compressor=compressor,
        publisher=p.publisher,
        spool=partial(spooled, here),
        now=p.now,
        after_days=s.archive_after_days,
    )


def calibrations(settings: Settings) -> "Calibrations":
    """What the engines' figures are worth: the shipped files, and those of one's own.

    Raises:
        InvalidCalibration: a file is damaged. Nothing should start until it is mended.
    """
    from shared.adapters import file_calibrations

    return file_calibrations.calibrations(settings.calibrations or settings.home / CALIBRATIONS)


def work(p: Parts, ears: Ears) -> "Work":
    """The work flow over one process's ears. Imported late: it brings the result models.

    Raises:
        InvalidCalibration: as `calibrations`.
    """
    from shared.domain.answers import Task
    from shared.domain.plans import ASKED
    from shared.flows.ask import Ask
    from shared.flows.work import Work

    s = p.settings
    return Work(
        tenants=p.tenants,
        recordings=p.recordings,
        jobs=p.jobs,
        uploads=p.uploads,
        results=p.results,
        publish=publish(p),
        ears=ears,
        ask=Ask(policy(s), calibrations(s)),
        spending=p.spending,
        erasures=p.erasures,
        # A task nobody set engines for is left out: it is no part of what names known content.
        cascade={
            task: tuple(getattr(s.cascade, task))
            for task in ASKED
            if getattr(s.cascade, task) or task in (Task.TRANSCRIBE, Task.CLASSIFY)
        },
        worker=s.worker or f"worker-{os.getpid()}",
        now=p.now,
        chance=random.random,
        lease_s=s.lease_s,
        ticket_s=s.ticket_s,
        retry_base_s=s.retry_base_s,
        max_seconds=s.max_seconds,
        archive_after_days=s.archive_after_days,
    )


def plan_export(p: Parts) -> "PlanExport":
    """What plans exports. Imported late like `work`: it brings models of documents."""
    from shared.domain.exports import Stage
    from shared.flows import paper_chapters as papers
    from shared.flows.export_plans import ExportPlans
    from shared.flows.plan_export import Chapters, PlanExport
    from shared.flows.recording_chapters import RecordingChapters

    chapters: dict[Stage, Chapters] = {
        Stage.PAPERS: papers.TenantPapers(p.tenants, p.api_keys, p.webhooks),
        Stage.SEALS: papers.SealChapters(p.seals),
        Stage.ACTIONS: papers.ActionChapters(p.actions),
        Stage.CHAINS: papers.ChainChapters(p.chains),
        Stage.RECORDINGS: RecordingChapters(p.recordings, p.corrections, p.uploads, p.results),
    }
    return PlanExport(p.tenants, chapters, ExportPlans(p.temporary), p.now)


def zipped(p: Parts, asked: "Asked", index: "Index") -> "Zipped":
    """The bytes of a planned export."""
    from shared.flows.export_plans import ExportPlans
    from shared.flows.zipped import Zipped

    plans = ExportPlans(p.temporary)
    return Zipped(p.recordings, p.results, p.uploads, plans, asked, index)


def bring_in(p: Parts) -> "BringIn":
    """What imports exports. Imported late, as above.

    Raises:
        ImportRefused: nothing can be imported there.
    """
    from shared.flows.bring_in import BringIn

    if p.imports is None:
        raise ImportRefused("Exports are imported into a HOME. Set EARWITNESS_BACKEND=embedded.")
    return BringIn(p.tenants, p.recordings, p.results, p.imports, p.bookmarks, p.now)


def deliver(p: Parts) -> "Deliver":
    """Tells webhooks. Imported late: most functions never call out."""
    from shared.adapters.pinned_posts import PinnedPosts
    from shared.adapters.standard_webhooks import StandardWebhooks
    from shared.flows.deliver import Deliver

    posts = PinnedPosts(private=p.settings.webhooks_private)
    courier = StandardWebhooks(posts.post)
    return Deliver(p.webhooks, p.deliveries, courier, p.now, random.random)


def subscribe(p: Parts) -> Subscribe:
    private = p.settings.webhooks_private
    return Subscribe(p.tenants, p.webhooks, p.now, secrets.token_bytes, private)


def changes(settings: Settings) -> Callable[[], int]:
    """A number that differs from the one before if anybody committed in between.

    Always ask from the same thread: the store counts per connection.
    """
    if settings.backend is Backend.GCP:
        from shared.adapters.gcp.firestore_changes import FirestoreChanges
        from shared.wiring.google import firestore_client, identity_said

        with identity_said():
            return FirestoreChanges(firestore_client(settings))
    from shared.adapters.embedded.sqlite_database import Database

    opened: list[Database] = []

    def number() -> int:
        if not opened:
            opened.append(Database(settings.home / STORE))
        return opened[0].data_version()

    return number


@cache
def from_environment() -> Parts:
    """The parts of this process, from its environment; built at its first use, then kept."""
    settings = load()
    observe(settings, "functions")
    return parts(settings)


def intake_from_environment() -> Intake:
    return intake(from_environment())


@cache
def welcome_from_environment() -> Welcome:
    """One a process: it remembers whom it has seen."""
    p = from_environment()
    return Welcome(p.tenants, p.settings.tenants, p.now)


def reconcile_from_environment() -> Reconcile:
    return reconcile(from_environment())


def deliver_from_environment() -> "Deliver":
    return deliver(from_environment())


def retire_from_environment() -> Retire:
    return retire(from_environment())


def sealing_from_environment() -> Sealing:
    return sealing(from_environment())
