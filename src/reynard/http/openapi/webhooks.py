"""Webhooks: what was delivered, and what is posted."""

from reynard.http.openapi.parts import Json, json, operation, parameter
from reynard.http.views import TaskEvent
from reynard.http.webhooks import DeliveryDetails, DeliveryList, DeliveryView, SecretList


def paths() -> dict[str, Json]:
    """Path → method → operation."""
    return {
        "/v1/webhooks/deliveries": {"get": _list_deliveries()},
        "/v1/webhooks/deliveries/{delivery_id}": {
            "get": operation(
                "getDelivery",
                "A delivery of a webhook, and what was tried",
                json(DeliveryDetails),
                ("401", "404"),
                [_delivery_id()],
            )
        },
        "/v1/webhooks/deliveries/{delivery_id}/redeliver": {
            "post": operation(
                "redeliver", "Deliver once more", json(DeliveryView), ("401", "404", "503"), [_delivery_id()]
            )
        },
        "/v1/webhooks/secret": {
            "get": operation("getWebhookSecret", "What your webhooks are signed with", json(SecretList), ("401",))
        },
        "/v1/webhooks/secret/rotate": {
            "post": operation(
                "rotateWebhookSecret",
                "A new secret; the one before signs as well for a day",
                json(SecretList),
                ("401", "503"),
            )
        },
    }


def _list_deliveries() -> Json:
    states = ["pending", "delivered", "failed"]
    parameters = [
        parameter("task_id", "query", {"type": "string"}, "Only that of this task."),
        parameter("state", "query", {"type": "string", "enum": states}, "Only deliveries in this state."),
        parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}, "How many."),
        parameter("after", "query", {"type": "string"}, "The id of the last delivery of the page before."),
    ]
    summary = "List the deliveries of your webhooks, newest first"
    return operation("listDeliveries", summary, json(DeliveryList), ("401", "422", "503"), parameters)


def task_ended() -> Json:
    """What is posted to a `callback_url` (Standard Webhooks 1.0)."""
    names = {
        "webhook-id": "The same for every try of a delivery.",
        "webhook-timestamp": "When it was sent, in Unix seconds.",
        "webhook-signature": "`v1,` and a signature in base64; two of them, with a space between, after a rotation.",
    }
    return {
        "operationId": "taskEnded",
        "summary": "A task with a `callback_url` has ended",
        "security": [],
        "parameters": [
            {**parameter(name, "header", {"type": "string"}, said), "required": True} for name, said in names.items()
        ],
        "requestBody": {"required": True, "content": json(TaskEvent)},
        "responses": {"2XX": {"description": "Taken. With anything else it is sent again; 410 ends it."}},
    }


def _delivery_id() -> Json:
    return parameter("delivery_id", "path", {"type": "string"}, "The delivery's id, which is the `webhook-id`.")
