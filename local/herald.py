"""Says on the terminal what became of each recording while `up` runs."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from typing import TypeAlias

from local.telling import result_of, transcript_lines, verdict
from shared.adapters.embedded.sqlite_announcements import SqliteAnnouncements
from shared.domain.recording import Recording
from shared.domain.states import State
from shared.errors import NotFound, StoreUnavailable
from shared.ports import Recordings, Results

#: Recordings told one by one in a look; more of them are told as figures.
MOST = 10
#: Lines of a transcript on the terminal; the rest is a command away.
LINES = 3

#: The ids of the recordings that something was announced of since it was asked before.
News: TypeAlias = Callable[[], list[str]]


class Unread:
    """The `News` of a store that keeps its announcements."""

    def __init__(self, announcements: SqliteAnnouncements) -> None:
        self._announcements, self._seen = announcements, announcements.last()

    def __call__(self) -> list[str]:
        found = self._announcements.after(self._seen)
        self._seen = found[-1].seq if found else self._seen
        return [one.recording_id for one in found]


class Herald:
    """Tells what is announced, each once."""

    def __init__(
        self,
        news: News,
        recordings: Recordings,
        results: Results,
        say: Callable[[str], None],
    ) -> None:
        self._news, self._recordings = news, recordings
        self._results, self._say = results, say
        self._untold: list[str] = []

    def look(self) -> None:
        """Tell what is new. A store in trouble has nothing new to tell; the next look has."""
        with suppress(StoreUnavailable):
            self._untold += self._news()
            known = [self._recordings.get(one) for one in self._untold]
            self._tell([r for r in known if r is not None])
            self._untold.clear()

    def _tell(self, settled: list[Recording]) -> None:
        if len(settled) > MOST:
            counts = Counter(r.state.value for r in settled)
            figures = ", ".join(f"{n} {state}" for state, n in sorted(counts.items()))
            self._say(f"{len(settled)} recordings: {figures}")
            return
        for recording in settled:
            for line in self._lines(recording):
                self._say(line)

    def _lines(self, recording: Recording) -> Iterator[str]:
        yield verdict(recording)
        if recording.state is not State.DONE:
            return
        with suppress(NotFound):
            lines = list(islice(transcript_lines(result_of(recording, self._results)), LINES + 1))
            yield from (f"  {line}" for line in lines[:LINES])
            if len(lines) > LINES:
                yield f"  ...  (all of it: earwitness show {recording.id})"
