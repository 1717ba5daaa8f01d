"""The last steps between fork and exec of a supervised process; run as a script, by its path.

    python -I -S child.py PARENT RECORD SIGNAL USER COMMAND...

It stands alone (no site, no package) because it runs before every child. PARENT is the pid that must still
be our parent, RECORD the file that will find us after PARENT was killed, SIGNAL the number that stops us
gently, USER `self`, or `nobody` to look like an ordinary user from inside a user namespace of our own.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

NOBODY = 65534
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
NO_NAMESPACE = 77  # exit status: this machine forbids user namespaces


def boot() -> str:
    """What tells this boot from every other: process start times count from it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def stat(pid: int | str) -> list[str]:
    """/proc/PID/stat after the command's name: [0] state, [1] parent, [3] session, [19] start (proc(5)).

    Raises OSError if there is no such process.
    """
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].decode("ascii").split()


def _fresh_signals() -> None:
    """The supervisor blocks signals and Python ignores SIGPIPE; both would pass through exec."""
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGPIPE,
        signal.SIGXFSZ,
    ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _become_nobody(libc: ctypes.CDLL) -> None:
    """Root outside, 65534 inside: Postgres refuses root, and this needs no chown, no open folders."""
    maps = {
        "setgroups": "deny",
        "gid_map": f"{NOBODY} {os.getegid()} 1",
        "uid_map": f"{NOBODY} {os.geteuid()} 1",
    }
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise SystemExit(NO_NAMESPACE)
    try:
        for name, text in maps.items():
            Path("/proc/self", name).write_text(text, encoding="ascii")
    except OSError:
        raise SystemExit(NO_NAMESPACE) from None


def _die_with(parent: int, number: int, libc: ctypes.CDLL) -> None:
    """After the namespace (new credentials forget the request); then look whether it came too late."""
    libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(0)


def _leave_record(path: Path, number: int) -> None:
    """Written by the child itself: there is no moment in which it runs unrecorded."""
    beside = path.with_suffix(".new")
    beside.write_text("\n".join((boot(), str(os.getpid()), stat("self")[19], str(number))), encoding="ascii")
    beside.replace(path)


def main(parent: str, record: str, number: str, user: str, *command: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if user == "nobody":
        _become_nobody(libc)
    _die_with(int(parent), int(number), libc)
    _leave_record(Path(record), int(number))
    _fresh_signals()
    os.execvp(command[0], command)  # noqa: S606  the supervisor's own command line, no shell


if __name__ == "__main__":
    main(*sys.argv[1:])
