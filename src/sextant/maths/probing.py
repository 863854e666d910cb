"""Labels to light heads: a logistic probe that starts from the words, or few-shot prototypes; for every fold its own.

Each fold's head learns from labels outside the fold, copies of its pictures left out, and so does the choice of its
penalty: whatever a head says of a labelled image is fit to be calibrated and measured by. Knows nothing of images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from threadpoolctl import threadpool_limits

from sextant.errors import UsageError
from sextant.maths.heads import FOLDS, Head, fold_of
from sextant.types import Floats

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]
Kind = Literal["probe", "prototypes"]
LEAST = {"probe": 10, "prototypes": 2}
"""So many images of either answer are needed."""
SPREADS = (8.0, 4.0, 2.0, 1.0, 0.3)
"""How far a probe's log-odds may stray from what the words say, before the labels speak: one of these, by attribute."""
STEPS = 80
ANCHOR_SPREAD = 10.0
"""The same for the words' own logit, beside which everything else is learned."""
FEW_SPREAD = 10.0
"""The same for the two numbers that turn prototypes and words into log-odds."""
SAME = 0.999
"""Cosine from which two vectors are of one picture but for its file; near-duplicates of a burst lie below."""
FLOOR = 1e-12


def fit(
    rows: Floats, truth: Doubles, weights: Doubles, anchors: Floats | None = None, *, kind: Kind = "probe"
) -> list[Head]:
    """A head for each of c attributes from unit vectors (n, dim), `truth` (n, c) of 0, 1, NaN, and `weights` (n, c).

    `anchors` (c, dim) are the directions of the attributes' words, which a probe follows as far as labels agree.

    Raises:
        UsageError: too few labels of either answer, in all or outside of a fold.
    """
    known = np.isfinite(truth)
    counts = [(int((truth[known[:, k], k] == v).sum())) for k in range(truth.shape[1]) for v in (1.0, 0.0)]
    if min(counts) < LEAST[kind]:
        raise UsageError(f"a head needs at least {LEAST[kind]} labels of yes and of no; there are {counts}")
    fold = fold_of(rows)
    near = _near_folds(rows, fold)
    share = np.where(known, weights, 0.0)
    share = share / np.maximum(share.sum(0) / np.maximum(known.sum(0), 1), FLOOR)
    y = np.where(known, truth, 0.0)
    about = [{"kind": kind, "labels": int(known[:, k].sum()), "positives": int(y[:, k].sum())} for k in range(len(y.T))]
    with threadpool_limits(limits=1, user_api="blas"):  # the products are small: threads would wait for each other
        if kind == "prototypes":
            parts = [_prototypes(rows, y, share * ~near[:, [k]], anchors) for k in range(FOLDS)]
        else:
            parts = _probes(rows, y, share, near, anchors)
    return [
        Head(np.stack([w[:, k] for w, _ in parts]).astype(np.float32),
             np.array([b[k] for _, b in parts], np.float32), about[k])
        for k in range(truth.shape[1])
    ]  # fmt: skip


def _near_folds(rows: Floats, fold: NDArray[np.intp]) -> Mask:
    """Whether each row (n, folds) is in a fold, or as good as the same vector as one that is.

    Where that would leave a fold with less than half of the labels, vectors are that alike throughout, and it says
    nothing: then only the fold itself counts.
    """
    found = np.zeros((len(rows), FOLDS), np.bool_)
    found[np.arange(len(rows)), fold] = True
    near = found.copy()
    for start in range(0, len(rows), 2048):
        alike = rows[start : start + 2048] @ rows.T >= SAME
        for k in range(FOLDS):
            near[start : start + 2048, k] |= alike[:, fold == k].any(axis=1)
    return np.where(near.mean(axis=0) > 0.5, found, near)


def _probes(
    rows: Floats, y: Doubles, share: Doubles, near: Mask, anchors: Floats | None
) -> list[tuple[Doubles, Doubles]]:
    """Weights (dim, c) and offsets (c,) for each fold, the penalty of each attribute chosen outside the fold."""
    problem = _Problem(rows, y, anchors)
    losses = np.zeros((FOLDS, len(SPREADS), y.shape[1]))
    for k, other in _pairs():
        outside = share * ~(near[:, [k]] | near[:, [other]])
        start = None
        for place in reversed(range(len(SPREADS))):  # from stiff to free, each from the last
            start = problem.fitted(outside, np.full(y.shape[1], SPREADS[place]), start)
            surprise = problem.surprise(start)
            losses[k, place] += (surprise * share * near[:, [other]] * ~near[:, [k]]).sum(0)
            losses[other, place] += (surprise * share * near[:, [k]] * ~near[:, [other]]).sum(0)
    found = []
    for k in range(FOLDS):
        chosen = np.array(SPREADS)[losses[k].argmin(0)]
        found.append(problem.plain(problem.fitted(share * ~near[:, [k]], chosen)))
    return found


def _pairs() -> list[tuple[int, int]]:
    """A ring: each fold is left out with the next one, so that its neighbours can say which penalty is best."""
    return [(k, (k + 1) % FOLDS) for k in range(FOLDS)]


