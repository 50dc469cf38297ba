"""From a file in a folder to an upload: once, whole, and whatever its name."""

import errno
import hashlib
import os
import shutil
import threading

import pytest

from local.drops import Drop
from local.inbox import AGAIN_S, LOOK_EVERY_S, ROOM_AGAIN_S, STILL_S, Inbox, SeenDrops, Stillness
from shared import wiring
from shared.adapters.embedded.sqlite_database import Database
from shared.domain.names import recording_id
from shared.domain.tenants import Tier
from shared.errors import DiskFull, StoreUnavailable
from shared.wiring import STORE
from tests.builders import NOW, placed, recording
from tests.local.receiver import PATIENCE_S
from tests.local.test_drops import NAMES


class Box:
    """An inbox with a clock that a test moves; `settle` looks twice, a still while apart."""

    def __init__(self, world, folder):
        self.world, self.folder, self.now_s, self.said = world, folder, 0.0, []
        folder.mkdir(exist_ok=True)
        self.db = Database(world.parts.settings.home / STORE)
        self.inlet = world.parts.inlet
        self.open()

    def open(self, **given):
        self.inbox = Inbox(
            self.folder,
            self.inlet,
            self.world.parts.tenants,
            SeenDrops(self.db),
            lambda: NOW,
            room=self.world.parts.settings.home,
            say=self.said.append,
            **given,
        )

    def look(self, after_s=0.0):
        self.now_s += after_s
        return [(u.name, u.generation) for u in self.inbox.look_once(self.now_s)]

    def settle(self):
        self.look()
        return self.look(STILL_S)

    def drop(self, name, content=b"sound"):
        path = self.folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def content(self, name, generation=1):
        with self.world.parts.uploads.fetch(name, generation) as fetched:
            return fetched.file.read()


@pytest.fixture
def box(world, tmp_path):
    return Box(world, tmp_path / "inbox")


def drop_of(size_bytes=1, mtime_ns=1, inside="a.wav", tmp_path=None):
    return Drop(tmp_path, inside, size_bytes, mtime_ns)


@pytest.mark.parametrize(
    ("second", "at_s", "settled"),
    [
        ({}, 1.9, False),
        ({}, 2.0, True),
        ({"size_bytes": 2}, 2.0, False),
        ({"mtime_ns": 2}, 2.0, False),
        ({"inside": "b.wav"}, 2.0, False),
    ],
    ids=["too soon", "still", "grew", "touched", "another"],
)
def test_drop_is_taken_when_it_stood_still(second, at_s, settled):
    stillness = Stillness()
    stillness.settled([drop_of()], 0.0)

    assert bool(stillness.settled([drop_of(**second)], at_s)) is settled


def test_drop_that_vanished_starts_again():
    stillness = Stillness()
    stillness.settled([drop_of()], 0.0)
    stillness.settled([], 1.0)

    assert stillness.settled([drop_of()], 3.0) == []
    assert stillness.settled([drop_of()], 5.0) == [drop_of()]


def test_file_in_the_inbox_belongs_to_demo_and_is_copied(box):
    path = box.drop("talk.wav")

    assert box.settle() == [("uploads/demo/talk.wav", 1)]
    assert box.content("uploads/demo/talk.wav") == b"sound"
    assert path.read_bytes() == b"sound"


def test_file_is_taken_once(box):
    box.drop("talk.wav")
    box.settle()

    assert box.settle() == []
    box.open()  # the next start
    assert box.settle() == []


def test_changed_file_is_a_new_generation(box):
    box.drop("talk.wav")
    box.settle()
    box.drop("talk.wav", b"other sound")

    assert box.settle() == [("uploads/demo/talk.wav", 2)]
    assert box.content("uploads/demo/talk.wav", 2) == b"other sound"


def test_touched_file_is_not_heard_again_and_that_is_said(box):
    path = box.drop("talk.wav")
    box.settle()
    os.utime(path, ns=(1, 1))

    assert box.settle() == []
    assert "talk.wav holds what it held before" in box.said[-1]
    assert box.settle() == []
    assert len(box.said) == 1


def test_upload_that_was_kept_but_not_noted_is_not_taken_twice(box):
    """Killed between the two commits, the inbox once heard the same file again."""
    box.drop("talk.wav")
    box.world.upload("uploads/demo/talk.wav", b"sound")

    assert box.settle() == []
    assert box.settle() == []


def test_other_content_under_a_name_that_was_uploaded_is_a_new_generation(box):
    box.drop("talk.wav")
    box.world.upload("uploads/demo/talk.wav", b"from the page")

    assert box.settle() == [("uploads/demo/talk.wav", 2)]


