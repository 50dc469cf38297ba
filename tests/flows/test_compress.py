"""Originals into their long-term form, and what was uploaded away: whatever comes in between."""

import hashlib
import io
import os
import zlib
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from shared.adapters.embedded.disk import full_disk_said, spooled
from shared.adapters.embedded.file_leftovers import FileLeftovers
from shared.adapters.embedded.file_results import FileResults
from shared.adapters.embedded.home_signer import HomeSigner
from shared.domain.erasures import Step
from shared.domain.lanes import Lane
from shared.domain.names import recording_id
from shared.domain.recording import Hold, Outcome, Topic
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.errors import NotCompressible, StoreUnavailable, UnderHold
from shared.flows.compress import TURN, Compress
from shared.flows.erase import Erase
from shared.flows.keep import Keep
from shared.flows.shelves import Shelves
from shared.ports import Uploads
from tests.builders import NOW, placed, recording
from tests.contracts.conftest import sqlite_on_disk

DAY = timedelta(days=1)
SOUND = b"RIFF and a sound " * 999


@dataclass
class Zipping:
    """A compressor without loss, of another kind; `during` is what happens while it works."""

    during: list = field(default_factory=list)
    asked: int = 0

    def __call__(self, read, size_bytes, into, alive):
        self.asked += 1
        content = read(0, size_bytes)
        into.write(zlib.compress(content))
        for one in self.during:
            one()
        alive()
        return hashlib.sha256(content).hexdigest()


@dataclass
class Publishing:
    """A broker that keeps what it is given."""

    rung: list = field(default_factory=list)

    def publish(self, messages):
        self.rung += [one.topic for one in messages]


@dataclass
class Through:
    """The uploads, of which a subclass does one thing otherwise."""

    uploads: Uploads

    def __getattr__(self, name):
        return getattr(self.uploads, name)


class House:
    def __init__(self, folder):
        self.store, self.at, self.folder = sqlite_on_disk(folder), NOW, folder
        self.store.tenants.ensure("acme", Tier.ENTERPRISE, NOW)
        self.compressor, self.broker, self.wanted = Zipping(), Publishing(), False
        self.uploads, self.retention = self.store.uploads, self.store.retention
        self.compress = self.compressing()
        self.shelves = Shelves(
            retention=self.retention,
            recordings=self.store.recordings,
            uploads=self.uploads,
            bookmarks=self.store.bookmarks,
            publisher=self.broker,
            after_days=30,
        )
        self.keep = Keep(self.store.tenants, self.retention, self.uploads, lambda: self.at)
        self.erase = Erase(
            recordings=self.store.recordings,
            uploads=self.uploads,
            results=self.store.results,
            temporary=FileResults(folder / "tmp"),
            leftovers=FileLeftovers(folder, self.uploads.clear),
            erasures=self.store.erasures,
            retention=self.retention,
            signer=HomeSigner(folder / "keys"),
            processors={},
        )

    def compressing(self, uploads=None, after_days=30, spool=lambda: spooled(None)):
        return Compress(
            retention=self.retention,
            uploads=uploads or self.uploads,
            compressor=self.compressor,
            publisher=self.broker,
            spool=spool,
            now=lambda: self.at,
            after_days=after_days,
        )

    def hears(self, number=1, content=SOUND, compress_at=NOW):
        """A recording that was heard and is to be compressed then."""
        name, kind = f"uploads/acme/{number}.wav", "audio/wav"
        made = self.store.inlet.put(
            name, io.BytesIO(content), content_type=kind, metadata={}, at=NOW
        )
        draft = recording(
            number,
            id=recording_id(made.bucket, name, made.generation),
            generation=made.generation,
            size_bytes=made.size_bytes,
            uploaded_at=NOW,
            kept_until=NOW + 365 * DAY,
        )
        self.store.recordings.create_or_get(draft, lambda _: placed())
        lease = self.store.jobs.lease_next([Lane.LOW], "w", NOW, 60)
        assert lease.recording.id == draft.id
        outcome = Outcome("results/x", 1.0, None, None, False, compress_at=compress_at)
        return self.store.jobs.complete(lease, outcome, [], NOW).id

    def known(self, id):
        return self.store.recordings.get(id)

    def compresses(self):
        return self.compress(lambda: self.wanted)

    def ticks(self, days=0.0):
        self.at += timedelta(days=days)
        found = Counter()
        self.shelves(self.at, found)
        return +found

    def uploaded(self, id):
        known = self.known(id)
        return self.uploads.stat(known.name, known.generation) is not None

    def shelved(self):
        return [one.name for one in self.uploads.shelved("archive/")]

    def reads(self, id):
        """The sound as it is kept, unpacked if it is packed."""
        known = self.known(id)
        original = known.original
        content = self.uploads.read(original.name, original.generation, 0, original.size_bytes)
        return zlib.decompress(content) if known.archived else content


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def reasons(house, id):
    return [line.reason for line in house.store.recordings.history(id)]


