"""doctor --backend gcp: whatever is taken away from a project, exactly that is named."""

import base64
import json
from datetime import UTC, datetime

import pytest
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import AuthorizedSession

from gpu_service.tickets import parse
from local.cloud_checkup import checkup
from local.cloud_checkup.builders import GIVES
from local.cloud_checkup.deployment import Deployment
from local.cloud_checkup.expected import KEEPERS
from local.cloud_checkup.firestore import written
from local.cloud_checkup.keys import AGENTS, ENCRYPTS
from local.cloud_checkup.push import LOOKS, Ring
from local.cloud_checkup.rest import Rest
from local.cloud_checkup.unproved import PAGE as UNPROVED
from local.cloud_checkup.unproved import rows
from local.cloud_checkup.viewers import OPENS
from shared.domain.lanes import Lane
from shared.errors import IdentityUnavailable
from shared.settings import load
from tests.local import cloud_project as cloud
from tests.local.cloud_project import PARENT, PLACE, PROJECT, REGION, STORE, CloudProject, Served

AT = datetime(2026, 11, 21, tzinfo=UTC)
TOPICS = f"pubsub/v1/{PARENT}/topics"
SUBSCRIPTIONS = f"pubsub/v1/{PARENT}/subscriptions"
INDEXES = f"firestore/v1/{STORE}/collectionGroups/-/indexes"
FIELDS = f"firestore/v1/{STORE}/collectionGroups/-/fields"
SERVICES = f"run/v2/{PLACE}/services"


@pytest.fixture
def project(home):
    return CloudProject()


def problems(project):
    found = checkup.findings(project.deployment(), checkup.READING)
    return [f"{f.what}: {f.said}" for f in found if f.ok is False]


def the_problem(project):
    [found] = problems(project)
    return found


def test_a_project_as_terraform_makes_it_is_fine(project):
    found = list(checkup.findings(project.deployment(), checkup.READING))

    assert [f for f in found if not f.ok] == []
    assert {f.what for f in found} == checkup.READING.keys()


def grants():
    """Every grant that the project has and the code needs: path of its policy, role, member."""
    people = ("user:", f"serviceAccount:{cloud.NUMBER}-compute@")
    for path, document in cloud.who_may_what().items():
        for binding in document["bindings"]:
            for who in binding["members"]:
                if not who.startswith(people):
                    yield pytest.param(
                        path, binding["role"], who, id=f"{_short(path)}-{who[15:28]}"
                    )


def _short(path):
    return path.removesuffix(":getIamPolicy").removesuffix("/iam").rpartition("/")[2]


@pytest.mark.parametrize(("path", "role", "who"), list(grants()))
def test_a_grant_that_is_taken_away_is_named(project, path, role, who):
    project.take_away(path, role, who)

    if path.startswith(f"pubsub/v1/{cloud.topic('upload-arrivals')}:"):
        # Cloud Storage may publish to every topic of the project, for Eventarc's sake.
        assert problems(project) == []
        return
    said = the_problem(project)
    assert said.startswith(f"grants: {who.partition(':')[2]} has no {role} on ")
    where = "the project" if path.startswith("cloudresourcemanager") else _short(path)
    assert said.endswith(f" {where}")


def building():
    """Every grant that builds need, as `grants` above."""
    for path, document in cloud.who_builds().items():
        for binding in document["bindings"]:
            if "condition" not in binding:
                [who] = binding["members"]
                yield pytest.param(
                    path, binding["role"], who, id=f"{who[15:23]}-{binding['role'][6:]}"
                )


@pytest.mark.parametrize(("path", "role", "who"), list(building()))
def test_a_grant_that_is_taken_from_who_builds_is_named(project, path, role, who):
    project.take_away(path, role, who)

    assert the_problem(project).startswith(f"builders: {who.partition(':')[2]} has no {role} on ")


def test_a_builder_that_is_missing_is_named_and_those_without_a_repository_are_not(project):
    for noun in ("build", "check", "apply"):
        project.answers.pop(cloud.account(noun))

    assert the_problem(project) == "builders: ew-build is missing; `terraform apply` makes it"


