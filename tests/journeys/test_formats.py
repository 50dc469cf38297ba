"""One running stack and a full inbox: every format that is heard, strange names, bad input."""

import io
import json
import subprocess
import urllib.request

import numpy as np
import pytest

from shared.domain.names import display, recording_id
from shared.domain.states import State
from tests.decoding.media import Media, film_without_sound, wav
from tests.decoding.test_bombs import silent_opus
from tests.journeys.running import EARWITNESS, ECHO, Up, until
from tests.sounds import speech

FASTSTART = (("movflags", "faststart"),)
#: File name -> what is in it, and container and codec the result must name.
HEARD = {
    "pcm8.wav": (Media("wav", "pcm_u8"), "wav", "pcm_u8"),
    "pcm16.wav": (Media("wav", "pcm_s16le"), "wav", "pcm_s16le"),
    "pcm24.wav": (Media("wav", "pcm_s24le", rate=44_100), "wav", "pcm_s24le"),
    "pcm32.wav": (Media("wav", "pcm_s32le"), "wav", "pcm_s32le"),
    "float.wav": (Media("wav", "pcm_f32le"), "wav", "pcm_f32le"),
    "mulaw.wav": (Media("wav", "pcm_mulaw", rate=8_000), "wav", "pcm_mulaw"),
    "alaw.wav": (Media("wav", "pcm_alaw", rate=8_000), "wav", "pcm_alaw"),
    "stereo.wav": (Media("wav", "pcm_s16le", channels=2), "wav", "pcm_s16le"),
    "8-kHz.wav": (Media("wav", "pcm_s16le", rate=8_000), "wav", "pcm_s16le"),
    "96-kHz-24.wav": (Media("wav", "pcm_s24le", rate=96_000, channels=2), "wav", "pcm_s24le"),
    "sound.flac": (Media("flac", "flac", rate=44_100), "flac", "flac"),
    "sound.mp3": (Media("mp3", "libmp3lame", rate=44_100), "mp3", "mp3"),
    "vorbis.ogg": (Media("ogg", "vorbis", rate=44_100, channels=2), "ogg", "vorbis"),
    "opus.ogg": (Media("ogg", "libopus", rate=48_000), "ogg", "opus"),
    "aac.m4a": (Media("ipod", "aac", rate=44_100), "mp4", "aac"),
    "opus.webm": (Media("webm", "libopus", rate=48_000), "webm", "opus"),
    "sound.aiff": (Media("aiff", "pcm_s16be", rate=44_100), "aiff", "pcm_s16be"),
    "film.mp4": (Media("mp4", "aac", rate=44_100, video=True), "mp4", "aac"),
    "film.mov": (Media("mov", "aac", rate=48_000, video=True), "mov", "aac"),
    "film.mkv": (Media("matroska", "ac3", rate=48_000, video=True), "matroska", "ac3"),
    "a-flac-by-mistake.mp3": (Media("flac", "flac"), "flac", "flac"),
    "an-mp3-by-mistake.wav": (Media("mp3", "libmp3lame", rate=44_100), "mp3", "mp3"),
    "no-extension": (Media("ogg", "libopus", rate=48_000), "ogg", "opus"),
}
WHOLE_S = 2.0

#: Four seconds each, of which the last three eighths are missing.
CUT = {
    "cut.wav": Media("wav", "pcm_s16le", seconds=4),
    "cut.flac": Media("flac", "flac", seconds=4),
    "cut.mp3": Media("mp3", "libmp3lame", rate=44_100, seconds=4),
    "cut.ogg": Media("ogg", "libopus", rate=48_000, seconds=4),
    "cut.m4a": Media("ipod", "aac", rate=44_100, seconds=4, options=FASTSTART),
    "cut.webm": Media("webm", "libopus", rate=48_000, seconds=4),
}

#: S3: names a file system takes and a careless program does not. Each holds another sound, so
#: that one that lands under the name of another is found out.
NAMES = {
    "newline": "two\nlines.wav",
    "carriage-return": "over\rwritten.wav",
    "escape-sequence": "\x1b[31mred\x1b[0m.wav",
    "right-to-left": "evil\u202evaw.exe.wav",
    "zero-width": "in\u200bvisible.wav",
    "emoji": "🎙️ naïve café 录音.wav",
    "hash": "take#2.wav",
    "query": "what?a=1&b=2%20%2F.wav",
    "glob": "[]*?{a,b}!~.wav",
    "composed": "caf\u00e9.wav",
    "decomposed": "cafe\u0301.wav",
    "dash": "-rf.wav",
    "option": "--help.wav",
    "quotes": 'it\'s "quoted" `whoami` $(id) ;&|.wav',
    "backslash": "C:\\temp\\..\\up.wav",
    "escape-that-is-none": "evil\\u202evaw.exe.wav",
    "script": "<script>alert(1)<script>.wav",
    "formula": "=cmd|' calc'!A0.wav",
    "dots": "a..b....wav",
    "blanks": "  leading and trailing  ",
    "255-bytes": "x" * 251 + ".wav",
    "255-bytes-wide": "语" * 83 + "ab.wav",
}

