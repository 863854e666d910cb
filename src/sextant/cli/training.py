"""`finetune` and `scorecard`: a better encoder from labelled pictures, and what it is worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sextant import output, settings
from sextant.cli.invocation import Invocation, engine_options, json_option, verb
from sextant.cli.progress import reporting
from sextant.output import Cell, Heading
from sextant.paths import expanded

if TYPE_CHECKING:
    from sextant.finetune import Installed

RECIPES = click.Choice(["quick", "full", "probe", "reference"])


@verb(
    examples="""
    sextant finetune facades/pictures --classes facades/vocabulary.yaml --out tuned
    sextant finetune labels.csv --recipe full --clusters clusters.yaml --out tuned
    sextant finetune --labels gothic,romanesque --install
    sextant finetune --labels gothic,romanesque --recipe probe
    sextant finetune facades/pictures --out tuned --until gate
    """,
)
@click.argument("dataset", required=False, type=click.Path())
@click.option(
    "--base", default="mini", show_default=True, metavar="BASE", help="mini, a bundle of it, or a checkpoint."
)
@click.option("--recipe", type=RECIPES, default="quick", show_default=True, help="How much is trained.")
@click.option("--classes", "prompts", type=click.Path(), metavar="FILE", help="YAML: class: [canonical prompt, …].")
@click.option(
    "--clusters", type=click.Path(), metavar="FILE", help="YAML: classes taken for each other. Else proposed."
)
@click.option("--out", metavar="RUN", type=click.Path(), help="The run's folder. Default: tuned.")
@click.option("--labels", metavar="CODES", help="Learn from this collection's labels of these attributes, not DATASET.")
@click.option("--without", multiple=True, metavar="CLASS", help="Leave a class out. May be given again.")
@click.option("--photos", type=click.Path(), metavar="FOLDER", help="Pictures that are none of it, to keep knowing.")
@click.option("--gate", type=float, metavar="P", help="Drop training images to which the base gives less than P.")
@click.option("--rate", type=float, metavar="R", help="The learning rate of the heads.")
@click.option("--epochs", type=int, metavar="N", help="Epochs of the heads, and of the blocks where there are any.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Another number, another run.")
@click.option("--until", metavar="STEP", help="Stop after a step, such as gate or clusters.")
@click.option("--ablate", is_flag=True, help="Train again with each decision turned round, and compare.")
@click.option("--install", is_flag=True, help="Let the collection use the encoder, and show what that changes.")
@engine_options
@json_option
def finetune(run: Invocation, dataset: str | None, install: bool, **options: Any) -> int:
    """Train an encoder on labelled pictures.

    DATASET is a folder with a folder for each class, or a CSV with path and class. Every step writes what it decided
    into the run's folder; a run that was stopped goes on with the same command, to the same weights. The exit status is
    1 if a gate of the scorecard fails. With --labels, --recipe probe trains no encoder: it is sextant head.
    """
    from sextant import finetune as stage

    request = stage.Request(
        source=None if dataset is None else expanded(dataset),
        out=expanded(options.pop("out") or "tuned"),
        prompts=_path(options.pop("prompts")),
        clusters=_path(options.pop("clusters")),
        photos=_path(options.pop("photos")),
        settings=settings.load(None, **run.settings),
        labels=tuple(code.strip() for code in (options.pop("labels") or "").split(",") if code.strip()),
        **options,
    )
    if request.recipe == "probe" and request.labels and dataset is None:
        from sextant.cli.heads import fit

        return fit(run, request.labels, "probe", always=False)
    if install or request.labels:
        with run.collection() as photos, reporting("finetune", "steps") as progress:
            report = photos.finetune(request, install=install, progress=progress)
    else:
        with reporting("finetune", "steps") as progress:
            report = stage.finetune(request, progress=progress)
    if run.form == "json":
        output.write_json(report.to_dict())
    else:
        _print(report)
    return 0 if report.ready is not False else 1


@verb(
    examples="""
    sextant scorecard tuned
    sextant scorecard tuned --beside reference
    sextant scorecard tuned --data held-out
    sextant scorecard local-dir:tuned/bundle --data held-out --classes classes.yaml
    """,
)
@click.argument("source", metavar="RUN|BUNDLE", type=click.Path())
@click.option("--data", type=click.Path(), metavar="DATASET", help="Held-out pictures: a folder a class, or a CSV.")
@click.option("--classes", "prompts", type=click.Path(), metavar="FILE", help="YAML: class: [canonical prompt, …].")
@click.option("--clusters", type=click.Path(), metavar="FILE", help="YAML: classes that are taken for each other.")
@click.option("--beside", type=click.Path(), metavar="RUN", help="Another run of the same data and seed, to compare.")
@json_option
def scorecard(run: Invocation, source: str, **files: str | None) -> int:
    """Measure an encoder against seven gates, on held-out pictures.

    Without --data a run is measured on its own test part, and its page is written anew. Images that the run was trained
    on are refused. The exit status is 1 if a gate fails, and a figure that is missing fails.
    """
    from sextant import finetune as stage

    found = stage.scorecard(source, **{name: _path(value) for name, value in files.items()})
    if run.form == "json":
        output.write_json(found)
    else:
        _print_gates(found)
    return 0 if found["ready"] else 1


def _path(value: str | None) -> Path | None:
    return None if value is None else expanded(value)


def _print(report: Any) -> None:
    for line in report.told:
        output.write_line(output.plain(line))
    if report.scorecard is not None:
        output.write_line()
        _print_gates(report.scorecard)
    if report.ablations:
        output.write_line()
        _print_ablations(report.ablations)
    if report.installed is not None:
        _print_installed(report.installed)
        if report.ready is False:
            output.note("it is in use although gates failed: look at the page, and go back if you must")
    output.note(f"run: {output.plain(str(report.folder))}")
    if report.scorecard is not None:
        output.note(f"every figure with its interval: {output.plain(str(report.folder / 'scorecard.html'))}")


def _print_gates(found: dict[str, Any]) -> None:
    headings = [Heading("gate"), Heading("wanted", "right"), Heading("before", "right"), Heading("measured", "right"),
                Heading("")]  # fmt: skip
    rows: list[list[Cell]] = []
    for gate in found["gates"]:
        before = (found.get("base") or {}).get("figures", {}).get(gate["name"])
        mark: tuple[str, str] = ("passed", "green") if gate["passed"] else ("FAILED", "red")
        value = "missing" if gate["value"] is None else f"{gate['value']:.3f}"
        was = "–" if before is None else f"{before['value']:.3f}"
        rows.append([gate["name"], f"{gate['better']} {gate['limit']:g}", was, value, [mark]])
    output.write_table(headings, rows)
    if found.get("beside"):
        _print_beside(found["beside"])
    passed = sum(gate["passed"] for gate in found["gates"])
    output.write_line(f"{passed} of {len(found['gates'])} gates on {found['images']:,} held-out images")


def _print_beside(found: dict[str, Any]) -> None:
    one, other = found["ours"], found["theirs"]
    runs = [output.plain(side["run"]) for side in (one, other)]
    headings = [Heading(f"on {found['images']:,} images of both")]
    headings += [Heading(name, "right") for name in (*runs, "difference (95 %, paired)")]
    rows: list[list[Cell]] = [
        [row["name"], f"{row['ours']:.3f}", f"{row['theirs']:.3f}",
         f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"]
        for row in found["rows"]
    ]  # fmt: skip
    seconds = [side["seconds"] for side in (one, other)]
    rows.append(["training, seconds", *("–" if value is None else f"{value:,.0f}" for value in seconds), ""])
    output.write_line()
    output.write_table(headings, rows)


def _print_ablations(rows: list[dict[str, Any]]) -> None:
    headings = [Heading("decision turned round")]
    headings += [
        Heading(name, "right") for name in ("accuracy", "difference (95 %)", "ECE", "noise", "outside", "seconds")
    ]
    figures = [(f"{r['accuracy']:.3f}", r["difference"], f"{r['ece']:.3f}", f"{r['noise']:.2f}", f"{r['outside']:.3f}",
                f"{r['seconds']:.0f}") for r in rows]  # fmt: skip
    output.write_table(headings, [[r["name"], *cells] for r, cells in zip(rows, figures, strict=True)])


def _print_installed(found: Installed) -> None:
    output.write_line()
    output.write_line(output.plain(f"the collection now uses {found.encoder}"))
    headings = [Heading("attribute")]
    names = ["accepted before", "accepted now", "changed band"]
    judged = any("labels" in c for c in found.changes)
    headings += [Heading(name, "right") for name in [*names, *(["labels", "Brier before", "now"] if judged else [])]]
    rows: list[list[Cell]] = []
    for c in found.changes:
        cells = [f"{c['before']:,}", f"{c['now']:,}", f"{c['changed']:,}"]
        if judged:
            cells += [f"{c['labels']:,}", f"{c['brier_before']:.4f}", f"{c['brier_now']:.4f}"] if "labels" in c else [
                "–", "–", "–"]  # fmt: skip
        rows.append([output.plain(c["code"]), *cells])
    output.write_table(headings, rows)
    if judged:
        output.note("labels are those of images that the run did not learn from; no curve was judged by its own")
    output.write_line(output.plain(f"back in one step: sextant model use {found.former}"))
