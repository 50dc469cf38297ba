"""An export in an empty HOME answers as its source did; what is damaged changes nothing."""

import io
import json
import random
import stat
import zipfile
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest
from anyio.from_thread import start_blocking_portal
from fastapi.testclient import TestClient

from gateway.main import create_app
from shared import wiring
from shared.domain.corrections import Author, Said
from shared.domain.recording import Hold
from shared.domain.result import read
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.errors import ImportRefused, UnderHold
from shared.flows.correct import Correct
from shared.flows.parcel import opened
from shared.settings import Settings
from tests.archived import archived
from tests.builders import NOW
from tests.exported import exports
from tests.gateway.conftest import HOST
from tests.gateway.testimony import Filled, tone
from tests.laid_out import laid_out
from tests.sounds import tone_wav

SEED = 20260301


class House:
    """A HOME and its gateway."""

    def __init__(self, home):
        self.app = create_app(Settings(home=laid_out(home), broker_url="http://127.0.0.1:9"))
        self.parts = self.app.state.parts
        self.client = TestClient(self.app, base_url=f"http://{HOST}")

    def exported(self, tenant="acme", originals=True):
        whole = exports(self.parts, self.parts.settings.home / "tmp")
        whole.at = self.parts.now()
        return whole.whole(tenant, originals)

    def bring_in(self, content, tenant=None):
        return wiring.bring_in(self.parts)(io.BytesIO(content), tenant)

    def answers(self, tenant="acme"):
        """Address -> what a GET there says, over all that is told of a tenant's recordings."""
        asked = [f"/v1/recordings?tenant={tenant}&limit=200", f"/v1/dead-letters?tenant={tenant}"]
        asked += [f"/v1/search?tenant={tenant}&q={q}" for q in ("dog", "%22door closed%22", "duck")]
        for one in self.parts.recordings.page(tenant, limit=1_000):
            at = f"/v1/recordings/{one.id}"
            asked += [at, f"{at}/history", f"{at}/audio", f"{at}/corrections"]
            asked += [f"{at}/decisions.json", f"/v1/dead-letters/{one.id}"]
            asked += [f"{at}/transcript.{form}" for form in ("json", "srt", "vtt", "txt")]
            asked += [f"{at}/transcript.txt?corrected=true"]
        with start_blocking_portal() as self.client.portal:  # else a loop of its own for each
            found = {one: self.client.get(one) for one in asked}
        self.client.portal = None
        return {one: (answer.status_code, answer.content) for one, answer in found.items()}


@pytest.fixture
def house(tmp_path):
    return House(tmp_path / "source")


@pytest.fixture
def empty(tmp_path):
    return House(tmp_path / "empty")


@pytest.fixture
def filled(house):
    """Of acme: done, corrected, dead, discarded."""
    parts, store = house.parts, Filled(house.parts)
    parts.tenants.ensure("acme", Tier.PRO, NOW)
    parts.tenants.put(replace(parts.tenants.get("acme"), overrides=(("keep_days", 400.0),)))
    kept = {"tenant": "acme"}
    talk = store.done("talk.wav", sounds=[("dog bark", 2.0, 3.0)], content=tone_wav(2.0), **kept)
    correct = Correct(parts.corrections, parts.results, parts.now)
    first = read(parts.results.load(talk.result, "result.json")).transcript.segments[0]
    said = Said(first.start_s, first.end_s, "the witness heard a duck", first.channel)
    correct(talk, 0, Author("Ann"), [said])
    store.done("Zoë's <b>second</b>\n'talk'.WAV", content=tone(0.2), **kept)
    store.done("third.wav", [(1.0, "the door closed")], **kept)
    store.dead(**kept)
    gone = store.dead("gone.wav", **kept)
    parts.jobs.discard(gone.id, "somebody", "noise", store.at)
    return store


def test_every_answer_is_the_same(house, filled, empty):
    before = house.answers()

    report = empty.bring_in(house.exported())

    assert (report.tenant, report.brought, report.left) == ("acme", 5, 0)
    assert empty.answers() == before
    assert sum(status == 200 for status, _ in before.values()) > 30


def test_the_tenant_is_as_it_was(house, filled, empty):
    empty.bring_in(house.exported())

    assert empty.parts.tenants.get("acme") == house.parts.tenants.get("acme")


def test_an_export_of_an_import_holds_the_same(house, filled, empty):
    """Every file but the log of who did what, which each HOME keeps of its own."""
    content = house.exported()
    empty.bring_in(content)

    def files(archive):
        with zipfile.ZipFile(io.BytesIO(archive)) as found:
            names = [name for name in found.namelist() if name.startswith("recordings/")]
            return {name: sha256(found.read(name)).hexdigest() for name in names}

    assert files(empty.exported()) == files(content)


