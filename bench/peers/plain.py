"""nginx as a plain file server, as Debian configures it: what this machine can do at most; and with our settings."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from bench.peers.product import NGINX, TUNED, Product, Program, running
from tests.stack import free_port

# Debian's nginx.conf (sendfile, tcp_nopush, as many workers as cores, an access log) but for its paths. Its `gzip on`
# is of text/html alone, which nothing here is.
CONFIGURATION = """
{user}
daemon off; worker_processes auto; pid {work}/pid; error_log {work}/error.log; {main}
events {{ worker_connections 768; }}
http {{
    {http} tcp_nopush on; types_hash_max_size 2048; default_type application/octet-stream;
    client_body_temp_path {work}/t1; proxy_temp_path {work}/t2; fastcgi_temp_path {work}/t3;
    uwsgi_temp_path {work}/t4; scgi_temp_path {work}/t5;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""
DEBIAN = {"main": "", "http": "sendfile on; access_log {work}/access.log;"}
OURS = {  # what deploy/nginx.conf has for what is small
    "main": "pcre_jit on;",
    "http": "sendfile off; output_buffers 1 80k; keepalive_requests 100000; access_log off;",
}


@contextlib.contextmanager
def serving(executable: str, work: Path, root: Path, *, tuned: bool = False) -> Iterator[Product]:
    """`root` holds files/<name> and sets/<path>; `tuned`: with our settings."""
    work.mkdir(parents=True)
    port, user = free_port(), "user root;" if os.geteuid() == 0 else ""
    chosen = {name: each.format(work=work) for name, each in (OURS if tuned else DEBIAN).items()}
    told = CONFIGURATION.format(work=work, port=port, root=root, user=user, **chosen)
    (work / "nginx.conf").write_text(told, encoding="utf-8")
    program = Program([executable, "-e", work / "error.log", "-c", work / "nginx.conf"], work / "log")

    def restart() -> None:
        program.stop()
        program.start()

    with running(program, f"http://127.0.0.1:{port}/files/warm"):
        yield Product(
            TUNED if tuned else NGINX,
            port,
            program.pids,
            file=lambda path: f"/files/{path.rpartition('/')[2]}",
            index=lambda path: f"/sets/{path}",
            restart=restart,
            stop=program.stop,
        )
