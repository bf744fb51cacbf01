"""`reynard serve`."""

from pathlib import Path

import click

from reynard.cli import settings as shared
from reynard.config import Settings


@click.command()
@click.option("--host", help="The address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="The port; 0 picks a free one.  [default: 8080]")
@click.option("--demo", is_flag=True, help="Simulate every model of the catalogue that has no real channel.")
@shared.store_options
def serve(host: str | None, port: int | None, demo: bool, config_file: str | None, data: str | None) -> None:
    """Run the gateway.

    \b
    Example:
      reynard serve --port 8080 --demo
    """
    from reynard.bootstrap import serving
    from reynard.telemetry import logs

    logs.configure()

    def load() -> Settings:
        return shared.load(config_file, host=host, port=port, data_dir=data)

    reload = serving.Reload(Path(config_file) if config_file else None, load)
    shared.run(serving.serve(load(), reload, shared.ENVIRONMENT, demo=demo, ready=_announce))


def _announce(address: str, first_key: str | None) -> None:
    """One line that says where, and once, on the very first start, the admin key."""
    if first_key is not None:
        click.secho("admin key (shown once, keep it):", fg="yellow")
        click.echo(first_key)
    click.echo(f"listening on {address}")
