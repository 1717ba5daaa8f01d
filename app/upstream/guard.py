"""Which addresses a redirect may lead to: the public internet, and networks the base URL is itself in.

A redirect is a URL that a stranger chose and this server, inside someone's network, is asked to fetch. The
connection goes to the very addresses that were checked here: a name is resolved once, so that a second answer
(DNS rebinding) never counts.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from app.errors import UpstreamDenied


class Reach(StrEnum):
    """Who can be reached at an address; of NOWHERE nobody knows."""

    GLOBAL = "public"
    LOOPBACK = "loopback"
    PRIVATE = "private"
    LINK_LOCAL = "link-local"
    NOWHERE = "reserved"


# RFC 1918, RFC 6598 (carrier-grade NAT, used by overlay networks), RFC 4193, RFC 3879.
_PRIVATE = tuple(
    ip_network(network)
    for network in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "fc00::/7",
        "fec0::/10",
    )
)
# Metadata services that clouds put outside 169.254.0.0/16; like that one they hand out credentials.
_METADATA = frozenset(map(ip_address, ("fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")))
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))  # RFC 6052, RFC 8215
_COMPATIBLE = IPv6Network("::/96")  # RFC 4291, 2.5.5.1


def reach(address: str) -> Reach:
    """Classify an IP literal (a scope such as %eth0 is ignored); an embedded IPv4 address is what counts."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        inner = _embedded(ip)
        return _reach(ip) if inner is None else _reach(inner)
    return _reach(ip)


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    if ip.ipv4_mapped is not None or ip.sixtofour is not None:
        return ip.ipv4_mapped or ip.sixtofour
    if ip.teredo is not None:
        return ip.teredo[1]
    if any(ip in network for network in _NAT64) or (ip in _COMPATIBLE and int(ip) > 1):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return None


def _reach(ip: IPv4Address | IPv6Address) -> Reach:
    if ip in _METADATA or ip.is_link_local:
        return Reach.LINK_LOCAL
    if ip.is_multicast or ip.is_unspecified:
        return Reach.NOWHERE
    if ip.is_loopback:
        return Reach.LOOPBACK
    if any(ip in network for network in _PRIVATE):
        return Reach.PRIVATE
    return Reach.GLOBAL if ip.is_global else Reach.NOWHERE


def addresses(host: str) -> frozenset[str]:
    """Every address a host name or literal stands for; empty if it does not resolve."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return frozenset()
    return frozenset(str(one[4][0]) for one in found)


@dataclass(frozen=True, slots=True)
class Guard:
    """What redirects that began at `base_host` may connect to."""

    base_host: str

    def admit(self, address: str) -> None:
        """Return if a connection to this IP address may be made; raises UpstreamDenied.

        The base URL's own network counts as far as it is of the same kind; a link-local address (a cloud's
        metadata service), or a reserved one, only if the base URL is that address.
        """
        kind = reach(address)
        if kind is Reach.GLOBAL:
            return
        own = addresses(self.base_host)
        if kind in (Reach.LINK_LOCAL, Reach.NOWHERE) and address in own - {"0.0.0.0", "::"}:  # noqa: S104 - not bound
            return
        if kind in (Reach.LOOPBACK, Reach.PRIVATE) and kind in map(reach, own):
            return
        raise refused(self.base_host, f"to the {kind} address {address}")

    def admit_literal(self, host: str) -> None:
        """Check what a host says by itself, all there is behind a proxy: a literal in any spelling, localhost."""
        if host.rstrip(".").lower() == "localhost" or host.rstrip(".").lower().endswith(".localhost"):
            self.admit("127.0.0.1")
        elif (literal := _literal(host)) is not None:
            self.admit(literal)


def _literal(host: str) -> str | None:
    """The address a literal means; inet_aton's old spellings (127.1, 0x7f000001) are literals too."""
    bare = host.strip("[]")
    try:
        return str(ip_address(bare.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(bare.rstrip(".")))
    except OSError:
        return None


def refused(host: str, where: str) -> UpstreamDenied:
    """The error of a redirect, or of an address in a document, that is not followed."""
    return UpstreamDenied(f"upstream {host}: leads {where}, refused", code="upstream_redirect_refused")
