"""Drawing styles: how fills, edges, light, grain and colours of a picture look. Knows no shapes and no things."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace

import numpy as np

from sextant.demo.planning import Plan

Colour = tuple[float, float, float]

NAMED: dict[str, Colour] = {
    "white": (0.93, 0.93, 0.9), "silver": (0.62, 0.65, 0.7), "gold": (0.85, 0.64, 0.2), "red": (0.82, 0.16, 0.14),
    "blue": (0.16, 0.34, 0.8), "green": (0.16, 0.58, 0.26), "orange": (0.95, 0.5, 0.1), "yellow": (0.95, 0.82, 0.2),
    "grey": (0.5, 0.5, 0.5), "black": (0.05, 0.05, 0.06), "skin": (0.8, 0.58, 0.44),
}  # fmt: skip
SKINS: tuple[Colour, ...] = ((0.93, 0.73, 0.6), (0.8, 0.58, 0.44), (0.6, 0.4, 0.28), (0.4, 0.26, 0.18))


@dataclass(frozen=True, slots=True)
class Look:
    """One style. `outline` is a width in units of the short side (0: none); `bands` 0 means smooth shading."""

    flat: bool
    outline: float = 0.0
    ink: Colour = (0.06, 0.06, 0.1)
    bands: int = 0
    tint: Colour = (1.0, 1.0, 1.0)
    lift: Colour = (0.0, 0.0, 0.0)
    saturation: float = 1.0
    contrast: float = 1.0
    grain: float = 0.0
    mottle: float = 0.0
    vignette: float = 0.0
    facets: bool = False
    pale: float = 0.0
    rim: float = 0.0


LOOKS: dict[str, Look] = {
    "film": Look(False, tint=(1.04, 1.0, 0.93), grain=0.03, mottle=0.1, vignette=0.35, contrast=1.08),
    "digital": Look(False, saturation=1.15, grain=0.014, mottle=0.05, contrast=1.12),
    "vintage": Look(
        False,
        tint=(1.02, 0.95, 0.86),
        lift=(0.07, 0.05, 0.06),
        saturation=0.7,
        contrast=0.88,
        grain=0.03,
        mottle=0.12,
        vignette=0.25,
    ),
    "poster": Look(True, outline=0.008, bands=2, saturation=1.2),
    "ink": Look(True, outline=0.006, ink=(0.1, 0.09, 0.14), bands=2, saturation=0.6, pale=0.34),
    "retro": Look(
        True,
        outline=0.01,
        ink=(0.16, 0.07, 0.06),
        bands=3,
        saturation=0.85,
        tint=(1.05, 0.97, 0.8),
        lift=(0.05, 0.03, 0.02),
    ),
}
DUSK = {
    True: Look(
        True,
        outline=0.007,
        ink=(0.12, 0.05, 0.22),
        bands=4,
        tint=(1.06, 0.92, 1.0),
        lift=(0.05, 0.02, 0.1),
        saturation=0.9,
        rim=0.4,
    ),
    False: Look(
        False,
        tint=(1.08, 0.95, 0.9),
        lift=(0.0, 0.03, 0.06),
        saturation=0.9,
        grain=0.024,
        mottle=0.16,
        vignette=0.15,
        bands=5,
        rim=0.5,
    ),
}
FACETS = {
    True: Look(True, outline=0.006, ink=(0.08, 0.08, 0.1), bands=3, saturation=1.05, facets=True),
    False: Look(False, grain=0.025, mottle=0.08, contrast=1.05, facets=True),
}


def look_of(plan: Plan) -> Look:
    """The plan's style with the small variation that its seed gives it."""
    rng = np.random.default_rng([plan.seed, 2])
    chosen = {"dusk": DUSK, "facets": FACETS}.get(plan.style, {}).get(plan.flat) or LOOKS[plan.style]
    warm = float(rng.normal(0, 0.03))
    tint = (chosen.tint[0] * (1 + warm), chosen.tint[1], chosen.tint[2] * (1 - warm))
    return replace(
        chosen,
        tint=tint,
        outline=chosen.outline * float(rng.uniform(0.75, 1.35)),
        saturation=chosen.saturation * float(rng.uniform(0.85, 1.12)),
        contrast=chosen.contrast * float(rng.uniform(0.92, 1.08)),
        grain=chosen.grain * float(rng.uniform(0.6, 1.7)),
    )


def named(name: str, seed: int) -> Colour:
    """The colour of that name, a little different for every seed."""
    rng = np.random.default_rng([seed, 3])
    if name == "skin":
        return SKINS[int(rng.integers(len(SKINS)))]
    hue, light, saturation = colorsys.rgb_to_hls(*NAMED[name])
    moved = colorsys.hls_to_rgb(
        (hue + rng.normal(0, 0.012)) % 1,
        min(max(light * rng.uniform(0.9, 1.1), 0), 0.96),
        min(saturation * rng.uniform(0.85, 1.1), 1),
    )
    return (float(moved[0]), float(moved[1]), float(moved[2]))


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`share` of b in a."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def times(colour: Colour, factor: float) -> Colour:
    """Lighter or darker."""
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)
