"""`index` and `crops`: what is kept beside the vectors, for large collections and for small things."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from sextant import output
from sextant.cli.invocation import Invocation, json_option, verb
from sextant.cli.progress import reporting
from sextant.output import Heading

if TYPE_CHECKING:
    from sextant.indexing import IndexState


@verb(examples="sextant index\nsextant index --show\nsextant index --drop")
@click.option("--show", is_flag=True, help="Say what there is, and make nothing.")
@click.option("--drop", is_flag=True, help="Delete the index; searches do without.")
@json_option
def index(run: Invocation, show: bool, drop: bool) -> None:
    """Make the vector index of a large collection, and check how much it finds.

    It is made of what the encoder in use has embedded, and lies in .sextant/cache/, which can be deleted. Collections
    of up to 200,000 images (the setting exact_rows) need none. Images added later are found too; make it anew when
    they are many.
    """
    if show and drop:
        raise click.UsageError("--show and --drop exclude each other")
    with run.collection() as photos:
        if drop:
            dropped = photos.drop_index()
            if run.form == "json":
                output.write_json({"dropped": dropped})
            else:
                print("the index is deleted" if dropped else "there is no index")
            return
        if show:
            found = photos.index_state()
        else:
            with reporting("index", "images") as progress:
                found = photos.index(progress=progress)
    if run.form == "json":
        output.write_json(asdict(found))
    else:
        output.write_table([Heading("index"), Heading("")], _facts(found))
    if found.advice:
        output.note(found.advice)


def _facts(found: IndexState) -> list[list[str]]:
    rows = [["encoder", output.plain(found.encoder)], ["images", f"{found.images:,}"]]
    built = found.built
    if built is None:
        return [*rows, ["index", "none"]]
    recall = [f"{value:.3f} of {built.queries[kind]} {kind}" for kind, value in built.recall.items()]
    depth = f"{built.depth:,} of each answer" if built.depth else "every image: codes alone lose too much"
    return [
        *rows,
        ["in the index", f"{built.rows:,}"],
        ["new since", f"{found.new:,}"],
        ["gone since", f"{found.gone:,}"],
        ["fits", "yes" if found.usable else "no"],
        ["recall@10", ", ".join(recall) or "not checked"],
        ["compared again", depth],
        ["on disk", output.size(built.bytes)],
        ["made in", f"{built.seconds:.1f} s"],
    ]


@verb(examples="sextant crops")
@json_option
def crops(run: Invocation) -> int:
    """Embed five parts of every picture, so that a search can find small things.

    Corners and centre, each 0.6 of the sides, once for every image and encoder: five times the work of add, and five
    times the space of its vectors. Run it again after adding; only what has no parts yet is read. An interrupted run
    goes on where it stopped.
    """
    from sextant.cli.adding import complain_of

    with run.collection() as photos:
        try:
            with reporting("crops", "images") as progress:
                report = photos.crops(progress=progress)
        except KeyboardInterrupt:
            output.note("\nstopped: what was finished is kept. The same command goes on from there.")
            return 130
    if run.form == "json":
        skipped = [{"path": s.path, "reason": s.reason} for s in report.skipped]
        told = {"added": report.added, "unchanged": report.unchanged, "skipped": skipped}
        output.write_json({**told, "seconds": round(report.seconds, 3)})
    else:
        print(f"{report.added:,} added · {report.unchanged:,} unchanged  ({report.seconds:.1f} s)")
    complain_of(report.skipped)
    return 1 if report.skipped else 0
