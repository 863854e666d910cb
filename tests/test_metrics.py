from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss

from sextant.errors import UsageError
from sextant.maths import metrics
from sextant.maths.metrics import average_precision, evaluate, expected_calibration_error, summaries


def slow_ece(p, y, w, bins):
    """One bin at a time, as the definition reads."""
    total = 0.0
    for i in range(bins):
        low, high = i / bins, (i + 1) / bins
        inside = [k for k in range(len(p)) if low <= p[k] < high or (i == bins - 1 and p[k] == 1)]
        weight = sum(w[k] for k in inside)
        if weight:
            mean = sum(w[k] * p[k] for k in inside) / weight
            rate = sum(w[k] * y[k] for k in inside) / weight
            total += weight * abs(mean - rate)
    return total / sum(w)


def draw(n, seed=0, sharpen=1.0):
    """True probabilities, answers drawn from them, and what a forecaster says who sharpens the log-odds."""
    numbers = np.random.default_rng(seed)
    odds = numbers.normal(-1, 2, n)
    truth = numbers.random(n) < 1 / (1 + np.exp(-odds))
    return 1 / (1 + np.exp(-odds * sharpen)), truth.astype(float)


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_ece_equals_its_definition(bins):
    p, y = draw(300)
    w = np.random.default_rng(3).uniform(0.5, 9, 300)
    assert expected_calibration_error(p, y, w, bins=bins) == pytest.approx(slow_ece(p, y, w, bins), abs=1e-12)
    assert evaluate(p[:, None], y[:, None], w[:, None], bins=bins).pooled.ece.value == pytest.approx(
        slow_ece(p, y, w, bins), abs=1e-12
    )


def test_ece_by_hand():
    # Two bins of equal width: .2 and .4 against one of two true (gap .2), .9 against none of one (gap .9).
    assert expected_calibration_error([0.2, 0.4, 0.9], [0, 1, 0], bins=2) == pytest.approx((2 * 0.2 + 0.9) / 3)
    # Equal content: the three smallest and the three largest.
    p, y = [0.1, 0.1, 0.2, 0.2, 0.3, 0.9], [0, 0, 1, 1, 1, 1]
    found = expected_calibration_error(p, y, bins=2, equal_mass=True)
    assert found == pytest.approx((abs(0.2 - 0) + abs(0.2 + 0.2 + 0.3 + 0.9 - 4)) / 6)


def test_scores_agree_with_scikit_learn():
    p, y = draw(500, seed=2)
    w = np.random.default_rng(5).uniform(0.5, 4, 500)
    found = evaluate(p[:, None], y[:, None], w[:, None]).pooled
    assert found.brier.value == pytest.approx(brier_score_loss(y, p, sample_weight=w))
    assert found.nll.value == pytest.approx(log_loss(y, p, sample_weight=w))
    assert found.average_precision == pytest.approx(average_precision_score(y, p, sample_weight=w))
    tied = np.round(p, 1)
    assert average_precision(tied, y, w) == pytest.approx(average_precision_score(y, tied, sample_weight=w))
    assert np.isnan(average_precision(p, np.zeros(500)))


def test_the_parts_of_the_brier_score_add_up():
    p, y = draw(4000, seed=9)
    found = evaluate(p[:, None], y[:, None]).pooled
    parts = found.reliability - found.resolution + found.uncertainty + found.within
    assert parts == pytest.approx(found.brier.value, abs=1e-12)
    assert found.uncertainty == pytest.approx(y.mean() * (1 - y.mean()))
    assert found.resolution > 10 * found.reliability
    assert abs(found.within) < 0.01


def test_honest_confidences_measure_as_such_and_boasts_are_caught():
    p, y = draw(5000, seed=3)
    honest = evaluate(p[:, None], y[:, None]).pooled
    assert honest.ece.value < 0.02
    assert honest.ece_debiased < honest.ece.value
    assert honest.ece.low < 0.006
    p, y = draw(5000, sharpen=2.5)
    boast = evaluate(p[:, None], y[:, None]).pooled
    assert boast.ece.low > 0.05


def test_the_interval_of_the_ece_covers_the_truth():
    p, y = draw(200_000, seed=1, sharpen=1.6)
    truth = expected_calibration_error(p, y)
    covered = 0
    for trial in range(200):
        p, y = draw(400, seed=100 + trial, sharpen=1.6)
        found = evaluate(p[:, None], y[:, None], resamples=100).pooled.ece
        covered += found.low <= truth <= found.high
    assert covered >= 184


def test_debiasing_takes_off_what_chance_adds():
    plain, debiased = [], []
    for trial in range(100):
        p, y = draw(150, seed=trial)
        found = evaluate(p[:, None], y[:, None], resamples=10).pooled
        plain.append(found.ece.value)
        debiased.append(found.ece_debiased)
    assert np.mean(plain) > 0.05
    assert np.mean(debiased) < 0.75 * np.mean(plain)


