"""Weights of a ranking, learned from what people selected, in use only where they were measured to rank better.

Takes the log of impressions and events to lists of features for `maths.learning`, and keeps what passes as a numbered
version of the encoder's weights. Knows nothing of how a search is answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sextant.edges import Edges
from sextant.events import Event, Impression, WeightsRecord
from sextant.feedback import features
from sextant.feedback.features import Hits
from sextant.types import Hit
from sextant.view import View

if TYPE_CHECKING:  # every search asks for weights, and few collections have any
    from sextant.maths.learning import Examination, Learned, Lists, Weights

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
    from sextant.maths import learning

    return learning.learn(lists, features.NAMES, looked, seed=seed)


def measured(found: Learned) -> dict[str, Any]:
    """What a record of weights says of their worth."""
    from sextant.maths import learning

    numbers = {name: getattr(found, name) for name in ("lists", "selected", "groups", "shown", "learned", "worst")}
    gain = asdict(found.gain) if found.gain else None
    return {"ndcg_at": learning.CUT, **numbers, "gain": gain, "examination": asdict(found.examination)}


def prepared(view: View, shown: Sequence[Impression], events: Sequence[Event]) -> tuple[Lists, Examination]:
    """Lists of hits with what was selected of them, and how fast attention falls, from a log.

    Answers whose confidences are none (likeness to a picture) are left out; so are images that are gone, whose
    neighbours keep their ranks.
    """
    from sextant.maths import learning

    chosen, queries = _selected(events), dict[str, int]()
    usable = [s for s in shown if any(hit["confidence"] is not None for hit in s.hits)]
    length = max((len(s.hits) for s in usable), default=0)
    table = np.full((len(usable), length, len(features.NAMES)), np.nan)
    rank, pair = np.zeros((len(usable), length), np.intp), np.full((len(usable), length), -1, np.intp)
    selected, group = np.zeros((len(usable), length)), np.zeros(len(usable), np.intp)
    for place, answer in enumerate(usable):
        group[place] = queries.setdefault(key_of(answer.query), len(queries))
        rows = features.places(view, [hit["id"] for hit in answer.hits])
        there = np.flatnonzero(rows >= 0)
        hits = [answer.hits[k] for k in there.tolist()]
        n = len(hits)
        table[place, :n] = features.table(view, answer.query, _hits(hits, rows[there]))
        rank[place, :n] = answer.start + 1 + there
        pair[place, :n] = group[place] * len(view) + rows[there]
        selected[place, :n] = [hit["id"] in chosen.get(answer.id, ()) for hit in hits]
    lists = learning.Lists(table, rank, selected, pair, group)
    return lists, learning.examination(pair[rank > 0], rank[rank > 0], selected[rank > 0])


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


def _hits(hits: Sequence[Mapping[str, Any]], rows: NDArray[np.intp]) -> Hits:
    return Hits(
        rows=rows,
        confidence=np.array([np.nan if hit["confidence"] is None else hit["confidence"] for hit in hits], np.float64),
        said=np.array([bool(hit.get("said")) for hit in hits], np.bool_),
        folded=np.array([int(hit.get("folded", 0)) for hit in hits], np.intp),
    )


# weights in use


def current(edges: Edges) -> Weights | None:
    """The weights in use for the encoder in use; None where there are none."""
    record = newest(edges)
    if record is None or record.weights is None or tuple(record.weights["names"]) != features.NAMES:
        return None
    from sextant.maths.learning import Weights

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


def ranked(edges: Edges, view: View, query: str, hits: tuple[Hit, ...]) -> tuple[Hit, ...]:
    """The hits of an answer in the order of the weights in use; as they were where there are none, or no confidence.

    Those and no others: a gain was measured by turning round what was shown, not by bringing in more.
    """
    learned = current(edges) if hits else None
    if learned is None or any(hit.confidence is None for hit in hits):
        return hits
    kept = [{"confidence": hit.confidence, "said": hit.said, "folded": len(hit.folded)} for hit in hits]
    known = _hits(kept, features.places(view, [hit.id for hit in hits]))
    return tuple(hits[place] for place in reordered(view, query, known, learned).tolist())


def reordered(view: View, query: str, hits: Hits, weights: Weights) -> NDArray[np.intp]:
    """The places (n,) of hits in the order of the weights, best first; equal ones as they were."""
    if not len(hits.rows):
        return np.zeros(0, np.intp)
    from sextant.maths import learning

    scores = learning.rerank(features.table(view, query, hits), weights)
    return np.asarray(np.argsort(-scores, kind="stable"), np.intp)


def contributions(view: View, query: str, hits: Hits, weights: Weights) -> NDArray[np.float64]:
    """What each feature adds to each hit's score, (n, f), to explain a ranking by."""
    table = features.table(view, query, hits)
    scaled = np.nan_to_num((table - np.array(weights.mean)) / np.array(weights.scale))
    return np.asarray(scaled * np.array(weights.weight))
