"""The same work on Ray as in this process: row for row, also when workers die. Skips where Ray is not installed."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import sextant
from fakes import FakeEncoder, many, picture, pictures, vocabulary
from sextant import cluster
from sextant.cluster import Cluster
from sextant.collection import Collection
from sextant.errors import CollectionError, MissingExtra, UsageError
from sextant.maths import metrics
from sextant.settings import Settings, load
from sextant.types import Encoder, Floats, Lost

DEADLY = (9, 9, 9)


class Fragile(FakeEncoder):
    """Its process dies at a picture of the colour DEADLY: once for each file in `flags`, or always."""

    def __init__(self, flags: str = "", times: int = 1) -> None:
        super().__init__()
        self.flags, self.times = flags, times

    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        if any(image.getpixel((0, 0)) == DEADLY for image in images):
            flag = Path(self.flags) / f"died{len(list(Path(self.flags).glob('died*')))}"
            if self.times < 0 or len(list(Path(self.flags).glob("died*"))) < self.times:
                flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().encode_images(images)


def fake(_spec: str, _device: str, _precision: str) -> Encoder:
    return FakeEncoder()


def fragile(flags: str, times: int, _spec: str, _device: str, _precision: str) -> Encoder:
    return Fragile(flags, times)


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    found = pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    for name, value in cluster.QUIET.items():
        os.environ.setdefault(name, value)
    here = str(Path(__file__).parent)
    found.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
               runtime_env={"env_vars": {"PYTHONPATH": f"{here}:{os.environ.get('PYTHONPATH', '')}"}})  # fmt: skip
    yield found
    found.shutdown()


def opened(folder: Path, loader: Any = fake, **settings: Any) -> Collection:
    return sextant.open(folder, create=True, loader=loader, **settings)


def rows(photos: Collection) -> dict[str, Any]:
    """All that was written: vectors in their order, bit for bit, facts, and where files lie."""
    table = photos.vectors.read(sorted(photos.vectors.columns()), vectors=True)
    read = table.to_pylist()
    facts = photos.store.images().drop_columns(["added_at"])
    return {
        "vectors": [(r["id"], *(np.float32(r[n]).tobytes() for n in table.column_names[1:])) for r in read],
        "facts": facts.sort_by("id").to_pylist(),
        "files": sorted((r["path"], r["id"], r["bytes"]) for r in photos.store.files().to_pylist()),
    }


def counts(report: Any) -> tuple[Any, ...]:
    named = ("added", "copies", "unchanged", "changed", "moved", "encoded", "missing_paths")
    return (*(getattr(report, name) for name in named), sorted((s.path, s.reason) for s in report.skipped))


def material(folder: Path) -> Path:
    """Pictures, an exact copy, one that is black and makes no vector, and files that are none."""
    many(folder / "pictures", 40)
    (folder / "pictures" / "copy.png").write_bytes((folder / "pictures" / "00003.png").read_bytes())
    pictures(folder / "pictures", "red", "black")
    (folder / "pictures" / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    (folder / "pictures" / "empty.png").touch()
    return folder / "pictures"


def in_pieces(_: Cluster, make: Any, items: Sequence[Any], **__: Any) -> Iterator[Any]:
    """What a cluster does, in this process: nothing but values that were pickled goes to a worker and comes back."""
    work = pickle.loads(pickle.dumps(make))()
    return (pickle.loads(pickle.dumps(work(pickle.loads(pickle.dumps(item))))) for item in items)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", ["in pieces", "ray"])
def test_a_run_on_a_cluster_writes_what_a_local_run_writes(
    how: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "ray":
        request.getfixturevalue("ray")
    else:
        monkeypatch.setattr(Cluster, "spread", in_pieces)
    monkeypatch.setattr("sextant.reading.FRAGMENT", 7)
    monkeypatch.setattr("sextant.vectors.ROWS_A_PART", 11)
    found = []
    for name, engine in (("here", "local"), ("there", "ray")):
        with opened(tmp_path / name, engine=engine) as photos:
            first = photos.add(material(tmp_path / name))
            tagged = photos.tag(vocabulary(tmp_path))
            second = photos.add(tmp_path / name)  # nothing is new; a moved file is known by its bytes
            (tmp_path / name / "pictures" / "00007.png").rename(tmp_path / name / "pictures" / "moved.png")
            picture(tmp_path / name / "pictures" / "00008.png", "blue")
            third = photos.add(tmp_path / name)
            found.append((rows(photos), counts(first), counts(second), counts(third), tagged.columns, tagged.cells))
    here, there = found
    assert there == here
    assert here[1][:1] == (41,)


@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_is_killed_loses_and_doubles_nothing(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sextant.reading.FRAGMENT", 5)
    many(tmp_path / "pictures", 30)
    picture(tmp_path / "pictures" / "00012.png", DEADLY)
    with opened(tmp_path, partial(fragile, str(tmp_path), 1), engine="ray", actors=1) as photos:
        report = photos.add(tmp_path / "pictures")
        assert (report.added, report.encoded, report.skipped) == (30, 30, ())
        ids = photos.vectors.ids().to_pylist()
    assert len(ids) == len(set(ids)) == 30
    assert (tmp_path / "died0").exists()


@pytest.mark.filterwarnings("ignore")
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


def test_a_real_encoder_gives_the_same_vectors_in_fragments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cluster, "spread", in_pieces)
    monkeypatch.setattr("sextant.reading.FRAGMENT", 7)
    found = []
    for name, engine in (("here", "local"), ("there", "ray")):
        many(tmp_path / name / "pictures", 24)
        with sextant.open(tmp_path / name, create=True, model="mini", engine=engine) as photos:
            photos.add(tmp_path / name)
            found.append(photos.vectors.matrix())
    assert found[0][0] == found[1][0]
    assert np.abs(found[0][1] - found[1][1]).max() < 1e-5


@pytest.mark.filterwarnings("ignore")
def test_what_the_work_raises_is_raised_here_and_results_keep_their_order(ray: Any) -> None:
    found = Cluster().spread(_slow_squares, list(range(12)))
    assert list(found) == [n * n for n in range(12)]
    with pytest.raises(UsageError, match="not 7"):
        list(Cluster().spread(_refusing, [1, 7, 2]))


def _slow_squares() -> Any:
    return lambda n: (time.sleep(0.02 * (n % 3)), n * n)[1]


def _refusing() -> Any:
    def work(n: int) -> int:
        if n == 7:
            raise UsageError(f"not {n}")
        return n

    return work


# without Ray


def test_a_cluster_is_asked_for_by_a_setting() -> None:
    assert cluster.of(Settings()) is None
    asked = {"SEXTANT_ENGINE": "ray", "SEXTANT_ADDRESS": "auto"}
    found = cluster.of(load(None, environment=asked, threads=4, actors=3))
    assert found == Cluster("auto", cpus=4, gpus=0, workers=3)
    with pytest.raises(UsageError, match="local, ray"):
        load(None, environment={}, engine="dask")


def test_a_collection_cannot_name_the_cluster_that_is_trusted(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('engine = "ray"\naddress = "ray://elsewhere:10001"\n')
    with pytest.raises(UsageError, match=r"settings\.toml: a collection cannot say which cluster to trust"):
        cluster.of(load(file, environment={}))
    assert cluster.of(load(file, environment={}, address="auto")) == Cluster("auto")


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"sextant-images\[cluster\]"):
        list(Cluster().spread(_slow_squares, [1]))


def test_a_part_that_is_given_up_names_it(tmp_path: Path) -> None:
    many(tmp_path, 3)
    with opened(tmp_path) as photos:
        photos.add(tmp_path)
        before = photos.vectors.read().num_rows

        def losing(_make: Any, parts: Sequence[Any], **_: Any) -> Iterator[Any]:
            return (Lost(3) for _ in parts)

        with pytest.raises(CollectionError, match=r"died each time, 3 times\. No column was changed"):
            photos.vectors.put_columns({"red": {}}, lambda r: {"red": r[:, 0]}, losing)
        assert (photos.vectors.columns(), photos.vectors.read().num_rows) == ({}, before)


def test_rows_that_others_compute_are_those_computed_here(tmp_path: Path) -> None:
    many(tmp_path, 30)
    with opened(tmp_path, flush_seconds=0.001, batch=4) as photos:
        photos.add(tmp_path)
        photos.store.drop_images(photos.vectors.ids().to_pylist()[3:9])

        def here(make: Any, parts: Sequence[Any], **_: Any) -> Iterator[Any]:
            return map(make(), parts)

        photos.vectors.put_columns({"a": {}}, _first, None)
        photos.vectors.put_columns({"b": {}}, lambda r: {"b": r[:, 0]}, here)
        table = photos.vectors.read(["a", "b"])
        assert table["a"].combine_chunks() == table["b"].combine_chunks()
        assert isinstance(table, pa.Table)


def _first(rows_: Floats) -> dict[str, Floats]:
    return {"a": rows_[:, 0]}


def test_quality_that_others_resample_is_that_found_here() -> None:
    rng = np.random.default_rng(0)
    p = rng.random((60, 3))
    y = np.where(rng.random((60, 3)) < 0.2, np.nan, rng.random((60, 3)) < p)
    assert metrics.evaluate(p, y, spread=partial(in_pieces, Cluster())) == metrics.evaluate(p, y)


def test_features_that_others_compute_are_those_of_the_base(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from sextant.train import preparing
    from sextant.train.pair import open_pair

    pair = open_pair("mini", tmp_path / "base")
    side = pair.card.image_size
    pictures_ = np.random.default_rng(0).integers(0, 255, (150, side, side, 3), np.uint8)
    np.save(tmp_path / "pictures.npy", pictures_)
    work = pickle.loads(pickle.dumps(partial(preparing._tower, "mini", tmp_path)))()
    found = np.concatenate([work((0, 128)), work((128, 256))])
    assert np.array_equal(found, pair.feature_rows(pictures_))
    assert preparing.PICTURES_A_PART % 128 == 0
