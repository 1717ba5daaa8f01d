"""What one node claims before it starts anything: its DATA_DIR, where it listens, the fills process's socket."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import socket
from pathlib import Path
from typing import Any, TextIO

from app.settings_values import UNIX
from app.supervisor.processes import StartError

BACKLOG = 1024


def claim_directory(run: Path) -> TextIO:
    """Lock this DATA_DIR for as long as the returned file is open; the kernel frees it if we are killed."""
    lock = (run / "lock").open("a+", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        raise StartError(f"already running as pid {lock.read().strip()} in {run.parent}") from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def claim_address(host: str, port: int) -> socket.socket:
    """A socket with that address, at which nobody can connect before listen(); gunicorn inherits it, so nobody can
    take the port while gunicorn restarts."""
    if host.startswith(UNIX):
        return _claim_path(Path(host.removeprefix(UNIX)))
    family, address = _resolve(host, port)
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise StartError(f"{host}:{port}: {_why(error)}") from None
    return listener


def listen(listener: socket.socket) -> None:
    """From now on clients may connect and wait. StartError where a program that claimed a port when we did (neither
    listened, so both could) was quicker."""
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        host, port = listener.getsockname()[:2]
        raise StartError(f"{host}:{port}: {_why(error)}") from None


def _claim_path(path: Path) -> socket.socket:
    """The same on a unix socket for this user and its group; a proxy in front is a member of that."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        listener.bind(str(path))
        path.chmod(0o660)
    except OSError as error:
        listener.close()
        raise StartError(f"{UNIX}{path}: {error.strerror or error}") from None
    return listener


def _remove_stale(path: Path) -> None:
    """What a killed server left; OSError where it is anything else."""
    if not path.exists():
        return
    if not path.is_socket():
        raise OSError(errno.EEXIST, "a file that is no socket lies there: set HOST")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(str(path)) != errno.ECONNREFUSED or _is_bound(path):
            raise OSError(errno.EADDRINUSE, "another program listens there: stop it, or set HOST")
    path.unlink()


def _is_bound(path: Path) -> bool:
    """Whether a socket has that path, even one that does not listen yet (proc_net(5): the path ends its line)."""
    lines = Path("/proc/net/unix").read_bytes().split(b"\n")
    return any(line.endswith(b" " + os.fsencode(path)) for line in lines)


def refuse(listener: socket.socket) -> None:
    """From now on nobody can connect, whoever else has inherited the socket: a proxy asks another node."""
    path = listener.getsockname()
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    if isinstance(path, str):
        Path(path).unlink(missing_ok=True)


def _resolve(host: str, port: int) -> tuple[int, Any]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StartError(f"HOST {host}: {error.strerror}") from None
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    return family, address


def _why(error: OSError) -> str:
    reasons = {
        errno.EADDRINUSE: "another program listens there: stop it, or set PORT",
        errno.EACCES: "this user may not listen there: set PORT above 1023",
        errno.EADDRNOTAVAIL: "no address of this machine: set HOST",
    }
    return reasons.get(error.errno or 0, error.strerror or str(error))


def claim_unix_socket(path: Path) -> socket.socket:
    """A listening socket that outlives the process it is for, so that requests queue while that restarts."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(BACKLOG)
    return listener


def admin_token(file: Path) -> str:
    """The administrator's token in `file` (0600), made at the first start."""
    if not file.exists():
        write_private(file, secrets.token_urlsafe(32) + "\n")
    token = file.read_text(encoding="ascii").strip()
    if not token:
        raise StartError(f"{file} is empty: remove it, and a new token is made")
    return token


def write_private(file: Path, text: str) -> None:
    """Replace a file that only this user reads (0600), whole or not at all."""
    beside = file.with_suffix(".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
        new.write(text)
        new.flush()
        os.fsync(new.fileno())
    beside.replace(file)
