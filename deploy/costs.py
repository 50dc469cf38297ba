"""What a deployment costs: idle first, then a thousand hours of sound.

`python -m deploy.costs` prints the tables, `python -m deploy.costs docs` writes them into
docs/deploy.md. Prices are deploy/prices.json's, amounts deploy/usage.json's; what either does not
know is said in the table instead of guessed.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "deploy.md"
#: A sitting of P15: how long the default engine needed on two CPU cores.
MEASURED = ROOT / "bench" / "results" / "whisper_overhead.txt"
BEGIN, END = "<!-- costs: python -m deploy.costs docs -->", "<!-- end of costs -->"
HOURS_A_MONTH = 730
SECONDS_A_MONTH = HOURS_A_MONTH * 3600
#: Which functions have a clock, and how often it ticks.
CLOCKS = ROOT / "terraform" / "stack" / "scheduler.tf"
HOURS = 1_000
#: What an instance has (terraform/stack/gpu_service.tf: machines; functions.tf: memory).
L4_CPUS, L4_GIB = 4, 16
#: Seconds that Cloud Run may keep an instance after its last request (its documentation: 15 min).
TAIL_S = 900
#: When uploads become Nearline and Coldline (terraform/stack/storage.tf), and originals FLAC
#: (archive_after_days); what was uploaded then stays for two days (docs/retention.md).
NEARLINE_DAY, COLDLINE_DAY, FLAC_DAY, BESIDE_DAYS = 31, 91, 30, 2
#: WAV of 16 kHz with 16 bit; a year.
WAV_BYTES_A_SECOND, YEAR_DAYS = 32_000, 365
CPU_CPUS, CPU_GIB = 4, 8
FUNCTION_GIB = 0.5
TIB = 1 << 40


@dataclass(frozen=True, slots=True)
class Line:
    what: str
    how: str
    usd: float | None  #: None: a price is missing


class Prices:
    """Numbers by name, from a file that says of each where it comes from."""

    def __init__(self, prices: Mapping[str, float | None], amounts: Mapping[str, float]) -> None:
        self._prices, self._amounts = prices, amounts

    def of(self, name: str, count: float) -> float | None:
        price = self._prices[name]
        return None if price is None else price * count

    def known(self, name: str) -> float:
        price = self._prices[name]
        if price is None:
            raise LookupError(name)
        return price

    def amount(self, name: str) -> float:
        """What is not in the file was looked for and is nothing: a test counts each."""
        return self._amounts.get(name, 0.0) if name.startswith("idle_") else self._amounts[name]

    def l4_second(self) -> float:
        return self.known("l4_second") + self._instance_second(L4_CPUS, L4_GIB)

    def cpu_second(self) -> float:
        return self._instance_second(CPU_CPUS, CPU_GIB)

    def _instance_second(self, cpus: int, gib: int) -> float:
        return cpus * self.known("instance_cpu_second") + gib * self.known("instance_gib_second")

    def calls(self, count: float) -> float:
        """Calls of a function with a CPU."""
        second = self.known("request_cpu_second") + FUNCTION_GIB * self.known("request_gib_second")
        return count * (self.known("request") + self.amount("function_s") * second)


def read(root: Path = ROOT) -> Prices:
    prices, amounts = _json(root, "prices.json")["prices"], _json(root, "usage.json")
    return Prices(
        {name: one["usd"] for name, one in prices.items()},
        {name: one["value"] for name, one in amounts.items()},
    )


def _json(root: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "deploy" / name).read_text(encoding="utf-8"))
    return found


def measured_pace(text: str) -> float:
    """Seconds of work for a second of sound: the long file's, of the sitting that `text` is."""
    sound = re.search(r"1 file\(s\), ([\d.]+) s of sound", text)
    ours = re.search(r"^  earwitness +([\d.]+) s", text, re.MULTILINE)
    assert sound and ours, f"{MEASURED.name} is written in another form"
    return float(ours[1]) / float(sound[1])


def ticks(text: str) -> dict[str, int]:
    """How often a month each function is called by its clock, by the file that `text` is."""
    [schedules] = re.findall(r"^  schedules = \{(.*?)\}", text, re.MULTILINE | re.DOTALL)
    return {name: calls(cron) for name, cron in re.findall(r'(\w+)\s*= "(.+?)"', schedules)}


