"""`/images`: what there is, one image, its small copies and its file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from numpy.typing import NDArray

from sextant.maths import groups, rules
from sextant.maths.rules import BAND_NAMES
from sextant.place import Bucket, read
from sextant.view import FACTS, KINDS, View
from sextant.vocabulary import Derived, did_you_mean
from sextant.web import cursors, thumbs
from sextant.web.access import Read
from sextant.web.answers import Cell, ImageDetail, Images, Neighbour, Thumb
from sextant.web.problems import Problem
from sextant.web.served import Served

router = APIRouter(prefix="/collections/{collection}/images", tags=["images"])
MOST_AT_ONCE = 500
EVERY = "id is not null"
YEAR = 31_536_000
MEDIA_TYPES = {
    **{"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif", "BMP": "image/bmp"},
    **{"TIFF": "image/tiff", "AVIF": "image/avif", "HEIF": "image/heif"},
}
"""By the format that the bytes were found to be of; a browser is never left to guess."""
Rows = NDArray[np.intp]
Where = Annotated[str | None, Query(max_length=10_000, description="A rule; only images for which it is true.")]


@router.get("")
def images(
    served: Read,
    where: Where = None,
    sort: Annotated[str | None, Query(max_length=80, description="An attribute or fact; -NAME: highest first.")] = None,
    show: Annotated[str, Query(max_length=2000, description="Codes, joined by commas, to give confidences of.")] = "",
    limit: Annotated[int, Query(ge=1, le=MOST_AT_ONCE)] = 60,
    cursor: Annotated[str | None, Query(description="`next` of the part before.")] = None,
    offset: Annotated[int, Query(ge=0, le=2**31, description="Where to begin, instead of a cursor.")] = 0,
) -> Images:
    """The images of a collection, a part at a time. Suppressed near-duplicates are left out."""
    codes = [code for code in show.split(",") if code]
    view = checked(served, codes, sort)
    order = ordered(served, view, where, sort)
    question = {"where": where, "sort": sort}
    begin = offset if cursor is None else _behind(view, order, cursor, question)
    rows = order[begin : begin + limit]
    more = begin + len(rows) < len(order)
    following = cursors.write(question, begin + len(rows), str(view.ids[int(rows[-1])])) if more and len(rows) else None
    return Images(cards(served, view, rows, codes), len(order), begin, following, int(view.out_of_sight.sum()))


def checked(served: Served, codes: list[str], sort: str | None) -> View:
    """A view with the columns that will be asked for. Raises `Problem` for a name that is not known."""
    known = served.view().codes()
    key = sort.removeprefix("-") if sort else None
    for name in (*codes, *([key] if key else [])):
        if name not in known and not (name == key and name in KINDS):
            near = did_you_mean(name, [*known, *KINDS])
            raise Problem(400, "An unknown name", f"no attribute or fact '{name[:80]}'.{near}")
    return served.view([*codes, *([key] if key and key not in KINDS else [])])


def ordered(served: Served, view: View, where: str | None, sort: str | None) -> Rows:
    """The rows of a view for which a rule is true and that are in sight, in order; kept while nothing is written."""

    def work_out() -> Rows:
        rule = rules.parse(where or EVERY, served.collection.known())
        view.read(name for name in rule.names if name not in KINDS)
        table = view.select(rule, [], sort, None)
        found = np.asarray(pc.index_in(table["id"].combine_chunks(), value_set=view.ids).to_numpy(), np.intp)
        return np.asarray(found[~view.out_of_sight[found]])

    rows: Rows = served.kept(view, f"order {where!r} {sort!r}", work_out)
    return rows


def _behind(view: View, order: Rows, cursor: str, question: Mapping[str, Any]) -> int:
    """The place behind a cursor's image, also where images before it came or went meanwhile."""
    offset, last = cursors.read(cursor, question)
    row = view.places.get(last)
    if row is None:
        return offset
    if 0 < offset <= len(order) and order[offset - 1] == row:
        return offset
    place = np.flatnonzero(order == row)
    return int(place[0]) + 1 if len(place) else offset


