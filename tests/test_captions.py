"""Captions say only what is true, held-out words are not the training words, and every attribute has words."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sextant.demo import captions, scenes, wording

# A word in a caption, and the code that must then be true.
WORDS = {
    r"\b(earth|planet|terrestrial)\b": "earth",
    r"\b(moon|lunar disc)\b": "moon",
    r"\brocket\b": "rocket",
    r"\b(flag|banner|ensign)\b": "flag",
    r"\b(selfie|self portrait)\b": "selfie",
    r"\b(porthole|round window)\b": "porthole",
    r"\bmap\b": "map",
    r"\bhand\b": "hand",
    r"\b(astronaut|spacefarer)\b": "astronaut",
    r"\bcrew\b": "crew",
    r"\b(sea|ocean|water)\b": "earth_surface",
    r"\bstars\b": "stars",
    r"\b(text|lettering)\b": "text_overlay",
    r"\bflare\b": "lens_flare",
    r"\b(sun|solar disc)\b": "sun",
    r"\brover\b": "vehicle",
    r"\bblack and white\b": "black_and_white",
    r"\bblurred\b": "blurred",
    r"\bphoto(graph)?\b": "photograph",
    r"\bdrawing\b": "artistic_rendering",
    r"\bcrescent (moon|lunar)": "crescent_moon",
    r"\bfull (earth|planet)": "full_earth",
    r"\b(launching|lifting off|blasting)\b": "launch",
}


def test_captions_of_plans_say_only_what_is_true() -> None:
    rng = np.random.default_rng(1)
    for seed in range(1_500):
        plan = scenes.plan(seed)
        for held_out in (False, True):
            text = captions.describe(plan, rng, held_out=held_out)
            assert 2 <= len(text.split()) <= 75, text
            assert "{" not in text
            if plan.kind == "chart":
                text = text.replace("technical drawing", "")
            for pattern, code in WORDS.items():
                if re.search(pattern, text.replace("lunar lander", "").replace("earth's moon", "")):
                    assert code in plan.attributes, (seed, text, code)
            if plan.grey:
                assert not re.search(r"\b(red|blue|green|orange|yellow|gold)\b", text), (seed, text)


def test_captions_tell_pictures_apart() -> None:
    texts = [scenes.caption_of(scenes.plan(seed)) for seed in range(500)]
    assert len(set(texts)) > 470


def test_own_caption_is_stable_and_retellings_vary() -> None:
    whole = scenes.plan(5)
    assert scenes.caption_of(whole) == scenes.caption_of(whole) == scenes.draw(5, size=32).caption
    told = scenes.retellings(5, np.random.default_rng(0), 20)
    assert len(told) == 20
    assert len(set(told)) > 5


def test_sentences_for_attributes_name_only_them() -> None:
    rng = np.random.default_rng(2)
    for held_out, phrases in ((False, wording.PHRASES), (True, wording.HELD_OUT_PHRASES)):
        for text in captions.captions(frozenset({"earth", "hand", "earth_only"}), rng, 30, held_out=held_out):
            said = [code for code, words in phrases.items() if any(word in text for word in words)]
            assert said
            assert not set(said) - {"earth", "hand"}, text


def test_nothing_true_still_gives_words() -> None:
    assert captions.captions(frozenset(), np.random.default_rng(0), 2) == ["a picture", "a picture"]


def test_every_attribute_has_words_and_held_out_ones_are_new() -> None:
    assert set(wording.PHRASES) == set(wording.HELD_OUT_PHRASES) == set(scenes.ATTRIBUTES)
    for code, phrases in wording.PHRASES.items():
        assert len(phrases) >= 3, code
        assert not set(phrases) & set(wording.HELD_OUT_PHRASES[code])
    assert not set(wording.SENTENCES) & set(wording.HELD_OUT_SENTENCES)
    for name, (train, held_out) in wording.NAMES.items():
        assert not set(train) & set(held_out), name


@pytest.mark.parametrize(
    ("x", "y", "place"),
    [(0.5, 0.5, "centre"), (0.1, 0.1, "upper left"), (0.9, 0.5, "right"), (0.5, 0.9, "bottom"), (0.5, 0.2, "top")],
)
def test_position(x: float, y: float, place: str) -> None:
    assert captions.position(x, y) == place
