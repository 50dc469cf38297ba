"""The costs on the page follow from the price file, and the amounts in it were really counted."""

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import date

import pytest
from google.cloud import storage
from google.cloud.firestore_v1.services.firestore.client import FirestoreClient

from deploy import costs
from shared import wiring
from shared.domain.lanes import Lane
from shared.flows.work import Settled
from shared.settings import load
from tests.cloud.conftest import cloud  # noqa: F401  # the same project on the emulators
from tests.flows.ears import SmallEars, survey
from tests.sounds import tone_wav

PRICES = json.loads((costs.ROOT / "deploy" / "prices.json").read_text(encoding="utf-8"))
USAGE = json.loads((costs.ROOT / "deploy" / "usage.json").read_text(encoding="utf-8"))


def test_the_page_has_the_tables_of_today():
    page = costs.PAGE.read_text(encoding="utf-8")
    tables = costs.page(
        costs.read(), costs.measured_pace(costs.MEASURED.read_text(encoding="utf-8"))
    )

    assert costs.written(page, tables) == page, "run python -m deploy.costs docs"
    assert tables in page


def test_idle_stands_before_everything_else():
    tables = costs.page(costs.read(), 0.1)

    assert re.findall(r"^\*\*(\w+)", tables, re.MULTILINE)[0] == "Idle"


def test_an_l4_that_is_always_on_costs_what_terraform_says():
    [warm] = [line for line in costs.on_request(costs.read()) if "high_min" in line.what]
    variables = (costs.ROOT / "terraform" / "variables.tf").read_text(encoding="utf-8")

    assert f"about {warm.usd:.0f} USD a month for each with an L4" in variables


def test_compressing_saves_and_costs_what_terraform_says():
    came, flac, _, making, _, waking = (line.usd for line in costs.keeping(costs.read()))
    variables = (costs.ROOT / "terraform" / "variables.tf").read_text(encoding="utf-8")

    assert round(came - flac, 1) == 3.5
    assert f"3.50 USD a year for 1,000 hours of 16 kHz and takes {making:.2f} USD" in variables
    assert f"at most once a day, is {waking:.2f} USD" in variables


def test_classes_and_days_are_those_that_terraform_gives():
    stack = costs.ROOT / "terraform" / "stack" / "storage.tf"
    uploads = stack.read_text(encoding="utf-8").partition('"results"')[0]
    found = re.findall(r"age = (\d+)\n.*?(?:storage_class = \"(\w+)\"|Abort)", uploads, re.DOTALL)

    wanted = {"NEARLINE": costs.NEARLINE_DAY, "COLDLINE": costs.COLDLINE_DAY}
    assert {name: int(days) for days, name in found if name} == wanted
    assert load().archive_after_days == costs.FLAC_DAY


def test_what_is_kept_is_billed_by_its_class():
    prices = costs.Prices(
        {"gb_month": 3650.0, "nearline_gb_month": 365.0, "coldline_gb_month": 36.5}, {}
    )
    a_day = 24 / costs.HOURS_A_MONTH

    kept = {days: costs._kept(prices, 2.0, days) / 2 / a_day for days in (31, 32, 91, 365)}

    nearline = 31 * 3650 + 60 * 365
    assert kept == pytest.approx(
        {31: 31 * 3650, 32: 31 * 3650 + 365, 91: nearline, 365: nearline + 274 * 36.5}
    )


def test_every_price_says_what_it_is_for_and_where_it_was_read():
    assert date.fromisoformat(PRICES["read_on"]) >= date(2026, 11, 1)
    for name, price in PRICES["prices"].items():
        assert price["source"].startswith("https://cloud.google.com/"), name
        assert price["for"], name
        assert (price["usd"] is None) == price["found"].startswith("not found"), name


def test_a_price_that_is_missing_is_said_and_not_counted():
    prices = costs.Prices({"read": None}, {})

    line = costs.Line("reads", "5", prices.of("read", 5))

    assert costs._table([line]).endswith("| reads | 5 | no price found |")
    assert "Together 1.00 USD" in costs._total([line, costs.Line("else", "", 1.0)])