def test_sub_folder_makes_a_free_tenant_and_says_so(box):
    box.drop("acme/2026/talk.wav")
    (box.folder / "empty-one").mkdir()

    assert box.settle() == [("uploads/acme/2026/talk.wav", 1)]
    assert box.world.parts.tenants.get("acme").tier is Tier.FREE
    assert box.world.parts.tenants.get("empty-one") is not None
    assert box.said == [
        "New folder acme/: tenant acme was made, tier free.",
        "New folder empty-one/: tenant empty-one was made, tier free.",
    ]


def test_folder_of_a_known_tenant_says_nothing(box):
    box.world.parts.tenants.ensure("acme", Tier.PRO, NOW)
    box.drop("acme/talk.wav")

    assert box.settle() == [("uploads/acme/talk.wav", 1)]
    assert box.said == []
    assert box.world.parts.tenants.get("acme").tier is Tier.PRO


@pytest.mark.parametrize("name", ["Acme", "ab", "a" * 41, "my calls", "größe", "a_b"])
def test_folder_that_is_no_tenant_is_left_alone_and_said_once(box, name):
    box.drop(f"{name}/talk.wav")

    assert box.settle() == []
    assert box.settle() == []
    [sentence] = box.said
    assert sentence.startswith(f"{name}/ is left alone")


@pytest.mark.parametrize("name", ["abc", "a" * 40, "0-9"])
def test_folder_at_the_edge_of_the_rule_is_a_tenant(box, name):
    box.drop(f"{name}/talk.wav")

    assert box.settle() == [(f"uploads/{name}/talk.wav", 1)]


