"""Which call a piece of one belongs to. Some servers give every parallel call the index 0, or none at all
(https://github.com/ollama/ollama/issues/15457, https://github.com/vercel/ai/issues/14277)."""

from reynard.providers.openai.wire import WireToolCallDelta


class _Call:
    """A call that began: the number that clients see, and what tells it from the next one."""

    __slots__ = ("id", "name", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.id = ""
        self.name = ""


class Calls:
    """The calls of one choice, numbered from 0 in the order in which they begin.

    A new id begins a new call, whatever its index; without an id, a new name does. Without an index, a piece belongs to
    the call of its id, or else to the last one.
    """

    __slots__ = ("_by_id", "_by_index", "_last", "_number")

    def __init__(self) -> None:
        self._by_index: dict[int, _Call] = {}  # the latest call of that index
        self._by_id: dict[tuple[int | None, str], _Call] = {}
        self._last: _Call | None = None
        self._number = 0

    def settle(self, pieces: list[WireToolCallDelta]) -> None:
        """Gives each piece the number of its call."""
        for piece in pieces:
            call = self._call(piece)
            if piece.id and not call.id:
                call.id = piece.id
                self._by_id[piece.index, piece.id] = self._by_id[None, piece.id] = call
            call.name = _name(piece) or call.name
            if piece.index is not None:
                self._by_index[piece.index] = call
            self._last = call
            piece.index = call.number

    def _call(self, piece: WireToolCallDelta) -> _Call:
        known = self._last if piece.index is None else self._by_index.get(piece.index)
        if piece.id:
            if known is not None and known.id in ("", piece.id):
                return known if known.id or not _other(known, piece) else self._new()
            return self._by_id.get((piece.index, piece.id)) or self._new()
        return self._new() if known is None or _other(known, piece) else known

    def _new(self) -> _Call:
        self._number += 1
        return _Call(self._number - 1)


def _name(piece: WireToolCallDelta) -> str:
    return (piece.function.name if piece.function is not None else None) or ""


def _other(call: _Call, piece: WireToolCallDelta) -> bool:
    """Whether the name of a piece without a known id begins another call: any name where there is no index; where there
    is one, a name said again is the same call's."""
    name = _name(piece)
    return bool(name and call.name) and (piece.index is None or name != call.name)
