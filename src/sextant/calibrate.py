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
    labels = edges.catalog.labels(codes)
    images, labelled = {label.image for label in labels}, {label.code for label in labels}
    before = extract.view(edges, codes, images, read=labelled)
    wanted, held = list(before.codes() if codes is None else codes), before.calibrations
    renewed = tagging.renew(edges, wanted, fitted=True)
    view = extract.view(edges, codes, images, read=labelled) if renewed else before
    return judge.calibrate(view, edges.catalog, labels, wanted, held)
