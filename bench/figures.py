"""What a measurement says: medians, verdicts and the table; no I/O."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

__all__ = ["Figure", "as_json", "at_least", "at_most", "median", "percentile", "shown", "table"]

HEADINGS = ("work", "measured", "wanted", "verdict")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table; `good` is None where nothing is wanted; `samples` are what `measured` came from."""

    work: str
    measured: str
    wanted: str = "-"
    good: bool | None = None
    samples: tuple[float, ...] = ()

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
WHOLE = Unit(1, 0, "")


def at_most(work: str, samples: Sequence[float], limit: float, unit: Unit, note: str = "") -> Figure:
    """The median of the samples must not be above `limit`; all in SI units."""
    return _against(work, samples, limit, unit, note, upper=True)


def at_least(work: str, samples: Sequence[float], limit: float, unit: Unit, note: str = "") -> Figure:
    """The median of the samples must not be below `limit`."""
    return _against(work, samples, limit, unit, note, upper=False)


def shown(work: str, samples: Sequence[float], unit: Unit, note: str = "") -> Figure:
    """The median of the samples, for information."""
    return Figure(work, _with_note(unit.write(median(samples)), note), samples=tuple(samples))


def _against(work: str, samples: Sequence[float], limit: float, unit: Unit, note: str, *, upper: bool) -> Figure:
    found = median(samples)
    good = found <= limit if upper else found >= limit
    wanted = f"{'<=' if upper else '>='} {unit.write(limit)}"
    return Figure(work, _with_note(unit.write(found), note), wanted, good, tuple(samples))


def _with_note(text: str, note: str) -> str:
    return f"{text} ({note})" if note else text


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that `share` (0..1) of all do not exceed: the nearest-rank method."""
    ordered = sorted(samples)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def table(figures: Iterable[Figure]) -> str:
    """Aligned columns, one figure a line."""
    rows = [HEADINGS, *((each.work, each.measured, each.wanted, each.verdict) for each in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    rows.insert(1, tuple("-" * width for width in widths))  # type: ignore[arg-type]  # as many as HEADINGS
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def as_json(figures: Iterable[Figure]) -> str:
    """The same lines with their samples in SI units, for comparing runs."""
    return json.dumps([{**asdict(each), "verdict": each.verdict} for each in figures], indent=1)
