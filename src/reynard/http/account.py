"""A key's credits, in the documented shape and in the one that OpenAI's dashboard had (spec section 2.6)."""

import datetime
from datetime import date
from itertools import groupby
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from reynard.core.ledger import Account, Credits, in_credits
from reynard.http import days
from reynard.http.answers import Answer
from reynard.http.request import Request
from reynard.http.requests import caller_of
from reynard.ports.store import UsageFilter, UsageRow

UNLIMITED: Final = Raw(b"100000000")
"""What clients of the billing paths take for no limit."""

CENTS: Final = 100
MOST_DAYS: Final = 100
MOST_COSTS: Final = 10_000


class TokenCredits(Struct, kw_only=True):
    """Of the key. Without a limit `remaining_credits` refuses nothing, and falls below zero with use."""

    remaining_credits: Credits
    used_credits: Credits
    unlimited_credits: bool
    reserved_credits: Credits


class UserCredits(Struct, kw_only=True):
    """Of the account behind the key. Here every key has one of its own, so these are the key's figures."""

    remaining_credits: Credits
    used_credits: Credits
    reserved_credits: Credits


class AccountCredits(Struct, kw_only=True):
    """See the two."""

    token: TokenCredits
    user: UserCredits


class AccountView(Struct, kw_only=True):
    """`GET /v1/account/credits`."""

    success: Literal[True] = True
    message: str = ""
    data: AccountCredits


class Subscription(Struct, kw_only=True):
    """`…/billing/subscription`: clients take `hard_limit_usd` less `total_usage` / 100 for what is left.

    `access_until`: when the key expires (Unix seconds); 0 if it does not.
    """

    object: Literal["billing_subscription"] = "billing_subscription"
    has_payment_method: Literal[True] = True
    soft_limit_usd: Credits
    hard_limit_usd: Credits
    system_hard_limit_usd: Credits
    access_until: int


class LineItem(Struct):
    """What a model cost on a day, in hundredths of a credit."""

    name: str
    cost: Credits


class DailyCost(Struct):
    """`timestamp`: the day's first second (Unix seconds, UTC)."""

    timestamp: int
    line_items: list[LineItem]


class BillingUsage(Struct, kw_only=True):
    """`…/billing/usage`. The days are those asked for; `total_usage`, in hundredths, is of all time, as the limit is
    that clients take it from."""

    object: Literal["list"] = "list"
    daily_costs: list[DailyCost]
    total_usage: Credits


async def read_credits(request: Request) -> Answer:
    """`GET /v1/account/credits`."""
    caller = await caller_of(request)
    account = await request.services.engine.accounts.of(caller)
    figures = _figures(account)
    data = AccountCredits(
        token=TokenCredits(unlimited_credits=not caller.limited, **figures), user=UserCredits(**figures)
    )
    return Answer(msgspec.json.encode(AccountView(data=data)))


async def read_subscription(request: Request) -> Answer:
    """`GET /dashboard/billing/subscription`."""
    caller = await caller_of(request)
    account = await request.services.engine.accounts.of(caller)
    total = in_credits(account.balance + account.used) if caller.limited else UNLIMITED
    found = Subscription(
        soft_limit_usd=total,
        hard_limit_usd=total,
        system_hard_limit_usd=total,
        access_until=0 if caller.expires is None else int(caller.expires),
    )
    return Answer(msgspec.json.encode(found))


async def read_billing_usage(request: Request) -> Answer:
    """`GET /dashboard/billing/usage`. `end_date` is not among the days, as it was not with OpenAI; of a longer time the
    last hundred days are told, for the clients that ask from a fixed day on."""
    caller = await caller_of(request)
    end = days.day(request, "end_date", days.earlier(days.today(request), -1))
    start = max(days.day(request, "start_date", days.earlier(end, MOST_DAYS)), days.earlier(end, MOST_DAYS))
    wanted = UsageFilter(
        first=start.isoformat(),
        last=days.earlier(end, 1).isoformat() if start < end else "",
        key_id=caller.id,
        by=frozenset({"day", "model"}),
        limit=MOST_COSTS,
    )
    accounts = request.services.engine.accounts
    page, account = await accounts.usage(wanted, caller), await accounts.of(caller)
    found = BillingUsage(daily_costs=_daily(page.rows), total_usage=in_credits(account.used * CENTS))
    return Answer(msgspec.json.encode(found))


def _figures(account: Account) -> dict[str, Credits]:
    return {
        "remaining_credits": in_credits(account.balance),
        "used_credits": in_credits(account.used),
        "reserved_credits": in_credits(account.reserved),
    }


def _daily(rows: list[UsageRow]) -> list[DailyCost]:
    return [
        DailyCost(_first_second(day), [LineItem(row.model or "", in_credits(row.cost * CENTS)) for row in found])
        for day, found in groupby(rows, key=lambda row: row.day or "")
    ]


def _first_second(day: str) -> int:
    return int(datetime.datetime.combine(date.fromisoformat(day), datetime.time(), datetime.UTC).timestamp())
