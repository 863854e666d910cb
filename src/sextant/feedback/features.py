"""What is known of each hit of an answer, as numbers that a ranking can be learned from.

The same function serves learning and ranking, so both see the same numbers. NaN is what is not known. Knows nothing of
weights.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sextant.view import View

Doubles = NDArray[np.float64]

NAMES = ("log_odds", "words", "copies", "resolution", "sharpness", "brightness", "darkness", "recency", "overlap")
MOST_ODDS = 10.0
STANDING = "feedback: facts of images"
WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Hits:
    """The hits of one query: row of the view (n,), confidence (n,), whether people's words say it, how many folded."""

    rows: NDArray[np.intp]
    confidence: Doubles
    said: NDArray[np.bool_]
    folded: NDArray[np.intp]


def table(view: View, query: str, hits: Hits) -> Doubles:
    """Features (n, f) of hits, in the order of `NAMES`.

    The log-odds of the confidence; whether tags or the description say it; log₂ of the files and near-duplicates it
    stands for; log₂ of its megapixels; where it stands among all images by sharpness, brightness and time, from 0 to
    1; its share of dark pixels; and the mean confidence of the columns whose label or code the query contains.
    """
    p = np.clip(hits.confidence, 1e-6, 1 - 1e-6)
    odds = np.clip(np.log(p) - np.log1p(-p), -MOST_ODDS, MOST_ODDS)
    facts = _facts(view)[hits.rows]
    copies = np.log2(view.copies[hits.rows] + hits.folded)
    return np.column_stack([odds, hits.said.astype(np.float64), copies, facts, _overlap(view, query, hits.rows)])


def _facts(view: View) -> Doubles:
    """(n, 5) of all images, kept as long as the view lasts."""
    if STANDING not in view.memo:
        resolution = np.log2(np.maximum(view.fact_values("megapixels"), 1e-6))
        sharpness, brightness = (_standing(view.fact_values(name)) for name in ("sharpness", "brightness"))
        taken = pc.coalesce(view.fact("taken_at"), pc.cast(view.fact("added_at"), view.fact("taken_at").type))
        recency = _standing(_seconds(taken))
        view.memo[STANDING] = np.column_stack(
            [resolution, sharpness, brightness, view.fact_values("darkness"), recency]
        )
    kept: Doubles = view.memo[STANDING]
    return kept


def _seconds(times: pa.Array) -> Doubles:
    whole = pc.cast(pc.cast(times, pa.timestamp("us")), pa.int64())
    return np.asarray(pc.cast(whole, pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)


def _standing(values: Doubles) -> Doubles:
    """The share of images (n,) below each one, equal ones alike; NaN where nothing is known."""
    known = np.sort(values[np.isfinite(values)])
    middle = (np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")) / 2
    return np.where(np.isfinite(values), middle / max(1, len(known)), np.nan)


def _overlap(view: View, query: str, rows: NDArray[np.intp]) -> Doubles:
    named = columns_in(view, query)
    if not named:
        return np.zeros(len(rows))
    return np.asarray(np.mean([view.values(code).confidence[rows] for code in named], axis=0), np.float64)


def columns_in(view: View, query: str) -> list[str]:
    """The attributes whose label or code stands in a query, every word of it."""
    words = set(WORD.findall(query.casefold()))
    if view.vocabulary is None:
        return []
    return [
        item.code
        for item in view.vocabulary.attributes
        if item.code in view.columns and any(_within(text, words) for text in (item.label, item.code))
    ]


def _within(text: str, words: set[str]) -> bool:
    own = WORD.findall(text.casefold().replace("_", " "))
    return bool(own) and words.issuperset(own)


def places(view: View, ids: Sequence[str]) -> NDArray[np.intp]:
    """The rows (n,) of images in a view, -1 for one that is gone."""
    found = pc.fill_null(pc.index_in(pa.array(list(ids), pa.string()), value_set=view.ids), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False), np.intp)
