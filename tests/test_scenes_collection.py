"""Collections on disk: counts, bursts, exact copies, truth, refusals."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sextant.demo import scenes
from sextant.errors import UsageError

SEED = scenes.DEMO_SEEDS.start


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("archive")
    return folder, scenes.collection(folder, 120, seed=SEED, size=64, bursts=0.3, copies=0.1, processes=1)


def test_files_and_truth_agree(made: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, records = made
    assert len(records) == 120
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [record["path"] for record in records] + ["truth.jsonl"]
    )
    assert [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()] == records
    for record in records:
        with Image.open(folder / record["path"]) as picture:
            assert picture.format == ("PNG" if record["path"].endswith("png") else "JPEG")
            assert max(picture.size) == 64
        assert record["attributes"] == sorted(scenes.plan(record["seed"], aspect=True).attributes)
        assert set(record) == {"path", "seed", "style", "attributes", "caption", "series", "copy_of"}


def test_copies_are_exact_and_bursts_are_near(made: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, records = made
    copies = [record for record in records if record["copy_of"]]
    assert 4 <= len(copies) <= 25
    for record in copies:
        assert (folder / record["path"]).read_bytes() == (folder / record["copy_of"]).read_bytes()
    series: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        if record["series"] and not record["copy_of"]:
            series[record["series"]].append(record)
    assert len(series) >= 3
    assert 0.15 <= sum(map(len, series.values())) / len(records) <= 0.45

    def small(record: dict[str, Any]) -> np.ndarray:
        with Image.open(folder / record["path"]) as picture:
            return np.asarray(picture.convert("L").resize((16, 16)), np.float64)

    within, across = [], []
    firsts = [members[0] for members in series.values()]
    for members in series.values():
        assert len({record["seed"] for record in members}) == 1
        assert len({(folder / record["path"]).read_bytes() for record in members}) == len(members)
        within += [np.abs(small(members[0]) - small(other)).mean() for other in members[1:]]
    across = [np.abs(small(a) - small(b)).mean() for a in firsts for b in firsts if a is not b]
    assert np.median(within) < 0.35 * np.median(across)


def test_same_seed_same_files_whatever_the_processes(tmp_path: Path) -> None:
    for name, processes in (("one", 1), ("two", 2)):
        scenes.collection(tmp_path / name, 24, seed=SEED, size=48, processes=processes)
    first = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}


def test_progress_counts_every_file(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    scenes.collection(
        tmp_path, 10, seed=SEED, size=32, copies=0.4, processes=1, progress=lambda done, all_: seen.append((done, all_))
    )
    assert seen == [(i, 10) for i in range(1, 11)]


@pytest.mark.parametrize("count", [0, -3, 1_000_001, 10_000_000, 2.5, True])
def test_count_out_of_range(tmp_path: Path, count: int) -> None:
    with pytest.raises(UsageError, match="--images"):
        scenes.collection(tmp_path / "none", count, seed=SEED)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("changes", [{"seed": -1}, {"seed": "a"}, {"bursts": 1.5}, {"copies": -0.1}, {"size": 3}])
def test_other_bad_input(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="not"):
        scenes.collection(tmp_path / "none", 3, **{"seed": SEED, **changes})
    assert not (tmp_path / "none").exists()


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot write into"):
        scenes.collection(tmp_path / "file" / "below", 3, seed=SEED, size=32, processes=1)
