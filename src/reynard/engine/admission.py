"""Letting a request in: the rules of the catalogue, the key's limits, the key's credits.

What is taken here for a task is given back with its end, or when it comes to nothing before it is stored.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence

from msgspec import Struct

from reynard.core import file_ids, ids
from reynard.core.catalogue import FREE, Catalogue, Model
from reynard.core.errors import ModelNotSupported, PermissionDenied
from reynard.core.forms import Options, Submission
from reynard.core.generation import Generation
from reynard.core.keys import Key
from reynard.core.limits import Allowance, Limits
from reynard.core.pricing import estimate, reservation
from reynard.core.task import Task, Terms
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

    def admit(self, submission: Submission, caller: Key) -> Awaitable[Admitted]:
        """A request that is going to be stored, by `store`. Raises what it deserves: see `Routes.admitted`,
        `PermissionDenied`, `RateLimited`, `InsufficientCredits`, `InvalidParam`.
        """
        return self._admitted(submission, caller, self._holds.check)

    def admit_in_place(self, submission: Submission, caller: Key) -> Awaitable[Admitted]:
        """As `admit`, a request that is stored with its end: until then its credits are held here."""
        return self._admitted(submission, caller, self._holds.take)

    async def _admitted(self, submission: Submission, caller: Key, hold: Callable[[Task], Awaitable[None]]) -> Admitted:
        """`hold`: what is done about the credits of a task that may cost some."""
        generation = submission.generation
        named = file_ids.named(generation)
        if named:
            generation = await self._files.addressed(generation, named, caller)
        options, routes = submission.options, self._routes()
        if options.callback_url is not None:
            self._webhooks.check_url(options.callback_url, "callback_url")
        model = _permitted(routes.catalogue, generation.model, options, caller)
        stand_ins = routes.fallbacks(model, options.fallback_models, caller)
        generation = routes.admitted(generation, submission.form, stand_ins)
        models = [model, *map(routes.catalogue.find, stand_ins)]
        tokens, credits_ = _most(generation, models, caller)
        task = self._task(submission, generation, _terms(models, options, caller), caller, credits_)
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

    def _task(self, submission: Submission, generation: Generation, terms: Terms, caller: Key, reserved: int) -> Task:
        now, timeout_s = self._clock.now(), submission.options.timeout_s
        return Task(
            id=ids.task_id(submission.form, now, self._chance.below),
            key_id=caller.id,
            model=generation.model,
            form=submission.form,
            sync=submission.sync,
            stream=generation.stream,
            created=now,
            deadline=None if timeout_s is None else now + timeout_s,
            terms=terms,
            reserved=reserved,
        )


def _permitted(catalogue: Catalogue, name: str, options: Options, caller: Key) -> Model:
    """The model that is asked for. Raises `ModelNotSupported`, `PermissionDenied`, for those named in its place too."""
    model = catalogue.find(name)
    if not caller.may_use(name):
        raise PermissionDenied(f"This key may not use the model `{name}`.", param="model")
    for place, fallback in enumerate(options.fallback_models):
        param = f"fallback_models[{place}]"
        if catalogue.get(fallback) is None:
            raise ModelNotSupported(f"The model `{fallback}` of `{param}` is not supported.", param=param)
        if not caller.may_use(fallback):
            raise PermissionDenied(f"This key may not use the model `{fallback}` of `{param}`.", param=param)
    return model


def _most(generation: Generation, models: Iterable[Model], caller: Key) -> tuple[int, int]:
    """The most that the request is expected to use, in tokens and in micro-credits, whichever of `models` answers."""
    tokens = credits_ = 0
    for model in models:
        if model.price == FREE and caller.limits.tpm is None:
            continue
        expected = estimate(generation, model)
        tokens = max(tokens, expected.tokens)
        credits_ = max(credits_, reservation(expected, model.price))
    return tokens, credits_


def _terms(models: Sequence[Model], options: Options, caller: Key) -> Terms:
    """`models`: the one that is asked for, and those that may stand in for it. The task is billed by their prices,
    whatever becomes of the catalogue meanwhile."""
    return Terms(
        fallback_models=tuple([model.id for model in models[1:]]),
        callback_url=options.callback_url or caller.callback_url,
        prices=tuple([(model.id, model.price) for model in models if model.price != FREE]),
    )
