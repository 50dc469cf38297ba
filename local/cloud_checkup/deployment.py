"""One stack as it should lie in a project: names follow from the settings, places from Google."""

from dataclasses import dataclass

import msgspec

from local.cloud_checkup.rest import Answer, Google, listed
from shared.errors import EarwitnessError, Layer, Severity
from shared.settings import Settings


class StackNotFound(
    EarwitnessError, layer=Layer.CONTEXT, severity=Severity.WARNING, retryable=False
):
    """Where the stack lies is told by its uploads bucket, and that is missing."""


@dataclass(frozen=True, slots=True)
class Deployment:
    google: Google
    settings: Settings

    @property
    def project(self) -> str:
        return f"projects/{self.settings.project}"

    @property
    def database(self) -> str:
        return f"{self.project}/databases/{self.settings.firestore_database}"

    def topic(self, noun: str) -> str:
        return f"{self.project}/topics/{self.named(noun)}"

    def named(self, noun: str) -> str:
        """Names are prefix and noun (terraform/stacks.tf), and topics have the same prefix."""
        return f"{self.settings.topic_prefix}{noun}"

    def home(self) -> "Deployment":
        """The first stack, whose prefix has no key behind it; who builds is named after it."""
        prefix = self.settings.topic_prefix.partition("-")[0]
        first = msgspec.structs.replace(self.settings, topic_prefix=f"{prefix}-")
        return Deployment(self.google, first)

    def bucket_name(self, noun: str) -> str:
        """Some are settings; the others are named as all of them are."""
        said: str = getattr(self.settings, f"{noun}_bucket", "")
        return said or f"{self.settings.project}-{self.named(noun)}"

    def identity(self, noun: str) -> str:
        """The e-mail of a workload's service account. Functions write their names with _."""
        account = self.named(noun.replace("_", "-"))
        return f"{account}@{self.settings.project}.iam.gserviceaccount.com"

    def number(self) -> str:
        """The project's number, which Google's own agents carry in their names."""
        found = self.google.get("cloudresourcemanager", f"v3/{self.project}") or {}
        return str(found.get("name", "")).removeprefix("projects/")

    def region(self) -> str:
        """Where the uploads bucket lies: everything of a stack lies there.

        Raises:
            StackNotFound: there is no such bucket.
        """
        bucket = self.bucket(self.settings.uploads_bucket)
        if bucket is None:
            raise StackNotFound
        return str(bucket["location"]).lower()

    def bucket(self, name: str) -> Answer | None:
        return self.google.get("storage", f"storage/v1/b/{name}")

    def subscriptions(self) -> list[Answer]:
        """Every one of the project, ours and others'."""
        path = f"v1/{self.project}/subscriptions"
        return list(listed(self.google, "pubsub", path, "subscriptions"))

    def owns(self, subscription: Answer) -> bool:
        """Eventarc makes subscriptions of its own to our topics, named after its triggers."""
        name = str(subscription["name"]).rpartition("/")[2]
        return name.startswith(self.settings.topic_prefix)

    def services(self) -> list[Answer]:
        """Every Cloud Run service of the region, ours and others'."""
        place = f"v2/{self.project}/locations/{self.region()}/services"
        return list(listed(self.google, "run", place, "services"))

    def run_by(self, noun: str) -> list[Answer]:
        """The services that run as this identity: for the GPU service one a lane, or one."""
        email = self.identity(noun)
        return [s for s in self.services() if s["template"].get("serviceAccount") == email]
