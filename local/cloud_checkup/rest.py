"""Google's REST APIs: JSON asked for and given.

One reader for all of them, so that an answer written down by hand, an emulator and Google are
read by the same lines. Source of every path: the API's REST reference.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import google.auth
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from requests import RequestException, Response

from shared.errors import EarwitnessError, IdentityUnavailable, Layer, Severity

Answer = dict[str, Any]

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
#: Seconds to connect, and between two bytes of an answer.
TIMEOUT_S = (5.0, 20.0)
#: Google's own names: where an emulator answers instead of an API.
EMULATORS = {"pubsub": "PUBSUB_EMULATOR_HOST", "storage": "STORAGE_EMULATOR_HOST"}
_MISSING, _FORBIDDEN = 404, (401, 403)


class NotEmulated(EarwitnessError, layer=Layer.CONTEXT, severity=Severity.INFO, retryable=False):
    """There is no emulator of this, so it was not looked at."""


class LookForbidden(
    EarwitnessError, layer=Layer.CONTEXT, severity=Severity.WARNING, retryable=False
):
    """You may not look at this. Have yourself granted roles/viewer and
    roles/iam.securityReviewer."""


class GoogleSilent(EarwitnessError, layer=Layer.CONTEXT, severity=Severity.ERROR, retryable=True):
    """Google does not answer. Try again in a moment."""


class Google(Protocol):
    def get(self, api: str, path: str, **params: str) -> Answer | None:
        """What lies under that path of that API; None if nothing does.

        Raises:
            LookForbidden, NotEmulated: somebody else must look.
            GoogleSilent: asking again may help. IdentityUnavailable: logging in will.
        """
        ...

    def post(self, api: str, path: str, body: Answer) -> Answer | None:
        """As `get`, for what Google wants asked with a body."""
        ...


class Rest:
    """Implements `Google`: the real one, or the emulators that the environment names."""

    def __init__(self, session: AuthorizedSession, addresses: Mapping[str, str]) -> None:
        """`addresses` by API; if there are any, nobody else is asked."""
        self._session, self._addresses = session, addresses

    def get(self, api: str, path: str, **params: str) -> Answer | None:
        return self._asked("GET", api, path, params=params)

    def post(self, api: str, path: str, body: Answer) -> Answer | None:
        return self._asked("POST", api, path, json=body)

    def _asked(self, method: str, api: str, path: str, **given: Any) -> Answer | None:
        url = f"{self._address(api)}/{path}"
        try:
            # google-auth publishes no types for it.
            answer = self._session.request(method, url, timeout=TIMEOUT_S, **given)  # type: ignore[no-untyped-call]
        except GoogleAuthError as error:
            raise _unknown() from error
        except RequestException as error:
            raise GoogleSilent(f"{api}: Google does not answer. Try again in a moment.") from error
        return _read(api, answer)

    def _address(self, api: str) -> str:
        if not self._addresses:
            return f"https://{api}.googleapis.com"
        if api not in self._addresses:
            raise NotEmulated
        return self._addresses[api]


def _read(api: str, answer: Response) -> Answer | None:
    if answer.status_code == _MISSING:
        return None
    if answer.status_code in _FORBIDDEN:
        raise LookForbidden(f"{_reason(answer)} {' '.join((LookForbidden.__doc__ or '').split())}")
    if not answer.ok:
        raise GoogleSilent(f"{api} answers {answer.status_code}: {_reason(answer)}")
    body: Answer = answer.json()
    return body


def _reason(answer: Response) -> str:
    """Google's own sentence. Source: AIP-193, "Errors"."""
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return answer.reason


class Remembering:
    """Implements `Google`: what was read once is not asked for again; what is posted, is."""

    def __init__(self, google: Google) -> None:
        self._google = google
        self._read: dict[tuple[str, ...], Answer | None] = {}

    def get(self, api: str, path: str, **params: str) -> Answer | None:
        asked = (api, path, *(f"{k}={v}" for k, v in sorted(params.items())))
        if asked not in self._read:
            self._read[asked] = self._google.get(api, path, **params)
        return self._read[asked]

    def post(self, api: str, path: str, body: Answer) -> Answer | None:
        return self._google.post(api, path, body)


def listed(google: Google, api: str, path: str, key: str, **params: str) -> Iterator[Answer]:
    """Every entry under `key`, page after page."""
    page: str = ""
    while True:
        answer = google.get(api, path, **params, **({"pageToken": page} if page else {})) or {}
        yield from answer.get(key, [])
        page = answer.get("nextPageToken", "")
        if not page:
            return


def rest(project: str) -> Rest:
    """Google as whoever is logged in here sees it, or the emulators if there are any.

    Raises:
        IdentityUnavailable: nobody is logged in.
    """
    emulated = {api: _url(os.environ[v]) for api, v in EMULATORS.items() if os.environ.get(v)}
    return Rest(_session(_nobody() if emulated else _whoever(project)), emulated)


def _session(credentials: Credentials) -> AuthorizedSession:
    return AuthorizedSession(credentials)  # type: ignore[no-untyped-call]


def _nobody() -> Credentials:
    return AnonymousCredentials()  # type: ignore[no-untyped-call]


def _whoever(project: str) -> Credentials:
    """Who is logged in here; of a person, calls count on the project that is looked at."""
    try:
        credentials: Credentials
        credentials, _ = google.auth.default(scopes=[SCOPE], quota_project_id=project)
    except DefaultCredentialsError as error:
        raise _unknown() from error
    return credentials


def _unknown() -> IdentityUnavailable:
    return IdentityUnavailable(
        "Google does not know who this is. Run `gcloud auth application-default login`, and try"
        " again."
    )


def _url(host: str) -> str:
    return host if "://" in host else f"http://{host}"
