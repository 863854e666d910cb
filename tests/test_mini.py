"""The embedded encoder: a whole bundle, a card that says what it is, and eyes for what the demo draws."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import sextant.demo
from sextant.demo import facades, scenes
from sextant.encoder import OnnxEncoder

BUNDLE = Path(sextant.demo.__file__).parent / "mini"


@pytest.fixture(scope="module")
def encoder() -> OnnxEncoder:
    return OnnxEncoder(BUNDLE)


@pytest.fixture(scope="module")
def seen(encoder: OnnxEncoder) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (240, dim) and truth (240, attributes) of test pictures."""
    first = scenes.TEST_SEEDS[0] + 500_000
    drawn = [scenes.draw(seed, size=128) for seed in range(first, first + 240)]
    truth = np.array([[code in scene.attributes for code in scenes.ATTRIBUTES] for scene in drawn])
    return encoder.encode_images([scene.image for scene in drawn]), truth


def precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Average precision by its definition."""
    hits = truth[np.argsort(-scores, kind="stable")]
    return float(np.mean(np.cumsum(hits)[hits] / (np.flatnonzero(hits) + 1)))


def mean_precision(encoder: OnnxEncoder, seen: tuple[np.ndarray, np.ndarray], template: str) -> float:
    vectors, truth = seen
    codes = [number for number in range(truth.shape[1]) if truth[:, number].sum() >= 5]
    prompts = [template.format(scenes.PHRASES[scenes.ATTRIBUTES[number]][0]) for number in codes]
    scores = vectors @ encoder.encode_texts(prompts).T
    return float(np.mean([precision(scores[:, i], truth[:, code]) for i, code in enumerate(codes)]))


def test_the_bundle_is_whole_and_small() -> None:
    sizes = {path.name: path.stat().st_size for path in BUNDLE.iterdir() if path.is_file()}
    assert {"card.json", "visual.onnx", "textual.onnx", "tokenizer.json"} <= sizes.keys()
    assert sum(sizes.values()) <= 8_000_000


def test_the_card_says_what_it_is_and_what_it_is_not() -> None:
    card = json.loads((BUNDLE / "card.json").read_text(encoding="utf-8"))
    assert (card["name"], card["training"], card["licence"], card["format"]) == ("mini", "sigmoid", "Apache-2.0", 1)
    assert "no photographs" in card["description"]
    assert {"data", "recipe", "limits", "logits", "reproduction", "quality"} <= card.keys()
    assert card["recipe"]["seed"] == 0
    assert card["recipe"]["pictures"] <= scenes.TRAIN_SEEDS.stop


def test_no_path_of_the_training_machine_is_in_the_graphs() -> None:
    for name in ("visual.onnx", "textual.onnx"):
        content = (BUNDLE / name).read_bytes()
        assert b".py" not in content
        assert b"/home/" not in content


def test_no_style_of_a_facade_is_a_known_word() -> None:
    words = json.loads((BUNDLE / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    for name in ("doric", "ionic", "corinthian", "ogee", "campanile", "diagrid", "herringbone", "pointed"):
        assert name not in words


def test_rows_are_unit_vectors_of_the_cards_size(encoder: OnnxEncoder) -> None:
    rows = encoder.encode_images([facades.draw(1, size=64).image, scenes.draw(1, size=300).image])
    assert rows.shape == (2, encoder.dim)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("text", ["", " ", "xylophone qwrtz", "🚀🌍", "地球", "the earth " * 200, "<b>&amp;", "EARTH"])
def test_any_text_has_a_vector(encoder: OnnxEncoder, text: str) -> None:
    row = encoder.encode_texts([text])
    assert row.shape == (1, encoder.dim)
    assert np.isfinite(row).all()


def test_case_and_blanks_change_nothing(encoder: OnnxEncoder) -> None:
    first, second = encoder.encode_texts(["the lunar surface", "  The  LUNAR surface "])
    assert np.allclose(first, second)


def test_a_text_means_the_same_alone_and_in_a_batch(encoder: OnnxEncoder) -> None:
    texts = ["the sun", "a rocket lifting off with fire and smoke", ""]
    together = encoder.encode_texts(texts)
    assert np.allclose(together, np.concatenate([encoder.encode_texts([text]) for text in texts]), atol=1e-5)


def test_it_finds_what_the_demo_draws(encoder: OnnxEncoder, seen: tuple[np.ndarray, np.ndarray]) -> None:
    chance = float(np.mean(seen[1].mean(0)))
    assert mean_precision(encoder, seen, "{}") > 0.8 > 4 * chance


def test_unknown_words_around_a_phrase_cost_little(encoder: OnnxEncoder, seen: tuple[np.ndarray, np.ndarray]) -> None:
    known = mean_precision(encoder, seen, "a photo of {}")
    unknown = mean_precision(encoder, seen, "kindly retrieve whichever snapshots depict {}")
    assert unknown > known - 0.06


def test_a_logit_is_a_log_odds(encoder: OnnxEncoder, seen: tuple[np.ndarray, np.ndarray]) -> None:
    vectors, truth = seen
    prompts = encoder.encode_texts([scenes.PHRASES[code][0] for code in scenes.ATTRIBUTES])
    probability = 1 / (1 + np.exp(-(vectors @ prompts.T * encoder.logit_scale + encoder.logit_bias)))
    assert abs(float(probability.mean()) - float(truth.mean())) < 0.03
    assert float(np.mean((probability - truth) ** 2)) < 0.5 * float(np.mean((truth.mean(0) - truth) ** 2))


def test_things_that_are_never_drawn_are_seen_nowhere(
    encoder: OnnxEncoder, seen: tuple[np.ndarray, np.ndarray]
) -> None:
    logits = (
        seen[0] @ encoder.encode_texts(["a pizza", "a dog", "a guitar"]).T * encoder.logit_scale + encoder.logit_bias
    )
    assert float(np.median(1 / (1 + np.exp(-logits)))) < 0.05


def test_facades_are_known_coarsely(encoder: OnnxEncoder) -> None:
    clusters = [facades.CLUSTERS[name] for name in ("arches", "columns", "domes", "towers")]
    drawn = [
        facades.draw(11_500_000 + i, code, size=128).image for codes in clusters for code in codes for i in range(4)
    ]
    prompts = encoder.encode_texts(["arches", "columns", "a dome", "a tower"])
    found = (encoder.encode_images(drawn) @ prompts.T).argmax(1)
    assert np.mean(found == np.repeat(np.arange(4), 16)) > 0.6


def test_the_words_of_the_unknown_templates_are_unknown() -> None:
    words = json.loads((BUNDLE / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    source = (BUNDLE.parents[3] / "benchmarks" / "mini.py").read_text(encoding="utf-8")
    templates = re.findall(r'"([^"]+)"', source.partition("UNKNOWN_TEMPLATES = (")[2].partition("\n)")[0])
    long = {word for template in templates for word in re.findall(r"[a-z]{5,}", template)}
    assert len(templates) == 5
    assert not long & words.keys()
