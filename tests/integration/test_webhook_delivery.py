"""The outbox in this process, on a store of its own and a clock that is told, with real receivers."""

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.receiver import Post, Receiver, event, is_signed

from reynard.bootstrap.system import SystemChance
from reynard.core import addresses
from reynard.core.addresses import Address
from reynard.core.errors import StoreUnavailable
from reynard.core.keys import Key
from reynard.core.task import Status, Task, TaskError, Terms
from reynard.core.webhooks import Delivery, Try
from reynard.engine import courier, outbox
from reynard.engine.courier import Courier
from reynard.engine.jobs import Jobs
from reynard.engine.outbox import SWEEP_S, TO_ONE_RECEIVER, Outbox
from reynard.engine.webhooks import Webhooks
from reynard.http import views
from reynard.ports.webhooks import NotDelivered
from reynard.providers.fetcher import FetchRules, guarded
from reynard.providers.fetcher.lookup import MOST_OF_ONE_DOMAIN
from reynard.providers.webhooks import GuardedNotifier
from reynard.storage.master import MasterSecret, MasterUnreadable
from reynard.storage.sqlite import SQLiteStore
from reynard.testing.clock import FakeClock

KEY = Key(id="key-a", digest=b"a" * 32, name="a", hint="sk-…", created=1.0)
OTHER = Key(id="key-b", digest=b"b" * 32, name="b", hint="sk-…", created=2.0)
RESULT = b'{"id":"chatcmpl-1","choices":[]}'
OPEN = FetchRules(allow_private_networks=True, timeout_s=5.0)
PUBLIC = "127.0.0.2"


