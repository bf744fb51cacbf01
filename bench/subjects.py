"""Who is measured side by side, and how each is started."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench import bare, installed, reynard
from bench.figures import Figures, named
from bench.peers import litellm, nginx, portkey
from bench.subject import Start, Subject, Unavailable
from reynard.testing.process import NotListening

STARTS: Final[dict[str, Start]] = {
    "nginx": nginx.start,
    "bare loop": bare.start,
    "reynard": reynard.start,
    "portkey": portkey.start,
    "litellm": litellm.start,
}
INSTALLED: Final[dict[str, Callable[[], float]]] = {
    "nginx": nginx.installed_mb,
    "reynard": installed.megabytes,
    "portkey": portkey.installed_mb,
    "litellm": litellm.installed_mb,
}


def started(
    stack: ExitStack, core: int, upstream: str, folder: Path, names: list[str], figures: Figures
) -> list[Subject]:
    """Those of `names` that start; of the others it is said why they do not."""
    found = []
    for name in names:
        own = folder / name.replace(" ", "-")
        own.mkdir()
        try:
            subject = stack.enter_context(STARTS[name](core, upstream, own))
            found.append(subject)
            if name in INSTALLED:
                figures.add(named("installed size", name), "MB", INSTALLED[name]())
        except (Unavailable, NotListening) as error:
            figures.note(f"**{name} was not measured**: {_in_short(str(error))}")
            continue
        figures.add(named("start to the first answer or line", name), "s", subject.started_s)
    return found


def _in_short(said: str) -> str:
    """How it begins and how it ends."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return " … ".join(dict.fromkeys((lines[0], lines[-1]))) if lines else "it does not say why"
