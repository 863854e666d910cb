"""Which images to ask about, and how many really show an attribute by the answers.

Every image is drawn with a chance that is kept, so that a few answers speak for all images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sextant.answers import settled
from sextant.catalog import Catalog, Drawn
from sextant.maths import sampling
from sextant.types import Asked, CountEstimate
from sextant.view import View


def ask(view: View, catalog: Catalog, code: str, size: int, *, seed: int) -> list[Asked]:
    """Draws images to be labelled, by stratum of confidence and more near a band edge; keeps their probabilities."""
    thresholds = view.thresholds(code)
    answered = {label.image for label in catalog.labels([code], thumbs=False)}
    ids = view.ids.to_pylist()
    done = np.array([image in answered for image in ids], np.bool_)
    confidence = view.confidence(code, view.calibration(code))
    edges = (thresholds.tentative, thresholds.accepted)
    choice = sampling.choose(confidence, size, edges=edges, labelled=done, seed=seed)
    paths = view.paths
    drawn = [
        (ids[row], float(p), int(h)) for row, p, h in zip(choice.rows, choice.probability, choice.stratum, strict=True)
    ]
    catalog.put_sample(code, drawn)
    return [
        Asked(code, image, str(paths[int(row)]), float(confidence[row]), p)
        for row, (image, p, _) in zip(choice.rows, drawn, strict=True)
    ]


def still_open(view: View, catalog: Catalog, code: str) -> list[Asked]:
    """What the newest draw asked about and nobody has answered yet."""
    answered = {label.image for label in catalog.labels([code], thumbs=False)}
    drawn = catalog.sample([code])
    newest = max((d.batch for d in drawn), default=0)
    rest = [d for d in drawn if d.batch == newest and d.image not in answered and d.image in view.places]
    if not rest:
        return []
    paths, confidence = view.paths, view.values(code).confidence
    rows = [view.places[d.image] for d in rest]
    return [
        Asked(code, d.image, str(paths[row]), float(confidence[row]), d.probability)
        for d, row in zip(rest, rows, strict=True)
    ]


def count(view: View, catalog: Catalog, code: str) -> CountEstimate | None:
    """How many images really show an attribute, with an interval, from the newest batch that was drawn and labelled."""
    answers: dict[str, bool] = settled(catalog.labels([code], thumbs=False)).get(code, {})
    drawn = [d for d in catalog.sample([code]) if d.image in answers]
    if not drawn:
        return None
    newest = max(d.batch for d in drawn)
    batch = [d for d in drawn if d.batch == newest]
    earlier = [image for image in answers if image not in {d.image for d in batch}]
    places = view.places
    confidence = view.values(code).confidence
    expected = [float(confidence[places[d.image]]) if d.image in places else 0.5 for d in batch]
    found = sampling.estimate_count(
        [answers[d.image] for d in batch], _chances(batch, catalog, code), [d.stratum for d in batch], expected=expected
    )
    known = sum(answers[image] for image in earlier)
    return CountEstimate(code, found.value + known, found.low + known, found.high + known, found.n)


def _chances(batch: Sequence[Drawn], catalog: Catalog, code: str) -> list[float]:
    """Probabilities of a batch that was not answered to the end: those who answered stand for those who did not."""
    asked: dict[int, int] = {}
    answered: dict[int, int] = {}
    for item in catalog.sample([code]):
        if item.batch == batch[0].batch:
            asked[item.stratum] = asked.get(item.stratum, 0) + 1
    for item in batch:
        answered[item.stratum] = answered.get(item.stratum, 0) + 1
    return [item.probability * answered[item.stratum] / asked[item.stratum] for item in batch]
