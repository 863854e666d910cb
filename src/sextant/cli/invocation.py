"""What every verb shares: the collection it works on, the form of its answer, and help with examples."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from sextant.errors import UsageError

if TYPE_CHECKING:
    from sextant.collection import Collection

Form = Literal["table", "json", "csv", "paths"]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Invocation:
    """What the options that every verb has were set to."""

    folder: str | None = None
    form: Form = "table"
    print0: bool = False
    absolute: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    def collection(self, *, create: bool = False, **settings: Any) -> Collection:
        """The collection that -C or SEXTANT_COLLECTION names, or the nearest at or above the current folder."""
        spare_pandas()
        from sextant.collection import open_collection

        return open_collection(self.place, create=create, **self.settings, **settings)

    @property
    def place(self) -> str | None:
        """The folder that was named, with or without the `.sextant` in it; None for the nearest."""
        named = self.folder or os.environ.get("SEXTANT_COLLECTION") or None
        if named and "://" in named:
            return named.rstrip("/").removesuffix("/.sextant")
        return str(Path(named).parent) if named and Path(named).name == ".sextant" else named

    def choose(self, form: Form) -> None:
        """Sets the form of the answer, once."""
        if self.form not in ("table", form):
            raise UsageError(f"--{self.form} and --{form} exclude each other")
        self.form = form


class _NoPandas:
    """An import hook for which there is no pandas."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def spare_pandas() -> None:
    """Lets pyarrow look for pandas once and find none: it would load it with its first value, for 0.3 s of no use.

    A frame that is asked for later is still made: pyarrow looks again. In Python, where frames may come in, it is left.
    """
    if "pyarrow" not in sys.modules and "pandas" not in sys.modules:
        hook = _NoPandas()
        sys.meta_path.insert(0, hook)
        try:
            import pyarrow

            pyarrow.scalar(0)
        finally:
            sys.meta_path.remove(hook)


class Command(click.Command):
    """A verb: has -C, and examples at the end of its help."""

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = [line.strip() for line in examples.strip().splitlines()]
        collection_option(self)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """The examples, each on a line of its own."""
        if self.examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {line}\n" for line in self.examples))


def verb(name: str | None = None, *, examples: str) -> Callable[[Callable[..., Any]], Command]:
    """Makes a command of a function that takes the `Invocation` first."""

    def decorate(function: Callable[..., Any]) -> Command:
        return click.command(name, cls=Command, examples=examples)(click.pass_obj(function))

    return decorate


def _folder(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Invocation).folder = value


def collection_option(command: F) -> F:
    """`-C FOLDER`, before or after the verb."""
    return click.option(
        "-C",
        "--collection",
        metavar="FOLDER",
        type=click.Path(),
        expose_value=False,
        callback=_folder,
        help="The collection: the folder that holds .sextant/, or s3://bucket/prefix. Default: SEXTANT_COLLECTION, "
        "else the nearest.",
    )(command)


def engine_options(command: F) -> F:
    """`--engine`, `--address` and `--actors`, which are settings of the collection."""

    def kept(ctx: click.Context, option: click.Parameter, value: Any) -> None:
        if value is not None and option.name:
            ctx.ensure_object(Invocation).settings[option.name] = value

    how: dict[str, Any] = {"expose_value": False, "callback": kept}
    for option in (
        click.option("--actors", metavar="N", type=click.IntRange(min=0), **how, help="Workers on Ray; 0 is as many as "
                     "there are processors for."),
        click.option("--address", metavar="URL", **how, help="The Ray cluster. Default: one on this machine."),
        click.option("--engine", type=click.Choice(["local", "ray"]), **how, help="Work here, or on a Ray cluster."),
    ):  # fmt: skip
        command = option(command)
    return command


def _form(form: Form) -> Callable[[click.Context, click.Parameter, bool], None]:
    def chosen(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
        if asked:
            ctx.ensure_object(Invocation).choose(form)

    return chosen


def json_option(command: F) -> F:
    """`--json`."""
    return click.option("--json", is_flag=True, expose_value=False, callback=_form("json"), help="Answer in JSON.")(
        command
    )


def rows_options(command: F) -> F:
    """`--json` and `--csv`."""
    csv = click.option("--csv", is_flag=True, expose_value=False, callback=_form("csv"), help="Answer in CSV.")
    return json_option(csv(command))


def paths_options(command: F) -> F:
    """`--json`, `--csv`, `--paths`, `--print0` and `--absolute`."""

    def print0(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
        if asked:
            ctx.ensure_object(Invocation).choose("paths")
            ctx.ensure_object(Invocation).print0 = True

    def absolute(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
        if asked:
            ctx.ensure_object(Invocation).choose("paths")
            ctx.ensure_object(Invocation).absolute = True

    decorators = (
        click.option(
            "--paths",
            is_flag=True,
            expose_value=False,
            callback=_form("paths"),
            help="Answer one path a line, from the collection's folder.",
        ),
        click.option(
            "--absolute",
            is_flag=True,
            expose_value=False,
            callback=absolute,
            help="Like --paths, from the root: for other programs.",
        ),
        click.option(
            "--print0",
            is_flag=True,
            expose_value=False,
            callback=print0,
            help="Like --paths, ended by NUL instead of a line: for xargs -0.",
        ),
    )
    for decorate in reversed(decorators):
        command = decorate(command)
    return rows_options(command)
