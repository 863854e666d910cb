"""A collection on one HTML page that needs nothing else: what is in it, and how far its confidences can be believed.

Pictures and figures are part of the file, there is no script, and nothing is fetched. Every name that came from a file
or from a person is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from importlib.resources import files

import numpy as np

from sextant import columns, draws, evaluation, figures, survey
from sextant.answers import Truth
from sextant.edges import Edges
from sextant.errors import ImageError
from sextant.evaluation import POOLED, Cells
from sextant.place import lies, read
from sextant.types import ColumnEvaluation, ColumnSummary, CountEstimate
from sextant.view import View
from sextant.vocabulary import Attribute

BINS = 44
SUREST = 7
SIDE = 168
ALLOWED = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What a browser may load: what is in the file, and nothing else."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the page tells: a line a column, and what was measured on labels, or on a truth, where there are any."""

    summaries: Sequence[ColumnSummary]
    estimates: Mapping[str, CountEstimate]
    evaluations: Mapping[str, ColumnEvaluation]
    cells: Mapping[str, Cells]
    source: str


def page(edges: Edges, title: str, *, truth: Truth | None, pictures: bool) -> str:
    """The whole page as HTML."""
    view = edges.view(edges.codes())
    measured = _measured(edges, view, truth)
    parts = [
        *_head(edges, view, title, measured),
        *_belief(measured),
        *_table(measured),
        *_controls(view),
        *_attributes(edges, view, measured, pictures=pictures),
    ]
    css = (files("sextant") / "report.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{ALLOWED}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{css}</style>\n</head>\n<body>\n<main>\n" + "\n".join(parts) + "\n</main>\n</body>\n</html>\n"
    )


def _measured(edges: Edges, view: View, truth: Truth | None) -> Measured:
    codes, catalog = view.codes(), edges.catalog
    summaries = [columns.summary(view, code) for code in codes]
    told = {label.code for label in catalog.labels()}
    counts = {c: n for c in codes if c in told and (n := draws.count(view, catalog, c)) is not None}
    if truth is None and not told:
        return Measured(summaries, {}, {}, {}, "")
    if truth is None:
        cells, source = evaluation.cross_fitted(view, catalog, codes), "labels that no fit has seen"
    else:
        cells, source = evaluation.against(view, catalog, {c: truth[c] for c in codes if c in truth}), "the truth given"
    rows = evaluation.rows_of(view, cells) if cells else []
    return Measured(summaries, counts, {row.code: row for row in rows}, cells, source)


def _head(edges: Edges, view: View, title: str, measured: Measured) -> Iterator[str]:
    vocabulary = edges.catalog.vocabulary()
    facts = {
        "images": f"{len(view):,}",
        "attributes": f"{len(measured.summaries):,}",
        "labels": f"{len(edges.catalog.labels()):,}",
        "encoder": escape(str(edges.manifest.encoder)),
        "vocabulary": escape(vocabulary[0] if vocabulary else "none"),
        "as of": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }
    yield f"<h1>{escape(title)}</h1>"
    yield '<p class="soft">Every attribute is a phrase; every image has a confidence for it. A confidence of 0.8 means '
    yield "that of all images that get it, about eight in ten really show it, as far as was measured below.</p>"
    yield '<ul class="facts">' + "".join(f"<li><b>{value}</b>{name}</li>" for name, value in facts.items()) + "</ul>"


def _belief(measured: Measured) -> Iterator[str]:
    """How far all confidences together can be believed."""
    yield "<h2>How far to believe it</h2>"
    if not measured.evaluations:
        yield "<p>Nobody has labelled anything yet, so nothing was measured: the confidences are a prior. Their order "
        yield "means more than their size. <code>sextant label ask CODE</code>, takes minutes and changes that.</p>"
        return
    rows = measured.evaluations
    pooled = rows.get(POOLED) or next(iter(rows.values()))
    yield (
        f"<p>Measured on {pooled.n:,} answers of {measured.source}: confidences are off by <b>{100 * pooled.ece:.1f} "
        f"points</b> on average (ECE, {100 * pooled.ece_low:.1f}–{100 * pooled.ece_high:.1f}); Brier score "
        f"{pooled.brier:.4f}, likelihood loss {pooled.nll:.4f}, average precision {pooled.average_precision:.2f}.</p>"
    )
    if any(row.state == "calibrated" for row in rows.values()):
        yield (
            f"<p>Before anything was labelled, the same answers had an ECE of {100 * pooled.ece_unlabelled:.1f} points "
            f"and a Brier score of {pooled.brier_unlabelled:.4f}.</p>"
        )
    p, y, w = (np.concatenate([np.broadcast_to(c[k], c[0].shape) for c in measured.cells.values()]) for k in range(3))
    yield '<div class="figures">'
    yield _figure(
        figures.reliability(pooled.curve),
        "Reliability. On the line, the promise is kept; below it, confidences boast; above it, they are shy. Larger "
        "points hold more answers, lines are 95 % intervals.",
    )
    yield _figure(
        figures.coverage(p, y, w),
        "Coverage. Leave the doubtful answers to a person, and this is how often the others are right.",
    )
    yield "</div>"


def _figure(svg: str, caption: str, *, wide: bool = False) -> str:
    kind = ' class="wide"' if wide else ""
    return f"<figure{kind}>{svg}<figcaption>{caption}</figcaption></figure>"