def cards(served: Served, view: View, rows: Rows, codes: list[str]) -> list[Thumb]:
    """Rows of a view as a grid shows them."""
    sizes = size_of(served, view)
    values = {code: view.values(code).confidence for code in codes}
    return [
        Thumb(
            id=str(view.ids[row]),
            path=str(view.paths[row]),
            name=str(view.paths[row]).rsplit("/", 1)[-1],
            width=sizes[row][0],
            height=sizes[row][1],
            confidences={code: number(held[row]) for code, held in values.items()},
        )
        for row in rows.tolist()
    ]


def size_of(served: Served, view: View) -> list[tuple[int | None, int | None]]:
    """Width and height of every image of a view."""
    found: list[tuple[int | None, int | None]] = served.kept(
        view,
        "sizes",
        lambda: list(zip(view.fact("width").to_pylist(), view.fact("height").to_pylist(), strict=True)),
    )
    return found


def number(value: Any) -> float | None:
    """A number as JSON has it; unknown is null."""
    return None if value is None or np.isnan(value) else float(value)


@router.get("/{image}")
def image(served: Read, image: str) -> ImageDetail:
    """Everything that is known of one image: facts, every attribute with its state, tags, copies."""
    photos = served.collection
    view = served.view(served.view().codes())
    found = served.image(image)
    row = view.places[found]
    facts = {name: _plain(view.fact(name)[row].as_py()) for name in FACTS if name not in ("tags", "description")}
    hidden = photos.catalog.suppressed()
    return ImageDetail(
        id=found,
        path=str(view.paths[row]),
        paths=view.paths_of(found),
        facts=facts,
        cells=cells(served, view, found),
        tags=photos.catalog.tags([found]).get(found, []),
        description=view.fact("description")[row].as_py(),
        stands_for=sorted(other for other, kept in hidden.items() if kept == found),
        suppressed_by=hidden.get(found),
    )


def cells(served: Served, view: View, image: str) -> list[Cell]:
    """Every attribute of an image."""
    row = view.places[image]
    said: dict[str, list[dict[str, Any]]] = {}
    for label in served.collection.catalog.labels():
        if label.image == image:
            said.setdefault(label.code, []).append({"value": label.value, "person": label.person, "at": label.at})
    return [_cell(view, code, row, said.get(code, [])) for code in view.codes()]


def label_of(view: View, code: str) -> str:
    """What people call a column."""
    item = view.describe(code)
    return (item.label if item else None) or code


def _cell(view: View, code: str, row: int, labels: list[dict[str, Any]]) -> Cell:
    values, item = view.values(code), view.describe(code)
    source = str(view.source(code)[row])
    own = view.confidence(code, view.calibration(code))[row] if source == "person" and code in view.columns else np.nan
    return Cell(
        code=code,
        label=label_of(view, code),
        kind="derived" if isinstance(item, Derived) else "base" if item else "removed",
        confidence=number(values.confidence[row]),
        band=BAND_NAMES[int(values.band[row])],
        state=view.state(code),
        source=source,
        model_confidence=number(own),
        labels=labels,
    )


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


@router.get("/{image}/near")
def near(served: Read, image: str, limit: Annotated[int, Query(ge=1, le=100)] = 12) -> dict[str, Any]:
    """The images most like one, each with its cosine; from `near_duplicate_from` on they count as near-duplicates."""
    found = served.image(image)
    view = served.view()
    result = served.collection.similar(found, limit=limit)
    shown = [Neighbour(h.id, h.path, h.path.rsplit("/", 1)[-1], h.cosine) for h in result.hits]
    return {"images": shown, "near_duplicate_from": alike(served, view)}