@pytest.mark.parametrize("limit", [None, "true"])
def test_an_apply_that_could_make_owners_is_named(project, limit):
    whole = project.answers[f"cloudresourcemanager/v3/{PARENT}:getIamPolicy"]
    [gives] = [b for b in whole["bindings"] if b["role"] == GIVES]
    changed(gives, ("condition.expression", limit) if limit else ("condition", None))

    assert the_problem(project) == (
        "builders: ew-apply may give any role to anybody, itself included"
    )


def test_an_apply_that_can_give_no_role_is_named(project):
    project.take_away(
        f"cloudresourcemanager/v3/{PARENT}:getIamPolicy", GIVES, cloud.member("apply")
    )

    assert the_problem(project).startswith("builders: ew-apply may give no role")


def test_a_second_stack_is_built_by_the_first_ones_builders(project):
    second = Deployment(project.deployment().google, load(**{**cloud.SETTINGS, **US}))

    assert [f.ok for f in checkup.READING["builders"](second)] == [True]


US = {"topic_prefix": "ew-us-", "uploads_bucket": f"{PROJECT}-ew-uploads"}


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (None, "nobody may open the page of ew-gateway"),
        (cloud.policy(("roles/iap.admin", ["user:a@b.c"])), "nobody may open the page"),
        (cloud.policy((OPENS, [])), "nobody may open the page"),
        (cloud.policy((OPENS, ["allUsers"])), "the page of ew-gateway is open to allUsers"),
    ],
    ids=["no grant", "another role", "gone", "everybody"],
)
def test_a_page_that_nobody_or_everybody_opens_is_named(project, policy, said):
    project.answers[f"{cloud.PAGE_OF_GATEWAY}:getIamPolicy"] = policy

    assert the_problem(project).startswith(f"viewers: {said}")


def test_a_door_without_its_proxy_is_named(project):
    [gateway] = [s for s in project.entries(SERVICES) if s["name"].endswith("ew-gateway")]
    gateway["iapEnabled"] = False

    assert the_problem(project).startswith("viewers: ew-gateway asks nobody to sign in")


def test_with_a_key_of_ones_own_all_is_fine(project):
    cloud.encrypted(project)

    assert problems(project) == []


@pytest.mark.parametrize("domain", AGENTS)
def test_an_agent_that_may_not_use_the_key_is_named(project, domain):
    cloud.encrypted(project)
    who = cloud.encrypting(domain)
    project.take_away(f"cloudkms/v1/{cloud.KEY}:getIamPolicy", ENCRYPTS, f"serviceAccount:{who}")

    assert the_problem(project) == f"keys: {who} has no {ENCRYPTS} on ew-data"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("primary.state", "DESTROY_SCHEDULED"), "the key ew-data is not enabled"),
        (("primary", None), "the key ew-data is not enabled"),
        (("rotationPeriod", None), "the key ew-data is never renewed"),
    ],
)
def test_a_key_that_does_not_work_or_grows_old_is_named(project, change, said):
    cloud.encrypted(project)
    changed(project.answers[f"cloudkms/v1/{cloud.KEY}"], change)

    assert the_problem(project).startswith(f"keys: {said}")


def test_a_key_that_is_gone_is_named(project):
    cloud.encrypted(project)
    project.answers.pop(f"cloudkms/v1/{cloud.KEY}")

    assert the_problem(project).startswith("keys: the key ew-data is missing")


def test_a_bucket_that_the_key_does_not_encrypt_is_named(project):
    cloud.encrypted(project)
    del project.answers[f"storage/storage/v1/b/{PROJECT}-ew-archive"]["encryption"]

    assert the_problem(project) == f"keys: {PROJECT}-ew-archive is not encrypted with ew-data"


@pytest.mark.parametrize("state", [None, "CREATING"])
def test_a_vector_index_that_is_missing_or_not_ready_is_named(project, state):
    gone = project.entries(INDEXES).pop()
    if state:
        project.entries(INDEXES).append({**gone, "state": state})

    said = "missing; `terraform apply` makes it" if state is None else f"{state}, not READY"
    assert the_problem(project) == f"vectors: the index vectors (tenant, embedding) is {said}"