def _table(measured: Measured) -> Iterator[str]:
    judged, told = bool(measured.evaluations), bool(measured.estimates)
    names = ["accepted", "tentative"] + ["really (95 %)"] * told + ["ECE", "Brier", "AP"] * judged
    yield "<h2>The attributes</h2>"
    yield '<p class="key soft"><i style="background:var(--yes)"></i>accepted<i style="background:var(--maybe)"></i>'
    yield 'tentative<i style="background:var(--no)"></i>rejected</p>'
    yield '<div class="scroll"><table><thead><tr><th>attribute</th><th></th>'
    yield "".join(f'<th class="n">{name}</th>' for name in names) + "<th>state</th></tr></thead><tbody>"
    for summary in measured.summaries:
        yield _row(summary, measured, judged=judged, told=told)
    pooled = measured.evaluations.get(POOLED)
    if pooled is not None:
        empty = "<td></td>" * (3 + told)
        yield f'<tr class="all"><td>all together</td>{empty}{_figures_of(pooled)}<td></td></tr>'
    yield "</tbody></table></div>"


def _row(summary: ColumnSummary, measured: Measured, *, judged: bool, told: bool) -> str:
    cells = [f"<td><bdi>{escape(summary.label)}</bdi></td><td>{_bar(summary)}</td>"]
    cells += [f'<td class="n">{n:,}</td>' for n in (summary.accepted, summary.tentative)]
    if told:
        found = measured.estimates.get(summary.code)
        text = f"{found.value:,.0f} <span class=soft>({found.low:,.0f}–{found.high:,.0f})</span>" if found else "–"
        cells.append(f'<td class="n">{text}</td>')
    if judged:
        row = measured.evaluations.get(summary.code)
        cells.append(_figures_of(row) if row else '<td class="n">–</td>' * 3)
    return f'<tr>{"".join(cells)}<td class="soft state">{escape(summary.trust)}</td></tr>'


def _figures_of(row: ColumnEvaluation) -> str:
    precision = "–" if np.isnan(row.average_precision) else f"{row.average_precision:.2f}"
    return "".join(f'<td class="n">{text}</td>' for text in (f"{row.ece:.3f}", f"{row.brier:.4f}", precision))


def _bar(summary: ColumnSummary) -> str:
    total = max(1, summary.accepted + summary.tentative + summary.rejected)
    shares = {"yes": summary.accepted / total, "maybe": summary.tentative / total}
    inner = "".join(f'<i class="{name}" style="width:{100 * share:.2f}%"></i>' for name, share in shares.items())
    return f'<div class="bar">{inner}</div>'


def _controls(view: View) -> Iterator[str]:
    found = survey.controls(view)
    if found:
        yield "<h2>Controls</h2><ul>"
        yield from (f"<li{' class=warn' * c.failing}>{escape(c.reason)}</li>" for c in found)
        yield "</ul>"


def _attributes(edges: Edges, view: View, measured: Measured, *, pictures: bool) -> Iterator[str]:
    yield "<h2>One by one</h2>"
    for summary in measured.summaries:
        item = view.describe(summary.code)
        prompts = " · ".join(item.prompts) if isinstance(item, Attribute) else "by rule"
        yield f"<details><summary><b><bdi>{escape(summary.label)}</bdi></b>"
        yield f'<span class="soft"><bdi>{escape(prompts)}</bdi></span>{_bar(summary)}</summary><div>'
        if summary.code in view.columns:
            yield from _of_column(view, summary.code, measured)
        if pictures:
            yield from _surest(edges, view, summary.code)
        yield "</div></details>"


def _of_column(view: View, code: str, measured: Measured) -> Iterator[str]:
    found = columns.inspect(view, code, center=None, scale=None, bins=BINS)
    yield '<div class="figures">'
    if found.n:
        mean = f"{found.n:,} logits, mean {found.mean:.2f}, standard deviation {found.std:.2f}"
        yield _figure(figures.histogram(found), f"{mean}. Dashed: where bands begin for a usual background.", wide=True)
    if code in measured.cells:
        p, y, w, _ = measured.cells[code]
        if 0 < y.sum() < len(y):
            edge = view.thresholds(code).accepted
            point = (
                "the point is the threshold in use"
                if (p >= edge).any()
                else f"none reaches the threshold of {edge:.2f}"
            )
            caption = f"Precision and recall on {len(y):,} answers; {point}."
            yield _figure(figures.precision_recall(p, y, w, edge), caption)
    yield "</div>"


def _surest(edges: Edges, view: View, code: str) -> Iterator[str]:
    """The images of the highest confidence, as pictures inside the page."""
    from sextant import images

    confidence = view.values(code).confidence
    order = np.argsort(-np.nan_to_num(confidence, nan=-1.0), kind="stable")[:SUREST]
    yield '<ul class="strip">'
    for row in order:
        if np.isnan(confidence[row]):
            continue
        path = str(view.paths[int(row)])
        try:
            data = images.thumbnail(read(lies(edges.folder, path)), SIDE)
        except (OSError, ImageError):
            continue  # a picture that is gone since leaves a gap, and no more
        source = base64.b64encode(data).decode()
        name = escape(path.rsplit("/", 1)[-1])
        cut = int(confidence[row] * 1000) / 1000  # never rounded up into the next band
        yield f'<li><img alt="" src="data:image/jpeg;base64,{source}">{cut:.3f} <bdi>{name}</bdi></li>'
    yield "</ul>"
