"""What Prometheus reads is what was counted, and of a bounded size."""

import pytest
from tests.exposition import read

from reynard.core.errors import NotFound, RateLimited
from reynard.core.limits import Allowance
from reynard.core.task import Attempt, Bill, Status, Task, TaskError
from reynard.telemetry.exposition import OTHER, Counter, Family, Gauge, Histogram, text
from reynard.telemetry.metrics import Metrics


def page(*families: Family):  # type: ignore[no-untyped-def]
    return read(text(families).decode())


def test_what_was_never_counted_is_there_as_zero_where_it_has_no_labels() -> None:
    found = page(Counter("a_total", "A."), Counter("b_total", "B.", ["x"]), Histogram("h", "H.", bounds=[1]))
    assert found.kinds == {"a_total": "counter", "b_total": "counter", "h": "histogram"}
    assert found.samples[("a_total", frozenset())] == 0
    assert found.samples[("h_count", frozenset())] == 0
    assert found.series("b_total") == []


def test_counters_add_up_series_by_series() -> None:
    counter = Counter("a_total", "A.", ["x"])
    for value, amount in (("1", 1), ("2", 5), ("1", 2)):
        counter.add((value,), amount)
    found = page(counter)
    assert (found.value("a_total", x="1"), found.value("a_total", x="2")) == (3, 5)


def test_whole_micro_credits_are_shown_as_credits() -> None:
    counter = Counter("cost_total", "Cost.", per=1_000_000)
    for _ in range(10):
        counter.add((), 100_001)
    assert page(counter).value("cost_total") == 1.00001


@pytest.mark.parametrize("value", ['"', "\\", "a\nb", '\\"\n', "{x=}", "é 模型", ""])
def test_a_label_may_hold_anything(value: str) -> None:
    counter = Counter("a_total", "A.", ["x", "y"])
    counter.add((value, "y"))
    [labels] = page(counter).series("a_total")
    plain = labels["x"].replace("\\\\", "\0").replace("\\n", "\n").replace('\\"', '"').replace("\0", "\\")
    assert (plain, labels["y"]) == (value, "y")


def test_a_bound_is_in_its_own_bucket() -> None:
    histogram = Histogram("h", "H.", ["x"], bounds=[0.5, 1, 2.5])
    for value in (0.5, 0.50001, 1, 2.5, 3, 0):
        histogram.observe(("a",), value)
    found = page(histogram)
    counts = [found.value("h_bucket", x="a", le=bound) for bound in ("0.5", "1", "2.5", "+Inf")]
    assert counts == [2, 4, 5, 6]
    assert found.value("h_sum", x="a") == pytest.approx(7.50001)


def test_beyond_its_bound_a_family_has_one_series_for_the_rest() -> None:
    counter, histogram = Counter("a_total", "A.", ["x", "y"], most=3), Histogram("h", "H.", ["x"], bounds=[1], most=3)
    for number in range(100):
        counter.add((str(number), "y"))
        histogram.observe((str(number),), 0.1)
    counter.add(("0", "y"))
    found = page(counter, histogram)
    assert len(found.series("a_total")) == 4
    assert found.value("a_total", x=OTHER, y=OTHER) == 97
    assert found.value("a_total", x="0", y="y") == 2
    assert (len(found.series("h_count")), found.value("h_count", x=OTHER)) == (4, 97)


def test_a_gauge_is_read_at_the_scrape() -> None:
    now: dict[tuple[str, ...], float] = {("a",): 1.0}
    gauge = Gauge("g", "G.", ["x"], lambda: now)
    assert page(gauge).value("g", x="a") == 1
    now[("b",)] = 2.5
    assert page(gauge).value("g", x="b") == 2.5


def task(**fields: object) -> Task:
    return Task(id="task-1", key_id="key-1", model="asked", form="text", created=0, **fields)  # type: ignore[arg-type]


def test_a_task_is_counted_with_what_it_used() -> None:
    metrics = Metrics()
    bill = Bill(cost=1_500_000, prompt_tokens=7, completion_tokens=9, model="answered", channel="c")
    metrics.ended(task(status=Status.COMPLETED, bill=bill))
    metrics.ended(task(status=Status.FAILED, error=TaskError("upstream_error", "It says: sk-secret")))
    metrics.ended(task(status=Status.CANCELLED))
    said = metrics.text().decode()
    found = read(said)
    assert found.value("reynard_tasks_ended_total", model="asked", status="completed", code="") == 1
    assert found.value("reynard_tasks_ended_total", model="asked", status="failed", code="upstream_error") == 1
    assert found.value("reynard_tasks_ended_total", model="asked", status="cancelled", code="") == 1
    assert found.value("reynard_tokens_total", model="answered", kind="prompt") == 7
    assert found.value("reynard_tokens_total", model="answered", kind="completion") == 9
    assert found.value("reynard_cost_credits_total", model="answered") == 1.5
    assert not any(word in said for word in ("sk-secret", "task-1", "key-1"))


def test_an_attempt_is_counted_with_its_times() -> None:
    metrics = Metrics()
    made = Attempt(channel="c", model="m", started=10, ended=12, outcome="failed", code="generation_timeout")
    metrics.attempted(made, 0.2)
    metrics.attempted(
        Attempt(channel="c", model="m", started=10, ended=9, outcome="completed"), None
    )  # a clock put back
    found = read(metrics.text().decode())
    code = "generation_timeout"
    assert found.value("reynard_attempts_total", channel="c", model="m", outcome="failed", code=code) == 1
    assert found.value("reynard_attempt_duration_seconds_sum", channel="c", outcome="failed") == 2
    assert found.value("reynard_attempt_duration_seconds_sum", channel="c", outcome="completed") == 0
    assert found.value("reynard_attempt_first_chunk_seconds_count", channel="c") == 1


def test_webhooks_and_files_are_counted() -> None:
    metrics = Metrics()
    for state in ("pending", "pending", "delivered"):
        metrics.delivered(state)
    metrics.uploaded(7)
    found = read(metrics.text().decode())
    assert found.value("reynard_webhook_tries_total", state="pending") == 2
    assert found.value("reynard_webhook_tries_total", state="delivered") == 1
    assert (found.value("reynard_uploads_total"), found.value("reynard_upload_bytes_total")) == (1, 7)


def test_errors_are_counted_by_code_and_limits_by_kind() -> None:
    metrics = Metrics()
    metrics.refused(NotFound("No such thing as /secret."))
    metrics.refused(RateLimited("Too fast.", limit="tokens", allowance=Allowance(at=0)))
    found = read(metrics.text().decode())
    assert found.value("reynard_errors_total", code="not_found") == 1
    assert found.value("reynard_errors_total", code="rate_limit_exceeded") == 1
    assert found.value("reynard_limits_refused_total", limit="tokens") == 1
