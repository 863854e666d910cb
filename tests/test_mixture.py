from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from sextant.errors import UsageError
from sextant.maths.calibration import Calibration, confidence
from sextant.maths.components import CLIP_VIT_B32, background_weight, fit_prior, unknown_prior
from sextant.maths.metrics import average_precision, expected_calibration_error
from sextant.maths.mixture import (
    RATIO_GRID,
    Level,
    Prior,
    background_level,
    fit_student,
    log_densities,
    log_ratio,
    prior,
)

LEVEL = Level(center=20.0, across=1.0, spread=1.2, shared=0.5, null=(10.0, 0.0, 0.93), images=500)
CARD = replace(CLIP_VIT_B32, weight=0.0, slope=1.0, offset=0.0, level=LEVEL)


def column(prevalence, n=2000, seed=0, level=20.3, apart=5.0):
    """Logits of one attribute: a Student t where it is absent, a normal `apart` higher where it is present."""
    numbers = np.random.default_rng(seed)
    truth = np.zeros(n)
    truth[: round(prevalence * n)] = 1
    absent = level + 1.1 * numbers.standard_t(8, n)
    return np.where(truth == 1, level + apart + 1.6 * numbers.standard_normal(n), absent), truth


def slow_confidence(evidence, card, logit_value, prevalences, levels):
    """The same posterior, one image, one prevalence and one level at a time, without widening."""
    total = weighted = 0.0
    ratios = log_ratio(card)
    df, location, scale = card.absent
    _, mean, sd = card.present[0]
    for level in levels:
        for pi in prevalences:
            logp = stats.t.logpdf(level / card.shift_spread, 4)
            logp += card.prevalence[0] * math.log(pi) + card.prevalence[1] * math.log1p(-pi)
            for e in evidence:
                f0 = stats.t.pdf(e - level, df, location, scale)
                f1 = stats.norm.pdf(e - level, mean, sd)
                logp += math.log((1 - pi) * f0 + pi * f1)
            weight = math.exp(logp)
            ratio = np.interp(logit_value - level, RATIO_GRID, ratios)
            weighted += weight / (1 + math.exp(-(math.log(pi / (1 - pi)) + ratio)))
            total += weight
    return weighted / total


def test_the_posterior_equals_a_slow_sum(monkeypatch):
    from sextant.maths import mixture

    monkeypatch.setattr(mixture, "PREVALENCES", np.array([0.01, 0.1, 0.5]))
    monkeypatch.setattr(mixture, "LEVEL_STEPS", np.array([-1.0, 0.0, 1.0]))
    monkeypatch.setattr(mixture, "_width", lambda *_: 1.0)
    card = replace(CARD, shift=0.0, absent=(7.0, 0.1, 0.9))
    logits, _ = column(0.2, n=40)
    curve = prior(logits, None, card)
    at = mixture.KNOTS[[40, 52, 60, 70]]
    evidence = (logits - LEVEL.center) / LEVEL.spread
    levels = card.shift_spread * np.array([-1.0, 0.0, 1.0])
    for e in at:
        found = confidence(curve, [LEVEL.center + LEVEL.spread * e])[0]
        expected = slow_confidence(evidence, card, e, [0.01, 0.1, 0.5], levels)
        assert math.log(found / (1 - found)) == pytest.approx(
            math.log(expected / (1 - expected)) + mixture.LEAST_RISE * e, abs=1e-4
        )


@pytest.mark.parametrize("prevalence", [0.005, 0.02, 0.1, 0.3, 0.6, 0.9, 0.99])
def test_no_prevalence_turns_an_attribute_inside_out(prevalence):
    logits, truth = column(prevalence)
    curve = prior(logits, None, CARD)
    assert curve.params["prevalence"] == pytest.approx(prevalence, rel=0.6, abs=0.004)
    p = confidence(curve, logits)
    assert p[truth == 1].mean() > p[truth == 0].mean() + 0.25
    assert p.mean() == pytest.approx(prevalence, rel=0.5, abs=0.004)
    assert expected_calibration_error(p, truth) < 0.04


