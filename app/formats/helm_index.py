"""index.yaml: what it says of every version of every chart, where upstream keeps their files, and how it is written.

It is written as one JSON document, which is YAML too and which Helm reads ten times as fast; a version is one line:

    {"apiVersion": "v1", "entries": {
    "demo": [
    {"name": "demo", "version": "1.1.0", "urls": ["charts/demo/1.1.0/0f3ac2.../demo-1.1.0.tgz"], ...},
    {"name": "demo", "version": "1.0.0", ...}]},
    "generated": "2026-11-21T16:17:14Z"}

Every chart has a path of its own below index.yaml, wherever upstream keeps it. A digest is in it, so that another
file under an old name is another path; "-" where upstream gives none.

Source: helm.sh/docs/topics/chart_repository, "The index file"; pkg/repo, IndexFile, and pkg/chart, Metadata, of
github.com/helm/helm, which reads strictly: one unknown field, and it reads nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, BinaryIO
from urllib.parse import quote, unquote

from app.formats import helm_yaml
from app.resource import Digest, Located

Entry = dict[str, Any]
Index = Mapping[str, list[Entry]]

NONE = "-"
SHOWN = 16  # hex digits of a digest that are in a path
_SEGMENT = re.compile(r"(?!\.\.?\Z)[^/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,255}")
_FILE = re.compile(r"[^/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,240}\.(?:tgz|tar\.gz)")
_SHA256 = re.compile(r"(?:sha256:)?([0-9A-Fa-f]{64})")
_FOREIGN = re.compile(r"(?!https?:)[A-Za-z][A-Za-z0-9+.-]*:", re.IGNORECASE)  # oci:// and what else is no http
_TRUTHS = frozenset({"deprecated", "removed"})  # which YAML 1.1, and so Helm, reads in more words
_SAYS = {**dict.fromkeys(("true", "yes", "on", "y"), True), **dict.fromkeys(("false", "no", "off", "n"), False)}
# What YAML takes no character for, or for the end of a line; of JSON's own escapes it knows every one.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Document:
    """An index: `charts` by name, each with its versions; `more` is everything that it says besides."""

    charts: Index
    more: Mapping[str, Any] = field(default_factory=dict)


def checked(body: BinaryIO) -> Document:
    """ValueError where it is no index. What Helm passes over, a version without a name, is left out."""
    return _document(helm_yaml.checked(body.read(helm_yaml.LARGEST + 1)))


def read(body: BinaryIO) -> Document:
    """The same of a body that checked() has read before, or that this server wrote."""
    return _document(helm_yaml.read(body.read(helm_yaml.LARGEST + 1)))


def _document(said: object) -> Document:
    if not isinstance(said, dict) or "entries" not in said:
        raise ValueError("index.yaml has no entries")
    entries = said.pop("entries") or {}
    if not isinstance(entries, dict):
        raise ValueError("index.yaml has entries that are no map")
    return Document({name: _versions(name, found) for name, found in entries.items()}, said)


def _versions(name: str, found: object) -> list[Entry]:
    if not isinstance(found, list | None) or not all(isinstance(each, dict | None) for each in found or ()):
        raise ValueError(f"index.yaml has a chart that is no list of versions: {name[:80]!r}")
    kept = [each for each in found or () if each and _segment(each.get("name")) and _segment(each.get("version"))]
    for each in kept:
        for key in _TRUTHS & each.keys():
            each[key] = _SAYS.get(str(each[key]).lower(), each[key])
    return kept


def _segment(value: object) -> bool:
    return isinstance(value, str) and _SEGMENT.fullmatch(value) is not None


# -- where a version's file is ------------------------------------------------------------------------------


def digest(entry: Entry) -> str:
    """The chart's sha256 in hex, "" where the entry has none."""
    match = _SHA256.fullmatch(str(entry.get("digest") or ""))
    return match[1].lower() if match else ""


def urls(entry: Entry) -> list[str]:
    """As upstream writes them."""
    found = entry.get("urls")
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def path(entry: Entry) -> str:
    """Where this server has the chart's file, "" where upstream has none that HTTP could fetch."""
    url = next(filter(fetched, urls(entry)), "")
    if not url:
        return ""
    last = unquote(url.partition("#")[0].partition("?")[0].rpartition("/")[2], errors="replace")
    name, version = entry["name"], entry["version"]
    file = last if _FILE.fullmatch(last) else f"{name}-{version}.tgz"
    return f"charts/{name}/{version}/{digest(entry)[:SHOWN] or NONE}/{file}"


