"""Signals as events that one loop waits for: blocked from the start, so none is lost and none interrupts."""

from __future__ import annotations

import signal
from types import TracebackType

STOP = frozenset({signal.SIGINT, signal.SIGTERM})
ALL = STOP | {signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM}  # the last one by our own timer


class Stopped(Exception):
    """An operator asked the server to stop."""


class Signals:
    """A context in which the supervisor's signals arrive only through `wait`."""

    def __enter__(self) -> Signals:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, ALL)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        while signal.sigtimedwait(ALL, 0) is not None:
            pass  # one that came during the stop must not end us as soon as it is let through
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def wait(self, seconds: float) -> signal.Signals | None:
        """The next signal, or None after `seconds` (more than 0). Raises Stopped for those that ask for the end.

        A SIGHUP by the kernel (si_code above 0, sigaction(2)) means that the terminal is gone: an end, too.
        """
        # Not sigtimedwait(): in CPython 3.11 it returns garbage, which may be any signal, to a process that was
        # stopped (SIGSTOP) until after its time.
        signal.setitimer(signal.ITIMER_REAL, seconds)
        found = signal.sigwaitinfo(ALL)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if found.si_signo == signal.SIGALRM:
            return None
        number = signal.Signals(found.si_signo)
        if number in STOP or (number == signal.SIGHUP and found.si_code > 0):
            raise Stopped(number.name)
        return number

    def hurried(self) -> bool:
        """Whether a further request to stop came since."""
        return signal.sigtimedwait(STOP, 0) is not None
