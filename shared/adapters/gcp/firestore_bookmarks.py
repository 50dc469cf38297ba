"""Implements `Bookmarks` on Firestore."""

from urllib.parse import quote

from google.cloud.firestore_v1 import Client, DocumentReference

from shared.adapters.gcp.firestore_client import Commit, Documents
from shared.adapters.gcp.firestore_rows import BOOKMARKS, row


def place_of(name: str) -> tuple[str, str]:
    """A document's id has no slash; a note's name may."""
    return BOOKMARKS, quote(name, safe="")


class FirestoreBookmarks:
    """One document a note.

    IAM: roles/datastore.user, granted in terraform/stack/firestore.tf. Run on the
    Firestore emulator of the gcloud SDK.
    """

    def __init__(self, client: Client) -> None:
        self._db = Documents(client)

    def get(self, name: str) -> str | None:
        return row(self._db.get(self._place(name))).get("note")

    def move(self, name: str, seen: str | None, to: str) -> bool:
        def step(commit: Commit) -> bool:
            known = self._db.get(self._place(name))
            if row(known).get("note") != seen:
                return False
            if known.exists:
                commit.change(known, {"note": to})
            else:
                commit.create(known.reference, {"note": to})
            return True

        return self._db.settle(step)

    def _place(self, name: str) -> DocumentReference:
        return self._db.at(*place_of(name))
