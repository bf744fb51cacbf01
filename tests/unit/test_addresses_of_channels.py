"""Where a request goes, and the head that it begins with."""

import pytest

from reynard.providers.upstream.address import Address, Origin


@pytest.mark.parametrize(
    ("url", "origin", "host"),
    [
        ("http://Example.org", Origin("example.org", 80, False), "example.org"),
        ("https://example.org:443/v1", Origin("example.org", 443, True), "example.org"),
        ("https://example.org:8443", Origin("example.org", 8443, True), "example.org:8443"),
        ("http://[::1]:8000", Origin("::1", 8000, False), "[::1]:8000"),
        ("http://bücher.example", Origin("xn--bcher-kva.example", 80, False), "xn--bcher-kva.example"),
    ],
)
def test_origins(url: str, origin: Origin, host: str) -> None:
    address = Address.of(url)
    assert address.origin == origin
    assert f"\r\nhost: {host}\r\n".encode() in address.head("POST", "/x", {})


@pytest.mark.parametrize(
    ("base", "path", "target"),
    [
        ("http://a", "/v1/x", b"/v1/x"),
        ("http://a/", "", b"/"),
        ("http://a", "", b"/"),
        ("http://a/v1", "/models/a b:go?alt=sse", b"/v1/models/a%20b:go?alt=sse"),
        ("http://a/v1", "/x\r\nhost: evil", b"/v1/x%0D%0Ahost:%20evil"),
        ("http://a/%20/é", "/x", b"/%20/%C3%A9/x"),
        ("http://a/x?upload_id=7", "", b"/x?upload_id=7"),
    ],
)
def test_targets(base: str, path: str, target: bytes) -> None:
    assert Address.of(base).head("POST", path, {}).startswith(b"POST " + target + b" HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("name", "value"), [("x", "a\r\nb: c"), ("x", "a\0"), ("x\r\n", "a"), ("x:", "a"), ("", "a"), ("é", "a")]
)
def test_what_no_header_may_have(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="no header may have") as failed:
        Address.of("http://a").head("POST", "/", {name: value})
    assert repr(value) not in str(failed.value)


def test_a_password_of_the_address_is_shown_to_the_provider() -> None:
    head = Address.of("http://me:p%40ss@a").head("POST", "/", {})
    assert b"\r\nauthorization: Basic bWU6cEBzcw==\r\n" in head
    assert b"\r\nhost: a\r\n" in head


def test_a_key_outweighs_the_password_of_the_address() -> None:
    head = Address.of("http://me:pass@a").head("POST", "/", {"authorization": "Bearer k"})
    assert head.count(b"authorization") == 1
    assert b"Bearer k" in head


@pytest.mark.parametrize(
    "url", ["", "a", "ftp://a", "http://", "http://a:b", "http://a:70000", "http://[::1", "file:///x"]
)
def test_no_addresses(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (of several kinds; none of them tells the URL to anybody)
        Address.of(url)
