from shared.domain.lanes import Lane
from shared.domain.messages import attributes
from shared.domain.states import State
from tests.builders import NOW, placed, recording

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_pending_is_oldest_first_and_of_one_recording(store):
    for n in (1, 2, 3):
        store.recordings.create_or_get(recording(n), lambda _: placed())

    assert [m.recording_id[-1] for m in store.outbox.pending()] == ["1", "2", "3"]
    assert [m.recording_id[-1] for m in store.outbox.pending("rec00002")] == ["2"]
    assert len(store.outbox.pending(limit=2)) == 2


def test_a_received_recording_is_queued_once_its_ticket_went_out(store):
    made = store.recordings.create_or_get(recording(1), lambda _: placed())
    messages = store.outbox.pending()

    store.outbox.sent(messages, NOW)
    store.outbox.sent(messages, NOW)

    assert store.outbox.pending() == []
    assert store.recordings.get(made.id).state is State.QUEUED
    assert [m.state for m in store.recordings.history(made.id)] == [State.RECEIVED, State.QUEUED]


def test_a_ticket_that_goes_out_late_moves_nothing_back(store):
    made = store.recordings.create_or_get(recording(1), lambda _: placed())
    messages = store.outbox.pending()
    store.jobs.lease_next([Lane.LOW], "w", NOW, 60)

    store.outbox.sent(messages, NOW)

    assert store.recordings.get(made.id).state is State.PROCESSING


def test_a_message_keeps_the_trace_of_its_recording(store):
    """Whoever leases the job goes on in the trace of its intake, whichever ticket rang."""
    store.recordings.create_or_get(recording(1, trace=TRACE), lambda _: placed())

    [rang] = store.outbox.pending()
    lease = store.jobs.lease_next([Lane.LOW], "w", NOW, 60)
    store.jobs.hand_over(lease, NOW)
    again = store.outbox.pending()[-1]

    assert (rang.trace, lease.recording.trace, again.trace) == (TRACE, TRACE, TRACE)
    assert attributes(rang) == {"traceparent": TRACE}


def test_without_a_trace_nothing_is_sent_along(store):
    store.recordings.create_or_get(recording(1), lambda _: placed())

    [rang] = store.outbox.pending()

    assert (rang.trace, attributes(rang)) == (None, {})
