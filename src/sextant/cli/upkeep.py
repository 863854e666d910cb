"""`info`, `prune`, `vacuum` and `completion`."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from sextant import output
from sextant.cli.invocation import Invocation, json_option, verb
from sextant.output import Heading

SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@verb(examples="sextant info\nsextant info --json")
@json_option
def info(run: Invocation) -> None:
    """Show what the collection holds and which settings are in force."""
    with run.collection() as photos:
        found = photos.info()
    if run.form == "json":
        output.write_json(found)
        return
    settings = found.pop("settings")
    output.write_table([Heading("collection"), Heading("")], [[name, text] for name, text in _facts(found)])
    print()
    rows = [[name, output.shown(held["value"]), output.plain(held["from"])] for name, held in settings.items()]
    output.write_table([Heading("setting"), Heading("value"), Heading("from")], rows)


def _facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    """What `info` knows, in words."""
    others = [f"{name} ({output.amount(rows, 'image')})" for name, rows in found["encoders"].items()]
    facts = {
        "folder": found["folder"],
        "images": f"{found['images']:,} in {output.amount(found['files'], 'file')}",
        "model": found["model"],
        "encoder": found["encoder"],
        "vectors": ", ".join(others) or None,
        "dimensions": found["dim"] or None,
        "logit": f"{found['logit_scale']:g} · cosine {found['logit_bias']:+g}" if found["encoder"] else None,
        "catalog": found["catalog"],
        "vocabulary": found["vocabulary"],
        "columns": found["columns"],
        "on disk": output.size(found["bytes"]),
        "format": found["format"],
    }
    return [(name, output.shown(value)) for name, value in facts.items()]


@verb(examples="sextant prune --dry-run\nsextant prune")
@click.option("--dry-run", is_flag=True, help="Say what would go, and delete nothing.")
@json_option
def prune(run: Invocation, dry_run: bool) -> None:
    """Delete what nothing refers to any more.

    These are columns that left the vocabulary, vectors of encoders that are not in use, and images without a file.
    """
    with run.collection() as photos:
        gone = photos.prune(dry_run=dry_run)
    if run.form == "json":
        output.write_json({**gone, "dry_run": dry_run})
        return
    counts = [(what, names) for what, names in gone.items() if names]
    for what, names in counts:
        some = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        print(f"{'would delete' if dry_run else 'deleted'} {len(names):,} {what}: {output.plain(some)}")
    if not counts:
        print("nothing to delete")


@verb(examples="sextant vacuum")
@json_option
def vacuum(run: Invocation) -> None:
    """Merge small pieces and delete old versions."""
    with run.collection() as photos:
        freed = photos.vacuum()
    if run.form == "json":
        output.write_json({"bytes_freed": freed})
    else:
        print(f"{output.size(max(freed, 0))} freed")


@verb(
    examples="""
    sextant completion bash > ~/.local/share/bash-completion/completions/sextant
    sextant completion zsh > ~/.zfunc/_sextant
    sextant completion fish > ~/.config/fish/completions/sextant.fish
    """,
)
@click.argument("shell", type=click.Choice(list(SHELLS)))
def completion(_: Invocation, shell: str) -> None:
    """Print the completion script for a shell."""
    program = click.get_current_context().find_root().command
    maker = SHELLS[shell](program, {}, "sextant", "_SEXTANT_COMPLETE")
    print(ShellComplete.source(maker))  # a subclass's own would start a bash to ask for its version
