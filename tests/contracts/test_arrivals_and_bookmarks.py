import io
from datetime import timedelta

from tests.builders import NOW
from tests.contracts.patience import at_once

#: Longer than any adapter hides what was pulled.
SHOWN_AGAIN = NOW + timedelta(minutes=11)


def put(store, name="uploads/acme/talk.wav"):
    return store.inlet.put(
        name, io.BytesIO(b"sound"), content_type="audio/wav", metadata={"a": "1"}, at=NOW
    )


def test_each_upload_arrives_as_it_was_put(store):
    made = [put(store), put(store)]

    assert [a.upload for a in store.arrivals.pull(NOW)] == made


def test_what_was_pulled_is_hidden_and_comes_again_until_acknowledged(store):
    put(store)

    first = store.arrivals.pull(NOW)
    hidden = store.arrivals.pull(NOW)
    again = store.arrivals.pull(SHOWN_AGAIN)
    store.arrivals.ack(again)
    store.arrivals.ack(first)

    assert (len(first), hidden) == (1, [])
    assert [a.upload for a in again] == [a.upload for a in first]
    assert store.arrivals.pull(SHOWN_AGAIN + timedelta(hours=1)) == []


def test_no_more_are_pulled_than_asked(store):
    made = [put(store, f"uploads/acme/{n}.wav") for n in range(3)]

    assert len(store.arrivals.pull(NOW, limit=2)) == 2
    assert [a.upload for a in store.arrivals.pull(NOW, limit=2)] == made[2:]


def test_concurrent_callers_pull_different_arrivals(store):
    for n in range(8):
        put(store, f"uploads/acme/{n}.wav")

    shares = at_once(4, lambda _: store.arrivals.pull(NOW, 4), range(4))
    pulled = [a for many in shares for a in many]

    assert len({a.handle for a in pulled}) == len(pulled) == 8


def test_nothing_arrives_where_nothing_was_put(store):
    assert store.arrivals.pull(NOW) == []


def test_a_bookmark_is_moved_by_whoever_saw_it(store):
    assert store.bookmarks.get("listing") is None

    assert store.bookmarks.move("listing", None, "a")
    assert not store.bookmarks.move("listing", None, "b")
    assert not store.bookmarks.move("listing", "x", "b")
    assert store.bookmarks.move("listing", "a", "b")

    assert store.bookmarks.get("listing") == "b"
    assert store.bookmarks.get("another") is None


def test_the_name_of_a_bookmark_may_have_parts(store):
    """`reconcile/uploads` was no document's id: every tick failed on Firestore."""
    assert store.bookmarks.move("reconcile/uploads", None, "a")

    assert store.bookmarks.get("reconcile/uploads") == "a"
    assert store.bookmarks.get("reconcile/results") is None


def test_of_concurrent_movers_one_moves(store):
    store.bookmarks.move("listing", None, "a")

    for seen in (None, "a"):
        name = "listing" if seen else "fresh"
        moved = at_once(4, lambda n, s=seen, b=name: store.bookmarks.move(b, s, f"to{n}"), range(4))
        assert moved.count(True) == 1
