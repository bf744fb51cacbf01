"""The description is true: what it allows is answered as it says, whatever schemathesis makes up."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from tests.processes import Gateway

from reynard.http import app, openapi

pytest_plugins = ["schemathesis.pytest.plugin"]
schema = schemathesis.openapi.from_dict(openapi.document())
check: Any = schemathesis.checks.CHECKS.get_one
BEYOND_A_SCHEMA = [
    "positive_data_acceptance",  # the catalogue's rules
    "unsupported_method",
    "ignored_auth",  # it cannot take our header away again
]
UNKNOWN_IN_A_QUERY = ["negative_data_rejection"]  # an unknown query parameter is passed over, as everywhere
ANYTHING_IS_TEXT = ["negative_data_rejection"]  # what is an object to the schema is a text like any other in a form
OPERATIONS = [
    "createGeneration",
    "createChatCompletion",
    "createResponse",
    "getResponse",
    "cancelResponse",
    "listInputItems",
    "createMessage",
    "countTokens",
    "readStream",
    "getTask",
    "listTasks",
    "cancelTask",
    "listGenerationModels",
    "listModels",
    "getModel",
    "uploadFile",
    "uploadBase64",
    "uploadFromUrl",
    "listFiles",
    "getFile",
    "deleteFile",
    "readFile",
    "getCredits",
    "getUsage",
    "getSubscription",
    "getBillingUsage",
    "getSubscriptionV1",
    "getBillingUsageV1",
    "listDeliveries",
    "getDelivery",
    "redeliver",
    "getWebhookSecret",
    "rotateWebhookSecret",
    "healthz",
    "readyz",
    "metrics",
]


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """One for thousands of calls: each would look for proxies and connect by itself."""
    with requests.Session() as opened:
        opened.trust_env = False
        yield opened


@schema.parametrize()
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_whatever_is_sent_is_answered_as_described(case: Any, gateway: Gateway, session: requests.Session) -> None:
    left_out = [*BEYOND_A_SCHEMA, *(UNKNOWN_IN_A_QUERY if case.method == "GET" else ())]
    left_out += ANYTHING_IS_TEXT if case.path == "/v1/files/upload/stream" else []
    case.call_and_validate(
        base_url=gateway.url,
        session=session,
        headers={"authorization": f"Bearer {gateway.key}"},
        excluded_checks=[check(name) for name in left_out],
    )


def test_every_operation_is_described(client: httpx2.Client) -> None:
    document = client.get("/openapi.json").json()
    found = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert sorted(found) == sorted(OPERATIONS)


def test_every_route_of_the_app_is_described() -> None:
    pages = {"/openapi.json", "/docs", "/llms.txt"}
    routes = {getattr(route, "path").replace(":path", "") for route in app.ROUTES} - pages  # noqa: B009
    assert routes == set(openapi.document()["paths"])


def test_every_reference_leads_somewhere() -> None:
    document = openapi.document()
    text = json.dumps(document)
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= set(document["components"]["schemas"])


@pytest.mark.parametrize(("path", "kind"), [("/docs", "text/html"), ("/llms.txt", "text/plain")])
def test_the_pages_are_there_without_a_key(gateway: Gateway, path: str, kind: str) -> None:
    response = httpx2.get(gateway.url + path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(kind)
    assert "Reynard" in response.text


@pytest.mark.parametrize("path", ["/v1/llm/generations", "/v1/chat/completions", "/v1/responses", "/v1/messages"])
def test_the_headers_of_a_generation_are_described(path: str) -> None:
    document = openapi.document()
    answers = document["paths"][path]["post"]["responses"]
    assert {"x-task-id", "x-served-by", "x-ratelimit-reset-tokens"} <= set(answers["200"]["headers"])
    assert {"retry-after", "x-ratelimit-limit-requests"} <= set(answers["429"]["headers"])
    assert set(answers["503"]["headers"]) == {"retry-after"}
    found = [one for answer in answers.values() for one in answer.get("headers", {}).values()]
    assert {one["$ref"].rpartition("/")[2] for one in found} == set(document["components"]["headers"])
