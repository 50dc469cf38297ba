"""The page in headless Chromium, against a real gateway: clicks, keys, drops, freshness."""

import shutil
import socket
import threading
import wave
from dataclasses import replace
from itertools import pairwise

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from gateway.main import create_app, server
from shared import wiring
from shared.settings import Settings
from tests.gateway.testimony import TEXT, Filled, tone

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and CHROMEDRIVER),
        reason="needs Debian's chromium and chromium-driver (apt-get install both)",
    ),
]
#: Seconds to wait for something that happens; only a failure takes so long.
PATIENCE_S = 20
#: Chromium plays no slower: what happens between a click and our look moves little.
SLOWEST_RATE = 0.0625
LIGHT, DARK = "light", "dark"


class Told:
    """A broker that takes every message."""

    def publish(self, messages) -> None:
        self.messages = messages


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A gateway on a free port over a store that lives as long as this module."""
    app = create_app(Settings(home=tmp_path_factory.mktemp("home"), broker_url="http://x"))
    app.state.parts = replace(app.state.parts, publisher=Told())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serving = server(app, "127.0.0.1", port)
    thread = threading.Thread(target=serving.run)
    thread.start()
    app.state.url = f"http://127.0.0.1:{port}"
    yield app
    serving.handle_exit(15, None)
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def store(house):
    return Filled(house.state.parts)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        *("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking"),
        *("disable-component-update", "disable-sync", "no-first-run", "lang=en-GB"),
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(CHROMEDRIVER))
    yield driver
    driver.quit()


class Page:
    """A person in front of the page."""

    def __init__(self, driver, url: str) -> None:
        self.driver, self.url = driver, url

    def open(self, path: str) -> "Page":
        self.driver.get("about:blank")  # so that a change of the fragment alone loads anew
        self.driver.get(self.url + path)
        return self

    def sees(self, css: str, text: str = ""):
        """Wait until something like this is there, and return it."""

        def look(driver):
            found = driver.find_elements(By.CSS_SELECTOR, css)
            return next((f for f in found if text in f.get_property("textContent")), None)

        # A page that is just being left has elements that are gone at the next look.
        gone = [StaleElementReferenceException]
        wait = WebDriverWait(self.driver, PATIENCE_S, 0.05, ignored_exceptions=gone)
        return wait.until(look, f"no {css} with {text!r}")

    def until(self, script: str, *arguments):
        """Wait until a script says something true, and return it."""
        return WebDriverWait(self.driver, PATIENCE_S, 0.05).until(
            lambda d: d.execute_script(f"return {script}", *arguments), script
        )

    def run(self, script: str, *arguments):
        return self.driver.execute_script(script, *arguments)

    def size(self, width: int, height: int = 900, scheme: str = LIGHT) -> None:
        send = self.driver.execute_cdp_cmd
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        send("Emulation.setDeviceMetricsOverride", metrics)
        # Without motion nothing slides away under the mouse.
        wanted = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        send("Emulation.setEmulatedMedia", {"features": wanted})

    def press(self, *keys: str) -> None:
        for key in keys:
            webdriver.ActionChains(self.driver).send_keys(key).perform()

    def focused(self, attribute: str) -> str:
        return self.run(f"return String(document.activeElement.{attribute})")

    def errors(self) -> list[str]:
        return [e["message"] for e in self.driver.get_log("browser") if e["level"] == "SEVERE"]


@pytest.fixture
def page(house, chromium):
    """Fails the test if the browser had anything to complain about, our policy included."""
    shown = Page(chromium, house.state.url)
    shown.size(1280)
    shown.errors()
    yield shown
    assert shown.errors() == []
    chromium.get("about:blank")


@pytest.fixture(scope="module")
def heard(store):
    """20 s of sound; word number n begins at 1 + n/2 s."""
    return store.done(
        "harbour.wav",
        content=tone(20.0),
        sounds=[("speech", 1.0, 8.0), ("dog barking", 5.0, 6.0)],
    )


def opened(page, known, fragment=""):
    page.open(f"/recordings/{known.id}{fragment}")
    page.sees("#transcript[data-ready]")
    page.until("document.querySelector('#player').readyState >= 1")
    page.run(f"document.querySelector('#player').playbackRate = {SLOWEST_RATE}")
    return page


def at_about(page, seconds):
    place = "document.querySelector('#player').currentTime"
    return page.until(f"{place} >= {seconds - 0.01} && {place} < {seconds + 1}")


def starts(word):
    return 1.0 + TEXT.split().index(word) / 2


@pytest.mark.parametrize("word", ["witness", "bark", "laughed"])
def test_click_on_a_word_plays_from_there(page, heard, word):
    opened(page, heard)

    page.sees(".w", word).click()

    assert at_about(page, starts(word))
    assert page.sees(".w[aria-current]").text == word


def test_word_follows_the_sound(page, heard):
    opened(page, heard)

    page.run("document.querySelector('#player').currentTime = arguments[0]", starts("door") + 0.1)

    assert page.sees(".w[aria-current]", "door")
    assert page.sees("li.now")


def test_nothing_is_marked_where_nobody_speaks(page, heard):
    opened(page, heard)
    page.sees(".w", "door").click()
    page.sees(".w[aria-current]", "door")

    page.run("document.querySelector('#player').currentTime = 19")

    assert page.until("!document.querySelector('.w[aria-current]')")


def test_transcript_is_walked_by_keys(page, heard):
    """One stop of the Tab key; arrows between words; Enter plays."""
    opened(page, heard)
    assert page.run("return document.querySelectorAll('#transcript [tabindex=\"0\"]').length") == 1
    page.run("document.querySelector('#transcript .at').focus()")

    page.press(*[Keys.ARROW_RIGHT] * 4, Keys.ARROW_LEFT, Keys.ENTER)

    assert page.focused("textContent") == TEXT.split()[2]
    assert at_about(page, starts(TEXT.split()[2]))


def test_address_leads_to_the_moment(page, heard):
    opened(page, heard, "#t=7.5")

    assert at_about(page, 7.5)


def test_hit_of_a_search_leads_to_its_moment(page, store):
    store.done("zeppelin.wav", content=tone(20.0), spoken=[(12.0, "a zeppelin passed")])
    page.open("/")

    page.sees("#q").send_keys("zeppelin", Keys.ENTER)
    page.sees(".hits a", "zeppelin").click()

    page.sees("#transcript[data-ready]")
    assert at_about(page, 12.0)


def test_sound_events_play_from_their_place(page, heard):
    opened(page, heard)
    page.sees("#sound-list summary").click()

    page.sees("#sound-list a", "0:05").click()

    assert at_about(page, 5.0)
    assert float(page.sees(".line .head").get_attribute("x1")) > 0


def test_time_line_plays_where_it_is_clicked(page, heard):
    opened(page, heard)

    page.sees(".line").click()  # in its middle

    assert at_about(page, 10.0)


def test_file_that_cannot_be_played_is_said(page, store):
    known = store.done("odd.wav", content=b"this is no sound")

    page.open(f"/recordings/{known.id}")

    assert page.until("!document.querySelector('#unplayable').hidden")


def deliver(store) -> None:
    """What local/ and the function do: each announced upload becomes a recording."""
    parts = store.parts
    for pending in parts.uploads.events():
        parts.uploads.event_sent(pending)
        wiring.intake(parts)(pending.event)


def only_new_uploads(store) -> None:
    store.parts.uploads.event_sent(*store.parts.uploads.events())


def wav(path, seconds=1.0):
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, 8_000, 0, "NONE", ""))
        out.writeframes(bytes(int(16_000 * seconds)))
    return path


def test_chosen_file_is_uploaded_and_appears_without_reload(page, store, tmp_path):
    only_new_uploads(store)
    page.open("/")
    page.run("window.untouched = true")

    page.sees("#files").send_keys(str(wav(tmp_path / "chosen & <b>.wav")))
    page.sees(".upload", "uploaded")
    deliver(store)

    assert page.sees("tr .name", "chosen & <b>.wav")
    assert page.run("return window.untouched")


DROP = """
const carried = new DataTransfer();
carried.items.add(new File([new Uint8Array(arguments[0])], "dropped.wav", {type: "audio/wav"}));
for (const type of ["dragover", "drop"]) {
  document.body.dispatchEvent(new DragEvent(type, {dataTransfer: carried, bubbles: true,
                                                   cancelable: true}));
}
"""


def test_dropped_file_is_uploaded_and_appears(page, store, tmp_path):
    only_new_uploads(store)
    content = wav(tmp_path / "x.wav").read_bytes()
    page.open("/")

    page.run(DROP, list(content))
    page.sees(".upload", "uploaded")
    (pending,) = store.parts.uploads.events()
    deliver(store)

    assert page.sees("tr .name", "dropped.wav")
    assert store.parts.uploads.read(pending.event.name, 1, 0, 99_999) == content


def test_page_shows_where_to_let_go(page):
    page.open("/")

    page.run(DROP.replace('["dragover", "drop"]', '["dragover"]'), [0])
    assert page.until("!document.querySelector('#drop').hidden")
    page.run("window.dispatchEvent(new DragEvent('dragleave'))")

    assert page.until("document.querySelector('#drop').hidden")


def test_refused_upload_says_why(page, tmp_path):
    page.open("/")
    page.run("document.querySelector('#files').dataset.tenant = 'nobody'")

    page.sees("#files").send_keys(str(wav(tmp_path / "a.wav")))

    assert page.sees(".upload.failed", "No tenant has this name.")
    page.sees(".upload.failed button", "Dismiss").click()
    assert page.until("document.querySelector('#uploads').hidden")
    assert "No tenant has this name." in page.sees("#say", "a.wav").get_property("textContent")
    assert all("404" in message for message in page.errors())


def test_states_change_without_reload_and_are_announced(page, store):
    lease = store.leased("live.wav")
    page.open("/")
    row = f"#r-{lease.recording.id}"
    page.sees(row, "Listening")

    store.parts.jobs.checkpoint(lease, [], 0.66, store.at)
    page.sees(f"{row} progress[value='66']")
    store.parts.jobs.hand_over(lease, store.at)

    assert page.sees(row, "Waiting")
    assert page.sees("#say", "live.wav: Waiting")


def test_freshness_keeps_focus_and_place(page, store):
    first = store.received("focus.wav")
    page.size(400, 500)
    page.open("/")
    page.sees(f"#r-{first.id} a")
    page.run("document.querySelector(arguments[0]).focus()", f"#r-{first.id} a")
    page.run("scrollTo({top: 40, behavior: 'instant'})")

    newest = store.received("newer.wav")
    page.sees(f"#r-{newest.id}")

    assert page.focused("href").endswith(first.id)
    assert page.run("return scrollY") > 0


def test_recording_page_becomes_done_without_reload(page, store):
    lease = store.leased("soon.wav", content=tone(5.0))
    page.open(f"/recordings/{lease.recording.id}")
    page.sees("#notice", "Listening")

    store.finish(lease, [(0.5, "done at last")])

    page.sees("#transcript[data-ready]")
    assert page.sees(".w", "last")
    assert not page.driver.find_elements(By.CSS_SELECTOR, "#notice")


def test_dead_recording_is_replayed_by_its_button(page, store):
    dead = store.dead("replay-me.wav")
    page.open(f"/recordings/{dead.id}")

    page.sees("#replay").click()

    page.sees("#notice", "Waiting")
    assert store.known(dead.id).state == "queued"


def test_dead_recording_is_discarded_after_asking(page, store):
    dead = store.dead("discard-me.wav")
    page.open(f"/recordings/{dead.id}")
    assert not page.sees("#discard").is_displayed()

    page.sees("#discarding summary").click()
    page.sees("#discard").click()  # the browser itself asks for the reason
    assert store.parts.jobs.dead()[0].id == dead.id
    page.sees("#why").send_keys("a test tone")
    page.sees("#discard").click()

    page.sees("#notice", "taken off the list")
    assert store.parts.recordings.history(dead.id)[-1].reason == "discarded: a test tone"
    assert dead.id not in [known.id for known in store.parts.jobs.dead()]


def test_a_letter_is_found_read_and_discarded_by_keys_on_a_telephone(page, store):
    """From the list by Tab and Enter alone, 400 pixels wide."""
    dead = store.dead("by-keys.wav")
    page.size(400, 700)
    page.open("/dead-letters")
    page.sees(f"#r-{dead.id}", "decoder_died")

    walk(page, "href", dead.id)
    page.press(Keys.ENTER)
    page.sees("#attempts", "1 attempt")
    page.sees("#attempts li", "worker-1")
    walk(page, "parentElement.id", "discarding")
    page.press(Keys.ENTER)
    walk(page, "id", "why")
    page.press("n", "o", "i", "s", "e", Keys.ENTER)

    page.sees("#notice", "by page, discarded: noise")
    page.open("/dead-letters")
    assert not page.driver.find_elements(By.ID, f"r-{dead.id}")


def walk(page, what, wanted):
    """Tab until the focused element says `wanted`; a person would give up, too."""
    for _ in range(40):
        page.press(Keys.TAB)
        if wanted in str(page.focused(what)):
            return
    raise AssertionError(f"{wanted} is not reached by keys")


def test_page_is_walked_by_keys(page, store):
    """Skip link first; Tab reaches search, files and the newest recording; Enter opens it."""
    known = store.received("by-keyboard.wav")
    page.open("/")
    page.sees(f"#r-{known.id}")

    page.press(Keys.TAB)
    assert page.focused("className") == "skip"
    page.press(Keys.ENTER)
    assert page.focused("id") == "main"
    reached = []
    while f"/recordings/{known.id}" not in reached and len(reached) < 30:
        page.press(Keys.TAB)
        reached.append(page.run("return document.activeElement.pathname ?? ''"))
    page.press(Keys.ENTER)

    assert page.sees("#title", "by-keyboard.wav")


def test_search_and_files_are_reached_by_keys(page):
    page.open("/")

    ids = []
    for _ in range(4):
        page.press(Keys.TAB)
        ids.append(page.focused("id"))

    assert ids[2:] == ["q", "files"]


SPOKEN = [(1.0, "the witness herd a dog"), (4.0, "it barked twice")]


@pytest.mark.parametrize("width", [400, 1280])
def test_a_passage_is_corrected_in_place_and_the_original_stays(page, store, width):
    known = store.done(f"corrected-{width}.wav", spoken=SPOKEN)
    page.size(width)
    opened(page, known)

    page.sees("li[data-n='0'] .correct").click()
    field = page.sees(".correcting textarea")
    assert page.focused("name") == "text"
    assert field.get_property("value") == SPOKEN[0][1]
    inner, scroll = page.run("return [innerWidth, document.documentElement.scrollWidth]")
    field.clear()
    field.send_keys("the witness heard a dog")
    page.sees(".correcting .primary").click()

    page.sees("li[data-n='0'] > p", "the witness heard a dog")
    page.sees(".who", "Corrected by").find_element(By.TAG_NAME, "summary").click()
    assert page.sees(".heard", SPOKEN[0][1]).is_displayed()
    assert page.until("location.hash") == "#t=1.00"
    page.until("document.querySelectorAll('li[data-n=\"1\"] .w').length === 3")
    assert page.run("return document.querySelectorAll('li[data-n=\"0\"] .w').length") == 0
    assert scroll <= inner


def test_a_correction_is_reached_and_left_by_keys(page, store):
    known = store.done("keys-corrected.wav", spoken=[(1.0, "one two")])
    opened(page, known)
    page.until("document.querySelector('.w')")

    page.run("document.querySelector('#transcript .at').focus()")
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert page.focused("className") == "correct"
    page.press(Keys.ENTER)
    assert page.focused("name") == "text"
    page.press(Keys.ESCAPE)

    assert page.focused("className") == "correct"
    assert page.run("return document.querySelector('.correcting')") is None


def test_all_is_confirmed_by_one_button(page, store):
    known = store.done("confirmed.wav", spoken=SPOKEN)
    opened(page, known)

    page.sees("#confirm", "All of it is right").click()

    page.sees("#checked", "A person checked all of it.")
    assert len(page.driver.find_elements(By.CSS_SELECTOR, ".who")) == 2


@pytest.mark.parametrize("scheme", [LIGHT, DARK])
@pytest.mark.parametrize("width", [400, 820, 1280])
def test_no_page_scrolls_sideways(page, store, heard, width, scheme):
    store.rejected("a-very-long-name-" + "x" * 200 + ".wav", message="long " * 60 + "y" * 200)
    dead = store.dead("dead.wav")
    page.size(width, scheme=scheme)

    one = ("/", "/?state=dead", "/dead-letters", "/?q=dog", "/none")
    for path in (*one, f"/recordings/{heard.id}", f"/recordings/{dead.id}"):
        page.open(path)
        inner, scroll = page.run("return [innerWidth, document.documentElement.scrollWidth]")
        assert scroll <= inner, path
    assert all("404" in message for message in page.errors())


def test_colours_follow_the_readers_wish(page):
    grounds = []
    for scheme in (LIGHT, DARK):
        page.size(1280, scheme=scheme)
        page.open("/")
        grounds.append(page.run("return getComputedStyle(document.body).backgroundColor"))

    assert len(set(grounds)) == 2


def test_three_hours_do_not_choke_the_page(page, store):
    """20,790 words: only passages near the eye are taken apart into words."""
    passage = " ".join(f"word{n}" for n in range(27))
    known = store.done("long.wav", spoken=[(n * 14.0, passage) for n in range(770)])

    opened(page, known)

    assert page.run("return document.querySelectorAll('li[data-n]').length") == 770
    assert page.run("return document.querySelectorAll('.w').length") < 3_000
    last = "document.querySelector('[data-n=\"769\"]')"
    page.run(f"{last}.scrollIntoView({{behavior: 'instant'}})")
    assert page.until(f"{last}.dataset.filled === ''")


def test_hostile_names_and_words_run_nothing(page, store):
    evil = "<img src=x onerror='window.owned = true'>"
    known = store.done("evil.wav", shown=evil, spoken=[(0.0, f"hello {evil}")])

    for path in ("/", "/?q=hello", f"/recordings/{known.id}"):
        page.open(path)
        if path == "/":  # the fragment is put in place too
            page.sees(f"#r-{store.received('stir.wav').id}")
        assert not page.run("return window.owned")


def test_headings_go_down_by_one(page, heard):
    for path in ("/", f"/recordings/{heard.id}"):
        page.open(path)
        levels = page.run(
            "return [...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])"
        )

        assert levels[0] == 1
        assert all(b - a <= 1 for a, b in pairwise(levels))
