"""The program itself: finds a verb, runs it, and turns every ending into a message and an exit status.

0 done · 1 something failed or was skipped · 2 asked for wrongly · 130 interrupted.
"""

from __future__ import annotations

import difflib
import errno
import gc
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click

import sextant
from sextant.cli.invocation import Command, Invocation, collection_option
from sextant.cli.verbs import SECTIONS, VERBS
from sextant.errors import FILES, SextantError, UsageError
from sextant.output import failure, note, plain

OK, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130
YOUNG = 100_000
"""Objects that are made before Python looks for rings of them that nothing else holds. Loading what a verb needs makes
some 300,000 that stay: looking through them every 700, and once more at the end, took a sixth of a cold search."""
EXAMPLES = """
sextant add ~/photos                       embed every picture, once
sextant tag vocabulary.yaml                a column for every phrase
sextant query "dog and not beach"          filter by confidence
sextant search "a sunset over the sea"     rank by resemblance
"""


class _ReaderGone(Exception):
    """Whoever reads standard output has enough."""


class Program(click.Group):
    """The verbs of `verbs.VERBS`, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Every verb, in the order of the help."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """The verb's command, from its module."""
        verb = VERBS.get(cmd_name)
        if verb is None:
            return None
        module = importlib.import_module(f"sextant.cli.{verb.module}")
        command: click.Command = getattr(module, cmd_name, None) or getattr(module, f"{cmd_name}_")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest verb when there is none of that name."""
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            near = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            ctx.fail(f"There is no verb '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """The verbs by section, without importing any."""
        longest = max(map(len, VERBS))
        for section, verbs in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(longest), verb.summary) for name, verb in verbs.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """The first commands of a new collection."""
        with formatter.section("To begin"):
            formatter.write("".join(f"  {line}\n" for line in EXAMPLES.strip().splitlines()))

    def invoke(self, ctx: click.Context) -> Any:
        """As click does, but a reader that has gone away is this program's to deal with, not click's."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderGone from error

    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> NoReturn:
        """Runs a command line and exits."""
        extra = {k: v for k, v in extra.items() if k not in ("prog_name", "standalone_mode")}
        sys.exit(_status(lambda: super(Program, self).main(args, "sextant", standalone_mode=False, **extra)))


def _status(run: Any) -> int:
    """The exit status of a run, its failure told on standard error."""
    try:
        result = run()
        sys.stdout.flush()
        return result if isinstance(result, int) else OK
    except (_ReaderGone, BrokenPipeError):
        _silence()
        return OK  # nothing failed
    except (click.Abort, KeyboardInterrupt):
        note("stopped")
        return INTERRUPTED
    except click.ClickException as error:
        _usage_hint(error)
        failure(error.format_message())
        return error.exit_code
    except SextantError as error:
        _trace()
        failure(str(error))
        return MISUSED if isinstance(error, UsageError) else FAILED
    except Exception as error:  # noqa: BLE001 - a person gets one line, whatever went wrong
        _trace()
        failure(f"{type(error).__name__}: {error}".splitlines()[0])
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            note(FILES)  # a module that is loaded late can be the file too many
        elif not _debugging():
            note("SEXTANT_DEBUG=1 shows where this happened.")
        return FAILED


def _usage_hint(error: click.ClickException) -> None:
    ctx = getattr(error, "ctx", None)
    if ctx is not None:
        note(plain(ctx.get_usage()))
        note(f"Try: {ctx.command_path} --help")


def _debugging() -> bool:
    return os.environ.get("SEXTANT_DEBUG", "") not in ("", "0")


def _trace() -> None:
    if _debugging():
        traceback.print_exc()


def _silence() -> None:
    """Points standard output at nothing, so that Python's own last flush says nothing either."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
    except (OSError, ValueError):
        pass


def _version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(f"sextant {sextant.__version__}")
        ctx.exit()


@click.command(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version.")
@collection_option
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Turns a collection of images into a database of calibrated confidences.

    Every phrase of a vocabulary becomes a column that can be queried, without training and without reading an image
    twice. Sextant works on the nearest collection at or above the current folder.
    """
    ctx.ensure_object(Invocation)


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that cannot show a character must not end a run
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    gc.set_threshold(YOUNG)
    try:
        cli.main()
    finally:
        gc.disable()  # the process ends, and its memory goes as it is


__all__ = ["Command", "cli", "main"]
