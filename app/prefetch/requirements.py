"""requirements.txt with hashes: the page of each project, then of its files those that have a hash listed.

    name==1.2 --hash=sha256:<hex> --hash=...     lines end with a backslash where they go on

Source: pip's documentation, "Requirements File Format", "Secure installs"; PEP 508; PEP 691.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import ijson  # type: ignore[import-untyped]
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from app.prefetch.wanted import Lock, Wanted, below
from app.resource import Repository, Resource

STEP = "files of a page"
JSON = "application/vnd.pypi.simple.v1+json"
_HASH = re.compile(r"--hash[= ]\s*sha256:([0-9A-Fa-f]{64})(?!\S)")
_ANY = re.compile(r"(?:^|\s)--hash[= ]")
_OPTIONS = re.compile(r"\s--(?:hash|config-settings|global-option|install-option)\b.*")
_ELSEWHERE = re.compile(r"(?:-r|-c|-e|--requirement|--constraint|--editable)\b")
_COMMENT = re.compile(r"(?:^|\s)#.*")


def read(lock: Lock, repository: Repository) -> Iterator[Wanted]:
    """The page of every project; raises ValueError that names the line."""
    for number, line in _lines(lock.text):
        if _ELSEWHERE.match(line):
            raise ValueError(f"line {number}: names a file that is not here: send one with everything pinned in it")
        if line.startswith("-"):
            continue  # --index-url and the like: which index it is, is the repository's to say
        try:
            asked = Requirement(_OPTIONS.sub("", line))
        except InvalidRequirement:
            raise ValueError(f"line {number}: is no requirement") from None
        hashes = [each.lower() for each in _HASH.findall(line)]
        if asked.url:
            raise ValueError(f"line {number}: {asked.name} is at an address, and not of an index")
        if not hashes:
            wrong = "has no sha256 among its hashes" if _ANY.search(line) else "has no hash"
            raise ValueError(f"line {number}: {asked.name} {wrong} (pip-compile --generate-hashes writes them)")
        yield Wanted(f"simple/{canonicalize_name(asked.name)}/", JSON, then=STEP, about=" ".join(hashes))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """(number of its first line, logical line without comment), but for empty ones."""
    whole, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first or number
        plain = _COMMENT.sub("", line).rstrip()
        if plain.endswith("\\"):
            whole += plain[:-1] + " "
            continue
        if whole := (whole + plain).strip():
            yield first, whole
        whole, first = "", 0
    if whole.strip():
        yield first, whole.strip()


def files(wanted: Wanted, resource: Resource, body: BinaryIO) -> Iterator[Wanted]:
    """Of a project's page those files that have one of the hashes, with what they say of themselves (PEP 658); raises
    ValueError where it is no page, or a hash is of none of them."""
    missing = set(wanted.about.split())
    for each in page(body):
        digest = (each.get("hashes") or {}).get("sha256", "")
        path = below(wanted.path, str(each.get("url", "")))
        if digest not in missing or path is None:
            continue
        missing.discard(digest)
        yield Wanted(path, digest=f"sha256:{digest}")
        if each.get("core-metadata") or each.get("data-dist-info-metadata"):
            yield Wanted(f"{path}.metadata")
    if missing:
        raise ValueError(f"{len(missing)} of the hashes are of no file that the index lists: {min(missing)}")


def page(body: BinaryIO) -> Iterator[dict[str, Any]]:
    """The files of a page in JSON, one by one; raises ValueError where it is none."""
    try:
        yield from ijson.items(body, "files.item")
    except ijson.JSONError as error:
        raise ValueError(f"the index's page is not JSON: {error}") from None
