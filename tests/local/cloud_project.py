"""A project in the cloud as Google's REST APIs tell of it.

Answers are written down in the form of each API's REST reference; nothing here was recorded from
a live project (docs/unproved.md). What a test takes away is gone from the answers, no more.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession

from local.cloud_checkup.apis import NEEDED
from local.cloud_checkup.buckets import NOUNS
from local.cloud_checkup.builders import GIVES, KEEPS, ON_PROJECT
from local.cloud_checkup.deployment import Deployment
from local.cloud_checkup.firestore import written
from local.cloud_checkup.keys import AGENTS, ENCRYPTS, FIRST
from local.cloud_checkup.rest import Remembering, Rest
from local.cloud_checkup.viewers import OPENS
from shared.settings import load

PROJECT, NUMBER, REGION = "my-recordings-4711", "314159265358", "europe-west4"
PARENT = f"projects/{PROJECT}"
PLACE = f"{PARENT}/locations/{REGION}"
STORE = f"{PARENT}/databases/ew-store"
KEY = f"{PLACE}/keyRings/ew-keys/cryptoKeys/ew-data"
PAGE_OF_GATEWAY = f"iap/v1/projects/{NUMBER}/iap_web/cloud_run-{REGION}/services/ew-gateway"
TOPICS = (
    *("lane-high", "lane-low", "jobs-dead", "recording-events", "inference-metrics"),
    *("ticks", "undelivered", "upload-arrivals"),
)
FUNCTIONS = (
    "deliver",
    "on_announcement",
    "on_audio_uploaded",
    "on_job_dead",
    "reconcile",
    "retire",
    "seal",
)
#: Entries on a page of a list; every list here has more.
PAGE = 2
APIS = (
    *("serviceusage", "cloudresourcemanager", "storage", "pubsub", "firestore", "run", "logging"),
    *("cloudfunctions", "cloudscheduler", "cloudquotas", "secretmanager", "bigquery", "iam"),
    *("iap", "cloudkms"),
)
SETTINGS = {
    "backend": "gcp",
    "project": PROJECT,
    "uploads_bucket": f"{PROJECT}-ew-uploads",
    "results_bucket": f"{PROJECT}-ew-results",
    "audit_bucket": f"{PROJECT}-ew-audit",
    "archive_bucket": f"{PROJECT}-ew-archive",
    "temp_bucket": f"{PROJECT}-ew-temp",
    "firestore_database": "ew-store",
    "topic_prefix": "ew-",
    "arrivals_subscription": "ew-upload-arrivals",
}


def member(noun):
    return f"serviceAccount:ew-{noun.replace('_', '-')}@{PROJECT}.iam.gserviceaccount.com"


def email(noun):
    return member(noun).partition(":")[2]


def account(noun):
    return f"iam/v1/{PARENT}/serviceAccounts/{email(noun)}"


def agent(domain):
    return f"serviceAccount:service-{NUMBER}@{domain}.iam.gserviceaccount.com"


PUBSUB, STORAGE, IAP = map(agent, ("gcp-sa-pubsub", "gs-project-accounts", "gcp-sa-iap"))


def topic(noun):
    return f"{PARENT}/topics/ew-{noun}"


def policy(*bindings, condition=None):
    more = {"condition": condition} if condition else {}
    return {
        "version": 3,
        "etag": "BwYk",
        "bindings": [{"role": role, "members": list(who), **more} for role, who in bindings],
    }


def subscription(noun, **more):
    return {
        "name": f"{PARENT}/subscriptions/ew-{noun}",
        "topic": topic(noun),
        "pushConfig": {},
        "ackDeadlineSeconds": 60,
        "messageRetentionDuration": "604800s",
        "expirationPolicy": {},
        "deadLetterPolicy": {"deadLetterTopic": topic("undelivered"), "maxDeliveryAttempts": 100},
        "retryPolicy": {"minimumBackoff": "10s", "maximumBackoff": "600s"},
        "state": "ACTIVE",
        **more,
    }


def lane(noun):
    token = {"serviceAccountEmail": member("push").partition(":")[2], "audience": "earwitness"}
    endpoint = f"https://ew-service-{NUMBER}.{REGION}.run.app/pubsub/tickets"
    push = {"pushEndpoint": endpoint, "oidcToken": token}
    return subscription(noun, pushConfig=push, ackDeadlineSeconds=600)


def subscriptions():
    table = f"{PROJECT}.ew_measurements.inference_metrics"
    rows = {"table": table, "useTableSchema": True, "state": "ACTIVE"}
    undelivered = subscription("undelivered", ackDeadlineSeconds=600)
    del undelivered["deadLetterPolicy"]
    return [
        lane("lane-high"),
        lane("lane-low"),
        subscription("upload-arrivals"),
        subscription("inference-metrics", bigqueryConfig=rows),
        subscription("jobs-dead", ackDeadlineSeconds=600),
        undelivered,
        # Eventarc's own: it has no dead letters, and is none of ours.
        {"name": f"{PARENT}/subscriptions/eventarc-{REGION}-x-sub-1", "topic": topic("ticks")},
    ]


def bucket(noun):
    return {
        "kind": "storage#bucket",
        "name": f"{PROJECT}-ew-{noun}",
        "location": REGION.upper(),
        "iamConfiguration": {
            "uniformBucketLevelAccess": {"enabled": True, "lockedTime": "2026-11-21T00:00:00Z"},
            "publicAccessPrevention": "enforced",
        },
        # Terraform gives it to the bucket of seals alone; elsewhere nobody looks.
        "retentionPolicy": {"retentionPeriod": "34560000", "effectiveTime": "2026-11-21T00:00:00Z"},
    }


def index(number, wanted):
    group = f"{STORE}/collectionGroups/{wanted['collectionGroup']}"
    last = {"fieldPath": "__name__", "order": "ASCENDING"}
    return {
        "name": f"{group}/indexes/CICAgO{number}",
        "queryScope": wanted["queryScope"],
        "fields": [*wanted["fields"], last],
        "state": "READY",
    }


def vector_index():
    """Google writes `__name__` before a vector, too."""
    tenant, last = ({"fieldPath": path, "order": "ASCENDING"} for path in ("tenant", "__name__"))
    vector = {"fieldPath": "embedding", "vectorConfig": {"dimension": 1536, "flat": {}}}
    return {
        "name": f"{STORE}/collectionGroups/vectors/indexes/CICAvectors",
        "queryScope": "COLLECTION",
        "fields": [tenant, last, vector],
        "state": "READY",
    }


def field(wanted):
    group = f"{STORE}/collectionGroups/{wanted['collectionGroup']}"
    ends = {"ttlConfig": {"state": "ACTIVE"}} if wanted.get("ttl") else {}
    return {"name": f"{group}/fields/{wanted['fieldPath']}", "indexConfig": {}, **ends}


def function(name):
    return {
        "name": f"{PLACE}/functions/ew-{name.replace('_', '-')}",
        "buildConfig": {"entryPoint": name, "runtime": "python312"},
        "eventTrigger": {"retryPolicy": "RETRY_POLICY_RETRY"},
        "state": "ACTIVE",
    }


def service(name, noun, **template):
    return {
        "name": f"{PLACE}/services/ew-{name.replace('_', '-')}",
        "ingress": "INGRESS_TRAFFIC_INTERNAL_ONLY",
        "template": {"serviceAccount": member(noun).partition(":")[2], **template},
        "scaling": {"maxInstanceCount": 3},
        "terminalCondition": {"type": "Ready", "state": "CONDITION_SUCCEEDED"},
    }


def services():
    gpu = {"nodeSelector": {"accelerator": "nvidia-l4"}, "gpuZonalRedundancyDisabled": True}
    door = {"ingress": "INGRESS_TRAFFIC_ALL", "iapEnabled": True}
    gateway = {**service("gateway", "gateway"), **door}
    return [service("service", "service", **gpu), gateway, *(service(f, f) for f in FUNCTIONS)]


def encrypted(project):
    """The same with a key of one's own (`cmek`): every bucket names it, every agent may use it."""
    for noun in NOUNS:
        named = project.answers[f"storage/storage/v1/b/{PROJECT}-ew-{noun}"]
        named["encryption"] = {"defaultKmsKeyName": KEY}
    project.answers[f"cloudkms/v1/{KEY}"] = {
        "name": KEY,
        "primary": {"name": f"{KEY}/cryptoKeyVersions/1", "state": "ENABLED"},
        "purpose": "ENCRYPT_DECRYPT",
        "rotationPeriod": "7776000s",
    }
    uses = [f"serviceAccount:{encrypting(domain)}" for domain in AGENTS]
    project.answers[f"cloudkms/v1/{KEY}:getIamPolicy"] = policy((ENCRYPTS, uses))


