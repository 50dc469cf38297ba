import asyncio

import pytest

from gpu_service.slots import Slots
from shared.domain.lanes import Lane
from shared.errors import ServiceFull


async def take(slots, lane, entered, leave):
    async with slots.take(lane):
        entered.append(lane)
        await leave.wait()


async def settle():
    """Let every task run until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_low_lane_leaves_one_place_to_the_high_one():
    slots, entered, leave = Slots(3), [], asyncio.Event()
    tasks = [asyncio.create_task(take(slots, Lane.LOW, entered, leave)) for _ in range(3)]
    await settle()
    assert entered == [Lane.LOW, Lane.LOW]

    tasks.append(asyncio.create_task(take(slots, Lane.HIGH, entered, leave)))
    await settle()

    assert entered == [Lane.LOW, Lane.LOW, Lane.HIGH]
    assert slots.waits(Lane.LOW)
    leave.set()
    await asyncio.gather(*tasks)
    assert slots.taken == 0


async def test_a_single_place_serves_both_lanes():
    slots, entered, leave = Slots(1), [], asyncio.Event()
    leave.set()

    await take(slots, Lane.LOW, entered, leave)

    assert entered == [Lane.LOW]


async def test_high_goes_first_but_low_gets_its_share():
    slots, entered, leave = Slots(1), [], asyncio.Event()
    lanes = [Lane.LOW] * 10 + [Lane.HIGH] * 100
    leave.set()

    async with slots.take(Lane.HIGH):
        tasks = [asyncio.create_task(take(slots, lane, entered, leave)) for lane in lanes]
        await settle()
    await asyncio.gather(*tasks)

    assert entered[:18] == [Lane.HIGH] * 18
    assert entered[:100].count(Lane.LOW) >= 5


async def test_who_finds_no_place_in_time_is_sent_away_and_keeps_none():
    slots, leave = Slots(1, patience_s=0.001), asyncio.Event()
    holder = asyncio.create_task(take(slots, Lane.HIGH, [], leave))
    await settle()

    with pytest.raises(ServiceFull):
        await take(slots, Lane.HIGH, [], leave)

    leave.set()
    await holder
    assert (slots.taken, slots.waits(Lane.HIGH)) == (0, False)


async def test_a_full_waiting_room_turns_away_at_once():
    slots, leave = Slots(1, room=1), asyncio.Event()
    tasks = [asyncio.create_task(take(slots, Lane.HIGH, [], leave)) for _ in range(2)]
    await settle()

    with pytest.raises(ServiceFull):
        await take(slots, Lane.HIGH, [], leave)

    leave.set()
    await asyncio.gather(*tasks)


async def test_who_gives_up_waiting_frees_the_room():
    slots, leave = Slots(1), asyncio.Event()
    holder = asyncio.create_task(take(slots, Lane.HIGH, [], leave))
    waiter = asyncio.create_task(take(slots, Lane.LOW, [], leave))
    await settle()

    waiter.cancel()
    await settle()

    assert not slots.waits(Lane.LOW)
    leave.set()
    await holder


async def test_a_place_that_comes_in_the_moment_of_giving_up_is_passed_on():
    slots, first, second, entered = Slots(1), asyncio.Event(), asyncio.Event(), []
    holder = asyncio.create_task(take(slots, Lane.HIGH, [], first))
    quitter = asyncio.create_task(take(slots, Lane.HIGH, [], second))
    heir = asyncio.create_task(take(slots, Lane.HIGH, entered, second))
    await settle()

    first.set()
    await holder
    quitter.cancel()
    await settle()

    assert entered == [Lane.HIGH]
    second.set()
    await asyncio.gather(heir, quitter, return_exceptions=True)
    assert slots.taken == 0
