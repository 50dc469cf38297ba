"""One attempt against real servers: what is sent, what counts, and where nobody is sent."""

import json
import re
import socket
import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from shared.adapters.pinned_posts import PinnedPosts
from shared.adapters.standard_webhooks import StandardWebhooks
from shared.domain.webhooks import Fault, Reply, delivery, new_secret
from tests import endpoints
from tests.builders import happening, webhook
from tests.endpoints import PATIENCE_S, Endpoint, answers, certificate

ROOT = Path(__file__).parents[2]
NAME = "hooks.example.com"
#: Any address that is everybody's.
PUBLIC = "93.184.216.34"


class Names:
    """A resolver that gives its answers in turn, then the last one again, and counts."""

    def __init__(self, *found):
        self._found, self.asked = list(found), []

    def __call__(self, host, port):
        self.asked.append(host)
        return self._found.pop(0) if len(self._found) > 1 else self._found[0]


class Wire:
    """Leads every connection to one local port, and remembers where it was to go."""

    def __init__(self, port):
        self._port, self.asked = port, []

    def __call__(self, address, timeout):
        self.asked.append(address)
        return socket.create_connection(("127.0.0.1", self._port), timeout)


def trusting(path):
    return lambda: ssl.create_default_context(cafile=path)


def posted(url, posts=None):
    return (posts or PinnedPosts(private=True)).post(url, {"a": "b"}, b"body")


# --- what is sent ---------------------------------------------------------------------------------


def test_the_library_verifies_what_arrives():
    with Endpoint() as endpoint:
        hook, now = webhook(url=endpoint.url(path="/hook?q=1")), datetime.now(UTC)
        made = delivery(hook, happening(), now, 60.0)

        reply = StandardWebhooks(PinnedPosts(private=True).post).send(hook, made, now)

        first, headers, body = endpoint.take()
    told = Verifier(hook.secret).verify(body, headers)
    assert (reply, first) == (Reply(204), "POST /hook?q=1 HTTP/1.1")
    assert headers["webhook-id"] == made.event_id == told["data"]["event_id"]
    assert headers["webhook-timestamp"] == str(int(now.timestamp()))
    assert headers["content-type"] == "application/json"
    assert body.decode() == made.body
    assert told == {
        "type": "recording.done",
        "timestamp": "2026-03-01T12:00:00Z",
        "data": {
            "recording_id": "rec00001",
            "tenant": "acme",
            "event_id": made.event_id,
            "seq": 3,
        },
    }
    with pytest.raises(WebhookVerificationError):
        Verifier(new_secret(b"another" * 4)).verify(body, headers)


