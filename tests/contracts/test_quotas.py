"""The seconds and files of a tenant's day: in slices for who waits, one by one for uploads."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest

from shared.domain.placement import place
from shared.domain.quotas import MILLI, DayOfSound, Portion, next_midnight
from shared.domain.recording import Failure
from shared.domain.slices import SOUND, Slice
from shared.domain.states import State
from shared.domain.tenants import OverQuotaPolicy, Tenant, Tier
from shared.errors import OverQuota, UnknownTenant
from tests.builders import NOW, recording
from tests.contracts.conftest import firestore, sqlite_on_disk
from tests.contracts.crowd import UPLOAD_S
from tests.contracts.patience import at_once

TODAY, MIDNIGHT = NOW.date().isoformat(), next_midnight(NOW)
LAPSED = NOW + timedelta(seconds=SOUND.lasts_s)
DAY_S = 1_000.0


def nothing(holder="w1"):
    return Portion("", 0, Slice(holder, NOW))


def heard(held, ms):
    """As whoever holds it uses it: without the store."""
    return replace(held, mine=replace(held.mine, spent=held.mine.spent + ms))


def upload(store, number, seconds, tenant, now=NOW):
    made = recording(number, seconds=seconds)
    return store.recordings.create_or_get(made, lambda ledger: place(made, tenant, ledger, now))


def limited(**rules):
    return Tenant("acme", Tier.FREE, NOW, tuple(sorted(rules.items())))


class TestSlices:
    """Of 1,000 s the first process takes a sixteenth, 62.5 s."""

    def test_a_slice_pays_for_what_it_was_taken_for(self, store):
        held = store.quotas.take("acme", nothing(), 5_000, DAY_S, NOW)

        assert (held.day, held.mine.granted, held.mine.spent) == (TODAY, 62_500, 5_000)
        assert (held.taken, held.mine.until) == (62_500, LAPSED)

    def test_what_was_used_is_told_with_the_next_taking(self, store):
        first = store.quotas.take("acme", nothing(), 5_000, DAY_S, NOW)
        untold = store.quotas.day("acme", NOW)

        second = store.quotas.take("acme", heard(first, 50_000), 10_000, DAY_S, NOW)

        assert untold == DayOfSound(0, 0.0, 62.5, 0.0)
        # 55 s used and 7.5 s returned: of 945 s a sixteenth.
        assert second.mine.rest == 59_062 - 10_000
        assert store.quotas.day("acme", NOW) == DayOfSound(0, 55.0, 59.062, 0.0)

    def test_settling_tells_what_was_used_and_returns_the_rest(self, store):
        held = store.quotas.take("acme", nothing(), 5_000, DAY_S, NOW)

        store.quotas.settle("acme", held, rest=False)
        told = store.quotas.day("acme", NOW)
        for _ in range(2):  # twice is once
            store.quotas.settle("acme", held, rest=True)

        assert told == DayOfSound(0, 5.0, 57.5, 0.0)
        assert store.quotas.day("acme", NOW) == DayOfSound(0, 5.0, 0.0, 0.0)

    def test_what_is_never_settled_is_stranded_and_nobodys(self, store):
        store.quotas.take("acme", nothing("dead"), 5_000, DAY_S, NOW)

        stranded = store.quotas.day("acme", LAPSED)
        over = store.quotas.take("acme", nothing("w2"), 937_501, DAY_S, LAPSED)
        fits = store.quotas.take("acme", nothing("w2"), 937_500, DAY_S, LAPSED)

        assert stranded == DayOfSound(0, 0.0, 0.0, 62.5)
        assert (over, fits.mine.spent) == (None, 937_500)

    def test_a_taking_whose_answer_was_lost_returns_with_the_next(self, store):
        store.quotas.take("acme", nothing(), 5_000, DAY_S, NOW)

        held = store.quotas.take("acme", nothing(), 5_000, DAY_S, NOW)

        assert (held.taken, held.mine.granted) == (62_500, 62_500)

    @pytest.mark.parametrize(
        ("cost_ms", "fits"), [(1_000_000, True), (1_000_001, False)], ids=["all of it", "more"]
    )
    def test_a_day_has_room_for_its_last_thousandth(self, store, cost_ms, fits):
        held = store.quotas.take("acme", nothing(), cost_ms, DAY_S, NOW)

        assert (held is not None) is fits
        left = store.quotas.day("acme", NOW)
        assert left.reserved_s + left.used_s == (DAY_S if fits else 0.0)

    def test_without_a_limit_it_is_counted(self, store):
        held = store.quotas.take("acme", nothing(), 5_000, None, NOW)

        assert held.mine.granted == SOUND.slice
        assert store.quotas.day("acme", NOW).reserved_s == SOUND.slice / 1_000

    def test_each_utc_day_is_its_own(self, store):
        held = store.quotas.take("acme", nothing(), 1_000_000, DAY_S, NOW)

        fresh = store.quotas.take("acme", held, 1_000_000, DAY_S, MIDNIGHT)

        assert (fresh.day, fresh.mine.spent) == (MIDNIGHT.date().isoformat(), 1_000_000)

    def test_a_clock_set_back_over_midnight_begins_no_day(self, store):
        late = MIDNIGHT - timedelta(seconds=1)
        store.quotas.take("acme", nothing(), 1_000_000, DAY_S, MIDNIGHT)

        assert store.quotas.take("acme", nothing("w2"), 1, DAY_S, late) is None
        assert store.quotas.day("acme", late) == store.quotas.day("acme", MIDNIGHT)

    def test_settling_yesterdays_returns_nothing_to_today(self, store):
        yesterdays = store.quotas.take("acme", nothing(), 5_000, DAY_S, NOW)
        store.quotas.take("acme", nothing("w2"), 900_000, DAY_S, MIDNIGHT)

        store.quotas.settle("acme", yesterdays, rest=True)

        assert store.quotas.take("acme", nothing("w3"), 100_001, DAY_S, MIDNIGHT) is None

    def test_nothing_is_kept_of_a_slice_the_store_does_not_know(self, store):
        """As after its tenant was erased, while a process still held it."""
        elsewhere = Portion(TODAY, 1_000, Slice("w9", LAPSED, 1_000, 500))

        for tenant in ("acme", "nobody"):
            store.quotas.settle(tenant, elsewhere, rest=True)
            store.quotas.settle(tenant, elsewhere, rest=False)
            assert store.quotas.day(tenant, NOW) == DayOfSound()

    def test_nobody_hears_for_an_unknown_tenant(self, store):
        with pytest.raises(UnknownTenant):
            store.quotas.take("nobody", nothing(), 1, DAY_S, NOW)

        assert store.quotas.day("nobody", NOW) == DayOfSound()
        assert store.tenants.get("nobody") is None


class TestUploads:
    @pytest.mark.parametrize(("seconds", "late"), [(937.5, False), (937.6, True)])
    def test_uploads_count_what_slices_hold(self, store, seconds, late):
        store.quotas.take("acme", nothing(), 5_000, DAY_S, NOW)

        made = upload(store, 1, seconds, limited(seconds_a_day=DAY_S))

        assert (made.state is State.DEFERRED) is late

    @pytest.mark.parametrize(("cost_ms", "fits"), [(400_000, True), (400_001, False)])
    def test_slices_count_what_was_uploaded(self, store, cost_ms, fits):
        upload(store, 1, 600.0, limited(seconds_a_day=DAY_S))

        held = store.quotas.take("acme", nothing(), cost_ms, DAY_S, NOW)

        assert (held is not None) is fits
        assert store.quotas.day("acme", NOW).files == 1

    def test_the_limit_that_defers_is_said_until_its_time_has_come(self, store):
        tenant, number = limited(files_a_day=1), 2
        upload(store, 1, 10.0, tenant)

        late = upload(store, number, 10.0, tenant)
        [line] = store.recordings.history(late.id)
        queued = store.jobs.undefer(
            MIDNIGHT, lambda one, ledger: place(one, tenant, ledger, MIDNIGHT, promised=True)
        )

        said = "Of the tenant's 1 files a day 1 are used. The next day begins at 2026-03-02 00:00"
        assert late.error == Failure("over_quota", f"{said} UTC.")
        assert line.reason == f"deferred: {late.error.message}"
        assert queued == 1
        assert store.recordings.get(late.id).error is None

    def test_deferred_anew_it_says_the_new_day(self, store):
        tenant = limited(seconds_a_day=15.0)
        upload(store, 1, 10.0, tenant)
        late = upload(store, 2, 10.0, tenant)
        upload(store, 3, 10.0, tenant, MIDNIGHT)

        store.jobs.undefer(
            MIDNIGHT, lambda one, ledger: place(one, tenant, ledger, MIDNIGHT, promised=True)
        )

        known = store.recordings.get(late.id)
        assert known.deferred_until == next_midnight(MIDNIGHT)
        assert "begins at 2026-03-03 00:00 UTC" in known.error.message

    def test_what_place_raises_is_raised_and_nothing_changes(self, store):
        tenant = replace(limited(files_a_day=1), over_quota=OverQuotaPolicy.REFUSE)
        upload(store, 1, 10.0, tenant)

        with pytest.raises(OverQuota):
            upload(store, 2, 10.0, tenant)

        assert store.recordings.get("rec00002") is None
        assert store.quotas.day("acme", NOW) == DayOfSound(1, 10.0, 0.0, 0.0)


class TestR9:
    @pytest.mark.parametrize(
        ("rule", "allowed"),
        [
            pytest.param("files_a_day", 20, id="files"),
            pytest.param("seconds_a_day", 1_230.0, id="s"),
        ],
    )
    def test_64_uploads_at_once_never_pass_the_days_quota(self, store, rule, allowed):
        tenant = limited(**{rule: allowed})

        at_once(64, lambda n: upload(store, n, 60.0, tenant), range(64))

        counts = store.recordings.counts()
        assert (counts[State.RECEIVED], counts[State.DEFERRED]) == (20, 44)


#: For each process of each generation: how many lines it says before it is killed; None: it ends
#: by itself.
GENERATIONS = [(3, 20, 11, 1), (7, 2, 30, 5), (None,) * 4]


class Crowd:
    """Four processes at once, sixteen threads each; two generations of them are killed."""

    def __init__(self, where, limit_s):
        self._where, self._limit_s = where, limit_s
        self._begun = Barrier(len(GENERATIONS[0]))  # none hears before all are there
        self._heard_s, self._killed, self.failed = [], [], []

    @property
    def heard_s(self):
        return sum(self._heard_s)

    @property
    def killed(self):
        return len(self._killed)

    def run(self):
        for number, lives in enumerate(GENERATIONS):
            names = [f"w{slot}-{number}" for slot in range(len(lives))]
            with ThreadPoolExecutor(len(lives)) as pool:
                list(pool.map(self._process, names, lives))

    def _process(self, name, lines):
        command = [sys.executable, "-m", "tests.contracts.crowd", self._where, str(self._limit_s)]
        ends = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen([*command, name], **ends) as process:
            said = 0
            for said, line in enumerate(process.stdout, 1):
                if said == 1:
                    self._begun.wait()
                what, _, seconds = line.partition(" ")
                if what == "heard":
                    self._heard_s.append(float(seconds))
                if said == lines:
                    process.kill()
                    self._killed.append(name)
                    break
                process.stdin.write("\n")
                process.stdin.flush()
        if not said:
            self._begun.abort()  # whoever waits for it waits in vain
        if lines is None and process.returncode:
            self.failed.append(name)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite", "firestore"])
def test_64_at_once_and_killed_never_pass_the_cap(backend, tmp_path, request):
    """R9: intake and callers who wait, both at once, through kill -9 and restarts."""
    if backend == "sqlite":
        built, where, limit_s = sqlite_on_disk(tmp_path), str(tmp_path / "store.db"), 20_000.0
    else:
        client = request.getfixturevalue("firestore_client")
        built, where, limit_s = firestore(client, tmp_path), client.project, 6_000.0
    built.tenants.put(limited(files_a_day=None, seconds_a_day=limit_s))
    crowd = Crowd(where, limit_s)

    crowd.run()

    day, uploaded = built.quotas.day("acme", LAPSED), built.recordings.counts()[State.RECEIVED]
    print(f"{day}, uploads {uploaded}, heard {crowd.heard_s:.0f} s, killed {crowd.killed}")
    assert (crowd.failed, crowd.killed) == ([], 8)
    assert uploaded * UPLOAD_S + crowd.heard_s <= limit_s
    assert day.files == uploaded
    assert day.used_s + day.reserved_s + day.stranded_s <= limit_s
    # All of it was heard but for less than a clip, and what the killed held: a slice each.
    assert limit_s - day.used_s - day.stranded_s < UPLOAD_S
    assert 0.0 < day.stranded_s <= crowd.killed * SOUND.slice / MILLI
    assert min(uploaded, crowd.heard_s) > 0
