"""`compare`, `review`, `tune` and `report`: other settings, what to look at, and everything on one page."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

import click

from sextant import output
from sextant.cli import drawing
from sextant.cli.invocation import Invocation, json_option, rows_options, verb
from sextant.errors import SextantError, UsageError
from sextant.output import Heading

if TYPE_CHECKING:
    from sextant.outside import Outside
    from sextant.survey import Review
    from sextant.tuning import Answer, Tuner
    from sextant.types import Inspection

SHOWN = 20
MISUSED = 2


@verb(
    examples="""
    sextant compare
    sextant compare dog
    sextant compare --csv
    """,
)
@click.argument("codes", metavar="[CODE]...", nargs=-1)
@rows_options
def compare(run: Invocation, codes: tuple[str, ...]) -> None:
    """Compare settings and methods side by side.

    How many images fall into each band by fixed curves, a softmax over all attributes, everyday phrases as negatives,
    the margin to the best other attribute, the prior, and what is in use; with the Brier score where there are labels.
    Changes nothing. --json and --csv list every attribute, the table all of them together.
    """
    with run.collection() as photos:
        found = photos.compare(codes or None)
    records = [asdict(setting) for setting in found.settings]
    if run.form == "json":
        output.write_json({"settings": records, "notes": list(found.notes)})
    elif run.form == "csv":
        output.write_csv(output.rows_of(records, list(records[0])))
    else:
        shown = [s for s in found.settings if s.code == "*"] or list(found.settings)
        names = ("setting", "accepted", "tentative", "rejected", "labels", "Brier")
        counts = ("accepted", "tentative", "rejected")
        output.write_table(
            [Heading(name, "left" if name == "setting" else "right") for name in names],
            (
                [
                    s.setting,
                    *(f"{getattr(s, c):,}" for c in counts),
                    f"{s.n:,}",
                    "–" if s.brier is None else f"{s.brier:.4f}",
                ]
                for s in shown
            ),
        )
    for note in found.notes:
        output.note(note)


@verb(
    examples="""
    sextant review
    sextant review dog cat -k 50
    sextant review --rule "surface and deep_space" --json
    sextant review --outside ~/Pictures/receipts
    """,
)
@click.argument("codes", metavar="[CODE]...", nargs=-1)
@click.option("--rule", "conflicts", metavar="RULE", multiple=True, help="A rule that should hold nowhere; repeatable.")
@click.option("-k", "limit", type=click.IntRange(min=1), default=SHOWN, show_default=True, metavar="N",
              help="At most this many of a kind.")  # fmt: skip
@click.option("--outside", is_flag=False, flag_value="", default=None, metavar="[FOLDER]", type=click.Path(),
              help="Instead: how sure the columns are of noise, blank sheets, text, and photos of FOLDER.")  # fmt: skip
@rows_options
def review(
    run: Invocation, codes: tuple[str, ...], conflicts: tuple[str, ...], limit: int, outside: str | None
) -> None:
    """List what a person should look at, and why.

    Close calls at a band edge, rules that hold and should not, answers of people that the model doubts, pictures of an
    odd medium, and pictures for which nothing is accepted; then the controls of the vocabulary.
    """
    with run.collection() as photos:
        if outside is not None:
            _print_outside(run, photos.outside(outside or None))
            return
        found = photos.review(codes or None, conflicts=conflicts, limit=limit)
    items = [{k: v for k, v in asdict(item).items() if k != "urgency"} for item in found.items]
    if run.form == "json":
        controls = [asdict(control) for control in found.controls]
        output.write_json({"items": items, "counts": dict(found.counts), "controls": controls})
    elif run.form == "csv":
        output.write_csv(output.rows_of(items, ("kind", "id", "path", "code", "confidence", "reason")))
    else:
        _print_review(found)


def _print_review(found: Review) -> None:
    from sextant.survey import KINDS

    for kind, total in found.counts.items():
        items = [item for item in found.items if item.kind == kind]
        if not items:
            continue
        output.write_line([(f"{KINDS[kind]}: {total:,}", "bold")])
        rows = [[output.plain(i.path), output.plain(i.code), output.confidence(i.confidence), output.plain(i.reason)]
                for i in items]  # fmt: skip
        output.write_table([Heading("path"), Heading("code"), Heading("confidence", "right"), Heading("why")], rows)
        if total > len(items):
            output.note(f"the first {len(items)} of {total:,}: -k shows more")
        output.write_line()
    if not found.items:
        output.note("nothing to look at")
    for control in found.controls:
        output.write_line([(output.plain(control.reason), "red" if control.failing else "green")])


def _print_outside(run: Invocation, found: Sequence[Outside]) -> None:
    records = [asdict(row) for row in found]
    names = ("kind", "n", "median", "p95", "accepted", "worst_code", "worst")
    if run.form == "json":
        output.write_json_rows(records)
    elif run.form == "csv":
        output.write_csv(output.rows_of(records, names))
    else:
        headings = ("kind", "pictures", "median of highest", "p95 of highest", "accepted", "surest of")
        output.write_table(
            [Heading(name, "left" if name in ("kind", "surest of") else "right") for name in headings],
            ([output.plain(r.kind), str(r.n), output.confidence(r.median), output.confidence(r.p95), str(r.accepted),
              f"{output.plain(r.worst_code)} {output.confidence(r.worst)}"] for r in found),
        )  # fmt: skip


@verb(
    examples="""
    sextant report -o report.html
    sextant report -o report.html --title "Apollo archive" --no-pictures
    sextant report -o report.html --truth truth.csv
    """,
)
@click.option("-o", "--output", "target", metavar="FILE", required=True, type=click.Path(), help="The .html file.")
@click.option("--title", metavar="TEXT", help="Default: the name of the collection's folder.")
@click.option("--truth", metavar="FILE", type=click.Path(), help="Judge by this file, as label import reads them.")
@click.option("--pictures/--no-pictures", default=True, help="With the surest pictures of every attribute (default).")
@json_option
def report(run: Invocation, target: str, title: str | None, truth: str | None, pictures: bool) -> None:
    """Write the collection as one HTML page, to look at or to send.

    What is in it and how far its confidences can be believed, with figures. The page holds everything it needs, runs
    no script and fetches nothing.
    """
    with run.collection() as photos:
        length = photos.report(target, title=title, truth=truth, pictures=pictures)
    if run.form == "json":
        output.write_json({"path": target, "bytes": length})
    else:
        print(f"{output.plain(target)}: {output.size(length)}")


# tune

HELP = """test [COSINE|IMAGE]   that, or the column's range, at every temperature
compare               the usual settings side by side
all [CENTER SCALE]    what they would make of every column
recommend             a center and a scale, and the numbers they rest on
histogram             the logits, and where the bands begin
set CENTER SCALE      try them          set T   try the temperature T
save                  put the draft in use
undo                  take back the draft, or the last save
reset                 back to the prior
quit"""


@verb(
    examples="""
    sextant tune dog
    sextant tune dog recommend
    sextant tune dog test -0.0409
    sextant tune dog set 26 1.5 compare save
    echo "set 26 1.5" | sextant tune dog
    """,
)
@click.argument("code")
@click.argument("commands", metavar="[COMMAND]...", nargs=-1)
@json_option
def tune(run: Invocation, code: str, commands: tuple[str, ...]) -> int:
    """Try other settings for one attribute, and keep one.

    Without commands it asks for them. test, compare, all, recommend and histogram look; set makes a draft; save puts it
    in use; undo takes back; reset returns to the prior. A setting never changes the order of images, only where the
    bands begin. Labels do better: sextant label ask, then sextant calibrate.
    """
    with run.collection() as photos:
        prompt = Prompt(photos.tuner(code), run)
        if commands:
            return prompt.once(commands)
        return prompt.loop(sys.stdin)


class Prompt:
    """Words to the tuner, and its answers to the terminal."""

    def __init__(self, tuner: Tuner, run: Invocation) -> None:
        self.tuner, self.run = tuner, run
        self.known: dict[str, Callable[..., Answer | Inspection]] = {
            name: getattr(tuner, name)
            for name in ("test", "compare", "all", "recommend", "histogram", "save", "undo", "reset")
        } | {"set": self._set}

    def once(self, words: Sequence[str]) -> int:
        """Commands given on the command line, one after another."""
        if words[0] not in self.known:
            raise UsageError(f"no command '{words[0]}'; there are {', '.join(self.known)}")
        answers: list[dict[str, Any]] = []
        for command, arguments in self._split(words):
            answer = self._do(command, arguments)
            if self.run.form == "json":
                answers.append({"command": " ".join([command, *arguments]), **_plain(answer)})
            else:
                self._show(answer)
        if self.run.form == "json":
            output.write_json(answers)
        elif self.tuner.drafts:
            output.note("nothing was saved: add the command save")
        return 0

    def loop(self, lines: TextIO) -> int:
        """Commands line by line, until the end or quit; a mistake is told, and costs nothing."""
        asking, status = lines.isatty(), 0
        if asking:
            output.write_line([(HELP, "dim")])
        while True:
            if asking:
                print(f"{output.plain(self.tuner.code)}> ", end="", flush=True)
            line = lines.readline()
            words = line.split()
            if not line or words[:1] in (["quit"], ["q"], ["exit"]):
                break
            if not words:
                continue
            try:
                self._line(words)
            except SextantError as error:
                output.failure(str(error))
                status = status if asking else MISUSED
        if self.tuner.drafts:
            output.note("the draft was not saved")
        return status

    def _line(self, words: Sequence[str]) -> None:
        if words[0] not in self.known:
            raise UsageError(f"no command '{words[0]}'\n{HELP}")
        for command, arguments in self._split(words):
            self._show(self._do(command, arguments))

    def _split(self, words: Sequence[str]) -> Iterable[tuple[str, list[str]]]:
        """Commands with the words that follow each."""
        found: list[tuple[str, list[str]]] = []
        for word in words:
            if word in self.known:
                found.append((word, []))
            else:
                found[-1][1].append(word)
        return found

    def _do(self, command: str, arguments: Sequence[str]) -> Answer | Inspection:
        if command == "test":
            return self.tuner.test(" ".join(arguments) or None)
        numbers = [_a_number(command, word) for word in arguments]
        most = {"all": (0, 2), "set": (1, 2)}.get(command, (0,))
        if len(numbers) not in most:
            raise UsageError(f"'{command}' takes {' or '.join(map(str, most))} numbers, not {len(numbers)}\n{HELP}")
        return self.known[command](*numbers)

    def _set(self, *numbers: float) -> Answer:
        return self.tuner.set_temperature(*numbers) if len(numbers) == 1 else self.tuner.set(*numbers)

    def _show(self, answer: Answer | Inspection) -> None:
        from sextant.types import Inspection

        if isinstance(answer, Inspection):
            for line in drawing.inspection(answer, output.width()):
                output.write_line(line)
            return
        numeric = [not isinstance(value, str) for value in answer.rows[0]] if answer.rows else []
        headings = [Heading(n, "right" if right else "left") for n, right in zip(answer.names, numeric, strict=False)]
        if headings:
            output.write_table(headings, ([_cell(value) for value in row] for row in answer.rows))
        for note in answer.notes:
            output.note("  " + output.plain(note))


def _a_number(command: str, word: str) -> float:
    try:
        return float(word.replace("−", "-"))
    except ValueError as error:
        raise UsageError(f"'{command}' takes numbers, and '{word}' is none") from error


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else output.plain(str(value))


def _plain(answer: Answer | Inspection) -> Mapping[str, Any]:
    from sextant.types import Inspection

    if isinstance(answer, Inspection):
        return asdict(answer)
    return {"rows": answer.records(), "notes": list(answer.notes)}


tune.context_settings = {"ignore_unknown_options": True}  # a negative number is no option
