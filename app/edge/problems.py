"""Why there is no lease, as lines for people."""

from __future__ import annotations


class UnableError(Exception):
    """This machine does not let the agent work (a directory, the log): no lease from this moment."""


class AwayError(Exception):
    """No node gave news: the lease lapses by itself."""


class UnknownError(AwayError):
    """No node takes this cursor."""
