"""Decides whether anything may be sent to a resolved address. Pure: no lookups, no connections.

`client`, `connector` and `resolver` ask it about each address before a connection is made.
docs/decisions/0015-callback-addresses.md has the reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network
from typing import Self

from runtime.settings import Network, Settings

Address = IPv4Address | IPv6Address


class Rule(StrEnum):
    """Why nothing is sent to an address. All but the last four apply whatever the settings say."""

    UNSPECIFIED = "unspecified"
    LINK_LOCAL = "link-local"
    METADATA = "metadata"
    MULTICAST = "multicast"
    RESERVED = "reserved"
    SPELLING = "spelling"
    """Digits that are no address but that some programs read as one (2130706433, 0177.0.0.1, 127.1)."""
    LOOPBACK = "loopback"
    DENIED = "deny-networks"
    HTTPS = "require-https"


_CHANGED_BY = {
    Rule.LOOPBACK: "NRC_CALLBACK_ALLOW_LOOPBACK or NRC_CALLBACK_ALLOW_NETWORKS opens it",
    Rule.DENIED: "NRC_CALLBACK_DENY_NETWORKS has it; a narrower one in NRC_CALLBACK_ALLOW_NETWORKS opens it",
    Rule.HTTPS: "NRC_CALLBACK_REQUIRE_HTTPS asks for https",
    Rule.SPELLING: "write an IPv4 address as four decimal numbers",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal to send. address: what was refused, as text."""

    rule: Rule
    address: str

    def __str__(self) -> str:
        how = _CHANGED_BY.get(self.rule, "no setting opens it")
        return f"{self.address} is refused by the rule {self.rule}; {how}"


class AddressRefused(OSError):
    """Raised in place of making a connection."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings of the operator: denied and allowed networks, and whether loopback is allowed."""

    deny: tuple[Network, ...] = ()
    allow: tuple[Network, ...] = ()
    allow_loopback: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The policy of these settings."""
        return cls(
            deny=settings.callback_deny_networks,
            allow=settings.callback_allow_networks,
            allow_loopback=settings.callback_allow_loopback,
        )


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


# Refused whatever the settings say. The first that contains the address gives the rule.
_ALWAYS: tuple[tuple[Rule, tuple[Network, ...]], ...] = (
    # Linux connects to itself for 0.0.0.0 and ::.
    (Rule.UNSPECIFIED, _networks("0.0.0.0/8", "::/128")),
    (
        Rule.METADATA,
        _networks(
            "169.254.169.254/32",  # nearly every cloud
            "169.254.170.2/32",  # AWS: credentials of containers
            "169.254.170.23/32",
            "fd00:ec2::/32",  # AWS
            "fd20:ce::254/128",  # Google
            "fd00:42::42/128",  # Scaleway
            "100.100.100.200/32",  # Alibaba
            "168.63.129.16/32",  # Azure
            "192.0.0.192/32",  # Oracle
        ),
    ),
    (Rule.LINK_LOCAL, _networks("169.254.0.0/16", "fe80::/10")),
    (Rule.MULTICAST, _networks("224.0.0.0/4", "ff00::/8")),
    (Rule.RESERVED, _networks("192.0.0.0/24", "240.0.0.0/4")),
)
_LOOPBACK = _networks("127.0.0.0/8", "::1/128")

_NAT64, _NAT64_LOCAL = IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48")
_SIX_TO_FOUR, _TEREDO = IPv6Network("2002::/16"), IPv6Network("2001::/32")
# All of IPv6 that is in use (IANA's registry); the rest is reserved.
_ASSIGNED = (
    _NAT64,
    _NAT64_LOCAL,
    *_networks("::/127", "2000::/3", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
)
# IPv4 in another spelling: mapped, compatible (without :: and ::1), translated.
_SAME_AS_IPV4 = tuple(IPv6Network(text) for text in ("::ffff:0:0/96", "::ffff:0:0:0/96", "::/96"))


def refusal(address: Address, policy: Policy) -> Refusal | None:
    """Why nothing may be sent to this address; None when it may.

    An address that contains an IPv4 address is refused when that one is. Of the operator's networks the
    narrowest that contains the address decides; deny when both are as narrow.
    """
    for one in seen_through(address):
        rule = _rule(one, policy)
        if rule is not None:
            return Refusal(rule, str(address))
    return None


def other_spelling(host: str) -> Refusal | None:
    """The refusal of a host that is all digits and dots but no address; None for an address or a name.

    Any other spelling (0x7f.1) is a name: the address that it resolves to is checked.
    """
    if not host.replace(".", "").isdecimal():
        return None
    try:
        IPv4Address(host)
    except ValueError:
        return Refusal(Rule.SPELLING, host)
    return None


def seen_through(address: Address) -> Iterator[Address]:
    """The addresses that a packet to this one may reach: itself, and the IPv4 addresses inside it."""
    if isinstance(address, IPv4Address):
        yield address
        return
    number = int(address)
    low = IPv4Address(number & 0xFFFFFFFF)
    if number > 1 and any(address in network for network in _SAME_AS_IPV4):
        yield low
        return
    yield address
    if address in _NAT64:
        yield low
    elif address in _NAT64_LOCAL:
        yield from _local_nat64(number)
    elif address in _SIX_TO_FOUR:
        yield IPv4Address(number >> 80 & 0xFFFFFFFF)
    elif address in _TEREDO:
        yield IPv4Address(number >> 64 & 0xFFFFFFFF)  # its server
        yield IPv4Address(~number & 0xFFFFFFFF)  # itself
    elif number >> 32 & 0xFDFFFFFF == 0x00005EFE:  # ISATAP, in any network
        yield low


def _local_nat64(number: int) -> list[IPv4Address]:
    """The IPv4 addresses that a local NAT64 address may contain (RFC 8215; RFC 6052, section 2.2).

    One for each possible length of the prefix, where all after it is zero and it does not begin with zero.
    """
    found = []
    rest = number & ((1 << 64) - 1)  # an octet of zeros, then the part of it that is after the prefix
    for prefix in (48, 56, 64):
        before = 64 - prefix
        unused = 56 - (32 - before)
        if rest >> 56 == 0 and rest & ((1 << unused) - 1) == 0:
            high = number >> 64 & ((1 << before) - 1)
            found.append(high << (32 - before) | rest >> unused)
    found = [each for each in found if each >> 24]
    low = number & 0xFFFFFFFF
    return [IPv4Address(each) for each in (*found, *([low] if low or not found else []))]


def _rule(address: Address, policy: Policy) -> Rule | None:
    for rule, networks in _ALWAYS:
        if _has(networks, address):
            return rule
    if isinstance(address, IPv6Address) and not _has(_ASSIGNED, address):
        return Rule.RESERVED
    denied, allowed = _narrowest(policy.deny, address), _narrowest(policy.allow, address)
    if denied >= 0 and denied >= allowed:
        return Rule.DENIED
    # Like a network that is denied by default: a wider allowed network does not open it by accident.
    loopback = _narrowest(_LOOPBACK, address)
    if loopback > allowed and not policy.allow_loopback:
        return Rule.LOOPBACK
    return None


def _has(networks: Iterable[Network], address: Address) -> bool:
    return any(address in network for network in networks)


def _narrowest(networks: Iterable[Network], address: Address) -> int:
    """The prefix length of the narrowest network that has the address; -1 when none has."""
    return max((network.prefixlen for network in networks if address in network), default=-1)
