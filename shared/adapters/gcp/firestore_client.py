"""Firestore: reads and conditional commits with bounded patience; Google's errors in our words.

Never a read-write transaction: on a document that many want it livelocks (measured on the
emulator: 6 threads adding 5 each took 123 s with transactions, 0.15 s so).
"""

import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias, TypeVar
from uuid import uuid4

from google.api_core import exceptions as google
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from google.cloud.firestore_v1 import Client, DocumentReference, DocumentSnapshot
from google.cloud.firestore_v1.base_query import BaseQuery
from google.cloud.firestore_v1.query import Query

from shared.errors import StoreUnavailable

T = TypeVar("T")
Snapshot: TypeAlias = "DocumentSnapshot[Any]"
Fields = Mapping[str, Any]
#: Seconds one call may take, and all tries of one read or commit together.
CALL_S, PATIENCE_S = 4.0, 8.0
#: Seconds. Waits double from the first to the longest; each is drawn between nothing and all
#: of it ("full jitter", Brooker 2015, "Exponential Backoff And Jitter").
FIRST_WAIT_S, LONGEST_WAIT_S = 0.01, 1.0
#: Most documents of one read; Firestore's own limit is not stated, its answers are streamed.
PAGE = 500

#: Somebody else was faster; for certain nothing was written.
LOST = (google.AlreadyExists, google.FailedPrecondition, google.NotFound, google.Aborted)
#: No answer, or one that says nothing of what was written.
UNSURE = (
    google.ServerError,
    google.TooManyRequests,
    google.Aborted,
    google.Cancelled,
    google.RetryError,
    GoogleAuthError,
)
#: A role is missing, maybe for the minute that IAM takes. Nothing is wrong with the work.
DENIED = (google.Forbidden, google.Unauthorized)
#: The client's own patience is 60 s and more; ours is counted here.
_ONCE = Retry(predicate=if_exception_type())
#: Source: Firestore's documentation, "Quotas and limits", "Constraints on document IDs".
_NO_ID = re.compile(r"\.{0,2}|__.*__|.*/.*", re.DOTALL)
_LONGEST_ID = 1500


class Patience:
    """How long one errand may still take."""

    def __init__(self) -> None:
        self._until = time.monotonic() + PATIENCE_S
        self._wait_s = FIRST_WAIT_S

    @property
    def call_s(self) -> float:
        """Seconds the next call may take."""
        return max(0.1, min(CALL_S, self._until - time.monotonic()))

    def wait(self, error: Exception | None = None) -> None:
        """Wait before the next try.

        Raises:
            StoreUnavailable: there is no time for one.
        """
        wait_s = random.uniform(0, self._wait_s)  # noqa: S311  # spreads load, guards nothing
        if time.monotonic() + wait_s >= self._until:
            raise StoreUnavailable(detail=type(error).__name__ if error else "contended") from error
        time.sleep(wait_s)
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)


class Commit:
    """Writes that happen together or not at all.

    The first conditional one leaves the commit's own mark in its document, so that a commit
    whose answer was lost can be told from one that somebody else was faster with.
    """

    def __init__(self, client: Client) -> None:
        self._batch = client.batch()
        self._mark = uuid4().hex
        self._client = client
        self.anchor: DocumentReference | None = None

    def at(self, *path: str) -> DocumentReference:
        """The place of a document: collection and id, by turns."""
        return self._client.document(*path)

    def create(self, where: DocumentReference, fields: Fields) -> None:
        """On condition that there is no such document."""
        self._batch.create(where, self._marked(where, fields))

    def change(self, seen: Snapshot, fields: Fields) -> None:
        """On condition that the document is still as it was seen; other fields stay."""
        as_seen = self._client.write_option(last_update_time=seen.update_time)
        self._batch.update(seen.reference, self._marked(seen.reference, fields), option=as_seen)

    def put(self, where: DocumentReference, fields: Fields) -> None:
        """Whatever is there."""
        self._batch.set(where, dict(fields))

    def drop(self, where: DocumentReference) -> None:
        """Gone already is as good."""
        self._batch.delete(where)

    def drop_seen(self, seen: Snapshot) -> None:
        """On condition that the document is still as it was seen."""
        as_seen = self._client.write_option(last_update_time=seen.update_time)
        self._batch.delete(seen.reference, option=as_seen)

    def _marked(self, where: DocumentReference, fields: Fields) -> dict[str, Any]:
        if self.anchor is not None:
            return dict(fields)
        self.anchor = where
        return {**fields, "commit": self._mark}

    def __len__(self) -> int:
        return len(self._batch)

    def send(self, timeout_s: float) -> None:
        self._batch.commit(retry=_ONCE, timeout=timeout_s)

    def made(self, found: Snapshot) -> bool:
        """Whether the anchor, read again, has our mark."""
        return (found.to_dict() or {}).get("commit") == self._mark


