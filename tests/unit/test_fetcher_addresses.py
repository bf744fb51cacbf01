"""The pure rules of the guarded fetcher: what a URL says, and which addresses are of the public internet."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from reynard.core.addresses import (
    BAD_PORTS,
    WRAPPING,
    Refused,
    Target,
    is_name_open,
    is_open,
    numeric,
    onward,
    parsed,
    target,
)

LOOPBACK = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0X7F000001",
    "0x7F.1",
    "0x7f.0x0.0x0.0x1",
    "0177.0.0.1",
    "0177.0000.00.0001",
    "017700000001",
    "00000000177.1",
    "１２７.0.0.1",
    "127。0。0。1",
    "127．0．0．1",
    "127｡0｡0｡1",
    "①②⑦.⓪.⓪.①",
    "𝟏𝟐𝟕.𝟎.𝟎.𝟏",
    "０ｘ７ｆ.1",
    "²¹³⁰⁷⁰⁶⁴³³",
]

CLOSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::2",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:169.254.169.254",
    "::ffff:0:10.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2002:808:808::1",
    "3fff::1",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:10.0.0.1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%eth0",
    "fec0::1",
    "feff::1",
    "ff02::1",
    "ff0e::1",
]

OPEN = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("scheme", ["http", "https", "HTTP"])
def test_a_number_in_any_spelling_is_that_address(host: str, scheme: str) -> None:
    found = target(f"{scheme}://{host}:8080/a.png")
    assert (found.address, found.host) == (IPv4Address("127.0.0.1"), "127.0.0.1")
    assert found.url == f"{scheme.lower()}://127.0.0.1:8080/a.png"
    assert not is_open(IPv4Address(found.host))


@pytest.mark.parametrize("address", CLOSED)
def test_what_is_not_of_the_public_internet_is_closed(address: str) -> None:
    assert not is_open(ip_address(address))


@pytest.mark.parametrize("address", OPEN)
def test_what_is_beside_it_is_open(address: str) -> None:
    assert is_open(ip_address(address))


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://[::1]/", "::1"),
        ("http://[0:0:0:0:0:0:0:1]:80/", "::1"),
        ("http://[::ffff:127.0.0.1]/", "::ffff:7f00:1"),
        ("http://[::FFFF:7F00:0001]/", "::ffff:7f00:1"),
        ("http://[FD00:EC2::254]/", "fd00:ec2::254"),
    ],
)
def test_brackets_hold_an_address(url: str, host: str) -> None:
    found = target(url)
    assert found.address == IPv6Address(host)
    assert found.url.startswith("http://[")
    assert found.address is not None
    assert not is_open(found.address)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a",
        "//example.org/a",
        "file:///etc/passwd",
        "ftp://example.org/",
        "gopher://example.org/",
        "dict://example.org/",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "http:example.org",
        "http:/example.org",
        "http://",
        "http:///a",
        "http://:80/",
        "http://.",
        "http://./",
        "http://..example.org/",
        "http://example..org/",
        "http://example.org../",
        "http://-a.example.org/",
        "http://a-.example.org/",
        f"http://{'a' * 64}.org/",
        f"http://{'a.' * 127}org/",
        f"http://{'ä' * 300}.org/",
        f"http://example.org/{'a' * 8_192}",
        "http://user@example.org/",
        "http://user:secret@example.org/",
        "http://@example.org/",
        "http://example.org:80@127.0.0.1/",
        "http://example.org\\@127.0.0.1/",
        "http://127.0.0.1\\.example.org/",
        "http:\\\\127.0.0.1\\",
        "http://exam\tple.org/",
        "http://exam\nple.org/",
        "http://example.org/a\r\nx: y",
        "http://example.org/\x00",
        " http://example.org/",
        "http://example.org/ ",
        "\x01http://example.org/",
        "http://exam ple.org/",
        "http://127.0.0.1 .example.org/",
        "http://%31%32%37.0.0.1/",
        "http://127.0.0.1%2f.example.org/",
        "http://example.org%00.evil.org/",
        "http://example.org:99999/",
        "http://example.org:-1/",
        "http://example.org:８０/",
        "http://example.org:0x50/",
        "http://example.org:80:80/",
        "http://example.org:22/",
        "http://example.org:25/",
        "http://example.org:6667/",
        "http://example.org:0/",
        "http://[::1/",
        "http://::1/",
        "http://[::1]x/",
        "http://[::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[127.0.0.1]/",
        "http://[v1.example.org]/",
        "http://[example.org]/",
        "http://[]/",
        "http://1.2.3.4.5/",
        "http://1.2.3.256/",
        "http://256.1.1.1/",
        "http://4294967296/",
        "http://0x100000000/",
        "http://08.0.0.1/",
        "http://0x.0.0.1/",
        "http://0x7g.1/",
        "http://a.1/",
        "http://example.0x7f/",
        "http://example.org.1/",
        "http://1..1/",
        "http://*.example.org/",
        "http://a,b.example.org/",
        "http://{example}.org/",
    ],
)
def test_what_is_no_plain_address_is_refused(url: str) -> None:
    with pytest.raises(Refused) as caught:
        target(url)
    assert "example" not in str(caught.value)
    assert "127" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("http://example.org", "http://example.org/"),
        ("HTTPS://Example.ORG./A.png", "https://example.org/A.png"),
        ("https://example.org:443/a#b", "https://example.org/a"),
        ("http://example.org:443/a", "http://example.org:443/a"),
        ("https://example.org:/a", "https://example.org/a"),
        ("https://example.org/a b/ä?c=d e&f=%20[1]", "https://example.org/a%20b/%C3%A4?c=d%20e&f=%20[1]"),
        ("https://example.org?x=1", "https://example.org/?x=1"),
        ("https://example.org/?url=http://127.0.0.1/", "https://example.org/?url=http://127.0.0.1/"),
        ("https://bücher.example.org/", "https://xn--bcher-kva.example.org/"),
        ("https://ＥＸＡＭＰＬＥ。org/", "https://example.org/"),
        ("https://a_b.example.org/", "https://a_b.example.org/"),
        ("https://127.0.0.1.nip.io/", "https://127.0.0.1.nip.io/"),
        ("https://1.2.3.4a/", "https://1.2.3.4a/"),
        ("https://0xcafe.org/", "https://0xcafe.org/"),
        ("https://8.8.8.8:8443/", "https://8.8.8.8:8443/"),
    ],
)
def test_an_address_is_written_anew(url: str, written: str) -> None:
    assert target(url).url == written


@pytest.mark.parametrize("who", ["user", "user:secret", ":secret", ""])
def test_credentials_are_refused_as_such(who: str) -> None:
    with pytest.raises(Refused, match="credentials"):
        target(f"https://{who}@example.org/a.png")


def test_every_port_that_is_not_bad_is_taken() -> None:
    for port in [*range(1, 11_000), 65_535]:
        if port not in BAD_PORTS:
            assert target(f"http://example.org:{port}/").port == port
        else:
            with pytest.raises(Refused):
                target(f"http://example.org:{port}/")


@pytest.mark.parametrize(
    ("location", "url"),
    [
        (b"/b", "https://example.org/b"),
        (b"b?c", "https://example.org/dir/b?c"),
        (b"//other.org/b", "https://other.org/b"),
        (b"http://other.org/b", "http://other.org/b"),
        ("https://bücher.org/ä".encode(), "https://xn--bcher-kva.org/%C3%A4"),
        (b"//2130706433/", "https://127.0.0.1/"),
    ],
)
def test_a_redirect_leads_on(location: bytes, url: str) -> None:
    assert onward(target("https://example.org/dir/a"), location).url == url


@pytest.mark.parametrize(
    "location",
    [
        b"file:///etc/passwd",
        b"gopher://127.0.0.1:6379/_x",
        b"ftp://example.org/",
        b"data:image/png;base64,AAAA",
        b"//user@127.0.0.1/",
        b"\\\\127.0.0.1\\a",
        b"/\\127.0.0.1/",
        b"http://[::1",
        b"http://example.org:22/",
        b"http://\xff\xfe/",
        b"http://a\tb/",
    ],
)
def test_a_redirect_to_what_is_no_plain_address_is_refused(location: bytes) -> None:
    with pytest.raises(Refused):
        onward(target("https://example.org/a"), location)


@pytest.mark.parametrize(
    "name", ["localhost", "a.localhost", "printer.local", "db.internal", "intranet", "x.home.arpa"]
)
def test_private_names_are_not_looked_up(name: str) -> None:
    assert not is_name_open(name)


def test_a_public_name_is() -> None:
    assert is_name_open("example.org")


@pytest.mark.parametrize("texts", [[], ["nonsense"], ["8.8.8.8", ""]])
def test_a_resolver_is_not_believed_either(texts: list[str]) -> None:
    with pytest.raises(Refused):
        parsed(texts)


PARTS = st.one_of(
    st.integers(0, 2**32 + 5).map(str),
    st.integers(0, 2**32 + 5).map(hex),
    st.integers(0, 2**32 + 5).map(lambda n: f"0{n:o}"),
    st.integers(0, 300).map(lambda n: f"{n:04d}"),
    st.integers(0, 300).map(lambda n: f"0X{n:03X}"),
    st.text("0123456789abcdefxX.", max_size=12),
)
HOSTS = st.lists(PARTS, min_size=1, max_size=5).map(".".join)


@given(HOSTS)
@example("0x")
@example("0x.1")
@example("1.2.3.08")
@example("00000000000000000000001")
def test_what_inet_aton_reads_is_that_address(host: str) -> None:
    try:
        packed = socket.inet_aton(host)
    except OSError:
        assume(False)
    assert numeric(host.lower()) == IPv4Address(packed)
    assert target(f"http://{host}/").address == IPv4Address(packed)


@given(HOSTS | st.text(max_size=20))
def test_no_host_is_a_name_to_us_and_a_number_to_the_system(host: str) -> None:
    try:
        found = target(f"http://{host}/")
    except Refused:
        return
    if found.address is None:
        with pytest.raises(OSError, match=r"."):
            socket.inet_aton(found.host)
        with pytest.raises(ValueError, match=r"."):
            ip_address(found.host)
    assert found.host.isascii()
    assert found.host == found.host.lower()


@given(st.ip_addresses())
@example(IPv6Address("::ffff:1.2.3.4"))
def test_what_ipaddress_reads_is_that_address(address: IPv4Address | IPv6Address) -> None:
    written = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
    found = target(f"https://{written}:8443/")
    assert (found.address, found.port) == (address, 8443)


@given(st.ip_addresses())
def test_nothing_is_open_that_python_calls_private(address: IPv4Address | IPv6Address) -> None:
    if is_open(address) and not any(address in network for network in WRAPPING):
        assert address.is_global
        traits = (address.is_multicast, address.is_reserved, address.is_link_local, address.is_loopback)
        assert not any(traits)


@given(st.ip_addresses(v=4))
def test_a_wrapped_address_is_as_closed_as_what_it_wraps(address: IPv4Address) -> None:
    for wrapping in ("::ffff:0:0", "64:ff9b::"):
        assert is_open(IPv6Address(int(IPv6Address(wrapping)) + int(address))) == is_open(address)
    for wrapping in ("::", "::ffff:0:0:0", "2001::", "64:ff9b:1::"):
        assert not is_open(IPv6Address(int(IPv6Address(wrapping)) + int(address)))
    assert not is_open(IPv6Address((0x2002 << 112) + (int(address) << 80) + 1))


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for url in (text, f"http://{text}", f"http://example.org/{text}"):
        try:
            found = target(url)
        except Refused:
            continue
        again = target(found.url)
        assert Target(again.scheme, again.host, again.port, again.address, again.path) == found