def test_the_page_for_receivers_verifies_what_arrives():
    """What docs/webhooks.md shows is what it says."""
    page = (ROOT / "docs/webhooks.md").read_text(encoding="utf-8")
    [program] = re.findall(r"^```py\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec(program, names)  # it is ours
    with Endpoint() as endpoint:
        hook, now = webhook(url=endpoint.url()), datetime.now(UTC)
        made = delivery(hook, happening(), now, 60.0)
        StandardWebhooks(PinnedPosts(private=True).post).send(hook, made, now)
        _, headers, body = endpoint.take()

    assert names["happened"](hook.secret, headers, body) == json.loads(made.body)
    assert names["happened"](new_secret(b"x" * 32), headers, body) is None


def test_while_a_secret_is_changed_both_verify():
    now = datetime.now(UTC)
    old, new = webhook().secret, new_secret(b"x" * 32)
    hook = webhook(secret=new, old_secret=old, old_until=now.replace(year=now.year + 1))
    made = delivery(hook, happening(), now, 60.0)
    with Endpoint() as endpoint:
        hook_there = webhook(
            url=endpoint.url(), secret=new, old_secret=old, old_until=hook.old_until
        )
        StandardWebhooks(PinnedPosts(private=True).post).send(hook_there, made, now)
        _, headers, body = endpoint.take()

    for secret in (old, new):
        assert Verifier(secret).verify(json.dumps(json.loads(body), separators=(",", ":")), headers)


def test_tls_and_host_speak_to_the_name_and_the_line_goes_to_its_address(tmp_path):
    path = certificate(tmp_path, NAME)
    with Endpoint(certificate=path) as endpoint:
        names, wire = Names([PUBLIC]), Wire(endpoint.port)
        posts = PinnedPosts(resolve=names, connect=wire, trust=trusting(path))

        reply = posted(f"https://{NAME}/hook", posts)

        assert reply == Reply(204)
        assert (names.asked, wire.asked) == ([NAME], [(PUBLIC, 443)])
        assert endpoint.names.get(timeout=PATIENCE_S) == NAME
        assert endpoint.take()[1]["host"] == NAME


@pytest.mark.parametrize("named", [NAME, "another.example.com"], ids=["nobody's", "another's"])
def test_a_certificate_that_does_not_stand_is_not_spoken_to(tmp_path, named):
    path = certificate(tmp_path, named)
    trust = ssl.create_default_context if named == NAME else trusting(path)
    with Endpoint(certificate=path) as endpoint:
        posts = PinnedPosts(resolve=Names([PUBLIC]), connect=Wire(endpoint.port), trust=trust)

        assert posted(f"https://{NAME}/hook", posts) == Reply(fault=Fault.NOT_TRUSTED)
        assert endpoint.requests.empty()


# --- what counts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 299, 300, 400, 410, 500])
def test_the_status_is_all_that_is_kept(status):
    with Endpoint(said=[answers(status)]) as endpoint:
        reply = posted(endpoint.url())

    assert reply == Reply(status)
    assert reply.accepted is (status < 300)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status):
    with Endpoint() as behind:
        with Endpoint(said=[answers(status, location=behind.url())]) as endpoint:
            reply = posted(endpoint.url())

        assert (reply, reply.accepted) == (Reply(status), False)
        assert behind.requests.empty()


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        ("120", 120.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT\r\nDate: Fri, 31 Dec 1999 23:59:50 GMT", 9.0),
        ("soon", 0.0),
        ("9" * 5_000, 0.0),
        ("-1", 0.0),
    ],
    ids=ascii,
)
def test_when_to_ask_again_is_taken_from_the_answer(said, wait_s):
    with Endpoint(said=[answers(429, retry_after=said)]) as endpoint:
        assert posted(endpoint.url()) == Reply(429, retry_after_s=wait_s)


def test_no_proxy_is_taken_from_the_environment(monkeypatch):
    with Endpoint() as proxy, Endpoint() as endpoint:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(path=""))

        assert posted(endpoint.url()) == Reply(204)
        assert proxy.requests.empty()


@pytest.mark.parametrize(
    "speak", [endpoints.drips, endpoints.silent, endpoints.mute], ids=lambda s: s.__name__
)
def test_an_endpoint_that_takes_for_ever_is_left(speak):
    with Endpoint(speak) as endpoint:
        posts = PinnedPosts(private=True, whole_s=0.2)

        assert posted(endpoint.url(), posts) == Reply(fault=Fault.TIMED_OUT)


def test_a_handshake_that_takes_for_ever_is_left():
    with Endpoint(endpoints.mute) as endpoint:
        posts = PinnedPosts(private=True, whole_s=0.2)

        reply = posted(endpoint.url(scheme="https"), posts)

    assert reply == Reply(fault=Fault.TIMED_OUT)


def test_a_resolver_that_takes_for_ever_is_left():
    asleep = threading.Event()
    posts = PinnedPosts(resolve=lambda *_: asleep.wait(PATIENCE_S) or [PUBLIC], whole_s=0.2)

    assert posted(f"https://{NAME}/", posts) == Reply(fault=Fault.TIMED_OUT)
    asleep.set()


def test_an_answer_without_end_counts_by_its_status():
    with Endpoint(endpoints.endless) as endpoint:
        assert posted(endpoint.url()) == Reply(200)


def test_an_endpoint_that_hangs_up_was_not_reached():
    with Endpoint(endpoints.hangs_up) as endpoint:
        assert posted(endpoint.url()) == Reply(fault=Fault.UNREACHABLE)


def test_a_port_that_nobody_listens_on_was_not_reached():
    with Endpoint() as endpoint:
        url = endpoint.url()

    assert posted(url) == Reply(fault=Fault.UNREACHABLE)


def test_what_is_no_http_was_not_reached():
    with Endpoint(said=[b"SSH-2.0-OpenSSH\r\n\r\n"]) as endpoint:
        assert posted(endpoint.url()) == Reply(fault=Fault.UNREACHABLE)


