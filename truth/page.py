"""docs/truth.md, written out of truth/results/truth.json and of nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from truth import batches, word_times
from truth.cascades import FIRST, LEAST_GAIN, LEAST_KEPT, MOST_ESCALATED, SECOND
from truth.corpus import Part
from truth.coverage import LEAST_COVERAGE
from truth.others import LEAST_EMPTY
from truth.trust import CHANCE, CHANCE_WITHIN, LEAST_AUROC, MOST_ECE

Found = Mapping[str, Any]

HEAD = """# What the answers are worth

Written by `make truth` from `truth/results/truth.json`; a test holds the two together.
The goals (A1–A6) and their limits stand beside each figure. Intervals are 95 %, with whole texts
drawn, not segments: segments of one text are wrong together.

The set is ours: texts typed in for it, said by Debian's flite and espeak-ng, under noise,
reverberation, clipping, codecs, band limits and speed of graded strength (`truth/`). No person
speaks in it. A figure here says how the parts work together and whether confidence can be
believed on such sound; for your recordings fit your own with `earwitness calibrate`.
"""


def page(found: Found) -> str:
    """The whole page."""
    parts = [HEAD, _made(found), _coverage(found["coverage"])]
    parts += [word_times.section(found["times"])] if found["times"] else []
    parts += [*_confidence(found["confidence"]), _cascade(found["cascade"])]
    parts += [_silence(found["silence"])]
    parts += [_batches(found["batches"])] if found["batches"] else []
    parts += [_attacks(found["attacks"])] if found["attacks"] else []
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _made(found: Found) -> str:
    of = found["set"]
    rows = [[part, *_held(of[part])] for part in Part]
    engines = [
        f"- `{name}`: " + ", ".join(f"{key} {value}" for key, value in versions.items() if value)
        for name, versions in found["engines"].items()
    ]
    table = _table(["part", "segments", "texts", "voices", "segments by language"], rows)
    return (
        f"## The set\n\n{table}\nNo text and no voice is in two parts. Heard by:\n\n"
        + "\n".join(engines)
    )


def _held(of: Found) -> list[Any]:
    languages = ", ".join(f"{name} {n}" for name, n in of["languages"].items())
    return [of["segments"], of["texts"], of["voices"], languages]


def _coverage(found: Found) -> str:
    names = ["length", "spoken", "segments", "coverage", "unexplained", "found", "interval", "goal"]
    rows = [
        [
            length,
            f"{of['voiced_s']:.0f} s",
            of["segments"],
            f"{of['coverage']:.4f}",
            f"{of['unexplained_s']:.1f} s",
            f"{of['found']} of {of['windows']}",
            f"{_percent(of['low'])}–{_percent(of['high'])}",
            "met" if whole(of) else "**missed**",
        ]
        for length, of in found.items()
    ]
    return (
        "## A1: coverage\n\nA carrier phrase with words of its own in every half minute, and both"
        " of them looked for in what was written there. Goal: coverage of what two speech detectors"
        f" and an energy gate hear ≥ {LEAST_COVERAGE}, and every phrase found. Intervals by Clopper"
        " and Pearson. That an engine which drops every third segment is caught is a test's matter"
        " (`tests/`).\n\n" + _table(names, rows)
    )


def whole(of: Found) -> bool:
    """Whether A1 holds for one recording."""
    return float(of["coverage"]) >= LEAST_COVERAGE and bool(of["found"] == of["windows"])


def _confidence(found: Found) -> Iterable[str]:
    yield (
        "## A3: confidence\n\nConfidence is the probability that at most 20 % of a segment's words"
        f" are wrong. Goal: upper end of ECE ≤ {MOST_ECE} and lower end of AUROC ≥"
        f" {LEAST_AUROC:.2f}; labels dealt anew give {CHANCE} ± {CHANCE_WITHIN}.\n"
    )
    names = ["engine", "segments", "texts", "word error", "right", "ECE", "AUROC", "Brier", "AURC"]
    yield _table([*names, "goal"], _engine_rows(found))
    yield "Labels dealt anew: " + ", ".join(
        f"{name} AUROC {one['shuffled_auroc']:.3f}" for name, one in found.items()
    )
    yield (
        "\n*With text* leaves out segments to which the engine wrote nothing, which are wrong and"
        " easily told. A language of few segments has a high ECE by chance alone: 10 bins of 12"
        " segments are 0.1 apart from the truth when all is well.\n"
    )
    for name, one in found.items():
        yield _curves(name, one)


def _engine_rows(found: Found) -> list[list[Any]]:
    rows = []
    for name, one in found.items():
        rows.append([name, *_worth(one["all"]), "met" if trusted(one["all"]) else "**missed**"])
        rows += [[f"{name}, {k}", *_worth(of), ""] for k, of in one["languages"].items()]
        rows.append([f"{name}, with text", *_worth(one["with_text"]), ""])
    return rows


def trusted(worth: Found) -> bool:
    """Whether A3's limits hold for these figures."""
    auroc = worth["auroc"]
    told = auroc is not None and float(auroc["low"]) >= LEAST_AUROC
    return told and float(worth["ece"]["high"]) <= MOST_ECE


def _worth(of: Found) -> list[Any]:
    return [
        of["segments"],
        of["texts"],
        _percent(of["word_error_rate"]),
        _percent(of["right"]),
        _between(of["ece"]),
        _between(of["auroc"]),
        f"{of['brier']:.3f}",
        f"{of['aurc']:.3f}",
    ]


