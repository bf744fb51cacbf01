"""`python -m bench.streams`: streams and memory alone, as text; for those who make them better.

`--only saturated --only durable --seconds 40` measures one thing long enough to look into it with a profiler: the ids
of the processes that are measured are told when they start.
"""

import os
import tempfile
from pathlib import Path

import click

from bench.figures import Figures
from bench.peers import litellm, nginx, portkey
from bench.streams import measure
from bench.streams.session import LITELLM, LOAD_CORE, NGINX, PORTKEY

PEERS = {NGINX: nginx.start, LITELLM: litellm.start, PORTKEY: portkey.start}


@click.command()
@click.option("--only", multiple=True, help="A word of a measurement's name or target; several have to be there all.")
@click.option("--rounds", default=1, show_default=True, help="Rounds of each measurement.")
@click.option("--seconds", default=4.0, show_default=True, help="Twice the length of the longest measurement.")
def main(only: tuple[str, ...], rounds: int, seconds: float) -> None:
    """Measure, and print the rows: the median of the rounds, the least and the most."""
    os.sched_setaffinity(0, {LOAD_CORE})
    found = Figures()
    with tempfile.TemporaryDirectory() as folder:
        measure(found, Path(folder), rounds, seconds, PEERS, only)
    rows = list(found.rows.values())
    width = max((len(row.what) for row in rows), default=0)
    for row in rows:
        values = "".join(f"{value:>12,.2f}" for value in (row.median, row.least, row.most))
        click.echo(f"{row.what:<{width}}{values}  {row.unit}")


if __name__ == "__main__":
    main()
