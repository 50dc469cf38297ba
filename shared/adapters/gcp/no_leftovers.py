"""Implements `Leftovers` in the cloud: what a process spools there ends with the process."""

from collections.abc import Callable
from datetime import datetime


class NoLeftovers:
    """Uploads are fetched into unlinked files in an instance's memory (`storage_uploads.fetch`);
    parts of uploads that nobody finished are aborted by the bucket after a day (storage.tf)."""

    def remove(self, size_bytes: int, read: Callable[[int, int], bytes], before: datetime) -> int:
        return 0

    def remove_shelving(self, recording_id: str, before: datetime) -> int:
        return 0