def test_pace_is_that_of_our_own_line():
    text = (
        "  1 file(s), 200 s of sound\n  faster-whisper  30.0 s (1 to 2)\n  earwitness  20.0 s (1)\n"
    )

    assert costs.measured_pace(text) == pytest.approx(0.1)


def test_tables_are_written_between_their_marks_and_nowhere_else():
    page = f"before\n{costs.BEGIN}\nold\n{costs.END}\nafter\n"

    new = costs.written(page, f"{costs.BEGIN}\nnew\n{costs.END}")

    assert new == f"before\n{costs.BEGIN}\nnew\n{costs.END}\nafter\n"


@pytest.fixture
def billed(monkeypatch):
    """Firestore's operations as they are billed: a query that finds nothing is one read."""
    seen = Counter()

    def commit(request, answer):
        for write in request["writes"]:
            gone = type(write).pb(write).WhichOneof("operation") == "delete"
            seen["deletes" if gone else "writes"] += 1
        return answer

    def documents(request, answer):
        seen["reads"] += len(request["documents"])
        return answer

    def query(_, answer):
        found = list(answer)
        seen["reads"] += max(1, sum(1 for one in found if one.document.name))
        return iter(found)

    def count(_, answer):
        seen["reads"] += 1
        return answer

    for name, look in {
        "commit": commit,
        "batch_get_documents": documents,
        "run_query": query,
        "run_aggregation_query": count,
    }.items():
        monkeypatch.setattr(FirestoreClient, name, _tapped(getattr(FirestoreClient, name), look))
    return seen


def _tapped(call, look):
    """Google's own client, and a look at what goes through it."""

    def tapped(self, *args, **given):
        return look(given.get("request") or args[0], call(self, *args, **given))

    return tapped


def at_one_moment(parts):
    """No lease is extended and no day begins, however busy the machine is."""
    moment = parts.now()
    return replace(parts, now=lambda: moment)


TICKS = {
    "deliver": wiring.deliver,
    "reconcile": wiring.reconcile,
    "retire": wiring.retire,
    "seal": wiring.sealing,
}


@pytest.mark.parametrize("function", TICKS)
def test_an_idle_tick_reads_as_much_as_the_costs_say(cloud, billed, function):  # noqa: F811
    tick = TICKS[function](at_one_moment(cloud.parts))
    tick()  # the first one of a day also lists uploads and results

    billed.clear()
    tick()

    kinds = ("reads", "writes", "deletes")
    said = {kind: USAGE.get(f"idle_{function}_{kind}", {"value": 0})["value"] for kind in kinds}
    assert billed == Counter(said)


def test_every_function_with_a_clock_is_in_the_costs():
    assert costs.ticks(costs.CLOCKS.read_text(encoding="utf-8")).keys() <= TICKS.keys()


@pytest.mark.parametrize(
    ("cron", "calls"),
    [("* * * * *", 43_800), ("*/5 * * * *", 8_760), ("7 * * * *", 730), ("0 3,15 * * *", 61)],
)
def test_a_clock_is_read_as_cron_reads_it(cron, calls):
    text = f'locals {{\n  schedules = {{ a = "{cron}", b = "* * * * *" }}\n}}'

    assert costs.ticks(text) == {"a": calls, "b": 43_800}


def test_a_clock_of_some_days_is_refused():
    with pytest.raises(ValueError, match="not the same every day"):
        costs.calls("0 3 * * 1")


def test_a_recording_takes_as_much_as_the_costs_say(cloud, billed):  # noqa: F811
    p = at_one_moment(cloud.parts)
    billed.clear()
    wiring.intake(p)(cloud.drop(tone_wav(600)))
    work = wiring.work(p, SmallEars(survey(segments=22, each_s=27.0)))
    assert work((Lane.HIGH, Lane.LOW)) is Settled.DONE

    said = {kind: USAGE[f"recording_{kind}"]["value"] for kind in ("reads", "writes", "deletes")}
    assert billed == said
    [folder] = p.results.folders(None, 10)
    files = list(storage.Client().list_blobs(p.settings.results_bucket, prefix=folder.folder))
    assert 1 + len(files) == USAGE["recording_objects"]["value"]
