"""A question in words becomes, for every image, logits, log-odds and a confidence: what `search` ranks by.

Every term is read as a column that nobody has labelled, by the same prior. A term may be said in several ways
(variants): an image counts by a mean of their odds, each brought to the level of the term and lowered by its weight.
Several terms must all hold, and no negative may: their probabilities are multiplied as if they were independent. Knows
nothing of filters, ranks or people's words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sextant import expansion, nearest, phrasing, prior, search
from sextant.edges import Edges
from sextant.expansion import Expansions, Variant
from sextant.maths import calibration as curves
from sextant.maths.calibration import Calibration
from sextant.phrasing import Phrasing
from sextant.types import Floats
from sextant.view import View

Doubles = NDArray[np.float64]
Rows = NDArray[np.intp]

VARIANTS = 10
PARTS = 0.5
"""How much the weakest part of a phrase weighs beside the whole: `a red car` must show something red, and a car."""
AGREEMENT = 4.0
"""How far the variants of a term must agree: 1 takes the mean of their odds, infinity the mean of their log-odds."""
LEVEL_ROWS = 2000
"""Images that say where a phrase's own level lies."""
DEPTH, LEAST_DEPTH, NEGATIVES_DEEPER = 4, 200, 4
"""Rows an index is asked for, a hit that is wanted and at least; and how many times more where some may be excluded."""
MOST_TEXTS = 5000
"""Phrases at most whose vectors are kept in memory."""
UNLABELLED = "prior of columns that nobody has labelled"
UNLABELLED_PARTS = "the same for the best of an image and its parts"
EXPANSIONS = "expansions.yaml"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a phrasing, and the variants of each of its positive terms, the term itself first."""

    phrasing: Phrasing
    variants: tuple[tuple[Variant, ...], ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """Everything to be encoded, each once."""
        spoken = [v.text for variants in self.variants for v in variants]
        return tuple(dict.fromkeys([*spoken, *self.phrasing.parts, *(t.text for t in self.phrasing.negatives)]))


def question(edges: Edges, text: str, negatives: Sequence[str] = (), *, expand: bool = True) -> Question:
    """A question as a person typed it; with `expand`, each term also in the words of the expansion dictionary.

    Not so what the encoder was taught by fine-tuning: it knows those words better than any others for the same.
    A collection's own dictionary is `expansions.yaml` in its `.sextant` folder.

    Raises:
        UsageError: the text cannot be read, or the dictionary.
    """
    asked = phrasing.parse(text, negatives)
    taught = {phrase.casefold() for phrase in edges.manifest.taught_phrases or ()}

    def variants(term: str) -> tuple[Variant, ...]:
        if not expand or term.casefold() in taught:
            return (Variant(term, 1.0, None),)
        return dictionary_of(edges).variants(term, VARIANTS)

    return Question(asked, tuple(variants(term.text) for term in asked.positives))


def dictionary_of(edges: Edges) -> Expansions:
    """The expansion dictionary, with the collection's own file where there is one; read again when that changes."""
    own = edges.store.root / EXPANSIONS
    return _loaded(own, own.stat().st_mtime_ns) if own.is_file() else _loaded(None, 0)


@lru_cache(maxsize=8)
def _loaded(own: Path | None, _changed: int) -> Expansions:
    return expansion.load(own)


@dataclass(frozen=True, slots=True)
class Term:
    """One term as it is judged: columns of logits, what is added to each, and the curve of what they come to.

    `unit` is how many logits are worth about one unit of log-odds.
    """

    columns: NDArray[np.intp]
    shifts: Doubles
    parts: NDArray[np.intp]
    part_shifts: Doubles
    unit: float
    weight: float
    curve: Calibration | None = None

    def logits(self, table: Doubles) -> Doubles:
        """The term's logit (m,) from those of all texts (m, k): that of its variants together, and its parts'.

        Together they have the power mean of their odds, of the exponent 1 / AGREEMENT. The best variant alone would be
        misled by any one that the encoder takes for something else, and so is a mean of odds where that one is very
        sure; a mean of logits forgets the one that fits where the others are words that the encoder does not know.
        """
        unit = self.unit * AGREEMENT
        own = (table[:, self.columns] + self.shifts) / unit
        top = own.max(axis=1, keepdims=True)
        whole = unit * (top[:, 0] + np.log(np.exp(own - top).mean(axis=1)))
        if not len(self.parts):
            return np.asarray(whole)
        weakest = (table[:, self.parts] + self.part_shifts).min(axis=1)
        return np.asarray((1 - PARTS) * whole + PARTS * weakest)

    def matched(self, table: Doubles) -> NDArray[np.intp]:
        """The column (m,) of the variant that fits each image best."""
        return np.asarray(self.columns[np.argmax(table[:, self.columns] + self.shifts, axis=1)])


