"""Whether anybody changed a recording, for pages that are told of it."""

from google.cloud.firestore_v1 import Client

from shared.adapters.gcp.firestore_client import Documents
from shared.adapters.gcp.firestore_rows import RECORDINGS


class FirestoreChanges:
    """A number that differs from the one before if a recording was made or changed in between.

    One read: the time of the change to the recording that Firestore changed last, by its own
    clock, so that nobody's wrong clock hides a change. Two changes within the same
    millisecond may be one. Writes that touch no recording (a lease held on to, a message
    forgotten) do not count.

    IAM: roles/datastore.viewer, granted in terraform/stack/firestore.tf. Run on the
    Firestore emulator of the gcloud SDK.
    """

    def __init__(self, client: Client) -> None:
        self._db = Documents(client)

    def __call__(self) -> int:
        newest = self._db.all_of(RECORDINGS).order_by("touched", direction="DESCENDING")
        found = self._db.found(newest.select(["touched"]).limit(1))
        return round(found[0].update_time.timestamp() * 1_000_000) if found else 0
