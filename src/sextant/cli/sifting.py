"""`duplicates`, `pick` and `clusters`: which images are alike, and which few stand for many."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import click

from sextant import output
from sextant.cli.invocation import Invocation, json_option, paths_options, verb
from sextant.cli.progress import reporting
from sextant.output import Cell, Heading

if TYPE_CHECKING:
    from sextant.duplicates import Duplicates
    from sextant.sifting import Cluster

GROUPS_SHOWN = 20
ATTRIBUTES_SHOWN = 4


@verb(
    examples="""
    sextant duplicates
    sextant duplicates --level scene --threshold 0.97 --json
    sextant duplicates --suppress
    sextant duplicates --restore
    sextant duplicates --level exact --all
    """,
)
@click.argument("images", nargs=-1, metavar="[IMAGE]...")
@click.option(
    "--level",
    type=click.Choice(["exact", "shot", "scene"]),
    default="shot",
    show_default=True,
    help="The same bytes, the same shot (cosine and perceptual hash), or the same scene (cosine alone).",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="COSINE",
    help="How alike every two images of a group are. Default: by how alike images are here.",
)
@click.option("--where", metavar="RULE", help="Only among images for which a rule is true.")
@click.option(
    "--sensitivity/--no-sensitivity",
    default=None,
    help="Show what thresholds from .95 to .99 would give. Default: up to 100,000 images.",
)
@click.option("--suppress", is_flag=True, help="Put all but the best of each group out of sight; nothing is deleted.")
@click.option("--restore", is_flag=True, help="Bring back what was suppressed: all of it, or the images named.")
@click.option("--run", "number", type=click.IntRange(min=1), metavar="N", help="With --restore: only that run's.")
@click.option("--all", "whole", is_flag=True, help=f"Show every group, not the {GROUPS_SHOWN} largest.")
@json_option
def duplicates(run: Invocation, images: tuple[str, ...], restore: bool, number: int | None, whole: bool,
               **asked: Any) -> None:  # fmt: skip
    """Group near-duplicates, and put all but the best out of sight.

    Every two images of a group are alike, so that a chain of likenesses is not one group. The best is sharp, large and
    not dark. The level shot reads the few files whose vectors are alike, once.
    """
    if restore:
        _restore(run, images, number)
        return
    if images or number is not None:
        raise click.UsageError("images and --run are for --restore")
    with run.collection() as photos, reporting("duplicates", "images") as report:
        found = photos.duplicates(**asked, progress=report)
    if run.form == "json":
        output.write_json(_as_json(found))
    else:
        _print(found, whole=whole)


def _restore(run: Invocation, images: tuple[str, ...], number: int | None) -> None:
    with run.collection() as photos:
        count = photos.restore(*images, run=number)
    if run.form == "json":
        output.write_json({"restored": count})
    else:
        print(f"{output.amount(count, 'image')} restored")


def _as_json(found: Duplicates) -> dict[str, Any]:
    return {
        "level": found.level,
        "threshold": found.threshold,
        "images": found.images,
        "groups": [
            {"kept": group.kept.path, "members": [asdict(member) for member in group.members]}
            for group in found.groups
        ],
        "extra": found.extra,
        "sensitivity": [asdict(line) for line in found.sensitivity],
        "unread": [asdict(item) for item in found.unread],
        "run": found.run,
        "seconds": round(found.seconds, 3),
    }  # fmt: skip


def _print(found: Duplicates, *, whole: bool) -> None:
    shown = found.groups if whole else found.groups[:GROUPS_SHOWN]
    rows: list[list[Cell]] = []
    for number, group in enumerate(shown, 1):
        for place, member in enumerate(group.members):
            mark: Cell = "" if place else [("keep", "green")]
            rows.append([str(number), mark, output.plain(member.path), output.number(member.similarity)])
    if rows:
        headings = [Heading("group", "right"), Heading(""), Heading("path"), Heading("cosine", "right")]
        output.write_table(headings, rows)
    if len(shown) < len(found.groups):
        output.note(f"the {len(shown)} largest of {len(found.groups):,} groups: --all or --json shows the others")
    _print_sensitivity(found)
    what = {"exact": "exact copies", "shot": "the same shot", "scene": "the same scene"}[found.level]
    edge = "" if found.threshold is None else f" from a cosine of {found.threshold:g}"
    groups = output.amount(len(found.groups), "group")
    output.note(f"{groups} of {what}{edge}; {found.extra:,} beside the best of each")
    if found.unread:
        some = f"{output.plain(found.unread[0].path)}: {output.plain(found.unread[0].reason)}"
        count = output.amount(len(found.unread), "image")
        output.note(f"{count} could not be read, such as {some}; --level scene needs no files")
    if found.run is not None:
        output.note(f"run {found.run} suppressed {found.extra:,}; bring them back with: sextant duplicates --restore")


def _print_sensitivity(found: Duplicates) -> None:
    if not found.sensitivity:
        return
    names = ("threshold", "groups", "images", "extra", "largest")
    print()
    output.write_table(
        [Heading(name, "right") for name in names],
        [[f"{s.threshold:g}", *(f"{getattr(s, name):,}" for name in names[1:])] for s in found.sensitivity],
    )
    output.note("what these thresholds would give by cosine alone")


@verb(
    examples="""
    sextant pick 12
    sextant pick 20 --where "earth and width > 1000" --by earth --weight 0.7
    sextant pick 50 --spread --absolute --print0 | xargs -0 cp -t chosen/
    """,
)
@click.argument("k", metavar="COUNT", type=click.IntRange(min=1))
@click.option("--where", metavar="RULE", help="Only images for which a rule is true.")
@click.option("--by", metavar="NAME", help="Prefer images high in an attribute or number. Default: sharp and large.")
@click.option(
    "--weight",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    metavar="P",
    help="How much being preferred counts against being different; 1 is the plain order.",
)
@click.option("--spread", is_flag=True, help="Pick images as far apart as can be; preference only decides ties.")
@paths_options
def pick(run: Invocation, k: int, where: str | None, by: str | None, weight: float, spread: bool) -> None:
    """Choose a few images that are good and differ from each other.

    Suppressed near-duplicates are left out. The cosine is that with the most similar image picked before.
    """
    way: Literal["relevance", "spread"] = "spread" if spread else "relevance"
    with run.collection() as photos:
        picked = photos.pick(k, where=where, by=by, way=way, weight=weight)
        folder = photos.folder
    match run.form:
        case "json":
            output.write_json([asdict(item) for item in picked])
        case "csv":
            output.write_csv(output.rows_of([asdict(p) for p in picked], ("id", "path", "quality", "similarity")))
        case "paths":
            named = (str(folder / p.path) if run.absolute else p.path for p in picked)
            output.write_paths(named, nul=run.print0)
        case "table":
            rows = [
                [output.plain(p.path), output.confidence(p.quality),
                 "–" if p.similarity is None else output.number(p.similarity)]
                for p in picked
            ]  # fmt: skip
            headings = [Heading("path"), Heading(by or "quality", "right"), Heading("cosine", "right")]
            if rows:
                output.write_table(headings, rows)
            else:
                output.note("there is no image to pick from" + (": none satisfies the rule" if where else ""))


@verb(
    examples="""
    sextant clusters
    sextant clusters 12 --where "photograph"
    sextant clusters --method hdbscan --json
    """,
)
@click.argument("k", metavar="[COUNT]", type=click.IntRange(min=1), required=False)
@click.option(
    "--method",
    type=click.Choice(["kmeans", "hdbscan"]),
    default="kmeans",
    show_default=True,
    help="hdbscan finds the number of clusters itself, and leaves images that fit none.",
)
@click.option("--where", metavar="RULE", help="Only images for which a rule is true.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Another seed, other starts.")
@click.option("--members", is_flag=True, help="With --json: the ids of every cluster's images as well.")
@json_option
def clusters(run: Invocation, k: int | None, members: bool, **asked: Any) -> None:
    """Show what the images fall into, and what sets each cluster apart.

    A cluster is named by the attributes that its images show and others do not. An attribute that is spread evenly
    over all clusters, or a cluster that nothing sets apart, says something about the vocabulary.
    """
    with run.collection() as photos:
        found = photos.clusters(k, **asked)
    if run.form == "json":
        hidden = () if members else ("members",)
        output.write_json([{n: v for n, v in asdict(c).items() if n not in hidden} for c in found])
        return
    headings = [Heading("cluster"), Heading("images", "right"), Heading("shows"), Heading("such as")]
    output.write_table(headings, map(_line, found))


def _line(cluster: Cluster) -> list[str]:
    shown = [f"{a.code} {a.share:.0%} (×{a.lift:.1f})" for a in cluster.attributes[:ATTRIBUTES_SHOWN] if a.accepted]
    example = output.plain(cluster.examples[0])
    return [output.plain(cluster.name), f"{cluster.size:,}", output.plain(", ".join(shown)) or "–", example]