def test_without_originals_only_the_sound_is_missing(house, filled, empty):
    before = house.answers()

    empty.bring_in(house.exported(originals=False))

    after = empty.answers()
    assert {one for one in before if before[one] != after[one]} == {
        one for one in before if one.endswith("/audio")
    }


@pytest.mark.parametrize("tenant", ["acme", "elsewhere"])
@pytest.mark.parametrize("cleared", [True, False])
def test_what_is_archived_is_brought_in_as_its_flac(house, filled, empty, tenant, cleared):
    [talk] = [one for one in house.parts.recordings.page("acme") if one.path == "talk.wav"]
    kept = archived(house.parts, talk.id, NOW, cleared=cleared).archived

    content = house.exported()
    empty.bring_in(content, tenant)

    [there] = [one for one in empty.parts.recordings.page(tenant) if one.path == "talk.wav"]
    answer = empty.client.get(f"/v1/recordings/{there.id}/audio")
    assert there.archived.name.startswith(f"archive/{tenant}/{there.id}/")
    assert (there.archived.size_bytes, there.clear_at) == (kept.size_bytes, None)
    assert answer.headers["content-type"] == "audio/flac"
    assert len(answer.content) == kept.size_bytes
    with zipfile.ZipFile(io.BytesIO(content)) as found:
        assert found.read(f"recordings/{talk.id}/original.wav.flac") == answer.content
    if tenant == "acme":
        assert empty.answers() == house.answers()


def test_nothing_is_announced_and_nothing_is_heard_again(house, filled, empty):
    empty.bring_in(house.exported())

    assert empty.parts.outbox.pending() == []
    assert empty.parts.arrivals.pull(NOW + timedelta(days=1)) == []
    assert set(empty.parts.jobs.waiting(NOW + timedelta(days=365)).values()) == {0}
    ids = {one.id for one in empty.parts.recordings.page(limit=100)}
    wiring.reconcile(empty.parts)()
    assert {one.id for one in empty.parts.recordings.page(limit=100)} == ids


def test_a_dead_letter_can_be_replayed_there(house, filled, empty):
    empty.bring_in(house.exported())
    [dead] = empty.parts.jobs.dead("acme")

    assert empty.parts.jobs.replay(dead.id, "somebody", NOW).state is State.QUEUED


def test_what_was_not_finished_is_queued_where_its_sound_is_there(house, empty):
    waiting = Filled(house.parts).received("waiting.wav", tenant="acme")

    report = empty.bring_in(house.exported())

    found = empty.parts.recordings.get(waiting.id)
    assert (report.brought, found.state) == (1, State.QUEUED)
    lease = empty.parts.jobs.lease_next([found.lane], "w", house.parts.now(), 60)
    assert lease.recording.id == waiting.id


def test_what_was_not_finished_is_left_out_without_its_sound(house, empty):
    waiting = Filled(house.parts).received("waiting.wav", tenant="acme")

    report = empty.bring_in(house.exported(originals=False))

    assert (report.brought, report.left) == (0, 1)
    assert empty.parts.recordings.get(waiting.id) is None


def test_what_was_held_is_held_there(house, empty):
    store = Filled(house.parts)
    hold = Hold("in court", "counsel", NOW)
    known = store.received("held.wav", tenant="acme", hold=hold)

    empty.bring_in(house.exported())

    assert empty.parts.recordings.get(known.id).hold == hold
    with pytest.raises(UnderHold):
        empty.parts.uploads.delete(known.name, known.generation)


def test_twice_is_once(house, filled, empty):
    content = house.exported()
    empty.bring_in(content)
    before = empty.answers()

    report = empty.bring_in(content)

    assert (report.brought, report.known) == (0, 5)
    assert empty.answers() == before


class BrokenAfter:
    """Imports until the power goes."""

    def __init__(self, imports, times):
        self._imports, self._times = imports, times

    def _left(self):
        if not self._times:
            raise KeyboardInterrupt
        self._times -= 1

    def bring(self, carried):
        self._left()
        return self._imports.bring(carried)

    def lay(self, upload, content, *, held):
        self._left()
        return self._imports.lay(upload, content, held=held)


@pytest.mark.parametrize("times", range(10))
def test_what_broke_off_goes_on_with_the_same_file(house, filled, empty, times):
    content, before = house.exported(), house.answers()
    broken = replace(empty.parts, imports=BrokenAfter(empty.parts.imports, times))
    with pytest.raises(KeyboardInterrupt):
        wiring.bring_in(broken)(io.BytesIO(content))

    empty.bring_in(content)

    assert empty.answers() == before