def test_an_original_is_compressed_and_what_was_uploaded_goes_two_days_later(house):
    id = house.hears()

    done, there = house.compresses(), house.uploaded(id)
    early = house.ticks(days=1.9)
    still = house.uploaded(id)
    late = house.ticks(days=0.2)

    assert (done, there, still, house.uploaded(id)) == (1, True, True, False)
    assert (early["uploads_cleared"], late["uploads_cleared"]) == (0, 1)
    assert house.reads(id) == SOUND
    assert house.shelved() == [house.known(id).archived.name]
    assert house.known(id).clear_at is None
    assert reasons(house, id)[-2:] == [
        f"archived: compressed without loss to {len(zlib.compress(SOUND)):,}"
        f" of {len(SOUND):,} bytes",
        "cleared: what was uploaded is gone; its FLAC stays",
    ]


def test_all_that_is_due_is_compressed_once(house):
    ids = [house.hears(number) for number in range(3)]
    later = house.hears(9, compress_at=NOW + timedelta(seconds=1))

    assert (house.compresses(), house.compresses()) == (3, 0)
    assert [house.known(id).archived is not None for id in (*ids, later)] == [True] * 3 + [False]
    assert house.broker.rung == []


def test_nothing_is_compressed_where_it_is_switched_off(house):
    id = house.hears()

    assert house.compressing(after_days=None)(lambda: False) == 0
    assert house.known(id).compress_at == NOW


def test_what_cannot_come_back_byte_for_byte_stays_as_it_came(house, caplog):
    id = house.hears()

    def refuse():
        raise NotCompressible("It is no sound of ours.")

    house.compressor.during = [refuse]
    caplog.set_level("INFO")

    assert (house.compresses(), house.compresses()) == (0, 0)
    assert (house.known(id).compress_at, house.known(id).archived) == (None, None)
    assert (house.shelved(), house.uploaded(id)) == ([], True)
    assert "It is no sound of ours." in caplog.text


def test_an_upload_that_is_not_what_its_digest_says_is_not_replaced(house):
    id = house.hears()

    class Lying(Zipping):
        def __call__(self, read, size_bytes, into, alive):
            super().__call__(read, size_bytes, into, alive)
            return "0" * 64

    house.compressor = Lying()

    assert house.compressing()(lambda: False) == 0
    assert (house.known(id).compress_at, house.shelved()) == (None, [])


def test_an_upload_that_is_gone_is_not_asked_about_again(house):
    id = house.hears()
    known = house.known(id)
    house.uploads.delete(known.name, known.generation)

    assert (house.compresses(), house.compresses()) == (0, 0)
    assert (house.known(id).compress_at, house.compressor.asked) == (None, 1)


def test_nothing_begins_under_hold_and_it_goes_on_after_the_release(house):
    id = house.hears()
    house.keep.hold(house.known(id), "a lawsuit", "cli")

    held = house.compresses()
    house.keep.release(house.known(id), "cli")

    assert (held, house.compressor.asked - 1, house.compresses()) == (0, -1, 1)


