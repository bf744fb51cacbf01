"""What a generation cost, once it is over: the provider's count where there is one, else our own."""

import logging
from collections.abc import Callable

from reynard.core.assembly import holds_anything
from reynard.core.catalogue import FREE, Model, Price
from reynard.core.chat import Completion, Usage, encode
from reynard.core.pricing import cost, used, used_so_far
from reynard.core.task import Bill
from reynard.engine.routes import Routes
from reynard.engine.work import Work

log = logging.getLogger(__name__)


class Billing:
    """By the prices that the task was taken at."""

    def __init__(self, routes: Callable[[], Routes]) -> None:
        self._routes = routes

    def whole(self, work: Work, completion: Completion) -> Bill:
        """For a whole answer, which is given the usage that is charged."""
        model = self._model(work)
        completion.usage = used(completion.usage, work.generation, model, completion)
        return self._bill(work, completion.usage)

    def partial(self, work: Work) -> tuple[Bill | None, bytes | None]:
        """For an answer that broke off: what of it was handed on, as JSON, and its bill. Both None for nothing, and
        for what cannot be counted: a task must come to its end."""
        try:
            return self._partial(work)
        except Exception:
            log.exception("what was produced of %s cannot be counted, and is not charged", work.identity.id)
            return None, None

    def _partial(self, work: Work) -> tuple[Bill | None, bytes | None]:
        produced = work.produced()
        if produced is None or not any(holds_anything(choice.message) for choice in produced.choices):
            return None, None
        produced.usage = used_so_far(produced.usage, work.generation, self._model(work), produced)
        return self._bill(work, produced.usage), encode(produced)

    def _model(self, work: Work) -> Model:
        """The one that answered."""
        return self._routes().catalogue.get(work.journal.model) or Model(id=work.journal.model)

    def _price(self, work: Work) -> Price:
        """What was free then, had nothing reserved. Of a task that was stored before prices were: the price now."""
        if work.prices or not work.reserved:
            return work.prices.get(work.journal.model, FREE)
        return self._model(work).price

    def _bill(self, work: Work, usage: Usage) -> Bill:
        return Bill(
            cost=cost(usage, self._price(work)),
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            estimated=usage.estimated,
            model=work.journal.model,
            channel=work.journal.channel,
        )