def test_a_tenant_with_recordings_of_its_own_takes_no_import(house, filled, empty):
    Filled(empty.parts).done("mine.wav", tenant="acme")
    before = empty.answers()

    with pytest.raises(ImportRefused, match="--tenant"):
        empty.bring_in(house.exported())

    assert empty.answers() == before


def test_under_another_name_it_stands_beside_its_source(house, filled):
    """In the very HOME it came from: ids follow from names, so they are others."""
    before = house.answers()

    report = house.bring_in(house.exported(), "acme-copy")

    assert (report.tenant, report.brought) == ("acme-copy", 5)
    assert house.answers() == before
    copies = house.parts.recordings.page("acme-copy", limit=100)
    assert [one.path for one in copies] == [
        one.path for one in house.parts.recordings.page("acme", limit=100)
    ]
    for one in copies:
        subject = house.client.get(f"/v1/recordings/{one.id}").json()["recording"]
        assert (subject["id"], subject["tenant"]) == (one.id, "acme-copy")
        assert "/acme-copy/" in subject["uri"]
        assert house.client.get(f"/v1/recordings/{one.id}/audio").status_code == 200
    text = house.client.get("/v1/search?tenant=acme-copy&q=dog").json()["hits"]
    assert {hit["recording"]["recording"]["tenant"] for hit in text} == {"acme-copy"}


def test_what_was_erased_there_stays_so(house, filled, empty):
    content = house.exported()
    empty.bring_in(content)
    [victim, *_] = empty.parts.recordings.page("acme", states=[State.DONE])
    wiring.erase(empty.parts).ask(victim.id, "somebody", NOW)
    wiring.erase(empty.parts).resume(NOW)

    report = empty.bring_in(content)

    assert (report.brought, report.erased) == (0, 1)
    assert empty.parts.recordings.get(victim.id).state is State.ERASED
    assert empty.parts.uploads.stat(victim.name, victim.generation) is None


# --- what is refused ------------------------------------------------------------------------------


def files_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as found:
        return {name: found.read(name) for name in found.namelist()}


def manifest(files, head):
    """The manifest of these files: whoever forges an archive writes a fitting one."""
    entries = [
        {"path": name, "size": len(content), "sha256": sha256(content).hexdigest()}
        for name, content in files.items()
    ]
    foot = {"entries": len(files), "size_bytes": sum(map(len, files.values()))}
    return b"".join(json.dumps(line).encode() + b"\n" for line in (head, *entries, foot))


def packed(files, kind=zipfile.ZIP_STORED, mode=0o100600):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as made:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type, info.external_attr = kind, mode << 16
            made.writestr(info, content)
    return out.getvalue()


def forged(content, change=lambda files: None, **head):
    """The archive with other files and a manifest that fits them."""
    files = files_of(content)
    first = json.loads(files.pop("manifest.jsonl").splitlines()[0])
    change(files)
    return packed({**files, "manifest.jsonl": manifest(files, first | head)})


def dossier_changed(recording=None, **changes):
    """Of the first recording."""

    def change(files):
        name = one_of(files, "recording.json")
        document = json.loads(files[name])
        document["recording"] |= recording or {}
        files[name] = json.dumps(document | changes).encode()

    return change


def renamed(to):
    return lambda files: files.update({to: b"{}"})


def one_of(files, end):
    return next(name for name in files if name.endswith(end))


def swapped_upload(files):
    name = one_of(files, "recording.json")
    document = json.loads(files[name])
    document["upload"]["name"] = "uploads/other/theirs.wav"
    files[name] = json.dumps(document).encode()


def shelved_at(name):
    kept = {"name": name, "generation": 1, "size_bytes": 9, "at": NOW.isoformat()}
    return dossier_changed(recording={"archived": kept})


FORGED = {
    "a FLAC of another": shelved_at(f"archive/other/{'a' * 32}/{'0' * 32}.flac"),
    "a FLAC that climbs": shelved_at("archive/acme/../../x.flac"),
    "a FLAC among uploads": shelved_at("uploads/acme/talk.wav"),
    "a path that climbs": renamed("../../outside.json"),
    "an absolute path": renamed("/etc/passwd"),
    "a recording with an id of its own making": renamed("recordings/x/recording.json"),
    "a result below a result": renamed(f"recordings/{'0' * 32}/results/../../x"),
    "a recording without papers": renamed(f"recordings/{'0' * 32}/results/result.json"),
    "another's id": dossier_changed(recording={"id": "0" * 32}),
    "another's tenant": dossier_changed(recording={"tenant": "other"}),
    "another's object": dossier_changed(recording={"name": "uploads/other/talk.wav"}),
    "a path as its name": dossier_changed(recording={"name": "uploads/acme/../../other"}),
    "another generation": dossier_changed(recording={"generation": 7}),
    "results elsewhere": dossier_changed(recording={"result": "results/other/x/1"}),
    "results above": dossier_changed(recording={"result": "results/acme/../../../x/1"}),
    "a token that is none": dossier_changed(recording={"result": "results/acme/x/../1"}),
    "sound that is another file": dossier_changed(original="tenant.json"),
    "an object that is another": swapped_upload,
    "a document that is none": lambda files: files.update({one_of(files, "recording.json"): b"[]"}),
    "a result that is none": lambda files: files.update({one_of(files, "result.json"): b"{}"}),
    "a tenant with a path for a name": lambda files: files.update(
        {"tenant.json": files["tenant.json"].replace(b'"acme"', b'"../x"')}
    ),
    "no tenant": lambda files: files.pop("tenant.json"),
    "no result": lambda files: files.pop(one_of(files, "results/result.json")),
}


