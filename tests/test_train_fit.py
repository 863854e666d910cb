"""Training on tiny towers: what is learnt, what stays frozen, and where a run that was stopped ends."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch's own, at import
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    pytest.importorskip("onnx")

from tokenizers import Tokenizer, models, pre_tokenizers

from sextant.encoder import OnnxEncoder
from sextant.errors import ModelError
from sextant.train import augment, interpolation, loss, retrieval
from sextant.train.fit import Fitting, Material
from sextant.train.mini_towers import Mini
from sextant.train.pair import MINI, MiniTowers, Pair, digest, open_pair
from sextant.train.recipe import Recipe

WORDS = ("[PAD]", "a", "photo", "of", "red", "green", "blue", "thing")
SIDE = 24
RECIPE = Recipe(
    "tiny",
    batch=16,
    heads_epochs=14,
    blocks_epochs=2,
    blocks=1,
    heads_rate=4e-3,
    blocks_rate=1e-3,
    keep=0.1,
    doubt=0.02,
    beside=4,
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = Tokenizer(models.WordLevel({word: k for k, word in enumerate(WORDS)}, unk_token="[PAD]"))
    found.pre_tokenizer = pre_tokenizers.Whitespace()
    path = tmp_path_factory.mktemp("tiny") / "tokenizer.json"
    found.save(str(path))
    return path


def make(tokenizer: Path, seed: int = 0) -> Pair:
    torch.manual_seed(seed)
    card = {
        "format": 1, "name": "tiny", "revision": "0", "dim": 16, "image_size": SIDE, "resize_mode": "squash",
        "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "context_length": 8, "pad_id": 0,
        "logit_scale": 20.0, "logit_bias": -4.0, "training": "sigmoid",
    }  # fmt: skip
    return Pair(MiniTowers(Mini(len(WORDS), 8, 16, 8, (8, 16), (1, 1))), card, tokenizer)


@pytest.fixture(scope="module")
def material() -> Material:
    """Squares of three colours with some noise; 60 to learn from, 30 to choose by."""
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    colours = np.eye(3)[labels] * 120 + 60
    pictures = colours[:, None, None, :] + rng.normal(0, 40, (90, SIDE, SIDE, 3))
    return Material(
        np.clip(pictures, 0, 255).astype(np.uint8), labels, np.arange(60), np.arange(60, 90),
        [("red", "a red thing"), ("green", "a photo of green"), ("blue",)], [[0, 1]],
        np.zeros((4, SIDE, SIDE, 3), np.uint8), ["a thing", "a photo"],
        rng.integers(0, 256, (6, SIDE, SIDE, 3), dtype=np.uint8),
    )  # fmt: skip


class Stopped(Exception):
    pass


def train(tokenizer: Path, material: Material, folder: Path, recipe: Recipe = RECIPE, **options: Any) -> Pair:
    torch.set_num_threads(1)
    pair = make(tokenizer)
    Fitting(pair, recipe, material, folder, seed=options.pop("seed", 0), **options).fit()
    return pair


@pytest.fixture(scope="module")
def trained(tokenizer: Path, material: Material, tmp_path_factory: pytest.TempPathFactory) -> tuple[Pair, Path]:
    folder = tmp_path_factory.mktemp("trained")
    return train(tokenizer, material, folder), folder


def accuracy(pair: Pair, material: Material) -> float:
    rows, texts = pair.image_rows(material.pictures[60:]), pair.text_rows([p[0] for p in material.prompts])
    return retrieval.measure(rows, texts, material.labels[60:]).accuracy


class TestFitting:
    def test_it_learns(self, tokenizer: Path, material: Material, trained: tuple[Pair, Path]) -> None:
        assert accuracy(trained[0], material) > max(0.8, accuracy(make(tokenizer), material))

    def test_it_learns_to_doubt_what_is_no_class(self, tokenizer: Path, material: Material, tmp_path: Path) -> None:
        tops = []
        for doubt in (0.0, 1.0):
            recipe = replace(RECIPE, doubt=doubt, blocks_epochs=0)
            pair = train(tokenizer, material, tmp_path / str(doubt), recipe)
            texts = pair.text_rows([p[0] for p in material.prompts])
            logits = 20 * torch.from_numpy(pair.image_rows(material.doubted) @ texts.T)
            tops.append(float(logits.softmax(1).max(1).values.mean()))
        assert tops[1] - 1 / 3 < 0.8 * (tops[0] - 1 / 3)

    def test_the_log_has_a_line_an_epoch(self, trained: tuple[Pair, Path]) -> None:
        lines = [json.loads(line) for line in (trained[1] / "log.jsonl").read_text().splitlines()]
        assert [(line["stage"], line["epoch"]) for line in lines] == [
            *(("heads", k) for k in range(14)), *(("blocks", k) for k in range(2))
        ]  # fmt: skip
        assert all(0.45 <= line["hard_share"] <= 0.55 for line in lines)

    def test_frozen_tensors_are_the_same_to_the_bit(self, tokenizer: Path, trained: tuple[Pair, Path]) -> None:
        before, after = make(tokenizer).state(), trained[0].state()
        last = [name for name in before if name.startswith(("visual.body.4.", "visual.places", "visual.norm"))]
        moving = ("visual.body.4.", "visual.places", "visual.norm", "visual.head", "textual.")
        frozen = [name for name in before if not name.startswith(moving)]
        assert any(name.startswith("visual.body.0") for name in frozen)
        assert all(torch.equal(before[name], after[name]) for name in frozen)
        assert any(not torch.equal(before[name], after[name]) for name in last)

    def test_the_first_stage_leaves_the_image_tower_alone(
        self, tokenizer: Path, material: Material, tmp_path: Path
    ) -> None:
        pair = train(tokenizer, material, tmp_path, replace(RECIPE, blocks_epochs=0))
        before, after = make(tokenizer).state(), pair.state()
        assert all(torch.equal(before[k], after[k]) for k in before if k.startswith(("visual.body", "visual.places")))

    def test_the_same_seed_gives_the_same_weights(
        self, tokenizer: Path, material: Material, trained: tuple[Pair, Path], tmp_path: Path
    ) -> None:
        assert digest(train(tokenizer, material, tmp_path / "a").state()) == digest(trained[0].state())
        assert digest(train(tokenizer, material, tmp_path / "b", seed=1).state()) != digest(trained[0].state())

    @pytest.mark.parametrize("after", [2, 17, 55, 58, 62])
    def test_a_run_that_was_stopped_ends_with_the_same_weights(
        self, tokenizer: Path, material: Material, trained: tuple[Pair, Path], tmp_path: Path, after: int
    ) -> None:
        def stop(progress: Any) -> None:
            if progress.done == after:
                raise Stopped

        with pytest.raises(Stopped):
            train(tokenizer, material, tmp_path, progress=stop)
        assert digest(train(tokenizer, material, tmp_path).state()) == digest(trained[0].state())

    def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_state(
        self, tokenizer: Path, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        count = 0
        honest = loss.contrastive

        def broken(*arguments: Any) -> Any:
            nonlocal count
            count += 1
            return honest(*arguments) * (float("nan") if count > 5 else 1)

        monkeypatch.setattr(loss, "contrastive", broken)
        with pytest.raises(ModelError, match=r"no number at step 1 of epoch 1 of stage heads.*epoch 0 are kept"):
            train(tokenizer, material, tmp_path)
        monkeypatch.undo()
        held = train(tokenizer, material, tmp_path)  # goes on from the good epoch
        assert all(torch.isfinite(value).all() for value in held.state().values())

    def test_a_full_disk_is_told(
        self, tokenizer: Path, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("sextant.train.fit.save_file", full)
        with pytest.raises(ModelError, match="No space left on device"):
            train(tokenizer, material, tmp_path)


class TestLoss:
    def test_images_of_a_class_are_never_negatives(self) -> None:
        """Another image of the class is no negative: nothing pushes it away."""
        logits = torch.tensor([[9.0, 9.0, 0], [9.0, 9.0, 0], [0, 0, 9.0]])
        classes, alone = torch.tensor([0, 0, 1]), torch.arange(3)
        aware = loss.contrastive(logits, classes, classes, 0.0)
        unaware = loss.contrastive(logits, alone, alone, 0.0)
        assert float(aware) == pytest.approx(2 / 3 * np.log(2), abs=1e-3)  # the floor: two right answers share a row
        assert float(unaware) >= float(aware) - 1e-6
        gradient = torch.autograd.grad(loss.contrastive(z := logits.clone().requires_grad_(), classes, classes, 0.0), z)
        assert float(gradient[0][0, 1].abs()) < 1e-3

    def test_classes_apart_it_is_infonce(self) -> None:
        rng = torch.Generator().manual_seed(0)
        logits = torch.randn(6, 6, generator=rng)
        ids = torch.arange(6)
        ce = torch.nn.functional.cross_entropy
        expected = (ce(logits, ids, label_smoothing=0.1) + ce(logits.T, ids, label_smoothing=0.1)) / 2
        assert float(loss.contrastive(logits, ids, ids, 0.1)) == pytest.approx(float(expected), rel=1e-5)

    def test_a_text_that_no_image_shows_asks_nothing(self) -> None:
        logits = torch.randn(2, 3)
        found = loss.contrastive(logits, torch.tensor([0, 1]), torch.tensor([0, 1, 2]), 0.0)
        assert bool(torch.isfinite(found))


class TestAugment:
    def test_the_same_draw_gives_the_same_pictures(self) -> None:
        pictures = np.random.default_rng(0).integers(0, 256, (5, 20, 20, 3)).astype(np.uint8)
        a, b = (augment.augment(pictures, np.random.default_rng(3)) for _ in range(2))
        assert torch.equal(a, b)
        assert a.shape == (5, 3, 20, 20)
        assert 0 <= float(a.min()) <= float(a.max()) <= 1

    def test_copies_differ(self) -> None:
        pictures = np.random.default_rng(0).integers(0, 256, (1, 20, 20, 3)).astype(np.uint8).repeat(4, axis=0)
        found = augment.augment(pictures, np.random.default_rng(0))
        assert len({tuple(x.flatten().tolist()[:50]) for x in found}) == 4

    def test_no_strength_changes_nothing_but_left_and_right(self) -> None:
        pictures = np.random.default_rng(0).integers(0, 256, (8, 20, 20, 3)).astype(np.uint8)
        found = (augment.augment(pictures, _untilted(), 0.0) * 255).permute(0, 2, 3, 1).numpy()
        for changed, before in zip(found, pictures, strict=True):
            assert min(np.abs(changed - before).max(), np.abs(changed - before[:, ::-1]).max()) < 0.1


def _untilted() -> np.random.Generator:
    return np.random.default_rng(0)


class TestInterpolation:
    def test_the_ends_of_the_line(self, tokenizer: Path, trained: tuple[Pair, Path]) -> None:
        base, tuned = make(tokenizer).state(), trained[0].state()
        assert digest(interpolation.between(base, tuned, 0.0)) == digest(base)
        assert digest(interpolation.between(base, tuned, 1.0)) == digest(tuned)

    def test_what_costs_too_much_outside_is_not_chosen(self, tokenizer: Path) -> None:
        pair = make(tokenizer)
        base = pair.state()
        tuned = {k: v + 1 if v.is_floating_point() else v for k, v in base.items()}

        def measure(now: Pair) -> tuple[float, float]:
            alpha = float((now.state()["visual.head.bias"] - base["visual.head.bias"]).mean())
            return alpha, 1 - 0.02 * alpha

        line = interpolation.choose(pair, base, tuned, measure, 0.01)
        assert line.kept
        assert line.chosen.alpha == 0.5
        line = interpolation.choose(pair, base, tuned, measure, 0.0001)  # nothing but the base keeps as much
        assert not line.kept
        assert line.chosen.alpha == 1.0


class TestPair:
    def test_mini_says_in_torch_what_it_says_in_onnx(self) -> None:
        pair, encoder = open_pair("mini", MINI), OnnxEncoder(MINI, device="cpu", precision="fp32")
        pictures = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3)).astype(np.uint8)
        prepared = [pair.pixels.normalise(picture) for picture in pictures]
        assert np.allclose(pair.image_rows(pictures), encoder.encode_prepared(prepared), atol=1e-5)
        texts = ["the earth", "a photo of pointed arches", ""]
        assert np.allclose(pair.text_rows(texts), encoder.encode_texts(texts), atol=1e-5)

    @pytest.mark.parametrize("blocks", [0, 1, 3, 5])
    def test_trunk_and_tail_are_the_whole(self, blocks: int) -> None:
        towers = open_pair("mini", MINI).towers
        x = torch.randn(2, 3, 96, 96)
        with torch.no_grad():
            rows = towers.project(towers.tail(towers.trunk(x, blocks), blocks))
            whole = towers.whole.visual(x)  # type: ignore[attr-defined]
        assert torch.allclose(torch.nn.functional.normalize(rows, dim=-1), whole, atol=1e-6)

    def test_a_bundle_of_another_encoder_has_no_weights_to_train(self, tmp_path: Path) -> None:
        (tmp_path / "card.json").write_text("{}")
        with pytest.raises(ModelError, match="no weights to train"):
            open_pair(str(tmp_path), tmp_path)

    def test_a_pickle_is_refused_with_the_safe_way(self, tmp_path: Path) -> None:
        pytest.importorskip("transformers")
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
        (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02}")
        with pytest.raises(ModelError, match="safetensors"):
            open_pair(str(tmp_path), tmp_path / "scratch")

    def test_no_such_base(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="no base"):
            open_pair("nonsense", tmp_path)
