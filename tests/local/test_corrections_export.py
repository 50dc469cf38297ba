"""correct -> export -> what `calibrate` reads: sound and truth side by side."""

import json

import pytest
from click.testing import CliRunner

from local.calibration.references import pairs, text_of
from local.cli import cli
from shared import wiring
from shared.domain.corrections import Author, Said
from shared.flows.correct import Correct
from shared.settings import load
from tests.builders import NOW
from tests.gateway.testimony import Filled, tone

SPOKEN = [(1.0, "the witness herd a dog"), (4.0, "it barked twice")]
FIRST = Said(1.0, 3.4, "the witness heard a dog")
CONFIRMED = Said(4.0, 5.4, "it barked twice")


@pytest.fixture
def parts(tmp_path):
    return wiring.parts(load(home=tmp_path / "home"))


@pytest.fixture
def store(parts):
    return Filled(parts)


def correct(parts, known, *stretches, whole=None, base=0):
    flow = Correct(parts.corrections, parts.results, lambda: NOW)
    return flow(known, base, Author("Anna", "k1"), stretches, whole)


def export(parts, folder, *options):
    command = ["corrections", "export", str(folder), "--home", str(parts.settings.home)]
    return CliRunner().invoke(cli, [*command, *options])


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def test_what_was_corrected_is_what_calibrate_reads(parts, store, tmp_path):
    sound = tone(6.0)
    known = store.done("../Call \u202e1.WAV", spoken=SPOKEN, content=sound)
    correct(parts, known, FIRST, CONFIRMED)

    done = export(parts, tmp_path / "set")

    [pair] = pairs(tmp_path / "set")
    assert done.exit_code == 0, done.output
    assert pair.sound.read_bytes() == sound
    assert pair.sound.name == f"{known.id}.wav"
    assert text_of(pair.transcript) == "the witness heard a dog it barked twice"


def test_the_manifest_says_who_when_and_what_was_heard(parts, store, tmp_path):
    known = store.done(spoken=SPOKEN)
    correct(parts, known, FIRST)
    correct(parts, known, whole="The witness heard a dog.", base=1)

    export(parts, tmp_path / "set")

    [told] = manifest(tmp_path / "set")["recordings"]
    first, second = told["corrections"]
    assert (told["recording_id"], told["original"]) == (
        known.id,
        "the witness herd a dog it barked twice",
    )
    assert first["by"] == {"name": "Anna", "key": "k1"}
    assert first["at"] == NOW.isoformat()
    assert first["stretches"][0]["text"] == FIRST.text
    assert second["whole"] == "The witness heard a dog."


def test_what_was_only_partly_checked_is_left_out_and_said(parts, store, tmp_path):
    known = store.done(spoken=SPOKEN)
    correct(parts, known, FIRST)

    done = export(parts, tmp_path / "set")

    assert list(pairs(tmp_path / "set")) == []
    [left] = manifest(tmp_path / "set")["left_out"]
    assert left["recording_id"] == known.id
    assert "2.4 of 3.8 s were checked" in left["why"]
    assert "is left out" in done.output


def test_unless_it_is_asked_for(parts, store, tmp_path):
    correct(parts, store.done(spoken=SPOKEN), FIRST)

    export(parts, tmp_path / "set", "--partly")

    [told] = manifest(tmp_path / "set")["recordings"]
    assert (told["checked_s"], told["spoken_s"]) == (2.4, 3.8)


def test_only_one_tenants(parts, store, tmp_path):
    mine, theirs = store.done("a.wav", spoken=SPOKEN), store.done("b.wav", tenant="other")
    correct(parts, mine, whole="Mine.")
    correct(parts, theirs, whole="Theirs.")

    export(parts, tmp_path / "set", "--tenant", "other", "--json")

    assert [r["recording_id"] for r in manifest(tmp_path / "set")["recordings"]] == [theirs.id]


def test_again_it_is_written_anew(parts, store, tmp_path):
    known = store.done(spoken=SPOKEN)
    correct(parts, known, whole="First.")
    export(parts, tmp_path / "set")
    correct(parts, known, whole="Second.", base=1)
    export(parts, tmp_path / "set")

    [pair] = pairs(tmp_path / "set")
    assert text_of(pair.transcript) == "Second."


def test_nobody_corrected_anything(parts, tmp_path):
    done = export(parts, tmp_path / "set")

    assert done.exit_code == 0
    assert "Nobody corrected anything yet" in done.output
