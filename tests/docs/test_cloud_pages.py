"""deploy.md and operate.md name commands, variables, alerts and buckets that there are."""

import re
from pathlib import Path

import pytest

from deploy import costs
from local.cli import cli as earwitness
from shared.adapters.gcp import firestore_rows as rows

ROOT = Path(__file__).parents[2]
PAGES = {name: (ROOT / "docs" / name).read_text("utf-8") for name in ("deploy.md", "operate.md")}
TERRAFORM = "\n".join(f.read_text("utf-8") for f in sorted((ROOT / "terraform").rglob("*.tf")))
BLOCK = re.compile(r"^ *```(sh|hcl)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def blocks(page, kind):
    return [text for language, text in BLOCK.findall(PAGES[page]) if language == kind]


def variables():
    text = (ROOT / "terraform" / "variables.tf").read_text("utf-8")
    return set(re.findall(r'^variable "(\w+)"', text, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_ours_are_there_with_their_options(page):
    shown = re.findall(r"(?:^|`|env; )\s*(earwitness [^`\n|]+)", PAGES[page], re.MULTILINE)

    assert len(shown) > 5
    for line in shown:
        words = line.split("#")[0].replace("\\", "").split()[1:]
        command = earwitness.commands[words[0]]
        if hasattr(command, "commands"):
            command = command.commands[words[1]]
        options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        assert {w.partition("=")[0] for w in words if w.startswith("--")} <= options, line


@pytest.mark.parametrize("page", PAGES)
def test_variables_are_terraforms(page):
    given = re.findall(r"-var '?(\w+)=", PAGES[page])
    given += [n for b in blocks(page, "hcl") for n in re.findall(r"^(\w+)\s*=", b, re.MULTILINE)]

    assert given
    assert set(given) <= variables()


def test_the_first_apply_has_every_variable_without_a_default():
    text = (ROOT / "terraform" / "variables.tf").read_text("utf-8")
    each = re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL)
    needed = {name for name, body in each if not re.search(r"^  default ", body, re.MULTILINE)}
    [written] = re.findall(r"terraform.tfvars <<EOF\n(.*?)EOF", PAGES["deploy.md"], re.DOTALL)
    said = set(re.findall(r"^(\w+)\s*=", written, re.MULTILINE))

    assert needed == {"project", "region", "viewers"}
    assert needed <= said <= variables()


def test_every_alert_has_its_page_of_what_to_do():
    alerts = (ROOT / "terraform" / "stack" / "alerts.tf").read_text("utf-8")
    names = re.findall(r'^      name     = "(.+)"', alerts, re.MULTILINE)
    told = re.findall(r"^### (.+)", PAGES["operate.md"], re.MULTILINE)

    assert len(names) > 4
    assert [name for name in names if name not in told] == []


@pytest.mark.parametrize("page", PAGES)
def test_buckets_and_subscriptions_are_terraforms(page):
    """`ew-NOUN` in a command is `${var.name}-NOUN` or `${var.prefix}-NOUN` of a file."""
    shown = {n for b in blocks(page, "sh") for n in re.findall(r"\bew-([a-z][a-z-]+[a-z])", b)}
    made = set(re.findall(r"\$\{var\.(?:name|prefix)\}-([a-z-]+)", TERRAFORM))
    # Named by what is counted over: topics and their subscriptions, functions.
    made |= {"lane-high", "lane-low", "lane", "jobs-dead", "reconcile"}

    assert shown
    assert shown - made - {"drill"} == set()


def test_a_restore_empties_every_collection_but_what_must_outlive_it():
    [said] = re.findall(r"--collection-ids=(\S+)", PAGES["operate.md"])
    kept = {rows.ERASURES, rows.TOMBSTONES, rows.TENANT_KEYS, rows.ACTIONS}
    every = {v for k, v in vars(rows).items() if k.isupper() and isinstance(v, str)}

    assert set(said.split(",")) == every - kept


def test_every_clock_is_stopped_before_a_restore():
    [stopped] = re.findall(r"for clock in (.*); do", PAGES["operate.md"])

    assert set(stopped.split()) == costs.ticks(costs.CLOCKS.read_text("utf-8")).keys()


def test_it_is_said_that_nobody_ran_it():
    assert "never run on a live project" in PAGES["deploy.md"]
    assert "None of it was done on a\nlive project" in PAGES["operate.md"]


def test_idle_costs_stand_before_all_others():
    page = PAGES["deploy.md"]

    assert page.index(costs.BEGIN) < page.index("**Idle, a month.**") < page.index("1,000 hours")
