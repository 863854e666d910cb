"""`curate`: the best pictures for a purpose, in two steps: look, then keep."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sextant import output
from sextant.cli.adding import _listed, complain_of
from sextant.cli.asking import REMARKS
from sextant.cli.invocation import Invocation, json_option, verb
from sextant.cli.progress import reporting
from sextant.errors import UsageError
from sextant.output import Cell, Heading

if TYPE_CHECKING:
    from sextant.curate import Curation, Gates, Kept, Options, Provider, SecondLook, Shown
    from sextant.curations import PickRecord

KEY = "SEXTANT_VLM_KEY"
REFUSED_SHOWN = 8
GATES = {"side": "least_side", "aspect": "most_aspect", "darkness": "darkest", "spread": "blankest",
         "sharpness": "least_sharpness", "confidence": "least_confidence", "relevance": "least_relevance"}  # fmt: skip


def _numbers(_ctx: click.Context, _: click.Parameter, value: str | None) -> tuple[int, ...]:
    """`1,4,7`, with a comma too many where a page was copied from."""
    try:
        return tuple(int(part) for part in (value or "").split(",") if part.strip())
    except ValueError as error:
        raise click.BadParameter("give numbers, such as 1,4,7") from error


def _weights(_ctx: click.Context, _: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    try:
        return {name.strip(): float(number) for name, _, number in (value.partition("=") for value in values)}
    except ValueError as error:
        raise click.BadParameter("give a part and a number, such as clip=0.7") from error


def _price(_ctx: click.Context, _: click.Parameter, value: str | None) -> tuple[float, float] | None:
    if value is None:
        return None
    try:
        sent, made = (float(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter("give two prices, such as 0.15,0.60") from error
    return sent, made


@verb(
    examples="""
    sextant curate "a crescent earth above the moon" --sheet page.html
    sextant curate --keep 1,4,7
    sextant curate "a duck from the side" --not "a rubber duck" --from urls.txt --orientation landscape
    sextant curate "a duck from the side" --searxng http://localhost:8888 --auto 6
    sextant curate "a duck" ~/ducks --vlm http://localhost:11434 --vlm-model gemma3 --purpose "a 3D model is built"
    sextant curate --picks
    """,
)
@click.argument("query", required=False)
@click.argument("sources", metavar="[SOURCE]...", nargs=-1, type=click.Path())
@click.option("--also", metavar="PHRASE", multiple=True, help="Another way to say it; the best counts. Repeatable.")
@click.option("--not", "negatives", metavar="PHRASE", multiple=True, help="What it must not resemble more; repeatable.")
@click.option("--where", metavar="RULE", help="Among the collection's own pictures: only those for which it is true.")
@click.option("--from", "lists", metavar="FILE", multiple=True, type=click.Path(allow_dash=True),
              help="A list of paths or URLs, one a line; - is standard input.")  # fmt: skip
@click.option("--results", metavar="FILE", multiple=True, type=click.Path(dir_okay=False),
              help="Search results saved as JSON.")  # fmt: skip
@click.option("--searxng", metavar="URL", help="Ask this SearXNG instance, which may be on this machine.")
@click.option("--candidates", type=click.IntRange(min=1), default=100, show_default=True, metavar="N",
              help="At most so many from a search.")  # fmt: skip
@click.option("-k", "limit", type=click.IntRange(min=1), default=24, show_default=True, metavar="N",
              help="How many pictures to show.")  # fmt: skip
@click.option("--orientation", type=click.Choice(["portrait", "landscape", "square"]), help="What is preferred.")
@click.option("--weight", "weights", metavar="PART=W", multiple=True, callback=_weights,
              help="Weigh clip, keyword, resolution, orientation or vlm otherwise; repeatable.")  # fmt: skip
@click.option("--least-side", type=click.IntRange(min=0), metavar="PIXELS", help="Refuse smaller pictures. [128]")
@click.option("--most-aspect", type=click.FloatRange(min=1), metavar="RATIO", help="Refuse narrower ones. [3]")
@click.option("--darkest", type=click.FloatRange(0, 2), metavar="SHARE",
              help="Refuse frames of which so much is black; 2 refuses none. [0.92]")  # fmt: skip
@click.option("--blankest", type=click.FloatRange(min=0), metavar="SPREAD", help="Refuse frames more even than so. [4]")
@click.option("--least-sharpness", type=click.FloatRange(min=0), metavar="N", help="Refuse blurred ones. [25]")
@click.option("--least-confidence", type=click.FloatRange(0, 1), metavar="P", help="Refuse unlikely ones. [0.05]")
@click.option("--fold/--no-fold", default=True, help="Fold near-duplicates under their best, or show them all.")
@click.option("--purpose", default="", metavar="TEXT", help="What the pictures are for; told to the model.")
@click.option("--vlm", metavar="URL", help="Let a model look twice: any OpenAI-compatible endpoint.")
@click.option("--vlm-model", metavar="NAME", help="Its model.")
@click.option("--vlm-top", type=click.IntRange(min=1), default=12, show_default=True, metavar="M",
              help="How many of the best it looks at.")  # fmt: skip
@click.option("--vlm-key", default=KEY, show_default=True, metavar="VARIABLE",
              help="The environment variable that holds its key.")  # fmt: skip
@click.option("--vlm-seconds", type=click.FloatRange(min=0.1), default=60.0, show_default=True, metavar="S",
              help="Seconds for one call.")  # fmt: skip
@click.option("--vlm-total", type=click.FloatRange(min=0.1), default=300.0, show_default=True, metavar="S",
              help="Seconds for all calls.")  # fmt: skip
@click.option("--vlm-calls", type=click.IntRange(min=0), metavar="N", help="At most so many calls.")
@click.option("--vlm-price", metavar="IN,OUT", callback=_price, help="Prices of a million tokens in and out.")
@click.option("--vlm-budget", type=click.FloatRange(min=0), metavar="MONEY", help="The most to spend, by --vlm-price.")
@click.option("--least-relevance", type=click.FloatRange(0, 10), metavar="R",
              help="Refuse what the model finds less relevant. [3]")  # fmt: skip
@click.option("--sheet", type=click.Path(dir_okay=False), metavar="FILE.html", help="Write a page to choose from.")
@click.option("--name", metavar="NAME", help="What to call the picks; else the query.")
@click.option("--auto", "best", type=click.IntRange(min=1), metavar="K", help="Keep the best K that differ, at once.")
@click.option("--keep", "ranks", metavar="1,4,7", callback=_numbers, help="Keep these of the last curation.")
@click.option("--of", "number", type=click.IntRange(min=1), metavar="N", help="With --keep or --auto: of curation N.")
@click.option("--picks", "listing", is_flag=True, help="List everything that was picked so far.")
@click.option("--discard", is_flag=True, help="Delete what was fetched and waits to be picked.")
@click.option("--model", metavar="MODEL", help="The encoder of a new collection; see sextant model list.")
@json_option
def curate(run: Invocation, query: str | None, sources: tuple[str, ...], **asked: Any) -> int:
    """Choose the best pictures for a purpose, and keep those you pick.

    SOURCE is a file, a folder, a pattern or a URL; without any the collection's own pictures are the candidates.
    Pictures from outside are scored without entering the collection: only picks are stored, in picks/NAME/, and the
    rest is deleted when picks are kept, and at the next run at the latest.
    """
    if asked["listing"]:
        return _list(run, asked["number"])
    if asked["discard"]:
        with run.collection() as photos:
            gone = photos.discard()
        if run.form == "json":
            output.write_json({"discarded": gone})
        output.note(f"discarded what {output.amount(gone, 'curation')} left")
        return 0
    if query is None:
        if asked["ranks"] or asked["best"]:
            return _keep(run, asked)
        raise click.UsageError("say what to look for, or --keep 1,4,7 of the last curation")
    if asked["ranks"] or asked["number"]:
        raise click.UsageError("--keep is a second step, once you have seen the pictures; --auto K keeps at once")
    everything = [*sources, *(line for name in asked["lists"] for line in _listed(name))]
    if asked["lists"] and not everything:
        raise click.UsageError(f"{asked['lists'][0]} names nothing")
    providers = _providers(asked)
    settings = {"model": asked["model"]} if asked["model"] else {}
    with run.collection(create=bool(everything or providers), **settings) as photos:
        with reporting("curate", "pictures") as progress:
            where = asked["where"]
            options = _options(asked)
            found = photos.curate(
                query, *everything, where=where, providers=providers, options=options, progress=progress
            )
        kept = photos.keep(best=asked["best"], curation=found.number) if asked["best"] and found.shown else None
    if run.form == "json":
        output.write_json({**asdict(found), "kept": asdict(kept) if kept else None})
    else:
        _print(found)
        if kept:
            _print_kept(kept)
        elif found.shown:
            output.note(f"keep some: sextant curate --of {found.number} --keep 1,2")
    complain_of(found.skipped)
    return 1 if found.skipped or (kept and kept.skipped) else 0


def _providers(asked: dict[str, Any]) -> list[Provider]:
    from sextant.curate import SavedResults, SearXng

    found: list[Provider] = [SavedResults(Path(name)) for name in asked["results"]]
    return [*found, SearXng(asked["searxng"])] if asked["searxng"] else found


def _options(asked: dict[str, Any]) -> Options:
    from sextant.curate import Options

    names = ("also", "negatives", "limit", "candidates", "orientation", "weights", "fold", "name")
    sheet = Path(asked["sheet"]).expanduser() if asked["sheet"] else None
    return Options(**{n: asked[n] for n in names}, gates=_gates(asked), second=_second(asked), sheet=sheet)


def _gates(asked: dict[str, Any]) -> Gates:
    from sextant.curate import Gates

    return Gates(**{name: asked[option] for name, option in GATES.items() if asked[option] is not None})


def _second(asked: dict[str, Any]) -> SecondLook | None:
    if asked["vlm"] is None:
        return None
    if not asked["vlm_model"]:
        raise UsageError("say which model the endpoint is to use: --vlm-model")
    from sextant.curate import SecondLook
    from sextant.vlm import Endpoint

    key = os.environ.get(asked["vlm_key"], "").strip() or None
    endpoint = Endpoint(asked["vlm"], asked["vlm_model"], key, asked["vlm_seconds"])
    limits = {"calls": asked["vlm_calls"], "price": asked["vlm_price"], "budget": asked["vlm_budget"]}
    return SecondLook(endpoint, asked["vlm_top"], asked["purpose"], asked["vlm_total"], **limits)


def _keep(run: Invocation, asked: dict[str, Any]) -> int:
    with run.collection() as photos:
        kept = photos.keep(*asked["ranks"], best=asked["best"], curation=asked["number"])
    if run.form == "json":
        output.write_json(asdict(kept))
    else:
        _print_kept(kept)
    return 1 if kept.skipped else 0


def _print_kept(kept: Kept) -> None:
    for pick in kept.picks:
        print(output.plain(pick.path))
    output.note(f"kept {output.amount(len(kept.picks), 'picture')} of curation {kept.curation}")
    complain_of(kept.skipped)


def _print(found: Curation) -> None:
    """A table of what was shown, each score in its parts, and on standard error what to think of it."""
    if found.shown:
        names = list(dict.fromkeys(part.name for one in found.shown for part in one.parts))
        headings = [Heading("", "right"), Heading("picture"), Heading("score", "right")]
        headings += [Heading(name, "right") for name in names]
        headings += [Heading("confidence", "right"), Heading("alike", "right")]
        output.write_table(headings, [_cells(one, names) for one in found.shown])
    refused = output.amount(len(found.refused), "was refused", "were refused")
    more = f", and {found.more:,} more passed" if found.more else ""
    output.note(f"{len(found.shown):,} of {output.amount(found.candidates, 'candidate')} shown{more}; {refused}")
    for one in found.refused[:REFUSED_SHOWN]:
        reasons = "; ".join(refusal.reason for refusal in one.refusals)
        output.note(f"refused {output.plain(one.where)}: {output.plain(reasons)}")
    if len(found.refused) > REFUSED_SHOWN:
        output.note(f"and {len(found.refused) - REFUSED_SHOWN:,} more; --json or --sheet lists them")
    for note in found.notes:
        output.note(output.plain(note))
    if found.state in REMARKS:
        output.note(REMARKS[found.state])
    if found.usage:
        output.note(_used(found))
    if found.sheet:
        output.note(f"the page is {output.plain(found.sheet)}")


def _cells(one: Shown, names: Sequence[str]) -> list[Cell]:
    points = {part.name: f"{part.points:.3f}" for part in one.parts}
    row: list[Cell] = [str(one.rank), output.plain(one.title or one.where), f"{one.score:.3f}"]
    row += [points.get(name, "–") for name in names]
    return [*row, output.confidence(one.confidence), str(len(one.alike) or "")]


def _used(found: Curation) -> str:
    used = found.usage
    if used is None:
        return ""
    money = f", {used.money:.4f} spent" if used.money is not None else ""
    calls = output.amount(used.calls, "call")
    return f"{used.model} judged {used.answered} of {used.asked}: {calls}, {used.cached} from before{money}"


def _list(run: Invocation, number: int | None) -> int:
    with run.collection() as photos:
        picks = photos.picks(number)
    if run.form == "json":
        output.write_json([asdict(pick) for pick in picks])
        return 0
    headings = [Heading("of", "right"), Heading("path"), Heading("score", "right"), Heading("licence"), Heading("from")]
    if picks:
        output.write_table(headings, [_line(pick) for pick in picks])
    else:
        output.note("nothing was picked yet")
    return 0


def _line(pick: PickRecord) -> list[Cell]:
    where = pick.page or pick.url
    licence = output.plain(pick.licence or "–")
    return [str(pick.curation), output.plain(pick.path), f"{pick.score:.3f}", licence, output.plain(where or "–")]
