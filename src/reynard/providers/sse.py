"""Server-sent events, parsed sans-I/O: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream."""

from typing import Final

from msgspec import Struct

MAX_EVENT_BYTES: Final = 5_000_000


class Event(Struct, frozen=True, gc=False):
    """One event: its `event:` field, empty if it has none, and its data lines joined."""

    name: str
    data: bytes


class EventTooLarge(ValueError):
    """An event longer than the parser keeps."""


class SSEParser:
    """Feed it bytes cut anywhere; it gives the events they complete.

    CR, LF and CRLF end a line; comments and unknown fields are passed over; several data lines are joined by LF.
    """

    __slots__ = ("_begun", "_between", "_data", "_limit", "_name", "_rest", "_said", "_size")

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._limit = limit
        self._rest: list[bytes] = []  # of the line under way, in pieces: a long one is joined once
        self._data: list[bytes] = []  # of the event under way
        self._size = 0  # bytes held of the event under way
        self._name = ""
        self._begun = False
        self._between = False  # events: nothing is held of another
        self._said = False

    @property
    def is_silent(self) -> bool:
        """Whether there were only comments so far, whole or in part, and empty lines."""
        return not self._said and (not self._rest or self._rest[0][:1] in (b"", b":", b"\r"))

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes. Raises `EventTooLarge`."""
        if self._between and (whole := self._whole(data)):
            self._said = True
            return whole
        events = self._lines(data)
        self._between = self._begun and not (self._rest or self._data or self._name)
        return events

    def _whole(self, data: bytes) -> list[Event] | None:
        """The events in `data`, if each is one line of data and all of it is there, as most parts of a body are."""
        if data[-2:] != b"\n\n" or data.find(b"\r") >= 0 or len(data) > self._limit:
            return None
        texts = data[:-2].split(b"\n\n")
        if data.count(b"\n") != 2 * len(texts):
            return None
        events = [Event("", text[6:]) for text in texts if text[:6] == b"data: "]
        return events if len(events) == len(texts) else None

    def _lines(self, data: bytes) -> list[Event]:
        if b"\n" not in data and b"\r" not in data and self._begun and not self._ends_in_cr():
            self._hold(data)
            return []
        text = b"".join([*self._rest, data])
        if not self._begun:
            if len(text) < 3 and b"\xef\xbb\xbf".startswith(text):
                self._rest = [text]
                return []
            text = text.removeprefix(b"\xef\xbb\xbf")
            self._begun = True
        self._size -= sum(map(len, self._rest)) if self._size else 0
        self._rest = []
        held = b""
        if b"\r" in text:
            if text[-1:] == b"\r":  # half of a CRLF, perhaps
                text, held = text[:-1], b"\r"
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = text.split(b"\n")
        rest = lines.pop() + held
        events = self._take(lines)
        self._hold(rest)
        return events

    def _ends_in_cr(self) -> bool:
        return bool(self._rest) and self._rest[-1][-1:] == b"\r"

    def _hold(self, data: bytes) -> None:
        if data:
            self._rest.append(data)
            self._size += len(data)
            if self._size > self._limit:
                raise EventTooLarge(f"an event has more than {self._limit} bytes")

    def close(self) -> list[Event]:
        """The event that the end of the body completes. The standard drops it; a provider that forgot its last newline
        still said it."""
        line = b"".join(self._rest).removesuffix(b"\r")
        self._rest = []
        return self._take([line, b""])

    def _take(self, lines: list[bytes]) -> list[Event]:
        events: list[Event] = []
        for line in lines:
            if not line:
                if self._data:
                    data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                    events.append(Event(self._name, data))
                    self._data = []
                    self._size = 0
                self._name = ""
            elif line[:1] == b":":
                continue
            elif line.startswith(b"data:"):
                self._add(line[6:] if line[5:6] == b" " else line[5:])
            elif line.startswith(b"event:"):
                self._name = line[6:].strip().decode("utf-8", "replace")
            elif line == b"data":
                self._add(b"")
        return events

    def _add(self, value: bytes) -> None:
        self._said = True
        self._data.append(value)
        self._size += len(value) + 1  # an empty line takes room, too
        if self._size > self._limit:
            raise EventTooLarge(f"an event has more than {self._limit} bytes")
