"""`reynard`: the commands, each imported only when it is asked for."""

import importlib
import sys
from typing import Any, Final

import click

from reynard import __version__

COMMANDS: Final = {
    "serve": "reynard.cli.serve:serve",
    "keys": "reynard.cli.keys:keys",
    "ledger": "reynard.cli.ledger:ledger",
    "ask": "reynard.cli.ask:ask",
    "tasks": "reynard.cli.tasks:tasks",
    "webhooks": "reynard.cli.webhooks:webhooks",
    "models": "reynard.cli.models:models",
    "doctor": "reynard.cli.doctor:doctor",
    "config": "reynard.cli.config:config",
    "bench": "reynard.cli.bench:bench",
}
FAILED = 1


class Commands(click.Group):
    """Imports a command's module on its first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See click."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See click."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="reynard")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """One endpoint for every LLM: durable tasks, resumable streams, plain completions.

    \b
    Example:
      reynard serve
      reynard ask smollm2-135m "Name the capital of France."
    """
    context.obj = debug


def main() -> None:
    """The entry point: errors become one sentence and an exit code."""
    debug = "--debug" in sys.argv
    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Exception as error:
        if debug:
            raise
        for line in sentences(error):
            click.secho(f"reynard: {line}", fg="red", err=True)
        sys.exit(exit_code(error))


def sentences(error: Exception) -> list[str]:
    """What to say of an error."""
    faults: Any = getattr(error, "faults", None)
    if faults is not None:
        return [str(fault) for fault in faults]
    if isinstance(error, OSError) and error.strerror:
        return [f"{error.strerror}{f': {error.filename}' if error.filename else ''}"]
    return [str(error) or type(error).__name__]


def exit_code(error: Exception) -> int:
    """1 failed, or what the error itself says."""
    code: int = getattr(error, "exit_code", FAILED)
    return code
