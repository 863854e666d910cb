"""`/exports`: what was picked, as a table, as pictures, or as a document that says where everything comes from."""

from __future__ import annotations

import json
import secrets
import tempfile
import threading
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from sextant import exchange
from sextant.columns import trust
from sextant.database import now
from sextant.view import View
from sextant.vocabulary import Attribute
from sextant.web import curating
from sextant.web.access import CallerOf, Read
from sextant.web.gallery import cells, plain_of, rows_of
from sextant.web.problems import Problem
from sextant.web.served import Served, Unknown

router = APIRouter(prefix="/collections/{collection}/exports", tags=["exports"])
Format = Literal["csv", "jsonl", "parquet", "json", "zip"]
MEDIA_TYPES = {
    **{"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl", "json": "application/json"},
    **{"parquet": "application/vnd.apache.parquet", "zip": "application/zip"},
}
KEPT_SECONDS = 900
MOST_KEPT = 20
MOST_BYTES = 4_000_000_000
CURATED = {
    **{"number": pa.int64(), "rank": pa.int64(), "score": pa.float64(), "confidence": pa.float64()},
    **{"state": pa.string(), "url": pa.string(), "licence": pa.string(), "kept_at": pa.string()},
}
"""What a table says of a curation; a document says all of it."""
SHOWN = ("width", "height", "format", "taken_at", "camera_model", "bytes")


class Pick(BaseModel):
    """One picked image, and the question that found it."""

    id: str = Field(max_length=64)
    query: str | None = Field(default=None, max_length=2000)
    rule: str | None = Field(default=None, max_length=10_000)


class Wanted(BaseModel):
    """What to export: picked images, or those of a rule, in a form."""

    picks: list[Pick] = Field(default_factory=list, max_length=10_000)
    where: str | None = Field(default=None, max_length=10_000)
    curation: int | None = Field(
        default=None, ge=1, le=2**53, description="Its number: the picks come from it; without picks, what was kept."
    )
    format: Format = "csv"


@dataclass(slots=True)
class Made:
    """An export that can be fetched for a quarter of an hour."""

    id: str
    name: str
    images: int
    bytes: int


@dataclass(slots=True)
class _File:
    path: Path
    name: str
    collection: str
    until: float


