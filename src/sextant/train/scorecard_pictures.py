"""The pictures of a scorecard as SVG and HTML: confidences outside, the confusion matrix, the map of embeddings.

Knows nothing of runs: values and small pictures come in, text goes out. Colours are those of the page.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant import images

Rows = NDArray[np.intp]
Photo = Callable[[int], str]
"""From the number of a test image to the address of its picture."""
WIDTH, HEIGHT = 340, 150
SIDE, EDGE = 620, 14
SHAPES = ("circle", "square", "triangle")


def address(pixels: Any, side: int | None = None) -> str:
    """A picture (s, s, 3) as an address that holds its own bytes, made smaller where `side` says so."""
    out, picture = io.BytesIO(), images.from_pixels(np.ascontiguousarray(pixels))
    (picture if side is None else picture.resize((side, side))).save(out, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


def photo(pixels: Any, title: str = "") -> str:
    """A picture (s, s, 3) as an <img>."""
    return f'<img alt="{escape(title)}" title="{escape(title)}" src="{address(pixels)}">'


def outside(kind: str, before: Mapping[str, Any], after: Mapping[str, Any], limit: float) -> str:
    """How many pictures of a kind got which top confidence, before (outlined) and after (filled), with the limit."""
    counts = [np.array(side["counts"], float) / max(1, sum(side["counts"])) for side in (before, after)]
    top, steps = max(0.05, float(max(c.max() for c in counts))), len(counts[0])
    step, floor = (WIDTH - 40) / steps, HEIGHT - 26
    bars = []
    for place, (was, now) in enumerate(zip(*counts, strict=True)):
        x, tall, drawn = 32 + place * step, (floor - 16) * now / top, (floor - 16) * was / top
        title = f"{place / steps:.2f} to {(place + 1) / steps:.2f}: {100 * now:.0f} % after, {100 * was:.0f} % before"
        bars.append(f'<rect x="{x + 1:.1f}" y="{floor - tall:.1f}" width="{step - 2:.1f}" height="{tall:.1f}" '
                    f'fill="var(--yes)"><title>{title}</title></rect>')  # fmt: skip
        bars.append(f'<rect x="{x + 1:.1f}" y="{floor - drawn:.1f}" width="{step - 2:.1f}" height="{drawn:.1f}" '
                    'fill="none" stroke="var(--soft)"/>')  # fmt: skip
    edge = 32 + (WIDTH - 40) * limit
    ticks = "".join(
        f'<text x="{32 + (WIDTH - 40) * v:.0f}" y="{HEIGHT - 10}" text-anchor="middle">{v:g}</text>'
        for v in (0, 0.25, 0.5, 0.75, 1)
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" class="chart" role="img" aria-label="top confidences of {escape(kind)}">'
        f'{"".join(bars)}<line x1="{edge:.1f}" x2="{edge:.1f}" y1="10" y2="{floor}" stroke="var(--warn)" '
        f'stroke-dasharray="3 2"/><line x1="32" x2="{WIDTH - 8}" y1="{floor}" y2="{floor}" stroke="var(--faint)"/>'
        f'<text x="4" y="18">{100 * top:.0f} %</text>{ticks}</svg>'
    )


def matrix(
    counts: Sequence[Sequence[int]],
    classes: Sequence[str],
    samples: Mapping[int, str],
    shown: Collection[tuple[int, int]],
) -> Iterator[str]:
    """The confusion matrix, truth down and answer across; `samples` are pictures of the classes by number.

    Of the confusions in `shown` the page has pictures, and their cells lead there.
    """
    yield '<div class="scroll"><table class="matrix"><thead><tr><th></th><th></th>'
    yield "".join(f'<th class="up"><span>{escape(code)}</span></th>' for code in classes) + "</tr></thead><tbody>"
    for k, row in enumerate(counts):
        total = max(1, sum(row))
        cells = []
        for j, n in enumerate(row):
            colour, share = "yes" if j == k else "warn", 100 * n / total
            title = f"{n} of {total} {classes[k]} taken for {classes[j]}"
            link = f'<a href="#c{k}-{j}">{n}</a>' if (k, j) in shown else str(n or "")
            cells.append(
                f'<td title="{escape(title)}" style="background:color-mix(in srgb,var(--{colour}) {share:.0f}%,'
                f'transparent)">{link}</td>'
            )
        yield f'<tr><th>{escape(classes[k])}</th><td class="sample">{samples.get(k, "")}</td>{"".join(cells)}</tr>'
    yield "</tbody></table></div>"


def embedding_map(found: Mapping[str, Any], labels: Rows, answers: Rows, classes: Sequence[str], small: Photo) -> str:
    """Points of test images in the plane, in their class's colour and shape, hollow where the answer is wrong; the name
    of each class stands at its mean, and a few pictures where they lie.
    """
    points = np.array(found["points"], float)
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    spread = np.maximum(high - low, 1e-9)

    def place(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        at = (np.asarray(xy, float) - low) / spread
        inside = SIDE - 4 * EDGE
        return np.stack([2 * EDGE + inside * at[..., 0], 2 * EDGE + inside * (1 - at[..., 1])], axis=-1)

    drawn = []
    for (x, y), row in zip(place(points[:, :2]), points[:, 2].astype(int), strict=True):
        k, wrong = int(labels[row]), answers[row] != labels[row]
        title = classes[k] + (f", taken for {classes[int(answers[row])]}" if wrong else "")
        drawn.append(mark(x, y, k, title, hollow=bool(wrong)))
    shown = _apart(place(points[:, :2]), points[:, 2].astype(int))
    pictures = "".join(
        f'<image x="{x - 17:.0f}" y="{y - 17:.0f}" width="34" height="34" href="{small(row)}"/>'
        for (x, y), row in shown
    )
    centres = np.array(found["centres"], float)
    names = _names(place(centres[:, :2]), [classes[int(k)] for k in centres[:, 2]])
    return f'<svg viewBox="0 0 {SIDE} {SIDE}" class="map">{"".join(drawn)}{pictures}{names}</svg>'


def _names(places: NDArray[np.float64], names: Sequence[str]) -> str:
    """Names at their places, as far as one does not cover another; the legend has them all."""
    drawn: list[tuple[float, float, float]] = []
    told: list[str] = []
    for (x, y), name in zip(places, names, strict=True):
        half = 3.4 * len(name) + 3
        if all(abs(x - u) > half + v or abs(y - w) > 13 for u, w, v in drawn):
            drawn.append((x, y, half))
            told.append(f'<text class="name" x="{x:.0f}" y="{y:.0f}" text-anchor="middle">{escape(name)}</text>')
    return "".join(told)


def mark(x: float, y: float, k: int, title: str, *, hollow: bool = False) -> str:
    """A point of class k: eight colours in three shapes tell 24 classes apart."""
    hue = 360 * (k % 8) / 8
    colour = f"hsl({hue:.0f} 65% {42 + 12 * ((k // 24) % 2)}%)"
    paint = f'fill="none" stroke="{colour}" stroke-width="1.5"' if hollow else f'fill="{colour}"'
    told = f"<title>{escape(title)}</title>"
    match SHAPES[(k // 8) % 3]:
        case "circle":
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6" {paint}>{told}</circle>'
        case "square":
            return f'<rect x="{x - 3.2:.1f}" y="{y - 3.2:.1f}" width="6.4" height="6.4" {paint}>{told}</rect>'
    points = f"{x:.1f},{y - 4.2:.1f} {x - 4:.1f},{y + 3.2:.1f} {x + 4:.1f},{y + 3.2:.1f}"
    return f'<polygon points="{points}" {paint}>{told}</polygon>'


def legend(classes: Sequence[str], counts: Mapping[int, int]) -> str:
    """The mark of every class, with how many test images it has."""
    items = "".join(
        f'<li><svg viewBox="0 0 12 12" width="12" height="12">{mark(6, 6, k, code)}</svg> {escape(code)} '
        f'<span class="soft">{counts.get(k, 0)}</span></li>'
        for k, code in enumerate(classes)
    )
    return f'<ul class="legend">{items}</ul>'


def _apart(places: NDArray[np.float64], rows: Rows, most: int = 24, least: float = 70.0) -> list[tuple[Any, int]]:
    """Points that lie far enough from each other to carry a picture."""
    chosen: list[tuple[Any, int]] = []
    for at, row in zip(places, rows, strict=True):
        if len(chosen) < most and all(np.hypot(*(at - other)) >= least for other, _ in chosen):
            chosen.append((at, int(row)))
    return chosen
