"""Signatures that prove themselves: what this upstream signed it knows again, without having kept it."""

import base64
import binascii
import hashlib

PERSON = b"reynard upstream"  # blake2b takes 16 bytes: nothing else makes the same signature
SIZE = 24


def signature(text: bytes) -> str:
    """The signature of `text`, in base64."""
    return base64.b64encode(hashlib.blake2b(text, digest_size=SIZE, person=PERSON).digest()).decode()


def sealed(text: bytes) -> str:
    """`text` and its signature, as one opaque word."""
    return base64.b64encode(hashlib.blake2b(text, digest_size=SIZE, person=PERSON).digest() + text).decode()


def is_sealed(word: str) -> bool:
    """Whether `word` is one that `sealed` made."""
    try:
        opened = binascii.a2b_base64(word, strict_mode=True)
    except ValueError:
        return False
    return sealed(opened[SIZE:]) == word
