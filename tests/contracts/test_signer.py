"""`Signer` by HOME's key and by Cloud KMS: its real client, and a server of ours."""

from concurrent.futures import ThreadPoolExecutor

import google_crc32c
import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.cloud import kms_v1
from google.cloud.kms_v1.services.key_management_service.transports import (
    KeyManagementServiceGrpcTransport,
)

from shared.adapters.embedded.home_signer import KEY, HomeSigner
from shared.adapters.gcp.kms_signer import KmsSigner
from shared.adapters.signatures import holds, pem_of
from shared.errors import InvalidSettings, SignerUnavailable

VERSION = "projects/p/locations/l/keyRings/r/cryptoKeys/testimony/cryptoKeyVersions/1"
SERVICE = "google.cloud.kms.v1.KeyManagementService"


class KeyService:
    """Two calls of Cloud KMS, as its reference tells them, over a key of its own."""

    def __init__(self):
        self.key = Ed25519PrivateKey.generate()
        self.damage = self.away = False

    def public_key(self, request, context):
        self._answering(context)
        return kms_v1.PublicKey(pem=pem_of(self.key.public_key()).decode(), name=request.name)

    def sign(self, request, context):
        self._answering(context)
        if google_crc32c.value(request.data) != request.data_crc32c:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "damaged")
        signature = self.key.sign(request.data)
        return kms_v1.AsymmetricSignResponse(
            name=request.name,
            signature=signature[::-1] if self.damage else signature,
            signature_crc32c=google_crc32c.value(signature),
            verified_data_crc32c=True,
        )

    def _answering(self, context):
        if self.away:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no role")


@pytest.fixture
def key_service():
    service = KeyService()
    calls = {
        "GetPublicKey": (service.public_key, kms_v1.GetPublicKeyRequest, kms_v1.PublicKey),
        "AsymmetricSign": (
            service.sign,
            kms_v1.AsymmetricSignRequest,
            kms_v1.AsymmetricSignResponse,
        ),
    }
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(method, asked.deserialize, answer.serialize)
        for name, (method, asked, answer) in calls.items()
    }
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    service.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield service
    server.stop(None)


@pytest.fixture
def kms(key_service):
    channel = grpc.insecure_channel(f"127.0.0.1:{key_service.port}")
    client = kms_v1.KeyManagementServiceClient(
        transport=KeyManagementServiceGrpcTransport(channel=channel)
    )
    yield KmsSigner(VERSION, lambda: client)
    channel.close()


@pytest.fixture(params=["home", "kms"])
def signer(request, tmp_path):
    return HomeSigner(tmp_path) if request.param == "home" else request.getfixturevalue("kms")


def test_the_public_key_verifies_what_was_signed_and_nothing_else(signer):
    signature = signer.sign(b"gone")

    assert len(signature) == 64
    assert holds(signer.public_key(), b"gone", signature)
    assert not holds(signer.public_key(), b"gone.", signature)
    assert not holds(pem_of(Ed25519PrivateKey.generate().public_key()), b"gone", signature)


def test_a_message_has_one_signature(signer):
    assert signer.sign(b"gone") == signer.sign(b"gone")


def test_64_kib_are_signed(signer):
    message = b"\xff" * (64 << 10)

    assert holds(signer.public_key(), message, signer.sign(message))


def test_the_id_names_the_key(signer, tmp_path):
    other = HomeSigner(tmp_path / "other")

    assert len(signer.key_id) == 32
    assert int(signer.key_id, 16)
    assert signer.key_id != other.key_id


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path):
    with ThreadPoolExecutor(8) as threads:
        ids = set(threads.map(lambda _: HomeSigner(tmp_path / "keys").key_id, range(32)))

    [found] = (tmp_path / "keys").iterdir()
    assert len(ids) == 1
    assert found.name == KEY
    assert found.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damaged", [b"", b"-----BEGIN PRIVATE KEY-----\n"], ids=["empty", "cut"])
def test_a_damaged_key_is_said_and_never_replaced(tmp_path, damaged):
    (tmp_path / KEY).write_bytes(damaged)

    with pytest.raises(InvalidSettings):
        HomeSigner(tmp_path).sign(b"gone")

    assert (tmp_path / KEY).read_bytes() == damaged


def test_a_signature_damaged_on_the_line_is_none(kms, key_service):
    key_service.damage = True

    with pytest.raises(SignerUnavailable):
        kms.sign(b"gone")


def test_a_key_service_that_refuses_is_said_in_our_words(kms, key_service):
    key_service.away = True

    with pytest.raises(SignerUnavailable):
        kms.sign(b"gone")
    with pytest.raises(SignerUnavailable):
        kms.public_key()
