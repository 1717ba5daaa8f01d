"""What is wanted of a repository, and what follows from a document that is one of those things; pure."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import BinaryIO

from app.errors import BadRequest
from app.paths import check, quote
from app.resource import HERE, Repository, Resource

MOST = 100_000  # things that one job is about
_BASE = "http://here/"  # stands for the repository's own URL


@dataclass(frozen=True, slots=True)
class Wanted:
    """A path of a repository, as a client would ask for it with that Accept.

    `digest` is what a lock file says of its body, as "sha256:<hex>"; "" where it says nothing. `then` names the rule
    (rules.py) by which the body is read for more, and `about` is what that rule has to know. `held`: only where it is
    stored already.
    """

    path: str
    accept: str = ""
    digest: str = ""
    then: str = ""
    about: str = ""
    held: bool = False


Step = Callable[
    [Wanted, Resource, BinaryIO], Iterator[Wanted]
]  # raises ValueError: the body is not what it should be


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock file as it was sent; `platforms` ("linux/arm64") are of images: none means every one."""

    text: str
    platforms: tuple[str, ...] = ()


Reader = Callable[[Lock, Repository], Iterator[Wanted]]  # raises ValueError that names the line or the entry


@dataclass(frozen=True, slots=True)
class Task:
    """What a job is to do; `members` of a virtual are those that its author may read; `pattern`, if there is one, is
    looked for in what the indexes list that are stored (listings.py), for images of those `platforms`."""

    wanted: Sequence[Wanted] = ()
    members: tuple[str, ...] = ()
    pattern: str = ""
    platforms: tuple[str, ...] = ()

    def text(self) -> str:
        """The JSON from which task() makes the same."""
        return json.dumps([[astuple(each) for each in self.wanted], self.members, self.pattern, self.platforms])


def task(text: str) -> Task:
    """What Task.text() wrote."""
    wanted, members, pattern, platforms = json.loads(text)
    return Task([Wanted(*each) for each in wanted], tuple(members), pattern, tuple(platforms))


def below(document: str, url: str) -> str | None:
    """The path in the same repository of a URL in the document at that path; None where it is elsewhere.

    HERE stands for the repository's own URL (Resource.addressed); relative ones are RFC 3986's (5.2)."""
    if url.startswith(HERE):
        url = _BASE + url.removeprefix(HERE).lstrip("/")
    try:
        whole = urllib.parse.urldefrag(urllib.parse.urljoin(_BASE + quote(document), url)).url
        path = urllib.parse.unquote(whole.removeprefix(_BASE), errors="strict")
        return check(path) if whole.startswith(_BASE) and path else None
    except (ValueError, BadRequest):
        return None
