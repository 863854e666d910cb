"""Another encoder for a whole collection: everything that its columns need is made first, then one step switches.

Whatever stops it before that step leaves the former encoder in use, and what was embedded is not embedded again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from sextant import add as adding
from sextant import heads
from sextant import tag as tagging
from sextant.calibrate import calibrate
from sextant.edges import Edges
from sextant.errors import UsageError
from sextant.maths.calibration import Calibration, base_of
from sextant.types import AddReport, Progress
from sextant.vocabulary import Attribute

Report = Callable[[Progress], None]
Doubles = NDArray[np.float64]
Look = Callable[[Edges], object]
"""Looks at the collection as it will be, before anybody sees it so."""
CARRIED = {"set": "carried"}
"""Marks a curve that says what the former encoder said: it stays until labels or a person change it."""
SAMPLE, LEAST = 20_000, 20


def use(
    edges: Edges,
    model: str,
    *,
    learned: Collection[str] | None = None,
    look: Look | None = None,
    progress: Report | None = None,
) -> AddReport:
    """Embeds what an encoder has not seen, makes its columns, heads and curves, and switches to it in one step.

    `learned` are the attributes that an encoder tuned from the one in use was taught. Where it is given, the unlabelled
    others go on saying what the former encoder says, as far as the new logits allow.
    """

    def prepare(ahead: Edges) -> None:
        chosen = edges.vocabulary
        if chosen is not None:
            tagging.tag(ahead, chosen)
            if learned is not None:
                _carry(edges, ahead, learned)
            heads.carry(edges, ahead)
            due = _unfitted(ahead)
            with suppress(UsageError):  # labels that nothing can be made of do not stand in the way
                if due:
                    calibrate(ahead, due)
        if look is not None:
            look(ahead)

    return adding.use(edges, model, prepare=prepare, progress=progress)


def _carry(now: Edges, ahead: Edges, learned: Collection[str]) -> None:
    """Gives the unlabelled columns that were not taught a curve on the new logits that follows the old confidences."""
    labelled = {label.code for label in now.catalog.labels()}
    codes = [
        code
        for code, record in ahead.catalog.calibrations(ahead.vectors.name).items()
        if code not in learned and code not in labelled and record.calibration["kind"] in ("prior", "native")
    ]
    old, new = now.view(codes), ahead.view(codes)
    rows, found = np.unique(np.linspace(0, len(new) - 1, min(SAMPLE, len(new))).astype(np.intp)), {}
    for code in codes:
        item = new.describe(code)
        if not isinstance(item, Attribute) or item.head or item.group or old.state(code) != "prior":
            continue
        said, logits = old.confidence(code, old.calibration(code))[rows], new.logits(code)[rows].astype(np.float64)
        there = np.isfinite(said) & np.isfinite(logits)
        if there.sum() >= LEAST:
            slope, offset = following(logits[there], said[there])
            curve = Calibration("native", {"slope": slope, "offset": offset, **CARRIED})
            found[code] = curve.id, {"kind": curve.kind, "params": dict(curve.params)}, item.prompt_hash
    ahead.catalog.put_calibrations(ahead.vectors.name, found)


def following(logits: Doubles, said: Doubles) -> tuple[float, float]:
    """The slope and offset by which logits (n,) come closest to confidences (n,), by likelihood; the slope is not below
    0, and drawn gently towards a spread of logits of 3.
    """
    from scipy.optimize import minimize

    middle, spread = float(logits.mean()), max(float(logits.std()), 1e-6)
    x = (logits - middle) / spread

    def loss(free: Doubles) -> float:
        z = np.exp(free[0]) * x + free[1]
        return float((np.logaddexp(0, z) - said * z).mean() + 0.5 * ((free[0] - np.log(3)) ** 2) / len(x))

    best = minimize(loss, [np.log(3), 0.0], method="Nelder-Mead").x
    slope = float(np.exp(best[0])) / spread
    return slope, float(best[1]) - slope * middle


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
