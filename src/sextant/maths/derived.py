"""A derived attribute's bands and confidences from those of its parts, without any model.

A part's band reads as a truth: accepted is true, rejected is false, tentative lies between, unknown may be any of the
three. `all_of` is as good as its worst part, `any_of` as its best, a part of `none_of` counts reversed, and the rule is
as good as the worst of the three:

    part                       accepted   tentative  rejected   unknown
    all_of  [part]             accepted   tentative  rejected   unknown
    any_of  [part]             accepted   tentative  rejected   unknown
    none_of [part]             rejected   tentative  accepted   unknown
    all_of  [part, accepted]   accepted   tentative  rejected   unknown
    all_of  [part, tentative]  tentative  tentative  rejected   unknown
    all_of  [part, rejected]   rejected   rejected   rejected   rejected
    any_of  [part, accepted]   accepted   accepted   accepted   accepted
    any_of  [part, tentative]  accepted   tentative  tentative  unknown
    any_of  [part, rejected]   accepted   tentative  rejected   unknown

So a rule holds (is accepted) exactly where every part of `all_of` is accepted, at least one of `any_of` is, and every
part of `none_of` is rejected; and it is unknown exactly where an unknown part could still change it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sextant.maths.rules import ACCEPTED, REJECTED, UNKNOWN, AttributeValues
from sextant.vocabulary import RuleTree


def derive(rule: RuleTree, values: Mapping[str, AttributeValues]) -> AttributeValues:
    """The bands and confidences (n,) of a rule over the columns it names. Raises KeyError for a column not given.

    The confidence is that of the weakest part: the least of `all_of`, the greatest of `any_of`, 1 − the greatest of
    `none_of`, and of these the least; parts that are unknown are passed over, and it is NaN where the band is unknown.
    """
    result = _derive(rule, values)
    band = np.where(result.known, result.low, UNKNOWN).astype(np.int8)
    return AttributeValues(result.confidence, band)


@dataclass(frozen=True, slots=True, eq=False)
class _Bounds:
    """The worst and best band a rule can come to, and its confidence, NaN where the two differ. Each (n,)."""

    low: NDArray[np.int8]
    high: NDArray[np.int8]
    confidence: NDArray[np.float64]

    @property
    def known(self) -> NDArray[np.bool_]:
        return np.equal(self.low, self.high)

    def reversed(self) -> _Bounds:
        top = np.int8(ACCEPTED)
        return _Bounds(top - self.high, top - self.low, 1.0 - self.confidence)


def _derive(rule: RuleTree, values: Mapping[str, AttributeValues]) -> _Bounds:
    parts = [_part(part, values) for part in rule.all_of]
    parts += [_part(part, values).reversed() for part in rule.none_of]
    if rule.any_of:
        parts.append(_best([_part(part, values) for part in rule.any_of]))
    return _worst(parts)


def _part(part: str | RuleTree, values: Mapping[str, AttributeValues]) -> _Bounds:
    if isinstance(part, RuleTree):
        return _derive(part, values)
    column = values[part]
    unknown = np.equal(column.band, UNKNOWN)
    low = np.where(unknown, REJECTED, column.band).astype(np.int8)
    high = np.where(unknown, ACCEPTED, column.band).astype(np.int8)
    return _Bounds(low, high, np.where(unknown, np.nan, column.confidence))


def _worst(parts: list[_Bounds]) -> _Bounds:
    return _joined(np.minimum, np.fmin, parts)


def _best(parts: list[_Bounds]) -> _Bounds:
    return _joined(np.maximum, np.fmax, parts)


def _joined(of_bands: np.ufunc, of_confidences: np.ufunc, parts: list[_Bounds]) -> _Bounds:
    low = of_bands.reduce([part.low for part in parts])
    high = of_bands.reduce([part.high for part in parts])
    confidence = of_confidences.reduce([part.confidence for part in parts])
    return _Bounds(low, high, np.where(low == high, confidence, np.nan))