def alike(served: Served, view: View) -> float:
    """The cosine from which two images of this collection count as near-duplicates."""
    found: float = served.kept(
        view, "alike", lambda: float(groups.threshold_of(served.collection.vectors.sample(groups.SAMPLED)))
    )
    return found


@router.get("/{image}/explain")
def explain(served: Read, image: str, of: Annotated[str, Query(min_length=1, max_length=2000)]) -> dict[str, Any]:
    """Why an image has the confidence it has, for a code or for words."""
    return plain_of(served.collection.explain(served.image(image), of))  # type: ignore[no-any-return]


def plain_of(value: Any) -> Any:
    """Dataclasses, arrays and numbers of any kind as JSON has them."""
    from dataclasses import fields, is_dataclass

    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain_of(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain_of(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        return [plain_of(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.generic):
        return value.item()
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


@router.get("/{image}/thumb", responses={200: {"content": {thumbs.MEDIA_TYPE: {}}}}, response_class=Response)
def thumb(served: Read, request: Request, image: str, size: thumbs.Size = "small") -> Response:
    """A small copy, as WebP: `small` for a grid, of at most 8 KB, `large` for a screen."""
    if len(image) != 32 or not image.isalnum():
        served.image(image)
    tag = f'"{image}-{size}"'
    headers = {"ETag": tag, "Cache-Control": f"private, max-age={YEAR}, immutable"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    data = thumbs.thumb(served.collection.store.root / "thumbs", image, size, lambda: served.file(image))
    return Response(data, media_type=thumbs.MEDIA_TYPE, headers=headers)


@router.get("/{image}/original", responses={200: {"content": {"image/*": {}}}}, response_class=FileResponse)
def original(served: Read, request: Request, image: str) -> Response:
    """The file itself, whole or a range of it."""
    path = served.file(image)
    view = served.view()
    row = view.places[image]
    if isinstance(path, Bucket):
        return _object(path, image, str(view.fact("format")[row].as_py()))
    try:
        status = path.stat()
    except OSError:
        why = f"the file of this image is not where it was: {path.name}"
        raise Problem(404, "The file is gone", why, "Run `sextant add` to see what moved.") from None
    same = status.st_size == view.fact("bytes")[row].as_py()
    tag = f'"{image}"' if same else f'W/"{status.st_mtime_ns:x}-{status.st_size:x}"'
    headers = {"ETag": tag, "Cache-Control": "private, max-age=3600", "Content-Security-Policy": "sandbox"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    kind = MEDIA_TYPES.get(str(view.fact("format")[row].as_py()), "application/octet-stream")
    return FileResponse(
        path, media_type=kind, headers=headers, filename=_file_name(path), content_disposition_type="inline"
    )


def _object(place: Bucket, image: str, kind: str) -> Response:
    """The bytes of an object in a bucket, through this server: a browser has no credentials for it."""
    try:
        data = read(place)
    except OSError:
        why = f"the file of this image is not where it was: {place.name}"
        raise Problem(404, "The file is gone", why, "Run `sextant add` to see what moved.") from None
    name = _file_name(Path(place.name))
    headers = {"ETag": f'"{image}"', "Cache-Control": "private, max-age=3600", "Content-Security-Policy": "sandbox"}
    headers["Content-Disposition"] = f"inline; filename*=utf-8''{quote(name)}"
    return Response(data, media_type=MEDIA_TYPES.get(kind, "application/octet-stream"), headers=headers)


def _file_name(path: Path) -> str:
    """A name that a header can hold, whatever the file is called."""
    return "".join(c if c.isprintable() else "_" for c in os.fsdecode(os.fsencode(path.name))).replace('"', "'")


def rows_of(view: View, ids: list[str]) -> Rows:
    """The rows of these ids that a view has."""
    found = pc.fill_null(pc.index_in(pa.array(ids, pa.string()), value_set=view.ids), -1)
    rows = np.asarray(found.to_numpy(), np.intp)
    return np.asarray(rows[rows >= 0])
