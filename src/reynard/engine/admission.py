"""Letting a request in: the rules of the catalogue, the key's limits, the key's credits.

What is taken here for a task is given back with its end, or when it comes to nothing before it is stored.
"""

from collections.abc import Awaitable, Callable

from msgspec import Struct
from msgspec.structs import replace

from reynard.core import ids
from reynard.core.catalogue import FREE, Price
from reynard.core.errors import ModelNotSupported, PermissionDenied
from reynard.core.forms import Options, Submission
from reynard.core.generation import Generation
from reynard.core.keys import Key
from reynard.core.limits import Allowance, Limits
from reynard.core.pricing import estimate, reservation
from reynard.core.task import NO_TERMS, Task, Terms
from reynard.engine.files import Files
from reynard.engine.holds import Holds
from reynard.engine.routes import Routes
from reynard.engine.webhooks import Webhooks
from reynard.ports.clock import Chance, Clock
from reynard.ports.limits import Limiter
from reynard.ports.store import Store


class Admitted(Struct, frozen=True):
    """A request that was let in, as a task that is not stored yet; `tokens` are what it is expected to use."""

    task: Task
    generation: Generation
    caller: Key
    tokens: int
    allowance: Allowance


class _Taken(Struct, frozen=True):
    """What a task holds of its key's limits, in this process; `at`: since when (Unix seconds)."""

    limits: Limits
    tokens: int
    at: float


class Admission:
    """Takes and gives back."""

    def __init__(
        self,
        *,
        store: Store,
        limiter: Limiter,
        files: Files,
        webhooks: Webhooks,
        routes: Callable[[], Routes],
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._store = store
        self._limiter = limiter
        self._files = files
        self._webhooks = webhooks
        self._routes = routes
        self._clock = clock
        self._chance = chance
        self._taken: dict[str, _Taken] = {}
        self._holds = Holds(store)

    async def start(self) -> None:
        """Counts the tasks that were there before this process."""
        await self._limiter.restore(await self._store.unfinished())

    async def admit(self, submission: Submission, caller: Key) -> Admitted:
        """A request that is going to be stored, by `store`. Raises what it deserves: see `Routes.admitted`,
        `PermissionDenied`, `RateLimited`, `InsufficientCredits`, `InvalidParam`.
        """
        return await self._admitted(submission, caller, self._holds.check)

    async def admit_in_place(self, submission: Submission, caller: Key) -> Admitted:
        """As `admit`, a request that is stored with its end: until then its credits are held here."""
        return await self._admitted(submission, caller, self._holds.take)

    async def _admitted(self, submission: Submission, caller: Key, hold: Callable[[Task], Awaitable[None]]) -> Admitted:
        """`hold`: what is done about the credits of a task that may cost some."""
        named = await self._files.addressed(submission.generation, caller)
        options, routes = submission.options, self._routes()
        if options.callback_url is not None:
            self._webhooks.check_url(options.callback_url, "callback_url")
        self._check_access(named.model, options, caller)
        models = routes.fallbacks(named.model, options.fallback_models, caller)
        if models != options.fallback_models:
            options = replace(options, fallback_models=models)
        generation = routes.admitted(named, submission.form, models)
        tokens, credits_ = self._most(generation, options, caller)
        task = self._task(submission, generation, options, caller, credits_)
        allowance = await self._limiter.take(caller.id, caller.limits, tokens)
        try:
            if caller.limited and credits_:
                await hold(task)
        except BaseException:
            await self._limiter.give_back(caller.id, caller.limits, tokens, allowance.at)
            raise
        if caller.limits.tpm is not None:
            self._taken[task.id] = _Taken(caller.limits, tokens, allowance.at)
        return Admitted(task, generation, caller, tokens, allowance)

    async def store(self, admitted: Admitted, insert: Callable[[int], Awaitable[None]]) -> None:
        """Has the task stored by `insert`, which is told how many of the key's micro-credits it must leave.

        Raises what it raises, and `StoreUnavailable`.
        """
        if admitted.caller.limited and admitted.task.reserved:
            await self._holds.store(admitted.task, insert)
        else:
            await insert(0)

    def ending(self, task: Task) -> None:
        """A task that was admitted in place is about to be stored."""
        self._holds.ends(task)

    async def withdraw(self, admitted: Admitted) -> None:
        """The task came to nothing: it was not stored."""
        self._taken.pop(admitted.task.id, None)
        self._holds.let_go(admitted.task)
        key_id = admitted.task.key_id
        await self._limiter.give_back(key_id, admitted.caller.limits, admitted.tokens, admitted.allowance.at)

    async def ended(self, task: Task) -> None:
        """The end of a task is kept."""
        self._holds.let_go(task)
        taken, bill = self._taken.pop(task.id, None), task.bill
        if taken is not None:
            used = 0 if bill is None else bill.prompt_tokens + bill.completion_tokens
            await self._limiter.correct(task.key_id, taken.limits, taken.tokens, used, taken.at)
        await self._limiter.release(task.key_id)

    def _check_access(self, model: str, options: Options, caller: Key) -> None:
        catalogue = self._routes().catalogue
        catalogue.find(model)
        if not caller.may_use(model):
            raise PermissionDenied(f"This key may not use the model `{model}`.", param="model")
        for place, fallback in enumerate(options.fallback_models):
            param = f"fallback_models[{place}]"
            if catalogue.get(fallback) is None:
                raise ModelNotSupported(f"The model `{fallback}` of `{param}` is not supported.", param=param)
            if not caller.may_use(fallback):
                raise PermissionDenied(f"This key may not use the model `{fallback}` of `{param}`.", param=param)

    def _most(self, generation: Generation, options: Options, caller: Key) -> tuple[int, int]:
        """The most that the request is expected to use, in tokens and in micro-credits, whichever model answers."""
        catalogue = self._routes().catalogue
        tokens = credits_ = 0
        for name in (generation.model, *options.fallback_models):
            model = catalogue.find(name)
            if model.price == FREE and caller.limits.tpm is None:
                continue
            expected = estimate(generation, model)
            tokens = max(tokens, expected.tokens)
            credits_ = max(credits_, reservation(expected, model.price))
        return tokens, credits_

    def _prices(self, names: tuple[str, ...]) -> tuple[tuple[str, Price], ...]:
        """Those that the task is billed by, whatever becomes of the catalogue meanwhile."""
        catalogue = self._routes().catalogue
        prices = tuple([(name, catalogue.find(name).price) for name in names])
        for _, price in prices:
            if price != FREE:
                return prices
        return ()

    def _task(
        self, submission: Submission, generation: Generation, options: Options, caller: Key, reserved: int
    ) -> Task:
        now = self._clock.now()
        callback_url = options.callback_url or caller.callback_url
        prices = self._prices((generation.model, *options.fallback_models))
        terms = NO_TERMS
        if options.fallback_models or prices or callback_url is not None:
            terms = Terms(fallback_models=options.fallback_models, callback_url=callback_url, prices=prices)
        return Task(
            id=ids.task_id(submission.form, now, self._chance.below),
            key_id=caller.id,
            model=generation.model,
            form=submission.form,
            sync=submission.sync,
            stream=generation.stream,
            created=now,
            deadline=None if options.timeout_s is None else now + options.timeout_s,
            terms=terms,
            reserved=reserved,
        )
