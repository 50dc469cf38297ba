"""Signed addresses of uploads: on one machine and of the bucket, checked by `tests.v4`.

Signing asks nobody but IAM, whose answers are written down here; what the bucket itself refuses
only a live project settles (docs/unproved.md).
"""

import base64
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from local.push_keys import PushKeys
from shared.adapters.embedded.home_permits import HomePermits
from shared.adapters.gcp.storage_permits import IamSigner, KeySigner, StoragePermits
from shared.domain.permits import Brought, Permit
from shared.errors import Forbidden, InvalidRequest, InvalidSettings, NotFound, StoreUnavailable
from tests import v4
from tests.builders import NOW

SECRET, DOOR, VALID = "5" * 64, "https://ear.example", timedelta(minutes=15)
METADATA = {"name": "Gr\u00fc\u00dfe, 2 \u20ac.wav", "subject": "4711", "language": "en"}
UPLOAD = Permit("uploads/acme/01JD00000000000000000000ZZ", "audio/wav", 5_000_000_000, METADATA)
EMAIL = "ew-gateway@my-recordings-4711.iam.gserviceaccount.com"


def at_google(signer):
    return StoragePermits(Client("my-recordings-4711", AnonymousCredentials()), "drops", signer)


class Home:
    """The bucket of one machine."""

    permits = HomePermits(SECRET, lambda: NOW)
    begin = f"{DOOR}/v1/uploads/acme/"

    def signed(self, method, url, headers):
        return v4.signed_by_secret(SECRET, method, url, headers)


class Google:
    """Cloud Storage's, signed with a key pair that this test made."""

    begin = "https://storage.googleapis.com/drops/uploads/acme/"

    def __init__(self, folder):
        pem = PushKeys(folder, lambda: NOW).pem
        self.permits = at_google(KeySigner(pem, EMAIL))
        self._key = load_pem_private_key(pem.read_bytes(), None).public_key()

    def signed(self, method, url, headers):
        return v4.signed_by_key(self._key, method, url, headers)


@pytest.fixture(scope="module")
def google(tmp_path_factory):
    return Google(tmp_path_factory.mktemp("keys"))


@pytest.fixture(params=["one machine", "google"])
def bucket(request, google):
    return Home() if request.param == "one machine" else google


@pytest.fixture(params=[False, True], ids=["at once", "session"])
def resumable(request):
    return request.param


def test_the_request_is_signed_with_every_header_of_it(bucket, resumable):
    made = bucket.permits.sign(UPLOAD, DOOR, VALID, resumable=resumable)

    named = set(v4.said(made.url)["X-Goog-SignedHeaders"].split(";"))
    assert made.method == ("POST" if resumable else "PUT")
    assert bucket.signed(made.method, made.url, made.headers)
    assert named == {name.lower() for name in made.headers} | {"host"}
    assert made.url.startswith(bucket.begin)


def test_the_headers_are_those_that_the_bucket_looks_at(bucket, resumable):
    made = bucket.permits.sign(UPLOAD, DOOR, VALID, resumable=resumable)

    begins = {"x-goog-resumable": "start"} if resumable else {}
    assert made.headers == begins | {
        "Content-Type": "audio/wav",
        "x-goog-content-length-range": "5000000000,5000000000",
        "x-goog-if-generation-match": "0",
        "x-goog-meta-name": "=?utf-8?B?R3LDvMOfZSwgMiDigqwud2F2?=",
        "x-goog-meta-subject": "4711",
        "x-goog-meta-language": "en",
    }


@pytest.mark.parametrize("name", UPLOAD.headers(resumable=True))
@pytest.mark.parametrize("other", ["", "0,5000000001", "another"])
def test_no_header_can_be_changed(bucket, name, other):
    made = bucket.permits.sign(UPLOAD, DOOR, VALID, resumable=True)

    assert not bucket.signed(made.method, made.url, {**made.headers, name: other})


def test_neither_name_nor_method_nor_host_nor_time_can_be_changed(bucket):
    made = bucket.permits.sign(UPLOAD, DOOR, VALID)

    changed = [
        ("POST", made.url),
        ("PUT", made.url.replace("/acme/", "/other/")),
        ("PUT", made.url.replace(urlsplit(made.url).netloc, "elsewhere.example")),
        ("PUT", made.url.replace("X-Goog-Expires=900", "X-Goog-Expires=9000")),
        ("PUT", made.url.replace("X-Goog-Date=2", "X-Goog-Date=3")),
    ]
    assert [url for method, url in changed if bucket.signed(method, url, made.headers)] == []


