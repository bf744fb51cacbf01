"""What is sent: the same chat completion to everybody, with an image inside of the size that is wanted."""

import base64
import random
import struct
import zlib
from functools import cache
from typing import Final

import msgspec

from bench.subject import MODEL

SAID: Final = "Say hello."
SIDE: Final = 64  # pixels
BESIDE: Final = 8 + 13 + 4 * 12  # bytes of a picture beside its pixels: signature, header, frames of its four chunks


@cache
def chat(size: int = 0) -> bytes:
    """A chat completion of about `size` bytes in all, the rest of it an image in place; 0 is a few words alone."""
    if not size:
        return _encoded(SAID)
    return _encoded(_seen(png((size - len(_encoded(_seen(b"")))) * 3 // 4)))


def _seen(picture: bytes) -> list[object]:
    url = {"url": f"data:image/png;base64,{base64.b64encode(picture).decode()}"}
    return [{"type": "text", "text": SAID}, {"type": "image_url", "image_url": url}]


def _encoded(content: object) -> bytes:
    return msgspec.json.encode({"model": MODEL, "messages": [{"role": "user", "content": content}], "max_tokens": 24})


def png(size: int) -> bytes:
    """A picture that every reader takes, of `size` bytes: most of them in a chunk that readers pass over."""
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((SIDE + 1) * SIDE))
    filling = random.Random(0).randbytes(size - BESIDE - len(pixels))  # the same in every run
    chunks = (_chunk(b"IHDR", header), _chunk(b"fiLl", filling), _chunk(b"IDAT", pixels), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