def test_a_vector_index_over_all_tenants_is_none(project):
    project.entries(INDEXES)[-1]["fields"].pop(0)

    assert the_problem(project).startswith("vectors: the index vectors (tenant, embedding)")


@pytest.mark.parametrize("number", range(len(written()["indexes"])))
def test_an_index_that_is_missing_or_not_ready_is_named(project, number):
    gone = project.entries(INDEXES).pop(number)
    fields = [f["fieldPath"] for f in gone["fields"] if f["fieldPath"] != "__name__"]
    group = gone["name"].split("/collectionGroups/")[1].split("/")[0]

    said = the_problem(project)

    assert "is missing; `terraform apply` makes it" in said
    assert group in said
    assert [f in said for f in fields] == [True] * len(fields)
    project.entries(INDEXES).append({**gone, "state": "CREATING"})
    assert the_problem(project).endswith("is CREATING, not READY")


@pytest.mark.parametrize(
    "noun", [t for t in cloud.TOPICS if t not in ("undelivered", "upload-arrivals")]
)
def test_a_missing_topic_is_named(project, noun):
    project.entries(TOPICS).remove({"name": cloud.topic(noun)})
    project.answers.pop(f"pubsub/v1/{cloud.topic(noun)}:getIamPolicy")

    assert the_problem(project) == (
        f"topics: the topic ew-{noun} is missing; `terraform apply` makes it"
    )


@pytest.mark.parametrize("field", [f for f in written()["fieldOverrides"] if f.get("ttl")])
def test_a_time_that_nothing_expires_at_is_named(project, field):
    there = cloud.field(field)
    at = project.entries(FIELDS).index(there)
    project.entries(FIELDS)[at] = {**there, "ttlConfig": {"state": "NEEDS_REPAIR"}}

    named = f"{field['collectionGroup']}.expires"
    assert (
        the_problem(project)
        == f"fields: the field {named} ends nothing: its TTL policy is not active"
    )


def test_a_field_that_is_indexed_for_nobody_is_named(project):
    project.entries(FIELDS)[:] = [
        f for f in project.entries(FIELDS) if not f["name"].endswith("/segments/fields/body")
    ]

    assert "the field segments.body is indexed" in the_problem(project)


def changed(entry, change):
    """`entry` with the value of a dotted key, or without it where that is None."""
    *path, last = change[0].split(".")
    inner = entry
    for key in path:
        inner = inner[key]
    if change[1] is None:
        del inner[last]
    else:
        inner[last] = change[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("pushConfig.pushEndpoint", "https://elsewhere.run.app/"), "does not push to"),
        (("pushConfig.pushEndpoint", "http://x.run.app/pubsub/tickets"), "does not push to"),
        (("pushConfig.oidcToken", None), "does not sign"),
        (("pushConfig.oidcToken.audience", "another"), "does not sign"),
        (("pushConfig.oidcToken.serviceAccountEmail", "a@b.c"), "does not sign"),
        (("deadLetterPolicy.maxDeliveryAttempts", 5), "no dead letter after 100"),
        (("retryPolicy.maximumBackoff", "60s"), "does not wait 10s to 600s"),
        (("retryPolicy", None), "does not wait 10s to 600s"),
        (("ackDeadlineSeconds", 10), "does not give a push 600 s"),
        (("expirationPolicy", {"ttl": "2678400s"}), "expires"),
        (("expirationPolicy", None), "expires"),
    ],
)
def test_what_is_wrong_with_a_lane_is_named(project, change, said):
    changed(project.entries(SUBSCRIPTIONS)[1], change)

    found = the_problem(project)

    assert found.startswith("subscriptions: ew-lane-low ")
    assert said in found


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "nothing is subscribed to ew-lane-high"),
        (3, "no subscription of ew-inference-metrics writes to BigQuery"),
        (5, "nothing is subscribed to ew-undelivered"),
    ],
)
def test_a_missing_subscription_is_named(project, number, said):
    project.entries(SUBSCRIPTIONS).pop(number)

    assert said in the_problem(project)


