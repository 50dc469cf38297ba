"""Free ports, away from those the system hands out."""

import socket

from local.ports import INNER_PORTS, first_free, is_free, reserve, some_free


def test_taken_port_is_not_free():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert not is_free(port)
        assert reserve(port) is None
    assert is_free(port)


def test_no_port_is_found_past_the_last():
    with socket.create_server(("127.0.0.1", 65_535)):
        assert first_free(65_535) is None


def test_ports_for_parts_differ_and_lie_in_our_range():
    a, b = some_free(2)

    assert a != b
    assert {a, b} <= set(INNER_PORTS)


def test_two_starts_at_once_choose_different_pages():
    """Two of them once chose 8080 before either listened; one took the other's page for its own."""
    one, other = first_free(28_000), first_free(28_000)

    assert one and other and one.port != other.port
    one.release()
    again = first_free(28_000)
    assert again and again.port == one.port
    other.release()
    again.release()
