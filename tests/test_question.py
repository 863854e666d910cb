"""A question in words, judged: terms, variants, parts, negatives and weights, held against hand computations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakes import many, opened, pictures, vocabulary
from sextant import manifest, question
from sextant.collection import Collection
from sextant.errors import VocabularyError
from sextant.maths import calibration as curves

PICTURES = 80


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("question")
    many(folder / "p", PICTURES)
    pictures(folder / "q", "red", "green", "blue", "yellow", "orange", "grey")
    collection = opened(folder)
    collection.add(folder / "p", folder / "q")
    text = "template: '{description}'\nbase_attributes:\n  - {code: red, description: red}\n"
    collection.tag(vocabulary(folder, text))
    return collection


def judged(photos: Collection, text: str, *, expand: bool = False) -> question.Answer:
    return question.answer(photos, photos.view(), question.question(photos, text, expand=expand))


def test_one_term_is_judged_like_the_column_of_the_same_prompt(photos: Collection) -> None:
    view = photos.view(["red"])
    answer = judged(photos, "red")
    assert answer.judge.state == "prior" == view.state("red")
    np.testing.assert_allclose(answer.confidence, view.values("red").confidence, atol=1e-4)
    np.testing.assert_array_equal(np.argsort(answer.score), np.argsort(view.values("red").confidence, kind="stable"))


def test_positives_multiply_and_negatives_multiply_what_is_left(photos: Collection) -> None:
    red, green, blue = (judged(photos, text).confidence for text in ("red", "green", "blue"))
    together = judged(photos, "red + green - blue").confidence
    np.testing.assert_allclose(together, red * green * (1 - blue), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(judged(photos, "red without blue").confidence, red * (1 - blue), rtol=1e-6, atol=1e-12)


def test_a_weight_moves_the_order_and_not_the_confidence(photos: Collection) -> None:
    plain, heavy = judged(photos, "red + green"), judged(photos, "red + 3:green")
    np.testing.assert_allclose(plain.confidence, heavy.confidence, rtol=1e-9)
    red, green = judged(photos, "red"), judged(photos, "green")
    expected = np.argsort(-np.logaddexp(0, -red.score) - 3 * np.logaddexp(0, -green.score), kind="stable")
    found = np.argsort(heavy.score, kind="stable")
    assert found[-10:].tolist() == expected[-10:].tolist()


def test_a_score_is_the_log_odds_of_the_confidence_where_weights_are_one(photos: Collection) -> None:
    for text in ("red", "red + green", "red - blue", "red + green - blue"):
        answer = judged(photos, text)
        np.testing.assert_allclose(curves.sigmoid(answer.score), answer.confidence, rtol=1e-6, atol=1e-12)


def test_parts_weigh_on_the_whole(photos: Collection) -> None:
    answer = judged(photos, "red and green")
    assert answer.judge.texts == ("red and green", "red", "green")
    term = answer.judge.positives[0]
    table = answer.logits.astype(np.float64)
    level = np.median(table, axis=0)
    weakest = np.minimum(table[:, 1] - level[1], table[:, 2] - level[2]) + level[0]
    expected = (1 - question.PARTS) * table[:, 0] + question.PARTS * weakest
    np.testing.assert_allclose(term.logits(table), expected, atol=1e-4)


def test_an_image_counts_by_a_mean_of_the_odds_of_the_variants_and_says_which_fits_best(tmp_path: Path) -> None:
    many(tmp_path / "p", PICTURES)
    photos = opened(tmp_path)
    photos.add(tmp_path / "p")
    (photos.store.root / question.EXPANSIONS).write_text("ruby: [red: 0.5, blue: 0.5]\n")
    asked = question.question(photos, "a ruby")
    assert [(v.text, v.weight) for v in asked.variants[0]] == [("a ruby", 1.0), ("a red", 0.5), ("a blue", 0.5)]
    view = photos.view()
    answer = question.answer(photos, view, asked)
    table = answer.logits.astype(np.float64)
    spread = question.unlabelled(photos, view).level.spread
    level = np.median(table, axis=0)
    lowered = table - level + level[0] + spread * np.log([1.0, 0.5, 0.5])
    power = question.AGREEMENT
    odds = (np.exp(lowered / spread) ** (1 / power)).mean(axis=1) ** power
    np.testing.assert_allclose(answer.judge.positives[0].logits(table), spread * np.log(odds), atol=1e-4)
    said = answer.judge.matched(answer.logits)
    assert said == [asked.texts[i] for i in lowered.argmax(axis=1)]
    assert {"a red", "a blue"} <= set(said)


def test_the_margin_is_the_best_positive_less_the_best_negative(photos: Collection) -> None:
    answer = judged(photos, "red + green - blue - grey")
    scale, bias = photos.scale
    cosines = (answer.logits.astype(np.float64) - bias) / scale
    own = {text: cosines[:, i] for i, text in enumerate(answer.judge.texts)}
    expected = np.maximum(own["red"], own["green"]) - np.maximum(own["blue"], own["grey"])
    found = answer.judge.margins(cosines)
    assert found is not None
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert judged(photos, "red").judge.margins(cosines) is None


def test_any_rows_can_be_judged_once_it_is_fitted(photos: Collection) -> None:
    answer = judged(photos, "red + green - blue", expand=True)
    view, rows = photos.view(), np.array([3, 17, 40])
    exact = answer.exact(rows)
    score, confidence = answer.judge.judged(exact, view.background[rows])
    np.testing.assert_allclose(score, answer.score[rows], atol=1e-3)
    np.testing.assert_allclose(confidence, answer.confidence[rows], atol=1e-4)


def test_few_images_are_judged_by_the_usual_curve_and_say_so(tmp_path: Path) -> None:
    photos = opened(tmp_path)
    pictures(tmp_path / "p", "red", "green", "blue")
    photos.add(tmp_path / "p")
    answer = judged(photos, "red")
    assert answer.judge.state == "uncalibrated"
    logits = dict(zip(photos.view().paths.to_pylist(), answer.logits[:, 0], strict=True))
    assert logits["p/red.png"] == pytest.approx(40, abs=1e-4)
    np.testing.assert_allclose(answer.confidence, curves.sigmoid((answer.logits[:, 0] - 25.5) / 1.5), rtol=1e-5)


def test_a_broken_dictionary_of_ones_own_is_named(tmp_path: Path) -> None:
    photos = opened(tmp_path)
    pictures(tmp_path / "p", "red")
    photos.add(tmp_path / "p")
    (photos.store.root / question.EXPANSIONS).write_text("Ruby: 3\n")
    with pytest.raises(VocabularyError, match=r"expansions\.yaml"):
        question.question(photos, "a ruby")


def test_what_the_encoder_was_taught_is_asked_in_its_own_words_alone(photos: Collection) -> None:
    """Fine-tuning teaches a phrase, not the dictionary's other words for it; those would drag it down."""
    spoken = [v.text for v in question.question(photos, "Red + dog").variants[1]]
    assert len(spoken) > 1
    held = photos.manifest
    manifest.write(photos.folder, held.with_encoder(taught_phrases=["dog"]))
    try:
        asked = question.question(photos, "red + Dog")
        assert [v.text for v in asked.variants[1]] == ["Dog"]
        assert asked.variants[0] == question.question(photos, "red").variants[0]
    finally:
        manifest.write(photos.folder, held)
