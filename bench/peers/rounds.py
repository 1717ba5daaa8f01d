"""Who works when: every product in turn within each round, beginning with another one each time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import click

from bench.figures import Figure, Unit, median


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the comparison."""

    work: str
    unit: Unit


@dataclass(frozen=True, slots=True)
class Turn:
    """One product's part: a call gives a value for each row, in SI units."""

    product: str
    measure: Callable[[], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Work:
    """What is done by each product in turn, in so many rounds `more` than others."""

    rows: tuple[Row, ...]
    turns: tuple[Turn, ...]
    more: int = 0


@dataclass(slots=True)
class _Column:
    """One product's samples of one work: a tuple of values for each round, until it broke off."""

    samples: list[Sequence[float]] = field(default_factory=list)
    broken: str = ""


def interleaved(works: Sequence[Work], rounds: int) -> Iterator[Figure]:
    """A cell for each row and product. A product that breaks off is left out of that work, and says so."""
    columns = [[_Column() for _ in work.turns] for work in works]
    for number in range(rounds + max((work.more for work in works), default=0)):
        for work, found in zip(works, columns, strict=True):
            if number >= (last := rounds + work.more):
                continue
            click.echo(f"  round {number + 1} of {last}: {work.rows[0].work}", err=True)
            for place in rotated(range(len(work.turns)), number):
                _take(work.turns[place], found[place])
    for work, found in zip(works, columns, strict=True):
        for turn, column in zip(work.turns, found, strict=True):
            yield from _told(work, turn.product, column)


def rotated(order: Sequence[int], number: int) -> list[int]:
    """The same order, beginning elsewhere in each round."""
    begin = number % len(order) if order else 0
    return [*order[begin:], *order[:begin]]


def _take(turn: Turn, column: _Column) -> None:
    if column.broken:
        return
    try:
        column.samples.append(turn.measure())
    except Exception as error:
        column.broken = f"broke off: {str(error)[:200]}"
        click.echo(f"  {turn.product} {column.broken}", err=True)


def _told(work: Work, product: str, column: _Column) -> Iterator[Figure]:
    if column.broken:
        yield Figure(f"{work.rows[0].work}: {product}", column.broken, "an answer", good=False)
        return
    for row, samples in zip(work.rows, zip(*column.samples, strict=True), strict=True):
        if not any(map(math.isnan, samples)):
            measured = row.unit.write(median(samples))
            yield Figure(row.work, measured, samples=samples, unit=row.unit.name.strip(), product=product)