def encrypting(domain):
    return f"{FIRST.get(domain, 'service')}-{NUMBER}@{domain}.iam.gserviceaccount.com"


class CloudProject:
    """`answers` by API and path: a document, or (key, entries) of a list. Anything else is 404.

    Implements `Google` without a line to it; `Served` is the same behind one.
    """

    def __init__(self):
        self.posted = []
        self.answers = {**what_there_is(), **who_may_what()}
        for path, more in who_builds().items():
            self.answers.setdefault(path, policy())["bindings"] += more["bindings"]

    def get(self, api, path, **params):
        found = self.answers.get(f"{api}/{path}")
        return _page(*found, params.get("pageToken")) if isinstance(found, tuple) else found

    def post(self, api, path, body):
        self.posted.append((f"{api}/{path}", body))
        return self.answers.get(f"{api}/{path}")

    def entries(self, path):
        return self.answers[path][1]

    def take_away(self, path, role, who):
        """One grant; the role stays with whoever else has it."""
        for binding in self.answers[path]["bindings"]:
            if binding["role"] == role and who in binding["members"]:
                binding["members"].remove(who)
                return
        raise KeyError(role)

    def deployment(self):
        return Deployment(Remembering(self), load(**SETTINGS))


class Served:
    """A project behind HTTP, as `Rest` asks for it."""

    def __init__(self, project):
        self.forbidden = {}  #: API -> Google's sentence
        self.broken = set()  #: APIs that answer 503
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, project))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        serve = {"poll_interval": 0.01}
        threading.Thread(target=self._server.serve_forever, kwargs=serve, daemon=True).start()

    def deployment(self):
        session = AuthorizedSession(AnonymousCredentials())
        addresses = {api: f"{self.url}/{api}" for api in APIS}
        return Deployment(Remembering(Rest(session, addresses)), load(**SETTINGS))

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def what_there_is():
    enabled = [{"name": f"projects/{NUMBER}/services/{a}.googleapis.com"} for a in NEEDED]
    database = {
        "name": STORE,
        "type": "FIRESTORE_NATIVE",
        "locationId": REGION,
        "pointInTimeRecoveryEnablement": "POINT_IN_TIME_RECOVERY_ENABLED",
        "deleteProtectionState": "DELETE_PROTECTION_ENABLED",
    }
    told = {
        "topic": f"//pubsub.googleapis.com/{topic('upload-arrivals')}",
        "payload_format": "JSON_API_V1",
        "event_types": ["OBJECT_FINALIZE"],
    }
    tick = {"name": f"{PLACE}/jobs/ew-reconcile", "state": "ENABLED"}
    tick["pubsubTarget"] = {"topicName": topic("ticks"), "data": "e30="}
    quota = "NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion"
    granted = {"details": {"value": "3"}, "dimensions": {"region": REGION}}
    everywhere = {"details": {"value": "0"}, "applicableLocations": ["us-east4", REGION]}
    infos = {"quotaId": quota, "dimensionsInfos": [everywhere, granted]}
    own = written()
    run = f"{PARENT}/locations/global/services/run.googleapis.com/quotaInfos"
    return {
        f"serviceusage/v1/{PARENT}/services": ("services", enabled),
        f"cloudresourcemanager/v3/{PARENT}": {"name": f"projects/{NUMBER}", "projectId": PROJECT},
        **{f"storage/storage/v1/b/{PROJECT}-ew-{noun}": bucket(noun) for noun in NOUNS},
        f"storage/storage/v1/b/{PROJECT}-ew-uploads/notificationConfigs": {"items": [told]},
        f"pubsub/v1/{PARENT}/topics": ("topics", [{"name": topic(noun)} for noun in TOPICS]),
        f"pubsub/v1/{PARENT}/subscriptions": ("subscriptions", subscriptions()),
        f"pubsub/v1/{PARENT}/subscriptions/ew-upload-arrivals": subscription("upload-arrivals"),
        f"pubsub/v1/{topic('lane-low')}:publish": {"messageIds": ["1"]},
        f"firestore/v1/{STORE}": database,
        f"firestore/v1/{STORE}/collectionGroups/-/indexes": (
            "indexes",
            [*(index(n, i) for n, i in enumerate(own["indexes"])), vector_index()],
        ),
        f"firestore/v1/{STORE}/collectionGroups/-/fields": (
            "fields",
            [field(f) for f in own["fieldOverrides"]],
        ),
        **{account(noun): {"email": email(noun)} for noun in ("build", "check", "apply")},
        f"{PAGE_OF_GATEWAY}:getIamPolicy": policy((OPENS, ["group:listeners@example.com"])),
        f"cloudfunctions/v2/{PLACE}/functions": ("functions", [function(f) for f in FUNCTIONS]),
        f"cloudscheduler/v1/{PLACE}/jobs": ("jobs", [tick]),
        f"run/v2/{PLACE}/services": ("services", services()),
        f"cloudquotas/v1/{run}/{quota}": infos,
        "logging/v2/entries:list": {"entries": [pushed(204)]},
    }


