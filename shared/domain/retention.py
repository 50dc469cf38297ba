"""How long a recording is kept, when that is announced, and when it may go.

Everything here is decided again inside the commit that acts on it, by these functions, so
that no two parts of the house can disagree about what may be erased.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from shared.domain.recording import Hold, Moved, Recording
from shared.domain.states import State
from shared.domain.tenants import Rules, Tenant, kept_until
from shared.domain.timekeeping import Times
from shared.errors import ExtensionRefused, InvalidRequest, WrongState

#: Nothing is erased that was not announced this long before (issue 7, point 2).
ANNOUNCED_AHEAD = timedelta(days=7)
#: Characters; the reason of a hold is a sentence or two.
MAX_REASON = 500
#: How the history's lines about keeping begin: they are no changes of state.
ANNOUNCED, MOVED, EXTENDED = "announced: ", "kept: ", "extended: "
HELD, RELEASED = "held: ", "released: "
ARCHIVED, CLEARED = "archived: ", "cleared: "
_ASIDES = (ANNOUNCED, MOVED, EXTENDED, HELD, RELEASED, ARCHIVED, CLEARED)


def walk(tenant: str) -> str:
    """Names the bookmark of the walk over a tenant's recordings; each change of rules forgets it,
    so that the walk begins anew."""
    return f"retention/{tenant}"


def counted_from(recording: Recording) -> datetime:
    """When its time began: when its object was made, by the clock of whoever stores it.

    That of intake only for recordings from before the object's time was kept.
    """
    return recording.uploaded_at or recording.received_at


def tier_end(recording: Recording, rules: Rules) -> datetime:
    """When the tenant's rules alone would let it go."""
    return kept_until(counted_from(recording), rules)


def expires(recording: Recording, now: datetime) -> bool:
    """Whether it may be erased at `now`: due, announced long enough before, and not held."""
    return (
        recording.state is not State.ERASED
        and recording.hold is None
        and recording.announced_at is not None
        and now >= max(recording.kept_until, recording.announced_at + ANNOUNCED_AHEAD)
    )


def ends_soon(recording: Recording, now: datetime) -> bool:
    """Whether its end is to be announced by `now`, if that has not happened."""
    free = recording.state is not State.ERASED and recording.hold is None
    return free and recording.kept_until - ANNOUNCED_AHEAD <= now


def settled(recording: Recording, rules: Rules, now: Times) -> Recording:
    """The recording as it is kept from now on, under the rules its tenant has now.

    Its end follows a change of tier in either direction, but an extension is never shortened,
    and an end that was announced comes no earlier than ANNOUNCED_AHEAD after that. An end that
    moves further away than that is announced again when it is near. One that is near is
    announced: what is due already, or is kept for a shorter time than ANNOUNCED_AHEAD, is
    kept for that long from now on. Nothing is announced while it is held.

    Where clocks differ, what is near is told by the earlier one, and the announcement has the
    time of the later one.
    """
    if recording.state is State.ERASED:
        return recording
    after = _moved(recording, rules, now)
    if after.announced_at is None and ends_soon(after, now.earliest):
        after = replace(after, announced_at=now.latest)
    return _not_too_soon(after)


def _moved(recording: Recording, rules: Rules, now: Times) -> Recording:
    """With the end that rules and extension set."""
    end = max(tier_end(recording, rules), recording.extended_until or counted_from(recording))
    further = end > recording.kept_until and end - ANNOUNCED_AHEAD > now.earliest
    announced_at = None if further else recording.announced_at
    return _not_too_soon(replace(recording, kept_until=end, announced_at=announced_at))


def _not_too_soon(recording: Recording) -> Recording:
    if recording.announced_at is None:
        return recording
    soonest = recording.announced_at + ANNOUNCED_AHEAD
    return replace(recording, kept_until=max(recording.kept_until, soonest))


@dataclass(frozen=True, slots=True)
class Change:
    """What a commit about keeping says: mostly a line of the history, maybe an announcement."""

    reason: str | None
    kind: str | None  #: of the announcement


def change(before: Recording, after: Recording) -> Change | None:
    """What is different about how long it is kept; None: nothing."""
    if after.hold is not None and before.hold is None:
        return Change(f"{HELD}{after.hold.reason}", "held")
    if before.hold is not None and after.hold is None:
        return Change(f"{RELEASED}{before.hold.reason}", "released")
    until = f"until {_minute(after.kept_until)}"
    if after.extended_until != before.extended_until:
        return Change(f"{EXTENDED}{until}", "extended")
    if after.announced_at is not None and after.announced_at != before.announced_at:
        return Change(f"{ANNOUNCED}{until}", "expiring")
    if (after.kept_until, after.announced_at) != (before.kept_until, before.announced_at):
        return Change(f"{MOVED}{until}", None)
    return _change_of_form(before, after)


