"""`GET /v1/usage`: what ended tasks used, added up; as JSON, or as CSV for a spreadsheet."""

import csv
import io
from typing import Any, Final, Literal, get_args
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec import Struct

from reynard.core.errors import InvalidParam
from reynard.core.ledger import Credits, in_credits, shown
from reynard.http import days
from reynard.http.answers import Answer
from reynard.http.request import Request
from reynard.http.requests import caller_of, number
from reynard.ports.store import UsageField, UsageFilter, UsagePage, UsageRow

FIELDS: Final[tuple[UsageField, ...]] = get_args(UsageField)
FORMATS: Final = ("json", "csv")
DAYS: Final = 30
MOST_DAYS: Final = 366
MOST_LISTED: Final = 1_000
MOST_PAGES: Final = 1_000_000
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection)."""


class UsageTotal(Struct, kw_only=True):
    """Of ended tasks; `completed`: how many of them ended well."""

    tasks: int
    completed: int
    prompt_tokens: int
    completion_tokens: int
    cost_credits: Credits


class UsageItem(Struct, kw_only=True, omit_defaults=True):
    """A row; it names what the rows are told apart by."""

    day: str | None = None
    model: str | None = None
    key: str | None = None
    tasks: int
    completed: int
    prompt_tokens: int
    completion_tokens: int
    cost_credits: Credits


class UsageReport(Struct, kw_only=True):
    """A page of rows; `total` is of all pages."""

    object: Literal["list"] = "list"
    data: list[UsageItem]
    total: UsageTotal
    has_more: bool


async def read_usage(request: Request) -> Answer:
    """The caller's own; an admin key sees all keys, or the one in `key`."""
    caller = await caller_of(request)
    wanted = _wanted(request)
    as_csv = _is_csv(request)
    page = await request.services.engine.accounts.usage(wanted, caller)
    if not as_csv:
        items = [_item(row) for row in page.rows]
        view = UsageReport(data=items, total=UsageTotal(**_figures(page.total)), has_more=page.has_more)
        return Answer(msgspec.json.encode(view))
    headers = {
        "content-disposition": f'attachment; filename="usage-{wanted.first}-{wanted.last}.csv"',
        "x-content-type-options": "nosniff",
    }
    if page.has_more:
        headers["link"] = f'<{request.path}?{_following(request, wanted.page + 1)}>; rel="next"'
    return Answer(table(page, wanted).encode(), "text/csv; charset=utf-8", headers=headers)


def _following(request: Request, page: int) -> str:
    """The query of another page."""
    asked = parse_qsl(request.query.decode("latin-1"), keep_blank_values=True)
    return urlencode([*((name, value) for name, value in asked if name != "page"), ("page", page)])


def table(page: UsagePage, wanted: UsageFilter) -> str:
    """CSV (RFC 4180), with a line of names."""
    written = io.StringIO()
    by = [field for field in FIELDS if field in wanted.by]
    rows = csv.DictWriter(written, [*by, *UsageTotal.__struct_fields__])
    rows.writeheader()
    for row in page.rows:
        names = {"day": row.day, "model": row.model, "key": row.key_id}
        own: dict[str, str] = {field: cell(names[field] or "") for field in by}
        rows.writerow({**own, **_figures(row), "cost_credits": shown(row.cost)})
    return written.getvalue()


def cell(text: str) -> str:
    """A text that no spreadsheet computes."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _wanted(request: Request) -> UsageFilter:
    last = days.day(request, "to", days.today(request))
    first = days.day(request, "from", days.earlier(last, DAYS - 1))
    if first > last:
        raise InvalidParam("`from` must not be after `to`.", param="from")
    if (last - first).days >= MOST_DAYS:
        raise InvalidParam(f"`from` and `to` must be at most {MOST_DAYS} days apart.", param="from")
    return UsageFilter(
        first=first.isoformat(),
        last=last.isoformat(),
        key_id=request.query_params.get("key"),
        by=_by(request),
        page=number(request, "page", 1, least=1, most=MOST_PAGES, whole=True),
        limit=number(request, "limit", MOST_LISTED, least=1, most=MOST_LISTED, whole=True),
    )


def _by(request: Request) -> frozenset[UsageField]:
    names = set(filter(None, request.query_params.get("group_by", "day").split(",")))
    known = frozenset(field for field in FIELDS if field in names)
    if len(known) < len(names):
        raise InvalidParam(f"`group_by` takes {', '.join(FIELDS)}, separated by commas.", param="group_by")
    return known


def _is_csv(request: Request) -> bool:
    accepted = "csv" if "text/csv" in request.header(b"accept", "").lower() else "json"
    wanted = request.query_params.get("format", accepted)
    if wanted not in FORMATS:
        raise InvalidParam(f"`format` must be one of {', '.join(FORMATS)}.", param="format")
    return wanted == "csv"


def _item(row: UsageRow) -> UsageItem:
    return UsageItem(day=row.day, model=row.model, key=row.key_id, **_figures(row))


def _figures(row: UsageRow) -> dict[str, Any]:
    return {
        "tasks": row.tasks,
        "completed": row.completed,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "cost_credits": in_credits(row.cost),
    }
