"""Days in the query of a request: `2026-11-21`, in UTC."""

import datetime
import re
from datetime import date
from typing import Final

from reynard.core.errors import InvalidParam
from reynard.http.request import Request

WRITTEN: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def today(request: Request) -> date:
    """In UTC, as usage is kept."""
    return datetime.datetime.fromtimestamp(request.services.clock.now(), datetime.UTC).date()


def day(request: Request, name: str, default: date) -> date:
    """A day of the query string. Raises `InvalidParam`."""
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        return date.fromisoformat(text if WRITTEN.fullmatch(text) else "")
    except ValueError:
        raise InvalidParam(f"`{name}` must be a day, as 2026-11-21.", param=name) from None


def earlier(last: date, days: int) -> date:
    """So many days before `last`, or the first day that there is."""
    return date.fromordinal(max(1, last.toordinal() - days))
