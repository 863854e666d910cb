"""Another encoder for a whole collection: everything that its columns need is made first, then one step switches.

Whatever stops it before that step leaves the former encoder in use, and what was embedded is not embedded again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from sextant import add as adding
from sextant import heads
from sextant import tag as tagging
from sextant.calibrate import calibrate
from sextant.edges import Edges
from sextant.errors import UsageError
from sextant.maths.calibration import Calibration, base_of
from sextant.types import AddReport, Progress

Report = Callable[[Progress], None]
Look = Callable[[Edges], object]
"""Looks at the collection as it will be, before anybody sees it so."""


def use(edges: Edges, model: str, *, look: Look | None = None, progress: Report | None = None) -> AddReport:
    """Embeds what an encoder has not seen, makes its columns, heads and curves, and switches to it in one step."""

    def prepare(ahead: Edges) -> None:
        chosen = edges.vocabulary
        if chosen is not None:
            tagging.tag(ahead, chosen)
            heads.carry(edges, ahead)
            due = _unfitted(ahead)
            with suppress(UsageError):  # labels that nothing can be made of do not stand in the way
                if due:
                    calibrate(ahead, due)
        if look is not None:
            look(ahead)

    return adding.use(edges, model, prepare=prepare, progress=progress)


def _unfitted(ahead: Edges) -> Sequence[str]:
    """The labelled columns that have never had a curve of labels by this encoder."""
    labelled = {label.code for label in ahead.catalog.labels(thumbs=False)}
    held = ahead.catalog.calibrations(ahead.vectors.name)
    there = ahead.vectors.columns()
    found = []
    for code in sorted(labelled & set(there)):
        record = held.get(code)
        curve = None if record is None else Calibration(record.calibration["kind"], record.calibration["params"])
        fitted = curve is not None and (base_of(curve).id != curve.id or "labels" in curve.params)
        if not fitted:
            found.append(code)
    return found
