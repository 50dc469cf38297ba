import pytest

from shared.domain.addresses import public, refusal

REFUSED = {
    "metadata": [
        *("169.254.169.254", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254"),
        *("::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "::ffff:a9fe:a9fe"),
    ],
    "loopback": ["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"],
    "private": [
        *("10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.255.255"),
        *("fc00::", "fdff:ffff::1", "::ffff:192.168.0.1", "64:ff9b::a00:1"),
    ],
    "link-local": ["169.254.0.0", "169.254.255.255", "fe80::1", "febf::1", "fe80::1%eth0"],
    "carrier-grade NAT": ["100.64.0.0", "100.127.255.255", "100.100.100.200", "::ffff:100.64.0.1"],
    "unspecified": ["0.0.0.0", "0.255.255.255", "::", "::ffff:0.0.0.0"],
    "multicast": ["224.0.0.0", "239.255.255.255", "ff02::1"],
    "tunnel": [
        *("2002:808:808::1", "2001::1", "2001:0:ffff::", "192.88.99.1", "::8.8.8.8"),
        *("64:ff9b:1::8.8.8.8", "64:ff9b:1:ffff::1"),
    ],
    "reserved": [
        *("192.0.0.1", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.1"),
        *("203.0.113.1", "240.0.0.1", "255.255.255.255", "100::1", "2001:1::1", "2001:db8::1"),
        *("3fff::1", "5f00::1", "fec0::1", "4000::1", "1fff::1", "e000::1", "64:ff9a::1"),
    ],
}
PUBLIC = (
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0"),
    *("126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255"),
    *("172.32.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0"),
    *("223.255.255.255", "2001:4860:4860::8888", "2606:4700:4700::1111", "2003::1"),
    *("::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2001:200::1", "3ffe::1"),
)


@pytest.mark.parametrize(
    ("address", "kind"), [(a, kind) for kind, all_of in REFUSED.items() for a in all_of]
)
def test_what_is_not_everybodys_is_refused_and_named(address, kind):
    assert refusal(address) == kind
    assert not public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_everybodys_is_called(address):
    assert public(address)


@pytest.mark.parametrize(
    ("address", "kind"), [(a, kind) for kind, all_of in REFUSED.items() for a in all_of]
)
def test_of_ones_own_house_only_the_machine_and_the_private_networks_pass(address, kind):
    wanted = None if kind in ("loopback", "private") else kind

    assert refusal(address, private=True) == wanted


@pytest.mark.parametrize("text", ["", "example.com", "127.1", "0x7f000001", "1.2.3", "010.0.0.1"])
def test_what_is_no_address_is_said(text):
    with pytest.raises(ValueError, match="address"):
        refusal(text)