def test_the_median_alone_would_turn_a_common_attribute_inside_out():
    # What the level's own prior is for: centred on its median, an attribute of nine images in ten looks absent.
    logits, truth = column(0.9)
    centred = prior(logits, None, replace(CARD, shift_spread=0.02), reference=float(np.median(logits)))
    assert confidence(centred, logits)[truth == 1].mean() < 0.2


def test_an_attribute_that_nobody_shows_has_no_confident_image():
    logits, _ = column(0.0)
    curve = prior(logits, None, CARD)
    assert curve.params["prevalence"] < 0.003
    assert np.quantile(confidence(curve, logits), 0.99) < 0.1


def test_a_wider_attribute_is_read_wider_and_a_narrower_one_is_not_stretched():
    numbers = np.random.default_rng(3)
    for scale in (0.3, 2.5):
        logits = 20.0 + scale * 1.1 * numbers.standard_t(8, 3000)
        p = confidence(prior(logits, None, CARD), logits)
        assert (p > 0.5).mean() < 0.01


def test_confidence_rises_with_the_logit_and_never_ties():
    logits, _ = column(0.1)
    curve = prior(logits, None, CARD)
    steps = confidence(curve, np.linspace(8, 40, 3000))
    assert (np.diff(steps) > 0).all()
    assert (np.diff(log_ratio(CARD)) >= 0).all()
    assert (np.diff(log_ratio(CARD, 2.0)) >= 0).all()


def test_the_background_is_taken_off():
    logits, _ = column(0.1)
    shift = np.random.default_rng(1).normal(0, 2, len(logits))
    card = replace(CARD, weight=1.0)
    moved = prior(logits + shift, shift, card)
    plain = prior(logits, np.zeros(len(logits)), card)
    assert confidence(moved, logits + shift, shift) == pytest.approx(confidence(plain, logits, 0 * shift), abs=1e-9)
    with pytest.raises(UsageError, match="background"):
        prior(logits, None, card)


def test_what_is_no_number_is_left_out():
    logits, _ = column(0.1)
    broken = np.concatenate([logits, [np.nan, np.inf]])
    assert prior(broken, None, CARD) == prior(logits, None, CARD)
    with pytest.raises(UsageError, match="at least 20 images"):
        prior(logits[:19], None, CARD)


def test_the_record_redraws_the_curve():
    logits, _ = column(0.1)
    curve = prior(logits, None, CARD)
    again = Calibration.from_json(curve.to_json())
    assert np.array_equal(confidence(again, logits), confidence(curve, logits))
    assert again.params["images"] == 2000
    card = Prior.from_params(json.loads(json.dumps(CLIP_VIT_B32.to_params())))
    assert card == CLIP_VIT_B32
    with pytest.raises(UsageError, match="not a prior"):
        Prior.from_params({"weight": 1.0})


def test_a_student_t_is_found_again():
    values = 3.0 + 2.0 * np.random.default_rng(0).standard_t(6, 20_000)
    df, location, scale = fit_student(values)
    assert df == pytest.approx(6, rel=0.2)
    assert location == pytest.approx(3, abs=0.06)
    assert scale == pytest.approx(2, rel=0.05)
    known = stats.t.logpdf(values, df, location, scale).mean()
    assert known >= stats.t.logpdf(values, *stats.t.fit(values[:2000])).mean() - 1e-3
    weighted = fit_student(values, np.where(values > 3, 1e-9, 1.0))
    assert weighted[1] < 2.5


def test_densities_agree_with_scipy():
    e = np.linspace(-5, 9, 50)
    card = replace(CARD, present=((0.3, 2.0, 1.0), (0.7, 5.0, 2.0)))
    absent, present = log_densities(card, e, 1.5)
    df, location, scale = card.absent
    assert absent == pytest.approx(stats.t.logpdf(e, df, location, 1.5 * scale))
    parts = 0.3 * stats.norm.pdf(e, 2, 1) + 0.7 * stats.norm.pdf(e, 5, 2)
    assert present == pytest.approx(np.log(parts))


