"""What can be asked of the demo's pictures: attribute codes, derived ones and their rules, what each drawn thing shows.

Knows nothing about pixels; the same rules stand in `vocabulary.yaml`, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable

BASE: tuple[str, ...] = (
    "earth", "moon", "crescent_moon", "full_moon", "crescent_earth", "full_earth", "sun", "stars", "deep_space",
    "orbital", "surface", "lunar_surface", "earth_surface", "horizon", "atmosphere", "interior", "porthole",
    "spacecraft", "rocket", "vehicle", "habitat", "solar_panel", "astronaut", "crew", "hand", "selfie", "launch",
    "splashdown", "mission_control", "launch_pad", "flag", "lens_flare", "diagram", "text_overlay", "map",
    "artistic_rendering", "photograph",
)  # fmt: skip
QUALITIES: tuple[str, ...] = ("blurred", "dark_frame", "black_and_white")
ATTRIBUTES: tuple[str, ...] = BASE + QUALITIES

RULES: dict[str, dict[str, tuple[str, ...]]] = {
    "earth_and_moon": {"all_of": ("earth", "moon")},
    "earth_only": {"all_of": ("earth",), "none_of": ("moon", "sun")},
    "moon_and_sun": {"all_of": ("moon", "sun")},
    "sun_only": {"all_of": ("sun",), "none_of": ("earth", "moon")},
    "crescent_earthrise": {"all_of": ("crescent_earth", "lunar_surface")},
    "spacewalk": {"all_of": ("astronaut", "deep_space")},
    "earth_through_porthole": {"all_of": ("earth", "porthole")},
    "crew_selfie": {"all_of": ("crew", "selfie")},
}
DERIVED: tuple[str, ...] = tuple(RULES)

PHOTO_STYLES: tuple[str, ...] = ("film", "digital", "vintage")
FLAT_STYLES: tuple[str, ...] = ("poster", "ink", "retro")
TRAINED_STYLES: tuple[str, ...] = PHOTO_STYLES + FLAT_STYLES
MILD_STYLE = "dusk"
HARD_STYLE = "facets"
STYLES: tuple[str, ...] = (*TRAINED_STYLES, MILD_STYLE, HARD_STYLE)

TRAIN_SEEDS = range(0, 10_000_000)
CHOICE_SEEDS = range(10_000_000, 11_000_000)
TEST_SEEDS = range(11_000_000, 12_000_000)
DEMO_SEEDS = range(12_000_000, 13_000_000)

SHOWS: dict[str, frozenset[str]] = {
    name: frozenset(codes.split())
    for name, codes in {
        "earth": "earth",
        "earth_limb": "earth orbital horizon atmosphere",
        "moon": "moon",
        "moon_limb": "moon lunar_surface surface horizon orbital",
        "lunar_ground": "moon lunar_surface surface horizon",
        "desert": "earth_surface surface horizon",
        "field": "earth_surface surface horizon",
        "sea": "earth_surface surface horizon",
        "space": "deep_space",
        "sky": "",
        "cabin": "interior",
        "control": "interior mission_control",
        "hall": "interior",
        "chart": "diagram text_overlay",
        "atlas": "map",
        "sun": "sun",
        "stars": "stars",
        "station": "spacecraft solar_panel",
        "satellite": "spacecraft solar_panel",
        "capsule": "spacecraft",
        "lander": "spacecraft",
        "shuttle": "spacecraft",
        "floating_capsule": "spacecraft splashdown",
        "chutes": "spacecraft splashdown",
        "rocket": "rocket",
        "plume": "launch",
        "pad": "launch_pad",
        "rover": "vehicle",
        "truck": "vehicle",
        "ship": "vehicle",
        "habitat": "habitat",
        "solar_array": "solar_panel",
        "astronaut": "astronaut",
        "crew": "crew",
        "crew_selfie": "crew selfie hand",
        "suit_selfie": "astronaut selfie hand",
        "hand": "hand",
        "flag": "flag",
        "flare": "lens_flare",
        "text": "text_overlay",
        "porthole": "porthole",
        "glow": "atmosphere",
        "wall_map": "map",
    }.items()
}
PHASES: dict[tuple[str, str], str] = {
    ("earth", "full"): "full_earth",
    ("earth", "crescent"): "crescent_earth",
    ("moon", "full"): "full_moon",
    ("moon", "crescent"): "crescent_moon",
}


def derive(codes: Iterable[str]) -> frozenset[str]:
    """The derived codes that follow from the base codes."""
    true = frozenset(codes)
    return frozenset(
        code
        for code, rule in RULES.items()
        if true.issuperset(rule["all_of"]) and true.isdisjoint(rule.get("none_of", ()))
    )