class Judge:
    """How images are judged by one question: fitted on a whole collection, then applied to any of its rows."""

    def __init__(self, asked: Question, unlabelled: prior.Unlabelled, logits: Floats, background: Floats) -> None:
        self.question = asked
        self.texts = asked.texts
        self._column = {text: i for i, text in enumerate(self.texts)}
        self._unlabelled = unlabelled
        table = np.asarray(logits, np.float64)
        step = max(1, len(table) // LEVEL_ROWS)
        finite = table[::step][np.isfinite(table[::step]).all(axis=1)]
        self._medians = np.median(finite, axis=0) if len(finite) else np.zeros(len(self.texts))
        self._fitted = logits
        self._joined: dict[int, Doubles] = {}
        parts = asked.phrasing.parts
        self.positives = [
            self._term([(v.text, v.weight) for v in variants], parts, term.weight, table, background)
            for term, variants in zip(asked.phrasing.positives, asked.variants, strict=True)
        ]
        self.negatives = [
            self._term([(term.text, 1.0)], (), term.weight, table, background) for term in asked.phrasing.negatives
        ]

    @cached_property
    def state(self) -> str:
        """What the confidences are worth."""
        kinds = {term.curve.kind for term in (*self.positives, *self.negatives) if term.curve}
        return "uncalibrated" if "fixed" in kinds else "prior"

    def _term(
        self,
        spoken: Sequence[tuple[str, float]],
        parts: Sequence[str],
        weight: float,
        table: Doubles,
        background: Floats,
    ) -> Term:
        columns = np.array([self._column[text] for text, _ in spoken], np.intp)
        beside = np.array([self._column[text] for text in parts], np.intp)
        shifts = np.log([w for _, w in spoken]) * self._unit
        rise, part_shifts = (self._medians[columns[0]] - self._medians[own] for own in (columns, beside))
        if self._trusted:
            rise, part_shifts = np.minimum(rise, 0.0), np.zeros(len(beside))
        shifts = shifts + rise
        term = Term(columns, shifts, beside, part_shifts, self._unit, weight)
        joined = term.logits(table)
        fitted = replace(term, curve=self._unlabelled.curve(joined, background))
        self._joined[id(fitted)] = joined
        return fitted

    @property
    def _trusted(self) -> bool:
        """Whether logits are log-odds as they stand; then a variant is never raised, lowered where it fits too many."""
        return not self._unlabelled.known or self._unlabelled.card.native is not None

    @property
    def _unit(self) -> float:
        """Logits that are worth about one unit of log-odds."""
        if not self._unlabelled.known:
            return float(curves.fixed().params["scale"])
        card = self._unlabelled.card
        if card.native is not None:
            return 1.0 / max(card.native[0], 1e-6)
        level = self._unlabelled.level
        return level.spread if level else 1.0

    def judged(self, logits: Floats, background: Floats) -> tuple[Doubles, Doubles]:
        """What to rank by, and the confidence, of images by their logits (m, k) and background (m,).

        Weights change the order alone: the confidence is that of every positive term holding, and no negative one.
        """
        odds = [self._log_odds(t, logits, background) for t in self.positives]
        against = [-self._log_odds(t, logits, background) for t in self.negatives]
        if len(odds) == 1 and not against:
            return odds[0], curves.sigmoid(odds[0])
        every = [-np.logaddexp(0.0, -x) for x in (*odds, *against)]
        weights = [t.weight for t in (*self.positives, *self.negatives)]
        together = np.minimum(sum(w * x for w, x in zip(weights, every, strict=True)), -1e-300)
        return together - np.log(-np.expm1(together)), np.exp(np.sum(every, axis=0))

    def _log_odds(self, term: Term, logits: Floats, background: Floats) -> Doubles:
        """A term's log-odds (m,); of the table that the judge was fitted on its logits are known."""
        own = self._joined[id(term)] if logits is self._fitted else term.logits(np.asarray(logits, np.float64))
        return curves.log_odds(term.curve or curves.fixed(), own, background)

    def matched(self, logits: Floats) -> list[str]:
        """The words that fit each image best, by its logits (m, k)."""
        table = np.asarray(logits, np.float64)
        spoken = [[self.texts[i] for i in term.matched(table)] for term in self.positives]
        return [" + ".join(words) for words in zip(*spoken, strict=True)]

    def positive_logits(self, logits: Floats) -> Doubles:
        """The logit (m,) of the words that fit best; of several terms their mean."""
        table = np.asarray(logits, np.float64)
        rows = np.arange(len(table))
        return np.asarray(np.mean([table[rows, term.matched(table)] for term in self.positives], axis=0))

    def margins(self, cosines: Doubles) -> Doubles | None:
        """S = max cos(positive) − max cos(negative), (m,), from cosines (m, k); None without a negative."""
        if not self.negatives:
            return None
        own = [term.columns[0] for term in self.positives]
        rivals = [term.columns[0] for term in self.negatives]
        return np.asarray(cosines[:, own].max(axis=1) - cosines[:, rivals].max(axis=1))


@dataclass(frozen=True, slots=True)
class Answer:
    """A question judged over a view: `score` to rank by and `confidence`, both (n,), NaN where nobody looked.

    `logits` (m, k) of its texts are those of `rows` (m,) of the view; `background` (n,) is what they are compared with.
    """

    judge: Judge
    logits: Floats
    rows: Rows
    background: Floats
    score: Doubles
    confidence: Doubles
    finish: Callable[[Rows], Floats] | None = None

    def exact(self, rows: Rows) -> Floats:
        """The logits (m, k) of some rows that were looked at, to the last bit."""
        return self.logits[np.searchsorted(self.rows, rows)] if self.finish is None else self.finish(rows)


@dataclass(frozen=True, slots=True)
class Among:
    """That only the best `limit` of the rows `allowed` (n,) are wanted, and `also` some: an index may find them."""

    limit: int
    allowed: NDArray[np.bool_] | None
    also: Rows


def answer(edges: Edges, view: View, asked: Question, among: Among | None = None, *, parts: bool = False) -> Answer:
    """The question judged for every image of a view; `among` allows an index to look at the likely ones alone.

    With `parts` an image counts by the best of itself and its parts, where those were embedded.
    """
    directions = _directions(edges, view, asked.texts)
    if parts:
        return _by_parts(edges, view, asked, directions)
    near = nearest.near(edges, view) if among is not None else None
    if near is not None and among is not None:
        return _by_index(near, unlabelled(edges, view), view, asked, directions, among)
    found = search.logits(edges, view, directions)
    judge = Judge(asked, unlabelled(edges, view), found, view.background)
    score, confidence = judge.judged(found, view.background)

    def finish(rows: Rows) -> Floats:
        return search.exact(edges, view, rows, directions, found)

    return Answer(judge, found, np.arange(len(view)), view.background, score, confidence, finish)


def _by_parts(edges: Edges, view: View, asked: Question, directions: Floats) -> Answer:
    from sextant import crops

    found, background = crops.logits(edges, view, directions)
    judge = Judge(asked, _of_parts(edges, view), found, background)
    score, confidence = judge.judged(found, background)
    return Answer(judge, found, np.arange(len(view)), background, score, confidence)


def _by_index(
    near: nearest.Near,
    known: prior.Unlabelled,
    view: View,
    asked: Question,
    directions: Floats,
    among: Among,
) -> Answer:
    """The same for the rows that an index finds likely; the curves come from the sample that stands for all."""
    judge = Judge(asked, known, near.sample_logits(directions), near.sample.background)
    weight = known.card.weight if known.known and known.card.native is None else 0.0
    wanted = np.stack([near.evidence(row, weight) for row in _likely(judge, directions)])
    deeper = NEGATIVES_DEEPER if judge.negatives else 1
    rows = near.candidates(wanted, deeper * max(LEAST_DEPTH, DEPTH * among.limit), among.allowed)
    rows = np.union1d(rows, near.with_vector(among.also))
    table = near.logits(rows, directions)
    score, confidence = np.full((2, len(view)), np.nan)
    score[rows], confidence[rows] = judge.judged(table, view.background[rows])
    return Answer(judge, table, rows, view.background, score, confidence)


def _likely(judge: Judge, directions: Floats) -> list[Floats]:
    """Directions near which the answer lies: of each term alone and with its variants and parts, and of all terms."""
    found = []
    for term in judge.positives:
        found += [directions[term.columns[0]], directions[np.r_[term.columns, term.parts]].mean(axis=0)]
    own = [directions[term.columns[0]] for term in judge.positives]
    return [*found, np.mean(own, axis=0)] if len(own) > 1 else found


def _directions(edges: Edges, view: View, texts: Sequence[str]) -> Floats:
    """Vectors (k, dim) of texts, the last thousands of them kept as long as the view lasts."""
    kept: dict[str, Floats] = view.memo.setdefault("vectors of phrases", {})
    if len(kept) > MOST_TEXTS:
        kept.clear()
    new = [text for text in texts if text not in kept]
    if new:
        kept.update(zip(new, edges.phrases()(new), strict=True))
    return np.stack([kept[text] for text in texts])


def score(edges: Edges, view: View, text: str) -> Doubles:
    """The confidences (n,) that `search` gives for a text, kept as long as the view lasts."""
    kept: dict[str, Doubles] = view.memo.setdefault("scores of phrases", {})
    if text not in kept:
        kept[text] = answer(edges, view, question(edges, text)).confidence
    return kept[text]


def _of_parts(edges: Edges, view: View) -> prior.Unlabelled:
    """The same for the best of an image and its parts: six looks come to more than one, whatever they show."""
    if UNLABELLED_PARTS not in view.memo:
        from sextant import crops
        from sextant.maths import mixture

        known = copy(unlabelled(edges, view))
        logits = crops.background_logits(edges)
        if known.known and len(logits) >= mixture.LEAST_IMAGES:
            known.level = mixture.background_level(logits, known.card.weight)
        view.memo[UNLABELLED_PARTS] = known
    kept: prior.Unlabelled = view.memo[UNLABELLED_PARTS]
    return kept


def unlabelled(edges: Edges, view: View) -> prior.Unlabelled:
    """What is known of columns that nobody has labelled, kept as long as the view lasts."""
    if UNLABELLED not in view.memo:
        view.memo[UNLABELLED] = prior.Unlabelled(edges)
    kept: prior.Unlabelled = view.memo[UNLABELLED]
    return kept
