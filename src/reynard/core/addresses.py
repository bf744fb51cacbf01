"""Which addresses of clients may be connected to: pure rules over a URL and over what its host resolves to.

A URL is taken apart once, here, and written anew from its parts: what connects never reads the client's own spelling.
Hosts in numbers are read as the URL standard (https://url.spec.whatwg.org/#concept-ipv4-parser) and inet_aton(3) do.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from msgspec import Struct

Address = IPv4Address | IPv6Address

LONGEST_URL: Final = 8_192
LONGEST_NAME: Final = 253  # RFC 1035 2.3.4
DEFAULT_PORT: Final = {"http": 80, "https": 443}

BAD_PORTS: Final = frozenset(
    {0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109}
    | {110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530}
    | {531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190}
    | {5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080}
)
"""What no browser connects to, because other protocols live there: https://fetch.spec.whatwg.org/#bad-port."""

PRIVATE_DOMAINS: Final = frozenset(
    {"alt", "arpa", "corp", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain"}
    | {"localhost", "mail", "onion", "private", "test"}
)
"""Top-level domains with no hosts in the public domain name system (RFC 6761, 6762, 8375, 9476, ICANN)."""

CLOSED_V4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT; Alibaba's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host, a public number that is not
        "169.254.0.0/16",  # link-local; metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # IETF protocols; Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
"""IANA's special-purpose registry, and what clouds put beside it. `is_global` of some Python versions lacks a few."""

GLOBAL_V6: Final = IPv6Network("2000::/3")  # all that IANA has given out
CLOSED_V6: Final = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # IETF protocols: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which wraps an IPv4 address
        "3fff::/20",  # documentation
    )
)
WRAPPING: Final = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
"""An IPv4 address in its last 32 bits: mapped (RFC 4291), and NAT64 (RFC 6052), which networks without IPv4 live by."""
ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})  # RFC 5214 6.1

_DISPUTED = re.compile(r"[\x00-\x1f\x7f\\]")  # dropped by some parsers, a slash to others
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_PUBLIC_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+(?:[a-z]{2,63}|xn--[a-z0-9-]{0,58}[a-z0-9])")
_AUTHORITY = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:@%]+))(?::(?P<port>[0-9]{0,5}))?")
_KEPT_IN_PATH = "!$%&'()*+,/:;=@~"


class Refused(Exception):
    """Not to be connected to, or there was no answer. The reason is one of a few fixed texts, without the address."""


class Target(Struct, frozen=True):
    """Where a request goes. `host`: a name in lower-case ASCII, or the usual spelling of `address` where it is one."""

    scheme: str
    host: str
    port: int
    address: Address | None
    path: str

    @property
    def url(self) -> str:
        """Written anew."""
        host = f"[{self.host}]" if isinstance(self.address, IPv6Address) else self.host
        port = "" if self.port == DEFAULT_PORT[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def target(url: str) -> Target:
    """`url`, taken apart. Raises `Refused` for what is not a plain http(s) address."""
    if len(url) > LONGEST_URL or _DISPUTED.search(url) or url != url.strip():
        raise Refused("malformed address")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Refused("malformed address") from None
    if parts.scheme not in DEFAULT_PORT:
        raise Refused("not http")
    if "@" in parts.netloc:
        raise Refused("credentials in the address")
    found = _AUTHORITY.fullmatch(parts.netloc)
    if found is None:
        raise Refused("malformed host")
    port = int(found["port"]) if found["port"] else DEFAULT_PORT[parts.scheme]
    if port > 65_535 or port in BAD_PORTS:
        raise Refused("a port that is not for the web")
    address = _ipv6(found["v6"]) if found["v6"] else numeric(name := _name(found["name"]))
    host = str(address) if address is not None else name
    path = quote(parts.path or "/", safe=_KEPT_IN_PATH)
    query = f"?{quote(parts.query, safe=_KEPT_IN_PATH + '?[]')}" if parts.query else ""
    return Target(parts.scheme, host, port, address, path + query)


def onward(before: Target, location: bytes) -> Target:
    """Where a redirect leads, by the same rules. Raises `Refused`."""
    try:
        url = urljoin(before.url, location.decode("utf-8"))
    except ValueError:
        raise Refused("malformed redirect") from None
    return target(url)


def numeric(name: str) -> IPv4Address | None:
    """The address that a host in numbers stands for, in any of inet_aton's spellings; None for a name.

    Raises `Refused` for what ends like a number and is none: no such name exists, and parsers disagree about it.
    """
    labels = name.split(".")
    if not _NUMBER.fullmatch(labels[-1]):
        return None
    try:
        *leading, last = [_number(label) for label in labels]
    except ValueError:
        raise Refused("malformed host") from None
    if len(leading) > 3 or any(part > 255 for part in leading) or last >= 256 ** (4 - len(leading)):
        raise Refused("malformed host")
    return IPv4Address(sum(part << 24 - 8 * place for place, part in enumerate(leading)) + last)


def is_name_open(name: str) -> bool:
    """Whether a name, in lower case and without the dot at the end, can be one of the public domain name system."""
    if len(name) > LONGEST_NAME or not _PUBLIC_NAME.fullmatch(name):
        return False
    return name.rpartition(".")[2] not in PRIVATE_DOMAINS


def may_be_open(goal: Target) -> bool:
    """Whether a target can be in the public internet, as far as can be told before its name is looked up."""
    return is_name_open(goal.host) if goal.address is None else is_open(goal.address)


def is_open(address: Address) -> bool:
    """Whether an address is an ordinary one of the public internet, and wraps none that is not."""
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in CLOSED_V4)
    if address.scope_id is not None:
        return False
    if any(address in network for network in WRAPPING):
        return is_open(IPv4Address(int(address) & 0xFFFF_FFFF))
    if int(address) >> 32 & 0xFFFF_FFFF in ISATAP:
        return False
    return address in GLOBAL_V6 and address.is_global and not any(address in network for network in CLOSED_V6)


def parsed(texts: list[str]) -> list[Address]:
    """What a resolver said. Raises `Refused`."""
    try:
        found = [ip_address(text) for text in texts]
    except ValueError:
        raise Refused("malformed answer of the resolver") from None
    if not found:
        raise Refused("unknown host")
    return found


def _name(raw: str) -> str:
    """In lower-case ASCII, without the dot at the end; full-width digits and the dots of other scripts are folded."""
    name = raw.lower()
    if not name.isascii():
        if len(name) > LONGEST_NAME:
            raise Refused("malformed host")
        try:
            name = name.encode("idna").decode("ascii").lower()
        except UnicodeError:
            raise Refused("malformed host") from None
    name = name.removesuffix(".")
    if len(name) > LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise Refused("malformed host")
    return name


def _ipv6(text: str) -> IPv6Address:
    try:
        return IPv6Address(text)
    except AddressValueError:
        raise Refused("malformed host") from None


def _number(label: str) -> int:
    if not _NUMBER.fullmatch(label):
        raise ValueError(label)
    if label.startswith("0x"):
        return int(label, 16)
    return int(label, 8) if len(label) > 1 and label[0] == "0" else int(label)
