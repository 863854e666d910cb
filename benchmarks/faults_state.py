"""Whether a collection can be used after a kill, and what is in it, in a form that two runs can be compared by.

Left out of a comparison is what says when something happened, numbers that only count, and caches.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from sextant import manifest
from sextant.collection import Collection

WHEN = ("at", "added_at", "mtime_ns")


def usable(photos: Collection) -> None:
    """Raises AssertionError where the collection answers wrongly, and whatever it raises where it does not answer."""
    held = photos.manifest
    if not held.encoder:
        return  # nothing was acknowledged yet
    photos.info()
    located = photos.located()
    vectors = photos.vectors.ids().to_pylist() if photos.vectors.exists() else []
    facts = photos.store.images(["id"])["id"].to_pylist()
    assert len(vectors) == len(set(vectors)), "a vector is there twice"
    assert len(facts) == len(set(facts)), "an image is there twice"
    assert photos.store.files().num_rows == len(photos.store.files()["path"].unique()), "a path is there twice"
    assert set(located.values()) <= set(vectors) & set(facts), "a path without its image"
    columns = photos.vectors.columns()
    assert not [code for code in columns if "$" in code], "half a column can be seen"
    if located:
        sizes = store_sizes(photos)
        seen = {image for image in located.values() if sizes[image]}
        assert len(photos.query("width > 0")) == len(seen), "query does not see every image"
        photos.columns()
        photos.search("red", limit=5)
    for code in columns:
        assert photos.inspect(code).n is not None
    if not photos.catalog.is_shared:
        assert _asked(photos, "PRAGMA integrity_check") == ["ok"], "the catalog is damaged"


def store_sizes(photos: Collection) -> dict[str, int | None]:
    """The width of every image; None of those that came as vectors alone."""
    table = photos.store.images(["id", "width"])
    return dict(zip(table["id"].to_pylist(), table["width"].to_pylist(), strict=True))


def rows_of(photos: Collection) -> dict[str, Any]:
    """What is in a collection, by part."""
    catalog, store = photos.catalog, photos.store
    encoder = photos.manifest.encoder or ""
    events = [(e.key, e.kind, e.image, e.rank, e.code) for e in catalog.events()]
    parts: dict[str, Any] = {
        "manifest": manifest.read(photos.folder).encoder,
        "images": _plain(store.images()),
        "files": _plain(store.files()),
        "encoders": store.encoders(),
        "vocabulary": catalog.vocabulary(),
        "calibrations": {c: (k.hash, k.prompt_hash) for c, k in sorted(catalog.calibrations(encoder).items())},
        "labels": sorted((x.image, x.code, x.value, x.person, x.source) for x in catalog.labels()),
        "overrides": sorted((o.image, o.code, o.value) for o in catalog.overrides()),
        "tags": catalog.tags(),
        "descriptions": catalog.descriptions(),
        "events": sorted(events, key=str),
        "impressions": sorted((i.key or "", i.query) for i in catalog.impressions()),
        "picks": sorted({(pick.image, pick.rank) for pick in catalog.picks()}),
        "phrases of": sorted(_asked(photos, "SELECT DISTINCT encoder FROM texts")),
        "left over": _left_over(photos.folder),
    }
    for name in store.encoders():
        table = store.vectors(name)
        parts[f"vectors {name}"] = _plain(table.read(list(table.columns()), vectors=True))
        parts[f"columns {name}"] = {c: _timeless(k.provenance) for c, k in sorted(table.columns().items())}
    return parts


def digest(parts: dict[str, Any]) -> dict[str, str]:
    """A hash of each part."""
    return {
        name: hashlib.blake2b(json.dumps(part, default=str).encode()).hexdigest()[:16] for name, part in parts.items()
    }


def _plain(table: Any) -> list[str]:
    kept = [name for name in table.column_names if name not in WHEN]
    return sorted(json.dumps(row, sort_keys=True, default=str) for row in table.select(sorted(kept)).to_pylist())


def _timeless(values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in WHEN}


def _asked(photos: Collection, statement: str) -> list[str]:
    """The first column of what a statement finds in the catalog, by the connection that the collection has."""
    with photos.catalog._engine.connect() as connection:
        return [str(row[0]) for row in connection.exec_driver_sql(statement)]


def _left_over(folder: Path) -> list[str]:
    """What nobody will ever look at again: parts of files, folders that were being deleted, waiting pictures."""
    marks = ("*.part", "*.dropped", "*.tmp", "*.new", ".bundle.*")
    found = [path for mark in marks for path in folder.rglob(mark)]
    found += (folder / manifest.FOLDER / "scratch").glob("[0-9a-f]*")
    index = folder / manifest.FOLDER / "cache" / "index"
    found += sorted(path for path in index.glob("*") if path.is_dir())[1:]
    return sorted("a part of a file" if p.suffix == ".part" else str(p.relative_to(folder)) for p in found)
