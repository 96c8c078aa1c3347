"""Which addresses are refused, by which rule, and what the operator's networks change about that."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from deliverer.http.guard import Policy, Rule, other_spelling, refusal
from runtime.settings import load_settings

OPEN = Policy(
    allow=tuple(map(ip_network, ("0.0.0.0/0", "::/0", "127.0.0.0/8", "::1/128"))), allow_loopback=True
)
"""A policy that allows all that can be allowed."""

ALWAYS = {
    Rule.UNSPECIFIED: """
        0.0.0.0 0.1.2.3 :: ::ffff:0.0.0.0 64:ff9b::0.0.0.0 2002:: ::ffff:0:0.0.0.0
    """,
    Rule.METADATA: """
        169.254.169.254 169.254.170.2 169.254.170.23 fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fd00:42::42
        100.100.100.200 168.63.129.16 192.0.0.192
        ::ffff:169.254.169.254 ::169.254.169.254 ::ffff:0:169.254.169.254 64:ff9b::169.254.169.254
        64:ff9b:1::169.254.169.254 64:ff9b:1:fffe::100.100.100.200 2002:a9fe:a9fe:: 2002:a9fe:a9fe::1
        64:ff9b:1:a9fe:a9:fe00:: 64:ff9b:1:a9:fe:a9fe:: 64:ff9b:1:0:a9:fea9:fe00::
        2001:0:a9fe:a9fe:0:0:c0a8:1 2001:0:4136:e378:8000:63bf:5601:5601
        2001:db8::5efe:169.254.169.254 2001:db8::200:5efe:169.254.169.254
    """,
    Rule.LINK_LOCAL: "169.254.0.1 169.254.255.255 fe80::1 fe80::1%eth0 febf::1 ::ffff:169.254.1.1",
    Rule.MULTICAST: "224.0.0.1 239.255.255.250 ff02::1 ff0e::1 ::ffff:224.0.0.1 64:ff9b::224.0.0.1",
    Rule.RESERVED: """
        255.255.255.255 240.0.0.1 254.1.2.3 192.0.0.1 192.0.0.170 ::ffff:255.255.255.255 64:ff9b::240.0.0.1
        100::1 4000::1 64:ff9b:2::1 ::1:0:0:0 e000::1 1::1
    """,
}
LOOPBACK = """
    127.0.0.1 127.1.2.3 127.255.255.255 ::1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::127.0.0.1 ::ffff:0:127.0.0.1
    64:ff9b::127.0.0.1 64:ff9b:1::127.0.0.1 2002:7f00:1:: 2001:0:7f00:1::f5ff:fffe 2001:0:102:304::80ff:fffe
"""
FREE = """
    10.0.0.1 10.255.255.255 172.16.0.1 192.168.1.1 100.64.0.1 100.100.100.201 8.8.8.8 1.1.1.1 126.255.255.255
    128.0.0.1 169.253.255.255 169.255.0.0 192.0.1.1 191.255.255.255 223.255.255.255 198.18.0.1 1.0.0.0
    2001:db8::1 2a00::1 2600:1f18::1 fc00::1 fd12:3456::1 fec0::1 fd00:ec3::254 fd00:42::43
    ::ffff:10.0.0.1 ::10.0.0.1 64:ff9b::8.8.8.8 64:ff9b:1::10.0.0.1 64:ff9b:1:a00:0:100:: 2002:a00:1::
    2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:1::1 2001:db8::5efe:10.0.0.1
