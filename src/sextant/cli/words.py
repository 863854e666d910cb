"""`override` and `describe`: what people say about images."""

from __future__ import annotations

import click

from sextant import output
from sextant.cli.invocation import Invocation, json_option, verb

WORDS = {"yes": True, "no": False, "clear": None}


@verb(
    examples="""
    sextant override holiday/beach.jpg dog no
    sextant override a.jpg b.jpg c.jpg dog yes --note "seen on the day" --person Ada
    sextant override holiday/beach.jpg dog clear
    """,
)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path())
@click.argument("code")
@click.argument("word", metavar="yes|no|clear", type=click.Choice(list(WORDS)))
@click.option("--note", metavar="TEXT", help="Why.")
@click.option("--person", metavar="NAME", help="Who says so.")
@json_option
def override(
    run: Invocation, images: tuple[str, ...], code: str, word: str, note: str | None, person: str | None
) -> None:
    """Have the last word on an attribute of an image.

    A yes or no outranks the model wherever the attribute is asked for, and survives tagging again; clear withdraws
    it. IMAGE is an id or a path.
    """
    with run.collection() as photos:
        count = photos.override(images, code, WORDS[word], note=note, person=person)
    if run.form == "json":
        output.write_json({"code": code, "value": WORDS[word], "images": count})
    else:
        print(f"{output.plain(code)}: {word} by hand, for {output.amount(count, 'image')}")


@verb(
    examples="""
    sextant describe holiday/beach.jpg --tag summer --tag family
    sextant describe holiday/beach.jpg --text "The last evening"
    sextant describe holiday/beach.jpg --untag summer --text ""
    """,
)
@click.argument("image", type=click.Path())
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Add a tag; repeatable.")
@click.option("--untag", metavar="TAG", multiple=True, help="Take a tag off; repeatable.")
@click.option("--text", metavar="TEXT", help="Set the description; an empty one removes it.")
@json_option
def describe(run: Invocation, image: str, tags: tuple[str, ...], untag: tuple[str, ...], text: str | None) -> None:
    """Tag an image by hand, or describe it.

    Rules can ask for both: "tag('summer') and description contains 'evening'". IMAGE is an id or a path.
    """
    if not tags and not untag and text is None:
        raise click.UsageError("nothing to say: use --tag, --untag or --text")
    with run.collection() as photos:
        photos.describe(image, tags=tags, untag=untag, description=text)
    if run.form == "json":
        output.write_json({"image": image, "tagged": list(tags), "untagged": list(untag), "description": text})
    else:
        parts = [f"+{tag}" for tag in tags] + [f"-{tag}" for tag in untag]
        parts += ["described" if text.strip() else "description removed"] if text is not None else []
        print(output.plain(f"{image}: {', '.join(parts)}"))
