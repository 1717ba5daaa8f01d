"""Where a request that names no repository may be taken for one that does, for `artifactapi check` to warn of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from app.resource import Repository

SHORT = "library"  # the first segment of one-word images on Docker Hub
_UNHEARD_OF = "no.such-namespace"  # a pattern that allows it allows anything, and speaks of no name


def collisions(repositories: Iterable[Repository]) -> Iterator[str]:
    """A line for each remote that answers without its name while its images may begin with another's name.

    In such a path "a first segment that names a repository wins" where that is one of images too, so those images
    are out of reach there. Told are `library` and what the remote's patterns speak of; without patterns every name.
    """
    known = [each for each in repositories if each.package == "docker"]
    for remote in known:
        if remote.serves or remote.hosts or remote.default:
            others = [each.name for each in known if each.name != remote.name and _begins(remote, each.name)]
            yield from (
                f"remotes.{remote.name}: answers without its name in the path, but its images {name}/... "
                f"are looked for in the repository {name}: rename that one, or say in immutable_patterns "
                f"which images {remote.name} has"
                for name in others
            )


def _begins(remote: Repository, name: str) -> bool:
    patterns = (*remote.immutable_patterns, *remote.mutable_patterns)
    return name == SHORT or not patterns or any(_speaks_of(each, name) for each in patterns)


def _speaks_of(pattern: re.Pattern[str], name: str) -> bool:
    """Whether the pattern allows an image below this name, and not just anything."""
    if f"{name}/" in pattern.pattern.replace("\\", ""):
        return True
    return _allows(pattern, name) and not _allows(pattern, _UNHEARD_OF)


def _allows(pattern: re.Pattern[str], name: str) -> bool:
    image = f"{name}/image"
    return any(map(pattern.search, (image, f"{image}/manifests/latest", f"v2/{image}/manifests/latest")))
