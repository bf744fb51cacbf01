import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import reynard
from reynard.core.errors import TASK_ERROR_CODES, WORTH_A_RETRY, GenerationError, Overloaded, ReynardError
from reynard.core.task import IllegalTransition
from reynard.http.errors import STATUS_OF, STATUS_OF_CODE, body_of, kind_of, response_of

TYPES = {
    400: {"invalid_request_error"},
    401: {"authentication_error"},
    402: {"insufficient_quota"},
    403: {"permission_error"},
    404: {"not_found"},
    405: {"invalid_request_error"},
    408: {"invalid_request_error"},
    409: {"conflict"},
    410: {"invalid_request_error"},
    413: {"invalid_request_error"},
    415: {"invalid_request_error"},
    416: {"invalid_request_error"},
    422: {"invalid_request_error", "service_unavailable_error"},
    429: {"rate_limit_error"},
    500: {"server_error"},
    502: {"service_unavailable_error"},
    503: {"service_unavailable_error"},
    504: {"service_unavailable_error"},
}
"""Spec section 5, 410 and 416 of section 2.5, and 408 as HTTP has it."""

DEFECTS = {IllegalTransition}
"""Faults of this program: 500, as everything unforeseen."""


def subclasses(kind: type[ReynardError]) -> Iterator[type[ReynardError]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def all_errors() -> list[type[ReynardError]]:
    for module in pkgutil.walk_packages(reynard.__path__, "reynard."):
        if not module.name.endswith("__main__") and ".local" not in module.name:
            importlib.import_module(module.name)
    return sorted(
        {kind for kind in subclasses(ReynardError) if kind.__module__.startswith("reynard.")}, key=lambda k: k.__name__
    )


@pytest.mark.parametrize("kind", all_errors())
def test_every_error_has_its_own_line_in_the_table(kind: type[ReynardError]) -> None:
    assert kind in STATUS_OF or kind is GenerationError or kind in DEFECTS


def test_no_line_of_the_table_is_dead() -> None:
    assert set(STATUS_OF) <= {*all_errors(), ReynardError}


@pytest.mark.parametrize("code", TASK_ERROR_CODES)
def test_every_task_error_says_whether_to_retry_and_has_a_status(code: str) -> None:
    assert isinstance(WORTH_A_RETRY[code], bool)
    assert kind_of(GenerationError(code, "")) == STATUS_OF_CODE[code]  # type: ignore[arg-type]


def test_the_tables_have_no_other_codes() -> None:
    assert set(WORTH_A_RETRY) == set(STATUS_OF_CODE) == set(TASK_ERROR_CODES)


@pytest.mark.parametrize(("status", "kind"), [*STATUS_OF.values(), *STATUS_OF_CODE.values()])
def test_status_and_type_are_a_pair_that_the_spec_has(status: int, kind: str) -> None:
    assert kind in TYPES[status]


@pytest.mark.parametrize("kind", [kind for kind in all_errors() if kind is not GenerationError])
def test_every_error_has_a_code_in_snake_case(kind: type[ReynardError]) -> None:
    assert kind.code.replace("_", "").isalnum()
    assert kind.code == kind.code.lower()


def test_an_error_on_the_wire_says_message_type_code_and_param() -> None:
    body = body_of(ReynardError("It failed.", param="model"))
    assert (body.message, body.type, body.code, body.param) == ("It failed.", "server_error", "server_error", "model")


@pytest.mark.parametrize(
    ("seconds", "header"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2"), (30.0, "30"), (30.5, "31")]
)
def test_retry_after_is_whole_seconds_rounded_up(seconds: float, header: str) -> None:
    assert response_of(Overloaded("Full.", retry_after_s=seconds)).headers["retry-after"] == header
    asked = GenerationError("upstream_rate_limited", "Wait.", retry_after_s=seconds)
    assert response_of(asked).headers["retry-after"] == header


def test_an_error_that_names_no_time_has_no_retry_after() -> None:
    assert "retry-after" not in response_of(GenerationError("upstream_error", "It failed.")).headers
