"""`query`, `sql`, `search` and `similar`: questions whose answers are images."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from sextant import output
from sextant.cli import statement
from sextant.cli.columns import separated
from sextant.cli.invocation import Invocation, paths_options, rows_options, verb
from sextant.output import Cell, Heading

if TYPE_CHECKING:
    from sextant.collection import Collection
    from sextant.types import Facet, Hit, Rows, SearchResult

HITS = 20
CSV_COLUMNS = ("id", "path", "cosine", "logit", "confidence", "matched", "margin", "said", "folded", "clip_score")
REMARKS = {
    "uncalibrated": "confidences are uncalibrated: trust their order, not their size",
    "prior": "confidences are a prior: nobody has labelled anything for this phrase",
}


@verb(
    examples="""
    sextant query "dog and not beach"
    sextant query "earth and (moon >= 0.9 or not spacecraft) and width > 1000" --sort -earth
    sextant query "dog is tentative" --show dog,width,taken_at --limit 50
    sextant query "dog and beach" --absolute --print0 | xargs -0 cp -t chosen/
    sextant query "dog and not beach" --sql
    """,
)
@click.argument("rule")
@click.option("--show", metavar="A,B", callback=separated, help="More attributes or facts to show.")
@click.option("--sort", metavar="NAME", help="Sort by an attribute or fact; -NAME puts the highest first.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most this many images.")
@click.option("--sql", "as_sql", is_flag=True, help="Print the same question as SQL, and do not ask it.")
@paths_options
def query(run: Invocation, rule: str, show: tuple[str, ...], sort: str | None, limit: int | None, as_sql: bool) -> None:
    """List the images for which a rule is true.

    A rule joins tests with and, or, not and brackets. A bare code is true where the attribute is accepted; codes
    compare with numbers, and so do facts such as width, taken_at or camera_model. What is unknown is never true.
    """
    with run.collection() as photos:
        if as_sql:
            print(statement.select(photos, rule, show=show, sort=sort, limit=limit))
            return
        rows = photos.query(rule, show=show, sort=sort, limit=limit)
        if run.form == "table":
            _print_query(photos, rows, show, all_rows=limit is not None)
        else:
            _answer(run, photos, rows)


def _answer(run: Invocation, photos: Collection, rows: Rows) -> None:
    """Rows in one of the forms that programs read."""
    match run.form:
        case "json":
            output.write_json_rows(rows)
        case "csv":
            output.write_csv(rows)
        case _:
            _print_paths(run, photos, rows.table["path"].to_pylist())


def _print_paths(run: Invocation, photos: Collection, paths: Iterable[str]) -> None:
    named = (str(photos.folder / path) for path in paths) if run.absolute else paths
    output.write_paths(named, nul=run.print0)


def _print_query(photos: Collection, rows: Rows, show: tuple[str, ...], *, all_rows: bool) -> None:
    """Paths and what was asked for; a person's word is shown as one. The id is shown on request only."""
    if not len(rows):
        output.note("no image satisfies the rule")
        return
    people = {(o.image, o.code): o.value for o in photos.catalog.overrides()}
    codes = set(photos.codes())
    names = [name for name in rows.names if name != "id" or "id" in show]

    def cell(row: Mapping[str, Any], name: str) -> str:
        said = people.get((row["id"], name)) if name in codes else None
        if said is not None:
            return "yes, by hand" if said else "no, by hand"
        sure = name in codes or name.startswith("score(")
        return output.confidence(row[name]) if sure else output.shown(row[name])

    output.write_rows(rows, names=names, cell=cell, all_rows=all_rows)
    output.note(output.amount(len(rows), "image"))


@verb(
    examples="""
    sextant sql "SELECT path, dog FROM images WHERE dog > 0.9 ORDER BY dog DESC LIMIT 10"
    sextant sql "SELECT attribute_code, count(*) FROM feature_image_attribute WHERE band = 'accepted' GROUP BY ALL"
    sextant sql - < question.sql
    """,
)
@click.argument("select")
@rows_options
def sql(run: Invocation, select: str) -> None:
    """Answer one read-only SELECT.

    The tables are images (facts and one confidence a code), bands (one band a code) and feature_image_attribute
    (a row an image and attribute: image_id, attribute_code, confidence, band, source). - reads standard input.
    """
    with run.collection() as photos:
        rows = output.told_apart(photos.sql(sys.stdin.read() if select == "-" else select))
        if run.form == "table":
            output.write_rows(rows)
        else:
            _answer(run, photos, rows)


