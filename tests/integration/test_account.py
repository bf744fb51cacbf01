"""Spec section 2.6: what a key has and used, as its owner reads it."""

import csv
import datetime
import io
import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from tests.integration.test_answers import submit
from tests.processes import Gateway, Upstream, channel, running, text_request

PRICED = """
[[models]]
id = "gpt-5.5"
price = { input = 0.1, output = 0.3 }
"""
BILLING = ["", "/v1"]


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory, shared_upstream: Upstream) -> Iterator[Gateway]:
    with running(Gateway(tmp_path_factory.mktemp("account"), channel(shared_upstream) + PRICED)) as process:
        yield process


def made(gateway: Gateway, *options: str) -> tuple[str, httpx2.Client]:
    key = json.loads(gateway.command("keys", "create", "--json", *options).stdout)
    return key["id"], gateway.client(key["key"])


def get(client: httpx2.Client, path: str, **query: Any) -> Any:
    """Numbers as they are written."""
    response = client.get(path, params=query)
    assert response.status_code == 200, response.text
    return json.loads(response.text, parse_float=Decimal)


def use(client: httpx2.Client, calls: int = 1, **fields: Any) -> Decimal:
    """What the calls cost."""
    cost = Decimal(0)
    for _ in range(calls):
        usage = submit(client, text_request(sync=True, max_tokens=100, **fields)).json()["usage"]
        micro = usage["prompt_tokens"] * Decimal("0.1") + usage["completion_tokens"] * Decimal("0.3")
        cost += Decimal(math.ceil(micro)) / 1_000_000
    return cost


def today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def test_credits_in_the_documented_shape(priced: Gateway, upstream: Upstream) -> None:
    _, client = made(priced, "--credits", "2.5")
    with client:
        used = use(client, 3)
        answer = get(client, "/v1/account/credits")
        figures = {"remaining_credits": Decimal("2.5") - used, "used_credits": used, "reserved_credits": 0}
        assert answer == {
            "success": True,
            "message": "",
            "data": {"token": {**figures, "unlimited_credits": False}, "user": figures},
        }
        assert list(answer["data"]["token"])[:3] == ["remaining_credits", "used_credits", "unlimited_credits"]
        assert 0 < used < Decimal("0.01")  # a float would show it with an exponent, or with noise
        assert str(used) in client.get("/v1/account/credits").text


def test_what_is_under_way_is_reserved(priced: Gateway, upstream: Upstream) -> None:
    upstream.behave(first_token_ms=60_000)
    _, client = made(priced, "--credits", "1")
    with client:
        task_id = submit(client, text_request(max_tokens=100)).json()["id"]
        token = get(client, "/v1/account/credits")["data"]["token"]
        assert token["reserved_credits"] == 1 - token["remaining_credits"] > 0
        client.post(f"/v1/tasks/{task_id}/cancel")
        assert get(client, "/v1/account/credits")["data"]["token"]["remaining_credits"] == 1


def test_a_key_without_a_limit_is_told_so_and_its_use_is_counted(priced: Gateway, upstream: Upstream) -> None:
    _, client = made(priced)
    with client:
        used = use(client)
        token = get(client, "/v1/account/credits")["data"]["token"]
        assert token["unlimited_credits"] is True
        assert (token["used_credits"], token["remaining_credits"]) == (used, -used)
        assert get(client, "/dashboard/billing/subscription")["hard_limit_usd"] == 100_000_000


@pytest.mark.parametrize("root", BILLING)
def test_billing_in_openais_shapes(priced: Gateway, upstream: Upstream, root: str) -> None:
    _, client = made(priced, "--credits", "5", "--expires", "1d")
    with client:
        used = use(client, 2)
        subscription = get(client, f"{root}/dashboard/billing/subscription")
        assert subscription["object"] == "billing_subscription"
        for name in ("hard_limit_usd", "soft_limit_usd", "system_hard_limit_usd"):
            assert subscription[name] == 5
        assert isinstance(subscription["access_until"], int)
        assert subscription["access_until"] > 1_700_000_000
        usage = get(client, f"{root}/dashboard/billing/usage")
        assert (usage["object"], usage["total_usage"]) == ("list", used * 100)
        [day] = usage["daily_costs"]
        assert (
            datetime.datetime.fromtimestamp(day["timestamp"], datetime.UTC).isoformat() == f"{today()}T00:00:00+00:00"
        )
        assert day["line_items"] == [{"name": "gpt-5.5", "cost": used * 100}]
        past = {"start_date": "2020-01-01", "end_date": "2023-01-01"}
        longer = {"start_date": "2020-01-01", "end_date": "9999-12-31"}
        for dates in (past, longer, {"start_date": today(), "end_date": today()}, {"end_date": "0001-01-01"}):
            asked = get(client, f"{root}/dashboard/billing/usage", **dates)
            assert (asked["total_usage"], asked["daily_costs"]) == (used * 100, [])


