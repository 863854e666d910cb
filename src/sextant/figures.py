"""Measurements to pictures: histogram with bands, reliability, precision and recall, coverage against accuracy.

Each function returns one SVG element for an HTML page, in the page's own colours: text and lines follow its variables
`--ink`, `--faint`, `--yes`, `--maybe` and `--no`, so one picture serves light and dark. Knows nothing of collections.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sextant.errors import MissingExtra
from sextant.types import Inspection

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sextant.maths.metrics import Bin

Doubles = NDArray[np.float64]

COLOURS = {  # stand-ins that matplotlib draws with, and the variables that take their place
    "ink": "#010203",
    "faint": "#040506",
    "yes": "#070809",
    "maybe": "#0a0b0c",
    "no": "#0d0e0f",
}
WIDE, SQUARE = (5.6, 2.5), (3.6, 3.4)


def histogram(found: Inspection) -> str:
    """A column's logits, each bar in the colour of the band that it falls into, and the logits where bands begin."""
    middles = (np.array(found.edges[:-1]) + np.array(found.edges[1:])) / 2
    with _axes(WIDE) as (axes, svg):
        accepted = np.inf if found.accepted_from is None else found.accepted_from
        tentative = np.inf if found.tentative_from is None else found.tentative_from
        bands = np.where(middles >= accepted, "yes", np.where(middles >= tentative, "maybe", "no"))
        axes.bar(middles, found.counts, np.diff(found.edges) * 0.94, color=[COLOURS[b] for b in bands], linewidth=0)
        low, high = axes.get_xlim()
        for name, edge in (("tentative", found.tentative_from), ("accepted", found.accepted_from)):
            if edge is not None and low <= edge <= high:
                axes.axvline(edge, color=COLOURS["ink"], linewidth=0.8, linestyle=(0, (3, 2)))
                axes.annotate(
                    name, (edge, 1), xycoords=("data", "axes fraction"), xytext=(4, 0),
                    textcoords="offset points", fontsize=8, va="top",
                )  # fmt: skip
        axes.set_xlim(low, high)
        axes.set_xlabel("logit")
        axes.set_ylabel("images")
    return svg[0]


def reliability(curve: Sequence[Bin]) -> str:
    """How often confidences were right, bin by bin, with 95 % intervals; on the diagonal the promise is kept."""
    with _axes(SQUARE) as (axes, svg):
        axes.plot([0, 1], [0, 1], color=COLOURS["faint"], linewidth=1)
        sizes = np.sqrt([bar.n for bar in curve])
        for bar, size in zip(curve, 3 + 7 * sizes / max(float(sizes.max(initial=1.0)), 1.0), strict=True):
            axes.plot([bar.confidence] * 2, [bar.rate_low, bar.rate_high], color=COLOURS["ink"], linewidth=1)
            axes.plot(bar.confidence, bar.rate, "o", color=COLOURS["yes"], markersize=size)
        _unit(axes)
        axes.set_xlabel("confidence")
        axes.set_ylabel("share that is right")
    return svg[0]


def precision_recall(confidence: ArrayLike, truth: ArrayLike, weights: ArrayLike, threshold: float) -> str:
    """Precision against recall over all thresholds, and where the chosen one lies."""
    p, y, w = _ranked(confidence, truth, weights)
    hits, seen = np.cumsum(w * y), np.cumsum(w)
    with _axes(SQUARE) as (axes, svg):
        if len(p) and hits[-1] > 0:
            ends = np.append(np.flatnonzero(np.diff(p)), len(p) - 1)
            recall, precision = hits[ends] / hits[-1], hits[ends] / seen[ends]
            axes.step(recall, precision, where="pre", color=COLOURS["ink"], linewidth=1.4)
            chosen = int((p[ends] >= threshold).sum()) - 1
            if chosen >= 0:
                axes.plot(recall[chosen], precision[chosen], "o", color=COLOURS["yes"], markersize=8)
                axes.annotate(
                    f" from {threshold:.2f}", (recall[chosen], precision[chosen]), fontsize=8, va="bottom",
                    ha="left" if recall[chosen] < 0.6 else "right",
                )  # fmt: skip
        _unit(axes)
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
    return svg[0]


def coverage(confidence: ArrayLike, truth: ArrayLike, weights: ArrayLike) -> str:
    """How often the answer is right (yes from .5) against the share of answers kept, the surest first."""
    p, y, w = (np.asarray(values, np.float64) for values in (confidence, truth, weights))
    sure, right = np.maximum(p, 1 - p), np.where(p >= 0.5, y, 1 - y)
    _, right, w = _ranked(sure, right, w)
    with _axes(SQUARE) as (axes, svg):
        if len(right):
            share, accuracy = np.cumsum(w) / w.sum(), np.cumsum(w * right) / np.cumsum(w)
            axes.plot(share, accuracy, color=COLOURS["ink"], linewidth=1.4)
            axes.plot(share[-1], accuracy[-1], "o", color=COLOURS["yes"], markersize=6)
            axes.set_ylim(min(0.98, float(accuracy[len(accuracy) // 20 :].min()) - 0.01), 1.002)
        axes.set_xlim(0, 1.02)
        axes.set_xlabel("share of answers kept")
        axes.set_ylabel("accuracy")
    return svg[0]


def _ranked(score: ArrayLike, truth: ArrayLike, weights: ArrayLike) -> tuple[Doubles, Doubles, Doubles]:
    p, y, w = (np.asarray(values, np.float64) for values in (score, truth, weights))
    w = np.broadcast_to(w, p.shape)
    there = np.flatnonzero(np.isfinite(p) & np.isfinite(y))
    order = there[np.argsort(-p[there], kind="stable")]
    return p[order], y[order], w[order]


def _unit(axes: Axes) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.05)
    axes.set_aspect("equal")


@contextmanager
def _axes(size: tuple[float, float]) -> Iterator[tuple[Any, list[str]]]:
    """Axes to draw on, and a list that holds the SVG once they are left. Touches no global state of matplotlib."""
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("a figure", "plots") from error
    ink, faint = COLOURS["ink"], COLOURS["faint"]
    style = {
        "svg.fonttype": "none", "svg.hashsalt": "sextant", "font.size": 9, "font.family": "sans-serif",
        "text.color": ink, "axes.labelcolor": ink, "axes.edgecolor": faint, "xtick.color": ink, "ytick.color": ink,
        "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8,
    }  # fmt: skip
    svg: list[str] = []
    with matplotlib.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        yield axes, svg
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg.append(_inline(out.getvalue()))


def _inline(text: str) -> str:
    """The SVG element alone, in the page's colours, sized by the page, without names that could meet on one page."""
    text = text[text.index("<svg") :]
    for name, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    used = set(re.findall(r"#([\w.-]+)", text))
    return re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", text)
