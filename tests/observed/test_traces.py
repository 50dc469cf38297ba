"""One trace joins upload, function, ticket, service and store."""

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from shared import spans
from shared.domain.states import State
from shared.errors import StoreUnavailable
from shared.spans import Kind, span
from tests.sounds import speech, tone_wav
from tests.spans import collected

UPLOADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def found():
    with collected() as found:
        yield found


@pytest.fixture
async def traced(found, world):
    """`found` first: whoever builds parts sees whether spans are collected."""
    assert world.parts
    found.exporter.clear()  # a start has a tenant to ensure, in no trace
    return world


async def test_one_trace_joins_upload_function_ticket_service_and_store(traced, found):
    known = await traced.hear(traced.upload(speech("Good morning.")))

    assert known.state is State.DONE
    assert len({s.context.trace_id for s in found.all()}) == 1
    above = {s.name: found.parent(s) for s in found.all()}
    assert above["on_audio_uploaded"] is None
    assert above["create_or_get recordings"] == "on_audio_uploaded"
    assert above["send lane-high"] == "on_audio_uploaded"
    assert above["process lane-high"] == "on_audio_uploaded"
    assert above["lease_next jobs"] == "process lane-high"
    assert above["hear"] == "on_audio_uploaded"
    assert above["ask transcribe"] == "hear"
    assert above["complete jobs"] == "hear"
    assert above["send recording-events"] == "hear"


async def test_the_uploaders_own_trace_goes_on(traced, found):
    traced.announce(traced.upload(tone_wav(1.0)), traceparent=UPLOADER)

    [known] = traced.known()
    root = found.named("on_audio_uploaded")
    assert f"{root.context.trace_id:032x}" in UPLOADER
    assert f"{root.parent.span_id:016x}" in UPLOADER
    assert known.trace == f"00-{root.context.trace_id:032x}-{root.context.span_id:016x}-01"


async def test_a_ticket_that_rings_for_another_recording_is_linked(traced, found):
    """Tickets name no job: the work goes on in the trace of the recording that is heard."""
    for name in ("uploads/demo/first.wav", "uploads/demo/second.wav"):
        traced.announce(traced.upload(tone_wav(1.0), name))
    (_, first), (_, second) = traced.broker.messages

    await traced.ring(second)

    [heard] = [r for r in traced.known() if r.state is State.DONE]
    rang, worked = found.named("process lane-high"), found.named("hear")
    assert heard.path == "first.wav"
    assert heard.trace == first["attributes"]["traceparent"]
    assert f"{worked.context.trace_id:032x}" in heard.trace
    assert f"{rang.context.trace_id:032x}" in second["attributes"]["traceparent"]
    assert [link.context.span_id for link in worked.links] == [rang.context.span_id]


async def test_spans_are_called_as_the_conventions_say(traced, found):
    await traced.hear(traced.upload(speech("Good morning.")))

    function, push = found.named("on_audio_uploaded"), found.named("process lane-high")
    sent, stored = found.named("send lane-high"), found.named("complete jobs")
    assert (function.kind, dict(function.attributes)["faas.trigger"]) == (
        SpanKind.SERVER,
        "datasource",
    )
    assert (push.kind, sent.kind, stored.kind) == (
        SpanKind.CONSUMER,
        SpanKind.PRODUCER,
        SpanKind.CLIENT,
    )
    for one, operation in ((push, "process"), (sent, "send")):
        assert one.attributes["messaging.system"] == "gcp_pubsub"
        assert one.attributes["messaging.operation.type"] == operation
        assert one.attributes["messaging.destination.name"] == "lane-high"
    assert stored.attributes["db.system.name"] == "sqlite"
    assert stored.attributes["db.operation.name"] == "complete"
    assert stored.attributes["db.collection.name"] == "jobs"
    assert function.resource.attributes["service.name"] == "earwitness-test"


def test_a_failed_span_says_its_kind_of_error_and_none_of_its_words(found):
    with pytest.raises(StoreUnavailable), span("store"):
        raise StoreUnavailable("secret words")
    with pytest.raises(ZeroDivisionError), span("sum", Kind.CLIENT):
        1 / 0  # noqa: B018

    store, total = found.all()
    assert (store.attributes["error.type"], total.attributes["error.type"]) == (
        "store_unavailable",
        "ZeroDivisionError",
    )
    assert {store.status.status_code, total.status.status_code} == {StatusCode.ERROR}
    assert (store.events, store.status.description) == ((), None)


def test_where_nobody_collects_a_context_is_only_passed_on():
    with span("outer", parent=UPLOADER):
        with span("inner"):
            inside = spans.traceparent()
        with span("other", parent="nonsense"):
            ignored = spans.traceparent()

    assert (inside, ignored, spans.traceparent()) == (UPLOADER, UPLOADER, None)
    assert not spans.collected()


async def test_without_a_collector_the_recording_keeps_the_context_that_came(world):
    world.announce(world.upload(tone_wav(1.0)), traceparent=UPLOADER)
    world.announce(world.upload(tone_wav(1.0), "uploads/demo/b.wav"))

    kept = {r.path: r.trace for r in world.known()}

    assert kept == {"a.wav": UPLOADER, "b.wav": None}
