"""Where webhooks may be sent. Pure: nothing is asked of the network here.

Whoever registers a url makes this machine send something to it, from within its network. So an address is refused
unless it is known to be public. The table is written out, since what `ipaddress` takes for private differs by version.

A url is read by the http client's own parser, and what is sent to is built from what that one read, in one notation: no
other host can be found in it than the one that was judged. A name's addresses are judged by `resolving` and `posting`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import msgspec
from yarl import URL

from interrupts import ValidationError
from interrupts.checks import shown

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]
Ranges = tuple[tuple[int, int], ...]

URL_CHARS_MAX: Final = 2_000
HOST_CHARS_MAX: Final = 253
PORT_MAX: Final = 65_535
SCHEMES: Final = ("https", "http")


def _networks(text: str) -> Networks:
    return tuple(map(ip_network, text.split()))


_METADATA: Final = _networks(
    "169.254.169.254 169.254.170.2 169.254.170.23 169.254.42.42 100.100.100.200 168.63.129.16 192.0.0.192 "
    "fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fd00:c1::a9fe:a9fe fd00:42::42"
)
"""Where clouds hand out a machine's own credentials. Some look like public addresses, some lie in a private network
that somebody allows: each has to be allowed by itself."""
_REFUSED: Final = {
    "a loopback address (this machine itself)": _networks("127.0.0.0/8 ::1"),
    "the unspecified address (this machine itself)": _networks("0.0.0.0 ::"),
    "an address of a private network": _networks("10.0.0.0/8 172.16.0.0/12 192.168.0.0/16"),
    "an address of a provider's own network (carrier-grade NAT)": _networks("100.64.0.0/10"),
    "a link-local address": _networks("169.254.0.0/16 fe80::/10"),
    "a unique local address (a private network's)": _networks("fc00::/7"),
    "a site-local address (a private network's)": _networks("fec0::/10"),
    "an address for measuring networks": _networks("198.18.0.0/15 2001:2::/48"),
    "an address for examples": _networks("192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20"),
    "a multicast address": _networks("224.0.0.0/4 ff00::/8"),
    "the broadcast address": _networks("255.255.255.255"),
    "a tunnel through IPv4 (Teredo, 6to4)": _networks("2001::/32 2002::/16"),
    "a translation to IPv4 within a network (NAT64)": _networks("64:ff9b:1::/48"),
    "a reserved address": _networks("0.0.0.0/8 192.0.0.0/24 192.88.99.0/24 240.0.0.0/4 2001::/23"),
}
_PUBLIC: Final = _networks("0.0.0.0/0 2000::/3 64:ff9b::/96")
"""What else can be public: of IPv6 what is given out, and the translation to public IPv4."""
_ENDS_IN_IPV4: Final = _networks("::/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48")
_INSIDE: Final = re.compile(r"(?:.*\.)?(?:local(?:host|domain)?|internal|home\.arpa|ip6-(?:localhost|loopback))\.?")
_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")
_PARTS: Final = re.compile(r"[a-zA-Z0-9+.-]*://([^/?#]*)(.*)")
_NUMBER: Final = re.compile("0x[0-9a-f]*|[0-9]+")
_TAIL: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")
_RANGE: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_ALLOW: Final = "An operator can allow its network by INTERRUPTS_WEBHOOK_NETWORKS"


class Rules(msgspec.Struct, frozen=True):
    """Where webhooks may be sent. Raises `ValidationError`, which names the field, for what can't be meant."""

    schemes: tuple[str, ...] = SCHEMES
    ports: Ranges = ((80, 80), (443, 443), (1024, PORT_MAX))
    """from, to"""
    networks: tuple[str, ...] = ()
    """addresses that are allowed although they are not public, as CIDRs; everything else holds for them too"""

    def __post_init__(self) -> None:
        if not self.schemes or not set(self.schemes) <= set(SCHEMES):
            raise _wrong("schemes", f"{shown(self.schemes)} must be one or both of https and http")
        if not self.ports or not all(1 <= first <= last <= PORT_MAX for first, last in self.ports):
            raise _wrong("ports", f"{shown(self.ports)} must be at least one range of ports from 1 to 65535")
        if not isinstance(self.networks, tuple) or not all(isinstance(one, str) for one in self.networks):
            raise _wrong("networks", f"{shown(self.networks)} must be a tuple of texts")
        _allowed(self.networks)

    def check_url(self, url: object) -> str:
        """The url as it will be used. Raises `ValidationError` for one that nothing may be sent to."""
        return str(self.target(url))

    def target(self, url: object) -> URL:
        """The same for the http client, which does not read it again."""
        text = _readable(url)
        parts = _PARTS.fullmatch(text)
        authority, tail = parts.groups() if parts else ("", "")
        if not authority:
            raise _wrong("url", "it names no scheme or no host. It has to look like https://example.com/hook")
        if "@" in authority:
            raise _wrong("url", "it has a user or password in it, which would be kept and shown. Use a header instead")
        if "#" in tail:
            raise _wrong("url", "it has a fragment (#…), which is never sent. Leave it out")
        try:
            read = URL(text)
            scheme, host, port = read.scheme, read.raw_host or "", read.explicit_port
        except ValueError:
            raise _wrong("url", "its host or its port can't be read") from None
        if scheme not in self.schemes:
            allowed = f"among those that are allowed: {', '.join(self.schemes)} (INTERRUPTS_WEBHOOK_SCHEMES)"
            raise _wrong("url", f"the scheme {shown(scheme)} is not {allowed}")
        default = 443 if scheme == "https" else 80
        port = default if port is None else port
        if not any(first <= port <= last for first, last in self.ports):
            ports = ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in self.ports)
            allowed = f"among those that are allowed: {ports} (INTERRUPTS_WEBHOOK_PORTS)"
            raise _wrong("url", f"the port {port} is not {allowed}")
        if authority.rpartition("]")[2].partition(":")[2] not in ("", str(port)):
            raise _wrong("url", f"its port is not plainly written. Write {port}")
        host = self._judged(host, bracketed="[" in authority)
        where = f"{scheme}://{host}{'' if port == default else f':{port}'}"
        target = URL(where + (tail if _TAIL.fullmatch(tail) else read.raw_path_qs), encoded=True)
        if (target.scheme, target.raw_host, target.port) != (scheme, host.strip("[]"), port):
            raise _wrong("url", "it can be read in two ways")
        if len(str(target)) > URL_CHARS_MAX:
            raise _wrong("url", f"it has more than {URL_CHARS_MAX:,} characters once it is written in ASCII")
        return target

    def refusal(self, address: str) -> str | None:
        """Why nothing may be sent to this numeric address; None if it may."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return f"{shown(address)} is no numeric address, so it can't be judged"
        for meant in _meant(parsed):
            why = self._why_not(meant)
            if why is not None:
                what = str(parsed) if meant == parsed else f"{parsed} stands for {meant}, and that"
                return f"{what} is {why}. Nothing is sent there. {_ALLOW}"
        return None

    def _why_not(self, address: Address) -> str | None:
        allowed = [network for network in _allowed(self.networks) if address in network]
        if any(address in network for network in _METADATA):
            alone = any(network.num_addresses == 1 for network in allowed)
            return None if alone else "where a cloud hands out credentials, and has to be allowed by itself"
        if allowed:
            return None
        for why, networks in _REFUSED.items():
            if any(address in network for network in networks):
                return why
        return None if any(address in network for network in _PUBLIC) else "a reserved address"

    def _judged(self, host: str, *, bracketed: bool) -> str:
        """The host in the one notation that is used. A name for inside passes if networks are allowed: its address is
        then judged, as every name's is."""
        if "%" in host:
            raise _wrong(
                "url", f"its host {shown(host)} has a % in it: an encoded character, or the zone of an address"
            )
        try:
            address = IPv6Address(host) if bracketed else _ipv4(host)
        except ValueError:
            raise _wrong("url", f"its host {shown(host)} looks like an address and is none") from None
        if address is not None:
            why = self.refusal(str(address))
            if why is not None:
                raise _wrong("url", why)
            return f"[{address}]" if bracketed else str(address)
        if len(host.removesuffix(".")) > HOST_CHARS_MAX or not _NAME.fullmatch(host):
            raise _wrong("url", f"its host {shown(host)} can't be a name")
        if not self.networks and _INSIDE.fullmatch(host):
            raise _wrong("url", f"{shown(host)} is a name within a private network. {_ALLOW}")
        return host


