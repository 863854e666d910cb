"""A seed becomes a plan: the kinds of picture in the archive and how often each is drawn. No pixel is touched."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from sextant.demo import truth
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
from sextant.demo.planning import Plan, Sketch
from sextant.errors import UsageError

MOST_SEED = 2**62
FLAT_SHARE = 0.27

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


@lru_cache(maxsize=4096, typed=True)
def plan(seed: int, style: str | None = None, *, aspect: bool = False) -> Plan:
    """The plan of that seed. `style=None` lets the seed choose among the trained styles.

    Raises UsageError for a seed that is no whole number from 0 on, or an unknown style.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < MOST_SEED:
        raise UsageError(f"a seed is a whole number from 0 to 2**62 - 1, not {seed!r}")
    if style is not None and style not in truth.STYLES:
        raise UsageError(f"no drawing style {style!r}; there are {', '.join(truth.STYLES)}")
    rng = np.random.default_rng([int(seed), 1])
    flat = bool(rng.random() < FLAT_SHARE)
    if style in truth.TRAINED_STYLES:
        flat = style in truth.FLAT_STYLES
    among = truth.FLAT_STYLES if flat else truth.PHOTO_STYLES
    chosen = among[int(rng.integers(len(among)))]
    blurred, grey = bool(rng.random() < 0.06), bool(rng.random() < 0.09)
    sketch = Sketch(rng, flat, stars_allowed=not blurred)
    kind = compose(sketch)
    return Plan(
        seed=int(seed),
        style=style or chosen,
        kind=kind,
        flat=flat,
        items=tuple(sketch.items),
        hour=sketch.hour,
        horizon=sketch.horizon,
        light=sketch.between(0, 2 * np.pi),
        aspect=float((0.75, 0.8, 1.0, 1.25, 1.34, 1.5)[int(rng.integers(6))]) if aspect else 1.0,
        blurred=blurred and not sketch.dark,
        dark=sketch.dark,
        grey=grey,
        quality=int(rng.choice([28, 45, 65, 80, 88, 94])),
    )