def nobody(host, port):
    raise socket.gaierror(socket.EAI_NONAME, "no such name")


@pytest.mark.parametrize("resolve", [nobody, Names([])], ids=["no such name", "no address"])
def test_a_name_that_leads_nowhere_is_said(resolve):
    posts = PinnedPosts(resolve=resolve)

    assert posted(f"https://{NAME}/", posts) == Reply(fault=Fault.UNKNOWN_HOST)


# --- where nobody is sent -------------------------------------------------------------------------

INSIDE = (
    *("127.0.0.1", "10.0.0.7", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1", "fe80::1%eth0"),
    *("fd00:ec2::254", "::ffff:10.0.0.7", "64:ff9b::a00:7", "2002:a00:7::1"),
)


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("beside", [(), (PUBLIC,)], ids=["alone", "behind a public one"])
def test_a_name_with_an_address_inside_is_not_called(inside, beside):
    with Endpoint() as endpoint:
        wire = Wire(endpoint.port)
        posts = PinnedPosts(resolve=Names([*beside, inside]), connect=wire)

        assert posted(f"https://{NAME}/", posts) == Reply(fault=Fault.ADDRESS_REFUSED)
        assert wire.asked == []


def test_a_name_that_leads_elsewhere_a_moment_later_leads_nobody_there(tmp_path):
    """DNS rebinding: the second answer would be this machine. Nobody asks for it."""
    path = certificate(tmp_path, NAME)
    with Endpoint(certificate=path) as endpoint:
        names, wire = Names([PUBLIC], ["127.0.0.1"]), Wire(endpoint.port)
        posts = PinnedPosts(resolve=names, connect=wire, trust=trusting(path))

        first = posted(f"https://{NAME}/hook", posts)
        second = posted(f"https://{NAME}/hook", posts)

    assert (first, second) == (Reply(204), Reply(fault=Fault.ADDRESS_REFUSED))
    assert wire.asked == [(PUBLIC, 443)]


def test_the_line_goes_to_the_address_that_was_judged():
    """Over the system's own sockets: two servers on one port, the second answer names the other."""
    with Endpoint() as judged, Endpoint(host="127.0.0.2", port=judged.port) as other:
        posts = PinnedPosts(private=True, resolve=Names(["127.0.0.1"], ["127.0.0.2"]))

        assert posted(judged.url("hooks.test"), posts) == Reply(204)
        assert judged.take()[1]["host"] == f"hooks.test:{judged.port}"
        assert other.requests.empty()


def test_the_next_address_is_tried_where_one_does_not_answer():
    with Endpoint() as endpoint, Endpoint(host="127.0.0.2") as gone:
        pass
    with Endpoint(host="127.0.0.2", port=gone.port) as there:
        posts = PinnedPosts(private=True, resolve=Names(["127.0.0.1", "127.0.0.2"]))

        assert posted(there.url("hooks.test"), posts) == Reply(204)
    assert endpoint.requests.empty()


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "https://127.0.0.1/",
        "https://user@hooks.example.com/",
        "https://2130706433/",
        "file:///etc/passwd",
    ],
)
def test_what_the_rules_refuse_today_is_not_called(url):
    wire = Wire(0)
    posts = PinnedPosts(resolve=Names([PUBLIC]), connect=wire)

    assert posted(url, posts) == Reply(fault=Fault.ADDRESS_REFUSED)
    assert wire.asked == []


def test_without_tls_nothing_leaves_the_house():
    wire = Wire(0)
    posts = PinnedPosts(private=True, resolve=Names([PUBLIC]), connect=wire)

    assert posted(f"http://{NAME}/", posts) == Reply(fault=Fault.ADDRESS_REFUSED)
    assert wire.asked == []


@pytest.mark.parametrize("inside", ["169.254.169.254", "100.64.0.1", "fd00:ec2::254", "0.0.0.0"])
def test_ones_own_house_has_no_metadata_server(inside):
    wire = Wire(0)
    posts = PinnedPosts(private=True, resolve=Names([inside]), connect=wire)

    assert posted("http://house.test/", posts) == Reply(fault=Fault.ADDRESS_REFUSED)
    assert wire.asked == []