def calls(cron: str) -> int:
    """A month's calls of a schedule that is the same every day. Source: crontab(5)."""
    minute, hour, *days = cron.split()
    if days != ["*", "*", "*"]:
        raise ValueError(f"{cron} is not the same every day")
    return round(_times(minute, 60) * _times(hour, 24) * HOURS_A_MONTH / 24)


def _times(field: str, most: int) -> float:
    """How many of the `most` minutes or hours a field of crontab(5) means."""
    if field.startswith("*"):
        return most / int(field.removeprefix("*").removeprefix("/") or 1)
    return len(field.split(","))


def idle(p: Prices, called: Mapping[str, int]) -> list[Line]:
    """A month in which nothing arrives. `called`: how often each function with a clock is."""
    reads, writes = (_of_ticks(p, called, kind) for kind in ("reads", "writes"))
    count, jobs = sum(called.values()), len(called)
    names = ", ".join(f"`{name}`" for name in called)
    return [
        Line("GPU service, gateway", "no instance runs", 0.0),
        Line(names, f"{count:,} calls of an assumed second", p.calls(count)),
        Line("Firestore reads", f"{reads:,.0f} of those calls", p.of("read", reads)),
        Line("Firestore writes", f"{writes:,.0f} of those calls", p.of("write", writes)),
        Line("Scheduler", f"{jobs} job{'s' * (jobs > 1)}", p.of("scheduler_job_month", jobs)),
        Line("DNS between the services", "1 zone", p.of("dns_zone_month", 1)),
        Line("the key that signs receipts", "1 version", p.of("key_version_month", 1)),
        Line("weights", f"{p.amount('weights_gb')} GB", p.of("gb_month", p.amount("weights_gb"))),
        Line("Firestore's storage and its past", "what metadata takes", None),
        Line("images in Artifact Registry", "their size was not measured", None),
    ]


def _of_ticks(p: Prices, called: Mapping[str, int], kind: str) -> float:
    """Documents read or written in a month in which no tick finds anything to do."""
    return sum(p.amount(f"idle_{name}_{kind}") * count for name, count in called.items())


def on_request(p: Prices) -> list[Line]:
    """What is off until a variable says otherwise, a month; and what follows on work."""
    second = p.l4_second()
    return [
        Line("`high_min_instances = 1`", "an L4 day and night", second * SECONDS_A_MONTH),
        Line("nothing: each time work ends", "an L4 stays up to 15 minutes", second * TAIL_S),
        Line("`alert_emails`", "7 conditions a stack", p.of("alert_condition_month", 7)),
        Line("`openai`", "1 version of a secret", p.of("secret_version_month", 1)),
    ]


def thousand_hours(p: Prices) -> list[Line]:
    """Everything but the hearing itself: see `hearing`."""
    count = HOURS * 60 / p.amount("recording_minutes")
    gb = HOURS * 3600 * p.amount("kbit_per_s") * 1000 / 8 / 1e9
    objects = p.amount("recording_objects") * count
    messages = p.amount("messages_per_recording") * count
    return [
        Line("`on_audio_uploaded`", f"{count:,.0f} calls of an assumed second", p.calls(count)),
        _of_documents(p, "read", "reads", count),
        _of_documents(p, "write", "writes", count),
        _of_documents(p, "delete", "deletes", count),
        Line("uploads, kept a month", f"{gb:,.1f} GB", p.of("gb_month", gb)),
        Line("objects written", f"{objects:,.0f}", p.of("object_write", objects)),
        Line("Pub/Sub", f"{messages:,.0f} kB", p.of("message_tib", messages * 1000 / TIB)),
    ]


def _of_documents(p: Prices, price: str, kind: str, recordings: float) -> Line:
    count = p.amount(f"recording_{kind}") * recordings
    return Line(f"Firestore {kind}", f"{count:,.0f}", p.of(price, count))


def hearing(p: Prices, pace: float) -> list[Line]:
    """A thousand hours heard, one after the other, by how fast an instance hears."""
    seconds = HOURS * 3600
    paces = [("measured on two CPU cores, Whisper base", pace), ("assumed", 0.02)]
    paces += [("assumed, a large model", 0.25), ("assumed, no faster than it is spoken", 1.0)]
    cpu = Line(
        f"on CPUs, {pace:.3f}: {paces[0][0]}", "`gpu = null`", p.cpu_second() * seconds * pace
    )
    on_gpu = [
        Line(f"on an L4, {f:.3f}: {how}", "not measured on a GPU", p.l4_second() * seconds * f)
        for how, f in paces
    ]
    return [cpu, *on_gpu]


