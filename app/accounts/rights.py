"""Who asks, and what they may read, write and manage; pure.

    may read   a repository that is public: everybody. `access: authenticated`: whoever is known. A project's: its
               members, who may write there, and administrators
    may write  a local repository: writers and owners of its project, and administrators
    manage     a project: its owners, and administrators; everything else: administrators

A token may less than its user: only what one of its scopes allows. `read`, `write` and `admin` stand for everything
of their kind; `read:<repository>` and `write:<repository>` for one repository. Whoever may write may read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from app.resource import Repository

PUBLIC, AUTHENTICATED = "", "authenticated"  # Repository.access, where it is no project's name
EVERYBODY = "everybody"  # PUBLIC, where people write or read it
# no project's names: who wrote one as `access` would mean everybody, and give it to whoever made that project
RESERVED = frozenset({EVERYBODY, AUTHENTICATED, "all", "anonymous", "anybody", "anyone", "everyone", "public"})


class Role(IntEnum):
    """Of a project's member; each may what those below may."""

    READER = 1
    WRITER = 2
    OWNER = 3


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `user` is 0 for nobody and for the administrator's own token; `token` is the number of the API token,
    0 for none; `expires` in unix seconds, 0 for never."""

    name: str = ""
    user: int = 0
    admin: bool = False
    scopes: frozenset[str] = frozenset()
    projects: Mapping[str, Role] = field(default_factory=dict)
    token: int = 0
    expires: float = 0.0

    @property
    def known(self) -> bool:
        """Whether this is somebody."""
        return bool(self.name)

    @property
    def administers(self) -> bool:
        """Whether everything is theirs to change."""
        return self.admin and "admin" in self.scopes

    def may_read(self, repository: Repository) -> bool:
        """Whether they may know what is in it, and that it exists."""
        if repository.access == PUBLIC or self.administers:
            return True
        if not self.known or not self._scoped(repository, "read", "write"):
            return False
        if repository.access == AUTHENTICATED or self.admin:
            return True
        return repository.access in self.projects or self._publishes(repository)

    def may_write(self, repository: Repository) -> bool:
        """Whether they may publish and withdraw there."""
        if self.administers:
            return True
        return (self.admin or self._publishes(repository)) and self._scoped(repository, "write")

    def owns(self, project: str) -> bool:
        """Whether they may change the project, its members and its repositories."""
        return self.administers or ("admin" in self.scopes and self.projects.get(project, 0) >= Role.OWNER)

    def _publishes(self, repository: Repository) -> bool:
        return bool(repository.project) and self.projects.get(repository.project, 0) >= Role.WRITER

    def _scoped(self, repository: Repository, *kinds: str) -> bool:
        allowed = {"admin", *kinds, *(f"{kind}:{repository.name}" for kind in kinds)}
        return bool(self.scopes & allowed)


ANYBODY = Principal()
ROOT = Principal("admin", admin=True, scopes=frozenset({"admin"}))  # the administrator's own token, or AUTH=open
