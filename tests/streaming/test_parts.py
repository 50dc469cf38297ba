"""Tokens, parking, the mailbox, the watch over rates, the choice of engines."""

import asyncio
import unicodedata

import pytest

from gpu_service.engines.engine import Capabilities
from gpu_service.engines.registry import EngineSettings
from gpu_service.streaming import asking
from gpu_service.streaming.mailbox import ROOM, Mailbox
from gpu_service.streaming.rates import WINDOW_S, RateWatch
from gpu_service.streaming.resuming import Claim, Parked, Tokens
from shared.domain.answers import Answer, Task
from shared.domain.confined import CUT, MAX_SPOKEN, MAX_SPOKEN_PER_S
from shared.domain.sound import SAMPLE_RATE
from shared.errors import EngineDied, EngineUnavailable, InvalidStream
from tests.attacks.obedient import Obedient
from tests.engines.mortal import doomed


def test_a_token_is_read_by_who_signed_it_and_doubted_by_others():
    claim = Claim("abc", 16_000, 3)
    token = Tokens(b"one").signed(claim)

    assert Tokens(b"one").read(token) == (claim, True)
    assert Tokens(b"two").read(token) == (claim, False)
    assert "start_sample 16000" in str(claim.lost)


@pytest.mark.parametrize("token", ["", ".", "a.b.c", "e30.e30", "bnVsbA.x", "é.é", "!!!!.????"])
def test_what_is_no_token_is_refused(token):
    with pytest.raises(InvalidStream):
        Tokens(b"one").read(token)


def test_what_is_parked_waits_for_its_time_and_within_its_room():
    now = [0.0]
    parked: Parked[str] = Parked(2, 60.0, lambda: now[0])
    parked.put("a", "A")
    now[0] = 10.0
    parked.put("b", "B")
    parked.put("c", "C")

    assert len(parked) == 2
    assert (parked.take("a"), parked.take("b"), parked.take("b")) == (None, "B", None)
    now[0] = 69.9
    assert len(parked) == 1
    now[0] = 70.0
    assert parked.take("c") is None


async def test_partials_are_replaced_and_finals_wait_in_order():
    mail = Mailbox()
    for n in range(1_000):
        mail.partial({"n": n})
    assert (mail.waiting, mail.merged) == (1, 999)
    await mail.final({"final": 1})

    mail.warn({"warning": 1})
    mail.close(lambda: {"last": 1})

    taken = [await mail.take() for _ in range(3)]
    assert taken == [({"warning": 1}, False), ({"final": 1}, False), ({"last": 1}, True)]


async def test_a_full_mailbox_makes_its_sender_wait():
    mail = Mailbox()
    for n in range(ROOM):
        await mail.final({"n": n})
    one_more = asyncio.create_task(mail.final({"n": ROOM}))
    await asyncio.wait([one_more], timeout=0)
    assert not one_more.done() and mail.most == ROOM

    await mail.take()

    await one_more
    assert mail.waiting == ROOM


@pytest.mark.parametrize(
    ("pace", "warned"),
    [(1.0, False), (0.95, False), (1.05, False), (0.5, True), (1.09, True), (2.0, True)],
)
def test_a_rate_that_is_not_the_declared_one_shows_within_a_window(pace, warned):
    watch = RateWatch()
    ticks = int(WINDOW_S * 10) + 1

    said = [watch.heard(0.1 * pace, n / 10) for n in range(ticks + 1)]

    found = [s for s in said if s is not None]
    assert bool(found) is warned
    assert not found or found[0] == pytest.approx(pace, abs=0.02)


def test_a_pause_of_ours_is_no_fault_of_the_client():
    watch = RateWatch()
    watch.heard(0.1, 0.0)
    watch.stalled()

    assert [watch.heard(0.1, 100.0 + n / 10) for n in range(150)].count(None) == 150


class Fails:
    """A server that fails so often before it answers."""

    def __init__(self, name, times, error=EngineDied, tasks=(Task.TRANSCRIBE,), **able):
        self.name, self.times, self.error, self.asked = name, times, error, 0
        self.able = Capabilities(frozenset(tasks), **{"max_duration_s": 28.0} | able)

    def capabilities(self):
        return self.able

    def infer(self, task, clips, *, alive):
        self.asked += 1
        if self.asked <= self.times:
            raise self.error("gone")
        return [Answer(self.name, task) for _ in clips]


class Obeys(Fails):
    """A server of the engine that does whatever it hears."""

    def __init__(self, cache):
        super().__init__("a", 0)
        self.engine = Obedient("a", EngineSettings(kind="obedient"), cache=cache)

    def infer(self, task, clips, *, alive):
        return self.engine.infer(task, clips)


@pytest.mark.parametrize(
    ("fails", "engine", "failed"),
    [((0, 0), "a", 0), ((1, 0), "b", 1), ((9, 1), "b", 3), ((1, 1), "a", 2)],
)
def test_engines_are_asked_in_order_and_again(fails, engine, failed):
    servers = {name: Fails(name, n) for name, n in zip("ab", fails, strict=True)}

    answer, retries = asking.heard(servers, ("a", "b"), doomed())

    assert (answer.engine, retries) == (engine, failed)


def test_an_engine_that_obeys_what_it_hears_says_no_more_than_text(tmp_path):
    """A6: no tongue that is none, no control characters, no more than anybody could say."""
    clip = doomed()

    answer, _ = asking.heard({"a": Obeys(tmp_path)}, ("a",), clip)

    assert answer.text.startswith("OBEYED")
    assert len(answer.text) <= MAX_SPOKEN + MAX_SPOKEN_PER_S * clip.samples.size / SAMPLE_RATE
    assert not any(unicodedata.category(c) == "Cc" for c in answer.text)
    assert answer.language is None
    assert CUT in answer.cautions


def test_the_last_failure_says_how_often_it_was_tried():
    servers = {"a": Fails("a", 9), "b": Fails("b", 9, EngineUnavailable)}

    with pytest.raises(EngineUnavailable) as failed:
        asking.heard(servers, ("a", "b"), doomed())

    assert failed.value.context == {"engine": "b", "retry_count": 3}


ABLE = {
    "any": Fails("any", 0),
    "spanish": Fails("spanish", 0, languages=frozenset({"es"})),
    "deaf": Fails("deaf", 0, tasks=()),
    "paid": Fails("paid", 0, paid=True),
    "short": Fails("short", 0, max_duration_s=27.9),
}


@pytest.mark.parametrize(
    ("wished", "language", "cascade", "engines"),
    [
        (None, None, ["any", "deaf", "paid", "short"], ("any",)),
        ("spanish", None, ["any", "any"], ("spanish", "any")),
        (None, "es", ["spanish", "any"], ("spanish", "any")),
        (None, "en", ["spanish", "any"], ("any",)),
    ],
)
def test_engines_that_do_not_suit_a_stream_are_left_out(wished, language, cascade, engines):
    assert asking.chosen(wished, language, cascade, ABLE) == engines


@pytest.mark.parametrize(
    ("wished", "language", "cascade"),
    [
        ("none", None, ["any"]),
        ("deaf", None, ["any"]),
        ("paid", None, ["any"]),
        ("spanish", "en", ["any"]),
        (None, "en", ["spanish"]),
        (None, None, []),
    ],
)
def test_where_none_suits_the_stream_is_refused(wished, language, cascade):
    with pytest.raises(InvalidStream):
        asking.chosen(wished, language, cascade, ABLE)
