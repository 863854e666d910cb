"""`tag`, `columns`, `prompts` and `inspect`: the vocabulary and the columns it makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from sextant import output
from sextant.cli import drawing
from sextant.cli.invocation import Invocation, engine_options, json_option, rows_options, verb
from sextant.output import Cell, Heading

if TYPE_CHECKING:
    from sextant.types import ColumnSummary, TagReport

BINS = 40
LEAST_BAR, MOST_BAR = 8, 30


def separated(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
    """`a,b` as (a, b)."""
    return tuple(part.strip() for part in (value or "").split(",") if part.strip())


@verb(
    examples="""
    sextant tag vocabulary.yaml
    sextant tag vocabulary.yaml --dry-run
    sextant tag --codes dalmatian,sunflower
    sextant tag vocabulary.yaml --center 22 --scale 3
    """,
)
@click.argument("vocabulary", metavar="[VOCABULARY.yaml]", required=False, type=click.Path())
@click.option("--codes", metavar="A,B", callback=separated, help="Only these attributes.")
@click.option("--dry-run", is_flag=True, help="Say what would be computed, and write nothing.")
@click.option("--center", type=float, metavar="X", help="The logit of confidence 0.5, where nothing better is known.")
@click.option("--scale", type=click.FloatRange(min=0, min_open=True), metavar="Y", help="How slowly it rises there.")
@engine_options
@json_option
def tag(
    run: Invocation,
    vocabulary: str | None,
    codes: tuple[str, ...],
    dry_run: bool,
    center: float | None,
    scale: float | None,
) -> None:
    """Make a column of every attribute in a vocabulary.

    Only what is absent or stale is computed, from stored vectors: no image is read. Without a file the vocabulary of
    the last time is used. A column that left the vocabulary is kept until sextant prune.
    """
    with run.collection() as photos:
        report = photos.tag(vocabulary, codes=codes or None, dry_run=dry_run, center=center, scale=scale)
        failing = [] if dry_run else photos.failing_controls()
    if run.form == "json":
        output.write_json({**asdict(report), "seconds": round(report.seconds, 3)})
    else:
        _print_tag(report)
    for control in failing:
        output.note(output.plain(control.reason))


def _print_tag(report: TagReport) -> None:
    columns, cells = output.amount(len(report.columns), "column"), output.amount(report.cells, "cell")
    done = "would be written" if report.dry_run else f"written in {report.seconds:.2f} s"
    print(f"{columns}, {cells} {done}" if report.columns else "every column is up to date")
    if 0 < len(report.columns) <= 12 or (report.dry_run and report.columns):
        print("  " + ", ".join(report.columns))
    if report.derived:
        print(f"derived by rule: {', '.join(report.derived)}")
    if report.stale:
        output.note(f"still stale: {', '.join(report.stale)}")
    if report.kept:
        output.note(f"no longer in the vocabulary, kept until `sextant prune`: {', '.join(report.kept)}")


COLUMNS = (
    *("code", "kind", "state", "accepted", "tentative", "rejected", "unknown"),
    *("label", "overridden", "calibration", "encoder", "trust", "scorer"),
)
ESTIMATES = ("value", "low", "high")


@verb(examples="sextant columns\nsextant columns --json")
@rows_options
def columns(run: Invocation) -> None:
    """Show how many images each attribute accepts.

    The bands are accepted, tentative and rejected; an image without a vector or a value is unknown. The state says
    how far the confidences can be trusted. Where images were drawn and labelled, the last column estimates how many
    really show it, with a 95 % interval.
    """
    with run.collection() as photos:
        summaries = photos.columns()
    records = [
        {name: getattr(s, name) for name in COLUMNS}
        | {f"estimate_{name}": getattr(s.estimate, name) if s.estimate else None for name in ESTIMATES}
        for s in summaries
    ]
    if run.form == "json":
        output.write_json_rows(records)
    elif run.form == "csv":
        output.write_csv(output.rows_of(records, (*COLUMNS, *(f"estimate_{name}" for name in ESTIMATES))))
    elif not summaries:
        output.note("there are no columns yet: sextant tag VOCABULARY.yaml")
    else:
        _print_columns(summaries)


def _print_columns(summaries: Sequence[ColumnSummary]) -> None:
    bands = ("accepted", "tentative", "rejected", "unknown")
    some = [band for band in bands if band != "unknown" or any(s.unknown for s in summaries)]
    people, told = any(s.overridden for s in summaries), any(s.estimate for s in summaries)
    rows: list[list[Cell]] = []
    for s in summaries:
        counts = [f"{getattr(s, band):,}" for band in some] + [f"{s.overridden:,}"] * people
        counts += [
            f"{s.estimate.value:,.0f} ({s.estimate.low:,.0f}–{s.estimate.high:,.0f})" if s.estimate else "–"
        ] * told
        kind = s.kind if s.scorer in ("", "rule", "prompts") else s.scorer.split(" ")[0]
        rows.append([output.plain(s.code), kind, output.plain(s.trust), *counts])
    headings = [Heading("code"), Heading("kind"), Heading("state"), *(Heading(band, "right") for band in some)]
    headings += [Heading("by hand", "right")] * people + [Heading("really (95 %)", "right")] * told
    room = output.room_beside(headings, rows)
    if output.on_terminal() and room >= LEAST_BAR:
        headings.append(Heading(""))
        for row, s in zip(rows, summaries, strict=True):
            row.append(drawing.shares([getattr(s, band) for band in bands], min(room, MOST_BAR)))
    output.write_table(headings, rows)


@verb(examples="sextant prompts\nsextant prompts dalmatian sunflower")
@click.argument("codes", metavar="[CODE]...", nargs=-1)
@rows_options
def prompts(run: Invocation, codes: tuple[str, ...]) -> None:
    """Show exactly what is encoded for each attribute."""
    with run.collection() as photos:
        found = photos.prompts(codes or None)
    records = [asdict(p) for p in found]
    if run.form == "json":
        output.write_json_rows(records)
    elif run.form == "csv":
        output.write_csv(output.rows_of(records, ("code", "prompts", "negatives", "prompt_hash")))
    else:
        rows = [[p.code, t, ""] for p in found for t in p.prompts] + [
            [p.code, t, "not"] for p in found for t in p.negatives
        ]
        rows.sort(key=lambda row: [p.code for p in found].index(row[0]))
        output.write_table(
            [Heading("code"), Heading(""), Heading("prompt")],
            [[output.plain(code), sign, output.plain(text)] for code, text, sign in rows],
        )


@verb(
    examples="""
    sextant inspect dalmatian
    sextant inspect dalmatian --center 22 --scale 3
    sextant inspect dalmatian --bins 20 --csv
    """,
)
@click.argument("code")
@click.option("--center", type=float, metavar="X", help="Ask what if the confidence were 0.5 at this logit.")
@click.option("--scale", type=click.FloatRange(min=0, min_open=True), metavar="Y", help="Ask what if with this scale.")
@click.option("--bins", type=click.IntRange(1, 1000), metavar="N", help="Bins of the histogram.")
@rows_options
def inspect(run: Invocation, code: str, center: float | None, scale: float | None, bins: int | None) -> None:
    """Show a column's logits, and where its bands begin.

    --center and --scale count the bands anew for another calibration, and change nothing.
    """
    width = output.width()
    default = drawing.bins_in(width) if run.form == "table" else BINS
    with run.collection() as photos:
        found = photos.inspect(code, center=center, scale=scale, bins=bins or default)
    if run.form == "json":
        output.write_json(asdict(found))
    elif run.form == "csv":
        edges = zip(found.edges[:-1], found.edges[1:], found.counts, strict=True)
        records: list[dict[str, Any]] = [{"from": a, "to": b, "count": n} for a, b, n in edges]
        output.write_csv(output.rows_of(records, ("from", "to", "count")))
    else:
        for line in drawing.inspection(found, width):
            output.write_line(line)
