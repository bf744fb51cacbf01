"""How our own are started: Reynard with room for thousands of streams, or with a queue, and the limit of its stack."""

from functools import partial
from typing import Final

from bench import bare, reynard
from bench.subject import Start

OPEN: Final = "concurrency = 8_000\nfirst_byte_timeout_s = 600\n[engine]\nmax_running = 8_000\nmax_sync = 8_000\n"
"""Of calls in place a key has three quarters, of a channel as well."""
QUEUE: Final = "concurrency = 8\nanswer_timeout_s = 600\n[engine]\nmax_running = 16\n"

roomy: Start = partial(reynard.start, settings=OPEN)
queueing: Start = partial(reynard.start, settings=QUEUE)
relay: Start = bare.stack("bare relay", "bench.streams.relay")
