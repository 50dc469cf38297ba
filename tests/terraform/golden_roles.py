"""Who may do what: written by hand, from what each adapter's docstring says that it needs.

A role that Terraform gives and that does not stand here fails a test, and so does one that stands
here and is not given. Whoever needs another one says so in the adapter first, then here, then in
terraform/. `who -> what it is on -> roles`; names are without the stack's prefix.
"""

import re

from shared.domain.recording import Topic

Roles = dict[str, dict[str, set[str]]]

#: Firestore's roles are the project's; the condition makes each the right to one database.
STORE = 'project if resource.name == "projects/PROJECT/databases/store"'

#: firestore_jobs.py, firestore_recordings.py and the rest of that name.
STATE = {STORE: {"datastore.user"}}
#: pubsub_publisher.py: on each topic. Whoever drains an outbox meets all of them.
ANNOUNCES = {f"topic {topic}": {"pubsub.publisher"} for topic in Topic}
#: opentelemetry_spans.py: each workload that sends spans; the gateway does not.
TRACES = {"project": {"telemetry.tracesWriter"}}
#: Either one service has both lanes, or each has one.
SERVICES = ("run service", "run service-high", "run service-low")
#: google_identity.py: whoever calls it.
CALLS = {service: {"run.invoker"} for service in SERVICES}

OF_STACK: Roles = {
    "service": {
        **STATE,
        **ANNOUNCES,
        **TRACES,
        "bucket uploads": {"storage.objectViewer"},  # storage_uploads.py
        "bucket results": {"storage.objectUser"},  # storage_results.py
        # storage_uploads.py: it writes FLACs, and takes away those nobody points to.
        "bucket archive": {"storage.objectUser"},
        "bucket weights": {"storage.objectViewer"},  # gpu_service/weights/streamed.py
        "secret openai-api-key": {"secretmanager.secretAccessor"},
    },
    "gateway": {
        **STATE,
        **ANNOUNCES,
        "bucket uploads": {"storage.objectUser"},  # storage_uploads.py, storage_permits.py
        "bucket results": {"storage.objectViewer"},  # storage_results.py
        "bucket archive": {"storage.objectUser"},  # storage_uploads.py: it holds and erases
        "bucket temp": {"storage.objectUser"},  # storage_results.py: plans of exports
        "bucket audit": {"storage.objectViewer"},  # storage_seals.py
        "key testimony": {"cloudkms.publicKeyViewer"},  # kms_signer.py
        "identity gateway": {"iam.serviceAccountTokenCreator"},  # storage_permits.py: itself
        **CALLS,
    },
    "on-audio-uploaded": {
        **STATE,
        **ANNOUNCES,
        "bucket uploads": {"storage.objectViewer"},  # storage_uploads.py
        # Google's own conditions for an event of a bucket to arrive.
        "project": {"telemetry.tracesWriter", "eventarc.eventReceiver"},
        "run on-audio-uploaded": {"run.invoker"},
    },
    "on-job-dead": {
        **TRACES,
        "run on-job-dead": {"run.invoker"},
    },
    "reconcile": {
        **STATE,
        **ANNOUNCES,
        **TRACES,
        "bucket uploads": {"storage.objectViewer"},  # storage_uploads.py
        "bucket results": {"storage.objectUser"},  # storage_results.py
        "subscription upload-arrivals": {"pubsub.subscriber"},  # pubsub_arrivals.py
        "run reconcile": {"run.invoker"},
    },
    "retire": {
        **STATE,
        **ANNOUNCES,
        **TRACES,
        "bucket uploads": {"storage.objectUser"},  # storage_uploads.py: it erases
        "bucket results": {"storage.objectUser"},  # storage_results.py
        "bucket archive": {"storage.objectUser"},  # storage_uploads.py: it erases
        "bucket temp": {"storage.objectUser"},  # storage_results.py: it ends exports
        "key testimony": {"cloudkms.publicKeyViewer", "cloudkms.signer"},  # kms_signer.py
        "run retire": {"run.invoker"},
    },
    "seal": {
        **STATE,
        **TRACES,
        # storage_seals.py: it can neither replace nor delete what it wrote.
        "bucket audit": {"storage.objectCreator", "storage.objectViewer"},
        "key testimony": {"cloudkms.publicKeyViewer", "cloudkms.signer"},  # kms_signer.py
        "run seal": {"run.invoker"},
    },
    # Both only read and write the store, and call out (firestore_webhooks.py).
    "on-announcement": {**STATE, **TRACES, "run on-announcement": {"run.invoker"}},
    "deliver": {**STATE, **TRACES, "run deliver": {"run.invoker"}},
    # Pub/Sub calls as this one; the service takes tickets from nobody else.
    "push": CALLS,
    # People who load and unload engines.
    "operator": CALLS,
    # Cloud Functions builds the archive as this one.
    "functions-build": {
        "project": {"logging.logWriter"},
        'project if resource.name.startsWith("projects/_/buckets/gcf-v2-sources-NUMBER-REGION")': {
            "storage.objectViewer"
        },
        "repository functions": {"artifactregistry.writer"},
    },
    "agent gcp-sa-pubsub": {
        "topic undelivered": {"pubsub.publisher"},
        **{
            f"subscription {name}": {"pubsub.subscriber"}
            for name in ("inference-metrics", "jobs-dead", "lane-high", "lane-low")
        },
        "subscription upload-arrivals": {"pubsub.subscriber"},
        "table inference_metrics": {"bigquery.dataEditor"},  # bigquery_measurements.py
        "identity push": {"iam.serviceAccountTokenCreator"},
        "key data": {"cloudkms.cryptoKeyEncrypterDecrypter"},
    },
    "agent gs-project-accounts": {
        "topic upload-arrivals": {"pubsub.publisher"},
        "key data": {"cloudkms.cryptoKeyEncrypterDecrypter"},
    },
    "agent gcp-sa-secretmanager": {
        "topic secret-rotation": {"pubsub.publisher"},
        "key data": {"cloudkms.cryptoKeyEncrypterDecrypter"},
    },
    **{
        f"agent {name}": {"key data": {"cloudkms.cryptoKeyEncrypterDecrypter"}}
        for name in (
            "bigquery-encryption",
            "gcf-admin-robot",
            "gcp-sa-artifactregistry",
            "gcp-sa-eventarc",
            "gcp-sa-firestore",
            "serverless-robot-prod",
        )
    },
    # Identity-Aware Proxy asks in its own name, once it has let somebody through.
    "agent gcp-sa-iap": {"run gateway": {"run.invoker"}},
    "group:listeners@example.com": {"page gateway": {"iap.httpsResourceAccessor"}},
    "serviceAccount:drops@acme.iam.gserviceaccount.com": {
        "folder uploads/acme/": {"storage.objectCreator"}
    },
}

