"""The embedded encoder: a whole bundle, a card that says what it is, and eyes for what the demo draws."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import sextant.demo
from sextant import models
from sextant.background import background_prompts
from sextant.demo import facades, scenes
from sextant.encoder import OnnxEncoder

BUNDLE = Path(sextant.demo.__file__).parent / "mini"
TRAINING = BUNDLE.parents[3] / "training"
# The visual tower of revision 2: image vectors stay what they are as long as this file does not change.
VISUAL = "c2e879e5c092e2e897eb5d64b66e7828"


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


def highest(encoder: OnnxEncoder, seen: tuple[np.ndarray, np.ndarray], prompts: list[str]) -> np.ndarray:
    """The highest probability that each prompt gets on any picture."""
    logits = seen[0] @ encoder.encode_texts(prompts).T * encoder.logit_scale + encoder.logit_bias
    return 1 / (1 + np.exp(-logits.max(axis=0)))


def test_off_topic_phrases_find_nothing_in_the_whole_set(
    encoder: OnnxEncoder, seen: tuple[np.ndarray, np.ndarray]
) -> None:
    top = highest(encoder, seen, list(background_prompts()))
    assert np.median(top) < 0.05
    assert np.quantile(top, 0.9) < 0.5


@pytest.mark.parametrize("form", ["{}", "a {}", "a photo of a {}", "a drawing of a {}"])
def test_nouns_that_training_never_saw_find_nothing(
    encoder: OnnxEncoder, seen: tuple[np.ndarray, np.ndarray], foreign: ModuleType, form: str
) -> None:
    nouns = foreign.held_out()
    assert len(nouns) >= 200
    top = highest(encoder, seen, [form.format(noun) for noun in nouns])
    assert np.median(top) < 0.05
    assert np.quantile(top, 0.9) < 0.5


def test_a_medium_alone_is_still_known(encoder: OnnxEncoder, seen: tuple[np.ndarray, np.ndarray]) -> None:
    """What made "a photo of a stapler" true was "a photo": it must not be unlearned."""
    vectors, truth = seen
    found = encoder.encode_texts(["a photo", "a drawing"]) @ vectors.T
    for row, code in zip(found, ("photograph", "artistic_rendering"), strict=True):
        assert precision(row, truth[:, scenes.ATTRIBUTES.index(code)]) > 0.95


@pytest.mark.parametrize(("one", "many"), [("a rocket", "rockets"), ("an astronaut", "astronauts"), ("a map", "maps")])
def test_a_plural_means_nearly_the_same(encoder: OnnxEncoder, one: str, many: str) -> None:
    first, second = encoder.encode_texts([one, many])
    assert first @ second > 0.8


def test_the_visual_tower_is_that_of_revision_2() -> None:
    assert hashlib.blake2b((BUNDLE / "visual.onnx").read_bytes(), digest_size=16).hexdigest() == VISUAL


def test_the_doctor_finds_the_golden_vectors(encoder: OnnxEncoder) -> None:
    report = models.doctor(encoder, precisions=())
    assert {check.name: check.ok for check in report.checks}["golden vectors"] is True
    assert report.ok


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


@pytest.fixture(scope="module")
def training() -> Iterator[None]:
    """The folder of the training scripts, on the path."""
    sys.path.insert(0, str(TRAINING))
    yield
    sys.path.remove(str(TRAINING))


@pytest.fixture(scope="module")
def foreign(training: None) -> ModuleType:
    import mini_foreign

    return mini_foreign


def words_of(texts: object) -> set[str]:
    return set(re.findall(r"[a-z]+", str(texts).lower()))


def test_no_word_of_the_demo_is_taught_as_absent(foreign: ModuleType) -> None:
    from sextant.demo import wording

    known = words_of([wording.PHRASES, wording.HELD_OUT_PHRASES, wording.NAMES, wording.HOURS, wording.MEDIA])
    for name in ("vocabulary.yaml", "facades.yaml"):
        known |= words_of(re.sub("#.*", "", (BUNDLE.parent / name).read_text(encoding="utf-8")))
    listed = {word for name in ("nouns", "adjectives", "verbs") for word in foreign.sections()[name]}
    assert len(listed) >= 1500
    assert not listed & known
    assert not set(foreign.held_out()) & known


def test_nothing_measured_is_trained(foreign: ModuleType) -> None:
    sections = foreign.sections()
    held = set(foreign.held_out())
    assert not held & words_of(sections)
    assert not {foreign.bare(prompt) for prompt in background_prompts()} & set(sections["compounds"])
    listed = words_of([sections[name] for name in ("nouns", "adjectives", "verbs")])
    assert not listed & words_of([foreign.bare(prompt) for prompt in background_prompts()])
    for name in sections:
        assert set(foreign.trained(name)).isdisjoint(foreign.never_trained(name))
        assert 0.05 < len(foreign.never_trained(name)) / len(sections[name]) < 0.25
    rng, drawn = np.random.default_rng(0), foreign.Foreign(["rocket", "fire"])
    texts = [drawn.absent(rng) for _ in range(2000)]
    assert not {foreign.bare(text) for text in texts} & {foreign.bare(prompt) for prompt in background_prompts()}
    assert not words_of(texts) & held


def test_a_phrase_beside_unknown_words_is_whole(foreign: ModuleType) -> None:
    rng, drawn = np.random.default_rng(0), foreign.Foreign(["rocket", "fire"])
    for _ in range(200):
        assert "launch vehicle" in drawn.beside("a launch vehicle", rng, medium=False)
        assert "a photo of" not in drawn.beside("a photo", rng, medium=True)


@pytest.mark.parametrize(
    ("phrase", "plural"),
    [("a rocket", "rockets"), ("a launch", "launches"), ("stars", "stars"), ("a launch vehicle", "a launch vehicle")],
)
def test_plurals(foreign: ModuleType, phrase: str, plural: str) -> None:
    assert foreign.several(phrase) == plural


def test_both_towers_come_back_from_the_bundle(encoder: OnnxEncoder, training: None) -> None:
    """The torch towers loaded from ONNX answer as the graphs do: fine-tuning starts from what is shipped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, at import
        torch = pytest.importorskip("torch")
        pytest.importorskip("onnx")
        import mini_words
    from tokenizers import Tokenizer

    from sextant.train import mini_graph

    tokenizer = Tokenizer.from_file(str(BUNDLE / "tokenizer.json"))
    tokenizer.enable_truncation(mini_words.CONTEXT)
    tokenizer.enable_padding(pad_id=0, pad_token=mini_words.PAD, length=mini_words.CONTEXT)
    model = mini_graph.load(BUNDLE)
    texts = ["the earth", "a photo of a stapler", "a red rover at the left, on cratered moon ground " * 4, ""]
    pictures = np.random.default_rng(0).normal(size=(3, 3, 96, 96)).astype(np.float32)
    with torch.no_grad():
        said = model.textual(torch.from_numpy(mini_words.encode(tokenizer, texts))).numpy()
        shown = model.visual(torch.from_numpy(pictures)).numpy()
    assert np.allclose(said, encoder.encode_texts(texts), atol=1e-5)
    assert np.allclose(shown, encoder.encode_prepared(list(pictures)), atol=1e-5)
    assert float(model.log_scale.detach().exp()) == pytest.approx(encoder.logit_scale, rel=1e-5)
    assert float(model.bias.detach()) == pytest.approx(encoder.logit_bias, rel=1e-5)
