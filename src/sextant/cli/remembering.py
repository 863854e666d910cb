"""`history` and `favourite`: what was searched for, and searches that have a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from sextant import output
from sextant.cli import asking
from sextant.cli.invocation import Command, Invocation, json_option, paths_options, rows_options, verb
from sextant.errors import UsageError
from sextant.output import Heading

if TYPE_CHECKING:
    from sextant.memory import Favourite, Searched

SHOWN = 20


@verb(
    examples="""
    sextant history
    sextant history -n 100 --json
    sextant history --clear
    """,
)
@click.option("-n", "limit", type=click.IntRange(min=1), default=SHOWN, show_default=True, metavar="N",
              help="How many searches, the newest first.")  # fmt: skip
@click.option("--clear", is_flag=True, help="Forget every search; favourites stay.")
@rows_options
def history(run: Invocation, limit: int, clear: bool) -> None:
    """List what was searched for, the newest first.

    A search is remembered where that takes no waiting: not in a collection that can only be read, nor while another
    program writes.
    """
    with run.collection() as photos:
        if clear:
            count = photos.forget(history=True)
            if run.form == "json":
                output.write_json({"forgotten": count})
            else:
                print(f"{output.amount(count, 'search', 'searches')} forgotten")
            return
        _print_history(run, photos.history(limit))


def _print_history(run: Invocation, found: Sequence[Searched]) -> None:
    names = ("at", "text", "options", "state", "hits", "best")
    records = [{name: getattr(item, name) for name in names} for item in found]
    match run.form:
        case "json":
            output.write_json_rows(records)
        case "csv":
            flat = [{**record, "options": output.json_text(record["options"])} for record in records]
            output.write_csv(output.rows_of(flat, names))
        case _ if not found:
            output.note("nothing was searched for yet")
        case _:
            headings = [Heading("when"), Heading("text"), Heading("options"), Heading("hits", "right"),
                        Heading("best", "right")]  # fmt: skip
            cells = ([output.plain(i.at.replace("T", " ")[:16]), output.plain(i.text), told(i.options), f"{i.hits:,}",
                      output.confidence(i.best)] for i in found)  # fmt: skip
            output.write_table(headings, cells)


def told(options: Mapping[str, Any]) -> str:
    """Options as a person reads them: `where width > 1000, limit 5`."""
    return ", ".join(f"{name} {output.shown(value)}" for name, value in options.items())


@click.group(no_args_is_help=True)
def favourite() -> None:
    """Give searches a name, and ask them again."""


def subverb(name: str, *, examples: str) -> Callable[[Callable[..., Any]], Command]:
    """A verb of `sextant favourite`."""

    def decorate(function: Callable[..., Any]) -> Command:
        command = verb(name, examples=examples)(function)
        favourite.add_command(command)
        return command

    return decorate


def _given(ctx: click.Context, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a search that stand on the command line, as `Collection.search` takes them."""
    given = {n: v for n, v in options.items() if ctx.get_parameter_source(n) is ParameterSource.COMMANDLINE}
    if "fold_at" in given:
        given["fold"] = given.pop("fold_at")
    return given


def search_options(command: Command) -> Command:
    """The options of `sextant search`."""
    taken = {parameter.name for parameter in command.params}
    for parameter in asking.search.params:
        if isinstance(parameter, click.Option) and parameter.expose_value and parameter.name not in taken:
            command.params.append(parameter)
    return command


@search_options
@subverb(
    "add",
    examples="""
    sextant favourite add evening "a sunset over the sea" --where "width > 2000"
    sextant favourite add evening --last
    """,
)
@click.argument("name")
@click.argument("text", required=False)
@click.option("--last", is_flag=True, help="Name the last search, with its options.")
@json_option
@click.pass_context
def add(ctx: click.Context, run: Invocation, /, name: str, text: str | None, last: bool, **options: Any) -> None:
    """Give a search a name; a favourite of that name is replaced.

    TEXT and the options are those of sextant search.
    """
    if last == (text is not None):
        raise click.UsageError("give a TEXT, or --last for the last search")
    given = _given(ctx, options)
    with run.collection() as photos:
        if last:
            found = photos.history(1)
            if not found:
                raise UsageError("nothing was searched for yet, so there is no last search")
            text, given = found[0].text, {**found[0].options, **given}
        photos.favour(name, str(text), **given)
    if run.form == "json":
        output.write_json({"name": name, "text": text, "options": given})
    else:
        print(output.plain(f"{name}: {text}"))


@subverb("list", examples="sextant favourite list\nsextant favourite list --json")
@rows_options
def list_(run: Invocation) -> None:
    """List the favourites, by name."""
    with run.collection() as photos:
        _print_favourites(run, photos.favourites())


def _print_favourites(run: Invocation, found: Sequence[Favourite]) -> None:
    records = [asdict(item) for item in found]
    match run.form:
        case "json":
            output.write_json_rows(records)
        case "csv":
            flat = [{**record, "options": output.json_text(record["options"])} for record in records]
            output.write_csv(output.rows_of(flat, ("name", "text", "options", "at")))
        case _ if not found:
            output.note('there is no favourite yet: sextant favourite add NAME "a sunset"')
        case _:
            headings = [Heading("name"), Heading("text"), Heading("options")]
            cells = ([output.plain(i.name), output.plain(i.text), told(i.options)] for i in found)
            output.write_table(headings, cells)


@subverb("remove", examples="sextant favourite remove evening")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@json_option
def remove(run: Invocation, names: tuple[str, ...]) -> None:
    """Forget favourites."""
    with run.collection() as photos:
        count = photos.forget(*names)
    if run.form == "json":
        output.write_json({"forgotten": count})
    else:
        print(f"{output.amount(count, 'favourite')} forgotten")


@search_options
@subverb(
    "run",
    examples="""
    sextant favourite run evening
    sextant favourite run evening -k 100 --paths
    """,
)
@click.argument("name")
@paths_options
@click.pass_context
def run_(ctx: click.Context, run: Invocation, /, name: str, **options: Any) -> None:
    """Ask a favourite again; an option given here takes the place of the one that was kept."""
    with run.collection() as photos:
        asking.print_found(run, photos, photos.repeat(name, **_given(ctx, options)))
