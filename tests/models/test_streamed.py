"""Checkpoints in a bucket: proven, never on disk, never held twice."""

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest
import torch
from transformers import Wav2Vec2ForCTC

from gpu_service.engines.registry import EngineSettings
from gpu_service.hosting.host import EngineHost
from gpu_service.hosting.warming import warm_clip
from gpu_service.weights import checkpoints, streamed
from gpu_service.weights.loading import Part, Stopwatch, measured
from gpu_service.weights.streamed import CloudStorage, Stored
from shared.domain.answers import Task
from shared.errors import EngineUnavailable, WeightsRefused
from tests.emulators import reached
from tests.models.checkpoints import ctc_model, saved

Put = Callable[[Path], str]


@pytest.fixture
def put(
    storage_emulator: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Put]:
    """Puts a folder into a new bucket and says where it is."""
    from google.cloud import storage

    reached(storage_emulator, monkeypatch)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    client = storage.Client("test")
    bucket = client.create_bucket(f"models-{uuid4().hex[:12]}")

    def upload(folder: Path) -> str:
        for path in folder.iterdir():
            bucket.blob(f"checkpoints/{folder.name}/{path.name}").upload_from_filename(path)
        return f"gs://{bucket.name}/checkpoints/{folder.name}"

    yield upload
    client.close()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny wav2vec2 in four shards."""
    folder = tmp_path_factory.mktemp("made") / "tiny"
    saved(ctc_model("layer"), folder)
    (folder / "model.safetensors").unlink()
    ctc_model("layer").save_pretrained(folder, max_shard_size="130KB")
    assert len(list(folder.glob("*.safetensors"))) >= 3
    return folder


def settings(where: str, **more: Any) -> EngineSettings:
    said = {"kind": "wav2vec2", "checkpoint": where, "dtype": "float32"} | more
    return EngineSettings.model_validate(said)


def load(where: str, **more: Any) -> Wav2Vec2ForCTC:
    chosen = settings(where, **more)
    return checkpoints.loaded(Wav2Vec2ForCTC, checkpoints.located(chosen), chosen)


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_the_model_is_the_one_that_was_saved(put: Put, checkpoint: Path) -> None:
    model = load(put(checkpoint))

    assert same(model, load(str(checkpoint)))
    wave = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(1))
    assert torch.equal(model(wave).logits, load(str(checkpoint))(wave).logits)
    assert not model.training


def test_weights_may_be_wanted_in_another_type(put: Put, checkpoint: Path) -> None:
    model = load(put(checkpoint), dtype="bfloat16")

    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert same(model, load(str(checkpoint), dtype="bfloat16"))


def test_no_weight_is_written_to_disk(put: Put, checkpoint: Path) -> None:
    folder = checkpoints.located(settings(put(checkpoint)))

    names = {p.name for p in folder.iterdir()}
    assert {p.name for p in checkpoint.iterdir()} <= names
    for head in folder.glob("*.safetensors"):
        whole = (checkpoint / head.name).stat().st_size
        assert head.stat().st_size < whole / 3


def test_parts_of_the_time_are_told(put: Put, checkpoint: Path) -> None:
    watch = Stopwatch()
    with measured(watch):
        load(put(checkpoint))

    told = {Part.LOCATE, Part.READ, Part.VERIFY, Part.TO_DEVICE}
    assert {part.value for part in told} <= watch.seconds.keys()


def test_locating_again_makes_the_same_folder_and_another_version_another(
    put: Put, checkpoint: Path
) -> None:
    where = put(checkpoint)
    first = checkpoints.located(settings(where))
    again = checkpoints.located(settings(where))
    put(checkpoint)  # the same bytes, new generations

    assert first == again
    assert checkpoints.located(settings(where)) != first


def test_an_engine_in_its_process_hears_the_same_from_a_bucket(
    put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(ctc_model("group"), tmp_path / "heard")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    heard = []
    for where in (str(folder), put(folder)):
        host = EngineHost("w", settings(where, options={"layer": 1}), cache=tmp_path)
        host.start()
        try:
            heard.append(host.infer(Task.EMBED, [warm_clip(Task.EMBED, 2.0)])[0].embedding)
            told = host.status().loaded
        finally:
            host.stop()

    assert heard[0] == heard[1] is not None
    assert told is not None
    assert told.parts_s.keys() >= {"start", "locate", "read", "verify", "import", "build"}


def test_a_folder_that_is_not_ours_is_not_used(put: Put, checkpoint: Path, tmp_path: Path) -> None:
    where = put(checkpoint)
    ours = checkpoints.located(settings(where)).parent
    ours.rename(tmp_path / "planted")
    ours.symlink_to(tmp_path / "planted")

    with pytest.raises(WeightsRefused, match="somebody else's"):
        checkpoints.located(settings(where))


class Flipping(CloudStorage):
    """Turns one bit of one weight on the way, as a broken cable or cache does."""

    def read_into(self, stored: Stored, start: int, room: memoryview) -> None:
        super().read_into(stored, start, room)
        if stored.name.endswith("00002-of-00004.safetensors") and start + len(room) == stored.size:
            room[-1] ^= 1


def test_one_flipped_bit_is_refused(put: Put, checkpoint: Path) -> None:
    folder = checkpoints.located(settings(put(checkpoint)))
    shards = streamed.Shards(folder, "cpu", Flipping())

    with pytest.raises(WeightsRefused, match="checksum mismatch") as refusal:
        for _, lazy in shards.tensors():
            lazy[...]
    assert refusal.value.context["file"] == "model-00002-of-00004.safetensors"


class Stuttering(CloudStorage):
    """Gives the second range of everything short."""

    def read_into(self, stored: Stored, start: int, room: memoryview) -> None:
        if start:
            raise EngineUnavailable("came incomplete")
        super().read_into(stored, start, room)


def test_ranges_make_one_whole_and_a_lost_one_is_no_model(
    put: Put, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed, "RANGE_BYTES", 100_000)
    folder = checkpoints.located(settings(put(checkpoint)))
    shard = Stored(**json.loads((folder / streamed.MARKER).read_text())["shards"][0])

    whole = bytes(streamed.fetched(shard, CloudStorage()))
    assert whole == (checkpoint / shard.name).read_bytes()
    with pytest.raises(EngineUnavailable, match="incomplete"):
        streamed.fetched(shard, Stuttering())


class Hiccups(BaseHTTPRequestHandler):
    """Cloud Storage's media download, whose first answer to each range breaks off halfway."""

    content = bytes(range(256)) * 1000
    met: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        start, end = map(int, wanted.removeprefix("bytes=").split("-"))
        body = self.content[start : end + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Range", f"bytes {start}-{end}/{len(self.content)}")
        self.end_headers()
        first = not any(end == int(met.split("-")[1]) for met in self.met)
        self.met.append(wanted)
        self.wfile.write(body[: len(body) // 2] if first else body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        return


def test_a_range_that_breaks_off_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hiccups)
    threading.Thread(target=server.serve_forever, args=(0.01,)).start()
    try:
        host = f"http://127.0.0.1:{server.server_address[1]}"
        reached({"STORAGE_EMULATOR_HOST": host}, monkeypatch)
        monkeypatch.setattr(streamed, "RANGE_BYTES", 100_000)
        stored = Stored("b", "m.safetensors", 7, len(Hiccups.content), "")
        whole = bytes(streamed.fetched(stored, CloudStorage(wait_s=0.001)))
    finally:
        server.shutdown()
        server.server_close()

    assert whole == Hiccups.content
    assert len(Hiccups.met) == 6  # three ranges, each tried twice
    assert "bytes=50000-99999" in Hiccups.met  # and the second time only the rest


def copy(checkpoint: Path, to: Path) -> Path:
    to.mkdir()
    for path in checkpoint.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def sums(folder: Path) -> str:
    lines = [
        f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n"
        for p in sorted(folder.iterdir())
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))
    return hashlib.sha256((folder / "SHA256SUMS").read_bytes()).hexdigest()


def test_a_list_of_digests_proves_every_file(put: Put, checkpoint: Path, tmp_path: Path) -> None:
    folder = copy(checkpoint, tmp_path / "listed")
    pin = sums(folder)
    where = put(folder)

    assert same(load(where, sha256=pin), load(str(checkpoint)))
    with pytest.raises(WeightsRefused, match="SHA256SUMS is not the one pinned"):
        load(where, sha256="0" * 64)


def test_a_weight_changed_after_the_list_was_made_is_refused(
    put: Put, checkpoint: Path, tmp_path: Path
) -> None:
    folder = copy(checkpoint, tmp_path / "changed")
    sums(folder)
    victim = folder / "model-00003-of-00004.safetensors"
    victim.write_bytes(victim.read_bytes()[:-1] + b"\x01")

    with pytest.raises(WeightsRefused, match="checksum mismatch") as refusal:
        load(put(folder))
    assert refusal.value.context["file"] == victim.name


def test_a_single_file_is_pinned_by_its_own_digest(put: Put, tmp_path: Path) -> None:
    folder = saved(ctc_model("group"), tmp_path / "single")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    where = put(folder)

    assert same(load(where, sha256=digest), load(str(folder)))
    with pytest.raises(WeightsRefused, match="not the one pinned"):
        load(where, sha256="0" * 64)


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("model-00002-of-00004.safetensors", "00002-of-00004.safetensors is missing"),
        ("config.json", "no config.json"),
        ("*.safetensors", "has no \\*.safetensors"),
    ],
    ids=["shard", "config", "all weights"],
)
def test_what_is_missing_is_named(
    put: Put, checkpoint: Path, tmp_path: Path, gone: str, said: str
) -> None:
    folder = copy(checkpoint, tmp_path / "gappy")
    for path in folder.glob(gone):
        path.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"pickled")

    with pytest.raises(WeightsRefused, match=said):
        load(put(folder))


