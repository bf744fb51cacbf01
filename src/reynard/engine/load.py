"""How much is under way on a node."""

from collections.abc import Mapping

from msgspec import Struct


class Load(Struct, frozen=True):
    """`tasks`: pending (as far as this node knows), running, and sync calls that are open. `streams`: in the log.

    `webhooks`: deliveries that this node has taken up.
    """

    tasks: Mapping[str, int]
    streams: int
    stream_bytes: int
    webhooks: int
