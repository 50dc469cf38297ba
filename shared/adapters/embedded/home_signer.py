"""Implements `Signer` on one machine: an Ed25519 key in HOME/keys.

The key is made at its first need, once: of several processes that want it at the same time one
makes it and all use that one. Whoever may read this HOME can sign; a receipt proves that this
HOME said it, not that its owner is honest.

`cryptography` is imported at the first need, too: most processes that could sign never do.
"""

import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from shared.adapters.embedded.disk import full_disk_said
from shared.errors import InvalidSettings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: The key's file in HOME/keys.
KEY = "testimony.key"


class HomeSigner:
    """Any thread may sign; the file is read once."""

    def __init__(self, folder: Path) -> None:
        """`folder` is HOME/keys; nothing is touched before the first signature."""
        self._path = folder / KEY
        self._lock = threading.Lock()
        self._key: Ed25519PrivateKey | None = None

    @property
    def key_id(self) -> str:
        from shared.adapters.signatures import id_of

        return id_of(self._private().public_key())

    def public_key(self) -> bytes:
        from shared.adapters.signatures import pem_of

        return pem_of(self._private().public_key())

    def sign(self, message: bytes) -> bytes:
        return self._private().sign(message)

    def _private(self) -> "Ed25519PrivateKey":
        with self._lock:
            if self._key is None:
                self._key = _read(self._path) or _made(self._path)
            return self._key


def _read(path: Path) -> "Ed25519PrivateKey | None":
    """The key in the file; None if there is no file.

    Raises:
        InvalidSettings: what lies there is no such key. It is never replaced: what was signed
            with the lost one could not be told from a forgery.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InvalidSettings(f"{path.name} in HOME/keys is damaged. Restore a backup.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidSettings(f"{path.name} in HOME/keys is no Ed25519 key. Restore a backup.")
    return key


def _made(path: Path) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with full_disk_said():
        _write_once(path, pem)
    key = _read(path)
    assert key is not None
    return key


def _write_once(path: Path, content: bytes) -> None:
    """Whole or not at all, and never over another: a hard link is made only where nothing is."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=".part-")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(aside, path)
    finally:
        Path(aside).unlink(missing_ok=True)
