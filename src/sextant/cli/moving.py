"""`export` and `import`: tables, documents, folders and sidecars out, vectors and words in."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sextant import output
from sextant.cli.adding import as_json, complain, complain_of
from sextant.cli.invocation import Invocation, json_option, verb

if TYPE_CHECKING:
    from sextant.collection import Collection

WORDS = (".csv", ".jsonl", ".ndjson")
FORMATS = ("csv", "jsonl", "parquet", "coco", "fiftyone", "imagefolder", "xmp")


@verb(
    examples="""
    sextant export -o photos.csv
    sextant export -o cells.parquet --long
    sextant export -o - --format jsonl --where "dog and not beach" | gzip > dogs.jsonl.gz
    sextant export -o dogs.json --format coco --codes dog --band accepted --band tentative
    sextant export -o dogs/ --format imagefolder --where dog --link
    sextant export --format xmp
    """,
)
@click.option("-o", "--output", "target", metavar="FILE", type=click.Path(allow_dash=True),
              help="What to write, whole or not at all; - is standard output. Not for xmp.")  # fmt: skip
@click.option("--format", "kind", type=click.Choice(FORMATS), help="Default: as FILE's name says.")
@click.option("--wide/--long", default=True, help="Of a table: a row an image (default), or an image and attribute.")
@click.option("--where", metavar="RULE", help="Only images for which a rule is true.")
@click.option("--codes", metavar="CODES", help="Only these attributes; commas between.")
@click.option("--band", "bands", type=click.Choice(["accepted", "tentative", "rejected"]), multiple=True,
              help="Only what is in this band; repeatable. Default, but for tables: accepted.")  # fmt: skip
@click.option("--copy/--link", default=True, help="Of an imagefolder: copies of the pictures (default), or links.")
@click.option("--sidecar", type=click.Choice(["photo.jpg.xmp", "photo.xmp"]), default="photo.jpg.xmp",
              show_default=True, help="How a new XMP sidecar is called; one that is there is updated.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace what is there.")
@json_option
def export(run: Invocation, target: str | None, kind: str | None, codes: str | None, **how: Any) -> int:
    """Write facts and confidences to a file, a folder, or beside the pictures.

    CSV is safe to open in a spreadsheet: texts that it would run as formulas are quoted. XMP sidecars get keywords,
    Sextant/TYPE/LABEL tags and digiKam's pick label; a person's keywords are never removed, and what an earlier export
    wrote and no longer holds is withdrawn.
    """
    _check(run, target, kind)
    listed = [code.strip() for code in codes.split(",") if code.strip()] if codes else None
    chosen = {"where": how["where"], "codes": listed, "bands": how["bands"]}
    with run.collection() as photos:
        if kind == "xmp":
            return _sidecars(run, photos, chosen, how["sidecar"])
        if kind == "imagefolder":
            count, skipped = photos.export_images(str(target), link=not how["copy"], force=how["force"], **chosen)
            _told(run, str(target), "image", count, [{"path": s.path, "reason": s.reason} for s in skipped])
            complain_of(skipped)
            return 1 if skipped else 0
        table = {"format": kind, "shape": "wide" if how["wide"] else "long", **chosen}
        if target == "-":
            rows = _to_standard_output(photos, table)
        else:
            rows = photos.export(str(target), force=how["force"], **table)
    _told(run, str(target), "image" if kind in ("coco", "fiftyone") else "row", rows)
    return 0


def _check(run: Invocation, target: str | None, kind: str | None) -> None:
    if kind == "xmp" and target is not None:
        raise click.UsageError("sidecars go beside the pictures: leave out -o")
    if kind != "xmp" and target is None:
        raise click.UsageError("say where to with -o FILE")
    if target == "-" and kind is None:
        raise click.UsageError("say --format csv, jsonl, parquet, coco or fiftyone with -o -")
    if target == "-" and kind == "imagefolder":
        raise click.UsageError("an imagefolder is a folder: name one with -o")
    if target == "-" and run.form == "json":
        raise click.UsageError("--json and -o - exclude each other: both are standard output")


def _told(run: Invocation, target: str, what: str, count: int, skipped: list[dict[str, str]] | None = None) -> None:
    if run.form == "json":
        said = {"path": target, f"{what}s": count}
        output.write_json(said if skipped is None else {**said, "skipped": skipped})
    else:
        name = "standard output" if target == "-" else output.plain(target)
        output.note(f"{output.amount(count, what)} written to {name}")


def _sidecars(run: Invocation, photos: Collection, chosen: dict[str, Any], naming: str) -> int:
    report = photos.export_sidecars(naming=naming, **chosen)
    if run.form == "json":
        skipped = [{"path": s.path, "reason": s.reason} for s in report.skipped]
        counts = {"made": report.made, "updated": report.updated, "unchanged": report.unchanged}
        output.write_json({**counts, "skipped": skipped})
    else:
        said = output.amount(report.made, "sidecar")
        output.note(f"{said} made · {report.updated:,} brought up to date · {report.unchanged:,} unchanged")
    complain_of(report.skipped)
    return 1 if report.skipped else 0


def _to_standard_output(photos: Collection, how: dict[str, Any]) -> int:
    """Written to a scratch file first: an export that fails prints nothing."""
    with tempfile.TemporaryDirectory(prefix="sextant-") as folder:
        file = Path(folder) / "rows"
        rows = photos.export(file, **how)
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
