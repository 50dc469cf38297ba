"""The labelled set is what it says: planned once, in parts that share neither words nor voices."""

import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from shared.domain.sound import SAMPLE_RATE
from truth import plan
from truth.conditions import CONDITIONS, MILD_CONDITIONS, OTHER_SOUNDS, PEAK
from truth.corpus import LANGUAGES, Part, texts
from truth.plan import OTHERS_S, Utterance
from truth.sound import heard, sounded
from truth.voices import VOICES

#: Answers are committed for these plans; a changed plan needs `make truth` before its digest.
DIGESTS = {
    Part.TRAIN: "16ab5cfee734",
    Part.CALIBRATION: "731d4358135f",
    Part.TEST: "855c0fde4b7d",
}
PAIRS = list(combinations(Part, 2))


@pytest.mark.parametrize("part", Part)
def test_the_plan_is_the_one_the_answers_were_given_for(part: Part) -> None:
    assert plan.digest(part) == DIGESTS[part]


def test_the_test_part_holds_enough_segments_of_enough_texts() -> None:
    planned = plan.utterances(Part.TEST)

    assert len({one.id for one in planned}) == len(planned) >= 2_000
    assert len({one.text for one in planned}) >= 200
    assert {one.text.language for one in planned} == {"en", "es", "fr"}


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_text_is_in_two_parts(one: Part, other: Part) -> None:
    for language in LANGUAGES:
        said = [{text.words.casefold() for text in texts(language, part)} for part in (one, other)]
        assert not said[0] & said[1]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_voice_is_in_two_parts(one: Part, other: Part) -> None:
    for language in LANGUAGES:
        spoken = [{voice.timbre for voice in VOICES[language, part]} for part in (one, other)]
        # kal is kal16 at another rate.
        assert not {t.removesuffix("16") for t in spoken[0]} & {
            t.removesuffix("16") for t in spoken[1]
        }


def test_every_condition_meets_every_english_test_voice() -> None:
    met = {(one.voice, one.condition) for one in plan.utterances(Part.TEST)}

    assert {
        (voice, condition) for voice in VOICES["en", Part.TEST] for condition in CONDITIONS
    } <= met


def one_of_each(part: Part) -> list[Utterance]:
    found = {(one.condition, one.text.language == "en"): one for one in plan.utterances(part)}
    return [found[condition, True] for condition in CONDITIONS] + [
        found[condition, False] for condition in MILD_CONDITIONS
    ]


@pytest.mark.parametrize("one", one_of_each(Part.TEST), ids=lambda one: str(one.id))
def test_the_same_plan_gives_the_same_samples(one: Utterance, tmp_path: Path) -> None:
    _needs("flite", "espeak-ng")

    first, again = (heard(one, tmp_path / folder) for folder in "ab")

    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert 0.01 < np.abs(first).max() <= PEAK + 1e-6
    assert 0.5 * SAMPLE_RATE < first.size < 28 * SAMPLE_RATE


@pytest.mark.parametrize("kind", OTHER_SOUNDS)
def test_other_sounds_are_planned_too(kind: str) -> None:
    chosen = [one for one in plan.other_sounds() if one.kind == kind]

    sounds = [sounded(one) for one in chosen]

    assert len(chosen) == plan.OTHERS_OF_A_KIND
    assert all(np.array_equal(sounds[n], sounded(chosen[n])) for n in (0, 1))
    assert all(OTHERS_S[0] <= s.size / SAMPLE_RATE <= OTHERS_S[1] for s in sounds)
    assert not np.array_equal(sounds[0], sounds[1])


def _needs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (apt-get install {program})")
