"""How a worker tells gunicorn, in the middle of a long upload, that it is alive."""

from __future__ import annotations

from collections.abc import Callable


def _nobody() -> None:
    """Without gunicorn nobody waits for a sign of life."""


beat: Callable[[], None] = _nobody  # gunicorn.conf.py sets the worker's own
