"""What an end is billed at: the prices of the start, whatever became of the catalogue since."""

import logging
from typing import Final

import msgspec
import pytest
from msgspec.structs import replace

from reynard.core.assembly import Assembly
from reynard.core.catalogue import Catalogue, Model, Price
from reynard.core.chat import Answer, Choice, Chunk, ChunkChoice, Completion, Delta, Usage
from reynard.core.generation import Generation
from reynard.core.task import Terms
from reynard.engine.billing import Billing
from reynard.engine.routes import Routes
from reynard.engine.work import Work
from reynard.testing.conformance.store import new_task

ASKED: Final = msgspec.convert({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}, Generation)
THEN: Final = Price(input=1.0, output=10.0)
LATER: Final = {
    "the row is gone": Catalogue(()),
    "the price was raised": Catalogue((Model(id="m", price=Price(input=1_000.0, output=10_000.0)),)),
    "it is free": Catalogue((Model(id="m"),)),
}


def work(*, prices: tuple[tuple[str, Price], ...] = (("m", THEN),), reserved: int = 100, model: str = "m") -> Work:
    begun = Work(replace(new_task(1, model="m"), terms=Terms(prices=prices), reserved=reserved), ASKED)
    begun.journal.model, begun.journal.channel = model, "up"
    return begun


def answer() -> Completion:
    usage = Usage(prompt_tokens=5, completion_tokens=2, total_tokens=7)
    choices = [Choice(index=0, message=Answer(content="Hello"), finish_reason="stop")]
    return Completion(id="c", created=0, model="m", choices=choices, usage=usage)


def billing(catalogue: Catalogue) -> Billing:
    return Billing(lambda: Routes(catalogue, ()))


@pytest.mark.parametrize("change", LATER)
def test_a_task_is_billed_at_the_prices_that_it_was_taken_at(change: str) -> None:
    assert billing(LATER[change]).whole(work(), answer()).cost == 5 + 20


def test_the_model_that_answered_has_its_own_price() -> None:
    prices = (("m", THEN), ("other", Price(output=100.0)))
    assert billing(LATER["it is free"]).whole(work(prices=prices, model="other"), answer()).cost == 200


def test_what_was_free_stays_free() -> None:
    assert billing(LATER["the price was raised"]).whole(work(prices=(), reserved=0), answer()).cost == 0


def test_a_task_of_a_version_that_kept_no_prices_is_billed_at_those_of_now() -> None:
    assert billing(LATER["the price was raised"]).whole(work(prices=()), answer()).cost == 25_000


def test_what_cannot_be_counted_is_not_charged_and_the_task_ends(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Routes:
        raise RuntimeError("a fault")

    begun = work()
    begun.journal.assembly = Assembly()
    delta = ChunkChoice(index=0, delta=Delta(content="Hello"), finish_reason=None)
    begun.journal.assembly.add(Chunk(id="c", created=0, model="m", choices=[delta]))
    with caplog.at_level(logging.ERROR):
        assert Billing(broken).partial(begun) == (None, None)
    assert len(caplog.records) == 1
    bill, produced = billing(LATER["it is free"]).partial(begun)
    assert bill is not None
    assert (bill.cost, bill.estimated) == (bill.prompt_tokens + 10 * bill.completion_tokens, True)
    assert produced is not None
