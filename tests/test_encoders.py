"""Which encoder a collection uses, how it is written down, and phrases that are encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes import FakeEncoder, colour_of, loader_of
from sextant.catalog import Catalog
from sextant.encoders import Encoders, Phrases, adopted, key_of, stored
from sextant.errors import CollectionError, ModelError
from sextant.manifest import Manifest
from sextant.settings import Settings
from sextant.types import Floats


def test_phrases_come_in_their_order_and_are_encoded_once(tmp_path: Path) -> None:
    encoder = FakeEncoder()
    phrases = Phrases(Catalog.beside(tmp_path / "c.db"), "fake@1", lambda: encoder)
    found = phrases(["blue", "red", "blue"])
    np.testing.assert_array_equal(found, np.stack([colour_of(t) for t in ("blue", "red", "blue")]))
    np.testing.assert_array_equal(phrases(["red", "green"]), np.stack([colour_of(t) for t in ("red", "green")]))
    assert encoder.texts == ["blue", "red", "green"]
    unneeded = Phrases(phrases.catalog, "fake@1", lambda: pytest.fail("the encoder was loaded"))
    assert unneeded(["green", "red"]).shape == (2, 3)
    other = Phrases(phrases.catalog, "fake@2", lambda: encoder)
    other(["red"])
    assert encoder.texts[3:] == ["red"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.full((2, 3), np.nan), "makes nothing of the text 'red'"),
        (np.array([[1, 0, 0], [0, 0, 0]]), "makes nothing of the text 'blue'"),
        (np.eye(3), r"gave \(3, 3\) for 2 texts"),
        (np.ones((2, 4)) / 2, r"gave \(2, 4\) for 2 texts, not \(2, 3\)"),
    ],
)
def test_what_an_encoder_makes_of_texts_is_checked_before_it_is_kept(
    tmp_path: Path, rows: np.ndarray, message: str
) -> None:
    class Odd(FakeEncoder):
        def encode_texts(self, texts: Sequence[str]) -> Floats:
            return rows.astype(np.float32)

    catalog = Catalog.beside(tmp_path / "c.db")
    with pytest.raises(ModelError, match=message):
        Phrases(catalog, "odd@1", Odd)(["red", "blue"])
    assert catalog.texts("odd@1", ["red", "blue"]) == {}


def test_an_encoder_is_loaded_once_and_must_be_the_one_the_vectors_came_from(tmp_path: Path) -> None:
    calls = []
    load = loader_of(FakeEncoder())

    def loader(spec: str, device: str, precision: str) -> FakeEncoder:
        calls.append((spec, device, precision))
        return load(spec, device, precision)  # type: ignore[return-value]

    encoders = Encoders(tmp_path, Settings(device="cpu"), loader)
    held = adopted(Manifest(), encoders.load("fake"), "fake")
    assert (held.encoder, held.dim, held.logit_scale, held.model) == ("fake@1", 3, 40.0, "fake")
    assert encoders.own(held) is encoders.own(held)
    assert calls == [("fake", "cpu", "auto")]
    with pytest.raises(CollectionError, match="come from fake@0, but fake now loads as fake@1"):
        encoders.own(held.with_encoder(encoder="fake@0"))
    assert key_of(FakeEncoder("7")) == "fake@7"


def test_an_encoder_that_was_loaded_to_begin_a_collection_is_not_loaded_again_to_go_on(tmp_path: Path) -> None:
    calls: list[tuple[str, str]] = []

    def loader(spec: str, device: str, precision: str) -> FakeEncoder:
        calls.append((spec, precision))
        encoder = FakeEncoder()
        encoder.precision = "bf16" if precision == "auto" else precision  # type: ignore[attr-defined]
        return encoder

    (tmp_path / "weights").mkdir()
    spec = str(tmp_path / "weights" / ".." / "weights")
    encoders = Encoders(tmp_path, Settings(device="cpu", model=spec), loader)
    first = encoders.first()
    held = adopted(Manifest(), first, stored(spec, tmp_path))
    assert (held.model, held.precision) == ("./weights", "bf16")
    assert encoders.own(held) is first
    assert encoders.own(replace(held, encoder=None)) is not first
    assert calls == [(spec, "auto"), (str(tmp_path / "weights"), "bf16")]


def test_a_model_in_a_folder_is_written_down_from_the_collection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "models" / "one").mkdir(parents=True)
    (tmp_path / "models" / "enc.py").touch()
    monkeypatch.chdir(tmp_path / "models")
    collection = tmp_path / "c"
    assert stored("local-dir:one", collection) == "local-dir:../models/one"
    assert stored("./enc.py:Name", collection) == "../models/enc.py:Name"
    assert stored("enc.py:Name", collection) == "../models/enc.py:Name"
    for name in ("mini", "one", "ViT-B-32/openai", "package.module:Name", "hf-hub:owner/repo"):
        assert stored(name, collection) == name
    seen = []

    def loader(spec: str, _device: str, _precision: str) -> FakeEncoder:
        seen.append(spec)
        return FakeEncoder()

    monkeypatch.chdir("/")
    for model in ("local-dir:../models/one", "../models/enc.py:Name", "mini"):
        Encoders(collection, Settings(), loader).own(Manifest(model=model, encoder="fake@1"))
    assert seen == [f"local-dir:{tmp_path}/models/one", f"{tmp_path}/models/enc.py:Name", "mini"]
