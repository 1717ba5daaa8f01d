"""remotes.json of what was found: one remote for each address; where there are credentials, the variables that are to
hold them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.discovery.found import Address
from app.formats import FORMATS

_PAIR = ("client_cert", "client_key")
_UPPER = re.compile(r"[^A-Z0-9]+")


@dataclass(frozen=True, slots=True)
class Document:
    """`variables` are to be set before the server starts, each with what it is to hold; `notes` tell what was left
    out."""

    text: Mapping[str, Any]
    variables: Mapping[str, str]
    notes: tuple[str, ...]


def document(found: Iterable[Address]) -> Document:
    """Of equal addresses the first; names that are taken get a number."""
    remotes: dict[str, dict[str, Any]] = {}
    variables: dict[str, str] = {}
    notes: list[str] = []
    taken: set[tuple[str, str]] = set()
    served: set[str] = set()
    for each in found:
        if (each.package, each.url) in taken:
            continue
        taken.add((each.package, each.url))
        if each.package not in FORMATS:
            notes.append(f"{each.url}: {each.package} is not proxied by this version")
            continue
        name = _name(each.name, remotes)
        remotes[name] = _remote(each, name, variables, served, notes)
    return Document({"remotes": remotes}, variables, tuple(notes))


def _remote(
    each: Address, name: str, variables: dict[str, str], served: set[str], notes: list[str]
) -> dict[str, Any]:
    remote: dict[str, Any] = {"package": each.package, each.key: each.url}
    serves = [host for host in each.serves if host not in served]
    served.update(serves)
    if serves:
        remote["serves"] = serves
    prefix = _UPPER.sub("_", name.upper()).strip("_")
    if each.login == "basic":
        for key in ("username", "password"):
            remote[key] = {"env": f"{prefix}_{key.upper()}"}
            variables[f"{prefix}_{key.upper()}"] = f"the {key} for {each.url}"
    upstream: dict[str, Any] = {}
    if each.login == "header":
        upstream["headers"] = {"Authorization": {"env": f"{prefix}_AUTHORIZATION"}}
        variables[f"{prefix}_AUTHORIZATION"] = f'"Bearer <token>" for {each.url}'
    upstream |= _files(each, name, notes)
    return remote | ({"upstream": upstream} if upstream else {})


def _files(each: Address, name: str, notes: list[str]) -> dict[str, str]:
    """What `upstream` names of those that can be read here; of a certificate and its key both or none."""
    named = {key: file for key in ("ca_file", *_PAIR) if (file := getattr(each, key))}
    left = {key for key, file in named.items() if not (os.access(file, os.R_OK) and Path(file).is_file())}
    notes.extend(f"{name}: {named[key]} cannot be read here: upstream.{key} is left out" for key in sorted(left))
    if "client_cert" not in named or not left.isdisjoint(_PAIR):
        left.update(_PAIR)
    return {key: file for key, file in named.items() if key not in left}


def _name(wanted: str, taken: Iterable[str]) -> str:
    names, number = set(taken), 1
    name = wanted
    while name in names:
        number += 1
        name = f"{wanted}-{number}"
    return name