def test_a_hold_that_comes_while_it_is_compressed_wins(house):
    id = house.hears()
    house.compressor.during = [lambda: house.keep.hold(house.known(id), "a lawsuit", "cli")]

    assert house.compresses() == 0
    assert (house.known(id).archived, house.shelved()) == (None, [])
    assert house.uploaded(id)


def test_a_hold_that_comes_before_it_is_cleared_keeps_both(house):
    id = house.hears()
    house.compresses()
    house.keep.hold(house.known(id), "a lawsuit", "cli")

    found, known = house.ticks(days=9), house.known(id)

    assert (found["uploads_cleared"], house.uploaded(id)) == (0, True)
    for name, generation in (
        (known.name, known.generation),
        (known.archived.name, known.archived.generation),
    ):
        with pytest.raises(UnderHold):
            house.uploads.delete(name, generation)
    house.keep.release(known, "cli")
    assert (house.ticks()["uploads_cleared"], house.uploaded(id)) == (1, False)


def test_a_hold_that_comes_between_the_claim_and_the_deletion_stops_it(house):
    id = house.hears()
    house.compresses()
    known = house.known(id)

    class Held(Through):
        """The store of uploads, in which a hold comes just before the deletion."""

        def delete(self, name, generation):
            house.keep.hold(house.known(id), "a lawsuit", "cli")
            house.uploads.delete(name, generation)

    found = Counter()
    replace(house.shelves, uploads=Held(house.uploads))(NOW + 3 * DAY, found)

    assert (found["uploads_cleared"], found["failed"], house.uploaded(id)) == (0, 1, True)
    assert house.known(id).archived == known.archived


def test_an_erasure_that_comes_while_it_is_compressed_leaves_nothing(house):
    id = house.hears()
    house.compressor.during = [
        lambda: house.erase.run(house.erase.ask(id, "cli", house.at), house.at)
    ]

    assert house.compresses() == 0
    assert (house.shelved(), house.uploads.page()) == ([], [])


def test_an_archived_recording_is_erased_with_its_flac_and_the_receipt_says_so(house):
    id = house.hears()
    house.compresses()
    name = house.known(id).archived.name
    house.ticks(days=3)

    done = house.erase.run(house.erase.ask(id, "cli", house.at), house.at)

    assert (house.shelved(), done.after.archived) == ([], ())
    assert f'"{name}"' in done.receipt
    assert house.known(id).archived is None


def test_a_store_of_flacs_that_ignores_deletes_yields_no_receipt(house):
    id = house.hears()
    house.compresses()

    class Ignoring(Through):
        def delete(self, name, generation):
            if not name.startswith("archive/"):
                house.uploads.delete(name, generation)

    erase = replace(house.erase, uploads=Ignoring(house.uploads))
    begun = erase.attempt(erase.ask(id, "cli", house.at), house.at)

    assert begun.receipt is None
    assert house.store.erasures.of(id).receipt is None


def flac_of(id, token="1", tenant="acme"):
    return f"archive/{tenant}/{id}/{token * 32}.flac"


def test_a_tenant_takes_its_archive_along(house):
    other = flac_of("0" * 32, tenant="acme-b")
    house.hears()
    house.compresses()
    house.uploads.shelve(flac_of("0" * 32), io.BytesIO(b"x"), "audio/flac", NOW)
    house.uploads.shelve(other, io.BytesIO(b"x"), "audio/flac", NOW)

    house.erase.run(house.erase.ask_tenant("acme", "cli", house.at), house.at)

    assert house.shelved() == [other]


def test_another_generation_of_its_object_goes_too_also_once_only_its_flac_is_left(house):
    first = house.hears(1, b"the first " * 99)
    house.compresses()
    house.ticks(days=3)
    second = house.hears(1, b"the second " * 99, compress_at=None)
    assert not house.uploaded(first)

    house.erase.run(house.erase.ask(second, "cli", house.at), house.at)
    house.erase.resume(house.at)

    assert house.known(first).state is State.ERASED
    assert house.shelved() == []


