"""`label`, `calibrate` and `evaluate`: answers of people, what they make of columns, and how far to believe it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sextant import output
from sextant.cli.invocation import Command, Invocation, engine_options, json_option, paths_options, rows_options, verb
from sextant.cli.words import WORDS
from sextant.errors import UsageError
from sextant.output import Cell, Heading

if TYPE_CHECKING:
    from sextant.types import CalibrationReport, ColumnEvaluation, Promise

BATCH = 25
ASKED = ("code", "id", "path", "confidence", "probability")


class Group(click.Group):
    """A verb with verbs below it, and examples at the end of its help."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """The usual order of things."""
        with formatter.section("Examples"):
            formatter.write("".join(f"  {line.strip()}\n" for line in EXAMPLES.strip().splitlines()))


EXAMPLES = """
sextant label ask dog
sextant label next dog --csv > dog.csv
sextant label import dog.csv
sextant calibrate
"""


@click.group(cls=Group, no_args_is_help=True)
def label() -> None:
    """Say of images whether they show an attribute, to calibrate by.

    A label is evidence, not the last word: it improves the confidences of all images. To settle one image for good
    use sextant override.
    """


def subverb(name: str, *, examples: str) -> Callable[[Callable[..., Any]], Command]:
    """A verb of `sextant label`."""

    def decorate(function: Callable[..., Any]) -> Command:
        command = verb(name, examples=examples)(function)
        label.add_command(command)
        return command

    return decorate


def person_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--person`."""
    return click.option("--person", metavar="NAME", default="", help="Who says so.")(command)