def test_the_level_of_a_background_by_construction():
    numbers = np.random.default_rng(0)
    image, prompt = numbers.normal(0, 2, (800, 1)), numbers.normal(0, 1, 150)
    table = 18 + image + prompt + numbers.normal(0, 1.5, (800, 150))
    level = background_level(table, 1.0)
    assert level.spread == pytest.approx(1.5, rel=0.02)
    assert level.across == pytest.approx(prompt.std(), rel=0.1)
    assert level.center == pytest.approx(0, abs=0.2)
    assert level.shared == pytest.approx(4 / (4 + 2.25), abs=0.05)
    assert background_level(table, 0.0).center == pytest.approx(18, abs=0.4)
    with pytest.raises(UsageError, match="at least 20 images"):
        background_level(table[:10], 1.0)
    still = background_level(np.full((30, 5), 7.0), 0.0)
    assert still.spread > 0


def test_the_weight_of_the_background_is_found():
    numbers = np.random.default_rng(0)
    background = numbers.normal(0, 2, 1500)
    for weight in (0.0, 0.5, 1.0):
        columns = [column(0.2, 1500, seed)[0] + weight * background for seed in range(5)]
        truth = np.stack([column(0.2, 1500, seed)[1] for seed in range(5)], axis=1)
        found = background_weight(np.stack(columns, axis=1), background, truth, np.ones_like(truth))
        assert found == pytest.approx(weight, abs=0.12)