def test_links_are_not_followed_and_said_once(box, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    (box.folder / "talk.wav").symlink_to(tmp_path / "secret")

    assert box.settle() == []
    assert box.settle() == []
    assert box.said == ["talk.wav is a link; the inbox follows none."]


def test_link_put_in_place_of_a_file_after_the_look_is_not_followed(box, tmp_path):
    (tmp_path / "secret").write_bytes(b"sound")
    path = box.drop("talk.wav")
    box.look()
    drop = next(iter(box.inbox._stillness._since.values()))[0]
    path.unlink()
    path.symlink_to(tmp_path / "secret")

    assert box.inbox._try(drop, 0.0) is None
    assert "cannot be read" in box.said[0]


@pytest.mark.parametrize("raw", NAMES.values(), ids=NAMES)
def test_strange_names_are_taken_once_and_whole(box, raw):
    box.drop(raw, raw)

    [(name, generation)] = box.settle()

    assert box.content(name, generation) == raw
    assert box.settle() == []


def test_name_that_is_not_utf8_is_said(box):
    box.drop(b"gr\xf6\xdfe.wav")

    [(name, _)] = box.settle()

    assert name.startswith("uploads/demo/gr\\xf6\\xdfe~")
    assert "not UTF-8" in box.said[0]


def test_file_that_changes_while_it_is_copied_waits(box):
    path = box.drop("talk.wav")
    put = box.inlet.put

    class Growing:
        """An inlet during whose copy the file grows once."""

        grown = False

        def put(self, name, content, **given):
            if not self.grown:
                self.grown = True
                with path.open("ab") as file:
                    file.write(b" and more")
            return put(name, content, **given)

    box.inlet = Growing()
    box.open()

    assert box.settle() == []
    assert box.settle() == [("uploads/demo/talk.wav", 1)]
    assert box.content("uploads/demo/talk.wav") == b"sound and more"


class Full:
    """An inlet on a disk that is full once."""

    def __init__(self, inlet, error):
        self.inlet, self.error = inlet, error

    def put(self, *given, **named):
        if self.error:
            error, self.error = self.error, None
            raise error
        return self.inlet.put(*given, **named)


@pytest.mark.parametrize(
    ("error", "said", "again_s"),
    [
        (DiskFull(), "talk.wav waits: The disk is full", ROOM_AGAIN_S),
        (OSError(errno.EIO, "Input/output error"), "cannot be read (Input/output error)", AGAIN_S),
    ],
    ids=["full", "unreadable"],
)
def test_what_went_wrong_is_said_once_and_tried_again_later(box, error, said, again_s):
    box.inlet = Full(box.inlet, error)
    box.open()
    box.drop("talk.wav")

    assert box.settle() == []
    assert said in box.said[0]
    assert box.look(again_s - 0.1) == []
    assert box.look(0.1) == [("uploads/demo/talk.wav", 1)]
    assert len(box.said) == 1


class Slow:
    """An inlet that takes a minute a file, by the inbox's own clock."""

    def __init__(self, inlet):
        self.inlet, self.now_s = inlet, 0.0

    def put(self, *given, **named):
        self.now_s += 60.0
        return self.inlet.put(*given, **named)


def test_a_long_copy_is_followed_by_a_look_and_not_by_a_rest(box):
    """After 200 files that took 5 s to copy, the inbox looked away for 50 s."""
    box.inlet = Slow(box.inlet)
    box.open(monotonic=lambda: box.inlet.now_s)
    box.drop("talk.wav")
    box.inbox.visit()
    box.inlet.now_s += STILL_S

    assert box.inbox.visit() == LOOK_EVERY_S
    assert box.content("uploads/demo/talk.wav") == b"sound"


def test_file_too_large_for_the_disk_is_not_even_begun(box):
    path = box.drop("huge.wav")
    os.truncate(path, shutil.disk_usage(path).free)

    assert box.settle() == []
    assert box.said[0].startswith("huge.wav waits: The disk is full")


def test_file_that_is_gone_meanwhile_is_forgotten(box):
    path = box.drop("talk.wav")
    box.look()
    drop = next(iter(box.inbox._stillness._since.values()))[0]
    path.unlink()

    assert box.inbox._try(drop, 0.0) is None
    assert box.said == []


def test_store_that_does_not_answer_is_the_callers_to_wait_for(box):
    box.inlet = Full(box.inlet, StoreUnavailable())
    box.open()
    box.drop("talk.wav")

    with pytest.raises(StoreUnavailable):
        box.settle()
    assert box.look() == [("uploads/demo/talk.wav", 1)]


def test_what_was_taken_is_noted_with_its_digest(box):
    box.drop("acme/talk.wav")
    box.settle()

    [(key, seen)] = SeenDrops(box.db).all().items()

    assert key == "acme/talk.wav"
    assert seen.sha256 == hashlib.sha256(b"sound").hexdigest()
    assert seen.size_bytes == 5


def test_started_it_makes_its_folder_and_stops_at_once(world, tmp_path):
    looked = threading.Event()

    class Watched:
        def ensure(self, *given):
            looked.set()
            return True

    folder = tmp_path / "new" / "inbox"
    db = Database(world.parts.settings.home / STORE)
    inbox = Inbox(
        folder, world.parts.inlet, Watched(), SeenDrops(db), lambda: NOW, room=tmp_path, say=print
    )
    folder.mkdir(parents=True)
    (folder / "acme").mkdir()
    inbox.start()

    assert looked.wait(PATIENCE_S)
    inbox.stop()


def erased(box, name="uploads/acme/a.wav"):
    """Its only generation, as somebody asked for."""
    upload = box.world.parts.uploads.generations(name)[0]
    known = box.world.parts.recordings.create_or_get(
        recording(id=recording_id(upload.bucket, name, 1), name=name, generation=upload.generation),
        lambda _: placed(),
    )
    erase = wiring.erase(box.world.parts)
    return erase.run(erase.ask(known.id, "cli", NOW), NOW)


def test_a_drop_that_was_erased_is_not_taken_again(box):
    box.drop("acme/a.wav")
    taken = box.settle()

    erased(box)
    same_process = box.settle()
    box.open()
    after_a_restart = box.settle()

    assert taken == [("uploads/acme/a.wav", 1)]
    assert same_process == after_a_restart == []
    assert any("was erased and is not heard again" in line for line in box.said)
    assert box.inbox._db.all() == {}


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
def test_neither_is_one_that_was_only_touched(box, restarted):
    path = box.drop("acme/a.wav")
    box.settle()
    erased(box)
    os.utime(path, (9, 9))
    if restarted:
        box.open()

    assert box.settle() == []
    assert box.inbox._db.all() == {}


def test_other_content_under_an_erased_name_is_taken(box):
    box.drop("acme/a.wav")
    box.settle()
    erased(box)
    box.drop("acme/a.wav", b"another sound")

    assert box.settle() == [("uploads/acme/a.wav", 2)]


def test_a_folder_of_an_erased_tenant_does_not_bring_it_back(box):
    box.drop("acme/a.wav")
    box.settle()
    erase = wiring.erase(box.world.parts)
    erase.run(erase.ask_tenant("acme", "cli", NOW), NOW)
    box.open()

    assert box.settle() == []
    assert box.world.parts.tenants.get("acme") is None
    assert any("its tenant was erased" in line for line in box.said)