def refused(house, content):
    """It says so, and nothing was changed."""
    before = [house.parts.tenants.all(), house.parts.recordings.page(limit=100)]
    with pytest.raises(ImportRefused) as error:
        house.bring_in(content)
    assert [house.parts.tenants.all(), house.parts.recordings.page(limit=100)] == before
    assert house.parts.results.folders() == []
    assert house.parts.uploads.page() == []
    assert house.parts.bookmarks.get("import-acme") is None
    return str(error.value)


@pytest.fixture
def content(house, filled):
    return house.exported()


def test_an_archive_packed_anew_as_it_was_is_taken(content, empty):
    """So that the refusals below are for what was changed, not for the packing."""
    assert empty.bring_in(forged(content)).brought == 5


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED)
def test_a_forged_archive_changes_nothing(content, empty, change):
    assert refused(empty, forged(content, change))


@pytest.mark.parametrize("form", ["earwitness.export/v2", "somebody.else/v1"])
def test_an_archive_of_another_kind_is_refused(content, empty, form):
    said = refused(empty, forged(content, format=form))

    assert ("newer" in said) == form.startswith("earwitness")


def test_an_archive_cut_short_anywhere_is_refused(content, empty):
    dice = random.Random(SEED)
    for at in [0, 1, len(content) - 1, *(dice.randrange(len(content)) for _ in range(20))]:
        assert "Fetch" in refused(empty, content[:at])


def test_a_flipped_byte_of_any_file_is_found(content, empty):
    """In the content of each: stored as it is, so that it can be found there."""
    for name, whole in files_of(content).items():
        assert content.count(whole) >= 1, name
        at = content.rindex(whole) + len(whole) // 2
        damaged = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        assert refused(empty, damaged)


def test_a_flipped_bit_anywhere_is_refused_or_means_nothing(content, empty):
    """Most of a zip's headers are dates and hints that nobody reads."""
    before, dice = files_of(content), random.Random(SEED)
    for _ in range(300):
        at = dice.randrange(len(content))
        damaged = content[:at] + bytes([content[at] ^ 1 << dice.randrange(8)]) + content[at + 1 :]
        try:
            with opened(io.BytesIO(damaged)) as parcel:
                found = {one: parcel.file.read(one) for one in parcel.file.namelist()}
        except ImportRefused:
            continue
        assert found == before


def test_a_file_that_grows_when_it_is_read_is_not_read(content, empty):
    """Gigabytes of zeros are a few kilobytes deflated; nothing of ours is deflated."""
    files = files_of(content) | {"webhooks.json": bytes(100 << 20)}
    bomb = packed(files, zipfile.ZIP_DEFLATED)

    assert len(bomb) < 1 << 20
    assert "packed anew" in refused(empty, bomb)


def test_links_are_no_files(content, empty):
    assert refused(empty, packed(files_of(content), mode=stat.S_IFLNK | 0o777))


def test_two_files_of_one_name_are_refused(content, empty):
    files = files_of(content)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made, pytest.warns(UserWarning, match="Duplicate"):
        for name, one in [*files.items(), ("tenant.json", b"{}")]:
            made.writestr(zipfile.ZipInfo(name), one)

    assert "two files" in refused(empty, out.getvalue())


@pytest.mark.parametrize("change", ["dropped", "doubled", "longer", "without its end"])
def test_a_manifest_that_does_not_fit_is_refused(content, empty, change):
    files = files_of(content)
    lines = files["manifest.jsonl"].splitlines(keepends=True)
    damaged = {
        "dropped": lines[:3] + lines[4:],
        "doubled": [*lines[:3], lines[3], *lines[3:]],
        "longer": [*lines, lines[3]],
        "without its end": lines[:-1],
    }[change]

    assert "Fetch" in refused(empty, packed(files | {"manifest.jsonl": b"".join(damaged)}))


def test_a_text_is_no_archive(empty):
    assert "zip" in refused(empty, b"hello")
