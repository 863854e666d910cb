"""`feedback` and `experiment`: what people made of answers, what follows from it, and two ways to answer compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from sextant import output
from sextant.cli.invocation import Command, Invocation, json_option, rows_options, verb
from sextant.cli.remembering import told
from sextant.errors import UsageError
from sextant.output import Heading

if TYPE_CHECKING:
    from sextant.events import ExperimentRecord, WeightsRecord
    from sextant.feedback.counting import Tally
    from sextant.feedback.experiments import ExperimentReport
    from sextant.feedback.negatives import Suggestions
    from sextant.feedback.weights import LearnReport
    from sextant.maths.experiments import Rate
    from sextant.maths.metrics import Estimate

SHOWN = 20


@click.group(no_args_is_help=True)
def feedback() -> None:
    """Say what an answer was worth, sum it up, and learn from it."""


@feedback.group(no_args_is_help=True)
def weights() -> None:
    """Show or drop the weights that were learned."""


@click.group(no_args_is_help=True)
def experiment() -> None:
    """Compare two ways to search by what people select."""


def subverb(group: click.Group, name: str, *, examples: str) -> Callable[[Callable[..., Any]], Command]:
    """A verb of a group."""

    def decorate(function: Callable[..., Any]) -> Command:
        command = verb(name, examples=examples)(function)
        group.add_command(command)
        return command

    return decorate


# events


@subverb(
    feedback,
    "add",
    examples="""
    sextant feedback add clicked holiday/beach.jpg --impression 12
    sextant feedback add down holiday/beach.jpg --impression 12 --reason "a painting" --person Ada
    sextant feedback add up holiday/beach.jpg --column beach
    """,
)
@click.argument("kind", metavar="clicked|picked|up|down", type=click.Choice(["clicked", "picked", "up", "down"]))
@click.argument("image", type=click.Path())
@click.option("--impression", type=int, metavar="N", help="The answer that showed it, by its number.")
@click.option("--reason", metavar="TEXT", help="Why.")
@click.option("--column", "code", metavar="CODE", help="The column that a thumb is about; it becomes a label.")
@click.option("--person", default="", metavar="NAME", help="Who says so.")
@click.option("--key", metavar="TEXT", help="Your own name for this event: sent again, it counts once.")
@json_option
def add(run: Invocation, kind: str, image: str, **given: Any) -> None:
    """Say that an image was clicked, picked, or deserves a thumb up or down.

    It is on the disk before the command ends. IMAGE is an id or a path.
    """
    with run.collection() as photos:
        number = photos.feedback(kind, image, **given)
    if run.form == "json":
        output.write_json({"event": number, "kind": kind, "image": image})
    else:
        print(output.plain(f"{image}: {kind}"))


@subverb(feedback, "show", examples="sextant feedback show\nsextant feedback show -n 100 --json")
@click.option("-n", "limit", type=click.IntRange(min=1), default=SHOWN, show_default=True, metavar="N",
              help="How many events, the newest first.")  # fmt: skip
@rows_options
def show(run: Invocation, limit: int) -> None:
    """List what people made of answers, the newest first."""
    with run.collection() as photos:
        records = [asdict(event) for event in photos.events(limit)]
    names = ("id", "at", "kind", "image", "impression", "rank", "code", "reason", "person")
    _print_rows(run, records, names, empty="nobody gave any feedback yet")


def _print_rows(run: Invocation, records: Sequence[Mapping[str, Any]], names: Sequence[str], *, empty: str) -> None:
    match run.form:
        case "json":
            output.write_json_rows(records)
        case "csv":
            output.write_csv(output.rows_of(records, names))
        case _ if not records:
            output.note(empty)
        case _:
            cells = ([output.shown(record[name]) for name in names] for record in records)
            output.write_table([Heading(name) for name in names], cells)


# metrics


@subverb(
    feedback,
    "metrics",
    examples="""
    sextant feedback metrics
    sextant feedback metrics --by day --since 2026-01-01 --csv
    """,
)
@click.option("--by", type=click.Choice(["variant", "day"]), default="variant", show_default=True,
              help="A row a variant, or a row a day and variant.")  # fmt: skip
@click.option("--since", metavar="DAY", help="Leave out what was shown before this day, such as 2026-01-31 (UTC).")
@rows_options
def metrics(run: Invocation, by: str, since: str | None) -> None:
    """Show how often people select something, how far down it stood, and how often there was nothing.

    Every figure has a 95 % interval that takes answers to one person together.
    """
    with run.collection() as photos:
        found = photos.metrics(since=since)
    rows = [*(found.variants if by == "variant" else found.days), found.overall]
    match run.form:
        case "json":
            output.write_json_rows([_tally(row) for row in rows])
        case "csv":
            flat = [_flat(row) for row in rows]
            output.write_csv(output.rows_of(flat, list(flat[0])))
        case _ if not found.overall.shown:
            output.note("no answer was recorded yet")
        case _:
            headings = [Heading("day"), Heading("variant"), Heading("shown", "right"), Heading("people", "right"),
                        Heading("selection rate"), Heading("mean rank"), Heading("nothing")]  # fmt: skip
            output.write_table(headings, [_cells(row) for row in rows])


def _tally(row: Tally) -> dict[str, Any]:
    return asdict(row)


def _flat(row: Tally) -> dict[str, Any]:
    flat: dict[str, Any] = {"day": row.day, "variant": row.variant, "shown": row.shown, "people": row.people}
    for name, figure in (("selection", row.selection), ("mean_rank", row.mean_rank), ("nothing", row.nothing)):
        for part in ("value", "low", "high"):
            flat[name if part == "value" else f"{name}_{part}"] = getattr(figure, part) if figure else None
    return flat


def _cells(row: Tally) -> list[str]:
    variant = "all" if row.variant is None else row.variant or "–"
    return [row.day or "all", output.plain(variant), f"{row.shown:,}", f"{row.people:,}", _share(row.selection),
            _mean(row.mean_rank), _share(row.nothing)]  # fmt: skip


def _share(rate: Rate) -> str:
    return f"{rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%})" if rate.n else "–"


def _mean(estimate: Estimate | None) -> str:
    return "–" if estimate is None else f"{estimate.value:.1f} ({estimate.low:.1f} to {estimate.high:.1f})"


# learning


@subverb(feedback, "learn", examples="sextant feedback learn --dry-run\nsextant feedback learn --json")
@click.option("--dry-run", is_flag=True, help="Measure, and change nothing.")
@json_option
def learn(run: Invocation, dry_run: bool) -> None:
    """Learn a ranking from what people selected, and use it only where it ranks better.

    Better is measured on questions it was not learned from, corrected for where people look, with an interval.
    """
    with run.collection() as photos:
        found = photos.learn(dry_run=dry_run)
    if run.form == "json":
        output.write_json({**asdict(found.learned), "version": found.version})
    else:
        _print_learned(found, dry_run)


def _print_learned(found: LearnReport, dry_run: bool) -> None:
    learned = found.learned
    said = "in use now" if found.version else "would be used" if learned.applied and dry_run else "not used"
    print(f"{said}: {learned.reason}")
    if learned.gain is None or learned.weights is None:
        return
    gain, looked = learned.gain, learned.examination
    lists = output.amount(learned.lists, "answer")
    print(f"nDCG@10 {learned.shown:.3f} as shown, {learned.learned:.3f} learned, on {lists} to questions held out")
    print(f"gain {gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}); by questions, of which {learned.groups:,}")
    seen = output.amount(looked.pairs, "hit")
    print(f"attention falls as rank^-{looked.eta:.2f} ({looked.low:.2f} to {looked.high:.2f}): {seen} at several ranks")
    rows = zip(learned.weights.names, learned.weights.weight, strict=True)
    _weight_table(sorted(rows, key=lambda row: -abs(row[1])))


def _weight_table(rows: Sequence[tuple[str, float]]) -> None:
    cells = ([name, f"{weight:+.2f}"] for name, weight in rows)
    output.write_table([Heading("feature"), Heading("weight", "right")], cells)


@subverb(weights, "show", examples="sextant feedback weights show\nsextant feedback weights show --json")
@json_option
def show_weights(run: Invocation) -> None:
    """Show every version of the weights that were learned for the encoder in use; the last one holds."""
    with run.collection() as photos:
        records = photos.weights()
    if run.form == "json":
        output.write_json([asdict(record) for record in records])
    elif not records:
        output.note("nothing was learned yet: sextant feedback learn")
    else:
        for record in records:
            _print_weights(record)


def _print_weights(record: WeightsRecord) -> None:
    if record.weights is None:
        print(f"version {record.id}, {record.at}: dropped")
        return
    gain = record.measured["gain"]
    print(f"version {record.id}, {record.at}: nDCG@10 {gain['value']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})")
    _weight_table(list(zip(record.weights["names"], record.weights["weight"], strict=True)))


@subverb(weights, "drop", examples="sextant feedback weights drop")
@json_option
def drop(run: Invocation) -> None:
    """Take the learned weights out of use; their record stays."""
    with run.collection() as photos:
        dropped = photos.drop_weights()
    if run.form == "json":
        output.write_json({"dropped": dropped})
    else:
        print("dropped" if dropped else "no weights were in use")


@subverb(feedback, "negatives", examples='sextant feedback negatives "a jaguar"')
@click.argument("query")
@json_option
def negatives(run: Invocation, query: str) -> None:
    """Suggest what a query should leave out, by the pictures that got a thumb down in its answers."""
    with run.collection() as photos:
        found = photos.suggest_negatives(query)
    if run.form == "json":
        output.write_json(asdict(found))
    else:
        _print_negatives(found)


def _print_negatives(found: Suggestions) -> None:
    if not found.found:
        output.note(found.reason)
        return
    headings = [Heading("leave out"), Heading("is a"), Heading("sets apart", "right"), Heading("by luck", "right")]
    cells = ([output.plain(s.text), s.origin, f"{s.separation:.0%}", f"{s.chance:.2g}"] for s in found.found)
    output.write_table(headings, cells)


# experiments


@subverb(
    experiment,
    "start",
    examples="""
    sextant experiment start words --a expand=off --b expand=on
    sextant experiment start folded --a '{}' --b '{"fold": true, "diversity": 0.3}' --share 0.2
    """,
)
@click.argument("name")
@click.option("--a", "a", required=True, metavar="OPTIONS", help="Options of a search: expand=off,fold=on or JSON.")
@click.option("--b", "b", required=True, metavar="OPTIONS", help="The options of the other way.")
@click.option("--share", type=float, default=0.5, show_default=True, help="The share of people who get b.")
@json_option
def start(run: Invocation, name: str, a: str, b: str, share: float) -> None:
    """Start to compare two ways to search.

    Whoever answers asks `assign` which way a person gets, and records what was shown under that variant.
    """
    with run.collection() as photos:
        photos.start_experiment(name, options_of(a), options_of(b), share=share)
    if run.form == "json":
        output.write_json({"name": name, "a": options_of(a), "b": options_of(b), "share": share})
    else:
        print(output.plain(f"{name}: started"))


def options_of(text: str) -> dict[str, Any]:
    """`expand=off,limit=5`, or JSON, as options of a search.

    Raises:
        UsageError: it is neither.
    """
    import yaml

    try:
        if text.lstrip().startswith("{"):
            given = json.loads(text)
        else:
            pairs = [part.partition("=") for part in text.split(",") if part.strip()]
            if not all(sign and name.strip() for name, sign, _ in pairs):
                raise UsageError(f"{text!r} is not of the form expand=off,limit=5")
            given = {name.strip(): yaml.safe_load(value) for name, _, value in pairs}
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{text!r} cannot be read as options: {error}") from error
    return dict(given)


@subverb(experiment, "show", examples="sextant experiment show\nsextant experiment show words --effect 0.02 --json")
@click.argument("name", required=False)
@click.option("--effect", type=float, metavar="X", help="The difference that it should be able to see, such as 0.02.")
@json_option
def show_experiment(run: Invocation, name: str | None, effect: float | None) -> None:
    """Show how an experiment stands; without a name, list all of them."""
    with run.collection() as photos:
        if name is None:
            _print_experiments(run, photos.experiments())
            return
        found = photos.experiment(name, effect=effect)
    if run.form == "json":
        more = {"significant": found.difference.significant, "anytime": found.difference.significant_anytime}
        output.write_json({**asdict(found), **more})
    else:
        _print_experiment(found)


def _print_experiments(run: Invocation, records: Sequence[ExperimentRecord]) -> None:
    if run.form == "json":
        output.write_json([asdict(record) for record in records])
    elif not records:
        output.note("there is no experiment yet: sextant experiment start NAME --a expand=off --b expand=on")
    else:
        cells = ([output.plain(r.name), told(r.a) or "as usual", told(r.b) or "as usual", f"{r.share:.0%}", r.at,
                  r.stopped_at or "running"] for r in records)  # fmt: skip
        output.write_table([Heading(n) for n in ("name", "a", "b", "get b", "started", "stopped")], cells)


def _print_experiment(found: ExperimentReport) -> None:
    for warning in found.warnings:
        output.note(output.plain(f"warning: {warning}"))
    headings = [Heading(""), Heading("options"), Heading("answers", "right"), Heading("people", "right"),
                Heading("selection rate")]  # fmt: skip
    sides = ((found.a, found.experiment.a, found.people[0]), (found.b, found.experiment.b, found.people[1]))
    cells = [[letter, told(options) or "as usual", f"{rate.n:,}", f"{people:,}", _share(rate)]
             for letter, (rate, options, people) in zip("ab", sides, strict=True)]  # fmt: skip
    output.write_table(headings, cells)
    gap = found.difference
    print(
        f"b less a: {gap.value:+.1%}, from {gap.low:+.1%} to {gap.high:+.1%} if this is the one look that was planned"
    )
    print(f"          from {gap.anytime_low:+.1%} to {gap.anytime_high:+.1%} however often somebody looks")
    if found.needed is not None:
        print(f"to see a difference of {abs(found.effect):.1%} four times in five: {found.needed:,} answers a side, "
              f"to about {output.amount(found.needed_people or 0, 'person', 'people')}")  # fmt: skip


@subverb(experiment, "stop", examples="sextant experiment stop words")
@click.argument("name")
@json_option
def stop(run: Invocation, name: str) -> None:
    """End an experiment; what was measured stays."""
    with run.collection() as photos:
        record = photos.stop_experiment(name)
    if run.form == "json":
        output.write_json(asdict(record))
    else:
        print(output.plain(f"{name}: stopped at {record.stopped_at}"))


@subverb(experiment, "assign", examples="sextant experiment assign words Ada --json")
@click.argument("name")
@click.argument("person")
@json_option
def assign(run: Invocation, name: str, person: str) -> None:
    """Say which way to search a person gets: always the same."""
    with run.collection() as photos:
        given = photos.assign(name, person)
    if run.form == "json":
        output.write_json(asdict(given))
    else:
        print(output.plain(f"{given.variant}: {told(given.options) or 'as usual'}"))
