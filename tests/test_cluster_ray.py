"""The same work on Ray as in this process: row for row, also when workers or the command itself are killed.

Skips where Ray is not installed. Every test starts processes, so each asks for as few as it can.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import aws
from fakes import many, picture, vocabulary
from object_store import ObjectStore
from sextant import cluster, finetune, place
from sextant.catalog import Label
from sextant.cluster import Cluster
from sextant.errors import CollectionError, MissingExtra, UsageError
from sextant.place import Bucket
from sextant.settings import Settings
from workers import DEADLY, at_home, counts, fragile, material, noting, opened, rows

pytestmark = pytest.mark.filterwarnings("ignore")
HERE = str(Path(__file__).parent)


@pytest.fixture(scope="module")
def ray(s3_server: ObjectStore) -> Iterator[Any]:
    """A cluster on this machine, whose workers find these modules and the tests' S3."""
    found = pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    with pytest.MonkeyPatch.context() as patch:  # workers have the environment that the cluster was started with
        for name, value in {**cluster.QUIET, "RAY_worker_niceness": "0", **aws(s3_server)}.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", f"{HERE}:{os.environ.get('PYTHONPATH', '')}")
        found.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield found
    found.shutdown()


def test_a_run_on_ray_writes_what_a_local_run_writes(ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sextant.reading.FRAGMENT", 15)
    monkeypatch.setattr("sextant.vectors.ROWS_A_PART", 30)
    found = []
    for name, engine in (("here", "local"), ("there", "ray")):
        with opened(tmp_path / name, engine=engine) as photos:
            report = photos.add(material(tmp_path / name))
            tagged = photos.tag(vocabulary(tmp_path))
            photos.catalog.put_labels(
                [Label(i, "red", n % 3 == 0) for n, i in enumerate(sorted(set(photos.located().values())))]
            )
            found.append((rows(photos), counts(report), tagged.columns, tagged.cells, photos.evaluate(["red"])))
    assert found[0] == found[1]
    assert found[0][1][0] == 41


def test_a_worker_that_is_killed_loses_and_doubles_nothing(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sextant.reading.FRAGMENT", 10)
    many(tmp_path / "pictures", 30)
    picture(tmp_path / "pictures" / "00012.png", DEADLY)
    with opened(tmp_path, partial(fragile, str(tmp_path), 1), engine="ray", actors=1) as photos:
        report = photos.add(tmp_path / "pictures")
        assert (report.added, report.encoded, report.skipped) == (30, 30, ())
        ids = photos.vectors.ids().to_pylist()
    assert len(ids) == len(set(ids)) == 30
    assert (tmp_path / "died0").exists()


def test_a_picture_that_kills_every_worker_is_left_out_and_named(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sextant.reading.FRAGMENT", 4)
    monkeypatch.setattr(cluster, "RETRIES", 1)
    many(tmp_path / "pictures", 10)
    picture(tmp_path / "pictures" / "00004.png", DEADLY)
    with opened(tmp_path, partial(fragile, str(tmp_path), -1), engine="ray", actors=1) as photos:
        report = photos.add(tmp_path / "pictures")
        assert report.added == 9
        assert [s.path for s in report.skipped] == ["pictures/00004.png"]
        assert "died each time, 2 times" in report.skipped[0].reason
        assert len(set(photos.vectors.ids().to_pylist())) == len(photos.vectors) == 9


COMMAND = """
import json, sys
from functools import partial
from pathlib import Path
import sextant.reading, workers
from sextant.store import Store
sextant.reading.FRAGMENT = 4
flush = Store.put_files
def put_files(self, rows):
    flush(self, rows)
    print(json.dumps(rows["path"].to_pylist()), flush=True)
Store.put_files = put_files
folder, notes, address = Path(sys.argv[1]), *sys.argv[2:]
loader = partial(workers.noting, notes, 16)
with workers.opened(folder, loader, engine="ray", address=address, actors=1, flush_seconds=0.001) as photos:
    photos.add(folder / "pictures")
"""


def test_a_command_that_is_killed_goes_on_from_what_it_acknowledged(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(tmp_path / "here" / "pictures", 24)
    many(tmp_path / "there" / "pictures", 24)
    address = ray.get_runtime_context().gcs_address
    notes = [str(tmp_path / "first"), str(tmp_path / "second")]
    environment = {**os.environ, "PYTHONPATH": f"{HERE}:{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-W", "ignore", "-c", COMMAND, str(tmp_path / "there"), notes[0], address]
    acknowledged: set[str] = set()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        while len(acknowledged) < 8 and (line := process.stdout.readline()):
            acknowledged |= set(json.loads(line))
        process.kill()
        acknowledged |= {path for line in process.stdout for path in json.loads(line)}
    assert 8 <= len(acknowledged) < 24
    monkeypatch.setattr("sextant.reading.FRAGMENT", 4)
    with opened(tmp_path / "there", partial(noting, notes[1], 99), engine="ray", actors=1) as photos:
        report = photos.add(tmp_path / "there" / "pictures")
        there = rows(photos)
    with opened(tmp_path / "here") as photos:
        photos.add(tmp_path / "here" / "pictures")
        assert there == rows(photos)
    assert (report.unchanged + report.added, report.skipped) == (24, ())
    again = {f"pictures/{int(number):05d}.png" for number in Path(notes[1]).read_text().split()}
    assert again
    assert not again & acknowledged


def test_a_bucket_postgresql_and_ray_at_once_while_the_store_stumbles(
    ray: Any, s3: ObjectStore, postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sextant.reading.FRAGMENT", 12)
    monkeypatch.setattr("sextant.vectors.ROWS_A_PART", 20)
    for file in material(tmp_path).iterdir():
        place.write(Bucket.at(f"s3://photos/pictures/{file.name}"), file.read_bytes())
    found = []
    for name, more in (("here", {}), ("there", {"engine": "ray", "catalog": postgres})):
        draw = random.Random(0)
        s3.fate = lambda *_: draw.choice([503, 500, 0.01, *[None] * 27]) if name == "there" else None  # noqa: B023
        with opened(f"s3://photos/{name}", **more) as photos:
            report = photos.add("s3://photos/pictures")
            tagged = photos.tag(vocabulary(tmp_path))
            answers = [row["path"] for row in photos.query("red and not blue")]
            found.append((rows(photos), counts(report), tagged.columns, tagged.cells, answers))
        s3.fate = lambda *_: None
    assert found[0] == found[1]
    assert (found[0][1][0], found[0][3]) == (41, 123)


def test_what_the_work_raises_is_raised_here_and_results_keep_their_order(ray: Any) -> None:
    found = Cluster(workers=1).spread(_refusing, [1, 2, 3, 7, 2])
    assert [next(found), next(found)] == [1, 4]
    with pytest.raises(UsageError, match="not 7"):
        list(found)


def _refusing() -> Any:
    def work(n: int) -> int:
        if n == 7:
            raise UsageError(f"not {n}")
        return n * n

    return work


def test_a_model_that_no_worker_can_load_ends_the_run(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(tmp_path / "pictures", 4)
    with (
        opened(tmp_path / "a", partial(at_home, os.getpid(), False), engine="ray", actors=1) as photos,
        pytest.raises(MissingExtra, match=r"sextant-images\[openvino\]"),
    ):
        photos.add(tmp_path / "pictures")
    monkeypatch.setattr(cluster, "RETRIES", 0)
    monkeypatch.setattr("sextant.reading.HOPELESS", 2)
    monkeypatch.setattr("sextant.reading.FRAGMENT", 1)
    with (
        opened(tmp_path / "b", partial(at_home, os.getpid(), True), engine="ray", actors=1) as photos,
        pytest.raises(CollectionError, match="the first 2 parts of the work each ended their worker 1 times"),
    ):
        photos.add(tmp_path / "pictures")


def test_features_of_a_base_are_kept_as_a_local_run_keeps_them(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("sextant.train.preparing.PICTURES_A_PART", 128)
    monkeypatch.chdir(tmp_path)  # a worker stands in another folder
    draw = np.random.default_rng(0)
    for number in range(132):  # coarse noise, so that none are near-duplicates
        file = tmp_path / "data" / ("red", "blue")[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 255, (6, 6, 3), np.uint8)
        pixels[..., 2 * (number % 2)] //= 4
        Image.fromarray(pixels.repeat(16, 0).repeat(16, 1)).save(file)
    found = []
    for engine in ("local", "ray"):
        request = finetune.Request(
            source=tmp_path / "data", out=Path(engine), until="split", settings=Settings(engine=engine, actors=1)
        )
        finetune.finetune(request)
        found.append((np.load(tmp_path / engine / "base_features.npy"), (tmp_path / engine / "split.json").read_text()))
    assert len(found[0][0]) == 132
    np.testing.assert_allclose(found[1][0], found[0][0], atol=1e-5)
    assert json.loads(found[1][1])["parts"] == json.loads(found[0][1])["parts"]
