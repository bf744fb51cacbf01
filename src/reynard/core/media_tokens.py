"""How many tokens a piece of media is to a model: its provider's public rule, as data (`media_tokens` of a model).

Counted from headers alone. Of a data URI or of base64 the first `FIRST` bytes are decoded, or `MOST` where those do not
tell; its size follows from its length. An address or the id of a file is one that nobody has looked at: it counts what
`Unknown` has.
"""

import binascii
from collections.abc import Callable
from math import ceil, sqrt
from typing import Annotated, Final, Literal, TypeVar

from msgspec import Meta, Struct

from reynard.core import measures
from reynard.core.formats import Kind, type_of

FIRST: Final = 3_072
MOST: Final = 65_535
"""Bytes that are decoded of a piece of media, at the most: multiples of three, to cut base64 between its groups."""
MOST_OF_A_PIECE: Final = 2_000_000
"""Tokens that one piece counts, at the most: no model reads more."""

_LONGEST_DATA_PREFIX = 256

T = TypeVar("T")
Detail = Literal["auto", "low", "high"]
Count = Annotated[int, Meta(ge=0, le=MOST_OF_A_PIECE)]
Least = Annotated[int, Meta(ge=1, le=10_000_000)]


class _Rule(Struct, frozen=True, kw_only=True, tag_field="rule", forbid_unknown_fields=True):
    """A rule for images, told by its `rule`."""


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an image is scaled down to: `most` patches, `longest` pixels on its longer side."""

    most: Least = 10_000_000
    longest: Least = 10_000_000


class Patches(_Rule, frozen=True, kw_only=True, tag="patches"):
    """Squares of `side` pixels that cover the image, scaled down to `most` of them and to `longest` pixels; each is
    `times` tokens. `details`: other limits, where the request says how closely to look.

    The rule of OpenAI, Anthropic (https://platform.claude.com/docs/en/build-with-claude/vision), Moonshot and NVIDIA.
    """

    side: Least
    most: Least = 10_000_000
    longest: Least = 10_000_000
    least: Count = 0
    times: Annotated[float, Meta(ge=0, le=100)] = 1.0
    details: dict[Detail, Limits] = {}

    def count(self, size: measures.Pixels, detail: Detail) -> int:
        """Tokens of an image of this size."""
        limits = self.details.get(detail, Limits(most=self.most, longest=self.longest))
        covered = max(self.least, min(_covered(size, limits, self.side), limits.most))
        return -(-covered * round(self.times * 1_000) // 1_000)


class Tiles(_Rule, frozen=True, kw_only=True, tag="tiles"):
    """Tiles of `side` pixels that cover the image, scaled down to `longest` on its longer side and `shortest` on the
    other; each is `tokens`, and `base` are added. At the detail `low` there is the base alone.

    OpenAI's rule up to GPT-5.1: https://developers.openai.com/api/docs/guides/images-vision.
    """

    tokens: Count
    base: Count = 0
    side: Least = 512
    longest: Least = 2_048
    shortest: Least = 768

    def count(self, size: measures.Pixels, detail: Detail) -> int:
        """Tokens of an image of this size."""
        if detail == "low":
            return self.base
        width, height = _scaled(size, min(1.0, self.longest / max(size)))
        width, height = _scaled((width, height), min(1.0, self.shortest / min(width, height)))
        return self.base + self.tokens * -(-width // self.side) * -(-height // self.side)


class Crops(_Rule, frozen=True, kw_only=True, tag="crops"):
    """One crop, of `tokens`, up to `small` pixels on both sides; else crops whose side is the image's shorter one
    divided by 1.5, but `least` at the least and `most` at the most.

    Google's rule up to Gemini 2.5: https://ai.google.dev/gemini-api/docs/image-understanding.
    """

    tokens: Count
    small: Least = 384
    least: Least = 256
    most: Least = 768
    longest: Least = 3_072

    def count(self, size: measures.Pixels, _: Detail) -> int:
        """Tokens of an image of this size."""
        if max(size) <= self.small:
            return self.tokens
        width, height = _scaled(size, min(1.0, self.longest / max(size)))
        side = max(self.least, min(self.most, min(width, height) * 2 // 3))
        return self.tokens * -(-width // side) * -(-height // side)


class Flat(_Rule, frozen=True, kw_only=True, tag="flat"):
    """Any image is as many tokens."""

    tokens: Count

    def count(self, _: measures.Pixels, __: Detail) -> int:
        """Tokens of an image."""
        return self.tokens


class Timed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Audio or video: `per_second` tokens, for the seconds that it tells, or for its bytes at `bytes_per_second`."""

    per_second: Annotated[float, Meta(ge=0, le=100_000)]
    bytes_per_second: Least

    def of(self, seconds: float) -> int:
        """Tokens of so many seconds."""
        return ceil(min(seconds * self.per_second, MOST_OF_A_PIECE))


class Paged(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document: `per_page` tokens, for the pages that a PDF tells in its header, or its bytes at `bytes_per_page`, up
    to `most_pages`. One that is plain text is a token for every `text_bytes`."""

    per_page: Count = 3_000
    bytes_per_page: Least = 50_000
    most_pages: Least = 1_000
    text_bytes: Least = 3

    def count(self, head: bytes, size: int) -> int:
        """Tokens of a document of `size` bytes that begins with `head`."""
        if type_of(head, "file") in (None, "text/html"):
            return -(-size // self.text_bytes)
        return self.of(measures.pages(head) or -(-size // self.bytes_per_page))

    def of(self, pages: int) -> int:
        """Tokens of so many pages."""
        return self.per_page * max(1, min(pages, self.most_pages))


class Unknown(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What media is taken to be where nothing tells: of what size an image, how long a video or sound, how long a
    document."""

    width: Least = 1_920
    height: Least = 1_080
    seconds: Least = 300
    pages: Least = 10


class MediaTokens(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules of a model. The defaults are for one of which nothing is known: high, rather than low."""

    image: Patches | Tiles | Crops | Flat = Flat(tokens=1_600)
    audio: Timed = Timed(per_second=32, bytes_per_second=8_000)
    video: Timed = Timed(per_second=300, bytes_per_second=125_000)
    file: Paged = Paged()
    unknown: Unknown = Unknown()


class Piece(Struct, frozen=True):
    """A piece of media as a client writes it: an address, a data URI, an id (`bare`: base64 alone)."""

    kind: Kind
    said: str
    detail: Detail = "auto"
    bare: bool = False


def count(piece: Piece, rules: MediaTokens) -> int:
    """Tokens of a piece of media. Never raises."""
    begin = _begin(piece)
    if begin is None:
        return min(_unknown(piece, rules), MOST_OF_A_PIECE)
    size = (len(piece.said) - begin) * 3 // 4 - piece.said[-2:].count("=")
    return min(max(_inline(piece, begin, size, rules), 0), MOST_OF_A_PIECE)


def head(said: str, begin: int, most: int) -> bytes:
    """Up to `most` of the bytes that are base64 in `said` from `begin` on; none if they are not."""
    try:
        return binascii.a2b_base64(said[begin : begin + most // 3 * 4])
    except ValueError:
        return b""


def _begin(piece: Piece) -> int | None:
    """Where base64 begins; None for what is somewhere else, or no data URI that one could read."""
    if piece.bare and piece.said[:5].lower() != "data:":
        return 0
    comma = piece.said.find(",", 0, _LONGEST_DATA_PREFIX)
    return comma + 1 if comma > 0 and piece.said[:5].lower() == "data:" else None


def _inline(piece: Piece, begin: int, size: int, rules: MediaTokens) -> int:
    match piece.kind:
        case "image":
            found = _told(measures.pixels, piece, begin)
            return _unknown(piece, rules) if found is None else rules.image.count(found, piece.detail)
        case "audio" | "video":
            rule = rules.audio if piece.kind == "audio" else rules.video
            played = _told(lambda head: measures.seconds(head, size), piece, begin)
            return rule.of(size / rule.bytes_per_second if played is None else played)
        case "file":
            return rules.file.count(head(piece.said, begin, FIRST), size)


def _told(read: Callable[[bytes], T | None], piece: Piece, begin: int) -> T | None:
    """What the first bytes tell, or else the first many."""
    found = read(head(piece.said, begin, FIRST))
    return read(head(piece.said, begin, MOST)) if found is None else found


def _unknown(piece: Piece, rules: MediaTokens) -> int:
    match piece.kind:
        case "image":
            return rules.image.count((rules.unknown.width, rules.unknown.height), piece.detail)
        case "audio":
            return rules.audio.of(rules.unknown.seconds)
        case "video":
            return rules.video.of(rules.unknown.seconds)
        case "file":
            return rules.file.of(rules.unknown.pages)


def _scaled(size: measures.Pixels, by: float) -> measures.Pixels:
    return max(1, int(size[0] * by)), max(1, int(size[1] * by))


def _covered(size: measures.Pixels, limits: Limits, side: int) -> int:
    """Patches, with OpenAI's rounding: an image that is scaled fills its last row or its last column."""
    width, height = _scaled(size, min(1.0, limits.longest / max(size)))
    covered = -(-width // side) * -(-height // side)
    if covered <= limits.most:
        return covered
    shrink = sqrt(side * side * limits.most / (width * height))
    shrink *= min(_whole(width * shrink / side), _whole(height * shrink / side))
    width, height = _scaled((width, height), shrink)
    return -(-width // side) * -(-height // side)


def _whole(patches: float) -> float:
    """By how much a side shrinks to whole patches."""
    return int(patches) / patches if patches >= 1 else 1.0