def test_an_empty_prefix_and_a_missing_bucket_are_refused(put: Put, checkpoint: Path) -> None:
    where = put(checkpoint)

    for wrong in (f"{where}-other", "gs://no-such-bucket-anywhere/models"):
        with pytest.raises(WeightsRefused):
            load(wrong)


@pytest.mark.parametrize(
    "content",
    [b"", b"short", b"\xff" * 4096, (99).to_bytes(8, "little") + b"{" + b" " * 200],
    ids=["empty", "short", "huge header", "no JSON"],
)
def test_what_is_not_safetensors_is_refused(
    put: Put, checkpoint: Path, tmp_path: Path, content: bytes
) -> None:
    folder = copy(checkpoint, tmp_path / "fake")
    (folder / "model-00001-of-00004.safetensors").write_bytes(content)

    with pytest.raises(WeightsRefused, match="00001-of-00004"):
        load(put(folder))


LOADER = """
import sys, json
import torch
from transformers import Wav2Vec2ForCTC
from gpu_service.weights import checkpoints
from gpu_service.engines.registry import EngineSettings
from gpu_service.hosting.warming import resident_mb
from google.cloud import storage
import google_crc32c
torch.ones(8, 8) @ torch.ones(8, 8)
settings = EngineSettings(kind="wav2vec2", checkpoint=sys.argv[1], dtype="float32")
folder = checkpoints.located(settings)
before = resident_mb("self")
model = checkpoints.loaded(Wav2Vec2ForCTC, folder, settings)
size = sum(p.numel() * p.element_size() for p in model.parameters()) / 1e6
print(json.dumps({"size": size, "peak": resident_mb("self", "VmHWM") - before}))
"""


def test_two_hundred_megabytes_are_never_held_twice(put: Put, tmp_path: Path) -> None:
    """Peak resident memory over what the libraries hold, in a process of its own."""
    model = ctc_model("layer", hidden_size=512, intermediate_size=2048, num_hidden_layers=15)
    folder = saved(model, tmp_path / "large")
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="60MB")
    where = put(folder)

    done = subprocess.run(
        [sys.executable, "-c", LOADER, where], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["size"] > 180
    assert told["peak"] < 1.3 * told["size"], told
