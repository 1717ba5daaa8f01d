"""apt-cacher-ng in front of the bench's own upstream, in directories of its own.

A client names upstream in the path (/<host>:<port>/<path>), as its manual's "alternative" sources.list form does;
what ends in .deb is kept for good.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench.peers.product import ACNG, Product, Program, running
from tests.stack import free_port

# Debian's acng.conf, but for: directories and a port of its own, the foreground, upstreams on any port (0), no log
# line for each transfer.
CONFIGURATION = """\
CacheDir: {work}/cache
LogDir: {work}/log
SupportDir: /usr/lib/apt-cacher-ng
ReportPage: acng-report.html
BindAddress: 127.0.0.1
Port: {port}
ForeGround: 1
AllowUserPorts: 0
VerboseLog: 0
ExThreshold: 4
"""

# Measured with 8 connections kept alive: 45 ms for each answer, 170 a second; with a new connection for each request
# 5,800. So it is measured with those.
CLOSED = {"Connection": "close"}


@contextlib.contextmanager
def serving(executable: str, work: Path, upstream: int) -> Iterator[Product]:
    """`upstream` is a port of 127.0.0.1."""
    for name in ("cache", "log", "conf"):
        (work / name).mkdir(parents=True)
    port = free_port()
    (work / "conf" / "acng.conf").write_text(CONFIGURATION.format(work=work, port=port), encoding="utf-8")
    program = Program([executable, "-c", work / "conf"], work / "printed")

    def restart() -> None:
        program.stop()
        program.start()

    def at(path: str) -> str:
        return f"/127.0.0.1:{upstream}{path}"

    with running(program, f"http://127.0.0.1:{port}{at('/0/0/warm.deb')}"):
        yield Product(ACNG, port, program.pids, file=at, restart=restart, stop=program.stop, headers=CLOSED)
