"""tenants ls|set: who owns recordings, and what they may do."""

from dataclasses import asdict
from pathlib import Path

import click

from local.cli.options import home_option, json_option, parts_of
from local.cli.output import payload, say
from shared.domain.names import TENANT
from shared.domain.tenants import OVERRIDABLE, Rules, Tenant, Tier

#: Rules that a tenant may have without any limit.
_LIMITLESS = frozenset({"files_a_day", "seconds_a_day", "fallback_usd_a_day"})


@click.group()
def tenants() -> None:
    """Who owns recordings. A folder in the inbox makes a tenant of tier free by itself."""


@tenants.command("ls")
@home_option
@json_option
def list_tenants(home: Path | None, as_json: bool) -> None:
    """List tenants with their tiers and rules."""
    found = parts_of(home).tenants.all()
    if as_json:
        payload({"tenants": [_as_json(t) for t in found]})
        return
    for tenant in found:
        click.echo(f"{tenant.id:<20}  {tenant.tier:<10}  {_summary(tenant)}")


def _as_json(tenant: Tenant) -> dict[str, object]:
    rules = asdict(tenant.rules)
    return {
        "id": tenant.id,
        "tier": tenant.tier.value,
        "fallback": tenant.fallback,
        "rules": rules,
    }


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
    return ", ".join(f"{text}{'*' if name in own else ''}" for name, text in told.items())


def _fallback(tenant: Tenant) -> str:
    usd = tenant.rules.fallback_usd_a_day
    if not tenant.fallback:
        return "off"
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
@click.option("--defaults", is_flag=True, help="Forget the tenant's own rules first.")
def set_tenant(
    name: str,
    home: Path | None,
    tier: str | None,
    defaults: bool,
    fallback: str | None,
    **rules: float | str | None,
) -> None:
    """Make a tenant, or change its tier and rules; what is not named stays."""
    if not TENANT.fullmatch(name):
        raise click.BadParameter("a tenant is named with 3 to 40 of a-z, 0-9 and -.")
    parts = parts_of(home)
    before = parts.tenants.get(name) or Tenant(name, Tier.FREE, parts.now())
    own = dict(() if defaults else before.overrides) | _own_rules(rules)
    after = Tenant(
        name,
        Tier(tier) if tier else before.tier,
        before.created_at,
        tuple(sorted(own.items())),
        before.fallback if fallback is None else fallback == "on",
    )
    parts.tenants.put(after)
    say(f"{after.id}: {after.tier}, {_summary(after)}")


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
