"""How remotes.json is read: JSON, the files of `config_dir`, the older form; what it means is in keys.py.

{"remotes": {name: {...}}, "locals": {name: {...}}, "virtuals": {name: {...}}, "config_dir": "conf.d"}
older form: {"remotes": {name: {"type": "remote" | "local" | "virtual", ...}}}
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.problems import Problem, shown, suggestion

SECTIONS = {"remote": "remotes", "local": "locals", "virtual": "virtuals"}
LARGEST = 16 * 1024 * 1024  # bytes of one file

_PATH_KEYS = frozenset({"file", "ca_file", "client_cert", "client_key"})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a repository was written, for the messages about it."""

    file: str
    section: str


@dataclass(slots=True)
class Document:
    """All files as one, in the newer form with absolute paths, and what was wrong on the way."""

    sections: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {section: {} for section in SECTIONS.values()}
    )
    origins: dict[tuple[str, str], Origin] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, file: Path, key: str, reason: str) -> None:
        self.problems.append(Problem(str(file), key, reason))

    def text(self) -> str:
        """The JSON that reads back as this document from anywhere on this machine."""
        return json.dumps(self.sections, indent=1)


def read(path: Path) -> Document:
    """Read `path` and the files of its `config_dir`, in order of their names; never raises."""
    document = Document()
    main = _parse(path, document)
    _add(document, path, main)
    for included in _included(document, path, main.get("config_dir")):
        found = _parse(included, document)
        if "config_dir" in found:
            document.problem(included, "config_dir", f"only {path} may name a directory")
        _add(document, included, found)
    return document


def _included(document: Document, path: Path, name: Any) -> list[Path]:
    if name is None:
        return []
    try:
        found = sorted((path.parent / name).iterdir())
    except (OSError, TypeError, ValueError):
        document.problem(path, "config_dir", f"{shown(name)} is not a readable directory beside this file")
        return []
    files = [each for each in found if each.suffix == ".json" and not each.name.startswith(".")]
    return [each for each in files if each.resolve() != path.resolve()]


class _Object(dict[str, Any]):
    """A JSON object that knows which of its keys were given twice (json keeps the last in silence)."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated = [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]


def _parse(path: Path, document: Document) -> dict[str, Any]:
    """The object in one file; an empty one, and a problem noted, where there is none."""
    try:
        found = _loads(_text(path))
    except ValueError as error:
        document.problem(path, "", str(error))
        return {}
    for key in _repeated(found, ""):
        document.problem(path, key, "given twice in one object: keep one of them")
    return found


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
        text = raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise ValueError("no such file: make one, or let CONFIG_PATH name it") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: byte {error.start} is no part of a character") from None
    if len(raw) > LARGEST:
        raise ValueError(f"larger than {LARGEST} bytes")
    return text


def _loads(text: str) -> _Object:
    if not text.strip():
        raise ValueError('empty: the least it may hold is {"remotes": {}}')
    try:
        found = json.loads(text, object_pairs_hook=_Object, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: line {error.lineno} column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise ValueError("not JSON that can be read: nested too deeply") from None
    if not isinstance(found, _Object):
        raise ValueError('not an object: it begins with {"remotes": ...')
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"not JSON: {name} is not a value")


def _repeated(value: object, key: str) -> Iterator[str]:
    if isinstance(value, _Object):
        yield from (f"{key}.{name}".lstrip(".") for name in value.repeated)
        for name, child in value.items():
            yield from _repeated(child, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for number, child in enumerate(value):
            yield from _repeated(child, f"{key}[{number}]")


def _add(document: Document, path: Path, found: dict[str, Any]) -> None:
    """Put one file's repositories into the document."""
    known = [*SECTIONS.values(), "config_dir", "$schema"]
    for name in found:
        if name not in known:
            document.problem(path, name, f"unknown key{suggestion(name, known)}")
    for section in SECTIONS.values():
        entries = found.get(section, {})
        if not isinstance(entries, dict):
            document.problem(path, section, "not an object of repositories by name")
            continue
        for name, value in entries.items():
            _enter(document, Origin(str(path), section), name, _absolute(value, path.parent.absolute()))


def _enter(document: Document, origin: Origin, name: str, value: Any) -> None:
    section = origin.section
    if section == "remotes" and isinstance(value, dict) and "type" in value:
        kind = value.pop("type")
        section = SECTIONS.get(kind, "") if isinstance(kind, str) else ""
        if not section:
            reason = f"{shown(kind)} is not remote, local or virtual{suggestion(str(kind), SECTIONS)}"
            document.problem(Path(origin.file), f"{origin.section}.{name}.type", reason)
            return
    for other in SECTIONS.values():
        if taken := document.origins.get((other, name)):
            reason = f"the name is taken by {taken.section}.{name} in {taken.file}"
            document.problem(Path(origin.file), f"{origin.section}.{name}", reason)
            return
    document.origins[section, name] = origin
    document.sections[section][name] = value


def _absolute(value: Any, directory: Path, key: str = "") -> Any:
    """A copy in which every file that is named is named from the root; header names are not keys of ours."""
    if isinstance(value, dict):
        names = {name: "" if key == "headers" else name for name in value}
        return {name: _absolute(child, directory, names[name]) for name, child in value.items()}
    if isinstance(value, list):
        return [_absolute(child, directory) for child in value]
    return str(directory / value) if key in _PATH_KEYS and isinstance(value, str) and value else value