def draw_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`-n` and `--seed`."""
    size = click.option("-n", "size", type=click.IntRange(min=1), default=BATCH, show_default=True, metavar="N",
                        help="How many images.")  # fmt: skip
    seed = click.option("--seed", type=int, metavar="N", help="Draw the same images again from the same collection.")
    return size(seed(command))


@subverb(
    "next",
    examples="""
    sextant label next dog
    sextant label next dog -n 50 --csv > dog.csv
    sextant label next dog --absolute --print0 | xargs -0 feh
    """,
)
@click.argument("code")
@draw_options
@paths_options
def next_(run: Invocation, code: str, size: int, seed: int | None) -> None:
    """Draw images to be labelled: at random within levels of confidence, more near a band edge.

    Every draw is kept with its probability, so that the labels speak for the whole collection. --csv gives a file to
    fill in: write yes or no under value, leave the rest empty, and take it back with sextant label import.
    """
    with run.collection() as photos:
        asked = photos.label_next(code, size, seed=seed)
    if run.form == "json":
        output.write_json_rows([asdict(item) for item in asked])
    elif run.form == "csv":
        records = [{"value": "", **asdict(item)} for item in asked]
        output.write_csv(output.rows_of(records, ("path", "code", "value", "id")))
    elif run.form == "paths":
        paths = (str(photos.folder / item.path) if run.absolute else item.path for item in asked)
        output.write_paths(paths, nul=run.print0)
    else:
        headings = [Heading("path"), Heading("confidence", "right"), Heading("drawn with", "right")]
        rows = ([output.plain(i.path), output.confidence(i.confidence), f"{i.probability:.4f}"] for i in asked)
        output.write_table(headings, rows)
        output.note(f"answer them with: sextant label ask {output.plain(code)}")


@subverb(
    "set",
    examples="""
    sextant label set holiday/beach.jpg dog yes
    sextant label set holiday/beach.jpg dog clear --person Ada
    """,
)
@click.argument("image", type=click.Path())
@click.argument("code")
@click.argument("word", metavar="yes|no|clear", type=click.Choice(list(WORDS)))
@person_option
@json_option
def set_(run: Invocation, image: str, code: str, word: str, person: str) -> None:
    """Label one image for one attribute, or withdraw a label."""
    with run.collection() as photos:
        photos.label(image, code, WORDS[word], person=person)
    if run.form == "json":
        output.write_json({"image": image, "code": code, "value": WORDS[word], "person": person})
    else:
        print(f"{output.plain(image)}: {output.plain(code)} {word}")


@subverb(
    "import",
    examples="""
    sextant label import dog.csv
    sextant label import truth.jsonl --person Ada
    """,
)
@click.argument("file", metavar="FILE", type=click.Path())
@person_option
@json_option
def import_(run: Invocation, file: str, person: str) -> None:
    """Take labels from a CSV or JSON lines file, all of them or none.

    Each line has path or id, and either code and value (yes or no) or one column a code. Empty values say nothing.
    """
    with run.collection() as photos:
        count = photos.import_labels(file, person=person)
    if run.form == "json":
        output.write_json({"labels": count})
    else:
        print(f"{output.amount(count, 'label')} taken")
        output.note("put them to use with: sextant calibrate")


@subverb(
    "export",
    examples="""
    sextant label export -o labels.csv
    sextant label export dog cat -o - | less
    """,
)
@click.argument("codes", metavar="[CODE]...", nargs=-1)
@click.option("-o", "--output", "target", metavar="FILE", required=True, type=click.Path(allow_dash=True),
              help="A .csv, .jsonl or .parquet file, whole or not at all; - is standard output, in CSV.")  # fmt: skip
@json_option
def export_(run: Invocation, codes: tuple[str, ...], target: str) -> None:
    """Write the labels that hold to a file that label import reads."""
    with run.collection() as photos:
        if target == "-":
            output.write_csv(photos.labels(codes or None))
            return
        count = photos.export_labels(target, codes or None)
    if run.form == "json":
        output.write_json({"path": target, "labels": count})
    else:
        print(f"{output.amount(count, 'label')} written to {output.plain(target)}")


@subverb(
    "ask",
    examples="""
    sextant label ask dog
    sextant label ask dog -n 10 --person Ada
    """,
)
@click.argument("code")
@draw_options
@click.option("--new", is_flag=True, help="Draw anew, even where an earlier draw is still open.")
@click.option(
    "--pictures/--paths", default=None, help="Show pictures, or only their paths. Default: as the terminal can."
)
@person_option
def ask(run: Invocation, code: str, size: int, seed: int | None, new: bool, pictures: bool | None, person: str) -> None:
    """Answer for one image after another, here at the terminal.

    y yes, n no, s skip, b back to the one before, q quit. Every answer is kept at once. An earlier draw that is still
    open is finished first.
    """
    from sextant.cli import answering

    with run.collection() as photos:
        asked = [] if new else photos.label_open(code)
        if asked:
            output.note(f"{output.amount(len(asked), 'image')} of an earlier draw still to answer (--new draws anew)")
        session = answering.Session(photos, code, asked or photos.label_next(code, size, seed=seed), person)
        session.run(sys.stdin, sys.stdout, answering.protocol() if pictures is None else answering.protocol(pictures))


# calibrate


@verb(
    examples="""
    sextant calibrate
    sextant calibrate dog cat
    sextant calibrate dog --precision 0.95 --failure 0.05
    sextant calibrate dog --no-promise
    """,
)
@click.argument("codes", metavar="[CODE]...", nargs=-1)
@click.option("--precision", type=click.FloatRange(0, 1, min_open=True, max_open=True), metavar="P",
              help="Accept from the lowest confidence at which this share of images is right.")  # fmt: skip
@click.option("--failure", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05, show_default=True,
              metavar="P", help="How often that promise may be broken.")  # fmt: skip
@click.option("--no-promise", is_flag=True, help="Accept from the vocabulary's threshold again.")
@json_option
def calibrate(
    run: Invocation, codes: tuple[str, ...], precision: float | None, failure: float, no_promise: bool
) -> None:
    """Fit confidences to labels, wherever that helps.

    A fit is used where it does better on labels that it did not see. No column is rewritten. With --precision the
    edge of accepted moves to where the labels promise that precision, by an exact binomial bound, and stays there for
    as long as the promise can be kept; where they promise nothing, the vocabulary's own edge stays in force.
    """
    if precision is None and not no_promise:
        with run.collection() as photos:
            _print_reports(run, photos.calibrate(codes or None))
        return
    if not codes:
        raise UsageError(
            "say which attribute to promise a precision for, such as: sextant calibrate dog --precision 0.95"
        )
    if precision is not None and no_promise:
        raise UsageError("--precision and --no-promise exclude each other")
    with run.collection() as photos:
        if precision is None:
            for code in codes:
                photos.withdraw_promise(code)
            output.note("the vocabulary's thresholds are in force again")
        else:
            _print_promises(run, [photos.promise(code, precision=precision, failure=failure) for code in codes])


def _print_reports(run: Invocation, reports: Sequence[CalibrationReport]) -> None:
    if run.form == "json":
        output.write_json_rows([asdict(report) for report in reports])
        return
    names = ("code", "labels", "yes", "Brier before", "after", "NLL before", "after", "ECE", "")
    headings = [Heading(name, "left" if name in ("code", "") else "right") for name in names]
    output.write_table(headings, map(_report_cells, reports))
    used = sum(report.applied for report in reports)
    output.note(f"{used} of {output.amount(len(reports), 'fit')} in use; the others keep what they had")


def _report_cells(report: CalibrationReport) -> list[Cell]:
    after = (figure(report.brier_after), figure(report.nll_after)) if report.applied else ("–", "–")
    said: Cell = (
        [(report.kind, "green")] if report.applied else [(f"kept {report.kind}: {_shorter(report.reason)}", "dim")]
    )
    return [
        output.plain(report.code), f"{report.n:,}", f"{report.positives:,}", figure(report.brier_before), after[0],
        figure(report.nll_before), after[1], figure(report.ece), said,
    ]  # fmt: skip


def _shorter(reason: str) -> str:
    """A reason without the figures that the table has already."""
    return reason.partition(": Brier")[0]


def _print_promises(run: Invocation, promises: Sequence[Promise]) -> None:
    if run.form == "json":
        output.write_json_rows([asdict(promise) for promise in promises])
        return
    for p in promises:
        code = output.plain(p.code)
        if p.threshold is None:
            print(f"{code}: no promise of {p.precision:.4g}. {p.reason}")
            output.note(f"  more labels help, above all of confident images: sextant label ask {code}")
        else:
            print(
                f"{code}: accepted from {p.threshold:.4f} on. Of {p.n} labels there {p.right} are right; "
                f"the precision is at least {p.bound:.4f}, wrong at most {p.failure:.4g} of the time"
            )


# evaluate

EVALUATED = (
    *("code", "n", "positives", "ece", "ece_low", "ece_high", "brier", "nll", "average_precision", "bins", "state"),
    *("ece_unlabelled", "brier_unlabelled"),
)


@verb(
    examples="""
    sextant evaluate
    sextant evaluate dog cat --json
    sextant evaluate --truth truth.csv
    sextant evaluate --golden queries.yaml --baseline figures.json
    """,
)
@click.argument("codes", metavar="[CODE]...", nargs=-1)
@click.option("--truth", metavar="FILE", type=click.Path(), help="Judge by this file, as label import reads them.")
@click.option("--golden", metavar="FILE", type=click.Path(), help="Measure the search by queries with known answers.")
@click.option("--k", type=click.IntRange(min=1), metavar="N", help="With --golden: how many hits count.")
@click.option("--baseline", metavar="FILE", type=click.Path(), help="With --golden: figures not to fall below.")
@click.option("--write-baseline", "write", metavar="FILE", type=click.Path(), help="With --golden: keep the figures.")
@engine_options
@rows_options
def evaluate(run: Invocation, codes: tuple[str, ...], truth: str | None, golden: str | None, **asked: Any) -> int:
    """Measure how far confidences, or the search, can be believed.

    Only labels that no fit has seen count: against the collection's own, the fits are repeated without the ones that
    they are judged by. The row * speaks for all attributes together. ECE: mean gap between confidence and how often it
    is right. AP: average precision.

    With --golden the answers of sextant search are measured by a file of queries whose right answers are known; the
    exit status is 1 where they fall below a baseline.
    """
    if golden is not None:
        from sextant.cli import golden as measuring

        if codes or truth:
            raise click.UsageError("--golden measures the search: it takes no CODE and no --truth")
        return measuring.evaluate(run, golden, **asked)
    if any(value is not None for value in asked.values()):
        raise click.UsageError("--k, --baseline and --write-baseline are for --golden")
    with run.collection() as photos:
        rows = photos.evaluate(codes or None, truth=Path(truth) if truth else None)
        failing = photos.failing_controls()
    records = [{name: getattr(row, name) for name in EVALUATED} for row in rows]
    if run.form == "json":
        curves = [[asdict(bar) for bar in row.curve] for row in rows]
        output.write_json_rows([{**r, "curve": c} for r, c in zip(records, curves, strict=True)])
    elif run.form == "csv":
        output.write_csv(output.rows_of(records, EVALUATED))
    else:
        _print_evaluation(rows)
    for control in failing:
        output.note(output.plain(control.reason))
    return 0


def _print_evaluation(rows: Sequence[ColumnEvaluation]) -> None:
    both = any(row.state == "calibrated" for row in rows)  # then what was gained is part of the answer
    ece, brier = (("ECE before", "ECE"), ("Brier before", "Brier")) if both else (("ECE",), ("Brier",))
    names = ("code", "labels", "yes", *ece, "95 %", *brier, "NLL", "AP", "state")
    headings = [Heading(name, "left" if name in ("code", "state") else "right") for name in names]
    output.write_table(headings, [_evaluation_cells(row, both=both) for row in rows])
    if both:
        output.note("before: the same answers by the curves that were there before any label")


def _evaluation_cells(row: ColumnEvaluation, *, both: bool) -> list[Cell]:
    style = "bold" if row.code == "*" else ""
    span = f"{figure(row.ece_low)}–{figure(row.ece_high)}"
    ece = [figure(row.ece_unlabelled)] * both + [figure(row.ece)]
    brier = [figure(row.brier_unlabelled)] * both + [figure(row.brier)]
    cells = [
        output.plain(row.code), f"{row.n:,}", f"{row.positives:,}", *ece, span, *brier,
        figure(row.nll), figure(row.average_precision), output.plain(row.state or "all together"),
    ]  # fmt: skip
    return [[(cell, style)] for cell in cells]


def figure(value: float | None) -> str:
    """A measured figure to four digits, rounded; unlike a confidence it decides nothing."""
    return "–" if value is None or value != value else f"{value:.4f}"