class _Problem:
    """Logistic regressions of c attributes on the same rows, side by side; parameters (dim + 2, c).

    The rows are centred and scaled to one spread; row `dim` weighs the words' own logit, the last is the offset.
    """

    def __init__(self, rows: Floats, y: Doubles, anchors: Floats | None) -> None:
        self.y = y.astype(np.float32)
        self.centre = rows.mean(0, dtype=np.float64)
        spread = rows.std(0, dtype=np.float64)
        self.scale = np.maximum(spread, 0.1 * float(np.sqrt((spread**2).mean())) + FLOOR)
        self.x = ((rows - self.centre) / self.scale).astype(np.float32)
        width = rows.shape[1]
        self.anchors = np.zeros((width, y.shape[1])) if anchors is None else anchors.T * self.scale[:, None]
        words = self.x @ self.anchors.astype(np.float32)
        self.anchors = self.anchors / np.where(words.std(0) > FLOOR, words.std(0), 1.0)
        self.words = (self.x @ self.anchors.astype(np.float32)).astype(np.float32)

    def logits(self, p: Doubles) -> Floats:
        """(n, c)."""
        w = p.astype(np.float32)
        return np.asarray(self.x @ w[:-2] + self.words * w[-2] + w[-1], np.float32)

    def surprise(self, p: Doubles) -> Doubles:
        """−log of what is said of the truth, (n, c)."""
        z = self.logits(p).astype(np.float64)
        return np.asarray(np.logaddexp(0, z) - self.y * z)

    def fitted(self, share: Doubles, spreads: Doubles, start: Doubles | None = None) -> Doubles:
        """The parameters that make the mean loss plus the penalty smallest; `share` (n, c) weighs the rows."""
        total = np.maximum(share.sum(0), FLOOR)
        held = (share / total).astype(np.float32)
        shape = (self.x.shape[1] + 2, self.y.shape[1])
        ridge = np.broadcast_to(self.x.shape[1] / spreads**2 / total, shape).copy()  # counts less as labels grow
        ridge[-2], ridge[-1] = 1 / ANCHOR_SPREAD**2 / total, 0.0
        first = np.zeros(shape) if start is None else start

        def value(flat: Doubles) -> tuple[float, Doubles]:
            p = flat.reshape(shape)
            z = self.logits(p)
            loss = float((held * (np.logaddexp(0, z) - self.y * z)).sum(dtype=np.float64))
            gap = held * (expit(z) - self.y)
            slope = np.concatenate([self.x.T @ gap, (self.words * gap).sum(0)[None], gap.sum(0)[None]])
            return loss + 0.5 * float((ridge * p * p).sum()), (slope + ridge * p).astype(np.float64).ravel()

        found = minimize(value, first.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": STEPS, "maxcor": 20})
        return np.asarray(found.x.reshape(shape))

    def plain(self, p: Doubles) -> tuple[Doubles, Doubles]:
        """Weights (dim, c) and offsets (c,) on the vectors as they are."""
        w = (p[:-2] + self.anchors * p[-2]) / self.scale[:, None]
        return w, p[-1] - self.centre @ w


def _prototypes(rows: Floats, y: Doubles, share: Doubles, anchors: Floats | None) -> tuple[Doubles, Doubles]:
    """From the mean of the noes towards that of the yeses, with the words beside it, as log-odds; (dim, c) and (c,)."""
    found_w, found_b = np.empty((rows.shape[1], y.shape[1])), np.empty(y.shape[1])
    for k in range(y.shape[1]):
        ends = [share[:, k] * (y[:, k] == answer) for answer in (1.0, 0.0)]
        means = [_mean(rows, end) for end in ends]
        own = [_without_itself(rows, end, mean) for end, mean in zip(ends, means, strict=True)]
        words = np.zeros(rows.shape[1]) if anchors is None else anchors[k].astype(np.float64)
        seen = np.stack([own[0] - own[1], rows @ words], axis=1)
        problem = _Problem(seen.astype(np.float32), y[:, [k]], None)
        gains, offset = problem.plain(problem.fitted(share[:, [k]], np.array([FEW_SPREAD])))
        found_w[:, k], found_b[k] = gains[0, 0] * (means[0] - means[1]) + gains[1, 0] * words, offset[0]
    return found_w, found_b


def _without_itself(rows: Floats, share: Doubles, mean: Doubles) -> Doubles:
    """The likeness (n,) of each row with a mean in which it does not stand itself."""
    total = share.sum()
    mine = (rows.astype(np.float64) ** 2).sum(1) * share / total
    return np.asarray((rows @ mean - mine) / np.maximum(1 - share / total, 0.5))


def _mean(rows: Floats, share: Doubles) -> Doubles:
    """A weighted mean (dim,). Raises `UsageError` where nothing has any weight."""
    if not share.sum() > 0:
        raise UsageError("all labels of one answer are near-duplicates of each other; label other images, too")
    return np.asarray(share @ rows.astype(np.float64) / share.sum())


def codes_short(truth: Doubles, codes: Sequence[str], kind: Kind) -> list[str]:
    """The codes that have too few labels of either answer, with their counts, in words."""
    told = []
    for k, code in enumerate(codes):
        yes, no = int((truth[:, k] == 1).sum()), int((truth[:, k] == 0).sum())
        if min(yes, no) < LEAST[kind]:
            told.append(f"{code} ({yes} yes, {no} no)")
    return told