def fetched(url: str) -> bool:
    """Whether it is a chart's over HTTP: absolute, or relative to the index."""
    return bool(url) and not _FOREIGN.match(url)


class Places:
    """Where the charts of the indexes read last are; to find one in 14 MB takes a third of a second otherwise."""

    _MOST = 200_000  # versions

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Mapping[tuple[str, str], list[Located]]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, index: BinaryIO, name: str, version: str, shown: str) -> Located | None:
        """The one whose digest begins so (NONE: that has none). Raises ValueError."""
        for each in self._of(index).get((name, version), ()):
            if (each.digest.value[:SHOWN] if each.digest else NONE) == shown:
                return each
        return None

    def _of(self, index: BinaryIO) -> Mapping[tuple[str, str], list[Located]]:
        body = index.read(helm_yaml.LARGEST + 1)
        key = hashlib.sha256(body).digest()
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        return self._keep(key, _places(body))

    def _keep(
        self, key: bytes, found: Mapping[tuple[str, str], list[Located]]
    ) -> Mapping[tuple[str, str], list[Located]]:
        with self._lock:
            self._known[key] = found
            while len(self._known) > 1 and sum(map(len, self._known.values())) > self._MOST:
                self._known.popitem(last=False)
        return found


def _places(body: bytes) -> Mapping[tuple[str, str], list[Located]]:
    found: dict[tuple[str, str], list[Located]] = {}
    for versions in read(BytesIO(body)).charts.values():
        for each in versions:
            url = next(filter(fetched, urls(each)), "")
            if url:
                known = digest(each)
                place = Located(url, Digest("sha256", known) if known else None)
                found.setdefault((each["name"], each["version"]), []).append(place)
    return found


# -- writing ------------------------------------------------------------------------------------------------


def lines(charts: Mapping[str, Iterable[bytes]], more: Mapping[str, Any]) -> Iterator[bytes]:
    """The document; a version as line() wrote it."""
    before = {name: value for name, value in more.items() if name < "entries"}
    yield b"{" + b"".join(b"%s: %s, " % (_json(name), _json(value)) for name, value in before.items())
    yield b'"entries": {'
    for number, (name, versions) in enumerate(charts.items()):
        yield (b",\n" if number else b"\n") + _json(name) + b": [\n" + b",\n".join(versions) + b"]"
    yield b"}"
    for name, value in more.items():
        if name not in before:
            yield b",\n%s: %s" % (_json(name), _json(value))
    yield b"}\n"


def line(entry: Entry, here: str) -> bytes:
    """One version whose file is at `here`, "" for where upstream says."""
    if here:
        url = quote(here, safe="/+@~:")
        entry = {**entry, "urls": [url if fetched(each) else each for each in urls(entry)]}
    return _json(entry)


def _json(value: object) -> bytes:
    written = json.dumps(value, ensure_ascii=False)
    if written.isascii() and "\x7f" not in written:
        return written.encode()
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", written).encode()


# -- what Helm can read -------------------------------------------------------------------------------------

Check = Callable[[Any], bool]
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")


def legible(entry: Entry) -> bool:
    """Whether Helm can read it; with one that it cannot, it reads nothing of the whole index."""
    return _fits(entry, _VERSION)


def _fits(value: Any, checks: Mapping[str, Check]) -> bool:
    if not isinstance(value, dict):
        return False
    for name, each in value.items():
        check = checks.get(name)
        if check is None or not (each is None or check(each)):
            return False
    return True


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(each is None or isinstance(each, str) for each in value)


def _map(value: Any) -> bool:
    return isinstance(value, dict) and all(each is None or isinstance(each, str) for each in value.values())


def _maps(checks: Mapping[str, Check]) -> Check:
    return lambda value: isinstance(value, list) and all(each is None or _fits(each, checks) for each in value)


def _time(value: Any) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def _all(check: Check, *names: str) -> dict[str, Check]:
    return dict.fromkeys(names, check)


_DEPENDENCY = {
    **_all(_text, "name", "version", "repository", "condition", "alias"),
    "enabled": _truth,
    "tags": _texts,
    "import-values": lambda value: isinstance(value, list),
}
_VERSION = {
    **_all(_text, "name", "version", "home", "description", "icon", "apiVersion", "condition", "tags", "appVersion"),
    **_all(_text, "kubeVersion", "type", "digest", "checksum", "engine", "tillerVersion", "url"),
    **_all(_texts, "urls", "keywords", "sources"),
    **_all(_truth, "deprecated", "removed"),
    "annotations": _map,
    "created": _time,
    "maintainers": _maps(_all(_text, "name", "email", "url")),
    "dependencies": _maps(_DEPENDENCY),
}
