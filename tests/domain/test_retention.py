from datetime import UTC, datetime, timedelta

import pytest

from shared.domain import retention
from shared.domain.recording import Hold, Moved
from shared.domain.retention import ANNOUNCED_AHEAD, ends_soon, expires, extended, held, settled
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.domain.timekeeping import Times
from shared.errors import ExtensionRefused, InvalidRequest, WrongState
from tests.builders import recording, tenant

BORN = datetime(2026, 1, 31, 12, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
HOLD = Hold("a lawsuit", "cli", BORN)
FREE, PRO = tenant(Tier.FREE).rules, tenant(Tier.PRO).rules
#: 30 days after BORN, and the last moment to say so.
END = BORN + 30 * DAY
NEAR = END - ANNOUNCED_AHEAD


def made(**said):
    return recording(uploaded_at=BORN, received_at=BORN, kept_until=END, **said)


def at(moment: datetime) -> Times:
    return Times.exactly(moment)


def test_what_nobody_announced_never_expires():
    assert not expires(made(), END + 1000 * DAY)


@pytest.mark.parametrize(("late", "gone"), [(-SECOND, False), (0 * SECOND, True)])
def test_it_expires_when_its_time_ends(late, gone):
    assert expires(made(announced_at=NEAR), END + late) is gone


@pytest.mark.parametrize(("late", "gone"), [(-SECOND, False), (0 * SECOND, True)])
def test_it_expires_no_sooner_than_seven_days_after_it_was_announced(late, gone):
    """Even where the end that is stored says otherwise."""
    said = made(announced_at=END)

    assert expires(said, END + ANNOUNCED_AHEAD + late) is gone


@pytest.mark.parametrize("kept", [{"hold": HOLD}, {"state": State.ERASED}])
def test_what_is_held_or_gone_neither_ends_nor_expires(kept):
    known = made(announced_at=NEAR, **kept)

    assert not expires(known, END + DAY)
    assert not ends_soon(known, END)


@pytest.mark.parametrize(("late", "said"), [(-SECOND, None), (0 * SECOND, NEAR)])
def test_an_end_is_announced_seven_days_ahead(late, said):
    assert settled(made(), FREE, at(NEAR + late)).announced_at == said


def test_an_announced_end_stays_as_it_was_announced():
    once = settled(made(), FREE, at(NEAR))

    assert settled(once, FREE, at(END - DAY)) == once


def test_the_object_and_not_our_clock_says_since_when_it_is_kept():
    late = recording(uploaded_at=BORN, received_at=BORN + 3 * DAY, kept_until=BORN + 33 * DAY)

    assert settled(late, FREE, at(BORN)).kept_until == END


def test_old_recordings_are_counted_from_when_they_were_received():
    old = recording(uploaded_at=None, received_at=BORN, kept_until=BORN)

    assert settled(old, FREE, at(BORN)).kept_until == END


def test_months_are_calendar_months_and_february_has_its_own_end():
    assert settled(made(), PRO, at(BORN)).kept_until == BORN.replace(month=7)
    august = recording(uploaded_at=datetime(2027, 8, 31, tzinfo=UTC), kept_until=BORN)
    assert settled(august, PRO, at(BORN)).kept_until == datetime(2028, 2, 29, tzinfo=UTC)


def test_a_higher_tier_moves_the_end_and_takes_the_announcement_back():
    up = settled(made(announced_at=NEAR), PRO, at(NEAR + DAY))

    assert (up.kept_until, up.announced_at) == (BORN.replace(month=7), None)


def test_a_lower_tier_ends_at_once_but_not_before_it_was_announced():
    now = BORN + 90 * DAY
    down = settled(settled(made(), PRO, at(BORN)), FREE, at(now))

    assert (down.announced_at, down.kept_until) == (now, now + ANNOUNCED_AHEAD)


def test_what_is_kept_for_a_day_is_announced_at_once_and_kept_for_seven():
    short = settled(made(), tenant(keep_days=1).rules, at(BORN))

    assert (short.announced_at, short.kept_until) == (BORN, BORN + ANNOUNCED_AHEAD)


def test_a_clock_that_may_be_ahead_announces_nothing_too_soon_and_stamps_later():
    doubtful = Times(NEAR, NEAR + 40 * DAY)

    assert settled(made(), FREE, Times(NEAR - SECOND, END)).announced_at is None
    assert settled(made(), FREE, doubtful).kept_until == doubtful.latest + ANNOUNCED_AHEAD


def test_nothing_is_announced_while_it_is_held():
    assert settled(made(hold=HOLD), FREE, at(END)).announced_at is None


def test_an_erased_recording_is_not_settled():
    gone = made(state=State.ERASED)

    assert settled(gone, PRO, at(BORN)) == gone


@pytest.mark.parametrize("tier", [Tier.PRO, Tier.ENTERPRISE])
def test_an_extension_is_kept_whatever_the_tier_becomes(tier):
    until = BORN + 300 * DAY
    known = extended(made(), until, tenant(tier).rules, at(BORN))

    assert settled(known, FREE, at(BORN)).kept_until == until


def test_an_extension_is_never_shortened():
    far = extended(made(), BORN + 300 * DAY, PRO, at(BORN))

    assert extended(far, BORN + 200 * DAY, PRO, at(BORN)) == far


def test_an_extension_after_the_announcement_is_announced_anew():
    known = extended(made(announced_at=NEAR), END + 60 * DAY, tenant(Tier.PRO).rules, at(NEAR))

    assert known.announced_at is None
    assert settled(known, FREE, at(END + 53 * DAY)).announced_at == END + 53 * DAY


@pytest.mark.parametrize("days", [180, 181])
def test_a_tier_says_how_far_it_may_be_extended(days):
    until = BORN.replace(month=7) + timedelta(days=days)
    if days > 180:
        with pytest.raises(ExtensionRefused, match="2027-01-27"):
            extended(made(), until, PRO, at(BORN))
    else:
        assert extended(made(), until, PRO, at(BORN)).kept_until == until


def test_the_free_tier_cannot_extend():
    with pytest.raises(ExtensionRefused):
        extended(made(), BORN, FREE, at(BORN))


def test_a_tenant_may_be_allowed_more_than_its_tier():
    rules = tenant(Tier.FREE, max_extension_days=10).rules

    assert extended(made(), END + 10 * DAY, rules, at(BORN)).kept_until == END + 10 * DAY


def test_the_first_hold_stays():
    known = held(made(), HOLD)

    assert held(known, Hold("another", "page", END)) == known
    assert retention.released(known).hold is None


@pytest.mark.parametrize(
    "change",
    [
        lambda r: held(r, HOLD),
        retention.released,
        lambda r: extended(r, END, PRO, at(BORN)),
    ],
)
def test_nothing_is_kept_of_what_is_erased(change):
    with pytest.raises(WrongState):
        change(made(state=State.ERASED))


@pytest.mark.parametrize("text", ["", " \n ", "x" * 501])
def test_a_hold_needs_a_reason(text):
    with pytest.raises(InvalidRequest):
        retention.reason(text)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (made(), made(), None),
        (made(), made(hold=HOLD), ("held: a lawsuit", "held")),
        (made(hold=HOLD), made(), ("released: a lawsuit", "released")),
        (
            made(),
            made(extended_until=END, announced_at=NEAR),
            ("extended: until 2026-03-02 12:00 UTC", "extended"),
        ),
        (made(), made(announced_at=NEAR), ("announced: until 2026-03-02 12:00 UTC", "expiring")),
        (
            made(announced_at=NEAR),
            settled(made(), PRO, at(BORN)),
            ("kept: until 2026-07-31 12:00 UTC", None),
        ),
    ],
)
def test_each_commit_says_what_it_changed(before, after, said):
    changed = retention.change(before, after)

    assert (changed and (changed.reason, changed.kind)) == said


