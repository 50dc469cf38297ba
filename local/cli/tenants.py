"""tenants ls|show|set: who owns recordings, and what they may do."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from local.cli.options import home_option, json_option, parts_of
from local.cli.output import payload, say
from shared.domain.answers import Task
from shared.domain.api import MoneyUsed, Usage
from shared.domain.listing import used
from shared.domain.names import TENANT
from shared.domain.plans import ASKED
from shared.domain.profile_rules import Deployed
from shared.domain.profiles import digest
from shared.domain.tenants import (
    MAX_KEEP_DAYS,
    OVERRIDABLE,
    OverQuotaPolicy,
    Rules,
    Tenant,
    Tier,
    keeping,
    kept_for,
)
from shared.errors import NotFound
from shared.settings import Settings
from shared.wiring import Parts

#: Word for the built-in profile; a file of that name is `./default`.
_BUILT_IN = "default"
#: Hexadecimal digits of a digest that people read.
_SHORT = 12
#: Rules that a tenant may have without any limit.
_LIMITLESS = frozenset(
    {"files_a_day", "seconds_a_day", "fallback_usd_a_day", "max_extension_days"},
)
#: A recording is kept for days or for calendar months.
_KEEPING = frozenset({"keep_days", "keep_months"})


@click.group()
def tenants() -> None:
    """Who owns recordings. A folder in the inbox makes a tenant of tier free by itself."""


@tenants.command("ls")
@home_option
@json_option
def list_tenants(home: Path | None, as_json: bool) -> None:
    """List tenants with their tiers, rules, and what they used today (UTC).

    Of seconds and of money, reserved is what processes at work took of the day and may use;
    stranded is what one that is gone has left. Money comes back five minutes later, at most
    0.25 USD a worker; seconds of sound (at most 600 a process) with the next day.
    """
    parts = parts_of(home)
    told = [(tenant, _usage(parts, tenant)) for tenant in parts.tenants.all()]
    if as_json:
        payload({"tenants": [_as_json(t, today) for t, today in told]})
        return
    for tenant, today in told:
        click.echo(f"{tenant.id:<20}  {tenant.tier:<10}  {_summary(tenant)}{_today(today)}")


def _usage(parts: Parts, tenant: Tenant) -> Usage:
    now = parts.now()
    return used(tenant, parts.quotas.day(tenant.id, now), parts.spending.day(tenant.id, now), now)


def _as_json(tenant: Tenant, today: Usage) -> dict[str, object]:
    rules = asdict(tenant.rules)
    return {
        "id": tenant.id,
        "tier": tenant.tier.value,
        "fallback": tenant.fallback,
        "residency": tenant.residency,
        "over_quota": tenant.over_quota.value,
        "profile": _profile(tenant),
        "rules": rules,
        "today": _money(today.usd),
        "usage": today.model_dump(mode="json", exclude={"tenant", "tier", "over_quota"}),
    }


def _money(usd: MoneyUsed) -> dict[str, float]:
    return {
        "spent_usd": usd.spent,
        "reserved_usd": usd.reserved,
        "stranded_usd": usd.stranded,
    }


def _today(today: Usage) -> str:
    """What was heard today (UTC) and what paid engines cost, with what processes hold of both."""
    sound, usd, told = today.seconds, today.usd, list[str]()
    if today.files.used:
        told.append(f"{today.files.used:,} files")
    if sound.used or sound.reserved or sound.stranded:
        told.append(
            f"{sound.used:,.1f} s heard, {sound.reserved:,.1f} reserved,"
            f" {sound.stranded:,.1f} stranded"
        )
    if usd.spent or usd.reserved or usd.stranded:
        told.append(
            f"{usd.spent:.4f} USD spent, {usd.reserved:.4f} reserved, {usd.stranded:.4f} stranded"
        )
    return f", today {', '.join(told)}" if told else ""


def _profile(tenant: Tenant) -> dict[str, object] | None:
    """None is the built-in profile."""
    if tenant.profile is None:
        return None
    return {"digest": digest(tenant.profile), "document": json.loads(tenant.profile)}


def _summary(tenant: Tenant) -> str:
    rules, own = tenant.rules, dict(tenant.overrides)
    told = {
        "max_bytes": f"files to {rules.max_bytes / 1e6:,.0f} MB",
        "max_seconds": f"{rules.max_seconds / 3600:g} h long",
        "files_a_day": f"{_limit(rules.files_a_day)} files a day",
        "seconds_a_day": f"{_hours_a_day(rules)} h a day",
        "keep_days": f"kept {kept_for(rules)}",
        "fallback_usd_a_day": f"fallback {_fallback(tenant)}",
    }
    if "keep_months" in own:
        own["keep_days"] = own["keep_months"]
    lines = [f"{text}{'*' if name in own else ''}" for name, text in told.items()]
    if tenant.over_quota is OverQuotaPolicy.REFUSE:
        lines.append("refused over quota")
    if tenant.profile is not None:
        lines.append(f"profile {digest(tenant.profile)[:_SHORT]}")
    return ", ".join(lines)


def _fallback(tenant: Tenant) -> str:
    usd = tenant.rules.fallback_usd_a_day
    if not tenant.fallback:
        return "off, its data stays" if tenant.residency else "off"
    return "to any cost" if usd is None else f"to {usd:g} USD a day"


def _limit(number: float | None) -> str:
    return "any" if number is None else f"{number:,.0f}"


def _hours_a_day(rules: Rules) -> str:
    return "any" if rules.seconds_a_day is None else f"{rules.seconds_a_day / 3600:g}"


class _Number(click.ParamType["float | str"]):
    """A number above 0, or `none` for no limit."""

    name = "number"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        text = str(value).lower()
        if text == "none":
            return "none"
        try:
            number = float(text)
        except ValueError:
            self.fail(f"{value!r} is no number.", param, ctx)
        if not 0 < number < float("inf"):
            self.fail(f"{value!r} is not above 0.", param, ctx)
        return number


def _used(today: Usage) -> Iterator[str]:
    """What of the day is used, a line a limit, and when it begins anew."""
    files, sound, usd = today.files, today.seconds, today.usd
    yield f"today, until {today.next_day_at:%Y-%m-%d %H:%M} UTC:"
    yield f"  files    {files.used:,} of {_limit(files.limit)}"
    held = f"{sound.reserved:,.1f} reserved, {sound.stranded:,.1f} stranded"
    yield f"  seconds  {sound.used:,.1f} of {_limit(sound.limit)} ({held})"
    held = f"{usd.reserved:.4f} reserved, {usd.stranded:.4f} stranded"
    most = "any" if usd.limit is None else f"{usd.limit:g}"
    most = most if usd.agreed else "none, fallback is off"
    yield f"  USD      {usd.spent:.4f} of {most} ({held})"
    refuses = today.over_quota is OverQuotaPolicy.REFUSE
    yield f"  an upload over a limit is {'refused' if refuses else 'heard on the next day'}"


class _Keep(click.ParamType["tuple[str, int]"]):
    """`400d`, `6mo`, `2y`: days, or calendar months and years."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        try:
            return keeping(str(value))
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


