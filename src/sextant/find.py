"""`search` and `similar`: from a phrase or a picture to the images of a collection, ranked; or "nothing here"."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sextant import columns, embedding, prior
from sextant import search as ranking
from sextant.columns import Direction
from sextant.edges import Edges
from sextant.errors import UsageError
from sextant.maths import calibration as curves
from sextant.maths import rules
from sextant.types import Floats, Hit, SearchResult
from sextant.view import KINDS, View
from sextant.vocabulary import Thresholds

MOST_CHARACTERS = 2000


def search(
    edges: Edges, text: str, *, negatives: Sequence[str], limit: int, where: str | None, threshold: float
) -> SearchResult:
    """The images most likely to show a phrase, judged by the same prior as unlabelled columns."""
    phrase = text.strip()
    if not phrase:
        raise UsageError("say what to search for: the query is empty")
    if len(phrase) > MOST_CHARACTERS:
        raise UsageError(f"the query has {len(phrase)} characters; an encoder reads a sentence, not a book")
    direction = columns.directions_of([phrase], list(negatives), edges.phrases())
    view, chosen = _where(edges, where, limit)
    values = _aligned(edges, view, direction)
    curve = prior.Unlabelled(edges).curve(values, view.background)
    confidence = curves.confidence(curve, values, view.background)
    rows = ranking.best(curves.log_odds(curve, values, view.background), view.ids, limit, chosen)
    hints = _hints(view, where, float(confidence[rows[0]]) if len(rows) else None)
    rows = rows[confidence[rows] >= threshold]
    state = "uncalibrated" if curve.kind == "fixed" else "prior"
    return SearchResult(phrase, state, _hits(edges, view, rows, values, confidence, phrase), hints)


def similar(edges: Edges, image: str, *, limit: int, where: str | None) -> SearchResult:
    """The images most like one picture; the picture itself is left out."""
    view, chosen = _where(edges, where, limit)
    found = view.find(image)
    vector = edges.vectors.vector(found) if found else None
    if vector is None:
        path = Path(image).expanduser()
        if not path.is_file():
            raise UsageError(f"no image '{image}' in the collection, and no such file")
        found, vector = embedding.embed_file(path, edges.encoder())
    values = _aligned(edges, view, Direction(vector, None))
    if found in view.places:
        chosen[view.places[found]] = False
    rows = ranking.best(values.astype(np.float64), view.ids, limit, chosen)
    hints = () if len(rows) else _hints(view, where, None)
    return SearchResult(image, "likeness", _hits(edges, view, rows, values, None, image), hints)


def _where(edges: Edges, where: str | None, limit: int) -> tuple[View, NDArray[np.bool_]]:
    """A view of all images, and which of them satisfy a rule."""
    if limit < 1:
        raise UsageError(f"limit must be at least 1, not {limit}")
    if where is None:
        view = edges.view()
        return view, np.ones(len(view), np.bool_)
    parsed = rules.parse(where, edges.known())
    view = edges.view([name for name in parsed.names if name not in KINDS])
    return view, view.mask(parsed)


def _aligned(edges: Edges, view: View, direction: Direction) -> Floats:
    """A direction's logits in the order of a view."""
    scale, bias = edges.scale
    ids, values = ranking.logits(edges.vectors, direction.positive, direction.negatives, scale=scale, bias=bias)
    return view.aligned(ids, values)


def _hits(
    edges: Edges,
    view: View,
    rows: NDArray[np.intp],
    values: Floats,
    confidence: NDArray[np.float64] | None,
    matched: str,
) -> tuple[Hit, ...]:
    scale, bias = edges.scale
    return tuple(
        Hit(
            id=str(view.ids[row]),
            path=str(view.paths[row]),
            cosine=(float(values[row]) - bias) / scale,
            logit=float(values[row]),
            confidence=None if confidence is None else float(confidence[row]),
            matched=matched,
        )
        for row in rows.tolist()
    )


def _hints(view: View, where: str | None, top: float | None) -> tuple[str, ...]:
    if not len(view):
        return ("the collection has no images: sextant add FOLDER",)
    if top is None:
        return (f"no image satisfies the rule: {where}",) if where else ()
    if top < Thresholds().tentative:
        return (f"nothing here is likely to show this: the best has confidence {floor(top * 1000) / 1000:.3f}",)
    return ()
