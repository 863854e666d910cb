"""A sample says what all rows say, and the top by an index is the top of everything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("faiss", reason="the extra `ann` is not installed")

from sextant import index, sample
from sextant.maths import calibration as curves
from sextant.maths import components, logits, mixture
from sextant.maths.calibration import Calibration
from sextant.store import Store
from sextant.types import Floats

SCALE, ROWS, DIM = 100.0, 4000, 64


class Known:
    """Stands for `prior.Unlabelled`: a card worked out from the background prompts alone."""

    def __init__(self, table: Floats) -> None:
        self.card = components.unknown_prior(table, "softmax")
        self.level = mixture.background_level(table, self.card.weight)

    def curve(self, values: object, background: object) -> Calibration:
        return mixture.prior(values, background, self.card, self.level)  # type: ignore[arg-type]


class World:
    """Images around a common direction, some of them also around the first prompt's."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        common = logits.unit(rng.normal(size=DIM))
        self.prompts = logits.unit(0.9 * common + 0.5 * rng.normal(size=(60, DIM)) / np.sqrt(DIM))
        rows = common + 0.6 * rng.normal(size=(ROWS, DIM)) / np.sqrt(DIM)
        rows[rng.random(ROWS) < 0.05] += 0.8 * (self.prompts[0] - 0.9 * common)
        self.rows = logits.unit(rows)
        background = self.prompts[20:]
        self.centre = background.mean(axis=0)
        self.background = logits.background(self.rows, background, scale=SCALE)
        self.known = Known(logits.logit_matrix(self.rows[:1000], background, scale=SCALE))
        table = Store(folder / "c").vectors("e@1")
        ids = [f"{i:06d}" for i in range(ROWS)]
        table.append(ids, self.rows, self.background, lambda *_: {}, {"encoder": "e@1"})
        index.build(table, folder / "i", {"evidence": self.prompts[20:] - self.centre})
        found = index.Index.open(folder / "i", table)
        assert found
        self.index = found
        self.sample = sample.Sample.of(found, 1500)

    def phrase(self, positive: int, *negatives: int) -> sample.Phrase:
        less = self.prompts[list(negatives)] if negatives else None
        return sample.Phrase(self.prompts[positive], less, SCALE, 0.0)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("sample"))


def test_a_sample_is_spread_evenly(world: World) -> None:
    assert world.sample.vectors.shape == (1500, DIM)
    assert np.array_equal(world.sample.every, world.background)
    np.testing.assert_array_equal(world.sample.vectors[[0, -1]], world.rows[[0, -1]])
    assert len(sample.Sample.of(world.index).vectors) == ROWS


@pytest.mark.parametrize("positive", range(5))
def test_the_curve_of_a_sample_is_that_of_everything(world: World, positive: int) -> None:
    phrase = world.phrase(positive)
    values = phrase.logits(world.rows)
    exact = world.known.curve(values, world.background)
    near = sample.curve(world.known, world.sample, phrase)  # type: ignore[arg-type]
    off = curves.confidence(near, values, world.background) - curves.confidence(exact, values, world.background)
    assert np.abs(off).max() < 0.15
    assert np.abs(off).mean() < 0.01


@pytest.mark.parametrize("share", [None, 0.3])
@pytest.mark.parametrize("words", [(0,), (3,), (0, 1), (2, 3, 4)])
def test_the_ranked_are_the_best_of_everything(world: World, words: tuple[int, ...], share: float | None) -> None:
    phrase = world.phrase(*words)
    known = sample.curve(world.known, world.sample, phrase)  # type: ignore[arg-type]
    allowed = None if share is None else np.random.default_rng(1).random(ROWS) < share
    found = sample.ranked(world.index, world.sample, phrase, known, centre=world.centre, limit=15, allowed=allowed)
    score = curves.log_odds(known, phrase.logits(world.rows), world.background)
    if allowed is not None:
        score[~allowed] = -np.inf
    expected = np.lexsort((np.arange(ROWS), -score))[:15]
    if allowed is None:  # by codes: nearly all
        assert len(set(found.rows.tolist()) & set(expected.tolist())) >= 14
    else:
        assert found.rows.tolist() == expected.tolist()
    np.testing.assert_array_equal(found.log_odds, score[found.rows])
    values = phrase.logits(world.rows)[found.rows]
    np.testing.assert_array_equal(found.logits, values)
    np.testing.assert_array_equal(found.confidence, curves.confidence(known, values, world.background[found.rows]))


def test_evidence_is_the_nearest_to_one_direction(world: World) -> None:
    direction = sample.evidence_direction(world.prompts[0], world.centre, 0.7)
    evidence = world.phrase(0).logits(world.rows) - 0.7 * world.background
    np.testing.assert_allclose(SCALE * world.rows @ direction, evidence, atol=1e-3)
