"""What people said, as the maths needs it: one answer a cell, with the logit, the background and the weight of each.

Knows nothing of what is made of answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sextant.catalog import Drawn, Label
from sextant.errors import UsageError
from sextant.events import THUMB
from sextant.maths import sampling
from sextant.maths.calibration import base_of
from sextant.maths.fitting import LEAST_LABELS, Labelled
from sextant.view import View

SHOWN = 20
Truth = Mapping[str, Mapping[str, bool]]
"""Truth by code and image id."""


class Said(dict[str, bool]):
    """Answers of one column by image. `thumbs` are the images that somebody gave a thumb, asked or not.

    A thumb is no sample: it is given where a person looked and cared. It stands for its own image and for no other.
    """

    thumbs: frozenset[str] = frozenset()
    unasked: frozenset[str] = frozenset()  # of those, the ones that have no label proper

    @property
    def proper(self) -> dict[str, bool]:
        """The answers that are no thumbs."""
        return {image: value for image, value in self.items() if image not in self.unasked}


def settled(labels: Sequence[Label]) -> dict[str, Said]:
    """One answer a cell, by code and image. Thumbs speak where no label does, and not where they contradict each other.

    Raises:
        UsageError: two people disagree; the message names the cells.
    """
    found = _agreed([label for label in labels if label.source != THUMB])
    thumbs: dict[str, dict[str, set[bool]]] = {}
    for label in labels:
        if label.source == THUMB:
            thumbs.setdefault(label.code, {}).setdefault(label.image, set()).add(bool(label.value))
    for code, given in thumbs.items():
        said = found.setdefault(code, Said())
        agreed = {image: values.pop() for image, values in given.items() if len(values) == 1 and image not in said}
        said.update(agreed)
        said.thumbs, said.unasked = frozenset(given), frozenset(agreed)
    return found


def proper(answers: Mapping[str, Mapping[str, bool]]) -> dict[str, Mapping[str, bool]]:
    """The same without thumbs, for what knows no weights."""
    return {code: said.proper if isinstance(said, Said) else said for code, said in answers.items()}


def _agreed(labels: Sequence[Label]) -> dict[str, Said]:
    found: dict[str, Said] = {}
    disputes: list[str] = []
    for label in labels:
        answers = found.setdefault(label.code, Said())
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
    """What the maths needs to know of the labels of every column: logits, backgrounds, truth and weights.

    Labels of images that the encoder was trained on are left out.

    Thumbs join the labels of a column that has enough of them to be fitted, and never stand for other images.
    """
    places, collection = view.places, view.collection_size
    view.read([code for code in labels if code in view.columns])
    samples: dict[str, dict[str, Drawn]] = {}
    for item in drawn:
        samples.setdefault(item.code, {})[item.image] = item
    found: dict[str, Labelled] = {}
    for code, answers in labels.items():
        thumbs = answers.thumbs if isinstance(answers, Said) else frozenset()
        unasked = answers.unasked if isinstance(answers, Said) else frozenset()
        usable = [image for image in answers if image in places and image not in view.taught]
        images = [image for image in usable if image not in unasked]
        if len(images) >= LEAST_LABELS:
            images += [image for image in usable if image in unasked]
        if code in view.columns and images:
            rows = np.array([places[image] for image in images], np.intp)
            found[code] = Labelled(
                base=base_of(view.calibration(code)),
                images=images,
                logits=view.logits(code)[rows],
                background=view.background[rows],
                truth=np.array([answers[image] for image in images], np.float64),
                weights=_weights(images, samples.get(code, {}), thumbs, collection),
            )
    return found


def _weights(
    images: Sequence[str], drawn: Mapping[str, Drawn], thumbs: frozenset[str], collection: int
) -> NDArray[np.float64]:
    """What each label speaks for. Labels that nobody drew count as if they had been picked blindly; a thumb, drawn or
    not, counts for the one image that it is about.
    """
    weights = np.ones(len(images))
    sampled = [k for k, image in enumerate(images) if image in drawn]
    alone = np.array([image in thumbs for image in images], np.bool_)
    if sampled:
        items = [drawn[images[k]] for k in sampled]
        weights[sampled] = sampling.label_weights([i.probability for i in items], [i.batch for i in items])
        weights[alone] = 1.0
    elif alone.any():  # labels picked blindly stand for all the other images
        weights[alone] = min(1.0, (~alone).sum() / max(1, collection - alone.sum()))
    return weights
