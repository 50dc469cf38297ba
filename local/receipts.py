"""Whether a receipt is one of ours and as it was signed; no network, no store, no clock."""

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from shared.adapters.embedded.home_signer import KEY, HomeSigner
from shared.adapters.signatures import holds, id_of, pem_of, read_pem
from shared.domain.erasures import FORMAT, statement
from shared.errors import InvalidRequest


class Verdict(StrEnum):
    OK = "ok"  #: one of the known keys signed exactly this
    TAMPERED = "tampered"  #: nobody signed this as it stands
    UNKNOWN_KEY = "unknown key"  #: some key signed it; whether it is ours nobody here knows


def verdict(document: Mapping[str, object], known: Mapping[str, bytes]) -> Verdict:
    """`known`: public keys (PEM) by their ids. The key inside the receipt proves nothing."""
    signature, message = _signature(document), statement(document)
    key_id = str(document.get("key_id"))
    if key_id in known:
        return Verdict.OK if holds(known[key_id], message, signature) else Verdict.TAMPERED
    inside = str(document.get("public_key")).encode()
    key = read_pem(inside)
    fits = key is not None and id_of(key) == key_id
    return Verdict.UNKNOWN_KEY if fits and holds(inside, message, signature) else Verdict.TAMPERED


def _signature(document: Mapping[str, object]) -> bytes:
    said = document.get("signature")
    try:
        return bytes.fromhex(str(said["hex"])) if isinstance(said, dict) else b""
    except (KeyError, ValueError):
        return b""


def read(path: Path) -> dict[str, object]:
    """The document in the file.

    Raises:
        InvalidRequest: it is no receipt.
    """
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise InvalidRequest("The file is no JSON document, so it is no receipt.") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InvalidRequest(f"The file is no receipt: its format is not {FORMAT}.")
    return document


def of_files(paths: tuple[Path, ...]) -> dict[str, bytes]:
    """The public keys in PEM files, by their ids.

    Raises:
        InvalidRequest: there is none in one of them.
    """
    found: dict[str, bytes] = {}
    for path in paths:
        key = read_pem(path.read_bytes())
        if key is None:
            raise InvalidRequest(f"{path.name} holds no Ed25519 public key (PEM).")
        found[id_of(key)] = pem_of(key)
    return found


def of_home(home: Path) -> dict[str, bytes]:
    """This HOME's own key, if it has one already; none is made."""
    if not (home / "keys" / KEY).is_file():
        return {}
    signer = HomeSigner(home / "keys")
    return {signer.key_id: signer.public_key()}
