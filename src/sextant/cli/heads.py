"""`head`: light heads, learned from labels on the vectors that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from sextant import output
from sextant.cli.invocation import Invocation, json_option, verb
from sextant.errors import UsageError
from sextant.output import Cell, Heading

if TYPE_CHECKING:
    from sextant.heads import HeadReport, HeadState

KINDS = click.Choice(["probe", "prototypes"])


@verb(
    examples="""
    sextant head gothic romanesque
    sextant head gothic --kind prototypes
    sextant head gothic --drop
    sextant head
    """,
)
@click.argument("codes", metavar="[CODE]...", nargs=-1)
@click.option("--kind", type=KINDS, default="probe", show_default=True, help="prototypes do with a few labels.")
@click.option("--always", is_flag=True, help="Use a head even where it does no better than what is in use.")
@click.option("--drop", is_flag=True, help="Let the prompts judge these attributes again.")
@json_option
def head(run: Invocation, codes: tuple[str, ...], kind: str, always: bool, drop: bool) -> int:
    """Judge attributes by their labels, on the vectors that are there.

    A light head is learned from the yes and no labels of an attribute and takes the place of its prompts, where its
    calibrated column does better on labels that it did not see. No image is read, and the encoder stays as it is.
    Without CODE the heads in use are listed.
    """
    if drop and (always or not codes):
        raise UsageError("--drop takes the attributes whose head is to go, and nothing else")
    if not codes:
        with run.collection() as photos:
            _print_heads(run, photos.heads())
        return 0
    if drop:
        with run.collection() as photos:
            gone = photos.drop_heads(codes)
        if run.form == "json":
            output.write_json({"dropped": gone})
        else:
            print(f"{output.amount(len(gone), 'head')} dropped; the prompts judge again")
        return 0
    return fit(run, codes, kind, always=always)


def fit(run: Invocation, codes: Sequence[str], kind: Any, *, always: bool) -> int:
    """Learns heads, and shows what they are worth."""
    with run.collection() as photos:
        reports = photos.fit_heads(codes, kind=kind, always=always)
    if run.form == "json":
        output.write_json_rows([asdict(report) for report in reports])
        return 0
    names = ("code", "labels", "yes", "precision before", "after", "Brier before", "after", "NLL before", "after", "")
    headings = [Heading(name, "left" if name in ("code", "") else "right") for name in names]
    output.write_table(headings, map(_cells, reports))
    used = sum(report.applied for report in reports)
    output.note(f"{used} of {output.amount(len(reports), 'head')} in use; every figure is on labels that were not seen")
    if used:
        output.note(f"back to the prompts: sextant head {' '.join(r.code for r in reports if r.applied)} --drop")
    return 0


def _cells(report: HeadReport) -> list[Cell]:
    figures = (report.precision_before, report.precision_after, report.brier_before, report.brier_after,
               report.nll_before, report.nll_after)  # fmt: skip
    mark: Cell = [("in use", "green")] if report.applied else output.plain(report.reason)
    told = [f"{value:.3f}" if k < 2 else f"{value:.4f}" for k, value in enumerate(figures)]
    return [output.plain(report.code), f"{report.n:,}", f"{report.positives:,}", *told, mark]


def _print_heads(run: Invocation, found: Sequence[HeadState]) -> None:
    if run.form == "json":
        output.write_json_rows([asdict(state) for state in found])
        return
    if not found:
        output.note("there are no heads: sextant head CODE learns one from the labels of an attribute")
        return
    headings = [Heading("code"), Heading("kind"), Heading("labels", "right"), Heading("now", "right"), Heading("state"),
                Heading("precision before", "right"), Heading("after", "right"), Heading("since")]  # fmt: skip
    rows: list[list[Cell]] = [
        [output.plain(s.code), s.kind, f"{s.n:,}", f"{s.labels_now:,}", output.plain(s.state),
         f"{s.measured['precision_before']:.3f}", f"{s.measured['precision_after']:.3f}", s.at]
        for s in found
    ]  # fmt: skip
    output.write_table(headings, rows)
