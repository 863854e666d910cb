"""Pictures made of block characters: proportions of bands, and the histogram of a column's logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sextant.output import Cell, Span, plain

if TYPE_CHECKING:
    from sextant.types import Inspection

BANDS = (("█", "green"), ("▓", "yellow"), ("░", "dim"), (" ", ""))
"""How accepted, tentative, rejected and unknown are drawn; they differ without colour too."""
EIGHTHS = " ▁▂▃▄▅▆▇█"
HEIGHT = 9
MARGIN = 9  # what stands left of the axis


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
    """How many bins a histogram has room for, one column each."""
    return max(10, min(72, width - MARGIN - 2))


def inspection(found: Inspection, width: int) -> Iterator[Cell]:
    """The lines of `inspect`: what was asked, statistics, the histogram with its band edges, and the bands."""
    yield [(plain(found.code), "bold"), (f"  {_curve(found)} · {found.state}", "")]
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
    yield from _histogram(found, width - MARGIN - 2)
    yield ""
    yield from _bands(found)


def _curve(found: Inspection) -> str:
    values = [f"{k} {v:g}" for k, v in found.calibration.items() if isinstance(v, (int, float))]
    return str(found.calibration["kind"]) + (f" ({', '.join(values)})" if values else "")


def _histogram(found: Inspection, width: int) -> Iterator[Cell]:
    """The counts as columns of blocks over an axis of logits, with the edges of the bands marked."""
    each = max(1, width // len(found.counts))
    fold = -(-len(found.counts) // width)  # more bins than columns: neighbours are drawn as one
    counts = [sum(found.counts[i : i + fold]) for i in range(0, len(found.counts), fold)]
    columns, highest = len(counts) * each, max(counts)
    styles = [_style_at(found, i / len(counts)) for i in range(len(counts))]
    marks = {c for _, _, c in _edges(found, columns) if c is not None}
    levels = [0 if n == 0 else max(1, round(8 * HEIGHT * n / highest)) for n in counts]
    for row in reversed(range(HEIGHT)):
        label = f"{highest:,}" if row == HEIGHT - 1 else ""
        spans: list[Span] = [(f"{label:>{MARGIN - 2}} │", "")]
        for i in range(columns):
            block = EIGHTHS[min(8, max(0, levels[i // each] - 8 * row))]
            spans.append(("┊", "cyan") if block == " " and i in marks else (block, styles[i // each]))
        yield _merged(spans)
    axis = "".join("┴" if i in marks else "─" for i in range(columns))
    yield f"{'0':>{MARGIN - 2}} └{axis}"
    left, right = f"{found.edges[0]:.4g}", f"{found.edges[-1]:.4g}"
    yield " " * MARGIN + left + " " * max(1, columns - len(left) - len(right)) + right
    for name, logit, column in _edges(found, columns):
        yield _mark(name, logit, column, columns)


def _edges(found: Inspection, columns: int) -> list[tuple[str, float, int | None]]:
    """The band edges: name, logit, and the column they fall into (None outside the picture)."""
    low, high = found.edges[0], found.edges[-1]
    result: list[tuple[str, float, int | None]] = []
    for name, logit in (("tentative", found.tentative_from), ("accepted", found.accepted_from)):
        if logit is not None:
            inside = low <= logit <= high and high > low
            result.append(
                (name, logit, min(columns - 1, int(columns * (logit - low) / (high - low))) if inside else None)
            )
    return result


def _mark(name: str, logit: float, column: int | None, columns: int) -> Cell:
    style = "green" if name == "accepted" else "yellow"
    words = f"{name} from {logit:.5g}"
    if column is None:
        return [(" " * MARGIN + words + ", outside this picture", style)]
    room = columns - column - 1
    line = " " * column + "▲ " + words if room > len(words) else (words + " ▲").rjust(column + 1)
    return [(" " * MARGIN + line, style)]


def _style_at(found: Inspection, share: float) -> str:
    """The colour of the bin that begins at this share of the axis."""
    if found.tentative_from is None or found.accepted_from is None:
        return ""
    logit = found.edges[0] + share * (found.edges[-1] - found.edges[0])
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
    total = max(1, sum(counts.values()))
    for (name, count), (glyph, style) in zip(counts.items(), BANDS, strict=False):
        bar = glyph * (0 if not count else max(1, round(40 * count / total)))
        yield [(f"{name:<10}{count:>8,}  {100 * count / total:>5.1f} %  ", ""), (bar, style)]
