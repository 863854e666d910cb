"""What people said, as the maths needs it: one answer a cell, with the logit, the background and the weight of each.

Knows nothing of what is made of answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sextant.catalog import Drawn, Label
from sextant.errors import UsageError
from sextant.maths import sampling
from sextant.maths.calibration import base_of
from sextant.maths.fitting import Labelled
from sextant.view import View

SHOWN = 20
Truth = Mapping[str, Mapping[str, bool]]
"""Truth by code and image id."""


def settled(labels: Sequence[Label]) -> dict[str, dict[str, bool]]:
    """One answer a cell, by code and image.

    Raises:
        UsageError: two people disagree; the message names the cells.
    """
    found: dict[str, dict[str, bool]] = {}
    disputes: list[str] = []
    for label in labels:
        answers = found.setdefault(label.code, {})
        value = bool(label.value)
        if answers.setdefault(label.image, value) != value:
            disputes.append(f"{label.image} {label.code}")
    if disputes:
        shown = "\n  ".join(disputes[:SHOWN]) + (
            f"\n  and {len(disputes) - SHOWN} more" if len(disputes) > SHOWN else ""
        )
        raise UsageError(
            f"people disagree about {len(disputes)} cells, so nothing was done:\n  {shown}\n"
            "Settle each with: sextant label set IMAGE CODE yes|no|clear --person NAME"
        )
    return found


def labelled(view: View, labels: Mapping[str, Mapping[str, bool]], drawn: Sequence[Drawn]) -> dict[str, Labelled]:
    """What the maths needs to know of the labels of every column: logits, backgrounds, truth and weights."""
    places = view.places
    samples: dict[str, dict[str, Drawn]] = {}
    for item in drawn:
        samples.setdefault(item.code, {})[item.image] = item
    found: dict[str, Labelled] = {}
    for code, answers in labels.items():
        images = [image for image in answers if image in places]
        if code in view.columns and images:
            rows = np.array([places[image] for image in images], np.intp)
            found[code] = Labelled(
                base=base_of(view.calibration(code)),
                images=images,
                logits=view.logits(code)[rows],
                background=view.background[rows],
                truth=np.array([answers[image] for image in images], np.float64),
                weights=_weights(images, samples.get(code, {})),
            )
    return found


def _weights(images: Sequence[str], drawn: Mapping[str, Drawn]) -> NDArray[np.float64]:
    """What each label speaks for. Labels that nobody drew count as if they had been picked blindly."""
    weights = np.ones(len(images))
    sampled = [k for k, image in enumerate(images) if image in drawn]
    if sampled:
        items = [drawn[images[k]] for k in sampled]
        weights[sampled] = sampling.label_weights([i.probability for i in items], [i.batch for i in items])
    return weights
