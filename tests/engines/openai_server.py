"""A local server of ours that speaks OpenAI's protocol, strictly, and fails when told to.

It checks what it gets against the real API: paths, the key, the multipart form of a
transcription and the JSON of a chat, with the parameters and formats that the models take.
"""

import base64
import io
import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import soundfile

RECORDINGS = Path(__file__).with_name("recordings")
KEY = "sk-local"


def recorded(name: str) -> bytes:
    return (RECORDINGS / f"{name}.json").read_bytes()


def refusal(code: str | None, message: str = "No.", kind: str = "invalid_request_error") -> bytes:
    """An error as OpenAI's API writes it."""
    said = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return json.dumps(said).encode()


@dataclass(frozen=True)
class Reply:
    """What is answered to one call."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    hang_up_after: int | None = None  #: bytes of the body, then the line is cut
    silent: bool = False  #: never answered: until the server stops or the client goes


@dataclass
class Call:
    """What a client sent, as the server understood it."""

    path: str
    fields: dict[str, Any]
    sound_s: float
    sound_format: str
    headers: dict[str, str] = field(default_factory=dict)  #: names in small letters


class OpenAiServer:
    """Answers recorded answers; `replies` are given out first, one a call."""

    def __init__(self, transcription: str = "transcription", chat: str = "description") -> None:
        self.answers = {
            "/v1/audio/transcriptions": Reply(recorded(transcription)),
            "/v1/chat/completions": Reply(recorded(chat)),
        }
        self.replies: deque[Reply] = deque()
        self.speak: Callable[[Call], Reply] | None = None  #: answers by what was sent
        self.calls: list[Call] = []
        self.refused: list[str] = []  #: what was wrong with calls the real API would refuse
        self.stopped = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> "OpenAiServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._http.shutdown()
        self._http.server_close()


def _handler(server: OpenAiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            reply = self._reply(body)
            if reply.silent:
                server.stopped.wait(30)
                return
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.body)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body[: reply.hang_up_after])
            self.close_connection = True

        def _reply(self, body: bytes) -> Reply:
            if self.headers.get("Authorization") != f"Bearer {KEY}":
                return Reply(refusal("invalid_api_key", f"Incorrect API key: {KEY}."), 401)
            try:
                call = understood(self.path, self.headers["Content-Type"], body)
            except (AssertionError, KeyError, ValueError) as wrong:
                server.refused.append(repr(wrong))
                return Reply(refusal(None, f"We do not take {wrong!r}."), 400)
            call.headers = {name.lower(): value for name, value in self.headers.items()}
            server.calls.append(call)
            if server.replies:
                return server.replies.popleft()
            return server.speak(call) if server.speak else server.answers[self.path]

        def log_message(self, *_: object) -> None:
            return

    return Handler


def understood(path: str, content_type: str, body: bytes) -> Call:
    """The call, if the real API would take it."""
    if path == "/v1/audio/transcriptions":
        return _transcription(path, content_type, body)
    assert path == "/v1/chat/completions", path
    return _chat(path, content_type, body)


#: What the client's own types name (openai.types.audio.TranscriptionCreateParams), less what
#: `gpt-transcribe` refuses.
_FIELDS = {"file", "model", "response_format", "languages", "keywords", "prompt", "temperature"}


def _transcription(path: str, content_type: str, body: bytes) -> Call:
    header = f"Content-Type: {content_type}\r\n\r\n".encode()
    form = message_from_bytes(header + body, policy=HTTP)
    assert form.get_content_type() == "multipart/form-data", content_type
    fields: dict[str, Any] = {}
    for part in form.iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        plain = name.removesuffix("[]")
        assert plain in _FIELDS, name
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        if name.endswith("[]"):
            fields.setdefault(plain, []).append(content.decode())
        else:
            fields[plain] = content if plain == "file" else content.decode()
        if plain == "file":
            assert (part.get_filename() or "").endswith(".flac"), part.get_filename()
            assert part.get_content_type() == "audio/flac", part.get_content_type()
    assert fields["model"], fields
    assert fields.get("response_format", "json") == "json", fields
    seconds, kind = _sound(fields.pop("file"))
    return Call(path, fields, seconds, kind)


def _chat(path: str, content_type: str, body: bytes) -> Call:
    assert content_type == "application/json", content_type
    said = json.loads(body)
    if said["model"].startswith("gpt-audio"):
        assert "response_format" not in said, "gpt-audio has no structured outputs"
    assert said["messages"][-1]["role"] == "user"
    [sound] = [
        part["input_audio"]
        for message in said["messages"]
        if isinstance(message["content"], list)
        for part in message["content"]
        if part["type"] == "input_audio"
    ]
    assert sound["format"] in ("wav", "mp3"), sound["format"]
    seconds, kind = _sound(base64.b64decode(sound["data"], validate=True))
    assert kind.lower() == sound["format"], kind
    return Call(path, said, seconds, kind)


def _sound(content: bytes) -> tuple[float, str]:
    assert len(content) <= 25_000_000, "25 MB at most"
    told = soundfile.info(io.BytesIO(content))
    assert told.duration <= 1_400, told.duration
    return told.duration, told.format
