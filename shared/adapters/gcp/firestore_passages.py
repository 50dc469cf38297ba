"""Search by words on Firestore: passages in chunks, each with the words it holds.

A chunk is written before the commit that makes it visible, under the token of the lease: what
counts is the token in the recording. So a transcript of any length costs that commit nothing,
and what a worker left that lost its lease is never shown.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from google.cloud.firestore_v1.base_query import FieldFilter
from google.cloud.firestore_v1.query import Query

from shared.adapters.gcp.firestore_client import PAGE, Documents
from shared.adapters.gcp.firestore_rows import PASSAGES, row
from shared.domain.hits import Hit, Term, hit
from shared.domain.moments import to_us
from shared.domain.recording import Lease, Passage
from shared.domain.words import words

#: Words of a chunk: half a document of ours is its index entries, one a different word.
CHUNK_WORDS = 300
#: Chunks of one commit; with their index entries, far below Firestore's 10 MiB a request.
CHUNKS_A_COMMIT = 50
#: Characters of a word that are indexed: Firestore cuts index entries at 1,500 bytes.
INDEXED_LENGTH = 64
#: Chunks looked into for one search: the newest that hold its rarest word.
MOST_CHUNKS = 500
#: Words of a query whose frequency is asked for, the longest ones.
MOST_COUNTED = 4


@dataclass(frozen=True, slots=True)
class Match:
    """A passage that holds every term; of a recording that may not show it."""

    recording_id: str
    token: int
    received_us: int
    passage: Passage
    hit: Hit


class Passages:
    """The collection `passages`; part of `FirestoreJobs` and `FirestoreRecordings`."""

    def __init__(self, db: Documents) -> None:
        self._db = db

    def lay(self, lease: Lease, passages: Sequence[Passage]) -> None:
        """Write chunks that nobody sees until the recording names their token.

        Writing them again replaces them.
        """
        chunks = [_chunk(lease, part) for part in _parts(passages)]
        for begin in range(0, len(chunks), CHUNKS_A_COMMIT):
            commit = self._db.commit()
            for n, chunk in enumerate(chunks[begin : begin + CHUNKS_A_COMMIT], begin):
                name = f"{lease.recording.id}-{lease.token}-{n}"
                commit.put(self._db.at(PASSAGES, name), chunk)
            self._db.try_to(commit)

    def drop_older(self, lease: Lease) -> None:
        """Delete what leases before this one left behind."""
        if lease.token > 1:
            self._drop(lease.recording.id, lambda token: token < lease.token)

    def drop(self, lease: Lease) -> None:
        """Delete what this lease laid and no commit will ever show."""
        self._drop(lease.recording.id, lambda token: token == lease.token)

    def _drop(self, recording_id: str, which: Callable[[int], bool]) -> None:
        mine = FieldFilter("recording_id", "==", recording_id)
        query = self._db.all_of(PASSAGES).where(filter=mine).select(["token"])
        chunks = [one for one in self._db.found(query) if which(one.get("token"))]
        for begin in range(0, len(chunks), PAGE):
            commit = self._db.commit()
            for one in chunks[begin : begin + PAGE]:
                commit.drop(one.reference)
            self._db.try_to(commit)

    def matches(self, tenant: str | None, asked: Sequence[Term]) -> Iterator[Match]:
        """Passages with every term, among the MOST_CHUNKS newest chunks with the rarest word."""
        for chunk in self._db.found(self._holding(tenant, self._rarest(tenant, asked))):
            fields = row(chunk)
            for said in fields["said"]:
                found = hit(said["text"], asked)
                if found is not None:
                    passage = Passage(said["start_s"], said["end_s"], said["text"])
                    of = fields["recording_id"], fields["token"], fields["received_us"]
                    yield Match(*of, passage, found)

    def _rarest(self, tenant: str | None, asked: Sequence[Term]) -> str:
        longest = sorted({w for term in asked for w in term}, key=len, reverse=True)
        candidates = longest[:MOST_COUNTED]
        if len(candidates) == 1:
            return candidates[0]
        counts = {w: self._db.count(self._holding(tenant, w))[0] for w in candidates}
        return min(candidates, key=counts.__getitem__)

    def _holding(self, tenant: str | None, word: str) -> Query:
        """The newest chunks with this word."""
        query = self._db.all_of(PASSAGES)
        if tenant is not None:
            query = query.where(filter=FieldFilter("tenant", "==", tenant))
        query = query.where(filter=FieldFilter("words", "array_contains", word[:INDEXED_LENGTH]))
        return query.order_by("received_us", direction="DESCENDING").limit(MOST_CHUNKS)


def _parts(passages: Sequence[Passage]) -> Iterator[list[Passage]]:
    part: list[Passage] = []
    size = 0
    for one in passages:
        n_words = len(words(one.text))
        if part and size + n_words > CHUNK_WORDS:
            yield part
            part, size = [], 0
        part.append(one)
        size += n_words
    if part:
        yield part


def _chunk(lease: Lease, part: Sequence[Passage]) -> dict[str, Any]:
    said = {w.folded[:INDEXED_LENGTH] for one in part for w in words(one.text)}
    return {
        "recording_id": lease.recording.id,
        "tenant": lease.recording.tenant,
        "token": lease.token,
        "received_us": to_us(lease.recording.received_at),
        "words": sorted(said),
        "said": [{"start_s": p.start_s, "end_s": p.end_s, "text": p.text} for p in part],
    }