@pytest.mark.parametrize("killed", ["shelve", "decide"])
def test_whoever_is_killed_is_followed_after_a_day_and_leaves_nothing(house, killed):
    """Killed right after the put, or before it: nothing points to what is left."""
    id = house.hears()

    class Killed(BaseException):
        pass

    class Killing(Through):
        def shelve(self, *given):
            if killed == "decide":
                house.uploads.shelve(*given)
            raise Killed

    with pytest.raises(Killed):
        house.compressing(uploads=Killing(house.uploads))(lambda: False)
    at_once = house.compresses()
    house.at += DAY

    assert (at_once, house.compresses()) == (0, 1)
    assert house.shelved() == [house.known(id).archived.name]
    assert house.reads(id) == SOUND


def test_a_store_in_trouble_holds_up_one_original_and_no_other(house):
    first, second = house.hears(1), house.hears(2, compress_at=NOW - DAY)

    class Troubled(Through):
        def shelve(self, name, *given):
            if second in name:
                raise StoreUnavailable
            return house.uploads.shelve(name, *given)

    assert house.compressing(uploads=Troubled(house.uploads))(lambda: False) == 1
    assert house.known(first).archived is not None
    assert house.known(second).compress_at == NOW + DAY


def test_a_full_disk_is_said_and_the_original_waits_for_tomorrow(house, caplog):
    id = house.hears()

    @contextmanager
    def full():
        with full_disk_said(), open("/dev/full", "wb", buffering=0) as file:  # noqa: PTH123
            yield file

    assert house.compressing(spool=full)(lambda: False) == 0
    assert (house.known(id).compress_at, house.shelved()) == (NOW + DAY, [])
    assert "disk is full" in caplog.text


def test_who_comes_second_takes_its_own_away_again(house):
    id = house.hears()

    def somebody_else():
        house.compressor.during = []
        with_claim = house.known(id)
        house.retention.decide(id, lambda it: it_due(it, house.at), "archive", house.at)
        assert with_claim.compress_at != house.at
        assert house.compress(lambda: False) == 1

    house.compressor.during = [somebody_else]

    assert house.compresses() == 0
    assert house.shelved() == [house.known(id).archived.name]
    assert house.reads(id) == SOUND


def it_due(known, at):
    return replace(known, compress_at=at)


def test_room_is_made_in_the_middle_and_the_lane_is_rung_again(house):
    id = house.hears()

    def wanted():
        house.wanted = True

    house.compressor.during = [wanted]

    assert house.compresses() == 0
    assert house.known(id).compress_at == NOW
    assert house.broker.rung == [Topic.LANE_LOW]
    house.wanted, house.compressor.during = False, []
    assert house.compresses() == 1


def test_nobody_is_rung_for_where_a_ticket_waits_that_goes_on(house):
    """Two places, three tickets: else each that makes room would ring for another."""
    house.hears()
    house.wanted = True

    assert house.compress(lambda: house.wanted, lambda: True) == 0
    assert house.broker.rung == []


def test_a_turn_ends_and_the_lane_is_rung_again(house):
    house.hears(1), house.hears(2)

    def time_passes():
        house.at += TURN

    house.compressor.during = [time_passes]

    assert (house.compresses(), house.broker.rung) == (1, [Topic.LANE_LOW])


def test_what_waited_for_a_week_is_rung_for_once_a_day(house):
    house.hears(compress_at=NOW - 7 * DAY)

    first, again, tomorrow = house.ticks(), house.ticks(days=0.1), house.ticks(days=1)

    assert [one["archive_rung"] for one in (first, again, tomorrow)] == [1, 0, 1]
    assert house.broker.rung == [Topic.LANE_LOW] * 2