class Outbox:
    """Files that wait to be fetched, in a folder of their own that goes with the server."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="sextant-exports-")
        self._files: dict[str, _File] = {}
        self._lock = threading.Lock()

    def place(self, suffix: str) -> tuple[str, Path]:
        """A new name, and where its file is to be written."""
        number = secrets.token_hex(12)
        return number, Path(self._folder.name) / f"{number}{suffix}"

    def put(self, number: str, file: _File) -> None:
        """Keeps a file for a while; the oldest make room."""
        with self._lock:
            self._files[number] = file
            gone = [n for n, f in self._files.items() if f.until < time.monotonic()]
            gone += list(self._files)[: max(0, len(self._files) - len(gone) - MOST_KEPT)]
            for name in dict.fromkeys(gone):
                self._files.pop(name).path.unlink(missing_ok=True)

    def get(self, number: str, collection: str) -> _File:
        """A file by its name, for the collection that it is of."""
        found = self._files.get(number)
        if found is None or found.collection != collection or not found.path.is_file():
            raise Unknown("this export is no longer kept; make it again")
        return found

    def close(self) -> None:
        """Deletes all of it."""
        self._folder.cleanup()


@router.post("", status_code=201)
def make(request: Request, served: Read, caller: CallerOf, wanted: Wanted) -> Made:
    """Writes an export to be fetched: a table, the pictures with their provenance, or the provenance alone."""
    outbox: Outbox = request.app.state.outbox
    view = served.view(served.view().codes())
    curated = {} if wanted.curation is None else curating.origins(served, wanted.curation)
    chosen = _chosen(served, view, wanted, curated)
    if not chosen:
        raise Problem(400, "Nothing to export", "no image of the collection was named", "Pick some, or give a rule.")
    number, path = outbox.place(f".{wanted.format}")
    stem = f"{served.name}-{'picks' if wanted.picks or curated else 'images'}"
    table = _table(view, chosen, curated)
    if wanted.format in ("csv", "jsonl", "parquet"):
        exchange.write(table, path, wanted.format)
    else:
        document = provenance(served, view, chosen, caller.person)
        for said in document["images"]:
            said |= {"curation": plain_of(curated[said["id"]])} if said["id"] in curated else {}
        if wanted.format == "json":
            exchange.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", path)
        else:
            _zip(served, view, chosen, document, table, path)
    name = f"{stem}.{wanted.format}"
    outbox.put(number, _File(path, name, served.name, time.monotonic() + KEPT_SECONDS))
    return Made(number, name, len(chosen), path.stat().st_size)


@router.get("/{number}", response_class=FileResponse, responses={200: {"content": {"application/octet-stream": {}}}})
def fetch(request: Request, served: Read, number: str) -> FileResponse:
    """The file of an export."""
    found = request.app.state.outbox.get(number, served.name)
    kind = MEDIA_TYPES[found.name.rsplit(".", 1)[-1]]
    return FileResponse(found.path, media_type=kind, filename=found.name, content_disposition_type="attachment")


def _chosen(served: Served, view: View, wanted: Wanted, curated: Mapping[str, curating.Origin]) -> dict[str, Pick]:
    if wanted.curation is not None:
        named = {pick.id for pick in wanted.picks}
        found = [o for image, o in curated.items() if (image in named if named else o.kept_at) and image in view.places]
        return {o.image: Pick(id=o.image, query=o.query, rule=o.where) for o in found}
    if wanted.picks:
        return {pick.id: pick for pick in wanted.picks if pick.id in view.places}
    if wanted.where is None:
        return {}
    rows = served.collection.query(wanted.where).table["id"].to_pylist()
    return {image: Pick(id=image, rule=wanted.where) for image in rows}


def _table(view: View, chosen: dict[str, Pick], curated: Mapping[str, curating.Origin]) -> pa.Table:
    """Facts and confidences of the chosen images, in the order they were picked, and what found each."""
    table = view.wide().take(pa.array(rows_of(view, list(chosen))))
    table = table.append_column("found_by_query", pa.array([p.query for p in chosen.values()], pa.string()))
    table = table.append_column("found_by_rule", pa.array([p.rule for p in chosen.values()], pa.string()))
    for name, kind in CURATED.items() if curated else ():
        values = [getattr(curated[image], name) for image in chosen]
        table = table.append_column(f"curation_{name}", pa.array(values, kind))
    return table


def provenance(served: Served, view: View, chosen: dict[str, Pick], person: str) -> dict[str, Any]:
    """Where every number comes from: encoder, prompts, calibrations, and for each image what found it."""
    photos = served.collection
    held = photos.manifest
    return plain_of(  # type: ignore[no-any-return]
        {
            "collection": served.name,
            "exported_at": now(),
            "exported_by": person or None,
            "encoder": held.encoder,
            "vocabulary": (photos.catalog.vocabulary() or (None,))[0],
            "columns": {code: _column(view, code) for code in view.codes()},
            "images": [_image(served, view, image, pick) for image, pick in chosen.items()],
        }
    )


def _column(view: View, code: str) -> dict[str, Any]:
    item, record = view.describe(code), view.calibrations.get(code)
    edges = view.thresholds(code)
    return {
        "label": item.label if item else code,
        "trust": trust(view, code),
        "prompts": item.prompts if isinstance(item, Attribute) else None,
        "calibration": record.hash if record else None,
        "accepted_from": edges.accepted,
        "tentative_from": edges.tentative,
    }


def _image(served: Served, view: View, image: str, pick: Pick) -> dict[str, Any]:
    row = view.places[image]
    shown = [c for c in cells(served, view, image) if c.band in ("accepted", "tentative")]
    return {
        "id": image,
        "path": str(view.paths[row]),
        "found_by": {"query": pick.query, "rule": pick.rule},
        "tags": view.fact("tags")[row].as_py(),
        "description": view.fact("description")[row].as_py(),
        **{name: view.fact(name)[row].as_py() for name in SHOWN},
        "shows": [
            {"code": c.code, "confidence": c.confidence, "band": c.band, "state": c.state, "source": c.source}
            for c in sorted(shown, key=lambda c: -(c.confidence or 0))
        ],
    }


def _zip(
    served: Served, view: View, chosen: dict[str, Pick], document: dict[str, Any], rows: pa.Table, path: Path
) -> None:
    files = {image: served.root / str(view.paths[view.places[image]]) for image in chosen}
    there = {image: file for image, file in files.items() if file.is_file()}
    if sum(file.stat().st_size for file in there.values()) > MOST_BYTES:
        raise Problem(413, "Too large", "these pictures are more than 4 GB together", "Pick fewer, or export a table.")
    names = {image: f"pictures/{place:05d}-{files[image].name}" for place, image in enumerate(there, 1)}
    for told in document["images"]:
        told["file"] = names.get(told["id"])
    table = path.with_suffix(".table.csv")
    exchange.write(rows, table, "csv")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as out:  # pictures are compressed already
        for image, file in there.items():
            out.write(file, names[image])
        out.write(table, "picks.csv", zipfile.ZIP_DEFLATED)
        said = json.dumps(document, indent=2, ensure_ascii=False)
        out.writestr("provenance.json", said, zipfile.ZIP_DEFLATED)
    table.unlink()


__all__ = ["Annotated", "Outbox", "router"]