def keeping(p: Prices) -> list[Line]:
    """A thousand hours of WAV, kept for a year: as they came, and as FLAC after a month."""
    gb = HOURS * 3600 * WAV_BYTES_A_SECOND / 1e9
    flac_gb, days = gb * p.amount("flac_share"), FLAC_DAY + BESIDE_DAYS
    came = _kept(p, gb, YEAR_DAYS)
    flac = _month(YEAR_DAYS - FLAC_DAY) * flac_gb * p.known("coldline_gb_month")
    both = _kept(p, gb, days) + flac
    how = f"the same for {days} days, and {flac_gb:,.1f} GB in Coldline from day {FLAC_DAY}"
    return [
        Line("as they came", f"{gb:,.1f} GB", came),
        Line("as FLAC", how, both),
        Line("that FLAC read once", "played or exported", p.of("coldline_gb_read", flac_gb)),
        *_compressing(p, came - both),
    ]


def _kept(p: Prices, gb: float, days: int) -> float:
    """In the uploads bucket, whose objects change their class with age."""
    ends = (NEARLINE_DAY, COLDLINE_DAY, days)
    classes = ("gb_month", "nearline_gb_month", "coldline_gb_month")
    begins = (0, *ends[:-1])
    return sum(
        gb * _month(max(0, min(end, days) - begin)) * p.known(name)
        for name, begin, end in zip(classes, begins, ends, strict=True)
    )


def _month(days: float) -> float:
    return days * 24 / HOURS_A_MONTH


def _compressing(p: Prices, saved: float) -> list[Line]:
    """Work for a place that nobody else needs; `saved` by what comes of it."""
    work_s = HOURS * 3600 / p.amount("flac_pace")
    making, waking = work_s * p.l4_second(), TAIL_S * p.l4_second()
    hours = HOURS * waking / (saved - making)
    return [
        Line("making it, on an L4's CPUs", f"{work_s:,.0f} s", making),
        Line("the same without a GPU", f"{work_s:,.0f} s", work_s * p.cpu_second()),
        Line("an L4 that wakes for it alone", f"what {hours:,.0f} of the hours save", waking),
    ]


def page(p: Prices, pace: float) -> str:
    """The tables, between their marks."""
    idling = idle(p, ticks(CLOCKS.read_text(encoding="utf-8")))
    parts = [
        "**Idle, a month.** " + _total(idling),
        _table(idling),
        "**Besides, a month, or each time.**",
        _table(on_request(p)),
        f"**{HOURS:,} hours of sound, without the hearing.** " + _total(thousand_hours(p)),
        _table(thousand_hours(p)),
        f"**{HOURS:,} hours of WAV, kept for a year**, 16 kHz and 16 bit (`archive_after_days`):",
        _table(keeping(p)),
        f"**{HOURS:,} hours heard.** Seconds that an instance works for a second of sound are what"
        " decides, and nobody has measured them on a GPU:",
        _table(hearing(p, pace)),
    ]
    return "\n\n".join([BEGIN, *parts, _amounts(), END])


def _amounts() -> str:
    """What the tables rest on, each with how it is known."""
    rests = _json(ROOT, "usage.json").values()
    told = [f"- {one['known']}: {one['value']} {one['how']}" for one in rests]
    return "\n".join(["What these rest on:", "", *told])


def _table(lines: Iterable[Line]) -> str:
    rows = [f"| {line.what} | {line.how} | {_usd(line.usd)} |" for line in lines]
    return "\n".join(["| what | how much | USD |", "|---|---|---:|", *rows])


def _usd(usd: float | None) -> str:
    if usd is None:
        return "no price found"
    return "0" if usd == 0 else f"{usd:,.2f}" if usd >= 0.005 else "< 0.01"


def _total(lines: Iterable[Line]) -> str:
    known = sum(line.usd for line in lines if line.usd is not None)
    return f"Together {known:,.2f} USD, as far as prices were found:"


def written(text: str, tables: str) -> str:
    """`text` with `tables` in place of those that stand there."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + tables + after


def main(words: list[str]) -> int:
    tables = page(read(), measured_pace(MEASURED.read_text(encoding="utf-8")))
    if words == ["docs"]:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")
    else:
        print(tables)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