def pushed(status):
    """A line of Cloud Run's request log."""
    return {"httpRequest": {"requestMethod": "POST", "status": status, "latency": "0.012s"}}


def who_may_what():
    """As terraform/ grants it, beside what Google grants itself."""
    publishers = ("gateway", "on_audio_uploaded", "reconcile", "retire", "service")
    at_work = [member(who) for who in publishers]
    keepers = [*at_work, *(member(who) for who in ("deliver", "on_announcement", "seal"))]
    traced = [member(who) for who in ("service", *FUNCTIONS)]
    only = {"title": "ew-store only", "expression": f'resource.name == "{STORE}"'}
    project = policy(
        ("roles/telemetry.tracesWriter", traced),
        ("roles/eventarc.eventReceiver", [member("on_audio_uploaded")]),
        ("roles/pubsub.publisher", [STORAGE]),
        ("roles/owner", ["user:somebody@example.com"]),
        ("roles/editor", [f"serviceAccount:{NUMBER}-compute@developer.gserviceaccount.com"]),
    )
    project["bindings"] += policy(("roles/datastore.user", keepers), condition=only)["bindings"]
    tables = f"projects/{PROJECT}/datasets/ew_measurements/tables/inference_metrics"
    return {
        f"cloudresourcemanager/v3/{PARENT}:getIamPolicy": project,
        **_of_buckets(),
        **_of_topics(at_work),
        **_of_what_runs(),
        f"bigquery/bigquery/v2/{tables}:getIamPolicy": policy(
            ("roles/bigquery.dataEditor", [PUBSUB])
        ),
        f"secretmanager/v1/{PARENT}/secrets/ew-openai-api-key:getIamPolicy": policy(
            ("roles/secretmanager.secretAccessor", [member("service")])
        ),
        f"cloudkms/v1/{PLACE}/keyRings/ew-testimony/cryptoKeys/ew-testimony:getIamPolicy": policy(
            ("roles/cloudkms.signer", [member("retire"), member("seal")]),
            (
                "roles/cloudkms.publicKeyViewer",
                [member("gateway"), member("retire"), member("seal")],
            ),
        ),
        f"iam/v1/{PARENT}/serviceAccounts/{email('gateway')}:getIamPolicy": policy(
            ("roles/iam.serviceAccountTokenCreator", [member("gateway")])
        ),
    }


