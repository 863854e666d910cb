"""`calibrate`: the labels of a collection to curves, once every unlabelled curve was made of today's columns."""

from __future__ import annotations

from collections.abc import Sequence

from sextant import extract, judge
from sextant import tag as tagging
from sextant.edges import Edges
from sextant.types import CalibrationReport


def calibrate(edges: Edges, codes: Sequence[str] | None = None) -> list[CalibrationReport]:
    """Fits every labelled column, and uses a fit only where it does better on labels that it did not see.

    Raises:
        UsageError: there are no labels, or columns are of other prompts than the vocabulary's.
    """
    answered = {label.image for label in edges.catalog.labels(codes)}
    before = extract.view(edges, codes, answered)
    wanted = list(before.codes() if codes is None else codes)
    view = extract.view(edges, wanted, answered) if tagging.renew(edges, wanted, fitted=True) else before
    return judge.calibrate(view, edges.catalog, wanted, before.calibrations)