def clip(real):
    """Real CLIP ViT-B/32 logits of 250 CIFAR-10 images: ten classes, 200 background nouns, and the truth."""
    folder = real / "clip_vitb32"
    names = [row["name"] for row in json.loads((folder / "vocab_vitb32.json").read_text())]
    nouns = np.load(folder / "vocab_vitb32.npy").astype(np.float64)
    nouns /= np.linalg.norm(nouns, axis=1, keepdims=True)
    images = np.load(folder / "cifar10_image_embeddings.npy").astype(np.float64)
    classes = ["airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    own = [names.index(name) for name in classes]
    near = (nouns @ nouns[own].T).max(axis=1)
    far = np.random.default_rng(0).permutation(np.flatnonzero(near < np.median(near)))
    logits = 100 * images @ nouns.T
    truth = np.load(folder / "cifar10_labels.npy")[:, None] == np.arange(10)
    return logits[:, own], logits[:, far[:200]], truth.astype(float)


def test_real_clip_vectors_with_nothing_labelled(real):
    logits, background_logits, truth = clip(real)
    background = background_logits.mean(axis=1)
    p = np.empty_like(logits)
    for a in range(10):
        others = [k for k in range(10) if k != a]
        card = fit_prior(logits[:, others], background, background_logits, truth[:, others], source="the other nine")
        p[:, a] = confidence(prior(logits[:, a], background, card), logits[:, a], background)
    plain = 1 / (1 + np.exp(-(logits - 25.5) / 1.5))
    assert expected_calibration_error(p.ravel(), truth.ravel()) <= 0.03
    assert ((p - truth) ** 2).mean() <= 0.75 * ((plain - truth) ** 2).mean()
    ours = np.mean([average_precision(p[:, a], truth[:, a]) for a in range(10)])
    raw = np.mean([average_precision(logits[:, a], truth[:, a]) for a in range(10)])
    assert ours >= raw + 0.03


def test_the_shipped_prior_is_what_the_real_vectors_give(real):
    logits, background_logits, truth = clip(real)
    found = fit_prior(logits, background_logits.mean(axis=1), background_logits, truth, source=CLIP_VIT_B32.source)
    assert found.weight == pytest.approx(CLIP_VIT_B32.weight, rel=1e-2)
    assert found.present[0] == pytest.approx(CLIP_VIT_B32.present[0], rel=1e-2)
    assert found.absent == pytest.approx(CLIP_VIT_B32.absent, rel=5e-2)
    assert (found.slope, found.offset) == pytest.approx((CLIP_VIT_B32.slope, CLIP_VIT_B32.offset), rel=5e-2)


def test_an_unknown_encoder_is_read_with_caution(real):
    logits, background_logits, truth = clip(real)
    background = background_logits.mean(axis=1)
    card = unknown_prior(background_logits)
    assert card.weight > 0
    p = np.stack([confidence(prior(logits[:, a], background, card), logits[:, a], background) for a in range(10)], 1)
    assert truth[p >= 0.5].mean() >= 0.9
    assert ((p - truth) ** 2).mean() < (truth.mean(axis=0) * (1 - truth.mean(axis=0))).mean()
    # Logits that do not float together from image to image: the background is noise, and is left out.
    loose = np.random.default_rng(0).normal(0, 5, (400, 100))
    assert unknown_prior(loose).weight == 0


def test_an_encoder_whose_own_sigmoid_is_right_is_believed():
    numbers = np.random.default_rng(0)
    logits = numbers.normal(-4, 4, (1500, 6)) + numbers.normal(0, 2, 6)
    truth = (numbers.random((1500, 6)) < 1 / (1 + np.exp(-logits))).astype(float)
    noise = numbers.normal(-5, 2, (400, 50))
    card = fit_prior(logits, noise.mean() + np.zeros(1500), noise, truth, source="its own")
    assert card.native is not None
    assert card.native == pytest.approx((1.0, 0.0), abs=0.12)
    curve = prior(logits[:, 0], None, card)
    assert curve.kind == "native"
    assert curve.params["prevalence"] == pytest.approx(truth[:, 0].mean(), abs=0.03)
    assert expected_calibration_error(confidence(curve, logits[:, 0]), truth[:, 0]) < 0.03
    assert Prior.from_params(json.loads(json.dumps(card.to_params()))) == card
    # Moved up by 25, as CLIP's logits are, the same numbers are no probabilities, and the mixture is used.
    assert CLIP_VIT_B32.native is None


def test_a_sigmoid_trained_stranger_keeps_its_logits():
    image = np.random.default_rng(0).normal(0, 3, (300, 1))
    floating = image + np.random.default_rng(1).normal(0, 1, (300, 60))
    assert unknown_prior(floating).weight > 0
    assert unknown_prior(floating, "sigmoid").weight == 0


def test_the_page_prints_what_the_real_vectors_give(real):
    page = (Path(__file__).resolve().parents[1] / "docs" / "calibration.md").read_text(encoding="utf-8")
    section = page.split("<!-- figures: clip-unlabelled -->")[1].split("<!-- end")[0]
    lines = [[cell.strip() for cell in row.strip("|").split("|")] for row in section.strip().splitlines()]
    printed = {row[0]: row[1:] for row in lines}
    logits, background_logits, truth = clip(real)
    background = background_logits.mean(axis=1)
    card = unknown_prior(background_logits)
    shy = np.stack([confidence(prior(logits[:, a], background, card), logits[:, a], background) for a in range(10)], 1)
    plain = 1 / (1 + np.exp(-(logits - 25.5) / 1.5))
    for name, p in (("fixed(25.5, 1.50)", plain), ("prior of an unknown encoder", shy)):
        assert float(printed[name][0].split()[0]) == pytest.approx(
            expected_calibration_error(p.ravel(), truth.ravel()), abs=2e-3
        )
        assert float(printed[name][1]) == pytest.approx(((p - truth) ** 2).mean(), abs=1e-3)
    rate = truth.mean(axis=0)
    assert float(printed["always the base rate"][1]) == pytest.approx((rate * (1 - rate)).mean(), abs=1e-4)
    for logit, said in ((24, 0.269), (25.5, 0.5), (27, 0.731), (28, 0.841), (30, 0.953)):
        assert f"{logit} → {said:.3f}" in page
        assert 1 / (1 + np.exp(-(logit - 25.5) / 1.5)) == pytest.approx(said, abs=5e-4)


def test_a_prior_needs_both_answers():
    logits, truth = column(0.2, 200)
    with pytest.raises(UsageError, match="at least 20 labelled cells"):
        fit_prior(
            logits[:, None], 0 * logits, np.random.default_rng(0).normal(0, 1, (200, 9)), 0 * truth[:, None], source=""
        )
