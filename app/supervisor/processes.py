"""One supervised process: started in its own session, found again after a crash, stopped with all it forked.

A record (see child.py) is a file of four lines: boot id, pid, start time in ticks, the signal that stops it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.supervisor import child

POLL = 0.02  # seconds between two looks at a process
GRAVE = ("FATAL:", "PANIC:")  # Postgres says why before it says that it ends


class StartError(Exception):
    """Something of this node cannot start; the message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The process a record names, whether or not it still runs."""

    boot: str
    pid: int
    started: str
    stop_signal: int

    @classmethod
    def read(cls, record: Path) -> Recorded | None:
        """None where there is no record, or one of an earlier boot or cut short."""
        try:
            boot, pid, started, number = record.read_text(encoding="ascii").split("\n")
            found = cls(boot, int(pid), started, int(number))
        except (OSError, ValueError):
            return None
        return found if boot == child.boot() else None

    def members(self) -> list[int]:
        """Pids that live in its session: itself and all it forked; never those of a recycled pid.

        Linux hands out no pid that still names a session, so a leader with another start time means that
        the whole session is gone, and a missing leader that what carries its number is still ours.
        """
        leader = _stat(self.pid)
        if leader is not None and leader[19] != self.started:
            return []
        return [pid for pid in all_pids() if _in_session(pid, self.pid)]

    def signal(self, number: int, *, everyone: bool = False) -> None:
        for pid in self.members():
            if everyone or pid == self.pid:
                send(pid, number)


def all_pids() -> Iterable[int]:
    """Every process of this machine (proc(5))."""
    return (int(entry) for entry in os.listdir("/proc") if entry.isdigit())  # noqa: PTH208  numbers, not paths


def _stat(pid: int) -> list[str] | None:
    try:
        return child.stat(pid)
    except OSError:
        return None


def _in_session(pid: int, session: int) -> bool:
    found = _stat(pid)
    return found is not None and found[3] == str(session) and found[0] not in "ZX"


def send(pid: int, number: int) -> None:
    """Signal a process that may be gone already; StartError if it is not ours to signal."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError:
        raise StartError(f"process {pid} of an earlier start belongs to another user: stop it first") from None


def sweep(records: Iterable[Path], grace: float) -> list[str]:
    """Stop what a killed predecessor left: asked, after `grace` seconds killed. Returns their names."""
    found = [(record, recorded) for record in records if (recorded := Recorded.read(record)) is not None]
    left = [(record, recorded) for record, recorded in found if recorded.members()]
    for _, recorded in left:
        recorded.signal(recorded.stop_signal)
    _outwait([recorded for _, recorded in left], grace)
    for record, _ in found:
        record.unlink(missing_ok=True)
    return [record.stem for record, _ in left]


def _outwait(processes: Sequence[Recorded], grace: float) -> None:
    """Wait until all are gone; kill what is left after `grace` seconds, and what those forked meanwhile."""
    deadline = time.monotonic() + grace
    while any(process.members() for process in processes):
        if time.monotonic() > deadline:
            for process in processes:
                process.signal(signal.SIGKILL, everyone=True)
        time.sleep(POLL)


@dataclass(frozen=True, slots=True)
class Command:
    """How a process is started; `log` takes its output (emptied at each start), else ours is inherited."""

    name: str
    arguments: Sequence[str]
    record: Path
    directory: Path
    environment: Mapping[str, str]
    stop_signal: signal.Signals = signal.SIGTERM
    log: Path | None = None
    sockets: tuple[int, ...] = ()
    as_nobody: bool = False


@dataclass(slots=True)
class Process:
    """A child of this process in a session of its own, so that a Ctrl-C reaches only the supervisor."""

    command: Command
    running: subprocess.Popen[bytes]
    recorded: Recorded = field(init=False)

    def __post_init__(self) -> None:
        fields = child.stat(self.running.pid)
        self.recorded = Recorded(child.boot(), self.running.pid, fields[19], self.command.stop_signal)

    @classmethod
    def start(cls, command: Command) -> Process:
        """Call it from the main thread: the child is told to end when the *thread* that started it ends."""
        prefix = [sys.executable, "-I", "-S", child.__file__, str(os.getpid()), str(command.record)]
        user = "nobody" if command.as_nobody else "self"
        output = command.log.open("wb") if command.log else None
        try:
            running = subprocess.Popen(  # noqa: S603  a list, no shell
                [*prefix, str(int(command.stop_signal)), user, *command.arguments],
                cwd=command.directory,
                env=dict(command.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=command.sockets,
            )
        finally:
            if output is not None:
                output.close()
        return cls(command, running)

    @property
    def pid(self) -> int:
        return self.running.pid

    def ended(self) -> int | None:
        """The exit status (negative: a signal), None while it runs. Not reaped: the pid stays its own."""
        if self.running.returncode is not None:
            return self.running.returncode
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        found = os.waitid(os.P_PID, self.pid, options)
        if found is None:
            return None
        return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status

    def signal(self, number: int) -> None:
        if self.ended() is None:
            send(self.pid, number)

    def bury(self) -> None:
        """Kill what an ended (or hopeless) process left in its session, and reap it."""
        while self.recorded.members():
            self.recorded.signal(signal.SIGKILL, everyone=True)
            time.sleep(POLL)
        self.running.wait()
        self.command.record.unlink(missing_ok=True)

    def stop(self, grace: float, hurry: Callable[[], bool] = lambda: False) -> None:
        """Ask, wait at most `grace` seconds (not at all once `hurry` says so), then leave nothing behind."""
        self.signal(self.command.stop_signal)
        deadline = time.monotonic() + grace
        while self.ended() is None and time.monotonic() < deadline and not hurry():
            time.sleep(POLL)
        self.bury()

    def last_words(self) -> str:
        """The last line it logged (of the grave ones, if any), for the one-line reason why it ended."""
        if self.command.log is None or not self.command.log.exists():
            return ""
        lines = self.command.log.read_text(encoding="utf-8", errors="replace").split("\n")
        grave = [line for line in lines if any(word in line for word in GRAVE)]
        return next((line.strip() for line in reversed(grave or lines) if line.strip()), "")
