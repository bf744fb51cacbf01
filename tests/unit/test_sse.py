import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reynard.providers.sse import MAX_EVENT_BYTES, Event, EventTooLarge, SSEParser

CORPUS: dict[str, tuple[bytes, list[Event]]] = {
    "one event": (b"data: a\n\n", [Event("", b"a")]),
    "no space": (b"event:x\ndata:a\n\n", [Event("x", b"a")]),
    "one space of two": (b"data:  a\n\n", [Event("", b" a")]),
    "trailing space": (b"data: a \n\n", [Event("", b"a ")]),
    "crlf": (b"event: x\r\ndata: a\r\n\r\ndata: b\r\n\r\n", [Event("x", b"a"), Event("", b"b")]),
    "cr": (b"event: x\rdata: a\r\rdata: b\r\r", [Event("x", b"a"), Event("", b"b")]),
    "mixed ends": (b"data: a\r\ndata: b\rdata: c\n\r\ndata: d\n\n", [Event("", b"a\nb\nc"), Event("", b"d")]),
    "comments": (b": ping\n\n:\ndata: a\n: in between\ndata: b\n\n: bye\n", [Event("", b"a\nb")]),
    "several data lines": (b"data: a\ndata: b\ndata:\n\n", [Event("", b"a\nb\n")]),
    "byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [Event("", b"a")]),
    "a mark further on is text": (b"data: \xef\xbb\xbfa\n\n\xef\xbb\xbfdata: b\n\n", [Event("", b"\xef\xbb\xbfa")]),
    "half a mark is no mark": (b"\xef\xbbdata: a\n\ndata: b\n\n", [Event("", b"b")]),
    "multi-byte": ("event: é\ndata: 🦊é漢\n\n".encode(), [Event("é", "🦊é漢".encode())]),
    "separators of unicode": ("data: a\u2028b\x85c\x0bd\n\n".encode(), [Event("", "a\u2028b\x85c\x0bd".encode())]),
    "no final newline": (b"data: a\n\ndata: b", [Event("", b"a"), Event("", b"b")]),
    "one final newline": (b"event: x\ndata: b\n", [Event("x", b"b")]),
    "final cr": (b"data: b\r", [Event("", b"b")]),
    "data without a colon": (b"data\n\ndata\ndata\n\n", [Event("", b""), Event("", b"\n")]),
    "empty data": (b"data:\n\n", [Event("", b"")]),
    "unknown fields": (b"id: 7\nretry: 10\ndatum: b\ndata: a\n data: c\n\n", [Event("", b"a")]),
    "a name without data is no event": (b"event: x\n\ndata: a\n\n", [Event("", b"a")]),
    "the last name counts": (b"event: x\nevent: y\ndata: a\n\n", [Event("y", b"a")]),
    "colons in data": (b"data: a: b\n\n", [Event("", b"a: b")]),
    "blank lines": (b"\n\n\r\n\rdata: a\n\n\n\n", [Event("", b"a")]),
    "zero bytes": (b"data: a\x00b\n\n", [Event("", b"a\x00b")]),
    "nothing": (b"", []),
    "a mark alone": (b"\xef\xbb\xbf", []),
}


def parsed(*pieces: bytes) -> list[Event]:
    parser = SSEParser()
    return [event for piece in pieces for event in parser.feed(piece)] + parser.close()


@pytest.mark.parametrize("name", CORPUS)
def test_a_stream_has_its_events(name: str) -> None:
    stream, events = CORPUS[name]
    assert parsed(stream) == events


@pytest.mark.parametrize("name", CORPUS)
def test_one_cut_at_any_byte_changes_nothing(name: str) -> None:
    stream, events = CORPUS[name]
    for cut in range(len(stream) + 1):
        assert parsed(stream[:cut], stream[cut:]) == events
        assert parsed(stream[:cut], b"", stream[cut:]) == events


@pytest.mark.parametrize("name", CORPUS)
def test_two_cuts_at_any_bytes_change_nothing(name: str) -> None:
    stream, events = CORPUS[name]
    for first in range(len(stream) + 1):
        for second in range(first, len(stream) + 1):
            assert parsed(stream[:first], stream[first:second], stream[second:]) == events


@pytest.mark.parametrize("name", CORPUS)
def test_byte_for_byte_changes_nothing(name: str) -> None:
    stream, events = CORPUS[name]
    assert parsed(*[stream[at : at + 1] for at in range(len(stream))]) == events


