"""What arguments name, what they become, and when waiting ends."""

import io
import json
import os
import sys
from contextlib import contextmanager

import pytest

from earwitness.client import ServerFailed
from local import errand
from local.claim import Up, claim, write_note
from local.errand import Delivery, Guard, Sound, Wait
from shared.domain.recording import Failure
from shared.domain.states import State
from shared.errors import AudioTooLarge, InvalidWish, UnknownTenant
from tests.client.line import Answers, Line


def test_files_folders_and_stdin_keep_their_order(tmp_path):
    (tmp_path / "calls" / "deep").mkdir(parents=True)
    for name in ("b.wav", "calls/z.wav", "calls/deep/a.wav", "calls/.no.wav", "calls/x.part"):
        (tmp_path / name).write_bytes(b"x")

    asked = [str(tmp_path / "b.wav"), "-", str(tmp_path / "calls")]

    assert [s.path for s in errand.sounds(asked)] == [
        "b.wav",
        "stdin",
        "calls/deep/a.wav",
        "calls/z.wav",
    ]


def test_links_in_a_folder_are_left_out(tmp_path):
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls" / "x.wav").symlink_to("/etc/hostname")

    assert list(errand.sounds([str(tmp_path / "calls")])) == []


def test_expected_recording_has_the_id_that_intake_gives(world, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"x")
    upload = errand.bring_in(
        world.parts, Sound("calls/a.wav", tmp_path / "a.wav"), "demo", {"language": "de"}
    )

    draft = errand.expected(world.parts, upload)

    assert (draft.id, draft.path, draft.tenant) == (errand.id_of(upload), "calls/a.wav", "demo")
    assert (draft.state, draft.wishes.language) == (State.RECEIVED, "de")
    assert upload.name == "uploads/demo/calls/a.wav"


def test_standard_input_is_taken_as_it_comes(world, monkeypatch):
    class Stdin:
        buffer = io.BytesIO(b"sound")

    monkeypatch.setattr(sys, "stdin", Stdin)

    upload = errand.bring_in(world.parts, Sound("stdin", None), "demo", {})

    assert (upload.name, upload.size_bytes) == ("uploads/demo/stdin", 5)


@pytest.fixture
def line():
    """A door that is not there yet; tests say what answers."""
    with Line(20_000).up() as made:
        yield made


@contextmanager
def running_at(world, url):
    """As `earwitness up` leaves it: the claim, the note, the token."""
    home = world.parts.settings.home
    with claim(home):
        write_note(home, Up(os.getpid(), url, "", "", "", "", ""))
        (home / "keys").mkdir(exist_ok=True)
        (home / "keys" / "page.token").write_text("token")
        yield


def sound(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"sound")
    return Sound("a.wav", tmp_path / "a.wav")


def test_gateway_that_has_just_stopped_leaves_the_store(world, tmp_path):
    with running_at(world, "http://127.0.0.1:1"), Delivery(world.parts, patience_s=0) as deliver:
        upload = deliver(sound(tmp_path), "demo", {})

    assert [p.event for p in world.parts.uploads.events()] == [upload]


def minted(url, recording_hint="0" * 32):
    address = {"url": f"{url}/v1/uploads/X", "method": "PUT", "headers": {}}
    told = {"recording_hint": recording_hint, "expires_at": "2030-01-01T00:00:00Z", **address}
    return Answers("201 Created", json.dumps(told).encode())


def test_upload_that_may_have_arrived_is_not_brought_in_again(world, line, tmp_path):
    line.faults = [minted(line.url), *[Answers("503 No")] * 9]

    with (
        running_at(world, line.url),
        Delivery(world.parts, patience_s=0) as deliver,
        pytest.raises(ServerFailed) as broken,
    ):
        deliver(sound(tmp_path), "demo", {})

    assert broken.value.context["recording_id"] == "0" * 32
    assert world.parts.uploads.events() == []


TOO_LARGE = b'{"error": {"message": "!", "type": "t", "param": null, "code": "audio_too_large"}}'


def test_what_is_too_large_for_the_door_gets_its_recording_all_the_same(world, line, tmp_path):
    line.faults = [Answers("413 No", TOO_LARGE)]

    with running_at(world, line.url), Delivery(world.parts) as deliver:
        upload = deliver(sound(tmp_path), "demo", {})

    assert [p.event for p in world.parts.uploads.events()] == [upload]


def test_standard_input_that_was_read_is_not_taken_for_empty(world, line, monkeypatch):
    class Stdin:
        buffer = io.BytesIO(b"sound")

    monkeypatch.setattr(sys, "stdin", Stdin)
    line.faults = [Answers("413 No", TOO_LARGE)]

    with (
        running_at(world, line.url),
        Delivery(world.parts) as deliver,
        pytest.raises(AudioTooLarge),
    ):
        deliver(Sound("stdin", None), "demo", {})

    assert world.parts.uploads.events() == []


@pytest.mark.parametrize(
    ("tenant", "metadata", "error"),
    [("nobody", {}, UnknownTenant), ("demo", {"language": "Klingon!"}, InvalidWish)],
    ids=["tenant", "wish"],
)
def test_what_intake_would_refuse_is_said_at_once(world, tmp_path, tenant, metadata, error):
    (tmp_path / "a.wav").write_bytes(b"x")

    with pytest.raises(error):
        errand.bring_in(world.parts, Sound("a.wav", tmp_path / "a.wav"), tenant, metadata)

    assert world.parts.uploads.events() == []


class Looks:
    """Stands between looks, where time passes; does one thing after another."""

    def __init__(self, *happenings):
        self.happenings, self.now_s, self.guarded, self.updates = list(happenings), 0.0, 0, []

    def pause(self, seconds):
        self.now_s += seconds
        if self.happenings:
            self.happenings.pop(0)()

    def monotonic(self):
        return self.now_s

    def guard(self):
        self.guarded += 1

    def update(self, recordings):
        self.updates.append([r and r.state for r in recordings])

    def wait(self, parts, ids):
        return Wait(parts, self.guard, self, self.pause, self.monotonic)(ids)


def test_wait_ends_when_everything_is_settled_in_the_order_given(world):
    looks = Looks(lambda: world.rejected("b.txt"), lambda: world.done("a.wav"))

    heard = looks.wait(world.parts, ["rec00002", "rec00001"])

    assert [r.path for r in heard] == ["a.wav", "b.txt"]
    assert looks.updates == [
        [None, None],
        [None, State.REJECTED],
        [State.DONE, State.REJECTED],
    ]


def test_wait_looks_after_the_stack_now_and_then(world):
    looks = Looks(*([lambda: None] * 40), world.done)

    looks.wait(world.parts, ["rec00001"])

    assert looks.guarded == 3  # at 0, 1 and 2 s


def test_dead_and_put_off_are_settled_too(world):
    dead = world.dead()
    late = world.queued("late.wav", state=State.RECEIVED)
    with world.parts.jobs._db.write() as db:
        db.execute("UPDATE recordings SET state = 'deferred' WHERE id = ?", (late.id,))

    heard = Looks().wait(world.parts, [dead.id, late.id])

    assert [r.state for r in heard] == [State.DEAD, State.DEFERRED]
    assert heard[0].error == Failure(
        "decoder_died", "The decoder died while reading this recording."
    )


def test_guard_starts_nothing_where_somebody_serves(world, home):
    said = []
    with claim(home), Guard(world.parts.settings, said.append) as guard:
        guard.look()
        guard.look()

    assert said == []
    assert not (home / "up.json").exists()
