"""plan -> any stretch of the zip's bytes, each read where it lies; nothing is kept.

entries of chapter 0 | ... | entries of the last | manifest | directory | end
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from shared.domain import zips
from shared.domain.exports import Asked, Chapter, Entry, Index, Stretch, digests, head, lines
from shared.domain.states import State
from shared.errors import ExportOver, NotFound
from shared.flows.export_plans import ExportPlans
from shared.ports import Recordings, Results, Uploads

#: Bytes of sound read at a time: with the largest single result, all that is held in memory.
BLOCK = 1 << 20
#: Bytes handed on at a time, at least.
GATHERED = 256 << 10


@dataclass(frozen=True, slots=True)
class _Piece:
    """So many bytes, and how to get those from one place up to, not including, another."""

    size: int
    cut: Callable[[int, int], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Zipped:
    """The bytes are a function of the plan alone, so a download goes on where it stopped."""

    recordings: Recordings
    results: Results
    uploads: Uploads
    plans: ExportPlans
    asked: Asked
    index: Index

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` up to, not including, `end`.

        Raises:
            ExportOver: something in it was erased; what came so far is not to be used. Maybe in
                the middle: then there is no more.
        """
        return _gathered(_cut(self._pieces(), start, end))

    def _pieces(self) -> Iterator[_Piece]:
        for number, stretch in enumerate(self.index.stretches):
            yield _Piece(stretch.stored, self._of_chapter(number, self._contents))
        yield _bytes(zips.local_header(self.index.manifest, self.asked.at))
        yield _bytes(head(self.asked))
        for number, stretch in enumerate(self.index.stretches):
            yield _Piece(stretch.lines, self._of_chapter(number, self._lines))
        yield _bytes(self.index.foot.encode())
        for number, stretch in enumerate(self.index.stretches):
            yield _Piece(stretch.listed, self._of_chapter(number, self._listing))
        manifest_at = self.index.manifest_at
        yield _bytes(zips.central_header(self.index.manifest, self.asked.at, manifest_at))
        yield _bytes(zips.end(self.index.members, self.index.directory_at, self.index.listed))

    def _of_chapter(
        self, number: int, pieces: Callable[[Chapter, Stretch], Iterator[_Piece]]
    ) -> Callable[[int, int], Iterator[bytes]]:
        def cut(start: int, end: int) -> Iterator[bytes]:
            # Read anew each time: an export that is over has none any more.
            chapter = self.plans.chapter(self.asked, number)
            return _cut(pieces(chapter, self.index.stretches[number]), start, end)

        return cut

    def _lines(self, chapter: Chapter, _: Stretch) -> Iterator[_Piece]:
        yield _bytes(lines(chapter))

    def _listing(self, chapter: Chapter, stretch: Stretch) -> Iterator[_Piece]:
        at, listing = stretch.at, list[bytes]()
        for one in chapter.entries:
            listing.append(zips.central_header(one.member, self.asked.at, at))
            at += zips.stored_bytes(one.member)
        yield _bytes(b"".join(listing))

    def _contents(self, chapter: Chapter, _: Stretch) -> Iterator[_Piece]:
        for one in chapter.entries:
            yield _bytes(zips.local_header(one.member, self.asked.at))
            yield _Piece(one.size_bytes, self._content(one))

    def _content(self, one: Entry) -> Callable[[int, int], Iterator[bytes]]:
        def cut(start: int, end: int) -> Iterator[bytes]:
            self._check(one)
            try:
                yield from self._bytes_of(one, start, end)
            except NotFound as error:
                raise ExportOver from error

        return cut

    def _check(self, one: Entry) -> None:
        """What was erased is not sent, also not what the plan still knows of it."""
        if one.recording_id is None:
            return
        known = self.recordings.get(one.recording_id)
        if known is None or known.state is State.ERASED:
            raise ExportOver

    def _bytes_of(self, one: Entry, start: int, end: int) -> Iterator[bytes]:
        if one.upload is not None:
            for at in range(start, end, BLOCK):
                yield self._block(one.upload, at, min(BLOCK, end - at))
        elif one.text is not None:
            yield one.text.encode()[start:end]
        else:
            content = self.results.load(one.result or "", one.path.rpartition("/")[2])
            if digests(content) != (one.crc32, one.sha256):
                raise ExportOver
            yield content[start:end]

    def _block(self, upload: tuple[str, int], at: int, length: int) -> bytes:
        block = self.uploads.read(*upload, at, length)
        if len(block) != length:
            raise ExportOver
        return block


def _bytes(content: bytes) -> _Piece:
    return _Piece(len(content), lambda start, end: iter((content[start:end],)))


def _cut(pieces: Iterator[_Piece], start: int, end: int) -> Iterator[bytes]:
    """What lies between two places of the pieces, one behind the other."""
    at = 0
    for piece in pieces:
        if at >= end:
            return
        if at + piece.size > start:
            yield from piece.cut(max(0, start - at), min(piece.size, end - at))
        at += piece.size


def _gathered(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks of at least GATHERED: most pieces have some hundred."""
    waiting, size = list[bytes](), 0
    for block in blocks:
        waiting.append(block)
        size += len(block)
        if size >= GATHERED:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)
