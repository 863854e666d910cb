"""The façades: 24 styles that differ, the same picture for the same seed, and a folder with its truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sextant.demo import facades
from sextant.errors import CollectionError, UsageError


def pixels(seed: int, style: str | None = None, size: int = 64) -> np.ndarray:
    return np.asarray(facades.draw(seed, style, size=size).image, dtype=np.int16)


def test_clusters_share_out_the_styles() -> None:
    assert len(facades.STYLES) >= 24
    assert sorted(code for codes in facades.CLUSTERS.values() for code in codes) == sorted(set(facades.STYLES))
    assert all(len(codes) >= 2 for codes in facades.CLUSTERS.values())


def test_every_style_has_a_name_and_five_different_prompts() -> None:
    assert set(facades.NAMES) == set(facades.PROMPTS) == set(facades.STYLES)
    assert all(len(set(prompts)) == 5 for prompts in facades.PROMPTS.values())
    assert len({prompt for prompts in facades.PROMPTS.values() for prompt in prompts}) == 5 * len(facades.STYLES)


@pytest.mark.parametrize("style", facades.STYLES)
def test_a_seed_draws_the_same_picture_again(style: str) -> None:
    assert np.array_equal(pixels(7, style), pixels(7, style))
    assert np.abs(pixels(7, style) - pixels(8, style)).mean() > 4


def test_styles_of_one_cluster_differ_on_the_same_seed() -> None:
    for codes in facades.CLUSTERS.values():
        drawn = [pixels(3, code) for code in codes]
        for number, first in enumerate(drawn):
            assert all(np.abs(first - second).mean() > 4 for second in drawn[number + 1 :])


def test_a_seed_alone_chooses_every_style_about_as_often() -> None:
    styles = [facades.draw(seed, size=32).style for seed in range(480)]
    counts = [styles.count(code) for code in facades.STYLES]
    assert min(counts) >= 6
    assert max(counts) <= 42


def test_the_coarse_truth_follows_the_cluster_and_names_no_style() -> None:
    for cluster, thing in (("arches", "arch"), ("columns", "column"), ("domes", "dome"), ("towers", "tower")):
        for code in facades.CLUSTERS[cluster]:
            facade = facades.draw(11, code, size=64)
            assert facade.coarse == {"building", thing}
            assert facades.NAMES[code] not in facade.caption
    assert facades.draw(11, "diagrid", size=64).coarse == {"building"}


@pytest.mark.parametrize("size", [32, 96, 256, 600])
def test_any_size_is_square_and_not_blank(size: int) -> None:
    image = facades.draw(5, "onion_dome", size=size).image
    assert image.size == (size, size)
    assert image.mode == "RGB"
    assert np.asarray(image).std() > 15


def test_a_collection_is_a_folder_a_style_with_its_truth(tmp_path: Path) -> None:
    paths = facades.collection(tmp_path, 2, seed=40, size=48, processes=1)
    lines = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert len(paths) == len(lines) == 2 * len(facades.STYLES)
    assert all(Path(line["path"]).parent.name == line["style"] for line in lines)
    assert {line["seed"] for line in lines} == {40, 41}
    with Image.open(paths[-1]) as image:
        assert image.size == (48, 48)


def test_two_processes_write_the_same_bytes_as_one(tmp_path: Path) -> None:
    one = facades.collection(tmp_path / "one", 1, size=32, processes=1)
    two = facades.collection(tmp_path / "two", 1, size=32, processes=2)
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_what_cannot_be_drawn_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no façade style 'brutalist'"):
        facades.draw(1, "brutalist")
    with pytest.raises(UsageError, match="size of 32"):
        facades.draw(1, size=8)
    for count in (0, 10_001):
        with pytest.raises(UsageError, match=f"not {count}"):
            facades.collection(tmp_path, count)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CollectionError, match="choose another folder"):
        facades.collection(tmp_path / "file", 1)
