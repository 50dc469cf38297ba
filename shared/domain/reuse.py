"""Known content: when the answers to one recording are the answers to another, too.

Inside one tenant only (DESIGN section 4, "Identity"): that somebody else has the same sound
must not show, not even in how fast an answer comes.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence

from shared.domain import result as r
from shared.domain.answers import Task
from shared.domain.cascade import Verdict
from shared.domain.deliberations import DECISIONS
from shared.domain.recording import Recording
from shared.domain.sound import Limits
from shared.domain.testimony import VERSION, subject
from shared.domain.wishes import Wishes

#: Escalations that belong to the answer; any other reason is a failure that may have passed.
ORDINARY = frozenset({"low_confidence", "uncalibrated", "coverage", "degraded"})


def answer_key(
    sha256: str,
    wishes: Wishes,
    engines: Mapping[Task, Sequence[str]],
    versions: Mapping[str, str],
    profile: str | None = None,
) -> str:
    """Names everything an answer depends on: equal keys, equal answers.

    The content; what the uploader asked for; who is asked, in which order; checkpoint,
    revision, quantisation and library of each; the digest of the tenant's own profile; and our
    own version. 64 hexadecimal digits.
    """
    asked: dict[str, object] = {"language": wishes.language, "separate": wishes.separate}
    asked |= {"questions": list(wishes.questions)} if wishes.questions else {}
    parts = [VERSION, sha256, asked, {t.value: list(e) for t, e in engines.items()}]
    own = [] if profile is None else [profile]
    document = json.dumps([*parts, dict(versions), *own], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()


def reusable(result: r.Result) -> bool:
    """Whether hearing the same content again could not do better: nothing failed meanwhile."""
    failed = any(
        s.verdict is Verdict.ESCALATE and s.reason not in ORDINARY for s in result.decisions
    )
    return not (result.review or failed)


def allowed(result: r.Result, limits: Limits) -> bool:
    """Whether the sound is short enough for the tenant's limits of today."""
    return result.audio is not None and result.audio.duration_s <= limits.max_seconds


def referred(result: r.Result) -> list[str]:
    """Names of the files that go with a result: how it was decided, and its numbers."""
    if result.features is None:
        return [DECISIONS]
    names = (DECISIONS, result.features.vector_ref, result.features.frames_ref)
    return [name for name in names if name is not None]


def reused(result: r.Result, known: Recording, timings_s: Mapping[str, float]) -> r.Result:
    """The same answers as the testimony of another recording; nothing was paid for it."""
    return result.model_copy(
        update={
            "recording": subject(known, result.recording.sha256),
            "tier": known.tier,
            "lane": known.lane,
            "rule": known.rule,
            "kept_until": known.kept_until,
            "cost_usd": 0.0,
            "reused_from": result.reused_from or result.recording.id,
            "timings_s": {name: max(0.0, round(s, 4)) for name, s in timings_s.items()},
        }
    )
