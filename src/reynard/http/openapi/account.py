"""Credits and usage."""

from reynard.http.account import AccountView, BillingUsage, Subscription
from reynard.http.openapi.parts import Json, json, operation, parameter
from reynard.http.usage import UsageReport


def paths() -> dict[str, Json]:
    """Path → method → operation."""
    return {
        "/v1/account/credits": {
            "get": operation("getCredits", "The credits of this key", json(AccountView), ("401", "503"))
        },
        "/v1/usage": {"get": _usage()},
        "/dashboard/billing/subscription": {"get": _subscription("getSubscription")},
        "/dashboard/billing/usage": {"get": _billing_usage("getBillingUsage")},
        "/v1/dashboard/billing/subscription": {"get": _subscription("getSubscriptionV1")},
        "/v1/dashboard/billing/usage": {"get": _billing_usage("getBillingUsageV1")},
    }


def _usage() -> Json:
    day = {"type": "string", "format": "date"}
    parameters = [
        parameter("from", "query", day, "The first day, in UTC; 30 days back if it is not given."),
        parameter("to", "query", day, "The last day; today if it is not given. A year at most."),
        parameter(
            "group_by", "query", {"type": "string", "default": "day"}, "Any of `day`, `model`, `key`, by commas."
        ),
        parameter("key", "query", {"type": "string"}, "With an admin key: only this one."),
        parameter("format", "query", {"type": "string", "enum": ["json", "csv"]}, "Or `Accept: text/csv`."),
        parameter(
            "limit", "query", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1000}, "Rows a page."
        ),
        parameter("page", "query", {"type": "integer", "minimum": 1, "maximum": 1_000_000, "default": 1}, "Which."),
    ]
    answer: Json = json(UsageReport) | {"text/csv": {}}
    failures = ("401", "403", "422", "503")
    return operation("getUsage", "What was used, by day, model and key", answer, failures, parameters)


def _subscription(name: str) -> Json:
    summary = "The credits of this key, as OpenAI's dashboard had them"
    return operation(name, summary, json(Subscription), ("401", "503"))


def _billing_usage(name: str) -> Json:
    day = {"type": "string", "format": "date"}
    parameters = [
        parameter("start_date", "query", day, "The first day of `daily_costs`; a hundred days are told at most."),
        parameter("end_date", "query", day, "The day after the last one."),
    ]
    summary = "What this key used, as OpenAI's dashboard had it"
    return operation(name, summary, json(BillingUsage), ("401", "422", "503"), parameters)
