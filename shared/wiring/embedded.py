"""Parts of one machine. Imported late, like Google's, so that nobody waits for what is not used."""

from shared.adapters.embedded.file_leftovers import FileLeftovers
from shared.adapters.embedded.file_results import FileResults
from shared.adapters.embedded.file_seals import FileSeals
from shared.adapters.embedded.file_sweeper import FileSweeper
from shared.adapters.embedded.home_signer import HomeSigner
from shared.adapters.embedded.local_publisher import LocalPublisher
from shared.adapters.embedded.sqlite_actions import SqliteActions
from shared.adapters.embedded.sqlite_api_keys import SqliteApiKeys
from shared.adapters.embedded.sqlite_arrivals import SqliteArrivals
from shared.adapters.embedded.sqlite_bookmarks import SqliteBookmarks
from shared.adapters.embedded.sqlite_chains import SqliteChains
from shared.adapters.embedded.sqlite_corrections import SqliteCorrections
from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_erasures import SqliteErasures
from shared.adapters.embedded.sqlite_imports import SqliteImports
from shared.adapters.embedded.sqlite_jobs import SqliteJobs
from shared.adapters.embedded.sqlite_outbox import SqliteOutbox
from shared.adapters.embedded.sqlite_quotas import SqliteQuotas
from shared.adapters.embedded.sqlite_recordings import SqliteRecordings
from shared.adapters.embedded.sqlite_retention import SqliteRetention
from shared.adapters.embedded.sqlite_spending import SqliteSpending
from shared.adapters.embedded.sqlite_tenants import SqliteTenants
from shared.adapters.embedded.sqlite_uploads import SqliteUploads
from shared.adapters.embedded.sqlite_webhooks import SqliteDeliveries, SqliteWebhooks
from shared.domain.tenants import DEMO, Tier
from shared.settings import Settings
from shared.wiring.inventory import STORE, Parts, clock, holder


def embedded(settings: Settings) -> Parts:
    """Every adapter of one machine; HOME is made and its store migrated."""
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    db = Database(settings.home / STORE)
    tenants = SqliteTenants(db)
    tenants.ensure(DEMO, Tier.ENTERPRISE, clock())
    uploads = SqliteUploads(db, settings.home)
    return Parts(
        settings=settings,
        tenants=tenants,
        recordings=SqliteRecordings(db),
        jobs=SqliteJobs(db, settings.retry_base_s),
        outbox=SqliteOutbox(db),
        publisher=LocalPublisher(db, settings.broker_url),
        uploads=uploads,
        inlet=uploads,
        results=FileResults(settings.home),
        temporary=FileResults(settings.home / "tmp"),
        arrivals=SqliteArrivals(db),
        bookmarks=SqliteBookmarks(db),
        spending=SqliteSpending(db, holder(settings)),
        quotas=SqliteQuotas(db),
        api_keys=SqliteApiKeys(db),
        corrections=SqliteCorrections(db),
        imports=SqliteImports(db, uploads),
        signer=HomeSigner(settings.home / "keys"),
        erasures=SqliteErasures(db),
        leftovers=FileLeftovers(settings.home, uploads.clear),
        actions=SqliteActions(db),
        chains=SqliteChains(db),
        seals=FileSeals(settings.home),
        retention=SqliteRetention(db),
        sweeper=FileSweeper(settings.home, uploads.clear),
        webhooks=SqliteWebhooks(db),
        deliveries=SqliteDeliveries(db),
        now=clock,
    )
