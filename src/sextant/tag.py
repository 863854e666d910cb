"""`tag`: a vocabulary becomes columns; only what is absent or stale is computed, and no image is decoded."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sextant import columns
from sextant.edges import Edges
from sextant.types import TagReport
from sextant.view import is_stale
from sextant.vocabulary import Vocabulary

UNLABELLED = ("fixed", "temperature")
"""Kinds of calibration that no label of a person stands behind: `tag` may replace them."""


def tag(
    edges: Edges,
    chosen: Vocabulary,
    *,
    codes: Sequence[str] | None = None,
    dry_run: bool = False,
    center: float | None = None,
    scale: float | None = None,
) -> TagReport:
    """Writes the columns that a vocabulary lacks, records its curves, and makes it the current one."""
    started = time.monotonic()
    vectors = edges.vectors
    if dry_run:
        todo, rows = columns.missing(chosen, vectors, codes) if vectors.exists() else [], len(vectors)
    else:
        with edges.store.writing():
            todo, rows = columns.missing(chosen, vectors, codes) if vectors.exists() else [], len(vectors)
            if todo:
                columns.put(vectors, todo, edges.phrases(), *edges.scale)
            _calibrate_by_default(edges, chosen, center, scale)
            edges.catalog.put_vocabulary(chosen.name, chosen.text)
    there = vectors.columns()
    written = {a.code for a in todo}
    rest = [a for a in chosen.attributes if a.code in there and a.code not in written]
    return TagReport(
        columns=tuple(a.code for a in todo),
        cells=len(todo) * rows,
        stale=tuple(a.code for a in rest if is_stale(there[a.code], a)),
        derived=tuple(d.code for d in chosen.derived),
        kept=tuple(c for c in there if c not in chosen),
        seconds=time.monotonic() - started,
        dry_run=dry_run,
    )


def _calibrate_by_default(edges: Edges, chosen: Vocabulary, center: float | None, scale: float | None) -> None:
    """Records the unlabelled curve of every attribute; one that people's labels made is left alone."""
    encoder = edges.vectors.name
    held = edges.catalog.calibrations(encoder)
    hashes = {a.code: a.prompt_hash for a in chosen.attributes}
    rows = {
        code: (curve.id, {"kind": curve.kind, "params": dict(curve.params)}, hashes[code])
        for code, curve in columns.default_calibrations(chosen, center=center, scale=scale).items()
        if code not in held or held[code].calibration["kind"] in UNLABELLED
    }
    edges.catalog.put_calibrations(encoder, rows)
