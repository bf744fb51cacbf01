"""Nothing that the bench started outlives it, however the bench ends."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

WATCH: Final = 'read -r _; kill -s KILL -- "$0"'
"""`read` returns when the other end of its pipe is gone. SIGKILL, for what it ends may stand still."""


@contextmanager
def not_left_behind(target: int) -> Iterator[None]:
    """`target`, a process, or a group if it is negative, is killed when this process is gone before the end of this.

    A child's own wish to die with its parent (prctl(2)) would not reach nginx's workers, which are children of a child.
    """
    watch = subprocess.Popen(["/bin/sh", "-c", WATCH, str(target)], stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        watch.kill()
        watch.communicate()
