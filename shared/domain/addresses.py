"""Network addresses that somebody else's URL may never make us call.

The registries are IANA's: "IANA IPv4 Special-Purpose Address Registry" and "IANA IPv6
Special-Purpose Address Registry" (RFC 6890), read 2026-11-22. What no line names and the standard
library does not call global is refused as well.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Kind:
    """Networks that are refused for one reason."""

    name: str
    networks: tuple[IPv4Network | IPv6Network, ...]


def _kind(name: str, *networks: str) -> Kind:
    return Kind(name, tuple(map(ip_network, networks)))


#: Of one's own machine and house; one may ask for them on one's own machine.
LOOPBACK = _kind("loopback", "127.0.0.0/8", "::1/128")
PRIVATE = _kind("private", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")

#: The first that matches names the reason.
REFUSED: tuple[Kind, ...] = (
    # Whoever reads these holds the machine's identity: Google (also fd20:ce::254), Amazon, and
    # Azure's, which is public by its number alone.
    _kind(
        "metadata",
        *("169.254.169.254/32", "168.63.129.16/32", "fd20:ce::254/128", "fd00:ec2::254/128"),
    ),
    LOOPBACK,
    PRIVATE,
    _kind("link-local", "169.254.0.0/16", "fe80::/10"),
    # A carrier's own network (RFC 6598), and some clouds' services.
    _kind("carrier-grade NAT", "100.64.0.0/10"),
    # Many systems take it for themselves.
    _kind("unspecified", "0.0.0.0/8", "::/128"),
    _kind("multicast", "224.0.0.0/4", "ff00::/8"),
    # Tunnels with an IPv4 address inside that no router on the way is bound to look at: 6to4
    # (RFC 7526 gave it up), Teredo (RFC 4380), the deprecated IPv4-compatible form, and a
    # network's own NAT64 (RFC 8215), where nobody outside knows the length of its prefix.
    _kind("tunnel", "192.88.99.0/24", "2002::/16", "2001::/32", "::/96", "64:ff9b:1::/48"),
    _kind(
        "reserved",
        *("192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("240.0.0.0/4", "100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32"),
        *("3fff::/20", "5f00::/16", "fec0::/10"),
        # All but 2000::/3, the only space that anybody's public addresses are of (IANA, "Internet
        # Protocol Version 6 Address Space").
        *("::/3", "4000::/2", "8000::/1"),
    ),
)
#: IPv6 addresses that are an IPv4 address in another coat, and are judged by it: IPv4-mapped
#: (RFC 4291 section 2.5.5.2) and the well-known prefix of NAT64 (RFC 6052 section 2.1).
_CARRIES_IPV4 = (ip_network("::ffff:0:0/96"), ip_network("64:ff9b::/96"))


def refusal(address: str, *, private: bool = False) -> str | None:
    """Why this address is not called, or None: it is a public one.

    `private` lets this machine's and its house's own addresses pass, and nothing else.

    Raises:
        ValueError: this is no address.
    """
    found = _inner(ip_address(address))
    if private and _within(found, LOOPBACK.networks + PRIVATE.networks):
        return "metadata" if _within(found, REFUSED[0].networks) else None
    named = next((kind.name for kind in REFUSED if _within(found, kind.networks)), None)
    return named or (None if found.is_global else "reserved")


def public(address: str) -> bool:
    """Whether the address is everybody's."""
    return refusal(address) is None


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 address carries, or the address itself."""
    if isinstance(address, IPv6Address) and _within(address, _CARRIES_IPV4):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _within(address: Address, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    return any(address.version == n.version and address in n for n in networks)