def test_arrivals_that_nobody_pulls_are_named(project):
    project.entries(SUBSCRIPTIONS).pop(2)
    project.answers.pop(f"{SUBSCRIPTIONS}/ew-upload-arrivals")

    assert problems(project) == [
        "arrivals: no arrival reaches ew-upload-arrivals",
        "subscriptions: the subscription ew-upload-arrivals is missing: a lost upload event would"
        " not be noticed",
    ]


@pytest.mark.parametrize("state", ["PERMISSION_DENIED", "SCHEMA_MISMATCH"])
def test_rows_that_do_not_reach_bigquery_are_named(project, state):
    changed(project.entries(SUBSCRIPTIONS)[3], ("bigqueryConfig.state", state))

    assert the_problem(project).endswith(f"{PROJECT}.ew_measurements.inference_metrics: {state}")


@pytest.mark.parametrize(
    ("path", "change", "said"),
    [
        (
            f"storage/storage/v1/b/{PROJECT}-ew-results",
            ("iamConfiguration.publicAccessPrevention", "inherited"),
            f"buckets: {PROJECT}-ew-results could be opened to everybody",
        ),
        (
            f"storage/storage/v1/b/{PROJECT}-ew-uploads",
            ("iamConfiguration.uniformBucketLevelAccess.enabled", False),
            f"buckets: {PROJECT}-ew-uploads has no uniform access",
        ),
        (
            f"storage/storage/v1/b/{PROJECT}-ew-audit",
            ("retentionPolicy", {}),
            f"buckets: {PROJECT}-ew-audit has no retention: a seal could be deleted",
        ),
        (
            f"firestore/v1/{STORE}",
            ("pointInTimeRecoveryEnablement", "POINT_IN_TIME_RECOVERY_DISABLED"),
            "database: ew-store has no point-in-time recovery",
        ),
        (
            f"firestore/v1/{STORE}",
            ("deleteProtectionState", "DELETE_PROTECTION_DISABLED"),
            "database: ew-store can be deleted by mistake",
        ),
        (
            f"storage/storage/v1/b/{PROJECT}-ew-uploads/notificationConfigs",
            ("items", []),
            "arrivals: no arrival reaches ew-upload-arrivals",
        ),
    ],
)
def test_a_setting_that_was_changed_is_named(project, path, change, said):
    changed(project.answers[path], change)

    assert the_problem(project).startswith(said)


@pytest.mark.parametrize("noun", ["archive", "audit", "temp", "functions", "weights", "results"])
def test_a_missing_bucket_is_named(project, noun):
    project.answers.pop(f"storage/storage/v1/b/{PROJECT}-ew-{noun}")
    project.answers.pop(f"storage/storage/v1/b/{PROJECT}-ew-{noun}/iam", None)

    assert the_problem(project).startswith(f"buckets: the bucket {PROJECT}-ew-{noun} is missing")


def test_without_the_uploads_bucket_nobody_knows_the_region(project):
    project.answers.pop(f"storage/storage/v1/b/{PROJECT}-ew-uploads")

    said = problems(project)

    assert said[0].startswith(f"buckets: the bucket {PROJECT}-ew-uploads is missing")
    assert {s.partition(":")[0] for s in said[1:]} == {
        *("functions", "ticks", "services", "quotas", "grants", "viewers", "keys")
    }
    assert all("told by its uploads bucket" in s for s in said[1:])


def test_an_api_that_is_off_is_named(project):
    enabled = project.entries(f"serviceusage/v1/{PARENT}/services")
    enabled[:] = [api for api in enabled if not api["name"].endswith("/run.googleapis.com")]

    assert the_problem(project).startswith("apis: run.googleapis.com is off")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("state", "FAILED"), "the function on_job_dead is FAILED"),
        (("eventTrigger.retryPolicy", "RETRY_POLICY_DO_NOT_RETRY"), "on_job_dead does not retry"),
        (("buildConfig.entryPoint", "other"), "the function on_job_dead is missing"),
    ],
)
def test_a_function_that_is_not_as_it_should_be_is_named(project, change, said):
    changed(project.entries(f"cloudfunctions/v2/{PLACE}/functions")[3], change)

    assert said in the_problem(project)


