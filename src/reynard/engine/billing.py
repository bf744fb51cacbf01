"""What a generation cost, once it is over: the provider's count where there is one, else our own."""

from collections.abc import Callable

from reynard.core.assembly import holds_anything
from reynard.core.catalogue import Model
from reynard.core.chat import Completion, encode
from reynard.core.pricing import cost, counted
from reynard.core.task import Bill
from reynard.engine.routes import Routes
from reynard.engine.work import Work


class Billing:
    """By the prices in force when it ends."""

    def __init__(self, routes: Callable[[], Routes]) -> None:
        self._routes = routes

    def whole(self, work: Work, completion: Completion) -> Bill:
        """For a whole answer; one without a usage is given the estimated one."""
        journal = work.journal
        model = self._routes().catalogue.get(journal.model) or Model(id=journal.model)
        if completion.usage is None:
            completion.usage = counted(work.generation, model, completion)
        usage = completion.usage
        return Bill(
            cost=cost(usage, model.price),
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            estimated=usage.estimated,
            model=journal.model,
            channel=journal.channel,
        )

    def partial(self, work: Work) -> tuple[Bill | None, bytes | None]:
        """For an answer that broke off: what of it was handed on, as JSON, and its bill. Both None for nothing."""
        produced = work.produced()
        if produced is None or not any(holds_anything(choice.message) for choice in produced.choices):
            return None, None
        return self.whole(work, produced), encode(produced)
