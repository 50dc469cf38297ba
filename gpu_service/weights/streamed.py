"""Checkpoints in a bucket: small files into a folder, weights straight into memory.

`gs://bucket/prefix` holds what `save_pretrained` writes. Weights are never written to a disk
(the file system of a Cloud Run container is its memory) and never held twice: a shard is read by
ranges in parallel into one buffer, proven, and its tensors are the buffer (on the CPU) or are
moved from it to the device before the next shard is read.

Proof: each object has the CRC32C that Cloud Storage keeps of it. An object `SHA256SUMS` beside
them (as sha256sum writes it) proves every file it names; `sha256` of the engine's settings is the
digest of that list where there is one, else of the index or single file as for a folder.

Source: the safetensors format, README; Cloud Storage, "Hashes and ETags: best practices".
IAM: storage.objectViewer on the bucket. Emulator: STORAGE_EMULATOR_HOST.
"""

import base64
import hashlib
import json
import mmap
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gpu_service.weights.loading import Part, part
from shared.errors import DeviceUnavailable, EngineUnavailable, WeightsRefused

if TYPE_CHECKING:
    import torch

SCHEME = "gs://"
#: In the folder of small files: which objects its *.safetensors are the heads of.
MARKER = "streamed.json"
INDEX, SINGLE, SUMS = "model.safetensors.index.json", "model.safetensors", "SHA256SUMS"
ENDING = ".safetensors"
#: Files with weights that can carry code, or that nobody here reads.
NOT_SMALL = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".gguf", ".onnx", ".ot")
#: Bytes. Tokenizers take up to 20 MB; whatever is larger is not what loading a model needs.
MOST_SMALL = 64 << 20
#: Bytes of a safetensors header. Source: its README, "Benefits", DOS protection.
MOST_HEADER = 100_000_000
#: Bytes of one request, and requests at once. A single stream of Cloud Storage gives some
#: 100 MB/s; eight fill the link of a Cloud Run instance.
RANGE_BYTES, READERS = 16 << 20, 8
#: Bytes hashed at a time.
BLOCK = 1 << 20
#: Seconds to connect, and between two bytes; and of all tries of one range together.
TIMEOUT_S, PATIENCE_S = (5.0, 20.0), 120.0
#: transformers' own switch. Source: transformers/core_model_loading.py.
IN_ORDER = "HF_DEACTIVATE_ASYNC_LOAD"
#: Types of safetensors by their names in torch.
DTYPES = {
    **{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"},
    **{"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8"},
    "BOOL": "bool",
}


@dataclass(frozen=True, slots=True)
class Stored:
    """One generation of one object, with what proves it."""

    bucket: str
    object: str
    generation: int
    size: int
    crc32c: str  #: base64 of four bytes, big-endian
    sha256: str | None = None

    @property
    def name(self) -> str:
        return self.object.rpartition("/")[2]


class Reader(Protocol):
    """Where objects come from."""

    def objects(self, bucket: str, prefix: str) -> list[Stored]:
        """Those directly below the prefix, by name."""
        ...

    def read_into(self, stored: Stored, start: int, room: memoryview) -> None:
        """Fill `room` with the object's bytes from `start`; tries again by itself.

        Raises:
            WeightsRefused: that generation is gone. EngineUnavailable: no answer.
        """
        ...


class CloudStorage:
    """Implements `Reader`. A range that breaks off goes on where it did."""

    def __init__(self, wait_s: float = 1.0) -> None:
        """`wait_s` is the wait before the second try of a range; each further one is doubled."""
        from google.cloud.storage import Client
        from google.cloud.storage.retry import DEFAULT_RETRY

        self._client = Client()
        self._retry = DEFAULT_RETRY.with_delay(initial=wait_s).with_timeout(PATIENCE_S)

    def objects(self, bucket: str, prefix: str) -> list[Stored]:
        with _answered(f"{SCHEME}{bucket}/{prefix}"):
            listed = list(self._client.list_blobs(bucket, prefix=f"{prefix}/", delimiter="/"))
        found = [
            Stored(bucket, b.name, int(b.generation or 0), int(b.size or 0), b.crc32c or "")
            for b in listed
        ]
        return sorted(found, key=lambda stored: stored.name)

    def read_into(self, stored: Stored, start: int, room: memoryview) -> None:
        blob = self._client.bucket(stored.bucket).blob(stored.object, generation=stored.generation)
        into = _Filling(room)
        with _answered(stored.name):
            blob.download_to_file(
                into,
                start=start,
                end=start + len(room) - 1,
                raw_download=True,
                checksum=None,  # of the whole object, by us
                timeout=TIMEOUT_S,
                retry=self._retry,
            )
        if into.filled != len(room):
            raise EngineUnavailable(f"The file {stored.name} came incomplete.", file=stored.name)


class _Filling:
    """A writable stream over memory that is there already."""

    def __init__(self, room: memoryview) -> None:
        self._room, self.filled = room, 0

    def write(self, data: bytes) -> int:
        self._room[self.filled : self.filled + len(data)] = data
        self.filled += len(data)
        return len(data)

    def tell(self) -> int:
        return self.filled

    def seek(self, at: int) -> int:
        """The client goes back to the start before it tries a range again."""
        self.filled = at
        return at


def located(checkpoint: str, sha256: str | None = None, reader: Reader | None = None) -> Path:
    """A folder with the small files of the checkpoint and the heads of its weights.

    Safe to repeat: the folder is named after the generations of all objects.

    Raises:
        WeightsRefused: there is none, a shard is missing, or a digest is another.
        EngineUnavailable: the bucket did not answer.
    """
    reader = reader or CloudStorage()
    bucket, _, prefix = checkpoint.removeprefix(SCHEME).partition("/")
    found = reader.objects(bucket, prefix.rstrip("/"))
    digest = hashlib.sha256(json.dumps([asdict(one) for one in found]).encode()).hexdigest()
    name = prefix.rstrip("/").rpartition("/")[2].strip(".") or "checkpoint"
    above = Path(tempfile.gettempdir()) / f"earwitness-{digest[:16]}"
    shards = [one for one in found if one.name.endswith(ENDING)]
    if not shards:
        raise _refused(checkpoint, "has no *.safetensors; pickled weights are never read")
    folder = _own(above) / name
    folder.mkdir(exist_ok=True)
    small = {one.name: _whole(reader, one) for one in found if _is_small(one)}
    _pinned(small, {one.name: one for one in shards}, sha256)
    for file, content in small.items():
        _put(folder / file, content)
    _keep_heads(folder, _proven_by(small, shards, sha256), reader)
    return folder


def _own(folder: Path) -> Path:
    """The folder, made if need be; a place others can write to may hold one of theirs."""
    folder.mkdir(exist_ok=True, mode=0o700)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise _refused(folder.name, "is somebody else's folder among the temporary files")
    return folder


def _put(path: Path, content: bytes) -> None:
    """Write a file that appears whole: another process may be reading the one before."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    with os.fdopen(handle, "wb") as out:
        out.write(content)
    Path(temporary).replace(path)


def is_streamed(folder: Path) -> bool:
    """Whether `located` made this folder: its weights are elsewhere."""
    return (folder / MARKER).is_file()


def arguments(
    model_class: Any, folder: Path, device: str, more: dict[str, Any], reader: Reader | None = None
) -> dict[str, Any]:
    """What `from_pretrained` is given instead of a folder; `more` is the caller's own.

    Raises:
        WeightsRefused: the small files are not what the architecture needs.
    """
    from transformers import AutoConfig, GenerationConfig

    config_class = getattr(model_class, "config_class", None) or AutoConfig
    attention = {k: more.pop(k) for k in ("attn_implementation",) if k in more}
    # Lest a configuration tells where its code is.
    own = {"local_files_only": True, "trust_remote_code": False}
    given: dict[str, Any] = {
        "pretrained_model_name_or_path": None,
        "config": config_class.from_pretrained(folder, **own, **more),
        "state_dict": dict(Shards(folder, device, reader or CloudStorage()).tensors()),
        **attention,
    }
    if (folder / "generation_config.json").is_file():
        given["generation_config"] = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return given


@contextmanager
def one_by_one() -> Iterator[None]:
    """Let transformers take weights in order: its threads would have two shards in memory."""
    before = os.environ.get(IN_ORDER)
    os.environ[IN_ORDER] = "1"
    try:
        yield
    finally:
        os.environ.pop(IN_ORDER)
        if before is not None:
            os.environ[IN_ORDER] = before


class Shards:
    """The weights of a checkpoint, read shard by shard as they are asked for."""

    def __init__(self, folder: Path, device: str, reader: Reader) -> None:
        said = json.loads((folder / MARKER).read_text())
        self._shards = [Stored(**one) for one in said["shards"]]
        self._heads = {s.name: _head((folder / s.name).read_bytes(), s) for s in self._shards}
        self._device, self._reader = device, reader
        self._placed: dict[str, torch.Tensor] = {}

    def tensors(self) -> Iterator[tuple[str, "Lazy"]]:
        """Every weight by name, not read yet."""
        for shard in self._shards:
            for name in self._heads[shard.name]:
                yield name, Lazy(self, shard, name)

    def take(self, shard: Stored, name: str) -> "torch.Tensor":
        """The weight on the device; once."""
        if name not in self._placed:
            self._place(shard)
        return self._placed.pop(name)

    def _place(self, shard: Stored) -> None:
        with part(Part.READ):
            buffer = fetched(shard, self._reader)
        with part(Part.VERIFY):
            prove(shard, buffer)
        with part(Part.TO_DEVICE):
            for name, tensor in parsed(buffer, shard):
                self._placed[name] = self._moved(tensor)

    def _moved(self, tensor: "torch.Tensor") -> "torch.Tensor":
        try:
            return tensor.to(self._device)
        # torch has no class for most of what a device may meet; its memory is one of them.
        except (RuntimeError, AssertionError) as error:
            raise DeviceUnavailable(
                f"Weights could not be moved to {self._device}: {error}", device=self._device
            ) from error


class Lazy:
    """One weight as transformers' loader takes it: what a slice of a safetensors file is."""

    def __init__(self, shards: Shards, shard: Stored, name: str) -> None:
        self._shards, self._shard, self._name = shards, shard, name

    def __getitem__(self, _: object) -> "Placed":
        return Placed(self._shards.take(self._shard, self._name))


class Placed:
    """A weight that is where it belongs. The loader knows of no device (without accelerate it
    may not), so it would bring everything back to the CPU."""

    def __init__(self, tensor: "torch.Tensor") -> None:
        self._tensor = tensor

    def to(self, device: object = None, dtype: "torch.dtype | None" = None) -> "torch.Tensor":
        return self._tensor.to(dtype=dtype) if dtype is not None else self._tensor


def fetched(shard: Stored, reader: Reader) -> mmap.mmap:
    """The whole object in one buffer of memory, read by ranges in parallel.

    Raises:
        as `Reader.read_into`.
    """
    if not shard.size:
        raise _refused(shard.name, "is empty")
    buffer = mmap.mmap(-1, shard.size)
    with memoryview(buffer) as room, ThreadPoolExecutor(READERS) as pool:
        list(pool.map(partial(_range, shard, reader, room), range(0, shard.size, RANGE_BYTES)))
    return buffer


def _range(shard: Stored, reader: Reader, room: memoryview, start: int) -> None:
    with room[start : start + RANGE_BYTES] as piece:
        reader.read_into(shard, start, piece)


def prove(stored: Stored, content: mmap.mmap | bytes) -> None:
    """Return if these are the bytes that were stored.

    Raises:
        WeightsRefused: the checksum is another.
    """
    import google_crc32c

    made: Any = google_crc32c.Checksum  # it publishes no types
    crc, sha = made(), hashlib.sha256()
    for at in range(0, len(content), BLOCK):
        block = content[at : at + BLOCK]
        crc.update(block)
        if stored.sha256:
            sha.update(block)
    if stored.crc32c and base64.b64encode(crc.digest()).decode() != stored.crc32c:
        raise _refused(stored.name, "came with other bytes than were stored (checksum mismatch)")
    if stored.sha256 and sha.hexdigest() != stored.sha256:
        raise _refused(stored.name, "is not the one pinned here (checksum mismatch)")


def parsed(buffer: mmap.mmap, shard: Stored) -> Iterator[tuple[str, "torch.Tensor"]]:
    """Every tensor in the buffer, by name; the tensors are the buffer, which lives as they do.

    Raises:
        WeightsRefused: it is not safetensors.
    """
    import torch

    begin = 8 + int.from_bytes(buffer[:8], "little")
    for name, said in _head(buffer[: min(begin, MOST_HEADER)], shard).items():
        dtype: Any = getattr(torch, DTYPES.get(said.dtype, ""), None)
        fits = dtype is not None and 0 <= said.start <= said.end <= len(buffer) - begin
        if not fits or prod(said.shape) * dtype.itemsize != said.end - said.start:
            raise _refused(shard.name, "is not safetensors")
        if said.start == said.end:
            yield name, torch.empty(said.shape, dtype=dtype)
            continue
        flat = torch.frombuffer(
            buffer, dtype=dtype, count=prod(said.shape), offset=begin + said.start
        )
        yield name, flat.reshape(said.shape)


@dataclass(frozen=True, slots=True)
class _Weight:
    dtype: str
    shape: tuple[int, ...]
    start: int  #: bytes behind the header
    end: int


def _head(content: bytes, shard: Stored) -> Mapping[str, _Weight]:
    """What a safetensors file says of its tensors, by name."""
    n_header = int.from_bytes(content[:8], "little")
    try:
        said = json.loads(content[8 : 8 + n_header])
        return {
            name: _Weight(str(w["dtype"]), tuple(map(int, w["shape"])), *w["data_offsets"])
            for name, w in said.items()
            if name != "__metadata__"
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _refused(shard.name, "is not safetensors") from error


def _keep_heads(folder: Path, shards: Sequence[Stored], reader: Reader) -> None:
    """Write the header of each shard, then what proves it, so that each content has its digest."""
    for shard in shards:
        n_header = int.from_bytes(_bytes(reader, shard, 0, min(8, shard.size)), "little")
        if not 0 < n_header <= min(MOST_HEADER, shard.size - 8):
            raise _refused(shard.name, "is not safetensors")
        head = _bytes(reader, shard, 0, 8 + n_header)
        _put(folder / shard.name, head + shard.crc32c.encode())
    marker = json.dumps({"shards": [asdict(shard) for shard in shards]})
    _put(folder / MARKER, marker.encode())


def _pinned(small: Mapping[str, bytes], shards: Mapping[str, Stored], sha256: str | None) -> None:
    """Refuse a list or index that is not the pinned one, and one whose shards are not all there.

    Raises:
        WeightsRefused: names the file.
    """
    said = json.loads(small.get(INDEX, b"{}")).get("weight_map", {})
    for name in sorted(set(said.values()) - set(shards)):
        raise _refused(name, "is missing")
    pin = next((name for name in (SUMS, INDEX) if name in small), None)
    if sha256 and pin and hashlib.sha256(small[pin]).hexdigest() != sha256:
        raise _refused(pin, "is not the one pinned here")
    for name, digest in _sums(small).items():
        if name in small and hashlib.sha256(small[name]).hexdigest() != digest:
            raise _refused(name, "is not the one pinned here (checksum mismatch)")
        if name not in small and name not in shards:
            raise _refused(name, "is missing")
    if sha256 and pin is None and SINGLE not in shards:
        raise _refused(SINGLE, "is missing, and nothing else could be pinned")


def _proven_by(
    small: Mapping[str, bytes], shards: Sequence[Stored], sha256: str | None
) -> list[Stored]:
    """The shards with the digests they must have, where a list or the settings say so."""
    alone = sha256 is not None and not small.keys() & {SUMS, INDEX}
    sums = {SINGLE: sha256} if alone else _sums(small)
    return [replace(shard, sha256=sums.get(shard.name)) for shard in shards]


def _sums(small: Mapping[str, bytes]) -> dict[str, str]:
    """File -> digest. Source: GNU coreutils, "md5sum invocation": digest, blank, blank or *."""
    lines = small.get(SUMS, b"").decode("utf-8", "replace").splitlines()
    pairs = (line.partition(" ") for line in lines if line.strip())
    return {name.lstrip(" *"): digest.lower() for digest, _, name in pairs}


def _is_small(stored: Stored) -> bool:
    weighty = (ENDING, *NOT_SMALL)
    return bool(stored.name) and stored.size <= MOST_SMALL and not stored.name.endswith(weighty)


def _whole(reader: Reader, stored: Stored) -> bytes:
    content = _bytes(reader, stored, 0, stored.size)
    prove(stored, content)
    return content


def _bytes(reader: Reader, stored: Stored, start: int, length: int) -> bytes:
    room = bytearray(length)
    if length:
        reader.read_into(stored, start, memoryview(room))
    return bytes(room)


@contextmanager
def _answered(name: str) -> Iterator[None]:
    """Translate the client's errors: what is gone is refused, what is silent may come back."""
    from google.api_core.exceptions import GoogleAPIError, NotFound
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
    from requests.exceptions import RequestException

    try:
        yield
    except NotFound as error:
        raise _refused(name, "is missing") from error
    except (GoogleAPIError, GoogleAuthError, RequestException) as error:
        raise EngineUnavailable(
            f"The file {name} could not be read from its bucket ({type(error).__name__}).",
            file=name,
        ) from error
    except (DataCorruption, InvalidResponse) as error:
        raise EngineUnavailable(f"The file {name} came damaged.", file=name) from error


def _refused(name: str, fact: str) -> WeightsRefused:
    return WeightsRefused(
        f"The model file {name} {fact}, so nothing was loaded. Upload the checkpoint again, or"
        " correct the engine's `checkpoint` and `sha256`.",
        file=name,
    )
