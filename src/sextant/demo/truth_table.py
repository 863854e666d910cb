"""Columns and answers against what is known to be true: prevalence, precision, recall, average precision.

Takes confidences, bands and truths as arrays over the same images. Knows nothing of collections or of how a confidence
came about, so what it measures is only as general as the pictures it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sextant.maths import rules
from sextant.maths.metrics import average_precision

Mask = NDArray[np.bool_]


def ratio(part: int, whole: int) -> float:
    """`part / whole`; NaN where there is nothing to divide by."""
    return part / whole if whole else float("nan")


@dataclass(frozen=True, slots=True)
class Row:
    """One attribute: of `n` images `positives` show it, `accepted` were accepted, and `right` are both."""

    code: str
    state: str
    n: int
    positives: int
    accepted: int
    right: int
    average_precision: float

    @property
    def prevalence(self) -> float:
        """The share of images that show it."""
        return ratio(self.positives, self.n)

    @property
    def precision(self) -> float:
        """The share of the accepted that show it; NaN where none is accepted."""
        return ratio(self.right, self.accepted)

    @property
    def recall(self) -> float:
        """The share of those that show it which were accepted; NaN where none shows it."""
        return ratio(self.right, self.positives)


@dataclass(frozen=True, slots=True)
class Summary:
    """All rows together. The mean is over the `measured` attributes that some image shows; the rest counts cells."""

    attributes: int
    measured: int
    mean_average_precision: float
    accepted: int
    right: int
    positives: int

    @property
    def precision(self) -> float:
        """The share of all accepted cells that are true."""
        return ratio(self.right, self.accepted)

    @property
    def recall(self) -> float:
        """The share of all true cells that were accepted."""
        return ratio(self.right, self.positives)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a rule chose (`chosen` images), how many of those it should have (`right`), and how many there are."""

    chosen: int
    right: int
    positives: int


def row(code: str, state: str, confidence: NDArray[np.float64], accepted: Mask, truth: Mask) -> Row:
    """One attribute's row from its confidences (n,), its accepted band (n,) and the truth (n,).

    An image without a confidence (NaN) ranks below all others.
    """
    scores = np.nan_to_num(confidence, nan=-1.0)
    found = average_precision(scores, truth) if truth.any() else float("nan")
    return Row(code, state, len(truth), int(truth.sum()), int(accepted.sum()), int((accepted & truth).sum()), found)


def summary(rows: Sequence[Row]) -> Summary:
    """The rows of a table as one line."""
    measured = [r.average_precision for r in rows if r.positives]
    return Summary(
        attributes=len(rows),
        measured=len(measured),
        mean_average_precision=float(np.mean(measured)) if measured else float("nan"),
        accepted=sum(r.accepted for r in rows),
        right=sum(r.right for r in rows),
        positives=sum(r.positives for r in rows),
    )


def holds(rule: str, codes: Iterable[str], truths: Sequence[frozenset[str]]) -> Mask:
    """Of which images (n,) a rule over `codes` is really true, when `truths` names all that each image shows.

    Raises `RuleError` for a rule that names anything else.
    """
    parsed = rules.parse(rule, dict.fromkeys(codes, "attribute"))
    values: Mapping[str, rules.AttributeValues] = {name: _certain(name, truths) for name in parsed.names}
    return rules.evaluate(parsed, values, len(truths))


def answer(chosen: Mask, truth: Mask) -> Answer:
    """How an answer (n,) compares with the truth (n,)."""
    return Answer(int(chosen.sum()), int((chosen & truth).sum()), int(truth.sum()))


def _certain(code: str, truths: Sequence[frozenset[str]]) -> rules.AttributeValues:
    """A column without doubt."""
    shown = np.array([code in truth for truth in truths], bool)
    return rules.AttributeValues(shown.astype(np.float64), np.where(shown, rules.ACCEPTED, rules.REJECTED))