def ranked(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a ranked answer."""
    for option in (
        click.option("--where", metavar="RULE", help="Only images for which a rule is true."),
        click.option("-k", "limit", type=click.IntRange(min=1), default=HITS, show_default=True, metavar="N",
                     help="How many images."),
    ):  # fmt: skip
        command = option(command)
    return command


def folding(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that fold near-duplicates."""
    for option in (
        click.option("--fold-at", type=click.FloatRange(0, 1, min_open=True), metavar="COSINE",
                     help="Fold from this cosine on; --fold chooses one by the collection."),
        click.option("--fold", is_flag=True, help="Show one of several near-duplicates."),
    ):  # fmt: skip
        command = option(command)
    return command


@verb(
    examples="""
    sextant search "a sunset over the sea"
    sextant search "a beach without people" -k 50
    sextant search "a castle + snow - 2:people" --where "width > 2000 and not drawing" --threshold 0.5
    sextant search "at night" --image harbour.jpg --likeness 0.6
    sextant search "a portrait" --fold --diversity 0.3
    """,
)
@click.argument("text")
@click.option("--not", "negatives", metavar="PHRASE", multiple=True, help="What must not be seen; repeatable.")
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.0, metavar="P", help="Leave out what is less sure.")
@click.option("--image", metavar="IMAGE", type=click.Path(), help="A picture that the hits should resemble as well.")
@click.option(
    "--likeness",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    metavar="W",
    help="What the picture counts beside the words.",
)
@click.option("--expand/--no-expand", default=True, help="Ask in other words for the same as well.", show_default=True)
@click.option("--words/--no-words", default=True, help="Join what tags and descriptions say.", show_default=True)
@folding
@click.option(
    "--diversity",
    type=click.FloatRange(0, 1),
    default=0.0,
    metavar="D",
    help="Prefer hits that differ; 0 is the plain order.",
)
@click.option("--parts", is_flag=True, help="Look at parts of every picture too, for small things; see `crops`.")
@click.option(
    "--learned/--no-learned",
    default=True,
    show_default=True,
    help="Order hits by the weights that feedback taught, if any.",
)
@click.option("--facet", "facets", metavar="NAME", multiple=True, help="Count the likely images by this; repeatable.")
@ranked
@paths_options
def search(run: Invocation, text: str, fold: bool | float, fold_at: float | None, **options: Any) -> None:
    """Rank images by how well they fit what is asked.

    Every image is compared, exactly. Terms are joined with " + " and taken away with " - ", each with a weight before a
    colon if wanted; "without people" says the same in words. The state says what the confidences are worth.
    """
    with run.collection() as photos:
        found = photos.search(text, fold=fold_at or fold, **options)
        print_found(run, photos, found)


@verb(
    examples="""
    sextant similar holiday/beach.jpg
    sextant similar ~/Downloads/unknown.png -k 5
    """,
)
@click.argument("image", type=click.Path())
@folding
@ranked
@paths_options
def similar(run: Invocation, image: str, limit: int, where: str | None, fold: bool, fold_at: float | None) -> None:
    """Rank images by how much they resemble another.

    IMAGE is an id or path of the collection, or any image file. It is left out of the answer itself.
    """
    with run.collection() as photos:
        print_found(run, photos, photos.similar(image, limit=limit, where=where, fold=fold_at or fold))


def print_found(run: Invocation, photos: Collection, found: SearchResult) -> None:
    """A ranked answer in the form that was asked for."""
    hits = [{**asdict(hit), "clip_score": hit.clip_score} for hit in found.hits]
    match run.form:
        case "json":
            shape = {"query": found.query, "state": found.state, "hits": hits, "hints": list(found.hints)}
            output.write_json({**shape, "facets": [asdict(facet) for facet in found.facets]})
        case "csv":
            output.write_csv(output.rows_of([{**hit, "folded": "; ".join(hit["folded"])} for hit in hits], CSV_COLUMNS))
        case "paths":
            _print_paths(run, photos, [hit.path for hit in found.hits])
        case "table":
            _print_hits(found)
            for facet in found.facets:
                print()
                _print_facet(facet)


def _print_facet(facet: Facet) -> None:
    headings = [Heading(output.plain(facet.name)), Heading("images", "right"), Heading("rule")]
    rows = [[output.plain(v.value), f"{v.count:,}", output.plain(v.rule)] for v in facet.values]
    rows += [["other", f"{facet.others:,}", ""]] if facet.others else []
    rows += [["unknown", f"{facet.missing:,}", ""]] if facet.missing else []
    output.write_table(headings, rows)


def _print_hits(found: SearchResult) -> None:
    """A table of the hits and what to think of them; likeness of two pictures has no confidence."""
    sure = any(hit.confidence is not None for hit in found.hits)
    headings = [Heading("path"), Heading("cosine", "right")]
    headings += [Heading("logit", "right"), Heading("confidence", "right")] if sure else []
    asides = [_aside(found, hit) for hit in found.hits]
    headings += [Heading("why")] if any(asides) else []

    def cells(hit: Hit, aside: str) -> list[Cell]:
        row: list[Cell] = [output.plain(hit.path), output.number(hit.cosine)]
        row += [f"{hit.logit:.2f}", output.confidence(hit.confidence)] if sure else []
        return [*row, output.plain(aside)] if any(asides) else row

    if found.hits:
        output.write_table(headings, map(cells, found.hits, asides))
    elif not found.hints:
        output.note("nothing here")
    for hint in found.hints:
        output.note(output.plain(hint))
    if sure and found.state in REMARKS:
        output.note(REMARKS[found.state])


def _aside(found: SearchResult, hit: Hit) -> str:
    """What else is to be said of a hit: other words that fit it better, a person's words, what it stands for."""
    said = ["by its tags or description"] if hit.said else []
    other = hit.confidence is not None and hit.matched != found.asked
    said += [f"as {hit.matched}"] if other and not hit.said else []
    said += [f"and {output.amount(len(hit.folded), 'near-duplicate')}"] if hit.folded else []
    return ", ".join(said)
