"""CLIP and SigLIP checkpoints as bases: cut into trunk, tail and projection they say what the reference says."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    pytest.importorskip("safetensors")

import checkpoints
from sextant.train.fit import Fitting, Material
from sextant.train.pair import Pair, open_pair
from sextant.train.recipe import Recipe


@pytest.fixture(scope="module", params=["clip", "siglip"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp(request.param)
    build = {"clip": lambda: checkpoints.clip(folder), "siglip": lambda: checkpoints.siglip(folder, version=2)}
    build[request.param]()
    return open_pair(str(folder), tmp_path_factory.mktemp("scratch"))


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_trunk_and_tail_are_the_whole(pair: Pair, blocks: int) -> None:
    size = pair.card.image_size
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        cut = pair.towers.project(pair.towers.tail(pair.towers.trunk(x, blocks), blocks))
        whole = pair.towers.whole["visual"](x)  # type: ignore[index]
    assert torch.allclose(cut, whole, atol=1e-5)


def test_it_trains_and_only_what_it_should(pair: Pair, tmp_path: Path) -> None:
    size = pair.card.image_size
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 2
    pictures = np.clip(80 + 90 * labels[:, None, None, None] + rng.normal(0, 30, (24, size, size, 3)), 0, 255)
    material = Material(
        pictures.astype(np.uint8), labels, np.arange(16), np.arange(16, 24), [("a dog",), ("a cat",)], [],
        np.zeros((0, size, size, 3), np.uint8), ["a photo"], np.zeros((0, size, size, 3), np.uint8),
    )  # fmt: skip
    before = pair.state()
    recipe = Recipe("tiny", batch=8, heads_epochs=1, blocks_epochs=1, blocks=1, scale="trained", mixed=False)
    told = Fitting(pair, recipe, material, tmp_path, seed=0).fit()
    after = pair.state()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert set(told) == {"heads", "blocks"}
    assert not any("layers.0." in name and "visual" in name for name in moved)
    assert not any("embeddings" in name and "visual" in name for name in moved)
    pair.load(before)