def test_nobody_rings_where_nothing_is_due_and_a_later_tick_of_the_day_still_does(house):
    house.hears(compress_at=NOW - 7 * DAY + timedelta(hours=1))

    early, late = house.ticks(), house.ticks(days=1 / 24)

    assert (early["archive_rung"], late["archive_rung"]) == (0, 1)


def test_before_an_upload_goes_its_flac_is_looked_at_again(house, caplog):
    id = house.hears()
    house.compresses()
    kept = house.known(id).archived
    house.uploads.delete(kept.name, kept.generation)

    found = house.ticks(days=3)

    assert (found["uploads_cleared"], house.uploaded(id)) == (0, True)
    assert house.known(id).original.name == house.known(id).name
    assert "damaged" in caplog.text
    assert house.compresses() == 1
    assert house.reads(id) == SOUND


@pytest.mark.parametrize("damage", [b"", b"another sound of the same length"])
def test_a_flac_that_is_there_but_damaged_is_found(house, damage):
    id = house.hears()
    house.compresses()
    kept = house.known(id).archived
    [digest] = house.uploads.stat(kept.name, kept.generation).digests
    place = house.folder / "uploads" / digest[7:9] / digest[9:]
    if damage:
        place.write_bytes(damage.ljust(kept.size_bytes)[: kept.size_bytes])
    else:
        place.unlink()

    found = house.ticks(days=3)

    assert (found["uploads_cleared"], house.uploaded(id)) == (0, True)
    assert house.reads(id) == SOUND


def test_a_damaged_flac_under_hold_is_no_reason_to_forget_it(house):
    id = house.hears()
    house.compresses()
    known = house.known(id)

    class Held(Through):
        def intact(self, name, generation):
            house.keep.hold(house.known(id), "a lawsuit", "cli")
            return False

    replace(house.shelves, uploads=Held(house.uploads))(NOW + 3 * DAY, Counter())

    assert house.known(id).archived == known.archived
    house.keep.release(house.known(id), "cli")
    done = house.erase.run(house.erase.ask(id, "cli", house.at), house.at)
    assert (done.step, house.shelved()) == (Step.DONE, [])


def test_a_flac_that_is_held_and_nobodys_holds_up_no_other(house):
    id, other = house.hears(1, compress_at=None), house.hears(2, compress_at=None)
    for one in (id, other):
        house.uploads.shelve(flac_of(one), io.BytesIO(b"x"), "audio/flac", NOW)
    held = house.known(min(id, other))
    house.uploads.hold(flac_of(held.id), 1)

    found = house.ticks(days=2)

    assert (found["archive_removed"], house.shelved()) == (1, [flac_of(held.id)])
    house.keep.release(held, "cli")
    house.ticks(), house.ticks(days=1)
    assert house.shelved() == []


def test_what_is_archived_and_to_be_compressed_is_asked_about_once(house):
    """As a forged import could say it."""
    id = house.hears()
    house.compresses()
    house.retention.decide(id, lambda it: replace(it, compress_at=NOW), "import", NOW)

    assert house.compresses() == 0
    assert house.known(id).compress_at is None


def test_an_erasure_that_comes_before_it_is_put_lets_nothing_be_put(house):
    id, put = house.hears(), []

    class Noting(Through):
        def shelve(self, *given):
            put.append(given)
            return house.uploads.shelve(*given)

    house.compressor.during = [
        lambda: house.erase.run(house.erase.ask(id, "cli", house.at), house.at)
    ]

    assert house.compressing(uploads=Noting(house.uploads))(lambda: False) == 0
    assert put == []


def test_what_a_kill_left_on_the_way_into_the_archive_goes_with_the_erasure(house):
    id, tmp = house.hears(), house.folder / "tmp"
    for whose in (id, "0" * 32):
        (tmp / f"shelving-{whose}-1").write_bytes(b"fLaC and a sound")
        os.utime(tmp / f"shelving-{whose}-1", (0, 0))

    house.erase.run(house.erase.ask(id, "cli", house.at), house.at)

    assert [one.name for one in tmp.glob("shelving-*")] == [f"shelving-{'0' * 32}-1"]


