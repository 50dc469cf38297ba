"""Exports: whole, byte for byte, whatever the line does."""

import io
import tracemalloc
import zipfile
from hashlib import sha256

import pytest

from earwitness.client import NotUnderstood
from earwitness.client.exporting import BLOCK
from shared import wiring
from shared.domain.tenants import Tier
from shared.errors import ExportOver, InvalidRequest, UnknownTenant
from tests.builders import NOW
from tests.client.line import Answers

#: Bytes of sound.
LOUD = 40 * BLOCK


class Stopped(Exception):
    pass


@pytest.fixture(scope="module")
def heard(store):
    """The tenant `loud` with one long recording."""
    store.parts.tenants.ensure("loud", Tier.FREE, NOW)
    return store.done("loud.wav", content=bytes(range(256)) * (LOUD // 256), tenant="loud")


@pytest.fixture
def export(ears, heard):
    return ears.make_export(tenant="loud", originals=True)


@pytest.fixture
def expected(app, export):
    """What the archive is, without a gateway."""
    plan = wiring.plan_export(app.state.parts)
    asked = plan.asked(export.id)
    index = plan.go_on(asked)
    whole = wiring.zipped(app.state.parts, asked, index).read(0, index.size_bytes)
    return sha256(b"".join(whole)).hexdigest()


def digest(path):
    return sha256(path.read_bytes()).hexdigest()


def test_an_export_is_made_and_fetched(ears, export, expected, heard, tmp_path):
    told, file = [], tmp_path / "loud.zip"

    ears.fetch_export(export, file, on_progress=lambda *at: told.append(at))

    assert ears.export(export.id) == export
    assert digest(file) == expected
    with zipfile.ZipFile(file) as found:
        assert len(found.read(f"recordings/{heard.id}/original.wav")) == LOUD
    assert told == sorted(told)
    assert (len(told) > 40, told[-1]) == (True, (export.size_bytes,) * 2)


def test_it_is_written_to_an_open_file(ears, export, expected):
    into = io.BytesIO()

    ears.fetch_export(export, into)

    assert sha256(into.getvalue()).hexdigest() == expected


def test_a_line_that_breaks_again_and_again(ears, line, export, expected, tmp_path):
    """Patience is for the time without any progress, and there is some each time."""
    file = tmp_path / "loud.zip"

    ears.fetch_export(export, file, on_progress=lambda *_: line.cut())

    assert digest(file) == expected
    assert len([one for one in line.asked() if one.endswith("/archive")]) > 10


def test_another_program_goes_on_with_a_file_that_broke_off(connect, export, expected, tmp_path):
    file = tmp_path / "loud.zip"

    def stop(got, _):
        raise Stopped

    with pytest.raises(Stopped):
        connect().fetch_export(export, file, on_progress=stop)
    asked = []
    connect().fetch_export(export, file, on_progress=lambda *at: asked.append(at))

    assert digest(file) == expected
    assert asked[0][0] == 2 * BLOCK


def test_a_busy_gateway_is_asked_again(ears, line, export, expected, tmp_path):
    error = b'{"error": {"message": "m", "type": "t", "param": null, "code": "store_unavailable"}}'
    line.cut()
    line.faults = [Answers("503 Service Unavailable", error)] * 2

    ears.fetch_export(export, tmp_path / "loud.zip")

    assert digest(tmp_path / "loud.zip") == expected


def test_an_answer_with_another_part_is_not_written(connect, line, export, tmp_path):
    line.faults = [Answers("206 Partial Content", b"x", "Content-Range: bytes 5-5/6\r\n")]
    file = tmp_path / "loud.zip"

    with pytest.raises(NotUnderstood):
        connect().fetch_export(export, file)

    assert file.read_bytes() == b""


def test_what_is_over_cannot_be_fetched(ears, export, tmp_path):
    ears.end_export(export.id)

    with pytest.raises(ExportOver):
        ears.fetch_export(export, tmp_path / "loud.zip")
    with pytest.raises(ExportOver):
        ears.export(export.id)


def test_what_is_not_ready_is_not_fetched(ears, export, tmp_path):
    early = export.model_copy(update={"ready": False, "size_bytes": None})

    with pytest.raises(InvalidRequest, match="make_export"):
        ears.fetch_export(early, tmp_path / "loud.zip")


def test_nobody_exports_an_unknown_tenant(ears):
    with pytest.raises(UnknownTenant):
        ears.make_export(tenant="nobody")


def test_no_more_than_some_blocks_are_ever_held(ears, export, tmp_path):
    """Both ends are in this process, and the line between them."""
    tracemalloc.start()
    ears.fetch_export(export, tmp_path / "loud.zip")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 12 * BLOCK < LOUD / 3
