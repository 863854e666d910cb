"""What holds a pair while it learns: kept rows and logits, and doubt about pictures that show nothing."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch's own, at import
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    pytest.importorskip("onnx")

from sextant.train import loss, strangers
from sextant.train.anchor import Anchor, Draw
from sextant.train.pair import MINI, Pair, open_pair
from sextant.train.recipe import RECIPES

RECIPE = RECIPES["full"]


@pytest.fixture(scope="module")
def pair() -> Pair:
    return open_pair("mini", MINI)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 96, 96, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def anchor(pair: Pair, pictures: np.ndarray) -> Anchor:
    return Anchor(pair, RECIPE, ["a boat", "the moon", "a wall"], pictures[:4], pictures[4:])


class TestAnchor:
    def test_the_base_itself_is_not_pulled_anywhere(self, anchor: Anchor) -> None:
        draw = anchor.draw(np.random.default_rng(0), 9)
        texts, images = anchor.texts[draw.texts], anchor.images[draw.images]
        assert float(anchor.loss(draw, texts, images)) == pytest.approx(0, abs=1e-5)
        assert float(anchor.loss(draw, -texts, images)) > 1
        assert float(anchor.loss(draw, texts, images.roll(1, 0))) > 0.01

    def test_rows_from_features_are_those_from_pixels(self, anchor: Anchor, pair: Pair) -> None:
        draw = Draw(np.array([0]), np.array([1, 3]), np.array([2]))
        through = pair.images(pair.features(anchor.pixels(draw)))
        assert torch.allclose(anchor.rows(draw), through, atol=1e-5)
        assert torch.allclose(anchor.rows(draw)[:2], anchor.images[[1, 3]], atol=1e-5)

    def test_a_draw_names_what_is_there_and_at_most_so_many(self, anchor: Anchor) -> None:
        draw = anchor.draw(np.random.default_rng(1), 2)
        assert (len(draw.texts), len(draw.doubted)) == (3, 2)
        assert 1 <= len(draw.images) <= 2
        assert set(draw.doubted.tolist()) <= {0, 1, 2}

    def test_what_is_rare_among_the_kept_comes_with_its_text(self, pair: Pair) -> None:
        """One red picture among 60 grey ones: a text that the base finds nearest to it brings it in most steps."""
        rng = np.random.default_rng(0)
        pictures = np.broadcast_to(rng.integers(90, 110, (60, 1, 1, 3)), (60, 96, 96, 3)).astype(np.uint8).copy()
        pictures[7] = (200, 0, 0)
        words = ["red", "fire", "a flag", "blood", "a rose", "the sunset"]
        found = Anchor(pair, RECIPE, words, pictures, pictures[:0])
        about = [k for k in range(len(words)) if found.nearest[k, 0] == 7]
        assert about
        drawn = [7 in found.draw(np.random.default_rng(seed), 8).images for seed in range(200)]
        assert np.mean(drawn) > 2 * 8 / 60

    def test_a_recipe_without_them_brings_nothing(self, pair: Pair, pictures: np.ndarray) -> None:
        none = Anchor(pair, replace(RECIPE, keep=0.0, doubt=0.0), ["a boat"], pictures, pictures)
        draw = none.draw(np.random.default_rng(0), 5)
        assert [len(part) for part in (draw.texts, draw.images, draw.doubted)] == [0, 0, 0]
        assert none.rows(draw).shape == (0, pair.card.dim)


class TestDoubt:
    def test_an_even_share_is_the_floor(self) -> None:
        assert float(loss.doubt(torch.full((3, 24), 7.0))) == pytest.approx(0, abs=1e-6)
        sure = torch.zeros(1, 24)
        sure[0, 5] = 30
        assert float(loss.doubt(sure)) == pytest.approx(30 * 23 / 24 - np.log(24), abs=1e-3)

    def test_pictures_of_no_class_ask_nothing_but_push_texts_away(self) -> None:
        logits = torch.tensor([[5.0, 0.0], [0.0, 5.0], [4.0, 4.0]], requires_grad=True)
        texts = torch.tensor([0, 1])
        value = loss.contrastive(logits, torch.tensor([0, 1, -1]), texts, 0.0)
        own = loss.contrastive(logits[:2], torch.tensor([0, 1]), texts, 0.0)
        assert float(value.detach()) > float(own.detach())
        (gradient,) = torch.autograd.grad(value, logits)
        assert bool((gradient[2] > 0).all())

    @pytest.mark.parametrize("bias", [None, -4.0])
    def test_who_answers_as_the_base_did_does_not_disagree(self, bias: float | None) -> None:
        base = 5 * torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
        assert float(loss.disagreement(base, base, bias)) == pytest.approx(0, abs=1e-5)
        assert float(loss.disagreement(base.roll(1, 1), base, bias)) > 0.5

    def test_a_softmax_does_not_mind_a_shift_and_a_sigmoid_does(self) -> None:
        base = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
        assert float(loss.disagreement(base + 3, base, None)) == pytest.approx(0, abs=1e-5)
        p, q = torch.sigmoid(base), torch.sigmoid(base + 3)
        known = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).sum() / 4
        assert float(loss.disagreement(base + 3, base, 0.0)) == pytest.approx(float(known), rel=1e-4)


class TestSenseless:
    def test_the_same_draw_gives_the_same_pictures(self, pictures: np.ndarray) -> None:
        a, b = (strangers.senseless(pictures, np.random.default_rng(3), 12) for _ in range(2))
        assert a.shape == (12, 96, 96, 3)
        assert a.dtype == np.uint8
        assert np.array_equal(a, b)
        assert len({picture.tobytes() for picture in a}) == 12

    def test_mixed_pieces_are_all_of_one_picture(self) -> None:
        picture = np.arange(96 * 96, dtype=np.uint8).reshape(96, 96, 1).repeat(3, axis=2)
        found = strangers.senseless(picture[None], np.random.default_rng(0), 1)[0]
        assert not np.array_equal(found, picture)
        across = found.shape[0]
        assert abs(int(found.astype(int).mean()) - int(picture.astype(int).mean())) < 0.1 * across

    def test_none_is_made_as_the_gate_makes_them(self, pictures: np.ndarray) -> None:
        """The gate's noise has neighbours that know nothing of each other; here only mixed pieces may be like that."""
        made = strangers.senseless(pictures, np.random.default_rng(0), 60)
        made = made[np.arange(60) % 4 != 0].astype(float)
        a, b = made[:, :, :-1].reshape(45, -1), made[:, :, 1:].reshape(45, -1)
        alike = [np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)]
        assert min(alike) > 0.02