class Documents:
    """One Firestore database. Threads may share it.

    A store that does not answer is StoreUnavailable after PATIENCE_S. A commit may then have
    been made all the same, as with any database behind a network; that is why everything
    here can be repeated.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def at(self, *path: str) -> DocumentReference:
        """The place of a document: collection and id, by turns."""
        return self._client.document(*path)

    def all_of(self, collection: str) -> Query:
        return self._client.collection(collection)._query()

    def group_of(self, collection: str) -> Query:
        """All collections of this name, wherever they lie."""
        return self._client.collection_group(collection)

    def commit(self) -> Commit:
        return Commit(self._client)

    def get(self, where: DocumentReference) -> Snapshot:
        [found] = self.get_all([where])
        return found

    def get_all(self, where: Sequence[DocumentReference]) -> list[Snapshot]:
        """Documents as of one moment, in the order asked for; what is not there does not exist."""

        def read(timeout_s: float) -> dict[str, Snapshot]:
            found = self._client.get_all(list(where), retry=_ONCE, timeout=timeout_s)
            return {one.reference.path: one for one in found}

        found = asked(read)
        return [found[one.path] for one in where]

    def found(self, query: BaseQuery) -> list[Snapshot]:
        """The documents of a query, in its order."""

        def read(timeout_s: float) -> list[Snapshot]:
            # The base class is also that of the asynchronous client's queries.
            stream: Any = query.stream(retry=_ONCE, timeout=timeout_s)
            return list(stream)

        return asked(read)

    def count(self, query: BaseQuery, as_of: datetime | None = None) -> tuple[int, datetime | None]:
        """How many there are, and as of when."""
        counting: Any = query.count()
        [[counted]] = asked(
            lambda timeout_s: counting.get(retry=_ONCE, timeout=timeout_s, read_time=as_of)
        )
        return int(counted.value), counted.read_time

    def settle(self, step: Callable[[Commit], T]) -> T:
        """Read, decide and commit, again and again until nobody was faster.

        Args:
            step: reads, adds writes to the commit, and returns what to answer; called again
                with a new commit after each lost race. One that adds none is not committed.

        Raises:
            StoreUnavailable: there was no end of races, or no answer.
        """
        patience = Patience()
        while True:
            commit = self.commit()
            answer = step(commit)
            if not commit or self.try_to(commit):
                return answer
            patience.wait()

    def try_to(self, commit: Commit) -> bool:
        """Commit; False if somebody else was faster, and then nothing was written."""
        patience, unsure = Patience(), False
        while True:
            try:
                commit.send(patience.call_s)
                return True
            except LOST:
                return unsure and self._was_ours(commit)
            except DENIED as error:
                raise StoreUnavailable(detail=type(error).__name__) from error
            except UNSURE as error:
                # Sent again as it was: if it had been made, its conditions fail now.
                unsure = True
                patience.wait(error)

    def _was_ours(self, commit: Commit) -> bool:
        return commit.anchor is None or commit.made(self.get(commit.anchor))


def asked(call: Callable[[float], T]) -> T:
    """A read, tried until it is answered. `call` is told how many seconds it may take."""
    patience = Patience()
    while True:
        try:
            return call(patience.call_s)
        except DENIED as error:
            raise StoreUnavailable(detail=type(error).__name__) from error
        except UNSURE as error:
            patience.wait(error)


def possible(name: str) -> bool:
    """Whether a document can have this id; people may ask for anything."""
    return len(name.encode(errors="replace")) <= _LONGEST_ID and not _NO_ID.fullmatch(name)