def _change_of_form(before: Recording, after: Recording) -> Change | None:
    """What is different about the form its original is kept in."""
    kept = after.archived
    if kept != before.archived and kept is not None:
        sizes = f"{kept.size_bytes:,} of {before.size_bytes:,} bytes"
        return Change(f"{ARCHIVED}compressed without loss to {sizes}", None)
    if kept != before.archived:
        return Change(f"{ARCHIVED}the compressed original is damaged; the upload is kept", None)
    if before.clear_at is not None and after.clear_at is None:
        return Change(f"{CLEARED}what was uploaded is gone; its FLAC stays", None)
    same = (before.compress_at, before.clear_at) == (after.compress_at, after.clear_at)
    return None if same else Change(None, None)


def latest_extension(recording: Recording, rules: Rules) -> datetime | None:
    """How far its tenant may extend it; None without limit.

    Raises:
        ExtensionRefused: not at all.
    """
    days = rules.max_extension_days
    if days == 0:
        raise ExtensionRefused("This tenant's tier cannot extend. A higher tier keeps it longer.")
    return None if days is None else tier_end(recording, rules) + timedelta(days=days)


def extended(recording: Recording, until: datetime, rules: Rules, now: Times) -> Recording:
    """The recording, kept at least until `until`; unchanged if it was extended so far before.

    Raises:
        ExtensionRefused: the tenant's tier does not allow it, or not so far.
        WrongState: it is erased.
    """
    _not_erased(recording)
    latest = latest_extension(recording, rules)
    if latest is not None and until > latest:
        raise ExtensionRefused(
            f"This tenant's tier keeps it until {_minute(latest)} at the longest."
        )
    if recording.extended_until is not None and recording.extended_until >= until:
        return recording
    return _moved(replace(recording, extended_until=until.astimezone(UTC)), rules, now)


def held(recording: Recording, hold: Hold) -> Recording:
    """The recording under a hold; the one that stands stays, with its reason and actor.

    Raises:
        WrongState: it is erased.
    """
    _not_erased(recording)
    return recording if recording.hold else replace(recording, hold=hold)


def released(recording: Recording) -> Recording:
    """The recording without its hold; one that had none is as it was.

    Raises:
        WrongState: it is erased.
    """
    _not_erased(recording)
    return replace(recording, hold=None)


def _not_erased(recording: Recording) -> None:
    if recording.state is State.ERASED:
        raise WrongState("This recording is erased; nothing of it is left to keep.")


def reason(text: str) -> str:
    """A person's reason for a hold, on one line.

    Raises:
        InvalidRequest: there is none, or it is longer than MAX_REASON characters.
    """
    said = " ".join(text.split())
    if not said:
        raise InvalidRequest("Say why it is held; whoever wants to release it will ask.")
    if len(said) > MAX_REASON:
        raise InvalidRequest(f"The reason is longer than {MAX_REASON} characters.")
    return said


def is_aside(line: Moved) -> bool:
    """Whether a line of the history is about keeping, and no change of state."""
    return line.reason.startswith(_ASIDES)


def moves(history: Sequence[Moved]) -> list[Moved]:
    """The lines that are changes of state, oldest first."""
    return [line for line in history if not is_aside(line)]


def reason_kept(recording: Recording, tenant: Tenant) -> str:
    """Why it is kept as long as it is, in a sentence or two for people."""
    if recording.state is State.ERASED:
        return "It is erased."
    told = [_why_so_long(recording, tenant)]
    if recording.announced_at is not None:
        told.append(f"Its end was announced on {_day(recording.announced_at)}.")
    if recording.hold is not None:
        told.append(
            f"Held since {_day(recording.hold.at)} by {recording.hold.actor}:"
            f" {recording.hold.reason}. Until that is released nothing of it is erased."
        )
    return " ".join(told)


def _why_so_long(recording: Recording, tenant: Tenant) -> str:
    """What of tier, extension and announcement sets its end."""
    by_tier, announced = tier_end(recording, tenant.rules), recording.announced_at
    extension = recording.extended_until
    if extension is not None and extension >= max(by_tier, recording.kept_until):
        return f"It was extended until {_day(extension)}; {_kept_by(tenant)}."
    if announced is not None and recording.kept_until > max(by_tier, extension or by_tier):
        days = ANNOUNCED_AHEAD.days
        return f"What ends is kept for {days} days after that was announced; {_kept_by(tenant)}."
    return f"{_kept_by(tenant).capitalize()}."


def _kept_by(tenant: Tenant) -> str:
    rules = tenant.rules
    unit, count = ("month", rules.keep_months) if rules.keep_months else ("day", rules.keep_days)
    span = f"{count} {unit}{'' if count == 1 else 's'}"
    own = {"keep_days", "keep_months"} & dict(tenant.overrides).keys()
    return f"{'this tenant' if own else f'the tier {tenant.tier}'} keeps recordings for {span}"


def _minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _day(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d}"