@tenants.command("show")
@click.argument("name")
@home_option
@json_option
def show_tenant(name: str, home: Path | None, as_json: bool) -> None:
    """Show a tenant with what it used today and the profile of its recordings."""
    parts = parts_of(home)
    tenant = parts.tenants.get(name)
    if tenant is None:
        raise NotFound(f"There is no tenant {name}. List them with `earwitness tenants ls`.")
    today = _usage(parts, tenant)
    if as_json:
        payload(_as_json(tenant, today))
        return
    click.echo(f"{tenant.id}  {tenant.tier}  {_summary(tenant)}")
    for line in _used(today):
        click.echo(line)
    profile = _profile(tenant)
    if profile is None:
        click.echo("profile: default, every task that engines are set for, one after the other")
        return
    click.echo(f"profile: {profile['digest']}")
    click.echo(json.dumps(profile["document"], indent=2))


@tenants.command("set")
@click.argument("name")
@home_option
@click.option("--tier", type=click.Choice([t.value for t in Tier]), help="free by default.")
@click.option("--max-bytes", type=_Number(), help="Largest file.")
@click.option("--max-seconds", type=_Number(), help="Longest recording.")
@click.option("--files-a-day", type=_Number(), help="Files a day; none = any.")
@click.option("--seconds-a-day", type=_Number(), help="Seconds of sound a day; none = any.")
@click.option("--keep", type=_Keep(), help="How long a recording is kept: 400d, 6mo, 2y.")
@click.option("--keep-days", type=_Number(), help="The same in days: --keep 400d.")
@click.option(
    "--max-extension-days",
    type=_Number(),
    help="How much longer one may be kept if somebody asks; none = any.",
)
@click.option("--weight", type=_Number(), help="Share in fair queueing; more waits less.")
@click.option("--fallback-usd-a-day", type=_Number(), help="For paid engines; none = any.")
@click.option(
    "--fallback",
    type=click.Choice(["on", "off"]),
    help="Whether doubtful sound may go to paid engines elsewhere.",
)
@click.option(
    "--residency",
    type=click.Choice(["on", "off"]),
    help="Whether its data may not leave; on ends the fallback.",
)
@click.option(
    "--profile",
    type=click.Path(path_type=Path),
    help="File (YAML or JSON) that says what its recordings are asked; `default` to go back.",
)
@click.option(
    "--over-quota",
    type=click.Choice([p.value for p in OverQuotaPolicy]),
    help="Uploads over a day's limit wait for the next day, or are refused; defer by default.",
)
@click.option("--defaults", is_flag=True, help="Forget the tenant's own rules first.")
def set_tenant(
    name: str,
    home: Path | None,
    tier: str | None,
    defaults: bool,
    fallback: str | None,
    residency: str | None,
    profile: Path | None,
    over_quota: str | None,
    keep: tuple[str, int] | None,
    **rules: float | str | None,
) -> None:
    """Make a tenant, or change its tier and rules; what is not named stays."""
    if not TENANT.fullmatch(name):
        raise click.BadParameter("a tenant is named with 3 to 40 of a-z, 0-9 and -.")
    parts = parts_of(home)
    chosen = _chosen(profile, parts.settings)
    before = parts.tenants.get(name) or Tenant(name, Tier.FREE, parts.now())
    own = _own_rules(dict(() if defaults else before.overrides), keep, rules)
    after = Tenant(
        name,
        Tier(tier) if tier else before.tier,
        before.created_at,
        tuple(sorted(own.items())),
        _agrees(before, fallback, residency),
        before.profile if profile is None else chosen,
        before.residency if residency is None else residency == "on",
        OverQuotaPolicy(over_quota) if over_quota else before.over_quota,
    )
    parts.tenants.put(after)
    say(f"{after.id}: {after.tier}, {_summary(after)}")


