"""The help of every verb as one Markdown page: `python -m sextant.cli.reference > docs/cli.md`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from sextant.cli.program import cli
from sextant.cli.verbs import SECTIONS

WIDTH = 88
INTRODUCTION = """# The command line

Every verb is a method of `Collection` by the same name. Data goes to standard output and everything else to standard
error, so that answers can be piped. `--json` is on every verb that answers, `--csv` on those that answer rows.

| exit status | meaning |
|---|---|
| 0 | done |
| 1 | something failed, or a file was skipped |
| 2 | asked for wrongly |
| 130 | interrupted; what was finished is kept |

Sextant works on the nearest collection at or above the current folder, as git does. `-C FOLDER`, before or after the
verb, or the variable `SEXTANT_COLLECTION` name another. Paths in answers start at the folder of the collection;
`--absolute` gives them from the root, for other programs. Settings such as `SEXTANT_DEVICE` are listed by
`sextant info`. `NO_COLOR` turns colours off, and `SEXTANT_DEBUG=1` shows where an error happened.

In a table a confidence is cut to three digits, never rounded up: .7999 is `0.799` and tentative. `--json` and `--csv`
give every digit.

This page is the help of the program itself: `python -m sextant.cli.reference > docs/cli.md`.
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, _help(cli, "sextant", None)]
    for section, verbs in SECTIONS.items():
        parts.append(f"## {section}\n")
        for name in verbs:
            parts += [f"### {title}\n\n{text}" for title, text in _verb(name)]
    return "\n".join(parts)


def _verb(name: str) -> Iterator[tuple[str, str]]:
    """The titles and help texts of a verb and of the verbs below it."""
    with _context(cli, "sextant", None) as above:
        command = cli.get_command(above, name)
        if command is None:
            raise LookupError(f"no verb {name}")
        yield name, _help(command, name, above)
        if isinstance(command, click.Group):
            with _context(command, name, above) as middle:
                for below, sub in command.commands.items():
                    yield f"{name} {below}", _help(sub, below, middle)


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    """The context that the program itself makes, at one width."""
    return click.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )


def _help(command: click.Command, name: str, parent: click.Context | None) -> str:
    with _context(command, name, parent) as context:
        return f"```text\n{command.get_help(context).rstrip()}\n```\n"


if __name__ == "__main__":
    print(page(), end="")
