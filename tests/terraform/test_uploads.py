"""What the page sends to the bucket is what the bucket takes, from that page and from no other."""

import json

import pytest

from local.emulated.emulators import UPLOADING
from shared.domain.permits import Permit
from tests.terraform.topologies import Topology
from tests.terraform.workloads import workloads

BUCKET = 'module.stack["home"].google_storage_bucket.uploads'
#: As the page asks for it: a name, and nothing else of its own.
BY_PAGE = Permit("uploads/demo/KEY", "audio/wav", 1, {"name": "talk.wav"})


def faults(topology: Topology) -> list[str]:
    hosts = {w.entity.stack: w.environment for w in workloads(topology) if w.noun == "gateway"}
    found = []
    for bucket in topology.all("google_storage_bucket"):
        rules, name = bucket.values.get("cors") or [], str(bucket["name"])
        if not name.endswith("-uploads"):
            found += [f"{name}: open to pages"] * len(rules)
            continue
        [rule] = rules
        if set(rule["response_header"]) != set(BY_PAGE.headers()):
            found.append(f"{name}: other headers")
        if rule["method"] != ["PUT"]:
            found.append(f"{name}: other methods")
        if bucket.stack in hosts:
            public = json.loads(hosts[bucket.stack]["EARWITNESS_PUBLIC_HOSTS"])
            if rule["origin"] != [f"https://{host}" for host in public]:
                found.append(f"{name}: other pages")
    return found


def test_the_uploads_bucket_takes_what_its_own_page_sends(every):
    assert faults(every) == []


def test_the_emulator_takes_the_same():
    assert set(UPLOADING) == set(BY_PAGE.headers())


CHANGES = {
    "other headers": {"response_header": ["Content-Type"]},
    "other methods": {"method": ["PUT", "GET"]},
    "other pages": {"origin": ["*"]},
}


@pytest.mark.parametrize("said", CHANGES)
def test_what_the_page_could_not_send_or_others_could_is_noticed(topology, said):
    images = topology("images")
    [rule] = images.one(BUCKET).values["cors"]

    changed = images.with_change(BUCKET, cors=[{**rule, **CHANGES[said]}])

    assert [fault.partition(": ")[2] for fault in faults(changed)] == [said]