def _curves(name: str, one: Found) -> str:
    risks = [[_percent(r["coverage"]), _percent(r["risk"])] for r in one["risk_at_coverage"]]
    bins = [
        [b["segments"], f"{b['confidence']:.3f}", f"{b['right']:.3f}"] for b in one["reliability"]
    ]
    worst = sorted(one["conditions"].items(), key=lambda item: float(item[1]["right"]))
    under = [[k, v["segments"], f"{v['right']:.3f}", f"{v['confidence']:.3f}"] for k, v in worst]
    return "\n".join(
        [
            f"### {name}\n\nAccepting the surest share of the segments, so many are wrong:\n",
            _table(["accepted", "wrong"], risks),
            "Promised and come true, in bins of equal mass:\n",
            _table(["segments", "confidence", "right"], bins),
            "By condition, hardest first:\n",
            _table(["condition", "segments", "right", "confidence"], under),
        ]
    )


def _cascade(found: Found) -> str:
    rows = [
        [f"{name}, {where} {found['thresholds'][name]:.2f}", *_raced(one)]
        for where, key in (("all English, threshold", "all"), ("stratum, threshold", "stratum"))
        for name, one in found[key].items()
    ]
    names = ["", "segments", "texts", f"always {FIRST}", f"always {SECOND}", "random gate"]
    names += ["cascade", "gain", "kept", "escalated"]
    strata = ", ".join(found["strata"]) or "none"
    return "\n".join(
        [
            "## The cascade\n",
            f"`{FIRST}` answers first; what its calibrated confidence does not carry goes to"
            f" `{SECOND}`, and of two unsure answers the surer one stands: the product's own flow,"
            " over the answers given for the set. Word errors on the English test part. The random"
            " gate sends on as many segments, drawn by lot. The gain is what"
            f" always asking `{SECOND}` saves.\n",
            f"The stratum are conditions under which `{SECOND}` beats `{FIRST}` by at least"
            f" {100 * LEAST_GAIN:.0f} points of word error on the train and calibration parts:"
            f" {strata}. *Half*: the highest threshold by which at most {MOST_ESCALATED:.0%} of the"
            " stratum go on; it is found by how sure the first engine is, without any label."
            " *Carried*: the same, found on the calibration part and carried over. Goal: on the"
            f" stratum at least {LEAST_KEPT:.0%} of the gain kept with at most {MOST_ESCALATED:.0%}"
            f" escalated: {_met(found, 'half')} at half, {_met(found, 'carried')} as carried"
            " over.\n",
            _table(names, rows),
        ]
    )


def _met(found: Found, bar: str) -> str:
    return "met" if kept(found, bar) else "**missed**"


def kept(found: Found, bar: str) -> bool:
    """Whether the cascade keeps enough of the gain with few enough segments escalated."""
    one = found["stratum"][bar]
    if not one["segments"] or float(one["gain"]) < LEAST_GAIN:
        return False
    return float(one["kept"]) >= LEAST_KEPT and float(one["escalated"]) <= MOST_ESCALATED


def _raced(one: Found) -> list[Any]:
    if not one["segments"]:
        return [0, *[""] * 8]
    rates = ("always_first", "always_second", "random_gate", "cascade")
    share = (
        ""
        if one["kept"] is None
        else f"{one['kept']:.2f} ({one['kept_low']:.2f}–{one['kept_high']:.2f})"
    )
    return [
        one["segments"],
        one["texts"],
        *(_percent(one[name]) for name in rates),
        f"{_percent(one['gain'])} ({_percent(one['gain_low'])}–{_percent(one['gain_high'])})",
        share,
        _percent(one["escalated"]),
    ]


def _silence(found: Found) -> str:
    rows = [
        [
            name,
            kind,
            of["segments"],
            f"{_percent(of['empty'])} ({_percent(of['low'])}–{_percent(of['high'])})",
        ]
        for name, kinds in found.items()
        for kind, of in kinds.items()
    ]
    return (
        f"## A4: where nobody speaks\n\nGoal: nothing written to at least {LEAST_EMPTY:.0%}."
        " Intervals by Clopper and Pearson.\n\n" + _table(["engine", "sound", "n", "empty"], rows)
    )


def _batches(found: Sequence[Found]) -> str:
    rows = [
        [
            f"{one['norm']} norm",
            one["dtype"],
            one["clips"],
            f"{one['change']:g}",
            f"{one['same']} ({_percent(one['low'])}–{_percent(one['high'])})",
            "met" if batches.met(one) else "**missed**",
        ]
        for one in found
    ]
    names = ["checkpoint", "type", "clips", "largest change", "same text", "goal"]
    return (
        "## A5: alone or beside others\n\nClips of 0.3 to 28 s, each alone and in a group of"
        " mixed lengths: the largest change of a log-probability, and texts that stay the same."
        " Goal: all of them in float32, 99.5% in bfloat16. Intervals by Clopper and Pearson. The"
        " checkpoints are small ones of Wav2Vec2, taught three sentences: published weights were"
        " not at hand.\n\n" + _table(names, rows)
    )


def _attacks(found: Found) -> str:
    languages = sorted(found["by_language"])
    ways = found["by_way_and_language"].items()
    rows = [[way, *(of.get(name, 0) for name in languages)] for way, of in ways]
    return (
        f"## A6: instructions in the sound\n\n{found['attacks']} attacks, spoken, or hidden in"
        " names, tags and questions, are put before an engine that does whatever it hears"
        " (`tests/attacks`). Each is a test: not in the system role, an answer by its form, no"
        " effect on tools, tier, tenant or settings. So many are tried:\n\n"
    ) + _table(["way", *languages], rows)


def _table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _between(figure: Found | None) -> str:
    if figure is None:
        return "–"
    return f"{figure['value']:.3f} ({figure['low']:.3f}–{figure['high']:.3f})"
