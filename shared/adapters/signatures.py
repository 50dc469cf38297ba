"""Ed25519 signatures (RFC 8032): a public key's id, its PEM, and whether a signature holds."""

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def id_of(key: Ed25519PublicKey) -> str:
    """SHA-256 of the public key (DER, SubjectPublicKeyInfo), so a new key has a new id; 32 hex."""
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()[:32]


def pem_of(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def read_pem(pem: bytes) -> Ed25519PublicKey | None:
    """The public key in `pem`; None if there is no Ed25519 key in it."""
    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError:
        return None
    return key if isinstance(key, Ed25519PublicKey) else None


def holds(pem: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the key in `pem` signed exactly this message. No network, no clock."""
    key = read_pem(pem)
    if key is None:
        return False
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
