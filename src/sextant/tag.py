"""`tag`: a vocabulary becomes columns; only what is absent or stale is computed, and no image is decoded."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sextant import cluster, columns, prior
from sextant.edges import Edges
from sextant.types import TagReport
from sextant.view import is_stale, reads_another_background
from sextant.vocabulary import Attribute, Vocabulary

UNLABELLED = ("fixed", "native", "prior", "temperature")
"""Kinds of calibration that `tag` may replace, unless a person stands behind them."""
BY_HAND = "set"
"""The parameter that marks a `fixed` curve as one that a person chose."""


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
    vectors, chosen = edges.vectors, edges.with_heads(chosen)
    if dry_run:
        todo, rows = columns.missing(chosen, vectors, codes) if vectors.exists() else [], len(vectors)
    else:
        with edges.store.writing():
            todo, rows = columns.missing(chosen, vectors, codes) if vectors.exists() else [], len(vectors)
            renewed = vectors.exists() and columns.renew_background(vectors, edges.phrases(), *edges.scale)
            if todo:
                chosen_cluster = cluster.of(edges.settings)
                spread = chosen_cluster.spread if chosen_cluster else None
                columns.put(vectors, todo, edges.phrases(), edges.head, *edges.scale, spread=spread)
            _calibrate(edges, chosen, codes, center, scale)
            edges.catalog.put_vocabulary(chosen.name, chosen.text)
            if renewed:
                renew(edges, [a.code for a in chosen.attributes])
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


def _calibrate(
    edges: Edges, chosen: Vocabulary, codes: Sequence[str] | None, center: float | None, scale: float | None
) -> None:
    """Gives a curve to every column that has none, or one for other prompts, or that was asked to be `fixed` otherwise.

    A curve that people's labels made stays, and so does a `prior`: it is frozen, so scores do not drift as a collection
    grows; `calibrate` renews it.
    """
    encoder = edges.vectors.name
    held = edges.catalog.calibrations(encoder)
    wanted = [a for a in chosen.attributes if codes is None or a.code in codes]
    due = [a.code for a in wanted if a.code not in held or held[a.code].prompt_hash != a.prompt_hash]
    again = [a.code for a in wanted if a.code not in due and _nobodys(held[a.code].calibration)]
    settled = [a.code for a in wanted if a.code in again and _is_fixed(a, center, scale)]
    if (center, scale) != (None, None):
        settled += [a.code for a in wanted if a.code not in due and _asked_before(held[a.code].calibration)]
    _record(edges, chosen, [*due, *settled], center, scale)


def _record(edges: Edges, chosen: Vocabulary, codes: Sequence[str], center: float | None, scale: float | None) -> None:
    hashes = {a.code: a.prompt_hash for a in chosen.attributes}
    curves = prior.default_curves(edges, chosen, codes, center=center, scale=scale)
    records = {c: (k.id, {"kind": k.kind, "params": dict(k.params)}, hashes[c]) for c, k in curves.items()}
    sources = prior.sources(edges, [c for c, k in curves.items() if k.kind in prior.FOUND])
    edges.catalog.put_calibrations(edges.vectors.name, records, {c: {"from": s} for c, s in sources.items()})


def renew(edges: Edges, codes: Sequence[str], *, fitted: bool = False) -> bool:
    """Works the `prior` of columns out anew where what it rests on has changed; says whether any was.

    Labels, and centers that a person asked for, stand in the way; but with `fitted`, a fit that reads a background
    which is no more begins anew from a prior.
    """
    chosen = edges.vocabulary
    if chosen is None:
        return False
    held = edges.catalog.calibrations(edges.vectors.name)
    background = edges.vectors.metadata().get("background_hash")
    bare = [a for a in chosen.attributes if a.code in codes and a.group is None and a.code in held]
    due = [
        a.code
        for a in bare
        if _nobodys(held[a.code].calibration)
        or (fitted and reads_another_background(held[a.code].calibration, background))
    ]

    def stale() -> list[str]:
        sources = prior.sources(edges, due)
        return [c for c in due if held[c].measured.get("from") != sources.get(c)]

    if not stale():
        return False
    prior.Unlabelled(edges, fresh=True)
    _record(edges, chosen, stale(), None, None)
    return True


def _nobodys(curve: Mapping[str, Any]) -> bool:
    """Whether neither labels nor a person's own choice stand behind a curve."""
    return curve["kind"] in UNLABELLED and not {"labels", BY_HAND} & set(curve["params"])


def _asked_before(curve: Mapping[str, Any]) -> bool:
    """Whether a center or a scale was asked for while tagging; then another may be."""
    return bool(curve["params"].get(BY_HAND) == prior.BY_RUN[BY_HAND])


def _is_fixed(attribute: Attribute, center: float | None, scale: float | None) -> bool:
    return attribute.group is not None or (center, scale, attribute.center, attribute.scale) != (None,) * 4