def test_it_may_begin_until_its_time_is_over(bucket):
    made = bucket.permits.sign(UPLOAD, DOOR, VALID)

    said = v4.said(made.url)
    begun = datetime.strptime(said["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert said["X-Goog-Expires"] == "900"
    assert made.expires_at == begun + VALID


def test_a_page_may_be_told_where_uploads_go(bucket):
    url = bucket.permits.bucket_url

    assert url is None or bucket.permits.sign(UPLOAD, DOOR, VALID).url.startswith(url)
    assert (url is None) is isinstance(bucket, Home)


def brought(made, **changes):
    place = urlsplit(made.url)
    headers = {k.lower(): v for k, v in made.headers.items()} | {"host": place.netloc}
    return Brought(made.method, place.path, place.query, {**headers, **changes})


@pytest.mark.parametrize("late", [timedelta(0), VALID - timedelta(seconds=1)], ids=str)
def test_what_comes_to_us_is_what_was_signed(resumable, late):
    made = Home.permits.sign(UPLOAD, DOOR, VALID, resumable=resumable)

    later = HomePermits(SECRET, lambda: NOW + late)
    assert later.opened(brought(made)) == UPLOAD


@pytest.mark.parametrize("late", [VALID, -timedelta(seconds=1)], ids=str)
def test_what_comes_at_another_time_is_refused(late):
    made = Home.permits.sign(UPLOAD, DOOR, VALID)

    with pytest.raises(InvalidRequest):
        HomePermits(SECRET, lambda: NOW + late).opened(brought(made))


def test_what_comes_otherwise_than_it_was_signed_is_refused():
    made = Home.permits.sign(UPLOAD, DOOR, VALID)

    with pytest.raises(Forbidden):
        Home.permits.opened(brought(made, **{"x-goog-meta-subject": "4712"}))
    with pytest.raises(InvalidRequest):
        Home.permits.opened(brought(made, **{"x-goog-meta-lane": "bulk"}))
    with pytest.raises(Forbidden):
        HomePermits("6" * 64, lambda: NOW).opened(brought(made))


def test_nothing_of_googles_comes_to_us(google):
    made = google.permits.sign(UPLOAD, DOOR, VALID)

    with pytest.raises(NotFound, match="bucket"):
        google.permits.opened(brought(made))


def test_a_signing_key_that_is_none_is_said(tmp_path):
    (tmp_path / "key.pem").write_text("none")

    for name in ("key.pem", "gone.pem"):
        with pytest.raises(InvalidSettings, match="SIGNING_KEY"):
            KeySigner(tmp_path / name, EMAIL)


ACCOUNT = {"type": "service_account", "client_email": EMAIL}
PERSON = {"type": "authorized_user", "client_id": "1", "client_secret": "2", "refresh_token": "3"}
TOKENS = "https://oauth2.googleapis.com/token"


class Iam:
    """Google's token endpoint and projects.serviceAccounts.signBlob, as their pages have them."""

    def __init__(self):
        self.key = generate_private_key(65537, 2048)
        self.asked, self.tokens, self.status = [], 0, 200

    def send(self, request):
        answer = requests.Response()
        answer.status_code = 200
        if request.url == TOKENS:
            self.tokens += 1
            answer._content = json.dumps(
                {"access_token": f"token-{self.tokens}", "token_type": "Bearer", "expires_in": 3600}
            ).encode()
        else:
            self.asked.append((request.method, request.url, request.headers["Authorization"]))
            payload = base64.b64decode(json.loads(request.body)["payload"])
            made = base64.b64encode(self.key.sign(payload, PKCS1v15(), SHA256())).decode()
            told = {"keyId": "1", "signedBlob": made} if self.status == 200 else {"error": {}}
            answer._content, answer.status_code = json.dumps(told).encode(), self.status
        return answer


@pytest.fixture
def iam(monkeypatch, tmp_path):
    """IAM, and this process run as EMAIL; nobody is asked over a line."""
    made = Iam()
    monkeypatch.setattr(
        requests.adapters.HTTPAdapter, "send", lambda _, request, **how: made.send(request)
    )
    made.runs_as = tmp_path / "who.json"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(made.runs_as))
    pem = PushKeys(tmp_path, lambda: NOW).pem.read_text()
    made.runs_as.write_text(json.dumps({**ACCOUNT, "private_key": pem, "token_uri": TOKENS}))
    return made


def test_iam_signs_in_the_name_of_who_runs_here(iam):
    permits = at_google(IamSigner())

    made = permits.sign(UPLOAD, DOOR, VALID)
    permits.sign(UPLOAD, DOOR, VALID, resumable=True)

    place = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{EMAIL}"
    assert iam.asked == [("POST", f"{place}:signBlob?alt=json", "Bearer token-1")] * 2
    assert v4.said(made.url)["X-Goog-Credential"].startswith(f"{EMAIL}/")
    assert v4.signed_by_key(iam.key.public_key(), made.method, made.url, made.headers)


def test_a_role_that_is_missing_is_waited_for(iam):
    """IAM takes minutes to know a new role; nothing is wrong with the upload."""
    iam.status = 403

    with pytest.raises(StoreUnavailable):
        at_google(IamSigner()).sign(UPLOAD, DOOR, VALID)
    assert len(iam.asked) == 1


def test_who_is_no_service_account_cannot_sign(iam):
    iam.runs_as.write_text(json.dumps(PERSON))

    with pytest.raises(InvalidSettings, match="service account"):
        at_google(IamSigner()).sign(UPLOAD, DOOR, VALID)


#: What Google's own test account signs with, and two of the addresses it signed. It opens nothing.
#: Source: googleapis/conformance-tests, storage/v1/v4_signatures.json ("POST for resumable
#: uploads", "Headers should be trimmed"), and the public half of the key beside it.
PUBLISHED_KEY = b"""-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEArD8zIqyKLbX0Nq8o0Jj1
qHEhHhqO3+0OP7TEFx5Vxc6PdwBoFNrfnJRI/S+ZaDYS1avr5Pqpp8g8+UNOMvI1
VsjGM8xjTaxkVv8mmKp6pSmQstTt25pzY1exA2wv4xNWSwWNFNx2kh35+kvTQ/DF
3YA9P7pUU1sKur1PP8OoubWLFO59iy5UE5dX0O/3pjvZ2HAhSXsx2VWtB5nlrHR8
FrKJNLJMEGEDSMz9yRfQaUeYCU9oDYHuiqKQ3rCXi6C82l+3FJw5/ggJ5y7iw8ME
rCFSslcYQRbBVz6ZYKWkEcJhs8BG3/16bfaqNusNlDIJ99I7DmipUngF/HEulYhf
rQIDAQAB
-----END PUBLIC KEY-----
"""
PUBLISHED = (
    "https://storage.googleapis.com/test-bucket/test-object?X-Goog-Algorithm=GOOG4-RSA-SHA256"
    "&X-Goog-Credential=test-iam-credentials%40dummy-project-id.iam.gserviceaccount.com%2F20190201"
    "%2Fauto%2Fstorage%2Fgoog4_request&X-Goog-Date=20190201T090000Z&X-Goog-Expires=10"
    "&X-Goog-SignedHeaders={}&X-Goog-Signature={}"
)
VECTORS = {
    "session": (
        "POST",
        {"x-goog-resumable": "start"},
        "host%3Bx-goog-resumable",
        "4a6d39b23343cedf4c30782aed4b384001828c79ffa3a080a481ea01a640dea0a0ceb58d67a12cef3b243c3f"
        "036bb3799c6ee88e8db3eaf7d0bdd4b70a228d0736e07eaa1ee076aff5c6ce09dff1f1f03a0d8ead0d289340"
        "8dd3604fdabff553aa6d7af2da67cdba6790006a70240f96717b98f1a6ccb24f00940749599be7ef72aaa535"
        "8db63ddd54b2de9e2d6d6a586eac4fe25f36d86fc6ab150418e9c6fa01b732cded226c6d62fc95b72473a4cc"
        "55a8257482583fe66d9ab6ede909eb41516a8690946c3e87b0f2052eb0e97e012a14b2f721c42e6e19b8a1cd"
        "5658ea36264f10b9b1ada66b8ed5bf7ed7d1708377ac6e5fe608ae361fb594d2e5b24c54",
    ),
    "spaces": (
        "GET",
        {"leading": "    xyz", "trailing": "abc    ", "collapsed": "abc    def"},
        "collapsed%3Bhost%3Bleading%3Btrailing",
        "1839511d6238d9ac2bbcbba8b23515b3757db35dfa7b8f9bc4b8b4aa270224df747c812526f1a3bcf294d67e"
        "d84cd14e074c36bc090e0a542782934a7c925af4a5ea68123e97533704ce8b08ccdf5fe6b412f89c9fc4de24"
        "3e29abdb098382c5672188ee3f6fef7131413e252c78e7a35658825ad842a50609e9cc463731e17284ff7a14"
        "824c989f87cef22fb99dfec20cfeed69d8b3a08f00b43b8284eecd535e50e982b05cd74c5750cd5f986cfc21"
        "a2a05f7f3ab7fc31bd684ed1b823b64d29281e923fc6580c49005552ca19c253de087d9d2df881144e44eda4"
        "0965cfdb4889bf3a35553c9809f4ed20b8355be481b92b9618952b6a04f3017b36053e15",
    ),
}


@pytest.mark.parametrize(("method", "headers", "names", "made"), VECTORS.values(), ids=VECTORS)
def test_the_checker_agrees_with_what_google_published(method, headers, names, made):
    key, url = load_pem_public_key(PUBLISHED_KEY), PUBLISHED.format(names, made)

    assert v4.signed_by_key(key, method, url, headers)
    assert not v4.signed_by_key(key, "PUT", url, headers)
