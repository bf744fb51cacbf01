"""`reynard config check`."""

import click

from reynard.cli import settings as shared


@click.group()
def config() -> None:
    """Look at the settings.

    \b
    Example:
      reynard config check --config reynard.toml
    """


@config.command()
@shared.store_options
def check(config_file: str | None, data: str | None) -> None:
    """Check the settings without starting; every fault is told, with its line.

    \b
    Example:
      reynard config check --config reynard.toml
    """
    settings = shared.load(config_file, data_dir=data)
    click.secho("the settings are good", fg="green")
    rows = [
        [channel.name, channel.dialect, ", ".join(m if isinstance(m, str) else m.id for m in channel.models)]
        for channel in settings.channels
    ]
    shared.table(["CHANNEL", "DIALECT", "MODELS"], rows)
