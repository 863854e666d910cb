"""`evaluate --golden`: how well the search answers queries whose right answers are known."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sextant import output
from sextant.cli.invocation import Invocation
from sextant.output import Cell, Heading

if TYPE_CHECKING:
    from sextant.golden import GoldenReport, Measured

NAMES = {"precision": "precision", "recall": "recall", "hit": "hit rate", "ndcg": "nDCG", "reciprocal_rank": "MRR"}


def evaluate(run: Invocation, file: str, *, k: int | None, baseline: str | None, write: str | None) -> int:
    """Measures, prints and compares; returns the exit status, 1 where something fell below the baseline."""
    from sextant import golden

    with run.collection() as photos:
        report = photos.golden(file, k=k, baseline=baseline)
    if write is not None:
        golden.write_baseline(report, Path(write))
    match run.form:
        case "json":
            output.write_json(_as_json(report))
        case "csv":
            output.write_csv(output.rows_of([_flat(m) for m in report.queries], list(_flat(report.queries[0]))))
        case _:
            _print(report)
    _notes(report, baseline, write)
    return 1 if report.regressed else 0


def _flat(measured: Measured) -> dict[str, Any]:
    values = asdict(measured.measures) if measured.measures else dict.fromkeys(NAMES)
    head = {"query": measured.query, "k": measured.k, "relevant": measured.relevant}
    return {**head, **values, "quiet": measured.quiet, "best": measured.best, "note": measured.note}


def _as_json(report: GoldenReport) -> dict[str, Any]:
    return {
        "name": report.name,
        "means": {name: asdict(estimate) for name, estimate in report.means.items()},
        "quiet": asdict(report.quiet) if report.quiet else None,
        "queries": [_flat(measured) for measured in report.queries],
        "passed_over": list(report.passed_over),
        "regressed": [asdict(regression) for regression in report.regressed],
        "changed": list(report.changed),
    }


def _print(report: GoldenReport) -> None:
    headings = [Heading("query"), Heading("k", "right"), Heading("right", "right")]
    headings += [Heading(name, "right") for name in NAMES.values()] + [Heading("best", "right"), Heading("")]
    output.write_table(headings, [*map(_cells, report.queries), *_mean_cells(report)])


def _cells(measured: Measured) -> list[Cell]:
    figures = [f"{value:.3f}" for value in asdict(measured.measures).values()] if measured.measures else ["–"] * 5
    said: Cell = ""
    if measured.quiet is not None:
        said = [("nothing here, and it says so", "green")] if measured.quiet else [("finds what is not there", "red")]
    best = output.confidence(measured.best)
    return [output.plain(measured.query), str(measured.k), f"{measured.relevant:,}", *figures, best, said]


def _mean_cells(report: GoldenReport) -> list[list[Cell]]:
    if not report.means:
        return []
    means = list(report.means.values())
    spans = [f"{m.low:.2f}–{m.high:.2f}" for m in means]
    return [
        [[(cell, "bold")] for cell in ("mean", "", "", *(f"{m.value:.3f}" for m in means), "", "")],
        ["95 %", "", "", *spans, "", ""],
    ]


def _notes(report: GoldenReport, baseline: str | None, write: str | None) -> None:
    if report.quiet is not None:
        silent = sum(bool(m.quiet) for m in report.queries)
        whole = sum(m.quiet is not None for m in report.queries)
        output.note(f"{silent} of {whole} queries about nothing here are answered so: no hit of confidence .5 or more")
    for text in report.passed_over:
        output.note(f"passed over: {output.plain(text)}")
    if report.changed:
        some = output.plain(", ".join(report.changed[:5]))
        many = output.amount(len(report.changed), "query", "queries")
        output.note(f"{many} cannot be compared with the baseline: {some}")
    for fall in report.regressed:
        name = NAMES.get(fall.measure, "answered with nothing here")
        output.note(f"REGRESSED: {name} {fall.value:.3f}, before {fall.baseline:.3f}")
    if baseline is not None and not report.regressed:
        output.note("no worse than the baseline")
    if write is not None:
        output.note(f"baseline written to {output.plain(write)}")
