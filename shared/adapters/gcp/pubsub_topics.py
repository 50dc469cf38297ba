"""Pub/Sub's topics through its REST face: of the cloud, or of the emulator if one is named.

The generated clients would be another 60 ms of every start, for their types alone (P8); what this
needs, Cloud Storage's client has brought already. Source: Pub/Sub REST, `projects.topics.publish`.
"""

import os
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import google.auth
from google.api_core.exceptions import from_http_response
from google.auth.transport.requests import AuthorizedSession
from requests import Session

#: Google's own name: host:port of an emulator, which wants neither TLS nor an identity.
EMULATOR = "PUBSUB_EMULATOR_HOST"
ROOT = "https://pubsub.googleapis.com"
#: Source: "OAuth 2.0 Scopes for Google APIs", Cloud Pub/Sub API.
SCOPE = "https://www.googleapis.com/auth/pubsub"


class PubSubTopics:
    """Threads may share it, as they share the session of Cloud Storage's client."""

    def __init__(self, session: Session, root: str = ROOT) -> None:
        self._session, self._root = session, root

    def publish(self, topic: str, messages: Sequence[Mapping[str, Any]], timeout_s: float) -> None:
        """One request. It may have been heard although no answer came.

        Args:
            topic: `projects/…/topics/…`.
            messages: as PubsubMessage is in JSON.
            timeout_s: seconds to connect, and between two bytes of the answer.

        Raises:
            GoogleAPIError: it was refused. RequestException: no answer came.
            GoogleAuthError: nobody says any more who we are.
        """
        url = f"{self._root}/v1/{topic}:publish"
        answer = self._session.post(url, json={"messages": list(messages)}, timeout=timeout_s)
        if answer.status_code != HTTPStatus.OK:
            raise from_http_response(answer)  # type: ignore[no-untyped-call]


def topics() -> PubSubTopics:
    """Made once at start.

    Raises:
        DefaultCredentialsError: nobody has said who we are to Google.
    """
    if host := os.environ.get(EMULATOR):
        return PubSubTopics(Session(), f"http://{host}")
    identity, _ = google.auth.default(scopes=[SCOPE])
    return PubSubTopics(AuthorizedSession(identity))  # type: ignore[no-untyped-call]