def _agrees(before: Tenant, fallback: str | None, residency: str | None) -> bool:
    """Whether doubtful sound may go elsewhere; data that begins to stay ends what was agreed."""
    if fallback is not None:
        return fallback == "on"
    return before.fallback and residency != "on"


def _chosen(profile: Path | None, settings: Settings) -> str | None:
    """The profile as the store keeps it.

    Raises:
        InvalidProfile: every problem is named with its line and column.
        InvalidSettings: the engines of the settings cannot be told.
    """
    if profile is None or str(profile) == _BUILT_IN:
        return None
    # Imported here: engines and YAML are read for this alone.
    from local.models import configured
    from local.profile_files import profile_in

    known = configured(settings).items()
    able = {name: frozenset(map(Task, engine["tasks"])) for name, engine in known}
    cascade = {task: getattr(settings.cascade, task) for task in ASKED}
    return profile_in(profile, Deployed(able, cascade)).canonical()


def _own_rules(
    own: dict[str, float], keep: tuple[str, int] | None, given: dict[str, float | str | None]
) -> dict[str, float]:
    """The tenant's own rules with what was given; of days and months to keep the last one said."""
    chosen = {rule: _value(rule, value) for rule, value in given.items() if value is not None}
    if keep is not None and "keep_days" in chosen:
        raise click.BadParameter("--keep-days is --keep in days; say one of them.")
    chosen |= dict([keep]) if keep else {}
    if chosen.keys() & _KEEPING:
        own = {rule: value for rule, value in own.items() if rule not in _KEEPING}
    return own | chosen


def _value(rule: str, value: float | str) -> float:
    assert rule in OVERRIDABLE
    if value == "none" and rule not in _LIMITLESS:
        raise click.BadParameter(f"{rule} needs a number.")
    if rule == "keep_days" and not 1 <= float(value) <= MAX_KEEP_DAYS:
        raise click.BadParameter(f"{rule} is between 1 and {MAX_KEEP_DAYS}.")
    # The domain reads None as "without limit"; its type says float for the numbers.
    return None if value == "none" else float(value)  # type: ignore[return-value]
