"""The generator: same seed, same picture; what is said to be visible is visible; nothing is too rare or too common."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml

from sextant.demo import finish, prevalences, scenes, truth
from sextant.demo.looks import look_of
from sextant.demo.planning import Plan
from sextant.demo.render import undeveloped
from sextant.errors import UsageError

VOCABULARY = Path(scenes.__file__).with_name("vocabulary.yaml")
# Where a thing is small by nature: the least share of the frame that it must change.
LEAST = {"stars": 0.001, "earth": 0.002, "moon": 0.002, "sun": 0.006, "text": 0.01, "flag": 0.01}


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    return [scenes.plan(seed) for seed in range(2_000)]


def luma(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float64) @ (0.299, 0.587, 0.114)


def test_same_seed_same_pixels_in_any_order_and_process() -> None:
    seeds = list(range(40, 60))
    forward = {scene.seed: scene for scene in scenes.draw_many(seeds, size=48, processes=1)}
    elsewhere = list(scenes.draw_many(reversed(seeds), size=48, processes=2))
    assert [scene.seed for scene in elsewhere] == seeds[::-1]
    for scene in elsewhere:
        assert scene.image.tobytes() == forward[scene.seed].image.tobytes()
        assert (scene.caption, scene.attributes) == (forward[scene.seed].caption, forward[scene.seed].attributes)
    assert len({scene.image.tobytes() for scene in elsewhere}) == len(seeds)


def test_codes_are_the_vocabulary() -> None:
    text = yaml.safe_load(VOCABULARY.read_text())
    assert tuple(entry["code"] for entry in text["base_attributes"]) == scenes.ATTRIBUTES
    assert len(scenes.BASE) == 37
    rules = {
        entry["code"]: {key: tuple(part) for key, part in entry["rule"].items()} for entry in text["derived_attributes"]
    }
    assert rules == truth.RULES
    assert tuple(rules) == scenes.DERIVED
    assert text["thresholds"] == {"accepted": 0.8, "tentative": 0.5}


def test_derived_codes_follow_the_rules(plans: list[Plan]) -> None:
    for plan in plans:
        true = plan.attributes
        assert true <= set(scenes.ATTRIBUTES) | set(scenes.DERIVED)
        for code, rule in truth.RULES.items():
            holds = all(part in true for part in rule["all_of"]) and not any(
                part in true for part in rule.get("none_of", ())
            )
            assert (code in true) == holds, (plan.seed, code)


def test_prevalences(plans: list[Plan]) -> None:
    counts = Counter(code for plan in plans for code in plan.attributes)
    shares = {code: counts[code] / len(plans) for code in scenes.ATTRIBUTES + scenes.DERIVED}
    assert {code: share for code, share in shares.items() if not 0.004 <= share <= 0.85} == {}
    assert sum(share > 0.62 for share in shares.values()) == 1, "photograph alone is more common than six in ten"
    base = [len(plan.attributes & set(truth.BASE)) for plan in plans]
    assert np.mean([number >= 3 for number in base]) > 0.9


def test_implications(plans: list[Plan]) -> None:
    for plan in plans:
        true = plan.attributes
        assert ("photograph" in true) != ("artistic_rendering" in true)
        for part, whole in (
            ("full_moon", "moon"),
            ("crescent_earth", "earth"),
            ("lunar_surface", "surface"),
            ("earth_surface", "surface"),
            ("mission_control", "interior"),
            ("launch", "rocket"),
            ("splashdown", "spacecraft"),
        ):
            assert part not in true or whole in true, (plan.seed, part)


@pytest.mark.parametrize("style", [None, scenes.MILD_STYLE, scenes.HARD_STYLE])
def test_everything_in_a_plan_shows_in_the_pixels(style: str | None) -> None:
    hidden = []
    for seed in range(3_000, 3_090):
        plan = scenes.plan(seed, style)
        look = look_of(plan)
        whole = np.clip(undeveloped(plan, 96, look), 0, 1)
        for what in {item.what for item in plan.items} - {"space", "glow"}:
            changed = np.abs(whole - np.clip(undeveloped(plan.without(what), 96, look), 0, 1)).max(2) > 0.05
            if changed.mean() < LEAST.get(what, 0.015):
                hidden.append((seed, what, float(changed.mean())))
    assert hidden == []


def test_dark_frames_are_dark_and_no_others() -> None:
    for style in (None, scenes.MILD_STYLE, scenes.HARD_STYLE):
        every = [scenes.plan(seed, style) for seed in range(700)]
        dark = [plan for plan in every if plan.dark]
        other = [plan for plan in every if not plan.dark and plan.find("space")]
        assert len(dark) > 8
        for plan in dark[:12] + other[:40]:
            pixels = np.asarray(scenes.draw(plan.seed, size=96, style=style).image)
            share = float((luma(pixels) < 20).mean())
            assert (share >= 0.92) == plan.dark, (plan.seed, style, share)
            assert not plan.dark or luma(pixels).max() > 60, "something must be left to see"


def test_black_and_white_has_no_colour_and_others_have() -> None:
    every = [scenes.plan(seed) for seed in range(800)]
    for plan in [plan for plan in every if plan.grey][:25]:
        pixels = np.asarray(scenes.draw(plan.seed, size=64).image).astype(int)
        assert np.ptp(pixels, axis=2).max() == 0, plan.seed
    for plan in [plan for plan in every if not plan.grey][:25]:
        assert np.ptp(np.asarray(scenes.draw(plan.seed, size=64).image).astype(int), axis=2).max() > 0, plan.seed


def test_blurring_takes_the_detail_away() -> None:
    blurred = [scenes.plan(seed) for seed in range(600) if scenes.plan(seed).blurred]
    assert len(blurred) > 15
    ratios = []
    for plan in blurred[:20]:
        soft, sharp = (
            luma(finish.develop(undeveloped(p, 96, look_of(p)), look_of(p), p))
            for p in (plan, replace(plan, blurred=False))
        )
        ratios.append(np.var(np.diff(soft, axis=1)) / np.var(np.diff(sharp, axis=1)))
        assert "stars" not in plan.attributes
    assert np.median(ratios) < 0.25


@pytest.mark.parametrize("style", scenes.STYLES)
def test_every_style_draws_and_differs(style: str) -> None:
    scene = scenes.draw(77, size=64, style=style)
    assert scene.style == style
    assert scene.image.size == (64, 64)
    assert scene.image.mode == "RGB"
    others = [scenes.draw(77, size=64, style=other).image.tobytes() for other in scenes.STYLES if other != style]
    assert scene.image.tobytes() not in others


def test_style_decides_photograph() -> None:
    for style in truth.PHOTO_STYLES + truth.FLAT_STYLES:
        for seed in range(40):
            assert ("photograph" in scenes.plan(seed, style).attributes) == (style in truth.PHOTO_STYLES)
    for style in (scenes.MILD_STYLE, scenes.HARD_STYLE):
        share = np.mean(["photograph" in scenes.plan(seed, style).attributes for seed in range(400)])
        assert 0.6 < share < 0.85
    assert {scenes.plan(seed).style for seed in range(200)} == set(scenes.TRAINED_STYLES)


def test_shapes_of_frames() -> None:
    sizes = {scenes.draw(seed, size=64, aspect=True).image.size for seed in range(30)}
    assert len(sizes) > 3
    assert all(max(size) == 64 and min(size) >= 42 for size in sizes)


def test_seed_ranges_do_not_meet() -> None:
    ranges = [scenes.TRAIN_SEEDS, scenes.CHOICE_SEEDS, scenes.TEST_SEEDS, scenes.DEMO_SEEDS]
    assert all(a.stop <= b.start for a, b in pairwise(ranges))


@pytest.mark.parametrize(
    ("seed", "changes"),
    [(-1, {}), (1.5, {}), (True, {}), (2**63, {}), (1, {"style": "cubist"}), (1, {"size": 0}), (1, {"size": 10**6})],
)
def test_bad_input_is_named(seed: int, changes: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"not|no drawing style"):
        scenes.draw(seed, **changes)  # type: ignore[arg-type]


def test_no_process_is_too_few() -> None:
    with pytest.raises(UsageError, match="at least one process"):
        list(scenes.draw_many([1], processes=0))


def test_prevalences_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    prevalences.main(["300"])
    lines = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert list(lines) == [*scenes.ATTRIBUTES, *scenes.DERIVED]
    share = sum("earth" in scenes.plan(seed).attributes for seed in range(300)) / 300
    assert lines["earth"] == f"{share:.2%}"
