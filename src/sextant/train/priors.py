"""What a tuned pair's logits usually mean, for columns that nobody labels: the prior that its bundle brings along.

Fitted on the run's calibration part, which no weight has seen; for `mini` also on scenes that are drawn for it, so that
columns outside the classes are not judged by the classes alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sextant.background import background_prompts
from sextant.errors import UsageError
from sextant.maths import components
from sextant.maths import logits as maths
from sextant.train import strangers
from sextant.types import Floats

if TYPE_CHECKING:
    from sextant.train.run import Run

SCENE_SEED, SCENES = 10_800_000, 240
Doubles = NDArray[np.float64]


def of_run(run: Run) -> dict[str, Any] | None:
    """The prior as a card holds it; without enough pictures to fit one, the base's own, or None."""
    pair, rows = run.tuned, run.part("calibration")
    images = pair.image_rows(run.pictures[rows])
    texts = np.stack([maths.prompt_vector(part) for part in run.prompt_rows(pair)])
    truth = (run.labels[rows][:, None] == np.arange(len(texts))).astype(np.float64)
    source = f"{len(rows)} calibration pictures of {len(texts)} classes"
    if run.order.photos is None and run.knows_scenes:
        drawn, phrases, shown = strangers.told_scenes(SCENE_SEED, SCENES)
        pictures = np.stack([pair.pixels.square(picture) for picture in drawn])
        images, texts, truth = _beside((images, texts, truth), (pair.image_rows(pictures), pair.text_rows(phrases),
                                                                shown.astype(np.float64)))  # fmt: skip
        source += f", {SCENES} drawn scenes and their {len(phrases)} attributes"
    scale, bias = float(pair.log_scale.detach().exp()), pair.bias
    words = pair.text_rows(list(background_prompts()))
    try:
        found = components.fit_prior(
            maths.logit_matrix(images, texts, scale=scale, bias=bias),
            maths.background(images, words, scale=scale, bias=bias),
            maths.logit_matrix(images, words, scale=scale, bias=bias),
            truth,
            source=source,
        )
    except UsageError:
        held: dict[str, Any] | None = pair.raw.get("prior")
        return held
    return found.to_params()


def _beside(
    one: tuple[Floats, Floats, Doubles], other: tuple[Floats, Floats, Doubles]
) -> tuple[Floats, Floats, Doubles]:
    """Two sets of (images, texts, truth) as one: the classes are in no picture of the other, and of its texts nobody
    knows whether the classes' pictures show them.
    """
    (n, a), (m, b) = one[2].shape, other[2].shape
    truth = np.zeros((n + m, a + b))
    truth[:n, :a], truth[n:, a:], truth[:n, a:] = one[2], other[2], np.nan
    return np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]]), truth
