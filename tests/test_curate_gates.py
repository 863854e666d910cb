"""Each gate alone, at its limit, with the rule, the value and the reason."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from sextant.curate.gates import Gates, Seen
from sextant.errors import UsageError

FINE = Seen(800, 600, 0.1, 500.0, 50.0, 0.9, 8.0)


def test_a_fine_picture_breaks_no_rule() -> None:
    assert list(Gates().refusals(FINE)) == []


@pytest.mark.parametrize(
    ("seen", "rule", "value", "reason"),
    [
        (replace(FINE, height=127), "size", 127, "800 × 127: the shorter side is below 128"),
        (replace(FINE, width=2000), "aspect", 2000 / 600, "3.33 times as long as wide, above 3"),
        (replace(FINE, darkness=0.92), "dark", 0.92, "92 % of it is black or nearly so, from 92 % on"),
        (replace(FINE, spread=3.999), "blank", 3.999, "blank: its light varies by 3.99 of 255, below 4"),
        (replace(FINE, sharpness=24.99), "blur", 24.99, "blurred: a sharpness of 24.99, below 25"),
        (replace(FINE, confidence=0.0499), "confidence", 0.0499,
         "unlikely to show it: prior confidence 0.049, below 0.05"),
        (replace(FINE, relevance=2.0), "relevance", 2.0, "the model finds it irrelevant: 2 of 10, below 3"),
    ],
)  # fmt: skip
def test_each_rule_says_what_it_saw(seen: Seen, rule: str, value: float, reason: str) -> None:
    refusals = {r.rule: r for r in Gates().refusals(seen)}
    assert refusals[rule].value == value
    assert refusals[rule].reason == reason
    assert refusals.keys() - {rule} <= {"aspect"}


@pytest.mark.parametrize(
    "seen",
    [replace(FINE, height=128, width=384), replace(FINE, darkness=0.9199), replace(FINE, spread=4.0),
     replace(FINE, sharpness=25.0), replace(FINE, confidence=0.05), replace(FINE, relevance=3.0),
     Seen(800, 600, 0.1, 500.0)],
)  # fmt: skip
def test_the_limit_itself_passes_and_what_is_unknown_breaks_nothing(seen: Seen) -> None:
    assert list(Gates().refusals(seen)) == []


def test_a_bad_picture_is_told_everything_at_once_and_gates_can_be_opened() -> None:
    worst = Seen(40, 10, 1.0, 0.0, 0.0, 0.0, 0.0)
    assert [r.rule for r in Gates().refusals(worst)] == ["size", "aspect", "dark", "blank", "confidence", "relevance"]
    opened = Gates(0, math.inf, math.inf, 0, 0, 0, 0)
    assert list(opened.refusals(worst)) == []


@pytest.mark.parametrize("limits", [{"aspect": 0.5}, {"confidence": 1.1}, {"relevance": 11}, {"side": -1},
                                    {"darkness": math.nan}, {"sharpness": math.nan}, {"aspect": math.nan}])  # fmt: skip
def test_limits_that_cannot_be(limits: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Gates(**limits)
