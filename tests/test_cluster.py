"""What a cluster does, in one process, with everything that would travel pickled. `test_cluster_ray.py` has Ray."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import sextant
from fakes import many, picture, vocabulary
from sextant import cluster, errors, reading
from sextant.cluster import Cluster
from sextant.encoders import Encoders
from sextant.errors import CollectionError, MissingExtra, ModelError, SextantError, UsageError
from sextant.maths import metrics
from sextant.settings import Settings, load
from sextant.types import Encoder, Floats, Lost
from sextant.walk import Candidate
from workers import counts, fake, in_pieces, material, opened, rows


def test_a_run_on_a_cluster_writes_what_a_local_run_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_what_a_worker_sent_is_written_before_the_next_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sextant.reading.FRAGMENT", 7)
    many(tmp_path / "pictures", 20)
    written: list[int] = []

    def looking(held: Cluster, make: Any, parts: Sequence[Any], **how: Any) -> Iterator[Any]:
        for found in in_pieces(held, make, parts, **how):
            written.append(photos.store.files().num_rows)
            yield found

    monkeypatch.setattr(Cluster, "spread", looking)
    with opened(tmp_path, engine="ray", flush_seconds=0.001) as photos:
        photos.add(tmp_path / "pictures")
    assert written == [0, 7, 14]


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


def _nothing() -> Any:
    return lambda n: n


# what cannot go on


def test_an_error_of_a_worker_travels_as_it_is_or_in_its_words() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SextantError)]
    for error in [kind("it", "heif") if kind is MissingExtra else kind("it") for kind in kinds]:
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))


def test_workers_that_die_of_everything_end_the_run() -> None:
    files = [Candidate(Path(f"{n}.png"), f"{n}.png", 1, 1) for n in range(reading.HOPELESS * reading.FRAGMENT)]
    asked: list[int] = []

    def dying(_make: Any, parts: Sequence[Any], **_: Any) -> Iterator[Any]:
        for part in parts:
            asked.append(len(part))
            yield Lost(3)

    with pytest.raises(CollectionError, match=r"the first 8 parts .* nothing was done: give the workers more memory"):
        list(reading.afar(files, _nothing, dying))
    assert asked == [reading.FRAGMENT] * reading.HOPELESS
    asked.clear()
    with pytest.raises(CollectionError, match="the first 8 parts"):  # one fragment may have one culprit, not eight
        list(reading.afar(files[:20], _nothing, dying))
    assert asked == [20, *[1] * reading.HOPELESS]


def test_a_worker_whose_model_is_another_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        name, revision = "fake", "1-bf16"

    def loader(_spec: str, _device: str, _precision: str) -> Encoder:
        return Other() if elsewhere else fake("", "", "")  # type: ignore[return-value]

    elsewhere = False
    held = Encoders(tmp_path, Settings(), loader)
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    load_ = held.recipe(held.load("local-dir:model"))
    assert str(tmp_path / "model") in str(load_)  # a worker stands in a folder of its own
    assert load_().name == "fake"
    elsewhere = True
    with pytest.raises(ModelError, match=r"loads as fake@1-bf16 on .*, but as fake@1 where the command runs"):
        load_()


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
        list(Cluster().spread(_nothing, [1]))


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
