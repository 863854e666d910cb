"""A scorecard as Markdown and as one HTML page that needs nothing else, pictures included."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from sextant import figures, images
from sextant.errors import MissingExtra
from sextant.manifest import replacing
from sextant.maths.metrics import Bin

if TYPE_CHECKING:
    from sextant.train.run import Run

ALLOWED = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
NAMES = {
    "accuracy": "accuracy", "macro_f1": "macro-F1", "ece": "ECE after calibration",
    "hard_negative_pass_rate": "hard-negative pass rate", "hard_negative_margin": "hard-negative margin (cosine)",
    "semantic_r1": "R@1", "semantic_r3": "R@3", "semantic_r5": "R@5", "semantic_mrr": "MRR",
    "noise_confidence_p95": "noise: 95 % of top confidences are below",
    "int8_latency_p95_ms": "int8 latency, 95 % are below (ms)",
}  # fmt: skip
OWN_STYLE = """
.pass{color:var(--yes)}.fail{color:#b3261e}
table.matrix td{padding:1px 3px;font-size:9px;text-align:right;min-width:14px}
"""


def write(run: Run, found: dict[str, Any]) -> None:
    """`scorecard.md` and `scorecard.html` beside the JSON. Without matplotlib the page has no diagrams."""
    with replacing(run.folder / "scorecard.md") as file:
        file.write(markdown(found).encode())
    with replacing(run.folder / "scorecard.html") as file:
        file.write(page(run, found).encode())


def markdown(found: dict[str, Any]) -> str:
    """The gates, the figures before and after, and the classes."""
    lines = [f"# Scorecard: {'ready' if found['ready'] else 'not ready'}", ""]
    lines += [
        f"{found['images']:,} held-out images of {len(found['classes'])} classes; recipe {found['recipe']['name']}.",
        "",
    ]
    lines += ["| gate | wanted | measured | |", "|---|---|---|---|"]
    for gate in found["gates"]:
        lines.append(f"| {NAMES[gate['name']]} | {gate['better']} {gate['limit']:g} | {_number(gate['value'])} | "
                     f"{'passed' if gate['passed'] else 'FAILED'} |")  # fmt: skip
    lines += ["", "| figure (95 % interval) | before | after |", "|---|---|---|"]
    for name in found["tuned"]["figures"]:
        sides = [_figure(found[which]["figures"].get(name)) for which in ("base", "tuned")]
        lines.append(f"| {NAMES.get(name, name)} | {sides[0]} | {sides[1]} |")
    sides = [_figure(found[which]["ece_uncalibrated"]) for which in ("base", "tuned")]
    lines.append(f"| ECE before calibration | {sides[0]} | {sides[1]} |")
    lines += ["", "| outside pictures | n | before: p95 | after: p95 |", "|---|---|---|---|"]
    for kind, after in found["tuned"]["outside"].items():
        lines.append(f"| {kind} | {after['n']} | {found['base']['outside'][kind]['p95']:.3f} | {after['p95']:.3f} |")
    lines += ["", "| changed picture | mean cosine | same answer |", "|---|---|---|"]
    for kind, line in found["tuned"]["stability"].items():
        lines.append(f"| {kind} | {line['mean_cosine']:.3f} | {100 * line['same_answer']:.1f} % |")
    lines += ["", "| class | images | precision | recall | F1 |", "|---|---|---|---|---|"]
    for row in found["tuned"]["by_class"]:
        support = f"{row['support']}{' (few)' if row['small'] else ''}"
        lines.append(
            f"| {row['class']} | {support} | {_figure(row['precision'])} | {_figure(row['recall'])} | {row['f1']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "missing" if value is None else f"{value:.3f}"


def _figure(figure: dict[str, Any] | None) -> str:
    if figure is None or figure["value"] is None:
        return "–"
    if figure["low"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} ({figure['low']:.3f}–{figure['high']:.3f})"


def page(run: Run, found: dict[str, Any]) -> str:
    """The whole page as HTML."""
    css = (files("sextant") / "report.css").read_text(encoding="utf-8") + OWN_STYLE
    body = "\n".join([*_head(found), *_gates(found), *_figures(found), *_curves(found), *_outside(found),
                      *_classes(found), *_confused(run, found), *_matrix(found), *_map(found)])  # fmt: skip
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Scorecard</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{ALLOWED}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{css}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _head(found: dict[str, Any]) -> Iterator[str]:
    passed = sum(gate["passed"] for gate in found["gates"])
    verdict = "Ready" if found["ready"] else "Not ready"
    yield f"<h1>{verdict}: {passed} of {len(found['gates'])} gates</h1>"
    yield f'<p class="soft">{found["images"]:,} images that nothing was learnt from, chosen by or calibrated on; '
    yield f"{len(found['classes'])} classes; recipe {escape(found['recipe']['name'])}. Intervals are 95 % and resample "
    yield "groups of near-duplicates. A figure that is missing fails its gate.</p>"


def _gates(found: dict[str, Any]) -> Iterator[str]:
    yield "<h2>Gates</h2>" + _open("gate", "wanted", "measured", "")
    for gate in found["gates"]:
        mark = '<b class="pass">passed</b>' if gate["passed"] else '<b class="fail">failed</b>'
        yield _line(NAMES[gate["name"]], escape(f"{gate['better']} {gate['limit']:g}"), _number(gate["value"]), mark)
    yield "</tbody></table></div>"


def _open(*names: str) -> str:
    heads = "".join(f"<th>{name}</th>" for name in names)
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>'


def _line(first: str, *cells: str) -> str:
    return f"<tr><td>{escape(first)}</td>" + "".join(f'<td class="n">{cell}</td>' for cell in cells) + "</tr>"


def _figures(found: dict[str, Any]) -> Iterator[str]:
    yield "<h2>Before and after</h2>" + _open("figure", "before", "after")
    for name in found["tuned"]["figures"]:
        yield _line(NAMES.get(name, name), *(_figure(found[w]["figures"].get(name)) for w in ("base", "tuned")))
    yield _line("ECE before calibration", *(_figure(found[w]["ece_uncalibrated"]) for w in ("base", "tuned")))
    yield "</tbody></table></div>"


def _curves(found: dict[str, Any]) -> Iterator[str]:
    yield '<h2>How far to believe it</h2><div class="figures">'
    for which, words in (("before", "before calibration"), ("after", "after calibration")):
        try:
            svg = figures.reliability([Bin(**bar) for bar in found["tuned"]["reliability"][which]])
        except MissingExtra:
            yield "<p>Diagrams need the extra <code>plots</code>.</p>"
            break
        yield f"<figure>{svg}<figcaption>The tuned pair {words}: on the line the promise is kept.</figcaption></figure>"
    yield "</div>"


def _outside(found: dict[str, Any]) -> Iterator[str]:
    yield "<h2>Pictures that are none of it</h2>" + _open("kind", "pictures", "median", "95 % are below", "before")
    for kind, line in found["tuned"]["outside"].items():
        before = f"{found['base']['outside'][kind]['p95']:.3f}"
        yield _line(kind, f"{line['n']}", f"{line['median']:.3f}", f"{line['p95']:.3f}", before)
    yield "</tbody></table></div><h2>Pictures that are a little changed</h2>"
    yield _open("change", "mean cosine", "least cosine", "same answer")
    for kind, line in found["tuned"]["stability"].items():
        cells = f"{line['mean_cosine']:.3f}", f"{line['least_cosine']:.3f}", f"{100 * line['same_answer']:.1f} %"
        yield _line(kind, *cells)
    yield "</tbody></table></div>"


def _classes(found: dict[str, Any]) -> Iterator[str]:
    yield "<h2>The classes</h2>" + _open("class", "images", "precision", "recall", "F1", "F1 before")
    for row, before in zip(found["tuned"]["by_class"], found["base"]["by_class"], strict=True):
        support = f"{row['support']}{' (few)' if row['small'] else ''}"
        cells = _figure(row["precision"]), _figure(row["recall"]), f"{row['f1']:.3f}", f"{before['f1']:.3f}"
        yield _line(row["class"], support, *cells)
    yield "</tbody></table></div>"


def _confused(run: Run, found: dict[str, Any]) -> Iterator[str]:
    yield "<h2>What is taken for what</h2>"
    for line in found["confused"]:
        yield f"<p><b>{escape(line['truth'])}</b> taken for <b>{escape(line['answer'])}</b>, {line['n']} times</p>"
        yield (
            '<ul class="strip">' + "".join(f"<li>{_picture(run.pictures[k])}</li>" for k in line["examples"]) + "</ul>"
        )


def _picture(pixels: Any) -> str:
    out = io.BytesIO()
    images.from_pixels(np.ascontiguousarray(pixels)).save(out, "JPEG", quality=85)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}">'


def _matrix(found: dict[str, Any]) -> Iterator[str]:
    matrix, classes = found["tuned"]["confusion"], found["classes"]
    yield '<h2>Confusion matrix</h2><p class="soft">Truth down, answer across, in the same order.</p>'
    yield '<div class="scroll"><table class="matrix"><tbody>'
    for k, row in enumerate(matrix):
        total = max(1, sum(row))
        cells = "".join(
            f'<td style="background:color-mix(in srgb,var(--{"yes" if j == k else "maybe"}) {100 * n / total:.0f}%,'
            f'transparent)">{n or ""}</td>'
            for j, n in enumerate(row)
        )
        yield f"<tr><th>{escape(classes[k])}</th>{cells}</tr>"
    yield "</tbody></table></div>"


def _map(found: dict[str, Any]) -> Iterator[str]:
    points = np.array(found["map"])
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    place = 10 + 580 * (points[:, :2] - low) / np.maximum(high - low, 1e-9)
    classes = found["classes"]
    yield '<h2>Embedding map</h2><p class="soft">Held-out images in the plane in which the classes differ most.</p>'
    yield '<figure class="wide"><svg viewBox="0 0 600 600">'
    for (x, y), k in zip(place, points[:, 2].astype(int), strict=True):
        colour = f"hsl({360 * k / len(classes):.0f} 65% 50%)"
        title = f"<title>{escape(classes[k])}</title>"
        yield f'<circle cx="{x:.1f}" cy="{600 - y:.1f}" r="3" fill="{colour}">{title}</circle>'
    yield "</svg></figure>"
