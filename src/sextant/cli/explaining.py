"""`explain`: why an image has its confidence."""

from __future__ import annotations

from dataclasses import asdict

import click

from sextant import output
from sextant.cli.invocation import Invocation, json_option, verb
from sextant.output import Heading

PLACES = 3


@verb(
    examples="""
    sextant explain holiday/beach.jpg dog
    sextant explain holiday/beach.jpg "a dog in the snow"
    """,
)
@click.argument("image", type=click.Path())
@click.argument("asked")
@json_option
def explain(run: Invocation, image: str, asked: str) -> None:
    """Say why an image has its confidence for an attribute or a phrase.

    IMAGE is an id or path of the collection; ASKED a code of the vocabulary, or any phrase. The prompts, the cosines,
    the background, the curve and the nearest labelled images are those that the confidence was made of.
    """
    with run.collection() as photos:
        found = photos.explain(image, asked)
    if run.form == "json":
        output.write_json({**asdict(found), "shows": [{"code": c, "confidence": p} for c, p in found.shows]})
        return
    for sentence in found.words:
        print(output.plain(sentence))
    if found.said:
        print()
        headings = [Heading("compared with"), Heading("as"), Heading("cosine", "right")]
        rows = [[output.plain(s.text), s.role, f"{s.cosine:.{PLACES}f}"] for s in found.said]
        output.write_table(headings, rows)
    if found.neighbours:
        print()
        headings = [Heading("labelled neighbour"), Heading("shows it"), Heading("cosine", "right")]
        near = [[output.plain(n.path), "yes" if n.value else "no", f"{n.cosine:.{PLACES}f}"] for n in found.neighbours]
        output.write_table(headings, near)
    if found.shows:
        output.note("it also shows " + ", ".join(f"{code} {output.confidence(p)}" for code, p in found.shows))
