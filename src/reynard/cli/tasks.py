"""`reynard tasks`: your tasks, as the gateway has them."""

import asyncio
import datetime
from typing import Any

import click
import msgspec

from reynard.cli import settings as shared

COLOURS = {"completed": "green", "failed": "red", "cancelled": "yellow", "processing": "cyan"}
WATCH_S = 1.0


@click.group()
def tasks() -> None:
    """List, show, cancel and watch your tasks (REYNARD_URL, REYNARD_API_KEY).

    \b
    Example:
      reynard tasks list --status processing
    """


@tasks.command("list")
@click.option("--status", help="Only tasks in this status.")
@click.option("--model", help="Only tasks of this model.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_tasks(status: str | None, model: str | None, limit: int, as_json: bool) -> None:
    """Your tasks, newest first.

    \b
    Example:
      reynard tasks list --limit 5
    """
    page = _get(_path(status, model, limit))
    if as_json:
        click.echo(msgspec.json.encode(page))
    else:
        _show(page["data"])


@tasks.command()
@click.argument("task_id")
def show(task_id: str) -> None:
    """One task, as JSON.

    \b
    Example:
      reynard tasks show task-llm-1776874481-rj6bs3yb
    """
    click.echo(msgspec.json.format(msgspec.json.encode(_get(f"/v1/tasks/{task_id}"))))


@tasks.command()
@click.argument("task_id")
def cancel(task_id: str) -> None:
    """Cancel a task; its upstream call is cut.

    \b
    Example:
      reynard tasks cancel task-llm-1776874481-rj6bs3yb
    """
    from reynard.client import Client

    shared.run(Client(*shared.gateway_address()).post(f"/v1/tasks/{task_id}/cancel", {}))
    click.echo(f"{task_id} cancelled")


@tasks.command()
@click.option("--status", help="Only tasks in this status.")
@click.option("--model", help="Only tasks of this model.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="How many.")
def watch(status: str | None, model: str | None, limit: int) -> None:
    """A live view of your tasks, until Ctrl-C.

    \b
    Example:
      reynard tasks watch --status processing
    """
    shared.run(_watch(_path(status, model, limit)))


async def _watch(path: str) -> None:
    from reynard.client import Client

    client = Client(*shared.gateway_address())
    while True:
        page = await client.get(path)
        click.clear()
        _show(page["data"])
        await asyncio.sleep(WATCH_S)


def _path(status: str | None, model: str | None, limit: int) -> str:
    from urllib.parse import urlencode

    given = {"status": status, "model": model, "limit": limit}
    return "/v1/tasks?" + urlencode({name: value for name, value in given.items() if value is not None})


def _get(path: str) -> Any:
    from reynard.client import Client

    return shared.run(Client(*shared.gateway_address()).get(path))


def _show(found: list[dict[str, Any]]) -> None:
    if not found:
        click.echo("no tasks")
    for task in found:
        when = datetime.datetime.fromtimestamp(task["created"], datetime.UTC).astimezone().strftime("%m-%d %H:%M:%S")
        status = click.style(task["status"].ljust(10), fg=COLOURS.get(task["status"]))
        error = f"  {task['error']['code']}" if task["error"] else ""
        click.echo(f"{when}  {status} {task['progress']:>3} %  {task['model']:<24} {task['id']}{error}")
