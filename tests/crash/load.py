"""All kinds of requests at once, on a gateway that is killed in the middle of it, again and again."""

import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.crash.clients import KINDS, Crowd, Told
from tests.crash.doomed import MODELS, Doomed, crowd_of, dies_while_it_starts
from tests.crash.invariants import books, check
from tests.processes import Upstream, running
from tests.receiver import Receiver

CLIENTS: Final = 8
LONGEST_S: Final = 0.5
PACE: Final = {"first_token_ms": 5, "tokens": 20, "tokens_per_s": 200}


class Rounds:
    """Kills at moments that `seed` draws. Each time all that was told since the last check is checked."""

    def __init__(self, folder: Path, upstream: Upstream, receiver: Receiver, seed: int) -> None:
        self._folder = folder
        self._upstream = upstream
        self._receiver = receiver
        print(f"seed {seed}")  # a test that fails shows it
        self._draw = random.Random(seed)
        self._crowd: Crowd | None = None
        self._checked = 0
        self.kills = 0

    @property
    def crowd(self) -> Crowd:
        assert self._crowd is not None
        return self._crowd

    def run(self, kills: int) -> None:
        """So many of them, and then everything once more."""
        while self.kills < kills:
            self._round()
            self.kills += 1
            if self.kills % 10 == 0:
                print(f"{self.kills} kills, {len(self.crowd.told)} requests", flush=True)
        with running(Doomed(self._folder, self._upstream)) as gateway:
            check(gateway, self.crowd)

    def _round(self) -> None:
        """One life of a gateway. What was told before is checked in two of three, the others have no time for that;
        some are killed while they start."""
        self._upstream.behave(**PACE, seed=self.kills)
        if self._crowd is not None and self._draw.random() < 0.1:
            dies_while_it_starts(self._folder, self._upstream, life_s=self._draw.uniform(0, 0.2))
            return
        with running(Doomed(self._folder, self._upstream)) as gateway:
            if self._crowd is None:
                self._crowd = crowd_of(gateway, self._receiver)
            if self._draw.random() < 0.66:
                self._check(gateway)
            else:
                books(gateway)
            with self._load(gateway):
                time.sleep(self._draw.uniform(0, LONGEST_S))
                gateway.popen.send_signal(signal.SIGKILL)
            gateway.die()

    def _check(self, gateway: Doomed) -> None:
        new = self.crowd.told[self._checked :]
        check(gateway, self.crowd, new)
        self._checked += len(new)

    @contextmanager
    def _load(self, gateway: Doomed) -> Iterator[None]:
        """While this lasts; ends with the gateway."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            left = [told for told in self.crowd.told[self._checked :] if told.name or (told.read and not told.end)]
            seeds = [self._draw.random() for _ in range(CLIENTS)]
            over = threading.Event()
            clients = [
                pool.submit(self._keep_asking, gateway.url, random.Random(seed), left[n::CLIENTS], over)
                for n, seed in enumerate(seeds)
            ]
            try:
                yield
            finally:
                over.set()
            for client in clients:
                client.result()

    def _keep_asking(self, url: str, draw: random.Random, left: list[Told], over: threading.Event) -> None:
        with self.crowd.client(url) as client:
            for told in left:
                if not self.crowd.go_on(client, told):
                    return
            while not over.is_set():
                self.crowd.ask(client, draw.choice(list(KINDS)), draw.choice(list(MODELS)))
