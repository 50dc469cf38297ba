"""Kept connections, and what happens when the other side closes one."""

import socket
import threading

import pytest

from shared.adapters.embedded.posts import Posts
from tests.local.receiver import Receiver


def test_one_connection_carries_many_requests(receiver):
    posts = Posts(lambda: receiver.url, 5)

    statuses = [posts.send("/a/", {}, b"{}") for _ in range(3)]

    assert statuses == [204, 204, 204]
    assert receiver.connections == 1


def test_connection_closed_by_the_other_side_is_replaced():
    receiver = Receiver([200, 0])
    posts = Posts(lambda: receiver.url, 5)
    posts.send("/a/", {}, b"1")

    status = posts.send("/a/", {}, b"2")  # no answer on the kept one, then on a new one
    receiver.close()

    assert status == 204
    assert [receiver.take().body for _ in range(3)] == [b"1", b"2", b"2"]


def test_head_and_body_leave_at_once():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        posts = Posts(lambda: f"http://127.0.0.1:{listening.getsockname()[1]}", 5)
        sender = threading.Thread(target=posts.send, args=("/a/", {}, b"body"))
        sender.start()
        heard, _ = listening.accept()
        first = heard.recv(1 << 16)
        heard.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        sender.join()
        heard.close()

    assert first.startswith(b"POST /a/ ") and first.endswith(b"\r\n\r\nbody")


def test_neighbour_that_moved_is_found(receiver):
    urls = iter(["http://127.0.0.1:1", receiver.url])
    posts = Posts(lambda: next(urls), 5)

    with pytest.raises(ConnectionError):
        posts.send("/a/", {}, b"")

    assert posts.send("/a/", {}, b"") == 204


def test_silence_ends_after_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        posts = Posts(lambda: f"http://127.0.0.1:{silent.getsockname()[1]}", 0.01)

        with pytest.raises(TimeoutError):
            posts.send("/a/", {}, b"")


def test_close_breaks_off_what_waits_and_may_be_called_twice():
    receiver = Receiver(hold=True)
    posts = Posts(lambda: receiver.url, 60)
    failed = threading.Event()

    def send():
        with pytest.raises(Exception):  # noqa: B017  # which one depends on how far it got
            posts.send("/a/", {}, b"")
        failed.set()

    threading.Thread(target=send, daemon=True).start()
    receiver.take()
    posts.close()
    posts.close()

    assert failed.wait(20)
    receiver.release()
    receiver.close()
