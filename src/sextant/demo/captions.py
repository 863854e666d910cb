"""Words for pictures: phrases for each attribute, sentences for a set of attributes, and captions for a plan.

Everything comes twice: words and templates for training, and held-out ones that training never sees.
Only what is true of the picture is ever said.
"""

from __future__ import annotations

import re

import numpy as np

from sextant.demo.planning import Item, Plan
from sextant.demo.wording import (
    HELD_OUT_PHRASES,
    HELD_OUT_SENTENCES,
    HOURS,
    MEDIA,
    NAMES,
    PHRASES,
    PLACES,
    SENTENCES,
    UNPLACED,
    UNSAID,
    WHOLE,
)

ARTICLE = re.compile(r"\b([aA]) ([aeio])")
COLOURED = re.compile(r"\b(white|silver|gold|red|blue|green|orange|yellow|grey|coloured) (?!photo|drawing)")
NUMBERS = ("no", "one", "two", "three", "four")
COLOURLESS = {"atlas": ("grey",), "hand": ("skin", "white")}


def captions(attributes: frozenset[str], rng: np.random.Generator, n: int, *, held_out: bool = False) -> list[str]:
    """`n` sentences that name one to four of the attributes (base and quality codes), most telling ones first."""
    phrases, sentences = (HELD_OUT_PHRASES, HELD_OUT_SENTENCES) if held_out else (PHRASES, SENTENCES)
    codes = sorted(attributes & phrases.keys())
    if not codes:
        return ["a picture"] * n
    made = []
    for _ in range(n):
        count = min(len(codes), int(rng.integers(1, 5)))
        chosen = rng.choice(len(codes), count, replace=False)
        words = [_one(phrases[codes[i]], rng) for i in chosen]
        made.append(_one(sentences, rng).format(_listed(words)))
    return made


def _one(choices: tuple[str, ...], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def position(x: float, y: float) -> str:
    """Where in the frame: 'upper left', 'centre', 'right' …"""
    high = "upper" if y < 0.37 else "lower" if y > 0.67 else ""
    if 0.4 <= x <= 0.6 and high:
        return "top" if high == "upper" else "bottom"
    side = "left" if x < 0.4 else "right" if x > 0.6 else ""
    return " ".join(part for part in (high, side) if part) or "centre"


def describe(plan: Plan, rng: np.random.Generator, *, held_out: bool = False) -> str:
    """One caption of a plan: medium and quality, up to four things with colour, number and place, then the setting."""
    which = 1 if held_out else 0
    things = [item for item in plan.items if item.what not in PLACES | UNSAID and item.what not in WHOLE]
    settings = [item for item in plan.items if item.what in PLACES | WHOLE]
    if any(item.what not in ("space", "sky") for item in settings):
        settings = [item for item in settings if item.what != "space"]
    order = sorted(
        things, key=lambda item: (item.what in ("text", "stars", "flare"), -_weight(item) + 0.2 * rng.random())
    )
    said = [_thing(plan, item, rng, which) for item in order[: 4 if rng.random() < 0.6 else 3]]
    words = [_named(plan, item, rng, which) for item in settings if item.what in WHOLE] + said
    where = [_named(plan, item, rng, which) for item in settings if item.what not in WHOLE][:1]
    if plan.find("sky"):
        where.append(_one(HOURS[plan.hour], rng))
    text = _joined(words, where, rng)
    medium = _one(MEDIA[plan.flat][which], rng)
    sentence = " ".join(part for part in (_quality(plan, medium), text) if part)
    if plan.grey:
        sentence = COLOURED.sub("", sentence)
    return ARTICLE.sub(r"\1n \2", " ".join(sentence.split()))


def caption_of(whole: Plan) -> str:
    """The plan's own caption, always the same."""
    return describe(whole, np.random.default_rng([whole.seed, 80]))


def _joined(words: list[str], where: list[str], rng: np.random.Generator) -> str:
    if not words:
        return " ".join(where) if where else "black space"
    if where and rng.random() < 0.3:
        return f"{words[0]} {' '.join(where)}" + (f", with {_listed(words[1:])}" if words[1:] else "")
    return f"{_listed(words)} {' '.join(where)}"


def _quality(plan: Plan, medium: str) -> str:
    kinds = [
        word
        for word, true in (("blurred", plan.blurred), ("very dark", plan.dark), ("black and white", plan.grey))
        if true
    ]
    if not kinds:
        return medium
    noun = "drawing" if plan.flat else "photo"
    return f"a {' '.join(kinds)} {noun} of"


def _weight(item: Item) -> float:
    return item.size if item.what not in ("earth_limb", "moon_limb") else 0.7


def _thing(plan: Plan, item: Item, rng: np.random.Generator, which: int) -> str:
    words = _named(plan, item, rng, which)
    if item.what == "rocket" and plan.find("plume"):
        words += " " + _one(NAMES["plume"][which], rng)
    if item.what == "text":
        return f"{words} at the {'top' if item.y < 0.5 else 'bottom'}"
    if item.what in UNPLACED:
        return words
    height = item.y - (0.4 * item.size if item.what in STANDING else 0.0)
    place = position(item.x, height)
    return f"{words} {'in' if place == 'centre' else 'at'} the {place}" if rng.random() < 0.8 else words


STANDING = {"astronaut", "lander", "rover", "truck", "ship", "habitat", "solar_array", "rocket", "floating_capsule"}


def _named(plan: Plan, item: Item, rng: np.random.Generator, which: int) -> str:
    words = _one(NAMES[item.what][which], rng)
    colour = "" if plan.grey or item.colour in COLOURLESS.get(item.what, ()) else f"{item.colour} "
    phase = item.phase if item.what in ("earth", "moon") else ""
    return words.format(
        c=colour,
        p=f"{phase} " if phase else "",
        q=f"as a {phase} disc" if phase else "",
        n=NUMBERS[min(item.count, 4)],
        s="" if item.count == 1 else "s",
        r=("no route", "one route", "two routes")[min(item.count, 2)],
    )
