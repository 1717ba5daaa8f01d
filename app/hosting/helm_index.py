"""index.yaml: every version of every chart, the newest first.

A version is one line of JSON, which is YAML too, is written a hundred times faster, and is the same to every parser:
a text is in quotes, whatever else it could be taken for.

    apiVersion: v1
    entries:
      "demo":
      - {"apiVersion": "v2", "name": "demo", "version": "1.1.0", "created": ..., "digest": ..., "urls": [...]}
      - {"apiVersion": "v2", "name": "demo", "version": "1.0.0", ...}
    generated: "2026-11-21T16:17:14.000Z"

Source: helm.sh/docs/topics/chart_repository, "The index file"; semver.org 2.0.0, 11; yaml.org/spec/1.2.2, 5.1, 7.3.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import BinaryIO
from urllib.parse import quote

from app.formats.helm_versions import Precedence, precedence
from app.hosting.base import Item
from app.hosting.helm_chart import Chart

NAME = "index.yaml"
LARGEST = 64 << 20  # bytes; a build holds it as text
_LONGEST = 64 << 10  # bytes that it says of one chart
# What YAML takes no character for, or for the end of a line; of JSON's own escapes it knows every one.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_ENTRY = b"  - "

Version = tuple[Precedence, float, str, str]  # the newest of one chart is the greatest; the last is its entry


def about(chart: Chart) -> str:
    """What Item.about says of a chart: its name, its version, and the beginning of its entry. ValueError for one of
    which the index would say too much: what aliases and escapes stand for can be a hundred times what was sent."""
    said = f"{chart.name} {chart.version} {_json(dict(sorted(chart.fields.items())))}"
    if len(said.encode()) > _LONGEST:
        raise ValueError(f"has a Chart.yaml of which an index would say more than {_LONGEST >> 10} KiB")
    return said


def told(item: Item) -> tuple[str, Version]:
    """The chart's name, and what is told of this version of it."""
    name, version, fields = item.about.split(" ", 2)
    entry = f'{fields[:-1]}, "created": "{_time(item.published)}", "digest": "{item.digest}"{_ending(item.path)}'
    return name, (precedence(version), item.published, version, entry)


def lines(items: Iterable[Item], context: str, now: float) -> Iterator[bytes]:
    """The document; `context` is the path that clients which upload put before /api."""
    charts: dict[str, list[Version]] = {}
    for name, version in map(told, items):
        charts.setdefault(name, []).append(version)
    yield b"apiVersion: v1\n"
    yield b"entries:\n" if charts else b"entries: {}\n"
    for name, versions in sorted(charts.items()):
        yield f"  {_json(name)}:\n".encode()
        yield from (_ENTRY + each[3].encode() + b"\n" for each in sorted(versions, reverse=True))
    yield f'generated: "{_time(now)}"\nserverInfo: {{"contextPath": {_json(context)}}}\n'.encode()


def _ending(path: str) -> str:
    """How the entry of the chart with that path ends; relative to wherever the index was read."""
    return f', "urls": [{_json(quote(path, safe="+"))}]}}'


def entries(index: BinaryIO) -> Iterator[tuple[str, Sequence[bytes]]]:
    """(chart, its versions in JSON) as lines() wrote them."""
    name, found = "", list[bytes]()
    for line in index:
        if line.startswith(_ENTRY):
            found.append(line.removeprefix(_ENTRY).rstrip(b"\n"))
            continue
        if found:
            yield name, found
        name, found = json.loads(line.strip().rstrip(b":")) if line.startswith(b'  "') else "", []


def _json(value: object) -> str:
    written = json.dumps(value, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", written)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