def test_the_interval_of_the_brier_score_covers_the_truth():
    p, y = draw(200_000, seed=1)
    truth = ((p - y) ** 2).mean()
    covered = 0
    for trial in range(200):
        p, y = draw(200, seed=500 + trial)
        found = evaluate(p[:, None], y[:, None]).pooled.brier
        covered += found.low <= truth <= found.high
    assert 180 <= covered <= 199


def test_labels_picked_by_score_are_weighted_back():
    p, y = draw(60_000, seed=4, sharpen=1.7)
    chance = np.where(p > 0.4, 0.5, 0.05)
    seen = np.random.default_rng(0).random(len(p)) < chance
    whole, honest = ((p - y) ** 2).mean(), evaluate(p[seen, None], y[seen, None], (1 / chance[seen])[:, None]).pooled
    assert honest.brier.value == pytest.approx(whole, rel=0.05)
    assert honest.brier.low < whole < honest.brier.high
    assert evaluate(p[seen, None], y[seen, None]).pooled.brier.low > 1.1 * whole
    weighted = expected_calibration_error(p[seen], y[seen], 1 / chance[seen])
    assert weighted == pytest.approx(expected_calibration_error(p, y), abs=0.01)


def test_unknown_answers_do_not_count():
    p, y = draw(200)
    table, truth = np.stack([p, p, p], axis=1), np.full((200, 3), np.nan)
    truth[:100, 0], truth[100:, 1] = y[:100], y[100:]
    found = evaluate(table, truth)
    assert found.attributes[2] is None
    assert found.attributes[0] is not None
    assert found.attributes[0].n == 100
    assert found.pooled.n == 200
    assert found.pooled.brier.value == pytest.approx(((p - y) ** 2).mean())


def test_the_reliability_curve_holds_every_label_once():
    p, y = draw(1000)
    curve = evaluate(p[:, None], y[:, None]).pooled.curve
    assert sum(bar.n for bar in curve) == 1000
    for bar in curve:
        assert bar.low <= bar.confidence <= bar.high
        assert bar.rate_low <= bar.rate <= bar.rate_high


def test_the_images_of_all_attributes_are_drawn_once(monkeypatch):
    drawn, multiplied = [], []
    draws, resampled = metrics._draws, metrics._resampled
    monkeypatch.setattr(metrics, "_draws", lambda n, *rest: drawn.append(n) or draws(n, *rest))
    monkeypatch.setattr(metrics, "_resampled", lambda *given: multiplied.append(len(given[0][0])) or resampled(*given))
    p, y = draw(1221 * 37)
    found = evaluate(p.reshape(-1, 37), y.reshape(-1, 37))
    assert found.pooled.n == 1221 * 37
    assert drawn == [1221]
    assert multiplied == [1221] * 37  # a product an attribute; none of all cells, and none an image or a resample


def summarised(columns):
    """What `evaluate` says of each alone, in brief."""
    found = []
    for p, y, w in columns:
        pooled = evaluate(p[:, None], y[:, None], w[:, None]).pooled
        ece = pooled.ece
        found.append((pooled.n, pooled.bins, ece.value, ece.low, ece.high, pooled.brier.value, pooled.nll.value))
    return found


@pytest.mark.parametrize("sums_at_once", [1, 2000, metrics.SUMS_AT_ONCE])
def test_summaries_are_what_an_evaluation_says_of_each_alone(sums_at_once, monkeypatch):
    monkeypatch.setattr(metrics, "SUMS_AT_ONCE", sums_at_once)
    numbers = np.random.default_rng(8)
    columns = []
    for k, n in enumerate((25, 1, 400, 25, 31)):
        p, y = draw(n, seed=k, sharpen=1.5)
        p[numbers.random(n) < 0.2] = 0.0 if k == 3 else np.nan
        p[0], w = 1.0, numbers.uniform(0.5, 9, n)
        columns.append((p, y, w))
    found = [(s.n, s.bins, s.ece.value, s.ece.low, s.ece.high, s.brier, s.nll) for s in summaries(columns)]
    assert np.array(found) == pytest.approx(np.array(summarised(columns)), abs=1e-6)


def test_summaries_of_columns_without_a_label_are_refused():
    assert summaries([]) == []
    with pytest.raises(UsageError, match="no label"):
        summaries([(np.array([0.5]), np.array([1.0]), np.ones(1)), (np.array([np.nan]), np.ones(1), np.ones(1))])


def test_what_cannot_be_evaluated_is_named():
    with pytest.raises(UsageError, match="no label"):
        evaluate([[0.5]], [[np.nan]])
    with pytest.raises(UsageError, match="differ in shape"):
        evaluate([[0.5, 0.5]], [[1.0]])
    with pytest.raises(UsageError, match="between 0 and 1"):
        evaluate([[1.5]], [[1.0]])
