from typing import Any

import msgspec
import pytest

from reynard.core.errors import InvalidParam
from reynard.core.generation import Generation
from reynard.core.media import MediaSource, check_payload, is_public, sources

NAMED = "messages[0].content[0]"


def read(*blocks: dict[str, Any]) -> list[MediaSource]:
    body = {"model": "m", "messages": [{"role": "user", "content": list(blocks)}]}
    found = sources(msgspec.convert(body, Generation))
    for source in found:
        check_payload(source)
    return found


def link(kind: str, url: str) -> dict[str, Any]:
    return {"type": f"{kind}_url", f"{kind}_url": {"url": url}}


def source(kind: str, url: str) -> MediaSource:
    (found,) = read(link(kind, url))
    return found


def refused(block: dict[str, Any]) -> InvalidParam:
    with pytest.raises(InvalidParam) as caught:
        read(block)
    return caught.value


KINDS = ["image", "video", "audio", "file"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("url", "extension"),
    [
        ("https://example.org/a.MP4", "mp4"),
        ("http://example.org/dir.x/a.b.webm?name=c.png#d.gif", "webm"),
        ("https://example.org/a", None),
        ("https://example.org", None),
        ("https://example.org/.mp4", None),
        ("https://example.org/a.", ""),
        ("https://example.org/a.notanextension", None),
        ("HTTPS://EXAMPLE.ORG:8443/a.wav", "wav"),
        ("https://[2001:db8::1]/a.mov", "mov"),
        ("https://bücher.example/ä.pdf", "pdf"),
    ],
)
def test_an_address_tells_its_format_by_its_extension(kind: str, url: str, extension: str | None) -> None:
    assert source(kind, url) == MediaSource(f"{NAMED}.{kind}_url.url", kind, "url", url, extension, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "url",
    [
        "example.org/a.png",
        "//example.org/a.png",
        "/etc/passwd",
        "file:///etc/passwd",
        "ftp://example.org/a.png",
        "gopher://example.org/",
        "javascript:alert(1)",
        "https://",
        "https:///a.png",
        "https:example.org",
        "https://[::1/a.png",
        " ",
        "a",
    ],
)
def test_what_is_no_http_address_is_refused(kind: str, url: str) -> None:
    assert refused(link(kind, url)).param == f"{NAMED}.{kind}_url.url"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("who", ["user@", "user:secret@", ":secret@", "@"])
def test_an_address_with_credentials_is_refused_and_not_repeated(kind: str, who: str) -> None:
    error = refused(link(kind, f"https://{who}example.org/a.mp4"))
    assert error.param == f"{NAMED}.{kind}_url.url"
    assert "secret" not in error.message


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
        "https://youtube.com/watch?list=PL1&v=dQw4w9WgXcQ&t=3s",
        "https://m.youtube.com/watch?v=dQw4w9WgXcQ",
        "http://WWW.YOUTUBE.COM/watch?v=dQw4w9WgXcQ",
        "https://youtu.be/dQw4w9WgXcQ",
        "https://youtu.be/dQw4w9WgXcQ?t=3",
    ],
)
def test_a_video_on_youtube_is_told_from_a_direct_one(url: str) -> None:
    assert source("video", url).origin == "youtube"


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/shorts/dQw4w9WgXcQ",
        "https://youtube.com/shorts/dQw4w9WgXcQ?v=dQw4w9WgXcQ",
        "https://www.youtube.com/playlist?list=PL1234567",
        "https://www.youtube.com/embed/dQw4w9WgXcQ",
        "https://www.youtube.com/watch",
        "https://www.youtube.com/watch?v=",
        "https://www.youtube.com/watch?v=a%2Fb%2Fc%2Fd",
        "https://www.youtube.com/",
        "https://youtu.be/",
        "https://youtu.be/a/dQw4w9WgXcQ",
    ],
)
def test_shorts_and_other_pages_of_youtube_are_refused(url: str) -> None:
    error = refused(link("video", url))
    assert error.param == f"{NAMED}.video_url.url"
    assert "Shorts" in error.message


@pytest.mark.parametrize(
    "url",
    ["https://youtube.com.example.org/a.mp4", "https://notyoutube.com/a.mp4", "https://example.org/youtube.com/a.mp4"],
)
def test_a_name_that_looks_like_youtube_is_not(url: str) -> None:
    assert source("video", url).origin == "url"


@pytest.mark.parametrize(
    ("kind", "head", "form"),
    [
        ("image", "image/png", "png"),
        ("image", "image/svg+xml", "svg"),
        ("image", "IMAGE/PNG", "png"),
        ("image", "image/png;charset=utf-8", "png"),
        ("audio", "audio/wav", "wav"),
        ("audio", "audio/x-wav", "wav"),
        ("audio", "audio/mpeg", "mp3"),
        ("audio", "audio/mp3", "mp3"),
        ("audio", "audio/mp4", "m4a"),
        ("audio", "audio/x-m4a", "m4a"),
        ("audio", "audio/x-aiff", "aiff"),
        ("audio", "audio/x-flac", "flac"),
        ("audio", "audio/aac", "aac"),
        ("audio", "audio/ogg", "ogg"),
        ("video", "video/quicktime", "mov"),
        ("video", "video/mp4", "mp4"),
        ("video", "video/webm", "webm"),
        ("file", "application/pdf", "pdf"),
        ("file", "text/plain", "txt"),
    ],
)
def test_a_data_uri_tells_its_format_by_its_type(kind: str, head: str, form: str) -> None:
    found = source(kind, f"data:{head};base64,AAECAw==")
    assert (found.kind, found.origin, found.format, found.size) == (kind, "data", form, 4)