@pytest.mark.parametrize("there", [0, 1], ids=["missing", "paused"])
def test_a_clock_that_stands_still_is_named(project, there):
    jobs = project.entries(f"cloudscheduler/v1/{PLACE}/jobs")
    jobs[:] = [{**job, "state": "PAUSED"} for job in jobs][:there]

    assert ("ew-reconcile is PAUSED" if there else "nothing ticks") in the_problem(project)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("ingress", "INGRESS_TRAFFIC_ALL"), "ew-service can be reached from outside"),
        (("invokerIamDisabled", True), "ew-service asks nobody who they are"),
        (
            ("terminalCondition", {"state": "CONDITION_FAILED", "message": "Image not found."}),
            "ew-service is not ready: Image not found.",
        ),
    ],
)
def test_a_service_that_is_not_as_it_should_be_is_named(project, change, said):
    changed(project.entries(SERVICES)[0], change)

    assert said in the_problem(project)


def test_a_service_that_was_not_made_yet_is_named(project):
    project.entries(SERVICES)[:] = [
        s for s in project.entries(SERVICES) if "gateway" not in s["name"]
    ]

    assert the_problem(project).startswith("services: the gateway is missing")


def test_fewer_gpus_than_the_services_may_take_are_named(project):
    project.entries(SERVICES)[0]["scaling"]["maxInstanceCount"] = 4

    said = the_problem(project)

    assert said.startswith("quotas: NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion is 3")
    assert REGION in said


def test_two_services_take_their_gpus_from_one_quota(project):
    second = json.loads(json.dumps(project.entries(SERVICES)[0]))
    second["name"] += "-low"
    project.entries(SERVICES).append(second)
    granted = f"run/v2/{PLACE}/services/ew-service"
    project.answers[f"{granted}-low:getIamPolicy"] = project.answers[f"{granted}:getIamPolicy"]

    assert "the services may take 6" in the_problem(project)


def test_services_without_a_gpu_need_no_quota(project):
    del project.entries(SERVICES)[0]["template"]["nodeSelector"]

    assert problems(project) == []


@pytest.mark.parametrize("who", ["allUsers", "allAuthenticatedUsers"])
def test_what_is_open_to_everybody_is_named(project, who):
    open_door = project.answers[f"run/v2/{PLACE}/services/ew-gateway:getIamPolicy"]
    open_door["bindings"][0]["members"].append(who)

    assert the_problem(project) == f"grants: ew-gateway is open to {who}"


def test_a_workload_with_a_role_over_everything_is_named(project):
    whole = project.answers[f"cloudresourcemanager/v3/{PARENT}:getIamPolicy"]
    whole["bindings"].append({"role": "roles/editor", "members": [cloud.member("service")]})

    assert the_problem(project).endswith("has roles/editor on the whole project")


def test_a_grant_on_another_database_is_none(project):
    whole = project.answers[f"cloudresourcemanager/v3/{PARENT}:getIamPolicy"]
    [held] = [b for b in whole["bindings"] if b["role"] == "roles/datastore.user"]
    held["condition"]["expression"] = f'resource.name == "{STORE}-of-another"'

    assert len(problems(project)) == len(KEEPERS)


@pytest.fixture
def served(project):
    made = Served(project)
    yield made
    made.close()


def test_what_one_may_not_look_at_is_said_in_googles_words(served):
    served.forbidden["firestore"] = "Missing permission datastore.indexes.list."

    said = problems(served)

    assert {s.partition(":")[0] for s in said} == {*("database", "indexes", "vectors", "fields")}
    assert all("Missing permission" in s and "roles/iam.securityReviewer" in s for s in said)


def test_an_api_that_fails_is_said_and_the_others_are_looked_at(served):
    served.broken.add("cloudquotas")

    assert the_problem(served) == "quotas: cloudquotas answers 503: Service Unavailable"


def test_a_line_that_is_broken_is_said(served):
    there = served.deployment()
    served.close()

    found = list(checkup.findings(there, {"apis": checkup.READING["apis"]}))

    assert [f.said for f in found] == [
        "serviceusage: Google does not answer. Try again in a moment."
    ]