#: What `apply` may give to others on the whole project: the roles of workloads.
GIVEN = (
    "'roles/datastore.user', 'roles/eventarc.eventReceiver', 'roles/logging.logWriter', "
    "'roles/pubsub.publisher', 'roles/storage.objectViewer', 'roles/telemetry.tracesWriter'"
)
GIVES = f"api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([{GIVEN}])"

#: Of the project as a whole: Google's agents, and who builds and deploys (docs/build.md).
OF_PROJECT: Roles = {
    # What Google gives them itself where it makes them itself (terraform/agents.tf).
    "agent gcf-admin-robot": {"project": {"cloudfunctions.serviceAgent"}},
    "agent gcp-sa-artifactregistry": {"project": {"artifactregistry.serviceAgent"}},
    "agent gcp-sa-eventarc": {"project": {"eventarc.serviceAgent"}},
    "agent gcp-sa-firestore": {"project": {"firestore.serviceAgent"}},
    "agent gcp-sa-pubsub": {"project": {"pubsub.serviceAgent"}},
    "agent serverless-robot-prod": {"project": {"run.serviceAgent"}},
    # Eventarc lays a topic of its own for the events of buckets.
    "agent gs-project-accounts": {"project": {"pubsub.publisher"}},
    "build": {
        "project": {
            "browser",
            "logging.logWriter",
            "ondemandscanning.admin",
            "serviceusage.serviceUsageConsumer",
        },
        "bucket artefacts": {"storage.objectCreator", "storage.objectViewer"},
        "bucket weights": {"storage.objectCreator", "storage.objectViewer"},
        "bucket us-weights": {"storage.objectCreator", "storage.objectViewer"},
        "bucket state": {"storage.objectViewer"},
        "repository images": {"artifactregistry.writer"},
        "topic plans": {"pubsub.publisher"},
    },
    "check": {"project": {"logging.logWriter"}},
    "apply": {
        "project": {
            "artifactregistry.admin",
            "bigquery.dataOwner",
            "browser",
            "cloudbuild.builds.editor",
            "cloudbuild.connectionAdmin",
            "cloudfunctions.admin",
            "cloudkms.admin",
            "cloudscheduler.admin",
            "compute.loadBalancerAdmin",
            "compute.networkAdmin",
            "compute.securityAdmin",
            "datastore.owner",
            "dns.admin",
            "eventarc.admin",
            "iam.serviceAccountAdmin",
            "iam.serviceAccountUser",
            "iap.admin",
            "logging.logWriter",
            "monitoring.alertPolicyEditor",
            "monitoring.notificationChannelEditor",
            "pubsub.admin",
            "run.admin",
            "secretmanager.admin",
            "serviceusage.serviceUsageAdmin",
            "storage.admin",
        },
        # It cannot make itself an owner.
        f"project if {GIVES}": {"resourcemanager.projectIamAdmin"},
    },
    "group:approvers@example.com": {"project": {"cloudbuild.builds.approver"}},
}


def thing(on: str) -> str:
    """What a grant is on, without its condition."""
    return re.sub(r" if .*", "", on)
