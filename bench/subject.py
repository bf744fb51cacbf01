"""What is measured: a server that answers `POST /v1/chat/completions`, pinned to a core."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from msgspec import Struct

MODEL = "gpt-5.5"
CHAT = "/v1/chat/completions"


class Unavailable(Exception):
    """A subject that cannot be installed or does not start; the message says why. It is reported, never skipped."""


class Subject(Struct, frozen=True, kw_only=True):
    """A running server. `headers`: what each request needs beside its body; `pids`: all of its processes."""

    name: str
    version: str
    url: str
    pids: tuple[int, ...]
    headers: Mapping[str, str] = {}
    path: str = CHAT
    model: str = MODEL
    started_s: float = 0.0


Start = Callable[[int, str, Path], AbstractContextManager[Subject]]
"""Core, the upstream's URL (without `/v1`), a folder of its own → the running subject. Raises `Unavailable`."""