def parse_ports(texts: Sequence[str]) -> Ranges:
    """Ports and ranges of ports, each like `443` or `8000-8999`. Raises `ValidationError`."""
    ranges = []
    for text in texts:
        match = _RANGE.fullmatch(text)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= PORT_MAX:
            raise _wrong("ports", f"{shown(text)} is neither a port (443) nor a range (8000-8999), from 1 to 65535")
        ranges.append((first, last))
    return tuple(ranges)


@lru_cache(maxsize=64)
def _allowed(networks: tuple[str, ...]) -> Networks:
    return tuple(map(_network, networks))


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise _wrong("networks", f"{shown(text)} is no network. Give CIDRs like 10.0.0.0/8 or fd00::/8") from None
    if network.network_address != ip_address(text.partition("/")[0]) or "%" in text:
        raise _wrong("networks", f"{shown(text)} has more than its prefix. Is {str(network).split('%')[0]} meant?")
    if isinstance(network, IPv6Network) and network.subnet_of(IPv6Network("::ffff:0:0/96")):
        raise _wrong("networks", f"{shown(text)} is judged as the IPv4 addresses that it stands for. Give those")
    return network


def _meant(address: Address) -> list[Address]:
    """What is reached by an address: itself, or what it is translated to or tunnelled through, as well."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:  # not a translation: the kernel speaks IPv4
        return [address.ipv4_mapped]
    within: list[Address] = [address, *(address.teredo or ())]  # a tunnel's server, and its client
    if address.sixtofour is not None:
        within.append(address.sixtofour)
    if int(address) > 1 and any(address in network for network in _ENDS_IN_IPV4):
        within.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    return within


def _ipv4(host: str) -> IPv4Address | None:
    """What browsers and C libraries read from a host that ends in a number; None for a name. Raises `ValueError`."""
    parts = host.removesuffix(".").split(".")
    if not _NUMBER.fullmatch(parts[-1]):
        return None
    *front, last = [_number(part) for part in parts]
    if len(front) > 3 or any(part > 255 for part in front) or last >= 256 ** (4 - len(front)):
        raise ValueError(host)
    return IPv4Address(sum(part << 8 * (3 - place) for place, part in enumerate(front)) + last)


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text[2:] or "0", 16) if text.startswith("0x") else int(text, 8 if text.startswith("0") else 10)


def _readable(url: object) -> str:
    """Text without anything that one program passes over and another one does not."""
    if not isinstance(url, str):
        raise _wrong("url", "it is missing" if url is None else f"it must be text, not {type(url).__name__}")
    if len(url) > URL_CHARS_MAX:
        raise _wrong("url", f"it has {len(url):,} characters, the most is {URL_CHARS_MAX:,}")
    if not url.isprintable() or "\\" in url or any(map(str.isspace, url)):
        raise _wrong("url", "it has spaces, backslashes, control characters or invisible ones in it")
    return url


def _wrong(field: str, what: str) -> ValidationError:
    return ValidationError(f"{field}: {what}{'' if what.endswith('?') else '.'}", field=field)