def test_the_whole_corpus_in_a_row_is_its_parts_in_a_row() -> None:
    whole = [name for name in CORPUS if "mark" not in name and "final" not in name]
    stream = b"\n\n".join(CORPUS[name][0] for name in whole)
    assert parsed(stream) == [event for name in whole for event in CORPUS[name][1]]


line_ends = st.sampled_from([b"\n", b"\r", b"\r\n"])
words = st.sampled_from([b"data", b"data: ", b"event: x", b": ", b"a", "é".encode(), b"\xef\xbb\xbf", b":", b"\xff"])
streams = st.lists(words | line_ends, max_size=24).map(b"".join) | st.binary(max_size=40)


@given(streams, st.lists(st.integers(0, 60), max_size=6))
def test_random_cuts_change_nothing(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assert parsed(*[stream[begin:end] for begin, end in pairwise(edges)]) == parsed(stream)


pieces = st.lists(
    st.sampled_from(
        [
            b"data: a\n\n",
            b"data: b\n\ndata: c\n\n",
            b"data:d\n\n",
            b"data: e\n",
            b"\n",
            b": f\n\n",
            b"event: g\n",
            b"data: h",
            b"data: p\n\ndata:q\n\n",
            b"event: i\n\ndata: j\n\n",
            b"data: k\rdata: l\n\n",
            b"data: m\n\n\n\n",
            b"\n\n",
            b"data: n\n\ndata: o\n",
            b"\r",
        ]
    )
)


@given(pieces)
def test_what_comes_event_by_event_is_what_comes_at_once(pieces: list[bytes]) -> None:
    assert parsed(*pieces) == parsed(b"".join(pieces))


def test_an_event_is_given_as_soon_as_its_blank_line_is_there() -> None:
    parser = SSEParser()
    assert parser.feed(b"data: a\n") == []
    assert parser.feed(b"\n") == [Event("", b"a")]
    assert parser.feed(b"data: b\n\ndata: c") == [Event("", b"b")]
    assert parser.close() == [Event("", b"c")]


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (b"data: ", b"a" * 100),
        (b"data: ", b"a" * 65_536),
        (b"data: a\n", b"data: " + b"a" * 100 + b"\n"),
        (b"data: a\r", b"data: " + b"a" * 100 + b"\r"),
        (b"data: a\r\n", b"data: " + b"a" * 100 + b"\r\n"),
        (b"data: a\n", b"data\n" * 20_000),
        (b"data: a\n", b"data:\n" * 20_000),
        (b": ", b"a" * 100),
        (b"event: ", b"a" * 100),
    ],
)
def test_an_event_without_end_is_refused_in_bounded_time(first: bytes, piece: bytes) -> None:
    pieces = [first, *[piece] * (7 * MAX_EVENT_BYTES // len(piece))]
    begun = time.process_time()
    with pytest.raises(EventTooLarge):
        parsed(*pieces)
    assert time.process_time() - begun < 5


def test_an_event_in_one_piece_is_refused_too() -> None:
    with pytest.raises(EventTooLarge):
        SSEParser().feed(b"data: " + b"a" * (MAX_EVENT_BYTES + 1) + b"\n\n")


def test_an_event_below_the_limit_is_taken_in_small_pieces_in_bounded_time() -> None:
    data = b"a" * (MAX_EVENT_BYTES - 1000)
    begun = time.process_time()
    events = parsed(b"data: ", *[data[at : at + 64] for at in range(0, len(data), 64)], b"\n\n")
    assert [len(event.data) for event in events] == [len(data)]
    assert time.process_time() - begun < 5


def test_many_events_together_may_be_longer_than_one() -> None:
    event = b"data: " + b"a" * 1000 + b"\n\n"
    parser = SSEParser(limit=2000)
    assert sum(len(parser.feed(event)) for _ in range(1000)) == 1000
    assert len(parser.feed(event * 1000)) == 1000


def test_comments_without_end_are_not_an_event() -> None:
    parser = SSEParser(limit=100)
    for _ in range(100):
        assert parser.feed(b": ping\n\n") == []


@pytest.mark.parametrize(
    ("data", "silent"),
    [
        (b"", True),
        (b": a\n\n: b\r\n", True),
        (b": data: x", True),
        (b"\n\n", True),
        (b": a\n\nd", False),
        (b"data: x\n\n: a\n", False),
        (b"data:\n", False),
    ],
)
def test_comments_alone_are_silence(data: bytes, silent: bool) -> None:
    whole, cut = SSEParser(), SSEParser()
    whole.feed(data)
    for position in range(len(data)):
        cut.feed(data[position : position + 1])
    assert (whole.is_silent, cut.is_silent) == (silent, silent)