PCM = wav(bytes(32_000))
#: File name -> content and code. None of them is heard, none tried twice.
BAD = {
    "film-without-sound.mp4": (film_without_sound(), "no_audio_track"),
    "adpcm.wav": (Media("wav", "adpcm_ms", rate=22_050).data(), "unsupported_audio"),
    "9-channels.wav": (wav(bytes(90_000), channels=9), "unusual_signal"),
    "3999-Hz.wav": (wav(bytes(32_000), rate=3_999), "unusual_signal"),
    "384001-Hz.wav": (wav(bytes(32_000), rate=384_001), "unusual_signal"),
    "size-swallows-all.wav": (
        PCM[:12] + b"LIST\x00\x00\x00\x40" + PCM[12:],
        "damaged_audio",
    ),
    "nothing-behind-the-header.wav": (PCM[:44], "damaged_audio"),
    "bomb.opus": (silent_opus(2.0), "audio_too_long"),
    "stream.wav": (
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=audio 9 RTP/AVP 0\r\n",
        "references_elsewhere",
    ),
}
TINY_BYTES = 1_000


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    """Everything is dropped at once and heard when the first test begins."""
    running = Up(tmp_path_factory.mktemp("formats") / "home", EARWITNESS_MAX_SECONDS="300", **ECHO)
    running.start()
    earwitness(running, "tenants", "set", "tiny", "--max-bytes", str(TINY_BYTES))
    before = len(running.recordings())
    full = inbox()
    for name, content in full.items():
        drop(running, name, content)
    running.until_terminal(before + len(full))
    yield running
    running.end()


