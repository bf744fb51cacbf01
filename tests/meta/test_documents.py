"""What the documents list is what the program has."""

import re
from pathlib import Path

from reynard.core import errors
from reynard.core.errors import TASK_ERROR_CODES, WORTH_A_RETRY
from reynard.engine.repeats import CallCancelled, ResultExpired
from reynard.http import refusals

ROOT = Path(__file__).parents[2]
ERRORS = (ROOT / "docs" / "errors.md").read_text("utf-8")


def codes() -> set[str]:
    """Every code a client can see."""
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    named = [getattr(kind, "code", None) for kind in [*classes, CallCancelled, ResultExpired]]
    own = {code for code in named if isinstance(code, str)}
    refused = re.findall(rb'"code":"(\w+)"', refusals.MALFORMED + refusals.HEADERS_TOO_LARGE)
    return own | set(TASK_ERROR_CODES) | {code.decode() for code in refused} | {"method_not_allowed", "cors_refused"}


def test_every_error_code_is_documented() -> None:
    assert {code for code in codes() if f"`{code}`" not in ERRORS} == set()


def test_every_task_error_says_whether_to_retry() -> None:
    for code in TASK_ERROR_CODES:
        [row] = [line for line in ERRORS.splitlines() if line.startswith(f"| `{code}`")]
        says_yes = row.rstrip(" |").rsplit("|", 1)[1].strip().lower().startswith("yes")
        assert says_yes is WORTH_A_RETRY[code], row
