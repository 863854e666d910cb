"""How far pictures show what was asked for: from vectors to margins, the part `clip` of a score, and confidences.

The confidence is the one that a search gives, with the candidates as its population and the collection's own level
where it has one. It has a state, like every confidence. Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from sextant import prior
from sextant.background import background_prompts
from sextant.curate.scores import HALFWAY, likeness
from sextant.edges import Edges
from sextant.maths import calibration as curves
from sextant.maths import components, mixture
from sextant.maths import logits as maths
from sextant.maths.calibration import Calibration
from sextant.types import Floats

Doubles = NDArray[np.float64]
Curve = Callable[[Doubles, Floats], Calibration]
"""From a population's logits (n,) and background (n,) to the curve of its confidences."""
SAMPLE = 2000
LEAST_SPREAD = 1e-6  # of a logit
TYPICAL = 5.0  # σ above the usual at which a match is taken to lie, where no card says it


@dataclass(frozen=True, slots=True)
class Readings:
    """What the meter says of n candidates, (n,) each; `matched` is the number of the phrase that fits best."""

    margin: Doubles
    value: Doubles
    confidence: Doubles
    matched: NDArray[np.intp]
    state: str


class Meter:
    """Reads vectors against phrases, of which the best counts, and negatives, of which the nearest counts."""

    def __init__(self, edges: Edges, phrases: Sequence[str], negatives: Sequence[str]) -> None:
        self.edges = edges
        texts = edges.phrases()
        rows = texts([*phrases, *negatives])
        self.phrases = tuple(phrases)
        self._positive, self._negative = rows[: len(phrases)], rows[len(phrases) :]
        self._scale, self._bias = edges.scale

    @cached_property
    def prompts(self) -> Floats:
        """The background prompts, (k, dim)."""
        return self.edges.phrases()(background_prompts())

    def background(self, vectors: Floats) -> Floats:
        """The background (n,) of vectors that belong to no collection."""
        return maths.background(vectors, self.prompts, scale=self._scale, bias=self._bias)

    def read(self, vectors: Floats, background: Floats) -> Readings:
        """Margins, parts and confidences of vectors (n, dim)."""
        if not len(vectors):
            nothing = np.zeros(0)
            return Readings(nothing, nothing, nothing, np.zeros(0, np.intp), "uncalibrated")
        unknown = np.isnan(background)
        if unknown.any():
            background = np.where(unknown, self.background(vectors), background)
        logits = self._logits(vectors, self._positive)
        best = logits.max(axis=1).astype(np.float64)
        rival = np.full(len(best), -np.inf)
        if len(self._negative):
            rival = self._logits(vectors, self._negative).max(axis=1).astype(np.float64)
        yardstick = self._yardstick(vectors)
        usual = np.asarray(yardstick.weight * background + yardstick.center, np.float64)
        less = self._less(vectors)
        curve = yardstick.curve(less, background)
        other = np.where(np.isfinite(rival), rival, usual + HALFWAY * yardstick.unit)
        return Readings(
            margin=(best - other) / self._scale,
            value=likeness(best, rival, usual, yardstick.unit),
            confidence=np.asarray(curves.confidence(curve, less, background), np.float64),
            matched=np.asarray(logits.argmax(axis=1), np.intp),
            state="uncalibrated" if curve.kind == "fixed" else "prior",
        )

    def _less(self, vectors: Floats) -> Doubles:
        """Logits (n,) as a search has them: what a picture resembles a negative more is taken off."""
        best = self._logits(vectors, self._positive).max(axis=1).astype(np.float64)
        if not len(self._negative):
            return np.asarray(best)
        rival = self._logits(vectors, self._negative).max(axis=1)
        return np.asarray(best - np.maximum(0.0, rival - best))

    def _logits(self, vectors: Floats, texts: Floats) -> Floats:
        return maths.logit_matrix(vectors, texts, scale=self._scale, bias=self._bias)

    def _yardstick(self, vectors: Floats) -> _Yardstick:
        """The collection's own level; without one that of the candidates, of the card, or just their spread."""
        if self.edges.vectors.exists():
            found = prior.Unlabelled(self.edges)
            if found.known and found.level is not None:
                return _Yardstick.of(found.card, found.level, self._curve(found.curve))
        rows = vectors[np.unique(np.linspace(0, len(vectors) - 1, SAMPLE).astype(np.intp))]
        logits = self._logits(rows, self.prompts)
        own = self.edges.manifest.prior
        card = mixture.Prior.from_params(own) if own else None
        level = card.level if card else None
        if len(rows) >= mixture.LEAST_IMAGES:
            card = card or components.unknown_prior(logits, "sigmoid" if self._bias else "softmax")
            level = mixture.background_level(logits, card.weight)
        if card is not None and level is not None:
            curve = partial(_prior, card, level) if len(rows) >= mixture.LEAST_IMAGES else _fixed
            return _Yardstick.of(card, level, curve)
        weight = 0.0 if self._bias else 1.0
        rest = logits - weight * self.background(rows)[:, None]
        return _Yardstick(weight, float(np.median(rest)), TYPICAL * max(LEAST_SPREAD, float(rest.std())), _fixed)

    def _curve(self, curve: Curve) -> Curve:
        """The same with a sample of the collection among candidates that are too few to say how many fit."""

        def with_more(logits: Doubles, background: Floats) -> Calibration:
            if len(logits) >= mixture.LEAST_IMAGES:
                return curve(logits, background)
            rows = self.edges.vectors.sample(SAMPLE)
            more = self._less(rows)
            return curve(np.r_[logits, more], np.r_[background, self.background(rows)])

        return with_more


@dataclass(frozen=True, slots=True)
class _Yardstick:
    """λ, and in logits what phrases that mean nothing get and how far above it a match lies; and the way to a curve."""

    weight: float
    center: float
    unit: float
    curve: Curve

    @classmethod
    def of(cls, card: mixture.Prior, level: mixture.Level, curve: Curve) -> _Yardstick:
        """By what a card knows of pictures that show a thing."""
        typical = sum(share * mean for share, mean, _ in card.present)
        return cls(card.weight, level.center, max(1.0, typical) * max(LEAST_SPREAD, level.spread), curve)


def _prior(card: mixture.Prior, level: mixture.Level, logits: Doubles, background: Floats) -> Calibration:
    return mixture.prior(logits, background, card, level)


def _fixed(_logits: Doubles, _background: Floats) -> Calibration:
    return curves.fixed()