def test_usage_is_added_up_as_asked(priced: Gateway, upstream: Upstream) -> None:
    key_id, client = made(priced)
    with client:
        cost = use(client) + use(client)
        use(client, model="gpt-5.4")
        total = get(client, "/v1/usage")["total"]
        assert (total["tasks"], total["completed"]) == (3, 3)
        rows = get(client, "/v1/usage", group_by="day,model")["data"]
        assert [(row["day"], row["model"], row["tasks"]) for row in rows] == [
            (today(), "gpt-5.4", 1),
            (today(), "gpt-5.5", 2),
        ]
        assert rows[1]["cost_credits"] == cost
        assert list(rows[0]) == [
            *("day", "model", "tasks", "completed", "prompt_tokens", "completion_tokens", "cost_credits")
        ]
        assert [row["key"] for row in get(client, "/v1/usage", group_by="key")["data"]] == [key_id]
        assert get(client, "/v1/usage", group_by="")["data"] == [total]
        first = get(client, "/v1/usage", group_by="model", limit=1)
        assert (first["has_more"], first["total"]) == (True, total)
        second = get(client, "/v1/usage", group_by="model", limit=1, page=2)
        assert (second["has_more"], second["data"][0]["model"]) == (False, "gpt-5.5")
        old = get(client, "/v1/usage", **{"from": "2020-01-01", "to": "2020-12-31"})
        assert (old["data"], old["total"]["tasks"], old["total"]["cost_credits"]) == ([], 0, 0)


def test_only_an_admin_sees_other_keys(priced: Gateway, upstream: Upstream) -> None:
    one, mine = made(priced)
    other, theirs = made(priced)
    with mine, theirs, priced.client() as admin:
        use(mine)
        use(theirs)
        assert get(mine, "/v1/usage", key=one)["total"]["tasks"] == 1
        assert get(mine, "/v1/usage")["total"]["tasks"] == 1
        refused = mine.get("/v1/usage", params={"key": other})
        assert (refused.status_code, refused.json()["error"]["param"]) == (403, "key")
        assert {one, other} <= {row["key"] for row in get(admin, "/v1/usage", group_by="key")["data"]}
        assert get(admin, "/v1/usage", key=one)["total"]["tasks"] == 1


def test_a_spreadsheet_computes_nothing(priced: Gateway, upstream: Upstream) -> None:
    key_id, client = made(priced)
    names = ["=1+1", "+1", "-1", "@SUM(A1)", '\t=1,"x"', "plain"]
    with closing(sqlite3.connect(priced.folder / "data" / "reynard.db")) as connection:
        for model in names:
            row = (today(), key_id, model, 1, 1, 1, 1, 0)
            connection.execute("INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        connection.commit()
    with client:
        response = client.get("/v1/usage", params={"format": "csv", "group_by": "model,day", "limit": 4})
        assert response.headers["content-type"] == "text/csv; charset=utf-8"
        assert response.headers["content-disposition"].startswith("attachment")
        address, _, relation = response.headers["link"].partition(">; ")
        assert relation == 'rel="next"'
        following = client.get(address.strip("<"))
        assert "link" not in following.headers
        rows = [*csv.DictReader(io.StringIO(response.text)), *csv.DictReader(io.StringIO(following.text))]
        assert sorted(row["model"] for row in rows) == sorted(["'" + name for name in names[:-1]] + ["plain"])
        assert list(rows[0])[:3] == ["day", "model", "tasks"]
        accepted = client.get("/v1/usage", headers={"accept": "text/csv"})
        assert accepted.text.splitlines()[0] == "day,tasks,completed,prompt_tokens,completion_tokens,cost_credits"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        *(({"from": text}, "from") for text in ("x", "2026-13-01", "20260101", "2026-W01-1", "٢٠٢٦-01-01", "")),
        ({"from": "2026-01-02", "to": "2026-01-01"}, "from"),
        ({"from": "2024-01-01", "to": "2026-01-01"}, "from"),
        ({"group_by": "day,hour"}, "group_by"),
        ({"format": "xml"}, "format"),
        ({"limit": "0"}, "limit"),
        ({"page": "0"}, "page"),
    ],
)
def test_a_wrong_question_is_named(client: httpx2.Client, query: dict[str, str], param: str) -> None:
    response = client.get("/v1/usage", params=query)
    assert (response.status_code, response.json()["error"]["param"]) == (422, param)


@pytest.mark.parametrize(
    "path", ["/v1/account/credits", "/v1/usage", *(f"{root}/dashboard/billing/usage" for root in BILLING)]
)
def test_nothing_is_told_without_a_key(gateway: Gateway, path: str) -> None:
    assert httpx2.get(gateway.url + path).status_code == 401
