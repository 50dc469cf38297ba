"""Implements `Sweeper` where buckets sweep themselves."""

from datetime import datetime


class BucketSweeper:
    """The temporary bucket's lifecycle deletes at one day (terraform/stack/storage.tf), and a
    function's own files live as long as its instance; there is nothing left to do."""

    def sweep(self, before: datetime) -> int:
        return 0
