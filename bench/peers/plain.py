"""nginx as a plain file server, as Debian configures it: what this machine can do at most."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from bench.peers.product import NGINX, Product, Program, running
from tests.stack import free_port

# Debian's nginx.conf (sendfile, tcp_nopush, as many workers as cores, an access log) but for its paths. Its `gzip on`
# is of text/html alone, which nothing here is.
CONFIGURATION = """
{user}
daemon off; worker_processes auto; pid {work}/pid; error_log {work}/error.log;
events {{ worker_connections 768; }}
http {{
    sendfile on; tcp_nopush on; types_hash_max_size 2048; default_type application/octet-stream;
    access_log {work}/access.log;
    client_body_temp_path {work}/t1; proxy_temp_path {work}/t2; fastcgi_temp_path {work}/t3;
    uwsgi_temp_path {work}/t4; scgi_temp_path {work}/t5;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@contextlib.contextmanager
def serving(executable: str, work: Path, root: Path) -> Iterator[Product]:
    """`root` holds files/<name> and sets/<path>."""
    work.mkdir(parents=True)
    port, user = free_port(), "user root;" if os.geteuid() == 0 else ""
    told = CONFIGURATION.format(work=work, port=port, root=root, user=user)
    (work / "nginx.conf").write_text(told, encoding="utf-8")
    program = Program([executable, "-e", work / "error.log", "-c", work / "nginx.conf"], work / "log")

    def restart() -> None:
        program.stop()
        program.start()

    with running(program, f"http://127.0.0.1:{port}/files/warm"):
        yield Product(
            NGINX,
            port,
            program.pids,
            file=lambda path: f"/files/{path.rpartition('/')[2]}",
            index=lambda path: f"/sets/{path}",
            restart=restart,
            stop=program.stop,
        )
