"""What a client URL means before anything is looked up: what is asked, of which repository, and why of that one."""

from __future__ import annotations

from dataclasses import dataclass

from app.resource import Ask, Repository

BY_NAME = "its name is in the path"


@dataclass(frozen=True, slots=True)
class Target:
    """`because` says in words how the URL names the repository."""

    ask: Ask
    repository: Repository
    because: str = BY_NAME
