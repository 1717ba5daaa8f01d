"""What a measurement says: medians, verdicts and the table; no I/O."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import median
from typing import Any

__all__ = [
    "Figure",
    "as_json",
    "at_least",
    "at_most",
    "from_json",
    "matrix",
    "median",
    "percentile",
    "shown",
    "table",
]

HEADINGS = ("work", "measured", "wanted", "verdict")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table; `good` is None where nothing is wanted; `samples` are what `measured` came from.

    With a `product` it is a cell of the comparison of products instead: `work` is its row.
    """

    work: str
    measured: str
    wanted: str = "-"
    good: bool | None = None
    samples: tuple[float, ...] = ()
    unit: str = ""  # as it is written; samples are in SI units
    product: str = ""

    @property
    def verdict(self) -> str:
        return {True: "ok", False: "FALLS SHORT", None: "-"}[self.good]


@dataclass(frozen=True, slots=True)
class Unit:
    """How a number is written: `scale` from its SI unit, decimals and the unit's name."""

    scale: float
    digits: int
    name: str

    def write(self, value: float) -> str:
        return f"{value * self.scale:.{self.digits}f}{self.name}"


TIMES = Unit(1, 2, "x")
MILLISECONDS = Unit(1000, 1, " ms")
MEBIBYTES = Unit(1 / (1 << 20), 0, " MiB")
MEGABYTES_A_SECOND = Unit(1e-6, 0, " MB/s")
SECONDS = Unit(1, 2, " s")
WHOLE = Unit(1, 0, "")
A_SECOND = Unit(1, 0, " /s")
MORE_IS_BETTER = frozenset({A_SECOND.name.strip(), MEGABYTES_A_SECOND.name.strip()})


def at_most(work: str, samples: Sequence[float], limit: float, unit: Unit, note: str = "") -> Figure:
    """The median of the samples must not be above `limit`; all in SI units."""
    return _against(work, samples, limit, unit, note, upper=True)


def at_least(work: str, samples: Sequence[float], limit: float, unit: Unit, note: str = "") -> Figure:
    """The median of the samples must not be below `limit`."""
    return _against(work, samples, limit, unit, note, upper=False)


def shown(work: str, samples: Sequence[float], unit: Unit, note: str = "") -> Figure:
    """The median of the samples, for information."""
    return Figure(work, _with_note(unit.write(median(samples)), note), samples=tuple(samples), unit=unit.name.strip())


def _against(work: str, samples: Sequence[float], limit: float, unit: Unit, note: str, *, upper: bool) -> Figure:
    found = median(samples)
    good = found <= limit if upper else found >= limit
    wanted = f"{'<=' if upper else '>='} {unit.write(limit)}"
    return Figure(work, _with_note(unit.write(found), note), wanted, good, tuple(samples), unit.name.strip())


def _with_note(text: str, note: str) -> str:
    return f"{text} ({note})" if note else text


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that `share` (0..1) of all do not exceed: the nearest-rank method."""
    ordered = sorted(samples)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def table(figures: Iterable[Figure]) -> str:
    """Aligned columns, one figure a line; cells of the comparison are matrix()'s."""
    rows = ((each.work, each.measured, each.wanted, each.verdict) for each in figures if not each.product)
    return _aligned([HEADINGS, *rows])


def matrix(figures: Sequence[Figure], order: Sequence[str]) -> str:
    """The comparison: a row for each work, a column for each product of `order` that has a figure.

    In brackets the median of the ratios to the first product of the row's, each within one round.
    """
    cells = {(each.work, each.product): each for each in figures if each.product}
    products = [name for name in order if any(product == name for _, product in cells)]
    works = dict.fromkeys(work for work, _ in cells)
    rows = [(work, *(_cell(cells, work, name, products) for name in products)) for work in works]
    return _aligned([("work", *products), *rows]) if rows else ""


def ratios(one: Figure, other: Figure) -> list[float]:
    """one / other, round by round; nothing where either has no samples."""
    pairs = zip(one.samples, other.samples, strict=False)
    return [mine / theirs for mine, theirs in pairs if theirs]


def _cell(cells: Mapping[tuple[str, str], Figure], work: str, product: str, products: Sequence[str]) -> str:
    cell = cells.get((work, product))
    first = next((cells[work, name] for name in products if (work, name) in cells), None)
    if cell is None or first is None:
        return "-"
    found = ratios(cell, first) if cell is not first else []
    return f"{cell.measured} ({TIMES.write(median(found))})" if found else cell.measured


def _aligned(rows: list[tuple[str, ...]]) -> str:
    """The first row is the headings."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ruled = [rows[0], tuple("-" * width for width in widths), *rows[1:]]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in ruled)
    return "\n".join(line.rstrip() for line in lines)


def as_json(figures: Iterable[Figure]) -> str:
    """The same lines with their samples in SI units, for comparing runs."""
    return json.dumps([{**asdict(each), "verdict": each.verdict} for each in figures], indent=1)


def from_json(text: str) -> list[Figure]:
    """What as_json() wrote; fields that an older version did not write have their defaults."""
    known = [field.name for field in fields(Figure)]
    return [_figure({name: row[name] for name in known if name in row}) for row in json.loads(text)]


def _figure(row: dict[str, Any]) -> Figure:
    return Figure(**{**row, "samples": tuple(row.get("samples", ()))})