@pytest.mark.parametrize(
    ("payload", "size"), [("AA==", 1), ("AAA=", 2), ("AAAA", 3), ("+/+/", 3), ("A" * 4_000_000, 3_000_000)]
)
def test_a_data_uri_tells_its_size(payload: str, size: int) -> None:
    assert source("image", f"data:image/png;base64,{payload}").size == size


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "A",
        "AA",
        "AAA",
        "AA=A",
        "AAAA=",
        "AAAA====",
        "AAAA==AAAA==",
        "=AAA",
        "AA AA",
        "AA\nAA",
        "AA-_",
        "ÄÄÄÄ",
        "AAAA,AAAA",
        "%41AAA",
    ],
)
def test_what_is_no_base64_is_refused(payload: str) -> None:
    for block, param in (
        (link("image", f"data:image/png;base64,{payload}"), "image_url.url"),
        ({"type": "input_audio", "input_audio": {"data": payload or "=", "format": "wav"}}, "input_audio.data"),
        ({"type": "file", "file": {"file_data": payload}}, "file.file_data"),
    ):
        assert refused(block).param == f"{NAMED}.{param}"


@pytest.mark.parametrize(
    "uri",
    [
        "data:,Hello",
        "data:image/png,AAAA",
        "data:image/png;base64",
        "data:;base64,AAAA",
        "data:image;base64,AAAA",
        "data:image/;base64,AAAA",
        "data:image/png;BASE64,AAAA",
        "data: image/png;base64,AAAA",
        "data:image/png;" + "a=b;" * 100 + "base64,AAAA",
    ],
)
def test_a_data_uri_of_another_shape_is_refused(uri: str) -> None:
    assert refused(link("image", uri)).param == f"{NAMED}.image_url.url"


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [("image", "text/html"), ("image", "video/mp4"), ("audio", "image/png"), ("video", "audio/wav")],
)
def test_a_data_uri_of_another_kind_is_refused(kind: str, media_type: str) -> None:
    assert media_type in refused(link(kind, f"data:{media_type};base64,AAAA")).message


@pytest.mark.parametrize(
    ("file", "origin", "form", "size"),
    [
        ({"file_data": "AAAA"}, "data", None, 3),
        ({"file_data": "data:application/pdf;base64,AAAA"}, "data", "pdf", 3),
        ({"file_id": "file-1"}, "upload", None, None),
    ],
)
def test_a_file_of_openai_is_bytes_or_an_id(file: dict[str, str], origin: str, form: str | None, size: int) -> None:
    (found,) = read({"type": "file", "file": file})
    assert (found.kind, found.origin, found.format, found.size) == ("file", origin, form, size)


@pytest.mark.parametrize("file", [{}, {"filename": "a.pdf"}, {"file_data": "AAAA", "file_id": "file-1"}])
def test_a_file_of_openai_is_not_both_or_neither(file: dict[str, str]) -> None:
    assert refused({"type": "file", "file": file}).param == f"{NAMED}.file"


def test_audio_of_openai_says_its_format() -> None:
    (found,) = read({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}})
    assert found == MediaSource(f"{NAMED}.input_audio.data", "audio", "data", "AAAA", "mp3", 3)


@pytest.mark.parametrize("data", ["data:audio/wav;base64,AAAA", "DATA:audio/wav;base64,AAAA", "https://example.org/a"])
def test_audio_of_openai_is_base64_alone(data: str) -> None:
    error = refused({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}})
    assert error.param == f"{NAMED}.input_audio.data"


def test_media_are_found_in_order_and_in_every_turn() -> None:
    body = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "a"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, link("image", "https://example.org/1.png")]},
            {"role": "assistant", "tool_calls": []},
            {"role": "tool", "tool_call_id": "1", "content": [link("file", "https://example.org/2.pdf")]},
        ],
    }
    found = sources(msgspec.convert(body, Generation))
    assert [source.param for source in found] == [
        "messages[1].content[1].image_url.url",
        "messages[3].content[0].file_url.url",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a.png",
        "HTTPS://Example.ORG./a.png?b=c#d",
        "https://example.org:8443/a%20b.png",
        "https://a_b.example.co.uk/ä.png",
        "https://xn--bcher-kva.example.org/",
        "https://example.xn--p1ai/a.png",
        "https://10.example.org/",
        "https://1e100.net",
    ],
)
def test_an_address_that_a_provider_may_read(url: str) -> None:
    assert is_public(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "ftp://example.org/",
        "https:///a.png",
        "https://localhost/",
        "https://intranet/",
        "https://printer.local/",
        "https://printer.LOCAL./",
        "https://printer.ｌocal/",
        "https://printer.locaⅼ/",
        "https://printer。local/",
        "https://metadata.google.internal/",
        "https://router.home.arpa/",
        "https://hidden.onion/",
        "https://a.test/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://１２７.0.0.1/",
        "https://127.0.0.1../",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[v1.example.org]/",
        "https://[::1/",
        "https://127.0.0.1\\.example.org/",
        "https://127.0.0.1\\@example.org/",
        "https://example.org\\@127.0.0.1/",
        "https://127.0.0.1%2f.example.org/",
        "https://127.0.0.1%23.example.org/",
        "https://user@example.org/",
        "https://@example.org/",
        "https://exam\tple.org/",
        "https://example.org/a\nb",
        "https://example.org/a b",
        " https://example.org/",
        "https://127.0.0.1 .example.org/",
        "https://127.0.0.1;.example.org/",
        "https://127.0.0.1,example.org/",
        "https://127.0.0.1:80:example.org/",
        "https://example.org:https/",
        "https://a..example.org/",
        "https://-.example.org/",
        "https://bücher.example.org/",
        f"https://{'a' * 64}.org/",
        f"https://{'a.' * 126}org/",
    ],
)
def test_what_only_the_gateway_itself_may_look_at(url: str) -> None:
    assert not is_public(url)
