"""The kinds of picture in the archive and how often each is drawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sextant.demo.kinds_ground import atlas, cabin, chart, control, desert, hall, launch, pad, splashdown, window
from sextant.demo.kinds_space import (
    craft,
    darkness,
    earth_disc,
    eva,
    lunar_ground,
    lunar_orbit,
    moon_base,
    moon_disc,
    orbit,
    starfield,
    sunny,
)
from sextant.demo.pieces import surprise
from sextant.demo.planning import Sketch

ANY: dict[Callable[[Sketch], None], float] = {
    orbit: 0.1, earth_disc: 0.06, moon_disc: 0.055, lunar_orbit: 0.05, lunar_ground: 0.095, moon_base: 0.03,
    eva: 0.075, cabin: 0.14, window: 0.075, launch: 0.08, pad: 0.05, splashdown: 0.06, control: 0.05, hall: 0.035,
    desert: 0.045, starfield: 0.025, sunny: 0.025, craft: 0.045, darkness: 0.035,
}  # fmt: skip
FLAT_ONLY: dict[Callable[[Sketch], None], float] = {chart: 0.17, atlas: 0.11}


def compose(s: Sketch) -> str:
    """Fill the sketch and name the kind that was chosen."""
    weights = {**ANY, **FLAT_ONLY} if s.flat else ANY
    marks = np.cumsum(list(weights.values()))
    kind = list(weights)[int(np.searchsorted(marks, s.rng.random() * marks[-1], side="right"))]
    kind(s)
    if not s.dark and kind not in FLAT_ONLY and s.chance(0.05):
        surprise(s)
    return kind.__name__
