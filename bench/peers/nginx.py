"""nginx as a reverse proxy: the least that can stand between a client and an upstream.

Settings from nginx.org/en/docs/http/ngx_http_upstream_module.html#keepalive (keep-alive to the upstream needs HTTP/1.1
and an empty `Connection`), ngx_http_proxy_module.html#proxy_buffering (a stream must pass as it comes) and
ngx_core_module.html#worker_connections (both sides of a proxied request count).
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers import process
from bench.subject import Subject, Unavailable

# No body goes to a file, since nobody else here writes one down.
# 5,000 streams are 10,000 connections of the one worker. Its temporary files stay in the prefix; as root it would give
# up the right to write there, so it stays who it is.
CONFIGURATION = """\
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
error_log stderr error;
pid nginx.pid;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    client_max_body_size 32m;
    client_body_buffer_size 32m;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
{content}
}}
"""

PROXY = """\
    upstream peer {{
        server {upstream};
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=8192;
        location / {{
            proxy_pass http://peer;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 600s;
        }}
    }}
"""


@contextmanager
def start(core: int, upstream_url: str, folder: Path) -> Iterator[Subject]:
    """A proxy of one worker. Raises `Unavailable`."""
    port = process.free_port()
    content = PROXY.format(upstream=upstream_url.removeprefix("http://"), port=port)
    with serving(core, content, folder) as running:
        url = f"http://127.0.0.1:{port}"
        started_s = running.answers(url, {}, within_s=10)
        yield Subject(name="nginx", version=version(), url=url, pids=running.pids, started_s=started_s)


@contextmanager
def serving(core: int, content: str, folder: Path) -> Iterator[process.Process]:
    """nginx with `content` as its http block, and `folder` as its prefix. Raises `Unavailable`."""
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(CONFIGURATION.format(user=user, content=content))
    command = [_executable(), "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with process.started(core, command, folder) as running:
        yield running


def version() -> str:
    """As it says itself."""
    said = subprocess.run([_executable(), "-v"], capture_output=True, text=True, check=True).stderr
    found = re.search(r"nginx/(\S+)", said)
    return found[1] if found else "unknown"


def installed_mb() -> float:
    """The executable alone: the libraries it needs are the system's."""
    return Path(_executable()).resolve().stat().st_size / 1e6


def _executable() -> str:
    # /usr/sbin is not on everybody's path
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Unavailable("there is no nginx on this machine: `apt-get install nginx`")
    return found
