"""An even sample of a large collection that stays in memory, so that a question need not read all of it.

What a phrase's logits look like over the sample gives the curve of its confidences; an index gives the images at its
top; the curve is then read for these alone. Knows nothing of words, filters or answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sextant.index import Index
from sextant.maths import calibration as curves
from sextant.maths import logits as maths
from sextant.maths.calibration import Calibration
from sextant.pinned import Numbers
from sextant.prior import Unlabelled
from sextant.types import Floats

ROWS = 20_000
DEEPER = 4

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sample:
    """Vectors (m, dim) and background (m,) of rows spread evenly; `every` is the background (n,) of all rows."""

    vectors: Floats
    background: Floats
    every: Floats

    @classmethod
    def of(cls, index: Index, rows: int = ROWS) -> Sample:
        """At most `rows` of the table of an index. Raises `tables.Vanished` where its version is gone."""
        n = len(index)
        chosen = np.unique(np.linspace(0, max(n - 1, 0), min(rows, n)).astype(np.int64))
        every = index.background()
        return cls(index.take(chosen), every[chosen], every)


@dataclass(frozen=True, slots=True)
class Phrase:
    """A direction (dim,) with its negatives (k, dim) or None, and how cosines become logits."""

    positive: Floats
    negatives: Floats | None
    scale: float
    bias: float

    def logits(self, vectors: Floats) -> Floats:
        """Logits (n,) of images (n, dim), to the last bit those of a column."""
        return maths.logits(vectors, self.positive, self.negatives, scale=self.scale, bias=self.bias)


@dataclass(frozen=True, slots=True)
class Ranked:
    """Rows of an index's table, best first, with their logits, log-odds and confidences, and the curve behind them."""

    rows: Numbers
    logits: Floats
    log_odds: NDArray[np.float64]
    confidence: NDArray[np.float64]
    curve: Calibration


def curve(unlabelled: Unlabelled, sample: Sample, phrase: Phrase) -> Calibration:
    """The curve of a phrase over the whole collection, from the sample's logits.

    A curve reads a few hundred quantiles of the logits, so twenty thousand rows say what a million would.
    """
    return unlabelled.curve(_roughly(phrase, sample.vectors), sample.background)


def _roughly(phrase: Phrase, vectors: Floats) -> Floats:
    """The logits of a phrase in float32, four times as fast: quantiles need no last bit."""
    own = vectors @ phrase.positive
    if phrase.negatives is not None and len(phrase.negatives):
        own -= np.maximum(0.0, (vectors @ phrase.negatives.T).max(axis=1) - own)
    return np.asarray(phrase.scale * own + phrase.bias, np.float32)


def evidence_direction(positive: Floats, centre: Floats, weight: float) -> Floats:
    """The direction (dim,) whose nearest images have the most evidence: prompt less λ · the mean background prompt.

    `logit − λ · background` is linear in the image's vector, so ranking by evidence is a search for the nearest.
    """
    return np.asarray(positive - weight * centre, np.float32)


def ranked(
    index: Index,
    sample: Sample,
    phrase: Phrase,
    known: Calibration,
    *,
    centre: Floats,
    limit: int,
    allowed: Mask | None = None,
) -> Ranked:
    """The images that most likely show a phrase, by its curve from `curve`.

    `centre` (dim,) is the mean of the background prompts' vectors, `allowed` (n,) the rows that may be answered; with
    it the answer is exact. Negatives only lower a logit, so candidates by the positive prompt alone are asked for until
    none that is left could still come first.
    """
    weight = float(known.params.get("lambda", 0.0))
    direction = evidence_direction(phrase.positive, centre, weight)[None, :]
    wanted, most = limit, len(index) if allowed is None else int(np.count_nonzero(allowed))
    while True:
        rows = index.candidates(direction, wanted, allowed=allowed)
        vectors, background = index.take(rows), sample.every[rows]
        found = phrase.logits(vectors)
        score = curves.log_odds(known, found, background)
        order = np.lexsort((rows, -score))[:limit]
        if phrase.negatives is None or wanted >= most or len(rows) <= limit:
            break
        alone = maths.logits(vectors, phrase.positive, scale=phrase.scale, bias=phrase.bias)
        bound = curves.log_odds(known, alone, background).min()  # nothing that is left can have more
        if score[order[-1]] > bound:
            break
        wanted *= DEEPER
    confidence = curves.confidence(known, found[order], background[order])
    return Ranked(rows[order], found[order], score[order], confidence, known)
