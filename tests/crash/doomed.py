"""A gateway that dies where it is told to, with prices and a limited key, so that every request moves money."""

import asyncio
import signal
import threading
import time
from functools import partial
from pathlib import Path

import msgspec
from tests.crash.books import GRANTED, PRICE
from tests.crash.clients import Crowd
from tests.crash.gateway import Order, watch_all
from tests.forks import Forked
from tests.processes import UPSTREAM_KEY, Ended, Gateway, Upstream, environment, running
from tests.receiver import Receiver

from reynard.bootstrap.data_dir import new_key, open_store
from reynard.bootstrap.system import SystemChance, SystemClock
from reynard.core.ledger import Entry

ORDERS = "kill.json"
FAULTY = "gpt-5.4"
MODELS = {
    "gpt-5.5": "gpt-5.5",
    FAULTY: "gpt-5.4?fail.cut_stream_rate=0.5",
    "kimi-k2.6": "kimi?tokens=100&tokens_per_s=250",
}


def config(upstream: Upstream) -> str:
    """Channels to one that is quick, one that breaks off half of its streams, and one that takes its time."""
    rows = ["[webhooks]\nallow_private_networks = true\n[chunks]\nretention_s = 86_400\n"]
    for model, told in MODELS.items():
        rows.append(
            f'[[channels]]\nname = "{model}"\ndialect = "openai"\nbase_url = "{upstream.url}/v1"\nconcurrency = 512\n'
            f'api_key = "{UPSTREAM_KEY}"\nmodels = [{{ id = "{model}", upstream = "{told}" }}]\n'
            f'[[models]]\nid = "{model}"\nprice = {{ input = {PRICE["input"]}, output = {PRICE["output"]} }}\n'
        )
    return "".join(rows)


class Doomed(Gateway):
    """The real gateway, in a process that kills itself at a boundary when it is armed."""

    def __init__(
        self, folder: Path, upstream: Upstream, order: Order | None = None, life_s: float | None = None
    ) -> None:
        self._life_s = life_s
        self._orders = folder / ORDERS
        self.arm(order)
        super().__init__(folder, config(upstream))

    def _spawn(self, command: list[str]) -> Forked:
        before = partial(watch_all, str(self._orders))
        forked = Forked(command[1:], Path(self._log.name), environment(), before=before)
        if self._life_s is not None:
            threading.Timer(self._life_s, forked.send_signal, (signal.SIGKILL,)).start()
        return forked

    def arm(self, order: Order | None) -> None:
        """From here on."""
        written = self._orders.with_suffix(".new")
        written.write_bytes(msgspec.json.encode(order))
        written.replace(self._orders)

    def die(self) -> None:
        """Waits for the kill that was ordered."""
        assert self.close() == -signal.SIGKILL


def dies_while_it_starts(
    folder: Path, upstream: Upstream, order: Order | None = None, life_s: float | None = None
) -> None:
    """A gateway that is killed at a boundary of its start, or after a moment, before it listens or soon after."""
    try:
        with running(Doomed(folder, upstream, order, life_s)) as gateway:
            gateway.die()
    except Ended as ended:
        if ended.code != -signal.SIGKILL:
            raise


def crowd_of(gateway: Gateway, receiver: Receiver) -> Crowd:
    """Clients with a new limited key, and credits."""

    async def make() -> str:
        store = open_store(gateway.folder / "data")
        secret, key = new_key(SystemChance(), SystemClock(), name="crowd", limited=True)
        await store.add_key(key)
        await store.post(Entry(key_id=key.id, kind="grant", amount=GRANTED, at=time.time()))
        await store.close()
        return secret

    return Crowd(asyncio.run(make()), receiver)
