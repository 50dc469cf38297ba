from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.timekeeping import AFTER_BOOT_S, AFTER_JUMP_S, Anchor, Times, Uptime, told

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def up(seconds: float, boot: str = "first") -> Uptime:
    return Uptime(boot, seconds)


def seen(*looks: tuple[datetime, Uptime]) -> Times:
    """What the last of several looks at the clock was told."""
    anchor, times = None, None
    for clock, uptime in looks:
        anchor, times = told(anchor, clock, uptime)
    assert times is not None
    return times


def after(seconds: float, boot: str = "first") -> tuple[datetime, Uptime]:
    """A look at a clock that goes right."""
    return NOON + timedelta(seconds=seconds), up(seconds, boot)


def test_the_first_look_is_believed():
    assert seen((NOON, up(5))) == Times.exactly(NOON)


def test_a_clock_that_goes_right_is_believed():
    assert seen(after(0), after(86_400)) == Times.exactly(NOON + DAY)


def test_a_jump_ahead_moves_only_the_latest_time():
    jumped = NOON + 40 * DAY

    times = seen(after(0), (jumped, up(2)))

    assert times == Times(NOON + timedelta(seconds=2), jumped)


@pytest.mark.parametrize("late_s", [-1, 0])
def test_a_jump_is_believed_once_what_was_announced_had_its_days(late_s):
    passed = AFTER_JUMP_S + late_s
    lasting = NOON + 40 * DAY + timedelta(seconds=passed)

    times = seen(after(0), (NOON + 40 * DAY, up(10)), (lasting, up(10 + passed)))

    assert (times.earliest == lasting) == (late_s == 0)


def test_a_further_jump_is_doubted_as_long_again():
    looks = [after(0), (NOON + 2 * DAY, up(10)), (NOON + 40 * DAY, up(AFTER_JUMP_S))]

    times = seen(*looks, (NOON + 40 * DAY + timedelta(seconds=20), up(AFTER_JUMP_S + 20)))

    assert times.earliest == NOON + timedelta(seconds=AFTER_JUMP_S + 20)


def test_a_jump_that_is_taken_back_is_forgotten():
    looks = [after(0), (NOON + 40 * DAY, up(10)), after(20)]

    assert seen(*looks, after(AFTER_JUMP_S + 30)).latest == after(AFTER_JUMP_S + 30)[0]


def test_a_clock_behind_decides_at_once_and_stamps_nothing():
    times = seen(after(0), (NOON - DAY, up(60)))

    assert times == Times(NOON - DAY, NOON + timedelta(seconds=60))


@pytest.mark.parametrize("late_s", [-1, 0])
def test_after_a_start_the_clock_is_believed_within_the_hour(late_s):
    """A laptop that was shut for three weeks: nobody can know that it was not two minutes."""
    opened, since = NOON + 21 * DAY, timedelta(seconds=AFTER_BOOT_S + late_s)

    times = seen(after(0), (opened, up(0, "second")), (opened + since, up(since.seconds, "second")))

    assert times.latest == opened + since
    assert (times.earliest == opened + since) == (late_s == 0)


def test_a_start_that_has_no_name_is_known_by_its_uptime():
    anchor = Anchor(NOON, up(5_000))

    _, times = told(anchor, NOON + DAY, up(10))

    assert times.earliest == NOON + timedelta(seconds=10)


def test_many_small_steps_do_not_add_up():
    """A clock that runs twice as fast is no day ahead after a day."""
    looks = [(NOON + timedelta(seconds=2 * n), up(n)) for n in range(0, 86_400, 600)]

    assert seen(*looks).earliest <= NOON + DAY
