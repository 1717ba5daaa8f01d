"""The comparison as an SVG for the README: bars for each work, each a product against nginx's plain file.

It is read in light and dark mode (prefers-color-scheme in its own style) and without colours: each bar has its number
beside it and its product in the legend's order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bench.figures import MORE_IS_BETTER, Figure, median, ratios
from bench.peers.product import ALONE, EDGE, NGINX, ORDER, REGISTRY, TUNED
from bench.peers.small import BY_DIGEST, BY_TAG

WIDTH, LEFT, RIGHT = 860, 250, 70
BAR, GAP, TOP = 14, 16, 66
DRAWN = tuple(name for name in ORDER if name != TUNED)
SHOWN = (ALONE, EDGE)  # a work is drawn where one of these two did it
OTHERS = {BY_DIGEST: REGISTRY, BY_TAG: REGISTRY}  # what nginx's plain files do not know is measured against this

# Colours that keep 3:1 against both white and GitHub's dark background, and differ in lightness too.
COLOURS: Mapping[str, str] = dict(
    zip(DRAWN, ("#8a8f98", "#b07d00", "#a8548c", "#2f81c4", "#1a7f4b", "#6a9fd0", "#4fa97a"), strict=True)
)
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328; } .quiet { fill: #59636e; } .head { font-weight: 600; }
line { stroke: #59636e; stroke-dasharray: 3 3; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .quiet { fill: #9198a1; } line { stroke: #9198a1; }
}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One product at one work; `ratio` to the base, `told` is its figure."""

    product: str
    ratio: float
    told: str


@dataclass(frozen=True, slots=True)
class Group:
    """One work; `base` is what its bars are measured against."""

    work: str
    base: str
    bars: tuple[Bar, ...]

    @property
    def height(self) -> int:
        return len(self.bars) * BAR + GAP


def drawn(found: Sequence[Figure]) -> str:
    """The picture; nothing where no comparison was made."""
    groups = grouped(found)
    if not groups:
        return ""
    names = [name for name in DRAWN if any(bar.product == name for group in groups for bar in group.bars)]
    height = TOP + sum(group.height for group in groups) + 10
    begin = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img"><title>Rates of stored things against nginx serving plain files</title><style>{STYLE}</style>'
    )
    return "\n".join([begin, *_legend(names), *_bodies(groups), "</svg>", ""])


def grouped(found: Sequence[Figure]) -> list[Group]:
    """The rates (more is better) by work, in the order in which they were measured."""
    cells = {(each.work, each.product): each for each in found if each.product and each.unit in MORE_IS_BETTER}
    groups = []
    for work in dict.fromkeys(work for work, _ in cells):
        base = cells.get((work, OTHERS.get(work, NGINX)))
        if base and any((work, name) in cells for name in SHOWN):
            bars = tuple(_bar(cells[work, name], base) for name in DRAWN if (work, name) in cells)
            groups.append(Group(work, base.product, bars))
    return groups


def _bar(cell: Figure, base: Figure) -> Bar:
    return Bar(cell.product, median(ratios(cell, base) or [0.0]), cell.measured)


def _legend(names: Sequence[str]) -> list[str]:
    """Two lines: what is drawn, and which colour is whose."""
    lines = [
        '<text x="10" y="20" class="head">Stored things a second, against nginx with plain files (1.0)</text>',
        f'<text x="{WIDTH - 10}" y="20" class="quiet" text-anchor="end">longer is better; one run</text>',
    ]
    place = 10
    for name in names:
        lines.append(f'<rect x="{place}" y="34" width="10" height="10" fill="{COLOURS[name]}"/>')
        lines.append(f'<text x="{place + 14}" y="43">{escape(name)}</text>')
        place += 30 + 7 * len(name)
    return lines


def _bodies(groups: Sequence[Group]) -> list[str]:
    lines, top = [], TOP
    for group in groups:
        lines += _group(group, top)
        top += group.height
    return lines


def _group(group: Group, top: int) -> list[str]:
    """Each group has a scale of its own: its longest bar is full; a dashed line is the base."""
    scale = (WIDTH - LEFT - RIGHT - 90) / max(*(bar.ratio for bar in group.bars), 1.0)
    middle = top + (len(group.bars) * BAR) / 2 + 4
    against = "" if group.base == NGINX else f" (1.0 is {group.base})"
    lines = [f'<text x="{LEFT - 10}" y="{middle:.0f}" text-anchor="end">{escape(group.work + against)}</text>']
    for number, bar in enumerate(group.bars):
        lines += _drawn(bar, top + number * BAR, scale)
    mark, end = LEFT + scale, top + len(group.bars) * BAR
    return [*lines, f'<line x1="{mark:.1f}" y1="{top - 3}" x2="{mark:.1f}" y2="{end + 1}"/>']


def _drawn(bar: Bar, top: int, scale: float) -> list[str]:
    width = max(bar.ratio * scale, 1.0)
    colour, beside = COLOURS[bar.product], LEFT + width + 6
    return [
        f'<rect x="{LEFT}" y="{top}" width="{width:.1f}" height="{BAR - 3}" fill="{colour}">'
        f"<title>{escape(bar.product)}</title></rect>",
        f'<text x="{beside:.1f}" y="{top + BAR - 4}">{bar.ratio:.2f}x'
        f'<tspan class="quiet"> {escape(bar.told)}</tspan></text>',
    ]
