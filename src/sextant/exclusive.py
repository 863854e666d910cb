"""Exclusive groups: of several attributes one holds, and labels say how sharply the softmax over them may choose.

An image speaks for a group when exactly one of its attributes was labelled yes. The temperature that was fitted is used
only where it is likelier than the one in use on labels that it did not see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sextant.maths import calibration as curves
from sextant.maths import fitting
from sextant.maths.calibration import Calibration
from sextant.view import View

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GroupFit:
    """The temperature for a group, whether labels changed it, and why if not.

    `held_out` and `unlabelled` (n, k) are the shares of each labelled image by a temperature that did not see it and by
    the one in use; `truth` (n,) is the place of the true member. `nll` and `brier` are (after, before).
    """

    codes: tuple[str, ...]
    calibration: Calibration
    applied: bool
    reason: str
    images: tuple[str, ...]
    truth: NDArray[np.intp]
    held_out: Doubles
    unlabelled: Doubles
    nll: tuple[float, float]
    brier: tuple[float, float]


def members(view: View, code: str) -> tuple[str, ...]:
    """The attributes of the exclusive group that a code belongs to; none where it stands alone."""
    item = view.describe(code)
    name = getattr(item, "group", None)
    if name is None or view.vocabulary is None:
        return ()
    return tuple(a.code for a in view.vocabulary.attributes if a.group == name)


def fits(view: View, answers: Mapping[str, Mapping[str, bool]]) -> list[GroupFit]:
    """The fits of the groups that were labelled."""
    groups = dict.fromkeys(codes for code in answers if (codes := members(view, code)))
    found = (fit(view, codes, answers, view.calibration(codes[0])) for codes in groups)
    return [one for one in found if one is not None]


def fit(
    view: View, codes: Sequence[str], answers: Mapping[str, Mapping[str, bool]], in_use: Calibration
) -> GroupFit | None:
    """The temperature of one group by its labels; None where no label says which member holds."""
    said: dict[str, list[int]] = {}
    for place, code in enumerate(codes):
        for image, value in answers.get(code, {}).items():
            if value and image in view.places and image not in view.taught and code in view.columns:
                said.setdefault(image, []).append(place)
    images = [image for image, places in said.items() if len(places) == 1]
    if not images:
        return None
    rows = np.array([view.places[image] for image in images], np.intp)
    nothing = np.full(len(view), np.nan)
    logits = np.stack([view.logits(c) if c in view.columns else nothing for c in codes], axis=1)[rows]
    usable = np.isfinite(logits).all(axis=1)
    images = [image for image, there in zip(images, usable, strict=True) if there]
    logits, truth = logits[usable].astype(np.float64), np.array([said[image][0] for image in images], np.intp)
    now = curves.group_confidence(logits, in_use.params["temperature"])
    if len(images) < fitting.LEAST_LABELS:
        reason = f"{len(images)} images labelled with one member; at least {fitting.LEAST_LABELS} are needed"
        losses = _losses(now, truth)
        return GroupFit(tuple(codes), in_use, False, reason, tuple(images), truth, now, now, *_pairs(losses, losses))
    held = _held_out(logits, truth, images)
    after, before = _losses(held, truth), _losses(now, truth)
    applied = after[0] < before[0]
    reason = "" if applied else "no likelier on labels the fit did not see"
    curve = fitting.fit_temperature(logits, truth) if applied else in_use
    pairs = _pairs(after if applied else before, before)
    return GroupFit(tuple(codes), curve, applied, reason, tuple(images), truth, held if applied else now, now, *pairs)


def _held_out(logits: Doubles, truth: NDArray[np.intp], images: Sequence[str]) -> Doubles:
    """Shares of every image by a temperature fitted to the other fifths; too few others leave the plain softmax."""
    fold = np.array([int(image[:8], 16) if _is_id(image) else k for k, image in enumerate(images)]) % fitting.FOLDS
    shares = curves.group_confidence(logits)
    for part in range(fitting.FOLDS):
        out = fold == part
        if out.any() and (~out).sum() >= fitting.LEAST_LABELS:
            fitted = fitting.fit_temperature(logits[~out], truth[~out])
            shares[out] = curves.group_confidence(logits[out], fitted.params["temperature"])
    return shares


def _is_id(image: str) -> bool:
    return len(image) >= 8 and all(c in "0123456789abcdef" for c in image[:8])


def _losses(shares: Doubles, truth: NDArray[np.intp]) -> tuple[float, float]:
    """Mean negative log likelihood of the true member, and Brier score a cell."""
    if not len(truth):
        return float("nan"), float("nan")
    rows = np.arange(len(truth))
    wanted = np.zeros_like(shares)
    wanted[rows, truth] = 1.0
    return float(-np.log(np.maximum(shares[rows, truth], 1e-12)).mean()), float(((shares - wanted) ** 2).mean())


def _pairs(after: tuple[float, float], before: tuple[float, float]) -> tuple[tuple[float, float], tuple[float, float]]:
    return (after[0], before[0]), (after[1], before[1])
