"""`keep`: the picks of a curation become plain files with names, rows of the collection, and lines of the catalog.

A picture that the collection has already stays where it is. One that waits in the scratch folder is moved; where that
was cleared meanwhile it is read or fetched again, and kept only if it is still the same to the byte. What was not
picked is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sextant import add, gather, images, manifest
from sextant.curate import scratch
from sextant.curate.request import Kept, Pick
from sextant.curations import CurationRecord
from sextant.edges import Edges
from sextant.errors import CollectionError, UsageError
from sextant.manifest import replacing
from sextant.types import Skipped

if TYPE_CHECKING:
    from sextant.fetch import Fetcher

FOLDER = "picks"


def keep(
    edges: Edges,
    ranks: Sequence[int] = (),
    *,
    best: int | None = None,
    number: int | None = None,
    fetcher: Fetcher | None = None,
) -> Kept:
    """Keeps pictures of a curation, the newest unless `number` names one: those of some ranks, or the `best` diverse.

    Raises:
        UsageError: there is no such curation or rank, or nothing was picked.
        CollectionError: the collection was moved away, or the pictures cannot be written.
    """
    record = edges.catalog.curation(number)
    if record is None:
        known = "there is no curation yet" if number is None else f"there is no curation {number}"
        raise UsageError(f'{known}. Begin with: sextant curate "WHAT YOU LOOK FOR"')
    manifest.read(edges.place)  # or files would be written, and sought, where a collection was moved away
    picks: list[Pick] = []
    skipped: list[Skipped] = []
    located = {image: path for path, image in edges.located().items()}
    for row in _rows(record, ranks, best):
        found = _place(edges, record, row, located, fetcher)
        if isinstance(found, Skipped):
            skipped.append(found)
        else:
            url = row["where"] if gather.is_url(row["where"]) else ""
            picks.append(Pick(row["rank"], row["image"], found, url, row["licence"], row["score"]))
    new = [edges.folder / pick.path for pick in picks if pick.image not in located]
    if new:
        report = add.add(edges, new, model=None, drop_missing=False, fetcher=None, progress=None)
        skipped += report.skipped
    shown = {row["rank"]: row for row in record.shown}
    edges.catalog.put_picks(_line(record, pick, shown[pick.rank]) for pick in picks)
    if picks:
        scratch.drop(edges.store.root, record.scratch)
    return Kept(record.id, record.name, tuple(picks), tuple(skipped))


def _rows(record: CurationRecord, ranks: Sequence[int], best: int | None) -> list[Mapping[str, Any]]:
    """What was shown at these ranks."""
    by_rank = {row["rank"]: row for row in record.shown}
    if best is not None:
        if best < 1:
            raise UsageError(f"keep at least 1 picture, not {best}")
        ranks = [*ranks, *[rank for rank in record.request["diverse"] if rank not in ranks][:best]]
    if not ranks and (best is None or by_rank):
        raise UsageError("say which pictures to keep, by their numbers: --keep 1,4,7")
    for rank in ranks:
        if rank not in by_rank:
            shown = f"1 to {len(by_rank)}" if by_rank else "no picture at all"
            raise UsageError(f"curation {record.id} ('{record.query}') showed {shown}, not {rank}")
    return [by_rank[rank] for rank in dict.fromkeys(ranks)]


def _place(
    edges: Edges,
    record: CurationRecord,
    row: Mapping[str, Any],
    located: Mapping[str, str],
    fetcher: Fetcher | None,
) -> str | Skipped:
    """The path of a pick in the collection; its file is written there if it is not there yet."""
    image = str(row["image"])
    if image in located:
        return located[image]
    data = _data(edges, record, row, fetcher)
    if isinstance(data, Skipped):
        return data
    _, facts = images.decode(data, least_side=images.FACTS_SIDE)
    suffix = gather.SUFFIXES.get(facts.format, f".{facts.format.lower()}")
    file = edges.folder / FOLDER / record.name / f"{record.name}-{row['rank']:02d}-{image[:8]}{suffix}"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.is_file() or images.identify(file.read_bytes()) != image:
            with replacing(file) as part:
                part.write(data)
    except OSError as error:
        raise CollectionError(f"{file}: cannot be written: {error.strerror or error}. Make room") from error
    return file.relative_to(edges.folder).as_posix()


def _data(edges: Edges, record: CurationRecord, row: Mapping[str, Any], fetcher: Fetcher | None) -> bytes | Skipped:
    """The bytes that were shown, and no others."""
    where, image = str(row["where"]), str(row["image"])
    waiting = scratch.file_in(edges.store.root, record.scratch, image)
    file = waiting or (None if gather.is_url(where) else edges.folder / Path(where))
    if file is not None:
        try:
            data = file.read_bytes()
        except OSError as error:
            return Skipped(where, f"cannot be read: {error.strerror or error}")
    else:
        if fetcher is None:
            from sextant.fetch import Fetcher

            fetcher = Fetcher()
        fetched = fetcher.fetch(where)
        if isinstance(fetched, Skipped):
            return fetched
        data = fetched.data
    if images.identify(data) != image:
        return Skipped(where, "it is another picture now than when it was shown: curate again")
    return data


def _line(record: CurationRecord, pick: Pick, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "curation": record.id,
        "image": pick.image,
        "rank": pick.rank,
        "path": pick.path,
        "url": pick.url,
        "page": row["page"],
        "title": row["title"],
        "licence": pick.licence,
        "score": pick.score,
        "parts": row["parts"],
        "fetched_at": row["fetched_at"],
    }