def inbox():
    sounds = {name: media.data() for name, (media, _, _) in HEARD.items()}
    sounds |= {name: (whole := media.data())[: len(whole) * 5 // 8] for name, media in CUT.items()}
    sounds |= {name: numbered(n) for n, name in enumerate(NAMES.values())}
    sounds |= {name: content for name, (content, _) in BAD.items()}
    at_limit = wav(bytes(TINY_BYTES - 44))
    return sounds | {"tiny/fits.wav": at_limit, "tiny/too-large.wav": at_limit + b"\0"}


def numbered(n):
    """A sound whose length tells which one it is."""
    return wav(bytes(2 * (8_000 + 160 * n)))


def drop(up, name, content):
    """As `Up.drop`, for names that leave no room for an ending."""
    aside, target = up.home / "aside", up.inbox / name
    aside.write_bytes(content)
    target.parent.mkdir(exist_ok=True)
    aside.rename(target)


def earwitness(up, *words):
    return subprocess.run(
        [EARWITNESS, *words],
        cwd=up.home,
        env=up.environment,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture(scope="module")
def known(up):
    return up.recordings()


def result(up, recording):
    return json.loads(up.parts.results.load(recording.result, "result.json"))


@pytest.mark.parametrize("name", HEARD)
def test_heard_whole_with_its_true_facts(up, known, name):
    media, container, codec = HEARD[name]

    heard = result(up, known[name])

    audio = heard["audio"]
    assert known[name].state is State.DONE
    assert heard["warnings"] == []
    assert (audio["container"], audio["codec"]) == (container, codec)
    assert (audio["sample_rate_hz"], audio["channels"]) == (media.rate, media.channels)
    assert audio["duration_s"] == pytest.approx(WHOLE_S, abs=0.08)  # codecs pad to whole frames
    assert known[name].seconds == audio["duration_s"]


@pytest.mark.parametrize("name", CUT)
def test_cut_tail_is_heard_as_far_as_it_goes_and_said(up, known, name):
    heard = result(up, known[name])

    assert known[name].state is State.DONE
    assert [w["code"] for w in heard["warnings"]] == ["cut_short"]
    assert 1.0 < heard["audio"]["duration_s"] < 3.9


@pytest.mark.parametrize("place", range(len(NAMES)), ids=NAMES)
def test_strange_name_is_heard_as_itself(up, known, place):
    name = list(NAMES.values())[place]

    heard = result(up, known[name])

    assert heard["recording"]["name"] == name
    assert heard["audio"]["duration_s"] == pytest.approx(0.5 + 0.01 * place)


def test_ls_shows_each_strange_name_once_on_a_line_of_its_own(up, known):
    listed = earwitness(up, "ls", "--limit", "1000")

    lines = listed.stdout.split("\n")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert all(line.isprintable() for line in lines)
    assert len(lines) == 1 + len(known) + 1  # the heading, and the end of the last line
    for name in NAMES.values():
        assert sum(line.endswith(f"demo      {display(name)}") for line in lines) == 1


def test_json_of_ls_gives_names_back_exactly(up, known):
    listed = json.loads(earwitness(up, "ls", "--limit", "1000", "--json").stdout)

    names = [r["recording"]["name"] for r in listed["recordings"]]
    assert sorted(names) == sorted(known)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_page_never_takes_a_name_for_markup(up, known, name):
    url = f"{up.note()['url']}/recordings/{known[name].id}"
    page = urllib.request.urlopen(url).read().decode()

    assert "<script>alert" not in page
    assert not set(page) & set("\x1b\u202e\u200b\r")


def test_a_file_named_like_an_option_is_heard_behind_two_dashes(up):
    heard = subprocess.run(
        [EARWITNESS, "hear", "--json", "--", "-rf.wav", "--help.wav"],
        cwd=up.inbox,
        env=up.environment,
        capture_output=True,
        text=True,
        timeout=240,
    )

    names = [r["recording"]["name"] for r in json.loads(heard.stdout)["recordings"]]
    assert (heard.returncode, names) == (0, ["-rf.wav", "--help.wav"])


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_once_and_left_as_it_was(up, known, name):
    content, code = BAD[name]
    refused = known[name]

    history = [moved.state for moved in up.parts.recordings.history(refused.id)]

    assert (refused.state, refused.error.code) == (State.REJECTED, code)
    assert refused.error.message.endswith(".")
    assert refused.attempts <= 1
    assert history.count(State.PROCESSING) <= 1
    assert history[-1] is State.REJECTED
    assert (up.inbox / name).read_bytes() == content
    with up.parts.uploads.fetch(refused.name, refused.generation) as kept:
        assert kept.file.read() == content


def test_size_is_judged_on_both_sides_of_the_tenants_limit(known):
    assert known["fits.wav"].state is State.DONE
    assert known["too-large.wav"].error.code == "audio_too_large"


def test_hear_leaves_with_4_and_says_each_refusal_and_its_way_out(up):
    paths = [up.inbox / name for name in BAD]

    heard = earwitness(up, "hear", "--json", *map(str, paths))

    said = json.loads(heard.stdout)["recordings"]
    assert heard.returncode == 4
    assert [r["error"]["code"] for r in said] == [code for _, code in BAD.values()]
    for refused in said:
        name = refused["recording"]["name"]
        assert f"{name}: rejected: {refused['error']['message']}" in heard.stderr


def test_hear_prints_nothing_of_what_is_refused_for_its_size(up):
    heard = earwitness(up, "hear", str(up.inbox / "tiny/too-large.wav"), "--tenant", "tiny")

    assert (heard.returncode, heard.stdout) == (4, "")
    assert "1,001 bytes; the tier allows 1,000" in heard.stderr


def dialogue(left, right):
    """Two voices, one a channel, the second when the first has ended."""
    voices = [np.frombuffer(speech(text), "<i2", offset=44) for text in (left, right)]
    pair = np.zeros((2, voices[0].size + voices[1].size), "<i2")
    pair[0, : voices[0].size], pair[1, voices[0].size :] = voices
    return wav(pair.T.tobytes(), channels=2)


def hear_apart(up, name, content, **metadata):
    """Uploaded with the wish `channels=separate`, as an API client does."""
    upload = up.parts.inlet.put(
        f"uploads/demo/{name}",
        io.BytesIO(content),
        content_type="audio/wav",
        metadata={"channels": "separate"} | metadata,
        at=up.parts.now(),
    )
    id = recording_id(upload.bucket, upload.name, upload.generation)
    until(lambda: (r := up.parts.recordings.get(id)) and r.state in (State.DONE, State.DEAD))
    return result(up, up.parts.recordings.get(id))


def test_channels_kept_apart_are_named_in_the_result(up):
    heard = hear_apart(up, "call.wav", dialogue("I have a question.", "Here is the answer."))

    channels = [s["channel"] for s in heard["transcript"]["segments"]]
    assert heard["audio"]["channels"] == 2
    assert channels == [0, 1]


@pytest.mark.whisper
def test_each_side_of_a_call_says_its_own_sentence(up):
    heard = hear_apart(
        up,
        "agent-and-customer.wav",
        dialogue("The train to Dublin leaves at noon.", "My garden is full of red roses."),
        engine="whisper",
    )

    said = {s["channel"]: s["text"].lower() for s in heard["transcript"]["segments"]}
    assert "dublin" in said[0]
    assert "roses" in said[1]
