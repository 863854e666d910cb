"""`add`: files in, vectors once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sextant import output
from sextant.cli.invocation import Invocation, engine_options, json_option, verb
from sextant.cli.progress import reporting

if TYPE_CHECKING:
    from sextant.collection import Collection
    from sextant.types import AddReport, Skipped

MOST_SHOWN = 20


@verb(
    examples="""
    sextant add ~/photos
    sextant add ~/photos --model ViT-B-32/openai
    sextant add 'scans/**/*.tif' more/picture.jpg
    find . -name '*.jpg' -newer last | sextant add --from -
    sextant add --from urls.txt
    """,
)
@click.argument("paths", metavar="PATH...", nargs=-1, type=click.Path())
@click.option("--from", "lists", metavar="FILE", multiple=True, type=click.Path(allow_dash=True),
              help="A list of paths or URLs, one a line; - is standard input.")  # fmt: skip
@click.option("--model", metavar="MODEL", help="The encoder of a new collection; see sextant model list.")
@click.option("--catalog", metavar="URL",
              help="Where a new collection keeps what people say: a PostgreSQL. Default: a file in it.")  # fmt: skip
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16", "int8"]), help="The encoder's arithmetic.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where the encoder runs.")
@click.option("--threads", type=click.IntRange(min=0), metavar="N", help="Decoding threads; 0 is one a processor.")
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="Images in one call of the encoder.")
@engine_options
@click.option("--drop-missing", is_flag=True, help="Remove images whose files are gone.")
@json_option
def add(
    run: Invocation, paths: tuple[str, ...], lists: tuple[str, ...], model: str | None, drop_missing: bool, **how: Any
) -> int:
    """Embed every new image; what is known is not read again.

    PATH is a file, a folder, a pattern or a URL. Pictures on the web are fetched once, into downloads/. The first add
    of all makes the collection, in the current folder. A bad file is listed with its reason, never scored, and makes
    the exit status 1. An interrupted run goes on where it stopped.
    """
    sources = [*paths, *(line for name in lists for line in _listed(name))]
    if not sources:
        where = f"{lists[0]} names nothing" if lists else "name at least one file, folder or pattern, or use --from"
        raise click.UsageError(f"nothing to add: {where}")
    with run.collection(create=True, **how) as photos:
        first = photos.manifest.encoder is None
        try:
            with reporting("add", "images") as progress:
                report = photos.add(*sources, model=model, drop_missing=drop_missing, progress=progress)
        except KeyboardInterrupt:
            output.note(f"\nstopped: {_kept(photos)} kept. The same command goes on from there.")
            return 130
        if run.form == "json":
            output.write_json(as_json(report))
        else:
            _print(report)
            _next(photos, report, first)
    complain(report)
    return 1 if report.skipped else 0


def _listed(name: str) -> list[str]:
    """The lines of a list; entries may be ended by NUL, as `find -print0` writes them."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise click.UsageError(f"{name}: cannot be read: {error.strerror or error}") from error
    entries = text.split("\0") if "\0" in text else text.split("\n")
    return [entry.rstrip("\r") for entry in entries if entry.strip()]


def _kept(photos: Collection) -> str:
    return output.amount(photos.info()["images"], "finished image is", "finished images are")


def as_json(report: AddReport) -> dict[str, Any]:
    """The fixed shape of `add --json`, and a few keys more."""
    return {
        "added": report.added,
        "unchanged": report.unchanged,
        "changed": report.changed,
        "moved": report.moved,
        "missing": report.missing,
        "encoded": report.encoded,
        "skipped": [{"path": s.path, "reason": s.reason} for s in report.skipped],
        "seconds": round(report.seconds, 3),
        "copies": report.copies,
        "dropped": report.dropped,
        "missing_paths": list(report.missing_paths),
    }


def _print(report: AddReport) -> None:
    counts = {
        "added": report.added,
        "changed": report.changed,
        "moved": report.moved,
        "copies of known images": report.copies,
        "unchanged": report.unchanged,
        "dropped": report.dropped,
        "skipped": len(report.skipped),
    }
    parts = [f"{count:,} {what}" for what, count in counts.items() if count or what == "added"]
    rate = f", {report.encoded / report.seconds:,.0f} a second" if report.encoded and report.seconds > 0 else ""
    print(f"{' · '.join(parts)}  ({report.encoded:,} encoded in {report.seconds:.1f} s{rate})")


def complain(report: AddReport) -> None:
    """What was left out and what is gone, on standard error."""
    complain_of(report.skipped)
    if report.missing and not report.dropped:
        gone = output.amount(report.missing, "known file is", "known files are")
        output.note(f"{gone} gone, such as {output.plain(report.missing_paths[0])}; --drop-missing removes them")


def complain_of(skipped: Sequence[Skipped]) -> None:
    """The first of what was left out, and why, on standard error."""
    for item in skipped[:MOST_SHOWN]:
        output.note(f"skipped {output.plain(item.path)}: {output.plain(item.reason)}")
    if len(skipped) > MOST_SHOWN:
        output.note(f"and {len(skipped) - MOST_SHOWN:,} more; --json lists them all")


def _next(photos: Collection, report: AddReport, first: bool) -> None:
    if first and report.added:
        output.note(f"the collection is {output.plain(str(photos.folder))}")
        output.note('next: sextant tag VOCABULARY.yaml, or sextant search "a dog on a beach"')