def test_an_extension_does_not_announce_what_ends_soon_the_tick_does():
    known = extended(made(), END, tenant(max_extension_days=1).rules, at(NEAR + DAY))

    assert known.announced_at is None


def test_lines_about_keeping_are_no_changes_of_state():
    line = Moved(State.DEAD, BORN, "cli", "discarded: silence")
    aside = Moved(State.DEAD, BORN, "cli", f"{retention.HELD}a lawsuit")

    assert retention.moves([line, aside]) == [line]


@pytest.mark.parametrize(
    ("known", "whose", "said"),
    [
        (made(), tenant(Tier.FREE), "The tier free keeps recordings for 30 days."),
        (made(), tenant(Tier.PRO), "The tier pro keeps recordings for 6 months."),
        (made(), tenant(keep_months=1), "This tenant keeps recordings for 1 month."),
        (made(), tenant(keep_days=400), "This tenant keeps recordings for 400 days."),
        (made(state=State.ERASED), tenant(), "It is erased."),
        (
            made(hold=HOLD),
            tenant(Tier.FREE),
            "The tier free keeps recordings for 30 days. Held since 2026-01-31 by cli: a lawsuit."
            " Until that is released nothing of it is erased.",
        ),
        (
            extended(made(), END + 40 * DAY, tenant(max_extension_days=99).rules, at(BORN)),
            tenant(Tier.FREE),
            "It was extended until 2026-04-11; the tier free keeps recordings for 30 days.",
        ),
        (
            settled(made(), tenant(keep_days=1).rules, at(BORN)),
            tenant(keep_days=1),
            "What ends is kept for 7 days after that was announced; this tenant keeps recordings"
            " for 1 day. Its end was announced on 2026-01-31.",
        ),
    ],
)
def test_people_are_told_why_it_is_kept(known, whose, said):
    assert retention.reason_kept(known, whose) == said
