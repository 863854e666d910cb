"""Weights of a ranking, learned from what people selected, in use only where they were measured to rank better.

Takes the log of impressions and events to lists of features for `maths.learning`, and keeps what passes as a numbered
version of the encoder's weights. Knows nothing of how a search is answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.edges import Edges
from sextant.events import Event, Impression, WeightsRecord
from sextant.feedback import features
from sextant.feedback.features import Hits
from sextant.maths import learning
from sextant.maths.learning import Examination, Learned, Lists, Weights
from sextant.view import View

POSITIVE = ("clicked", "picked", "up")
NEWEST = 20_000
"""So many impressions are learned from."""


@dataclass(frozen=True, slots=True)
class LearnReport:
    """What was learned, and the version under which it was put in use; None where it was not."""

    learned: Learned
    version: int | None


def learn(edges: Edges, *, dry_run: bool = False, seed: int = 0) -> LearnReport:
    """Learns weights from the log, and puts them in use where they rank better what they were not learned from.

    Raises:
        CollectionError: the collection is empty.
    """
    view = edges.view()
    found = learn_from(view, edges.catalog.impressions(limit=NEWEST), edges.catalog.events(), seed=seed)
    if not found.applied or dry_run or found.weights is None:
        return LearnReport(found, None)
    version = edges.catalog.put_weights(edges.vectors.name, found.weights.to_params(), measured(found))
    return LearnReport(found, version)


def learn_from(view: View, shown: Sequence[Impression], events: Sequence[Event], *, seed: int = 0) -> Learned:
    """What a log teaches; nothing is kept."""
    lists, looked = prepared(view, shown, events)
    return learning.learn(lists, features.NAMES, looked, seed=seed)


def measured(found: Learned) -> dict[str, Any]:
    """What a record of weights says of their worth."""
    numbers = {name: getattr(found, name) for name in ("lists", "selected", "groups", "shown", "learned", "worst")}
    gain = asdict(found.gain) if found.gain else None
    return {"ndcg_at": learning.CUT, **numbers, "gain": gain, "examination": asdict(found.examination)}


def prepared(view: View, shown: Sequence[Impression], events: Sequence[Event]) -> tuple[Lists, Examination]:
    """Lists with something selected, and how fast attention falls, from a log.

    Answers whose confidences are none (likeness to a picture) are left out; so are images that are gone, whose
    neighbours keep their ranks.
    """
    chosen = _selected(events)
    usable = [s for s in shown if s.hits and any(hit["confidence"] is not None for hit in s.hits)]
    queries: dict[str, int] = {}
    groups = [queries.setdefault(key_of(s.query), len(queries)) for s in usable]
    rows = [features.places(view, [hit["id"] for hit in s.hits]) for s in usable]
    hit_of = [np.array([hit["id"] in chosen.get(s.id, ()) for hit in s.hits], np.float64) for s in usable]
    looked = _examination(usable, groups, rows, hit_of, len(view))
    telling = [k for k, selected in enumerate(hit_of) if selected.any()]
    length = max((len(usable[k].hits) for k in telling), default=0)
    table = np.full((len(telling), length, len(features.NAMES)), np.nan)
    rank, selected = np.zeros((len(telling), length), np.intp), np.zeros((len(telling), length))
    for place, k in enumerate(telling):
        there = rows[k] >= 0
        n = int(there.sum())
        table[place, :n] = features.table(view, usable[k].query, _hits(usable[k].hits, rows[k], there))
        rank[place, :n] = usable[k].start + 1 + np.flatnonzero(there)
        selected[place, :n] = hit_of[k][there]
    lists = Lists(table, rank, selected, np.array([groups[k] for k in telling], np.intp))
    return lists.some(selected.sum(axis=1) > 0), looked


def key_of(query: str) -> str:
    """What makes two queries the same: their words, in whatever case and spacing."""
    return " ".join(query.casefold().split())


def _selected(events: Sequence[Event]) -> dict[int, set[str]]:
    """The images of each impression that were selected and not given a thumb down afterwards."""
    found: dict[int, set[str]] = {}
    for event in events:
        if event.impression is None or event.code is not None:
            continue
        images = found.setdefault(event.impression, set())
        if event.kind in POSITIVE:
            images.add(event.image)
        else:
            images.discard(event.image)
    return found


def _hits(hits: Sequence[Mapping[str, Any]], rows: NDArray[np.intp], there: NDArray[np.bool_]) -> Hits:
    known = [hit for hit, here in zip(hits, there.tolist(), strict=True) if here]
    return Hits(
        rows=rows[there],
        confidence=np.array([np.nan if hit["confidence"] is None else hit["confidence"] for hit in known], np.float64),
        said=np.array([bool(hit.get("said")) for hit in known], np.bool_),
        folded=np.array([int(hit.get("folded", 0)) for hit in known], np.intp),
    )


def _examination(
    usable: Sequence[Impression],
    groups: Sequence[int],
    rows: Sequence[NDArray[np.intp]],
    selected: Sequence[NDArray[np.float64]],
    images: int,
) -> Examination:
    if not usable:
        return learning.examination([], [], [])
    kept = [r >= 0 for r in rows]
    pair = np.concatenate([g * images + r[k] for g, r, k in zip(groups, rows, kept, strict=True)])
    rank = np.concatenate([s.start + 1 + np.flatnonzero(k) for s, k in zip(usable, kept, strict=True)])
    clicks = np.concatenate([c[k] for c, k in zip(selected, kept, strict=True)])
    return learning.examination(pair, rank, clicks)


# weights in use


def current(edges: Edges) -> Weights | None:
    """The weights in use for the encoder in use; None where there are none."""
    record = newest(edges)
    if record is None or record.weights is None or tuple(record.weights["names"]) != features.NAMES:
        return None
    return Weights.from_params(record.weights)


def newest(edges: Edges) -> WeightsRecord | None:
    """The last record of the weights of the encoder in use."""
    records = edges.catalog.weights(edges.vectors.name)
    return records[-1] if records else None


def drop(edges: Edges) -> bool:
    """Takes the weights out of use; their record stays. Returns whether there were any."""
    if current(edges) is None:
        return False
    edges.catalog.put_weights(edges.vectors.name, None, {})
    return True


def reordered(view: View, query: str, hits: Hits, weights: Weights) -> NDArray[np.intp]:
    """The places (n,) of hits in the order of the weights, best first; equal ones as they were."""
    if not len(hits.rows):
        return np.zeros(0, np.intp)
    scores = learning.rerank(features.table(view, query, hits), weights)
    return np.asarray(np.argsort(-scores, kind="stable"), np.intp)


def contributions(view: View, query: str, hits: Hits, weights: Weights) -> NDArray[np.float64]:
    """What each feature adds to each hit's score, (n, f), to explain a ranking by."""
    table = features.table(view, query, hits)
    scaled = np.nan_to_num((table - np.array(weights.mean)) / np.array(weights.scale))
    return np.asarray(scaled * np.array(weights.weight))
