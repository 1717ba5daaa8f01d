"""What a job of prefetching is to do, of what was sent for it: checked before anything is queued."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from app import paths
from app.errors import ArtifactError, BadRequest, Invalid
from app.formats import FORMATS
from app.formats.docker import DOCKER
from app.prefetch.wanted import MOST, Lock, Task, Wanted
from app.repositories.values import Pattern
from app.resource import Ask, Repository

WRONG = 20  # paths that are named of those that are wrong


def made_of(repository: Repository, given: dict[str, Any]) -> Task:
    """Raises Invalid that names what is wrong."""
    members, platforms = tuple(part.name for part in repository.parts), tuple(given["platforms"])
    if "include_pattern" in given:
        return _chosen(repository, given, members, platforms)
    if "lock" in given:
        return Task(_pinned(repository, given["lock"], platforms), members)
    return Task(_served(repository, "paths", given["paths"], _meant(repository, platforms)), members)


def _meant(repository: Repository, platforms: tuple[str, ...]) -> Callable[[str], Wanted]:
    """How what somebody calls a path is read."""
    if repository.package != DOCKER.name:
        return Wanted
    from app.prefetch import images

    with _refusing("platforms"):
        images.check(platforms)
    return lambda text: images.asked(text, repository, platforms)


def _chosen(
    repository: Repository, given: dict[str, Any], members: tuple[str, ...], platforms: tuple[str, ...]
) -> Task:
    from app.prefetch import images, listings  # what reads indexes is loaded where one is to be read

    pattern = given["include_pattern"]
    with _refusing("include_pattern"):
        Pattern().read(pattern)
    with _refusing("platforms"):
        images.check(platforms)
    if repository.package not in listings.LISTINGS:
        reason = f'{repository.package} has no index that could be read: write "paths": ["<path>", ...] instead'
        raise Invalid("what is asked for is not valid: include_pattern", {"include_pattern": [reason]})
    found = _served(repository, "indexes", given["indexes"])
    wanted = [listings.index(repository.package, each.path, pattern, platforms) for each in found]
    return Task(wanted, members, pattern, platforms)


def _pinned(repository: Repository, lock: dict[str, str], platforms: tuple[str, ...]) -> list[Wanted]:
    from app.prefetch.rules import LOCKS

    package, read = LOCKS[lock["kind"]]
    if repository.package != package:
        reason = f"{lock['kind']} is of {package}, and {repository.name} of {repository.package}"
        raise Invalid("what is asked for is not valid: lock.kind", {"lock.kind": [reason]})
    with _refusing("lock.text"):
        found = list(read(Lock(lock["text"], platforms), repository))
    if not found or len(found) > MOST:
        reason = f"names more than {MOST} files" if found else "pins nothing that is of an index"
        raise Invalid("what is asked for is not valid: lock.text", {"lock.text": [reason]})
    for each in found:
        with _refusing("lock.text"):
            paths.check(each.path)
    return found


def _served(
    repository: Repository, name: str, given: Sequence[str], meant: Callable[[str], Wanted] = Wanted
) -> list[Wanted]:
    """Those paths, without slashes in front; Invalid that names each that would not be served."""
    known, wrong, found = FORMATS[repository.package], {}, []
    for number, text in enumerate(given):
        try:
            wanted = meant(paths.check(text.lstrip("/")))
            known.resolve(repository, Ask("GET", repository.name, wanted.path))
            found.append(wanted)
        except (ArtifactError, ValueError) as error:
            wrong[f"{name}.{number}"] = [error.message if isinstance(error, ArtifactError) else str(error)]
            if len(wrong) == WRONG:
                break
    if wrong:
        raise Invalid(f"what is asked for is not valid: {', '.join(list(wrong)[:5])}", wrong)
    return found


@contextlib.contextmanager
def _refusing(name: str) -> Iterator[None]:
    """What is wrong with the text of that name."""
    try:
        yield
    except (ValueError, BadRequest) as error:
        raise Invalid(f"what is asked for is not valid: {name}", {name: [str(error)]}) from None