class PostOffice:
    """A store, and what delivers from it."""

    def __init__(self, folder: Path, rules: FetchRules = OPEN, concurrency: int = 32) -> None:
        self.store = SQLiteStore(folder / "reynard.db")
        self.clock = FakeClock()
        self.jobs = Jobs()
        self.master = MasterSecret(folder / "webhooks.secret")
        self.master.make()
        carrier = Courier(
            store=self.store,
            notifier=GuardedNotifier(rules),
            payload=views.event,
            master=self.master,
            clock=self.clock,
            chance=SystemChance(),
        )
        self.outbox = Outbox(self.store, carrier, self.clock, self.jobs, concurrency=concurrency)
        self.webhooks = Webhooks(
            store=self.store, outbox=self.outbox, master=self.master, clock=self.clock, allow_private_networks=True
        )
        self._ended = 0

    async def end_task(self, url: str, key: Key = KEY, **changes: Any) -> Delivery:
        """A task of `key`'s that has just ended, as the store keeps it; the outbox is told."""
        made = await self.keep_end(url, key, **changes)
        self.webhooks.wake(made.due)
        return made

    async def keep_end(self, url: str, key: Key = KEY, **changes: Any) -> Delivery:
        """The same, by another process."""
        self._ended += 1
        now = self.clock.now()
        task = Task(
            id=f"task-llm-{self._ended:08d}",
            key_id=key.id,
            model="gpt-5.5",
            form="text",
            status=Status.COMPLETED,
            created=now,
            started=now,
            ended=now,
            terms=Terms(callback_url=url),
        )
        await self.store.insert(replace(task, **changes), None, RESULT)
        return await self.found(f"msg_{task.id}")

    async def found(self, delivery_id: str) -> Delivery:
        found = await self.store.find_delivery(delivery_id)
        assert found is not None
        return found

    async def tries(self, delivery: Delivery) -> list[Try]:
        return await self.store.tries(delivery.id, 100)

    async def after(self, delivery: Delivery, tries: int) -> Delivery:
        """The delivery, when so many tries are kept."""

        async def kept() -> bool:
            return len(await self.tries(delivery)) >= tries

        await eventually(kept)
        return await self.found(delivery.id)

    async def is_postponed(self, delivery: Delivery) -> bool:
        """That it comes to be due later, with no try more."""

        async def is_later() -> bool:
            return (await self.found(delivery.id)).due > delivery.due

        await eventually(is_later)
        found = await self.found(delivery.id)
        return (found.state, found.attempt, await self.tries(delivery)) == ("pending", delivery.attempt, [])

    def later(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.outbox.wake(self.clock.now())

    async def close(self) -> None:
        await self.jobs.close()
        await self.store.close()


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await holds():
            await asyncio.sleep(0.005)


async def next_of(receiver: Receiver) -> Post:
    return await asyncio.to_thread(receiver.next)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[PostOffice]:
    made = PostOffice(tmp_path)
    for key in (KEY, OTHER):
        await made.store.add_key(key)
    made.webhooks.start()
    yield made
    await made.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as opened:
        yield opened


async def test_the_end_of_a_task_is_told_signed(office: PostOffice, receiver: Receiver) -> None:
    made = await office.end_task(receiver.url + "/hook?a=b")
    post = await next_of(receiver)
    [secret] = office.webhooks.secrets(KEY)
    assert is_signed(post, secret.secret)
    assert not is_signed(post, office.webhooks.secrets(OTHER)[0].secret)
    assert (post.path, post.id, post.headers["content-type"]) == ("/hook?a=b", made.id, "application/json")
    assert post.headers["webhook-timestamp"] == str(int(office.clock.now()))
    told = event(post)
    assert (told["type"], told["timestamp"]) == ("generation.completed", "2026-04-22T16:14:41.000000Z")
    assert told["data"]["id"] == made.task_id
    assert told["data"]["results"] == [{"id": "chatcmpl-1", "choices": []}]
    delivered = await office.after(made, 1)
    assert (delivered.state, delivered.attempt) == ("delivered", 1)
    [one] = await office.tries(made)
    assert (one.status, one.error, one.at) == (204, None, office.clock.now())


async def test_other_ends_are_told_as_what_they_are(office: PostOffice, receiver: Receiver) -> None:
    await office.end_task(receiver.url, status=Status.FAILED, error=TaskError("upstream_error", "no luck"))
    failed = event(await next_of(receiver))
    assert (failed["type"], failed["data"]["error"]["code"]) == ("generation.failed", "upstream_error")
    await office.end_task(receiver.url, status=Status.CANCELLED)
    assert event(await next_of(receiver))["type"] == "generation.cancelled"


async def test_a_receiver_that_was_down_is_told_when_it_is_up(office: PostOffice) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    made = await office.end_task(f"http://127.0.0.1:{port}/")
    down = await office.after(made, 1)
    assert (down.state, [one.error for one in await office.tries(made)]) == ("pending", ["unreachable"])
    assert 5.0 <= down.due - office.clock.now() <= 5.5
    with Receiver(port=port) as receiver:
        office.later(4.9)
        await asyncio.sleep(0)
        office.later(0.7)
        post = await next_of(receiver)
        assert post.id == made.id
        assert (await office.after(made, 2)).state == "delivered"
        assert receiver.count == 1


async def test_every_try_has_the_same_id_and_body_until_the_last(office: PostOffice, receiver: Receiver) -> None:
    receiver.answers["/"] = (500, {})
    made = await office.end_task(receiver.url + "/")
    posts = []
    for number in range(1, 11):
        posts.append(await next_of(receiver))
        found = await office.after(made, number)
        office.later(found.due - office.clock.now())
    assert (found.state, found.attempt) == ("failed", 10)
    assert {(post.id, post.body) for post in posts} == {(made.id, posts[0].body)}
    assert len({post.headers["webhook-timestamp"] for post in posts}) == 10
    assert all(is_signed(post, office.webhooks.secrets(KEY)[0].secret) for post in posts)
    office.later(1e6)
    assert await office.store.due_deliveries((0.0, ""), office.clock.now(), 1) == []


async def test_410_is_the_end_and_disables_the_keys_own_address(office: PostOffice, receiver: Receiver) -> None:
    receiver.answers["/gone"] = (410, {})
    own = replace(KEY, callback_url=receiver.url + "/gone")
    assert await office.store.update_key(own, was=KEY)
    made = await office.end_task(receiver.url + "/gone")
    assert (await office.after(made, 1)).state == "failed"

    async def is_disabled() -> bool:
        return await office.store.find_key(KEY.id) == KEY

    await eventually(is_disabled)


async def test_a_redirect_is_not_followed(office: PostOffice, receiver: Receiver) -> None:
    with Receiver() as inside:
        receiver.answers["/"] = (307, {"location": inside.url})
        made = await office.end_task(receiver.url + "/")
        found = await office.after(made, 1)
        assert (found.state, [one.status for one in await office.tries(made)]) == ("pending", [307])
        assert inside.count == 0


async def test_the_receivers_own_wish_counts(office: PostOffice, receiver: Receiver) -> None:
    receiver.answers["/"] = (503, {"retry-after": "600"})
    made = await office.end_task(receiver.url + "/")
    assert (await office.after(made, 1)).due == office.clock.now() + 600


async def test_one_that_hangs_holds_up_nobody(office: PostOffice, receiver: Receiver) -> None:
    """Of the same key, too: far more wait for it than are held."""
    with Receiver("127.0.0.2") as hung:
        hung.hanging = {"/"}
        for _ in range(100):
            await office.end_task(hung.url + "/")
        for key in (KEY, OTHER):
            made = await office.end_task(receiver.url + "/", key)
            assert (await next_of(receiver)).id == made.id
        assert hung.count == TO_ONE_RECEIVER


@pytest.mark.parametrize("hosts", [1, 100])
async def test_many_keys_whose_receivers_hang_hold_up_nobody(tmp_path: Path, receiver: Receiver, hosts: int) -> None:
    """Keys that share a host that hangs, and keys with more hosts that hang than there are places; and one more key."""
    office = PostOffice(tmp_path, FetchRules(allow_private_networks=True, timeout_s=600))
    with Receiver("0.0.0.0") as hung:
        hung.hanging = {"/"}
        for number in range(20):
            key = replace(KEY, id=f"key-{number}", digest=bytes([number]) * 32)
            await office.store.add_key(key)
            for place in range(hosts if hosts > 1 else 40):
                await office.keep_end(f"http://127.0.1.{1 + place % hosts}:{hung.port}/", key)
        await office.store.add_key(OTHER)
        office.webhooks.start()
        for _ in range(8 if hosts == 1 else 24):  # as many as are let hang
            await next_of(hung)
        made = await office.end_task(receiver.url, OTHER)
        assert (await next_of(receiver)).id == made.id
        assert office.outbox.held <= 20 * 32 + 1
        await office.close()


async def test_a_backlog_is_delivered_whole_and_once(office: PostOffice, receiver: Receiver) -> None:
    """Also what lay behind those that are held when the loop had gone on long ago."""
    receiver.hanging = {"/"}
    made = {(await office.end_task(receiver.url + "/")).id for _ in range(160)}
    posts = [(await next_of(receiver)).id]
    office.later(100)
    other = await office.end_task(receiver.url + "/other", OTHER)
    assert (await office.after(other, 1)).state == "delivered"
    receiver.go_on.set()
    posts += [(await next_of(receiver)).id for _ in made]
    assert sorted(posts) == sorted({*made, other.id})


async def test_a_backlog_beyond_every_bound_is_delivered_whole_and_once(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = {"PAGE": 3, "HELD": 3, "AHEAD": 1, "LOOK_S": 1_000.0}
    for name, value in bounds.items():
        monkeypatch.setattr(outbox, name, value)
    office = PostOffice(tmp_path, concurrency=4)
    receiver.hanging = {"/"}
    with Receiver("127.0.0.2", receiver.port) as second:
        for number in range(120):
            key = KEY if number % 3 else OTHER
            await office.keep_end(f"{(receiver, second)[number % 2].url}/", key)
        for key in (KEY, OTHER):
            await office.store.add_key(key)
        office.later(100)
        office.webhooks.start()
        await next_of(receiver)
        receiver.go_on.set()
        for _ in range(59):
            await next_of(receiver)
        for _ in range(60):
            await next_of(second)

        async def are_delivered() -> bool:
            return await office.store.due_deliveries((0.0, ""), office.clock.now(), 1) == []

        await eventually(are_delivered)
        assert (receiver.count, second.count) == (60, 60)
    await office.close()


async def test_a_redelivery_goes_out_at_once_under_its_id(office: PostOffice, receiver: Receiver) -> None:
    made = await office.end_task(receiver.url)
    assert (await office.after(made, 1)).state == "delivered"
    back = await office.webhooks.redeliver(made.id, KEY)
    assert (back.state, back.attempt) == ("pending", 0)
    assert {(await next_of(receiver)).id, (await next_of(receiver)).id} == {made.id}
    assert (await office.after(made, 2)).state == "delivered"


async def test_what_is_put_back_under_way_goes_out_once_more(office: PostOffice, receiver: Receiver) -> None:
    receiver.hanging = {"/"}
    made = await office.end_task(receiver.url + "/")
    await next_of(receiver)
    office.clock.advance(1)
    await office.webhooks.redeliver(made.id, KEY)
    office.later(100)  # a look that finds it in hand
    other = await office.end_task(receiver.url + "/other")
    assert (await office.after(other, 1)).state == "delivered"
    receiver.go_on.set()
    assert [(await next_of(receiver)).id for _ in range(2)] == [other.id, made.id]
    assert (await office.after(made, 2)).state == "delivered"


async def test_after_a_rotation_both_secrets_sign_for_a_day(office: PostOffice, receiver: Receiver) -> None:
    [old] = office.webhooks.secrets(KEY)
    new, still = await office.webhooks.rotate(KEY)
    assert (still.secret, still.expires, new.expires) == (old.secret, office.clock.now() + 86_400, None)
    await office.end_task(receiver.url)
    post = await next_of(receiver)
    assert is_signed(post, old.secret)
    assert is_signed(post, new.secret)
    office.later(86_400)
    await office.end_task(receiver.url)
    post = await next_of(receiver)
    assert not is_signed(post, old.secret)
    assert is_signed(post, new.secret)


async def test_a_task_that_is_no_longer_kept_fails_its_delivery(office: PostOffice, receiver: Receiver) -> None:
    made = await office.end_task(receiver.url, key=replace(KEY, id="key-gone"))
    assert (await office.after(made, 1)).state == "failed"
    assert [one.error for one in await office.tries(made)] == ["task_gone"]
    assert receiver.count == 0


async def test_a_fault_of_the_gateway_is_no_try(
    office: PostOffice, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "webhooks.secret").write_bytes(b"too short")
    made = await office.end_task(receiver.url)
    assert await office.is_postponed(made)
    assert isinstance(caplog.records[-1].exc_info[1], MasterUnreadable)  # type: ignore[index]
    (tmp_path / "webhooks.secret").write_bytes(b"x" * 32)
    office.later(6)
    assert (await next_of(receiver)).id == made.id
    assert (await office.after(made, 1)).attempt == 1


async def test_a_name_that_cannot_be_looked_up_yet_is_no_try(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A nameserver that does not answer has its share of the look-ups, and keeps no other domain waiting."""
    released = threading.Event()

    def getaddrinfo(name: str, *_: Any, **__: Any) -> Any:
        if "silent" in name:
            released.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    office = PostOffice(tmp_path, FetchRules(allow_private_networks=True, lookup_s=0.3, timeout_s=5.0))
    for key in (KEY, OTHER):
        await office.store.add_key(key)
    silent = [await office.keep_end(f"http://h{number}.silent.org/") for number in range(16)]
    office.webhooks.start()
    while threading.active_count() <= MOST_OF_ONE_DOMAIN:
        await asyncio.sleep(0.005)
    made = await office.end_task(f"http://answers.org:{receiver.port}/", OTHER)
    assert (await next_of(receiver)).id == made.id

    async def all_told() -> bool:
        found = [await office.found(one.id) for one in silent]
        return all(one.due > was.due for one, was in zip(found, silent, strict=True))

    await eventually(all_told)
    attempts = [(await office.found(one.id)).attempt for one in silent]
    assert sorted(attempts) == [0] * 8 + [1] * 8  # those whose turn came were tried: their name has no answer
    released.set()
    await office.close()


async def test_a_store_that_is_away_does_not_lose_a_delivery(
    office: PostOffice, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((courier, "STORE_RETRY_S"), (outbox, "LOOK_S")):
        monkeypatch.setattr(module, name, 0.01)
    away = {"find": 2, "record_try": 2, "due_deliveries": 2}
    for name in away:
        monkeypatch.setattr(office.store, name, failing(name, away, getattr(office.store, name)))
    made = await office.end_task(receiver.url)
    assert (await office.after(made, 1)).state == "delivered"
    assert receiver.count == 1
    assert away == {"find": 0, "record_try": 0, "due_deliveries": 0}


def failing(name: str, away: dict[str, int], works: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def call(*args: Any, **named: Any) -> Any:
        if away[name]:
            away[name] -= 1
            raise StoreUnavailable("away")
        return await works(*args, **named)

    return call


async def test_what_ended_long_before_it_was_kept_is_found(office: PostOffice, receiver: Receiver) -> None:
    first = await office.end_task(receiver.url)
    await office.after(first, 1)
    office.later(3_600)
    made = await office.end_task(receiver.url, ended=office.clock.now() - 3_000)
    office.webhooks.wake(made.due)
    assert {(await next_of(receiver)).id, (await next_of(receiver)).id} == {first.id, made.id}


async def test_a_clock_that_is_put_back_stops_nothing(office: PostOffice, receiver: Receiver) -> None:
    await office.after(await office.end_task(receiver.url), 1)
    office.clock.advance(-1_000)
    made = await office.keep_end(receiver.url)
    assert (await office.after(made, 1)).state == "delivered"


async def test_what_nobody_told_of_is_found_in_the_end(office: PostOffice, receiver: Receiver) -> None:
    office.later(300)
    await office.after(await office.end_task(receiver.url), 1)
    made = await office.keep_end(receiver.url, ended=office.clock.now() - 200)
    office.later(SWEEP_S - 300)
    assert (await office.after(made, 1)).state == "delivered"


async def test_no_secret_is_in_a_row_or_a_log(
    office: PostOffice, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.answers["/"] = (410, {})
    await office.webhooks.rotate(KEY)
    await office.after(await office.end_task(receiver.url + "/"), 1)
    key = await office.store.find_key(KEY.id)
    assert key is not None
    secrets = [one.secret.removeprefix("whsec_") for one in office.webhooks.secrets(key)]
    assert len(secrets) == 2
    written = [path for path in tmp_path.iterdir() if path.name != "webhooks.secret"]
    found = b"".join(path.read_bytes() for path in written) + caplog.text.encode()
    assert made_of(found, office.master()) == []
    assert all(secret.encode() not in found for secret in secrets)
    assert (tmp_path / "webhooks.secret").stat().st_mode & 0o777 == 0o600


def made_of(found: bytes, master: bytes) -> list[bytes]:
    return [form for form in (master, master.hex().encode()) if form in found]


async def test_two_processes_make_one_master_secret(tmp_path: Path) -> None:
    def made() -> bytes:
        master = MasterSecret(tmp_path / "webhooks.secret")
        master.make()
        return master()

    assert len(set(await asyncio.gather(*(asyncio.to_thread(made) for _ in range(8))))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["webhooks.secret"]


# what may be reached


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.2 counts as public, and nothing else changes."""

    def is_open(found: Address) -> bool:
        return found == IPv4Address(PUBLIC) or addresses.is_open(found)

    monkeypatch.setattr(guarded, "is_open", is_open)


def names(**known: list[str]) -> Callable[[str, int], Awaitable[list[str]]]:
    async def resolve(host: str, port: int) -> list[str]:
        return known[host.partition(".")[0]]

    return resolve


@pytest.mark.usefixtures("stand_in")
async def test_a_name_is_reached_where_it_was_checked_to_lead() -> None:
    with Receiver(PUBLIC) as public:
        notifier = GuardedNotifier(FetchRules(), names(hooks=[PUBLIC]))
        receipt = await notifier.send(f"http://hooks.public.org:{public.port}/", {"webhook-id": "msg_1"}, b"{}")
        assert receipt.status == 204
        assert public.next().headers["host"] == f"hooks.public.org:{public.port}"


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "inside.public.org",
        "both.public.org",
        "mapped.public.org",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "unknown.public.org",
    ],
)
async def test_private_addresses_are_not_connected_to(host: str, receiver: Receiver) -> None:
    """By number, by name, and by a name that leads to a public one as well."""
    known = names(
        inside=["127.0.0.1"],
        both=[PUBLIC, "127.0.0.1"],
        mapped=["::ffff:127.0.0.1"],
        localhost=["127.0.0.1"],
        unknown=[],
    )
    notifier = GuardedNotifier(FetchRules(), known)
    with pytest.raises(NotDelivered) as caught:
        await notifier.send(f"http://{host}:{receiver.port}/", {}, b"{}")
    assert caught.value.reason == "unreachable"  # as a host that does not exist
    assert receiver.count == 0


async def test_a_receiver_that_is_silent_is_given_up(receiver: Receiver) -> None:
    receiver.hanging = {"/"}
    notifier = GuardedNotifier(FetchRules(allow_private_networks=True, timeout_s=0.1))
    with pytest.raises(NotDelivered) as caught:
        await notifier.send(receiver.url + "/", {}, b"{}")
    assert caught.value.reason == "timeout"


async def test_an_endless_answer_is_not_read_to_its_end() -> None:
    from tests.media import drips, media_server

    head = b"HTTP/1.1 200 OK\r\n\r\n"
    with media_server({"/flood": drips(head, b"x" * 65_536, 0.0), "/drip": drips(head, b"x", 0.02)}) as server:
        notifier = GuardedNotifier(FetchRules(allow_private_networks=True))
        for path in ("/flood", "/drip"):
            assert (await notifier.send(server.url + path, {}, b"{}")).status == 200
