"""tenants ls|show|set: who owns recordings, and what they may do."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from local.cli.options import home_option, json_option, parts_of
from local.cli.output import payload, say
from shared.domain.answers import Task
from shared.domain.names import TENANT
from shared.domain.plans import ASKED
from shared.domain.profile_rules import Deployed
from shared.domain.profiles import digest
from shared.domain.spending import DayOfMoney
from shared.domain.tenants import OVERRIDABLE, Rules, Tenant, Tier
from shared.errors import NotFound
from shared.settings import Settings

#: Word for the built-in profile; a file of that name is `./default`.
_BUILT_IN = "default"
#: Hexadecimal digits of a digest that people read.
_SHORT = 12
#: Rules that a tenant may have without any limit.
_LIMITLESS = frozenset({"files_a_day", "seconds_a_day", "fallback_usd_a_day"})


@click.group()
def tenants() -> None:
    """Who owns recordings. A folder in the inbox makes a tenant of tier free by itself."""


@tenants.command("ls")
@home_option
@json_option
def list_tenants(home: Path | None, as_json: bool) -> None:
    """List tenants with their tiers, rules, and what they spent today (UTC).

    Reserved is what workers took of the day's money and may spend; stranded is what a worker
    that is gone has left, until another takes it back: at most 0.25 USD a worker each.
    """
    parts = parts_of(home)
    now = parts.now()
    days = [(t, parts.spending.day(t.id, now)) for t in parts.tenants.all()]
    if as_json:
        payload({"tenants": [_as_json(t, day) for t, day in days]})
        return
    for tenant, day in days:
        click.echo(f"{tenant.id:<20}  {tenant.tier:<10}  {_summary(tenant)}{_today(day)}")


def _as_json(tenant: Tenant, day: DayOfMoney) -> dict[str, object]:
    rules = asdict(tenant.rules)
    return {
        "id": tenant.id,
        "tier": tenant.tier.value,
        "fallback": tenant.fallback,
        "residency": tenant.residency,
        "profile": _profile(tenant),
        "rules": rules,
        "today": asdict(day),
    }


def _today(day: DayOfMoney) -> str:
    """What paid engines cost today (UTC), and what workers hold of the day's money."""
    if not any(asdict(day).values()):
        return ""
    told = f", today {day.spent_usd:.4f} USD spent, {day.reserved_usd:.4f} reserved"
    return f"{told}, {day.stranded_usd:.4f} stranded"


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
        "keep_days": f"kept {_kept(rules)}",
        "fallback_usd_a_day": f"fallback {_fallback(tenant)}",
    }
    lines = [f"{text}{'*' if name in own else ''}" for name, text in told.items()]
    if tenant.profile is not None:
        lines.append(f"profile {digest(tenant.profile)[:_SHORT]}")
    return ", ".join(lines)


def _fallback(tenant: Tenant) -> str:
    usd = tenant.rules.fallback_usd_a_day
    if not tenant.fallback:
        return "off, its data stays" if tenant.residency else "off"
    return "to any cost" if usd is None else f"to {usd:g} USD a day"


def _limit(number: int | None) -> str:
    return "any" if number is None else f"{number:,}"


def _hours_a_day(rules: Rules) -> str:
    return "any" if rules.seconds_a_day is None else f"{rules.seconds_a_day / 3600:g}"


def _kept(rules: Rules) -> str:
    return f"{rules.keep_days} days" if rules.keep_days else f"{rules.keep_months} months"


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


@tenants.command("show")
@click.argument("name")
@home_option
@json_option
def show_tenant(name: str, home: Path | None, as_json: bool) -> None:
    """Show a tenant with the profile of its recordings."""
    parts = parts_of(home)
    tenant = parts.tenants.get(name)
    if tenant is None:
        raise NotFound(f"There is no tenant {name}. List them with `earwitness tenants ls`.")
    day = parts.spending.day(tenant.id, parts.now())
    if as_json:
        payload(_as_json(tenant, day))
        return
    click.echo(f"{tenant.id}  {tenant.tier}  {_summary(tenant)}{_today(day)}")
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
@click.option("--keep-days", type=_Number(), help="Days a recording is kept.")
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
@click.option("--defaults", is_flag=True, help="Forget the tenant's own rules first.")
def set_tenant(
    name: str,
    home: Path | None,
    tier: str | None,
    defaults: bool,
    fallback: str | None,
    residency: str | None,
    profile: Path | None,
    **rules: float | str | None,
) -> None:
    """Make a tenant, or change its tier and rules; what is not named stays."""
    if not TENANT.fullmatch(name):
        raise click.BadParameter("a tenant is named with 3 to 40 of a-z, 0-9 and -.")
    parts = parts_of(home)
    chosen = _chosen(profile, parts.settings)
    before = parts.tenants.get(name) or Tenant(name, Tier.FREE, parts.now())
    own = dict(() if defaults else before.overrides) | _own_rules(rules)
    after = Tenant(
        name,
        Tier(tier) if tier else before.tier,
        before.created_at,
        tuple(sorted(own.items())),
        _agrees(before, fallback, residency),
        before.profile if profile is None else chosen,
        before.residency if residency is None else residency == "on",
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


def _own_rules(given: dict[str, float | str | None]) -> dict[str, float]:
    chosen: dict[str, float] = {}
    for rule, value in given.items():
        assert rule in OVERRIDABLE
        if value is None:
            continue
        if value == "none" and rule not in _LIMITLESS:
            raise click.BadParameter(f"{rule} needs a number.")
        # The domain reads None as "without limit"; its type says float for the numbers.
        chosen[rule] = None if value == "none" else float(value)  # type: ignore[assignment]
    return chosen
