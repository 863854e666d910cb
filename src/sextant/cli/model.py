"""`model list`, `use`, `trust`, `convert`, `doctor` and `fit-prior`: the encoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sextant import output
from sextant.cli.adding import as_json, complain
from sextant.cli.invocation import Command, Invocation, json_option, rows_options, verb
from sextant.cli.progress import reporting
from sextant.errors import CollectionError, UsageError
from sextant.output import Cell, Heading
from sextant.paths import expanded

if TYPE_CHECKING:
    from sextant.models import DoctorReport

PRECISIONS = click.Choice(["auto", "fp32", "bf16", "int8"])
DEVICES = click.Choice(["auto", "cpu", "cuda"])


@click.group(no_args_is_help=True)
def model() -> None:
    """List, convert, examine and switch encoders.

    MODEL is a known name, hash, a bundle folder, local-dir:PATH, hf-hub:OWNER/REPO, path/to/file.py:Name or
    package.module:Name.
    """


def subverb(name: str, *, examples: str) -> Callable[[Callable[..., Any]], Command]:
    """A verb of `sextant model`."""

    def decorate(function: Callable[..., Any]) -> Command:
        command = verb(name, examples=examples)(function)
        model.add_command(command)
        return command

    return decorate


@subverb("list", examples="sextant model list\nsextant model list --json")
@rows_options
def list_(run: Invocation) -> None:
    """List the encoders that have a name, and whether they are on this machine."""
    from sextant import models

    entries = models.list_models()
    names = ("name", "source", "here", "licence", "description")
    records = [asdict(entry) for entry in entries]
    if run.form == "json":
        output.write_json_rows(records)
    elif run.form == "csv":
        output.write_csv(output.rows_of(records, names))
    else:
        headings = [Heading("name"), Heading("here"), Heading("licence"), Heading("description")]
        output.write_table(headings, [[output.shown(record[h.name]) for h in headings] for record in records])


@subverb("use", examples="sextant model use ViT-B-32/openai\nsextant model use local-dir:tuned")
@click.argument("name", metavar="MODEL")
@click.option("--precision", type=PRECISIONS, help="The encoder's arithmetic.")
@click.option("--device", type=DEVICES, help="Where the encoder runs.")
@json_option
def use(run: Invocation, name: str, precision: str | None, device: str | None) -> int:
    """Switch the collection to another encoder.

    Embeds what that encoder has not seen, computes the columns, and then switches in one step. The old vectors stay
    until sextant prune, so switching back takes no time.
    """
    with run.collection(precision=precision, device=device) as photos, reporting("embed", "images") as progress:
        report = photos.use(name, progress=progress)
        encoder = photos.manifest.encoder
    if run.form == "json":
        output.write_json({**as_json(report), "encoder": encoder})
    else:
        print(f"now using {output.plain(str(encoder))}  ({report.encoded:,} encoded in {report.seconds:.1f} s)")
    complain(report)
    return 1 if report.skipped else 0


@subverb("trust", examples="sextant model trust\nsextant model trust archive/clip.py:Clip")
@click.argument("name", metavar="[MODEL]", required=False)
@click.option("--forget", is_flag=True, help="Trust it no longer.")
@json_option
def trust(run: Invocation, name: str | None, forget: bool) -> None:
    """Allow Python code that a collection names as its encoder; without MODEL, list what is allowed.

    A collection can name code as its encoder, and one that somebody gave you runs it only after you have said so here,
    or with --model. A file is allowed as it is now and where it is now. This is kept in your own settings.
    """
    from sextant import trust as trusting

    if name is None and forget:
        raise UsageError("--forget needs a MODEL. `sextant model trust` lists what is allowed")
    if name is not None and forget:
        trusting.forget(name)
    code = trusting.keep(name) if name is not None and not forget else None
    if run.form == "json":
        output.write_json([asdict(held) for held in trusting.known()])
    elif name is None:
        rows = [[output.plain(held.spec), output.shown(held.file)] for held in trusting.known()]
        output.write_table([Heading("trusted"), Heading("file")], rows)
    elif code is None:
        print(output.plain(f"{name} is {'not trusted any more' if forget else 'data, which needs no trust'}"))
    else:
        print(output.plain(f"{code.spec} may run from now on, as it is now"))


@subverb(
    "convert",
    examples="""
    sextant model convert openai/clip-vit-base-patch32 -o clip-b32
    sextant model convert ~/checkpoints/siglip -o siglip --name siglip-tuned
    """,
)
@click.argument("source", metavar="CHECKPOINT", type=click.Path())
@click.option("-o", "--output", "target", metavar="FOLDER", required=True, type=click.Path(), help="The new bundle.")
@click.option("--name", metavar="NAME", help="What the encoder is called; default: as its source.")
@click.option("--licence", metavar="NAME", help="Overrules what the checkpoint's card says.")
@json_option
def convert(run: Invocation, source: str, target: str, name: str | None, licence: str | None) -> None:
    """Make a bundle from an open_clip or Hugging Face checkpoint.

    CHECKPOINT is a folder, or OWNER/NAME on the Hugging Face Hub; its weights must be safetensors. Needs the extra
    train. The bundle is compared with the checkpoint before it is kept.
    """
    from sextant.train.export import convert as make

    card = make(source, expanded(target), name=name, licence=licence)
    if run.form == "json":
        output.write_json({"path": target, "name": card.name, "revision": card.revision, "dim": card.dim})
    else:
        print(output.plain(f"{card.name}, {card.dim} dimensions, is in {target}"))
        output.note(f"next: sextant add FOLDER --model local-dir:{output.plain(target)}")


@subverb("doctor", examples="sextant model doctor\nsextant model doctor local-dir:clip-b32 --precision fp32")
@click.argument("name", metavar="[MODEL]", required=False)
@click.option("--precision", type=PRECISIONS, default="auto", help="The encoder's arithmetic.")
@click.option("--device", type=DEVICES, default="auto", help="Where the encoder runs.")
@json_option
def doctor(run: Invocation, name: str | None, precision: str, device: str) -> int:
    """Examine an encoder.

    Canonical pictures and texts must still give the vectors they gave when it was made. Without MODEL the
    collection's own encoder is examined. The exit status is 1 if a check fails.
    """
    from sextant import models

    if name is None:
        with run.collection(precision=precision, device=device) as photos:
            if photos.manifest.encoder is None:
                raise CollectionError("the collection has no encoder yet: name one, sextant model doctor MODEL")
            encoder = photos.encoder()
    else:
        encoder = models.load(name, device=device, precision=precision)
    report = models.doctor(encoder)
    if run.form == "json":
        output.write_json(report.to_dict())
    else:
        _print_report(report)
    return 0 if report.ok else 1


def _print_report(report: DoctorReport) -> None:
    marks: dict[bool | None, Cell] = {True: [("ok", "green")], False: [("FAILED", "red")], None: [("–", "dim")]}
    print(
        output.plain(f"{report.name}@{report.revision} on {report.device}, {report.precision}, {report.dim} dimensions")
    )
    rows: list[list[Cell]] = [[marks[c.ok], output.plain(c.name), output.plain(c.detail)] for c in report.checks]
    rows += [[marks[None], name, output.plain(text)] for name, text in report.fidelity.items()]
    rates = f"{report.images_per_second:,.0f} images and {report.texts_per_second:,.0f} texts a second"
    output.write_table([Heading(""), Heading("check"), Heading("")], [*rows, [marks[None], "speed", rates]])


@subverb("fit-prior", examples="sextant model fit-prior\nsextant model fit-prior --truth truth.csv")
@click.option("--truth", type=click.Path(path_type=Path), help="Labels in a file, in place of the collection's own.")
@json_option
def fit_prior(run: Invocation, truth: Path | None) -> None:
    """Teach columns without labels from columns with labels.

    Fits what evidence looks like on this encoder, where an attribute is shown and where it is not, and works every
    unlabelled column out anew. The components belong to the encoder: judge them on attributes they were not fitted on.
    """
    with run.collection() as photos:
        card = photos.fit_prior(truth=truth)
    if run.form == "json":
        output.write_json(card)
    else:
        print(f"λ {card['weight']:g}: how much of an image's background is taken off its logits")
        print(f"fitted on {card['source']}; unlabelled columns were worked out anew")
