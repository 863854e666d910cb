"""From encoder to encoder: labels, heads and what nobody labelled come along, and nothing is half-done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fakes import FakeEncoder, attributes, opened, picture, vocabulary
from sextant import switching
from sextant.collection import Collection
from sextant.types import Floats


class Sullen(FakeEncoder):
    """Ranks as the fake does, but its logits are lower: every picture is a little grey-blue."""

    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        rows = super().encode_images(images) + np.array([0.0, 0.3, 0.9], np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def made(tmp_path: Path) -> Collection:
    for k in range(60):
        picture(tmp_path / "p" / f"{k:02d}.png", (40 + 3 * k, 60 + k * 7 % 90, 30 + k * 11 % 60))
    photos = opened(tmp_path, FakeEncoder(), Sullen("2"))
    photos.add(tmp_path / "p")
    photos.tag(vocabulary(tmp_path, attributes("red", "green")))
    return photos


def test_columns_that_were_not_taught_go_on_saying_what_they_said(tmp_path: Path) -> None:
    photos = made(tmp_path)
    before = photos.view(["red"]).values("red").confidence.copy()
    switching.use(photos, "fake@2", learned=["green"])
    view = photos.view(["red", "green"])
    assert view.calibration("red").params["set"] == "carried"
    assert "set" not in view.calibration("green").params
    assert view.state("red") == "prior"
    assert float(np.abs(view.values("red").confidence - before).mean()) < 0.1
    assert "former encoder" in " ".join(photos.explain("p/59.png", "red").words)
    photos.use("fake@1")
    assert np.array_equal(photos.view(["red"]).values("red").confidence, before)


def test_an_encoder_that_is_no_relation_brings_its_own_curves(tmp_path: Path) -> None:
    photos = made(tmp_path)
    photos.use("fake@2")
    assert "set" not in photos.view(["red"]).calibration("red").params


def test_following_finds_the_curve_that_was_there() -> None:
    logits = np.random.default_rng(0).normal(-3, 2, 2000)
    said = 1 / (1 + np.exp(-(1.7 * logits + 4)))
    slope, offset = switching.following(logits, said)
    assert abs(slope - 1.7) < 0.05
    assert abs(offset - 4) < 0.1


def test_what_says_nothing_is_followed_by_nothing() -> None:
    slope, offset = switching.following(np.random.default_rng(0).normal(size=500), np.full(500, 0.1))
    assert slope < 0.5
    assert abs(1 / (1 + np.exp(-offset)) - 0.1) < 0.05
