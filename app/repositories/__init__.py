"""remotes.json as frozen values: every repository that this node serves.

document.py     the files, as one JSON document
shapes.py       what every object in it has in common
keys.py         what the repositories may be; remote.py a remote, dialling.py its `upstream`
values.py       what each single value may be; addresses.py what a URL or a host may be
collisions.py   what `artifactapi check` warns of; misspelt.py too
display.py      the way back: GET /config
json_schema.py  what an editor is told of it
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from marshmallow import ValidationError

from app.problems import ConfigError, Problem, shown
from app.repositories import display
from app.repositories.collisions import collisions
from app.repositories.display import Bans
from app.repositories.document import SECTIONS, Document, Origin, read
from app.repositories.json_schema import schema
from app.repositories.keys import DocumentSchema
from app.repositories.misspelt import misspelt
from app.resource import Kind, Repository

__all__ = ["Bans", "Repositories", "collisions", "load", "misspelt", "schema", "snapshot"]


@dataclass(frozen=True, slots=True)
class Repositories:
    """Every repository by name, in the file's order; `sha256` is of the effective configuration, in hex.

    `bans` are the tags that the file lists, enforced or not; Repository.ban_tags are those that are.
    """

    remotes: Mapping[str, Repository]
    locals: Mapping[str, Repository]
    virtuals: Mapping[str, Repository]
    sha256: str
    bans: Mapping[str, Bans] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """Of every kind."""
        return frozenset((*self.remotes, *self.locals, *self.virtuals))

    def get(self, name: str) -> Repository | None:
        """The repository of that name, whatever its kind."""
        return self.remotes.get(name) or self.locals.get(name) or self.virtuals.get(name)

    def effective(self) -> dict[str, dict[str, dict[str, Any]]]:
        """What GET /config shows: every value in force, secrets as "***"; see display.py."""
        return display.effective(self.remotes, self.locals, self.virtuals, self.bans)


def load(path: Path) -> Repositories:
    """Read `path` and its `config_dir`; raises ConfigError with a line for everything wrong in them."""
    return _checked(path)[0]


def snapshot(path: Path) -> str:
    """All files as one JSON text that `load` reads to the same result from anywhere on this machine.

    Checks it first: raises ConfigError as `load` does. References to secrets stay references.
    """
    return _checked(path)[1].text()


def _checked(path: Path) -> tuple[Repositories, Document]:
    document = read(path)
    try:
        found = DocumentSchema().load(document.sections)
    except ValidationError as error:
        document.problems.extend(_problems(error.messages, document))
    if document.problems:
        raise ConfigError(*document.problems)
    maps = [_repositories(kind, found.get(section, {})) for kind, section in SECTIONS.items()]
    remotes, hosted, virtuals = maps
    bans = MappingProxyType({name: _bans(values) for name, values in found.get("remotes", {}).items()})
    digest = display.sha256(display.effective(remotes, hosted, virtuals, bans))
    return Repositories(remotes, hosted, virtuals, digest, bans), document


def _repositories(kind: str, found: dict[str, dict[str, Any]]) -> Mapping[str, Repository]:
    return MappingProxyType({name: _repository(name, Kind(kind), values) for name, values in found.items()})


def _repository(name: str, kind: Kind, values: dict[str, Any]) -> Repository:
    bans = _bans(values)
    known = {key: value for key, value in values.items() if not key.startswith("ban_tags")}
    return Repository(name=name, kind=kind, **known, ban_tags=frozenset(bans.tags if bans.enabled else ()))


def _bans(values: dict[str, Any]) -> Bans:
    return Bans(values.get("ban_tags_enabled", False), values.get("ban_tags", ()))


def _problems(messages: Any, document: Document) -> Iterator[Problem]:
    """One problem per message of marshmallow's tree, in the order in which the repositories were written."""
    for (section, name), origin in document.origins.items():
        wrong = messages.get(section, {}).get(name, [])
        yield from (Problem(origin.file, key, reason) for key, reason in _lines(_key(origin, name), wrong))


def _key(origin: Origin, name: str) -> str:
    return f"{origin.section}.{name or shown(name)}"


def _lines(key: str, wrong: Any) -> Iterator[tuple[str, str]]:
    """(key, reason) of every leaf; `_schema` is marshmallow's word for "the object itself"."""
    if isinstance(wrong, dict):
        for part, below in wrong.items():
            name = f"[{part}]" if isinstance(part, int) else "" if part == "_schema" else f".{part}"
            yield from _lines(key + name, below)
    else:
        yield from ((key, f"{reason[0].lower()}{reason[1:]}".rstrip(".")) for reason in dict.fromkeys(wrong))
