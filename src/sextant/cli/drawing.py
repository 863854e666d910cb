"""Pictures made of block characters: proportions of bands, and the histogram of a column's logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

from sextant.output import Cell, Span, plain

if TYPE_CHECKING:
    from sextant.types import Inspection

BANDS = (("█", "green"), ("▓", "yellow"), ("░", "dim"), (" ", ""))
"""How accepted, tentative, rejected and unknown are drawn; they differ without colour too."""
EIGHTHS = " ▁▂▃▄▅▆▇█"
HEIGHT = 9
MARGIN = 9  # what stands left of the axis
ROOM = 0.7  # of the width goes to the bins, the rest to the way out to band edges


def shares(counts: Sequence[int], width: int) -> list[Span]:
    """Counts of accepted, tentative, rejected and unknown as one bar; whatever is there at all gets a cell."""
    total = sum(counts)
    if not total:
        return [(" " * width, "")]
    cells = [0 if n == 0 else max(1, round(width * n / total)) for n in counts]
    while sum(cells) != width:
        step = 1 if sum(cells) < width else -1
        cells[cells.index(max(cells))] += step
    return [(glyph * n, style) for n, (glyph, style) in zip(cells, BANDS, strict=True) if n]


def bins_in(width: int) -> int:
    """How many bins a histogram has room for, one column each, with some left for band edges beyond its ends."""
    return max(10, int(ROOM * min(100, width - MARGIN)))


def inspection(found: Inspection, width: int) -> Iterator[Cell]:
    """The lines of `inspect`: what was asked, statistics, the histogram with its band edges, and the bands."""
    kind = str(found.calibration["kind"])
    said = kind if kind == found.state else f"{kind} · {found.state}"  # a prior is in the state prior
    yield [(plain(found.code), "bold"), (f"  {said}", "")]
    values = [f"{k} {v:.4g}" for k, v in found.calibration.items() if isinstance(v, (int, float))]
    yield from ([(line, "dim")] for line in wrap(", ".join(values), width - 2, initial_indent="  "))
    if found.scorer != "prompts":
        yield [(f"  from a {found.scorer}, not from the prompts", "")]
    for prompt in found.prompts:
        yield [("  “" + plain(prompt) + "”", "dim")]
    yield ""
    if not found.n:
        yield "no image has a logit yet"
        return
    yield "logits   " + " · ".join(
        [f"n {found.n:,}", *(f"{what} {getattr(found, what):.2f}" for what in ("min", "mean", "max", "std"))]
        + ([f"{found.missing:,} missing"] if found.missing else [])
    )
    yield ""
    yield from _histogram(found, max(10, min(100, width - MARGIN)))
    yield ""
    yield from _bands(found)


@dataclass(frozen=True, slots=True)
class _Axis:
    """Counts over equal steps of logits from `low` to `high`; `each` columns a step."""

    low: float
    high: float
    counts: tuple[int, ...]
    each: int

    @property
    def columns(self) -> int:
        return len(self.counts) * self.each

    def logit(self, column: int) -> float:
        """Where a column begins."""
        return self.low + (self.high - self.low) * column / self.columns

    def column(self, logit: float) -> int | None:
        """The column of a logit; None outside the picture."""
        if not self.low <= logit <= self.high or self.low == self.high:
            return None
        return min(self.columns - 1, int(self.columns * (logit - self.low) / (self.high - self.low)))


def _axis(found: Inspection, width: int) -> _Axis:
    """The bins folded to fit, and widened by empty ones to reach the band edges where those are near."""
    fold = -(-len(found.counts) // width)
    counts = [sum(found.counts[i : i + fold]) for i in range(0, len(found.counts), fold)]
    step = fold * (found.edges[-1] - found.edges[0]) / len(found.counts)
    low, high = found.edges[0], found.edges[0] + step * len(counts)
    for edge in (found.tentative_from, found.accepted_from):
        room = width - len(counts)
        if edge is None or not step:
            continue
        before, after = (low - edge) / step, (edge - high) / step
        if 0 < before < room - 1:
            counts = [0] * (int(before) + 1) + counts
            low -= step * (int(before) + 1)
        elif 0 <= after < room - 1:
            counts += [0] * (int(after) + 1)
            high += step * (int(after) + 1)
    return _Axis(low, high, tuple(counts), max(1, width // len(counts)))


def _histogram(found: Inspection, width: int) -> Iterator[Cell]:
    """The counts as columns of blocks over an axis of logits, with the edges of the bands marked."""
    axis = _axis(found, width)
    highest = max(axis.counts)
    edges = {"tentative": found.tentative_from, "accepted": found.accepted_from}
    marks = {axis.column(edge) for edge in edges.values() if edge is not None}
    levels = [0 if n == 0 else max(1, round(8 * HEIGHT * n / highest)) for n in axis.counts]
    for row in reversed(range(HEIGHT)):
        spans: list[Span] = [(f"{f'{highest:,}' if row == HEIGHT - 1 else '':>{MARGIN - 2}} │", "")]
        for i in range(axis.columns):
            block = EIGHTHS[min(8, max(0, levels[i // axis.each] - 8 * row))]
            line = block == " " and i in marks
            spans.append(("┊", "cyan") if line else (block, _style(found, axis.logit(i - i % axis.each))))
        yield _merged(spans)
    yield f"{'0':>{MARGIN - 2}} └" + "".join("┴" if i in marks else "─" for i in range(axis.columns))
    left, right = f"{axis.low:.4g}", f"{axis.high:.4g}"
    yield " " * MARGIN + left + " " * max(1, axis.columns - len(left) - len(right)) + right
    for name, edge in edges.items():
        if edge is not None:
            yield _mark(name, edge, axis.column(edge), axis.columns)


def _mark(name: str, logit: float, column: int | None, columns: int) -> Cell:
    style = "green" if name == "accepted" else "yellow"
    words = f"{name} from {logit:.5g}"
    if column is None:
        return [(" " * MARGIN + words + ", outside this picture", style)]
    right = columns - column - 1 > len(words)
    line = " " * column + "▲ " + words if right else (words + " ▲").rjust(column + 1)
    return [(" " * MARGIN + line, style)]


def _style(found: Inspection, logit: float) -> str:
    """The colour of the band that a logit falls into."""
    if found.tentative_from is None or found.accepted_from is None:
        return ""
    return "green" if logit >= found.accepted_from else "yellow" if logit >= found.tentative_from else "dim"


def _merged(spans: Sequence[Span]) -> list[Span]:
    """Neighbours of one style as one span."""
    merged: list[Span] = []
    for text, style in spans:
        if merged and merged[-1][1] == style:
            merged[-1] = (merged[-1][0] + text, style)
        else:
            merged.append((text, style))
    return merged


def _bands(found: Inspection) -> Iterator[Cell]:
    counts = {"accepted": found.accepted, "tentative": found.tentative, "rejected": found.rejected}
    counts |= {"unknown": found.missing} if found.missing else {}
    total = max(1, sum(counts.values()))
    for (name, count), (glyph, style) in zip(counts.items(), BANDS, strict=False):
        bar = glyph * (0 if not count else max(1, round(40 * count / total)))
        yield [(f"{name:<10}{count:>8,}  {100 * count / total:>5.1f} %  ", ""), (bar, style)]