def who_builds():
    """As terraform/build.tf grants it, where there is a repository."""
    given = {noun: [(role, [member(noun)]) for role in roles] for noun, roles in ON_PROJECT.items()}
    limit = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(['roles/x'])"
    gives = policy((GIVES, [member("apply")]), condition={"title": "x", "expression": limit})
    whole = policy(*(binding for bindings in given.values() for binding in bindings))
    whole["bindings"] += gives["bindings"]
    keeps = policy(*((role, [member("build")]) for role in KEEPS))
    buckets = f"storage/storage/v1/b/{PROJECT}-ew"
    return {
        f"cloudresourcemanager/v3/{PARENT}:getIamPolicy": whole,
        f"{buckets}-artefacts/iam": keeps,
        f"{buckets}-weights/iam": json.loads(json.dumps(keeps)),
        f"pubsub/v1/{topic('plans')}:getIamPolicy": policy(
            ("roles/pubsub.publisher", [member("build")])
        ),
    }


def _of_buckets():
    viewer, user = "roles/storage.objectViewer", "roles/storage.objectUser"
    read = [member(who) for who in ("on_audio_uploaded", "reconcile", "service")]
    write = [member(who) for who in ("reconcile", "retire", "service")]
    erase = [member(who) for who in ("gateway", "retire")]
    path = f"storage/storage/v1/b/{PROJECT}-ew-"
    return {
        f"{path}uploads/iam": policy((viewer, read), (user, erase)),
        f"{path}results/iam": policy((viewer, [member("gateway")]), (user, write)),
        f"{path}archive/iam": policy((user, [*erase, member("service")])),
        f"{path}weights/iam": policy((viewer, [member("service")])),
        f"{path}audit/iam": policy(
            (viewer, [member("gateway"), member("seal")]),
            ("roles/storage.objectCreator", [member("seal")]),
        ),
    }


