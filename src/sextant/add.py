"""`add`, `model use` and `import` of vectors: everything that brings rows of vectors into a collection."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sextant import cluster, columns, exchange, gather, ingest, manifest
from sextant.background import background_hash, background_prompts
from sextant.edges import Edges
from sextant.encoders import key_of
from sextant.errors import UsageError
from sextant.manifest import Manifest
from sextant.maths import logits as maths
from sextant.maths.heads import Head
from sextant.place import is_url
from sextant.store import Vectors
from sextant.types import AddReport, Encoder, Floats, Progress, Skipped

if TYPE_CHECKING:
    from sextant.fetch import Fetcher

Report = Callable[[Progress], None]
Prepare = Callable[[Edges], object]
"""What is done to the collection as it will be, before anybody sees it so."""


def add(
    edges: Edges,
    sources: Sequence[ingest.Source],
    *,
    model: str | None,
    drop_missing: bool,
    fetcher: Fetcher | None,
    progress: Report | None,
) -> AddReport:
    """Embeds every new image behind the sources; reports, and on request drops, what is gone from their folders.

    What is behind http and https is fetched first, a little ahead of the encoder.
    """
    started = time.monotonic()
    if not sources:
        raise UsageError("name at least one file, folder or pattern to add")
    run = _ingest(edges, edges.first_encoder(model))
    urls = [os.fspath(source) for source in sources if gather.is_url(source)]
    local = [source for source in sources if not gather.is_url(source)]
    total = sum(1 for _ in ingest.walk(local, edges.folder)) + len(set(urls)) if progress else 0
    seen: set[str] = set()

    def noted() -> Iterator[ingest.Candidate | Skipped]:
        for item in chain(ingest.walk(local, edges.folder), gather.gather(urls, edges.folder, fetcher)):
            if isinstance(item, ingest.Candidate):
                seen.add(item.name)
            yield item

    run.run(noted(), total=total, progress=progress, **_elsewhere(edges, run.encoder))
    missing = run.missing(ingest.folders(local), seen)
    if drop_missing:
        _drop_files(edges, missing)
    edges.store.compact()
    return run.report(missing, time.monotonic() - started, dropped=len(missing) if drop_missing else 0)


def use(edges: Edges, model: str, *, prepare: Prepare, progress: Report | None) -> AddReport:
    """Embeds what another encoder has not seen, makes its columns and curves, and switches to it in one step."""
    started = time.monotonic()
    encoder = edges.encoders.named(model)
    run = _ingest(edges, encoder)
    sources = [path if is_url(path) else os.path.normpath(edges.folder / path) for path in edges.located()]
    spread = _elsewhere(edges, encoder)
    run.run(ingest.walk(sources, edges.folder), total=len(sources), progress=progress, **spread)
    if run.vectors.exists():
        prepare(edges.ahead(encoder, model))
    edges.adopt(encoder, model)
    return run.report([], time.monotonic() - started)


def bring(
    edges: Edges,
    source: Path,
    *,
    ids: Path | None,
    encoder: str | None,
    logit_scale: float | None,
    logit_bias: float | None,
) -> AddReport:
    """Takes vectors made elsewhere, by the collection's own encoder or by one that only has a name."""
    brought = exchange.read_vectors(source, ids)
    held = _whose(edges, brought.dim, encoder, logit_scale, logit_bias)
    vectors = edges.store.vectors(held.encoder or "")
    scoring = _foreign_scoring(vectors) if encoder else _scoring(edges, edges.encoder(), vectors)
    return ingest.bring(
        edges.store, vectors, brought.names, brought.batches(), workers=edges.settings.workers, **scoring
    )


def _elsewhere(edges: Edges, encoder: Encoder) -> dict[str, Any]:
    """Who reads and encodes, where the settings ask for a cluster, and how each of them comes by the encoder."""
    chosen = cluster.of(edges.settings)
    return {} if chosen is None else {"spread": chosen.spread, "load": edges.encoders.recipe(encoder)}


def _ingest(edges: Edges, encoder: Encoder) -> ingest.Ingest:
    vectors = edges.store.vectors(key_of(encoder))
    return ingest.Ingest(edges.store, vectors, encoder, edges.settings, **_scoring(edges, encoder, vectors))


def _scoring(edges: Edges, encoder: Encoder, vectors: Vectors) -> dict[str, Any]:
    """What new rows of a table need beside their vectors: background, logits of its columns, and its record."""
    phrases, scale, bias = edges.phrases(encoder), encoder.logit_scale, encoder.logit_bias
    prompts = phrases(background_prompts())

    def background(rows: Floats) -> Floats:
        return maths.background(rows, prompts, scale=scale, bias=bias)

    def head(hash_: str) -> Head:
        return edges.head(hash_, vectors.name)

    def logits_of(rows: Floats, _background: Floats) -> dict[str, Floats]:
        there = vectors.columns()
        directions = {code: columns.recorded_direction(column, phrases, head) for code, column in there.items()}
        return columns.logits_by_code(rows, directions, scale, bias)

    metadata = {"encoder": vectors.name, "background_hash": background_hash()}
    return {"background": background, "logits_of": logits_of, "metadata": metadata}


def _foreign_scoring(vectors: Vectors) -> dict[str, Any]:
    """The same for vectors of an encoder that is not at hand: no background, and columns left for `tag`."""
    return {
        "background": lambda rows: np.full(len(rows), np.nan, np.float32),
        "logits_of": lambda _rows, _background: {},
        "metadata": {"encoder": vectors.name, "background_hash": ""},
    }


def _whose(edges: Edges, dim: int, encoder: str | None, scale: float | None, bias: float | None) -> Manifest:
    """The manifest of the encoder that brought vectors belong to; an empty collection takes the one they name."""
    held = edges.manifest
    if held.encoder is None and encoder is None:
        edges.first_encoder(None)
        held = edges.manifest
    elif held.encoder is None:
        if scale is None:
            raise UsageError("say the encoder's --logit-scale (CLIP: 100) with the first vectors of a collection")
        asked = edges.settings.model if edges.settings.sources.get("model") != "default" else None
        held = held.with_encoder(model=asked, encoder=encoder, dim=dim, logit_scale=scale, logit_bias=bias or 0.0)
        manifest.write(edges.place, held)
    elif encoder not in (None, held.encoder):
        raise UsageError(f"this collection uses {held.encoder}, not {encoder}: import into a collection of its own")
    if dim != held.dim:
        raise UsageError(f"the vectors have {dim} dimensions, those of {held.encoder} have {held.dim}")
    return held


def _drop_files(edges: Edges, paths: Sequence[str]) -> None:
    known = edges.located()
    kept = {image for path, image in known.items() if path not in set(paths)}
    edges.store.drop_files(paths)
    edges.store.drop_images(sorted({known[p] for p in paths if p in known} - kept))
