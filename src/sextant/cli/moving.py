"""`export` and `import`: tables out, vectors and words in."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sextant import output
from sextant.cli.adding import as_json, complain
from sextant.cli.invocation import Invocation, json_option, verb

if TYPE_CHECKING:
    from sextant.collection import Collection

WORDS = (".csv", ".jsonl", ".ndjson")


@verb(
    examples="""
    sextant export -o photos.csv
    sextant export -o cells.parquet --long
    sextant export -o - --format jsonl --where "dog and not beach" | gzip > dogs.jsonl.gz
    """,
)
@click.option("-o", "--output", "target", metavar="FILE", required=True, type=click.Path(allow_dash=True),
              help="The file to write, whole or not at all; - is standard output.")  # fmt: skip
@click.option("--format", "kind", type=click.Choice(["csv", "jsonl", "parquet"]), help="Default: as FILE's name says.")
@click.option("--wide/--long", default=True, help="A row an image (default), or a row an image and attribute.")
@click.option("--where", metavar="RULE", help="Only images for which a rule is true.")
@json_option
def export(run: Invocation, target: str, kind: str | None, wide: bool, where: str | None) -> None:
    """Write facts and confidences to a file.

    CSV is safe to open in a spreadsheet: texts that it would run as formulas are quoted.
    """
    shape = "wide" if wide else "long"
    if target == "-" and kind is None:
        raise click.UsageError("say --format csv, jsonl or parquet with -o -")
    if target == "-" and run.form == "json":
        raise click.UsageError("--json and -o - exclude each other: both are standard output")
    with run.collection() as photos:
        if target == "-":
            rows = _to_standard_output(photos, kind, shape, where)
        else:
            rows = photos.export(target, format=kind, shape=shape, where=where)
    if run.form == "json":
        output.write_json({"path": target, "rows": rows})
    else:
        name = "standard output" if target == "-" else output.plain(target)
        output.note(f"{output.amount(rows, 'row')} written to {name}")


def _to_standard_output(photos: Collection, kind: str | None, shape: str, where: str | None) -> int:
    """Written to a scratch file first: an export that fails prints nothing."""
    with tempfile.TemporaryDirectory(prefix="sextant-") as folder:
        file = Path(folder) / "rows"
        rows = photos.export(file, format=kind, shape=shape, where=where)
        with file.open("rb") as source:
            shutil.copyfileobj(source, sys.stdout.buffer)
    sys.stdout.buffer.flush()
    return rows


@verb(
    "import",
    examples="""
    sextant import vectors.npy --ids paths.txt --encoder clip-vit-b32@openai --logit-scale 100
    sextant import embeddings.parquet
    sextant import clip-retrieval-folder/
    sextant import tags.csv
    """,
)
@click.argument("source", type=click.Path())
@click.option("--ids", metavar="FILE", type=click.Path(), help="The paths or ids of a .npy file's rows, one a line.")
@click.option("--encoder", metavar="NAME@REV", help="What made the vectors; without it, the collection's own encoder.")
@click.option("--logit-scale", type=float, metavar="X", help="Of that encoder; CLIP: 100.")
@click.option("--logit-bias", type=float, metavar="Y", help="Of that encoder; CLIP: 0.")
@json_option
def import_(
    run: Invocation,
    source: str,
    ids: str | None,
    encoder: str | None,
    logit_scale: float | None,
    logit_bias: float | None,
) -> int:
    """Take vectors, or tags and descriptions, made elsewhere.

    Vectors come as .npy with --ids, as Parquet with a column path or id and a column vector, or as a clip-retrieval
    folder. Tags and descriptions come as .csv or .jsonl with path or id, tags (; between them) and description.
    """
    if Path(source).suffix.lower() in WORDS:
        if ids or encoder or logit_scale is not None or logit_bias is not None:
            raise click.UsageError(f"{source} holds words; --ids, --encoder and the logit options are for vectors")
        with run.collection() as photos:
            count = photos.import_words(source)
        if run.form == "json":
            output.write_json({"images": count})
        else:
            print(f"words taken for {output.amount(count, 'image')}")
        return 0
    with run.collection(create=True) as photos:
        report = photos.import_vectors(source, ids=ids, encoder=encoder, logit_scale=logit_scale, logit_bias=logit_bias)
    if run.form == "json":
        output.write_json(as_json(report))
    else:
        print(f"{report.added:,} added · {report.unchanged:,} unchanged  ({report.seconds:.1f} s)")
    complain(report)
    return 1 if report.skipped else 0