class LoggedOut(AnonymousCredentials):
    """A login that has ended, as google-auth says it."""

    def before_request(self, *_):
        raise RefreshError("Reauthentication is needed.")


def test_a_login_that_has_ended_ends_the_checkup(home):
    rest = Rest(AuthorizedSession(LoggedOut()), {"serviceusage": "http://127.0.0.1:1"})
    there = Deployment(rest, load(**cloud.SETTINGS))

    with pytest.raises(IdentityUnavailable, match="gcloud auth application-default login"):
        list(checkup.findings(there, checkup.READING))


class Turns:
    """Waits for nothing, and counts."""

    def __init__(self, then=lambda: None):
        self.waited, self._then = 0, then

    def __call__(self, _):
        self.waited += 1
        self._then()


def rung(project, turns):
    [found] = Ring(lambda: AT, turns)(project.deployment())
    return found


def test_a_push_that_is_taken_is_proof(project):
    turns = Turns()

    found = rung(project, turns)

    assert (found.ok, turns.waited) == (True, 1)
    published, asked = project.posted
    assert published[0] == f"pubsub/v1/{cloud.topic('lane-low')}:publish"
    message = published[1]["messages"][0]
    assert json.loads(base64.b64decode(message["data"])) == {"v": 1, "lane": "low"}
    assert 'service_name=("ew-service")' in asked[1]["filter"]
    assert 'timestamp>="2026-11-21T00:00:00+00:00"' in asked[1]["filter"]


def test_the_ring_is_a_ticket_that_the_service_reads(project):
    rung(project, Turns())

    message = project.posted[0][1]["messages"][0]
    ticket, _ = parse(json.dumps({"message": message, "subscription": "s"}).encode())
    assert ticket.lane is Lane.LOW


@pytest.mark.parametrize("status", [401, 403])
def test_a_push_that_is_not_believed_is_a_problem(project, status):
    project.answers["logging/v2/entries:list"] = {"entries": [cloud.pushed(status)]}

    found = rung(project, Turns())

    assert not found.ok
    assert "pushes are refused" in found.said


def test_a_push_that_never_arrives_is_a_problem_after_the_last_look(project):
    project.answers["logging/v2/entries:list"] = {}
    turns = Turns()

    found = rung(project, turns)

    assert (found.ok, turns.waited) == (False, LOOKS)
    assert "no push reached the service" in found.said


def test_a_busy_service_is_waited_for(project):
    """429 is said for a full one too, before anybody looked at the token."""
    log = "logging/v2/entries:list"
    project.answers[log] = {"entries": [cloud.pushed(429)]}

    def taken():
        if turns.waited == 3:
            project.answers[log]["entries"].append(cloud.pushed(204))

    turns = Turns(taken)

    assert rung(project, turns).ok
    assert turns.waited == 3


def test_a_service_that_stays_full_is_said_so(project):
    project.answers["logging/v2/entries:list"] = {"entries": [cloud.pushed(429)]}

    assert rung(project, Turns()).said == "the service answers 429"


def test_nobody_is_rung_for_without_a_service_or_a_lane(project):
    project.entries(SERVICES).pop(0)
    assert "there is no service" in rung(project, Turns()).said
    assert project.posted == []


def test_looking_changes_nothing(project):
    problems(project)

    assert {path.rpartition(":")[2] for path, _ in project.posted} == {"getIamPolicy"}


def test_every_command_that_is_left_is_said_with_the_names_of_the_project(project):
    found = [f.said for f in checkup.unproved(project.deployment())]

    assert len(found) == len(list(rows(UNPROVED.read_text(encoding="utf-8")))) > 20
    queries = next(s for s in found if s.startswith("Each Firestore query has its index"))
    assert f"firestore_live {PROJECT} ew-store" in queries
    assert not any(" PROJECT" in s for s in found)


def test_a_bar_inside_a_command_is_one_of_the_command():
    page = "| what | why | command |\n|---|---|---|\n| a | b | `c \\| d` |\n"

    assert list(rows(page)) == [("a", "`c | d`")]
