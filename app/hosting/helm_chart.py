"""A packaged chart: what its Chart.yaml says, and only what Helm's index can say again.

One entry with a field that Helm does not know, or of another type, makes the whole index unreadable to it: so fields
are taken by name, and a chart that has one of another type is refused.

Source: helm.sh/docs/topics/charts, "The Chart.yaml File"; helm.sh/docs/topics/provenance.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.formats.helm_versions import chart_of, is_version
from app.formats.tar import top_level
from app.hosting import helm_yaml
from app.hosting.archives import Limits, unpack
from app.hosting.helm_yaml import Value

CHART, SIGNATURE = ".tgz", ".tgz.prov"
LIMITS = Limits(unpacked=100 << 20)  # Helm itself unpacks no more
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_LONGEST = 255  # bytes of a file's name, signature and all
_LONGEST_KEY = 512  # characters: some parsers of YAML take no key beyond 1024
_TRUTH = {"true": True, "false": False}
_SIGNED = re.compile(rb"^\s+\"?([A-Za-z0-9._+-]+\.tgz)\"?:\s+\"?sha256:([0-9a-f]{64})\"?\s*$", re.MULTILINE)
_SIGNATURE_HEAD = b"-----BEGIN PGP SIGNED MESSAGE-----"


@dataclass(frozen=True, slots=True)
class Chart:
    """What one chart says of itself; `fields` are those of an entry of index.yaml, as JSON has them."""

    name: str
    version: str
    fields: Mapping[str, Any]

    @property
    def file(self) -> str:
        """The name that its file has, by Helm's convention."""
        return f"{self.name}-{self.version}{CHART}"


def read(path: Path) -> Chart:
    """What is in a file; ValueError, whose text goes on after "the package", where it is no chart."""
    with path.open("rb") as packed:
        if packed.read(2) != b"\x1f\x8b":
            raise ValueError("is not packed by gzip")
        packed.seek(0)
        found = list(top_level(unpack(packed, LIMITS), "Chart.yaml", helm_yaml.LARGEST, LIMITS))
    if len(found) != 1:
        raise ValueError("has no Chart.yaml" if not found else "has more than one Chart.yaml")
    try:
        return chart(helm_yaml.read(found[0][1]))
    except ValueError as error:
        raise ValueError(f"has a Chart.yaml that {error}") from error


def chart(said: Value) -> Chart:
    """What a Chart.yaml says; ValueError."""
    if not isinstance(said, dict):
        raise ValueError("is no map")
    fields = _fields(said, _FIELDS)
    name, version = fields.get("name", ""), fields.get("version", "")
    if not _NAME.fullmatch(name):
        raise ValueError(f"has a name that no chart has: {name[:80]!r}")
    if not is_version(version):
        raise ValueError(f"has a version that is not SemVer: {version[:80]!r}")
    if fields.get("apiVersion") not in ("v1", "v2"):
        raise ValueError("has an apiVersion that is neither v1 nor v2")
    if fields.get("type", "application") not in ("application", "library"):
        raise ValueError("has a type that is neither application nor library")
    if len(f"{name}-{version}{SIGNATURE}") > _LONGEST:
        raise ValueError("has too long a name and version")
    if chart_of(f"{name}-{version}{CHART}") != name:
        raise ValueError("has a name that ends like a version: its file would be another chart's")
    return Chart(name, version, fields)


def signed(signature: bytes) -> tuple[str, str]:
    """(file name, sha256 in hex) of the chart that a signature is of; ValueError. The signature is not verified:
    whose it must be is known to who installs the chart."""
    found = _SIGNED.findall(signature)
    if not signature.lstrip().startswith(_SIGNATURE_HEAD) or len(found) != 1:
        raise ValueError("is no signature of one chart")
    return found[0][0].decode(), found[0][1].decode()


# -- the fields of an entry ---------------------------------------------------------------------------------


def _text(value: Value) -> str:
    if not isinstance(value, str):
        raise ValueError("text")
    return value


def _truth(value: Value) -> bool:
    if not isinstance(value, str) or value.lower() not in _TRUTH:
        raise ValueError("true or false")
    return _TRUTH[value.lower()]


def _texts(value: Value) -> list[str]:
    if not isinstance(value, list):
        raise ValueError("a list of texts")
    return [_text(each) for each in value if each is not None]


def _map(value: Value) -> dict[str, str]:
    if not isinstance(value, dict) or any(len(key) > _LONGEST_KEY for key in value):
        raise ValueError("a map of texts")
    return {key: _text(each) for key, each in value.items() if each is not None}


def _imports(value: Value) -> list[str | dict[str, str]]:
    if not isinstance(value, list):
        raise ValueError("a list")
    return [_map(each) if isinstance(each, dict) else _text(each) for each in value]


def _maps(kinds: Mapping[str, Callable[[Value], Any]]) -> Callable[[Value], list[dict[str, Any]]]:
    def several(value: Value) -> list[dict[str, Any]]:
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise ValueError("a list of maps")
        return [_fields(each, kinds) for each in value if isinstance(each, dict)]

    return several


def _fields(said: Mapping[str, Value], kinds: Mapping[str, Callable[[Value], Any]]) -> dict[str, Any]:
    found = {}
    for name, kind in kinds.items():
        if (value := said.get(name)) is not None:
            try:
                found[name] = kind(value)
            except ValueError as error:
                raise ValueError(f"has a {name} that is not {error}") from error
    return found


_PERSON = dict.fromkeys(("name", "email", "url"), _text)
_DEPENDENCY: Mapping[str, Callable[[Value], Any]] = {
    **dict.fromkeys(("name", "version", "repository", "condition", "alias"), _text),
    "tags": _texts,
    "enabled": _truth,
    "import-values": _imports,
}
_FIELDS: Mapping[str, Callable[[Value], Any]] = {
    **dict.fromkeys(("apiVersion", "name", "version", "kubeVersion", "description", "type"), _text),
    **dict.fromkeys(("home", "icon", "appVersion", "condition", "tags"), _text),
    **dict.fromkeys(("keywords", "sources"), _texts),
    "annotations": _map,
    "dependencies": _maps(_DEPENDENCY),
    "deprecated": _truth,
    "maintainers": _maps(_PERSON),
}