"""


def rule(text: str, policy: Policy = Policy()) -> Rule | None:  # noqa: B008 - a value
    found = refusal(ip_address(text), policy)
    return found.rule if found else None


@pytest.mark.parametrize(
    ("expected", "text"), [(each, text) for each in ALWAYS for text in ALWAYS[each].split()]
)
def test_what_is_always_refused(expected: Rule, text: str) -> None:
    assert rule(text) is expected
    assert rule(text, OPEN) is expected
    exactly = Policy(allow=(ip_network(text.partition("%")[0]),))
    assert rule(text, exactly) is expected, "not even by its own name"


@pytest.mark.parametrize("text", LOOPBACK.split())
def test_loopback_is_open_only_by_setting(text: str) -> None:
    assert rule(text) is Rule.LOOPBACK
    assert rule(text, OPEN) is None
    assert rule(text, Policy(allow_loopback=True)) is None


@pytest.mark.parametrize("text", FREE.split())
def test_all_else_is_free(text: str) -> None:
    assert rule(text) is None


@pytest.mark.parametrize(
    ("deny", "allow", "text", "expected"),
    [
        ("10.0.0.0/8", "", "10.1.2.3", Rule.DENIED),
        ("10.0.0.0/8", "", "11.1.2.3", None),
        ("10.0.0.0/8", "", "::ffff:10.1.2.3", Rule.DENIED),
        ("10.0.0.0/8", "", "64:ff9b::10.1.2.3", Rule.DENIED),
        ("10.0.0.0/8", "", "2002:a01:203::", Rule.DENIED),
        # The narrowest decides, whichever list it is in.
        ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", None),
        ("10.0.0.0/8", "10.1.0.0/16", "10.2.2.3", Rule.DENIED),
        ("10.1.0.0/16", "10.0.0.0/8", "10.1.2.3", Rule.DENIED),
        ("10.0.0.0/8,10.1.2.0/24", "10.1.0.0/16", "10.1.2.3", Rule.DENIED),
        ("10.0.0.0/8", "10.0.0.0/8", "10.1.2.3", Rule.DENIED),
        # Only what is named.
        ("0.0.0.0/0,::/0", "10.20.0.0/16", "10.20.1.1", None),
        ("0.0.0.0/0,::/0", "10.20.0.0/16", "8.8.8.8", Rule.DENIED),
        ("0.0.0.0/0,::/0", "10.20.0.0/16", "2a00::1", Rule.DENIED),
        # A way through another's network is a way through it.
        ("2002::/16", "", "2002:808:808::", Rule.DENIED),
        ("64:ff9b::/96", "", "64:ff9b::8.8.8.8", Rule.DENIED),
        # Loopback is opened by name, not by a network that happens to be wider.
        ("", "127.0.0.0/8", "127.0.0.1", None),
        ("", "127.0.0.1/32", "127.0.0.1", None),
        ("", "127.0.0.1/32", "127.0.0.2", Rule.LOOPBACK),
        ("", "127.0.0.0/8", "::1", Rule.LOOPBACK),
        ("", "::1", "::1", None),
        ("", "0.0.0.0/0,::/0", "127.0.0.1", Rule.LOOPBACK),
        ("", "0.0.0.0/0,::/0", "::1", Rule.LOOPBACK),
        ("127.0.0.0/8", "", "127.0.0.1", Rule.DENIED),
    ],
)
def test_the_operators_networks(deny: str, allow: str, text: str, expected: Rule | None) -> None:
    settings = load_settings(
        _env_file=None,
        callback_deny_networks=deny,
        callback_allow_networks=allow,
        callback_allow_loopback=False,
    )
    assert rule(text, Policy.of(settings)) is expected


def test_denying_loopback_goes_before_the_setting_that_opens_it() -> None:
    assert rule("127.0.0.1", Policy(deny=(ip_network("127.0.0.0/8"),), allow_loopback=True)) is Rule.DENIED


@pytest.mark.parametrize(
    "host", ["2130706433", "0177.0.0.1", "127.1", "127.0.0.1.", "1.2.3.4.5", "256.1.1.1", "0"]
)
def test_digits_that_are_no_address(host: str) -> None:
    found = other_spelling(host)
    assert found
    assert found.rule is Rule.SPELLING


@pytest.mark.parametrize("host", ["127.0.0.1", "8.8.8.8", "::1", "example.nl", "1.example.nl", "0x7f.1", ""])
def test_what_is_an_address_or_a_name(host: str) -> None:
    assert other_spelling(host) is None


@pytest.mark.parametrize("each", Rule)
def test_a_refusal_says_how_it_is_changed(each: Rule) -> None:
    address = {
        Rule.LOOPBACK: "127.0.0.1",
        Rule.DENIED: "10.0.0.1",
        **{known: texts.split()[0] for known, texts in ALWAYS.items()},
    }.get(each)
    if address is None:
        return
    text = str(refusal(ip_address(address), Policy(deny=(ip_network("10.0.0.0/8"),))))
    assert text.startswith(f"{address} is refused by the rule {each}; ")
    assert ("NRC_CALLBACK_" in text) == (each not in ALWAYS)
