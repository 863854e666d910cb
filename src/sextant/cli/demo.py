"""`demo`: the whole product on drawn pictures, offline, with every answer held against the truth."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import click

from sextant import output
from sextant.cli.invocation import Invocation, json_option, verb
from sextant.cli.progress import reporting
from sextant.demo import tour
from sextant.output import Cell, Heading
from sextant.paths import expanded

if TYPE_CHECKING:
    from sextant.cli.measuring import Measured
    from sextant.collection import Collection
    from sextant.demo.truth_table import Row, Summary
    from sextant.types import SearchResult

FOLDER = "sextant-demo"
HITS = 5
SHOTS = 6
MOST_OF_A_BURST = 6
COUNT = "SELECT attribute_code, count(*) FROM feature_image_attribute WHERE band = 'accepted' GROUP BY ALL"
STATES = {
    "uncalibrated": "uncalibrated: a fixed curve makes these confidences, whatever the encoder, so the accepted band "
    "may be far off. Average precision needs the order alone.",
    "prior": "prior: nothing was labelled. What the encoder's logits usually mean makes these confidences; the truth "
    "was used to measure them and for nothing else.",
}


@verb(
    examples="""
    sextant demo
    sextant demo --images 5000 --dir big-demo
    sextant demo --domain facades --dir facades
    """,
)
@click.option("--images", type=int, default=600, show_default=True, metavar="N", help="How many pictures to draw.")
@click.option("--dir", "folder", type=click.Path(), metavar="FOLDER", help=f"Where to. Default: {FOLDER}, or -C.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Another number, other pictures.")
@click.option("--domain", type=click.Choice(list(tour.DOMAINS)), default="scenes", show_default=True,
              help="A space archive, or building façades.")  # fmt: skip
@click.option("--model", default="mini", show_default=True, metavar="MODEL", help="The encoder.")
@json_option
def demo(run: Invocation, images: int, folder: str | None, seed: int, domain: str, model: str) -> int:
    """Draw a collection, tag it, ask it, and hold the answers against the truth.

    The pictures are drawn by a program that knows what is in them, and tagged by an encoder that came with this one:
    nothing is downloaded. The folder becomes a collection like any other. A folder that holds anything else is left
    alone; in its own folder the demo starts from what is there.
    """
    begun = time.monotonic()
    place = expanded(folder or run.folder or FOLDER)
    order = tour.Order(domain, images, seed)
    tour.claim(place, order)
    say = _say if run.form == "table" else (lambda *_: None)
    drawn = _draw(place, order, say)
    with _collection(place, model) as photos:
        skipped = _fill(photos, place, model, say)
        found = _ask(photos, place, order, say)
    seconds = time.monotonic() - begun
    if run.form == "json":
        facts = {"folder": str(place), **asdict(order), "model": model, "drawn": drawn, "skipped": skipped}
        output.write_json({**facts, **found, "sheet": str(place / tour.SHEET), "seconds": round(seconds, 1)})
    else:
        _next(place, tour.DOMAINS[domain], seconds)
    return 1 if skipped else 0


Say = Callable[..., None]


def _say(line: Cell = "") -> None:
    output.write_line(line)
    sys.stdout.flush()


@contextmanager
def _collection(place: Path, model: str) -> Iterator[Collection]:
    from sextant.collection import open_collection

    with open_collection(place, create=True, model=model) as photos:
        yield photos


def _draw(place: Path, order: tour.Order, say: Say) -> bool:
    from sextant.types import Progress

    begun = time.monotonic()
    title = tour.DOMAINS[order.domain].title
    say([(f"Sextant demo: {title}, drawn into {output.plain(str(place))}", "bold")])
    say()
    with reporting("draw", "pictures") as progress:
        drawn = tour.draw(
            place,
            order,
            progress=lambda done, total: progress(Progress("draw", done, total, time.monotonic() - begun)),
        )
    seconds = time.monotonic() - begun
    say(
        f"drew {output.amount(order.images, 'picture')} and the truth about them in {seconds:.1f} s"
        if drawn
        else f"{output.amount(order.images, 'picture')} are there from an earlier run"
    )
    return drawn


def _fill(photos: Collection, place: Path, model: str, say: Say) -> list[dict[str, str]]:
    """Embeds and tags; returns what was skipped."""
    with reporting("add", "images") as progress:
        added = photos.add(place / tour.PICTURES, model=model, progress=progress)
    rate = f", {added.encoded / added.seconds:,.0f} a second" if added.encoded else ""
    copies = f" and {output.amount(added.copies, 'exact copy', 'exact copies')}" if added.copies else ""
    say(
        f"added {output.amount(added.added, 'image')}{copies}: {added.encoded:,} encoded by {output.plain(model)} in "
        f"{added.seconds:.1f} s{rate}"
    )
    for item in added.skipped:
        output.note(f"skipped {output.plain(item.path)}: {output.plain(item.reason)}")
    tagged = photos.tag(place / tour.VOCABULARY)
    say(
        f"tagged {output.amount(len(tagged.columns), 'column')} in {tagged.seconds:.1f} s, and "
        f"{len(tagged.derived)} more follow by rule"
    )
    return [{"path": item.path, "reason": item.reason} for item in added.skipped]


def _ask(photos: Collection, place: Path, order: tour.Order, say: Say) -> dict[str, Any]:
    """Queries, searches, the contact sheet and the table, each printed as it comes, all returned."""
    from sextant.cli.measuring import Measured

    domain = tour.DOMAINS[order.domain]
    known = Measured(photos, place, domain)
    queries = [_query(known, rule, say) for rule in domain.queries]
    results = {s: photos.search(s.text, limit=SHOTS * MOST_OF_A_BURST) for s in (*domain.searches, *domain.more)}
    searches = [_search(known, s, results[s], say) for s in domain.searches]
    rows, whole = known.table()
    if say is _say:
        _print_table(rows, whole)
    _sheet(known, place, domain, results)
    fields = ("prevalence", "precision", "recall")
    return {
        "queries": queries,
        "searches": searches,
        "columns": [{**asdict(r), **{f: getattr(r, f) for f in fields}} for r in rows],
        "summary": {**asdict(whole), "precision": whole.precision, "recall": whole.recall},
    }


def _query(known: Measured, rule: str, say: Say) -> dict[str, Any]:
    found = known.query(rule)
    say()
    say([(f'sextant query "{rule}"', "cyan")])
    say(
        f"  {output.amount(found.chosen, 'image')}, {found.right:,} of them right; it is true of "
        f"{output.amount(found.positives, 'image')}"
    )
    return {"rule": rule, **asdict(found)}


def _search(known: Measured, search: tour.Search, result: SearchResult, say: Say) -> dict[str, Any]:
    hits = result.hits[:HITS]
    right = [known.shows(hit.path, search.shows) for hit in hits]
    say()
    say([(f'sextant search "{search.text}" -k {HITS}', "cyan")])
    say(f"  it is true of {output.amount(known.amount(search.shows), 'image')}")
    for hit, true in zip(hits, right, strict=True):
        mark: tuple[str, str] = ("right", "green") if true else ("wrong", "red") if true is False else ("?", "")
        room = max(20, output.width() - len("  0.000  right  "))
        what = shorten(output.plain(known.described(hit.path)), room, placeholder="…")
        say([(f"  {output.confidence(hit.confidence)}  ", ""), mark, (f"  {what}", "dim")])
    return {
        "query": search.text,
        "state": result.state,
        "positives": known.amount(search.shows),
        "hits": [{**asdict(hit), "right": true} for hit, true in zip(hits, right, strict=True)],
    }


def _sheet(known: Measured, place: Path, domain: tour.Domain, results: dict[tour.Search, SearchResult]) -> None:
    from sextant.demo import sheet

    strips = []
    for search, result in results.items():
        hits = known.one_a_burst(result.hits)[:SHOTS]
        right = [known.shows(hit.path, search.shows) for hit in hits]
        shots = tuple(
            sheet.Shot(place / hit.path, output.confidence(hit.confidence), true)
            for hit, true in zip(hits, right, strict=True)
        )
        counted = (
            f"{sum(true is True for true in right)} of {len(hits)} right; {known.amount(search.shows):,} are there"
        )
        strips.append(sheet.Strip(search.text, f"{counted} · confidences: {result.state}", shots))
    title = f"Sextant: the first answers to {len(strips)} searches"
    under = f"{known.images:,} drawn pictures of {domain.title}; one picture of each burst is shown"
    sheet.draw(strips, place / tour.SHEET, title=title, subtitle=under)


def _print_table(rows: Sequence[Row], whole: Summary) -> None:
    output.write_line()
    output.write_line([(f"The columns against the truth about {rows[0].n if rows else 0:,} images", "bold")])
    output.write_line()
    headings = [Heading("attribute"), Heading("state")]
    headings += [Heading(n, "right") for n in ("shown by", "accepted", "precision", "recall", "average precision")]

    def cells(r: Row) -> list[Cell]:
        figures = [_share(r.precision), _share(r.recall), output.confidence(r.average_precision)]
        return [output.plain(r.code), r.state, f"{100 * r.prevalence:.1f} %", f"{r.accepted:,}", *figures]

    output.write_table(headings, map(cells, rows))
    output.write_line()
    output.write_line(
        f"mean average precision {output.confidence(whole.mean_average_precision)} over {whole.measured} attributes · "
        f"{whole.right:,} of {whole.accepted:,} accepted cells are true · "
        f"{whole.right:,} of {whole.positives:,} true cells are accepted"
    )
    for state in dict.fromkeys(r.state for r in rows):
        if state in STATES:
            output.write_line(STATES[state])


def _share(value: float) -> str:
    return "–" if value != value else f"{100 * value:.0f} %"


def _next(place: Path, domain: tour.Domain, seconds: float) -> None:
    """What to try, by the name under which this program can be called from there."""
    program = _program()
    say = output.write_line
    say()
    say(f"contact sheet: {output.plain(str(place / tour.SHEET))}")
    say(f"all of it took {seconds:.0f} s")
    say()
    say([("Now try", "bold")])
    for line in (
        f"cd {place}",
        f'{program} search "{domain.more[0].text}"',
        f'{program} query "{domain.queries[0]}" --sort -{domain.queries[0].split()[0]}',
        f"{program} inspect {domain.inspect}",
        f'{program} sql "{COUNT}"',
        f"{program} tag {tour.VOCABULARY}    # after you have written an entry of your own into it",
    ):
        say("  " + output.plain(line))


def _program() -> str:
    if shutil.which("sextant"):
        return "sextant"
    called = Path(sys.argv[0])
    if called.name == "sextant" and called.is_file():
        return str(called.absolute())
    return f"{sys.executable} -m sextant"
