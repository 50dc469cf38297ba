"""R9: a day's quotas of files and seconds under 64 uploads at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.domain.placement import place
from shared.domain.states import State
from shared.domain.tenants import Tenant, Tier
from shared.errors import StoreUnavailable
from tests.builders import NOW, recording


def taken_in(store, tenant, number):
    """As intake does it; a store that is too busy is asked again by the event's redelivery."""
    made = recording(number, seconds=60.0)
    while True:
        try:
            return store.recordings.create_or_get(
                made, lambda ledger: place(made, tenant, ledger, NOW)
            )
        except StoreUnavailable:
            continue


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [pytest.param("files_a_day", 20, id="files"), pytest.param("seconds_a_day", 1_230.0, id="s")],
)
def test_64_at_once_never_pass_the_days_quota(store, rule, allowed):
    tenant = Tenant("acme", Tier.FREE, NOW, ((rule, allowed),))
    store.tenants.put(tenant)

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(lambda n: taken_in(store, tenant, n), range(64)))

    counts = store.recordings.counts()
    assert (counts[State.RECEIVED], counts[State.DEFERRED]) == (20, 44)
