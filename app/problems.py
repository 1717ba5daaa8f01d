"""What a wrong configuration is called: one line a problem, each naming the file, the key and the reason."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong; `file` is "" for the environment, `key` is "" for the whole file."""

    file: str
    key: str
    reason: str

    def __str__(self) -> str:
        """One line, whatever a name or a value holds."""
        text = ": ".join(part for part in (self.file, self.key, self.reason) if part)
        return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


class ConfigError(Exception):
    """The configuration cannot be used; its text has one line per problem."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(each) for each in problems))
        self.problems = problems


def suggestion(word: str, known: Iterable[str]) -> str:
    """The likely meant word as `: did you mean "x"?`, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f': did you mean "{close[0]}"?' if close else ""


def shown(value: object) -> str:
    """A value as JSON on one line, cut where it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