def test_what_a_kill_had_laid_in_the_archive_goes_with_the_erasure_too(house):
    id, content = house.hears(), b"fLaC and a sound"
    digest = hashlib.sha256(content).hexdigest()
    copy, laid = house.folder / "tmp" / f"shelving-{id}-1", house.folder / "uploads" / digest[:2]
    copy.write_bytes(content)
    os.utime(copy, (0, 0))
    laid.mkdir(exist_ok=True)
    os.link(copy, laid / digest[2:])

    house.erase.run(house.erase.ask(id, "cli", house.at), house.at)

    assert not copy.exists()
    assert not (laid / digest[2:]).exists()


def test_its_flac_is_known_as_erased_when_it_comes_again(house):
    id = house.hears()
    house.compresses()
    kept = house.known(id).archived
    digests = house.uploads.stat(kept.name, kept.generation).digests

    house.erase.run(house.erase.ask(id, "cli", house.at), house.at)

    assert house.store.erasures.erased_before("acme", digests, house.at)


def test_what_somebody_left_in_the_archive_goes_and_what_nobody_knows_stays(house):
    id, other = house.hears(1), house.hears(2, compress_at=None)
    house.compresses()
    mine = house.known(id).archived.name
    strange = {"archive/readme", "archive/acme/x/y/z.flac", flac_of("0" * 32)}
    for name in (flac_of(id), flac_of(other), *strange):
        house.uploads.shelve(name, io.BytesIO(b"x"), "audio/flac", NOW)

    young = house.ticks(days=0.9)
    late = [house.ticks(days=1), house.ticks()]

    assert (young["archive_removed"], sum(one["archive_removed"] for one in late)) == (0, 2)
    assert set(house.shelved()) == {mine} | strange
    assert sum(one["archive_unknown"] for one in late) == len(strange)


def test_a_store_that_was_put_back_finds_the_only_original_there_is(house):
    id = house.hears()
    house.compresses()
    house.ticks(days=3)
    before = replace(house.known(id), archived=None, clear_at=None, compress_at=NOW)
    house.retention.decide(id, lambda _: before, "restore", house.at)

    found = house.ticks(days=2) + house.ticks(days=1)

    assert (found["archive_found_again"], found["archive_removed"]) == (1, 0)
    assert house.reads(id) == SOUND
    assert house.shelved() == [house.known(id).archived.name]
    assert (house.compresses(), house.ticks(days=3)["uploads_cleared"]) == (0, 0)


def test_what_a_store_that_was_put_back_finds_under_hold_is_held(house):
    id = house.hears()
    house.compresses()
    house.ticks(days=3)
    before = replace(house.known(id), archived=None, clear_at=None, compress_at=NOW)
    house.retention.decide(id, lambda _: before, "restore", house.at)
    house.keep.hold(house.known(id), "a lawsuit", "cli")

    house.ticks(days=2), house.ticks(days=1)

    kept = house.known(id).archived
    with pytest.raises(UnderHold):
        house.uploads.delete(kept.name, kept.generation)


def test_what_was_left_of_an_erased_recording_goes(house):
    """Put after the erasure had looked, by somebody who was killed then."""
    id = house.hears(compress_at=None)
    house.erase.run(house.erase.ask(id, "cli", house.at), house.at)
    house.uploads.shelve(flac_of(id), io.BytesIO(b"x"), "audio/flac", NOW)

    house.ticks()

    assert house.shelved() == []


def test_an_upload_can_be_held_by_its_reason_alone(house):
    """A hold straight in the store, before the object's: the claim sees it."""
    id = house.hears()
    house.compresses()
    house.retention.hold(id, Hold("a lawsuit", "cli", NOW))

    assert (house.ticks(days=3)["uploads_cleared"], house.uploaded(id)) == (0, True)
