"""Sound waits up to a bound; beyond it callers are told when to come back."""

import asyncio
from contextlib import AsyncExitStack
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_service.admission import LOOK_BACK_S, LOW_SHARE, MOST_AWAY_S, Admission, expected_s
from shared.domain.lanes import Lane
from shared.errors import ServiceFull
from tests.sounds import tone_wav


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def test_sound_up_to_the_bound_is_let_in_and_a_second_more_is_not() -> None:
    admission = Admission(100.0, clock=Clock())
    async with admission.take(60.0, Lane.HIGH), admission.take(40.0, Lane.HIGH):
        with pytest.raises(ServiceFull) as refusal:
            async with admission.take(1.0, Lane.HIGH):
                pass

    assert refusal.value.context["retry_after_s"] == 1
    assert admission.inside_s == 0.0


async def test_the_low_lane_leaves_room_for_the_high_one() -> None:
    admission = Admission(100.0, clock=Clock())
    async with admission.take(100.0 * LOW_SHARE, Lane.LOW):
        with pytest.raises(ServiceFull):
            async with admission.take(1.0, Lane.LOW):
                pass
        async with admission.take(20.0, Lane.HIGH):
            assert admission.inside_s == 100.0


async def test_whoever_finds_the_room_empty_is_let_in_with_any_length() -> None:
    admission = Admission(100.0, clock=Clock())
    async with admission.take(5_000.0, Lane.LOW):
        assert admission.inside_s == 5_000.0


async def test_who_is_cancelled_makes_room() -> None:
    admission, inside = Admission(100.0, clock=Clock()), asyncio.Event()

    async def waits() -> None:
        async with admission.take(100.0, Lane.HIGH):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(waits())
    await inside.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert admission.inside_s == 0.0


async def test_the_time_to_come_back_follows_from_what_was_heard_of_late() -> None:
    clock = Clock()
    admission = Admission(1_000.0, clock=clock)
    for _ in range(6):
        async with admission.take(200.0, Lane.HIGH):
            clock.now_s += 10.0
    assert admission.rate() == 6 * 200.0 / LOOK_BACK_S
    async with admission.take(1_000.0, Lane.HIGH):
        with pytest.raises(ServiceFull) as refusal:
            async with admission.take(200.0, Lane.HIGH):
                pass

    assert refusal.value.context["retry_after_s"] == 10


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.0, 500.0), st.sampled_from(Lane)), max_size=30))
def test_what_is_inside_never_exceeds_the_bound_unless_it_came_alone(
    callers: list[tuple[float, Lane]],
) -> None:
    async def come() -> None:
        admission = Admission(1_000.0, clock=Clock())
        async with AsyncExitStack() as stack:
            for seconds, lane in callers:
                before_s = admission.inside_s
                try:
                    await stack.enter_async_context(admission.take(seconds, lane))
                except ServiceFull as refusal:
                    assert 1 <= int(str(refusal.context["retry_after_s"])) <= MOST_AWAY_S
                assert admission.inside_s <= 1_000.0 or before_s == 0.0
        assert admission.inside_s == pytest.approx(0.0, abs=1e-9)

    asyncio.run(come())


@pytest.mark.parametrize(
    ("content", "seconds"), [(tone_wav(2.5), 2.5), (b"no sound at all", 0.0)], ids=["wav", "text"]
)
def test_the_length_is_read_from_the_header_and_the_sound_is_left_at_its_start(
    content: bytes, seconds: float
) -> None:
    sound = BytesIO(content)

    assert expected_s(sound) == pytest.approx(seconds)
    assert sound.tell() == 0