def _of_topics(publishers):
    publisher, subscriber = "roles/pubsub.publisher", "roles/pubsub.subscriber"
    announced = dict.fromkeys(TOPICS[:5], publishers)
    granted = {**announced, "undelivered": [PUBSUB], "upload-arrivals": [STORAGE], "ticks": []}
    mortal = ("lane-high", "lane-low", "upload-arrivals", "inference-metrics", "jobs-dead")
    taken = {noun: [PUBSUB] for noun in mortal} | {"upload-arrivals": [PUBSUB, member("reconcile")]}
    return {
        f"pubsub/v1/{topic(noun)}:getIamPolicy": policy((publisher, who))
        for noun, who in granted.items()
    } | {
        f"pubsub/v1/{PARENT}/subscriptions/ew-{noun}:getIamPolicy": policy((subscriber, who))
        for noun, who in taken.items()
    }


def _of_what_runs():
    callers = {"service": ["gateway", "operator", "push"], **{f: [f] for f in FUNCTIONS}}
    called = {noun: [member(who) for who in callers[noun]] for noun in callers}
    return {
        f"run/v2/{PLACE}/services/ew-{noun.replace('_', '-')}:getIamPolicy": policy(
            ("roles/run.invoker", who)
        )
        for noun, who in (called | {"gateway": [IAP]}).items()
    }


def _page(key, entries, token):
    start = int(token or 0)
    rest = {"nextPageToken": str(start + PAGE)} if len(entries) > start + PAGE else {}
    return {key: entries[start : start + PAGE], **rest}


def _handler(served, project):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self):
            url = urlsplit(self.path)
            self._answer(url.path, lambda *at: project.get(*at, **dict(parse_qsl(url.query))))

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self._answer(self.path, lambda *at: project.post(*at, body))

        def _answer(self, path, ask):
            api, _, below = path.lstrip("/").partition("/")
            if api in served.forbidden:
                self._send(403, {"error": {"code": 403, "message": served.forbidden[api]}})
            elif api in served.broken:
                self._send(503, {})
            elif (found := ask(api, below)) is None:
                self._send(404, {"error": {"code": 404, "message": "Not found."}})
            else:
                self._send(200, found)

        def _send(self, status, document):
            body = json.dumps(document).encode()
            self.send_response_only(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler
