from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from sextant.errors import UsageError
from sextant.maths import platt
from sextant.maths.calibration import Calibration, confidence, fixed, group_confidence
from sextant.maths.fitting import Labelled, fit, fit_isotonic, fit_temperature
from sextant.maths.metrics import expected_calibration_error
from sextant.maths.platt import SPREAD, START, Sample, _evened, _newton, _stacked, fit_lines, fit_lines_by_fold


def world(n, slope, offset, seed):
    """Logits whose true log-odds are slope · logit + offset, and the answers."""
    numbers = np.random.default_rng(seed)
    logits = numbers.normal(-1, 2.5, n)
    return logits, (numbers.random(n) < expit(slope * logits + offset)).astype(float)


def labelled(logits, truth, weights=None, base=None, start=0):
    names = [f"{start + i:05d}" for i in range(len(logits))]
    return Labelled(base or fixed(0.0, 1.0), names, logits, truth, weights=weights)


def test_newton_finds_what_a_general_optimiser_finds():
    samples = [Sample(*world(n, s, o, n), np.ones(n)) for n, s, o in ((30, 0.5, 1.0), (80, 1.4, -2.0))]
    x, y, weight = _stacked(samples)
    own = np.tile(START, (1, 2, 1))
    for _ in range(5):
        own, doubt = _newton(x, y, _evened(weight)[None], own, START[None], SPREAD[None])
    for a, sample in enumerate(samples):

        def loss(free, sample=sample):
            linear = free[0] * sample.log_odds + free[1]
            fit = (np.logaddexp(0, linear) - sample.truth * linear).sum()
            return fit + 0.5 * (((free - START) / SPREAD) ** 2).sum()

        best = minimize(loss, START)
        assert own[0, a] == pytest.approx(best.x, abs=1e-3)
        assert doubt[0, a] == pytest.approx(np.diag(best.hess_inv), rel=0.2)


def slow_lines(samples):
    """One attribute, one Newton step and one matrix at a time, as the formulas read."""
    common, spread = START, SPREAD
    own = [START.copy() for _ in samples]
    doubt = [np.zeros(2) for _ in samples]
    for _ in range(platt.ROUNDS):
        for a, sample in enumerate(samples):
            light = np.minimum(sample.weight, platt.HEAVIEST * sample.weight.mean())
            w = light * light.sum() / (light**2).sum()
            design = np.stack([sample.log_odds, np.ones(len(w))], axis=1)
            for _ in range(platt.STEPS):
                p = expit(design @ own[a])
                gradient = design.T @ (w * (p - sample.truth)) + (own[a] - common) / spread**2
                hessian = (design.T * (w * p * (1 - p))) @ design + np.diag(1 / spread**2)
                doubt[a] = np.diag(np.linalg.inv(hessian))
                longest = platt.LONGEST
                moved = own[a] - np.clip(np.linalg.solve(hessian, gradient), -longest, longest)
                if moved[0] < 0:
                    moved = np.array([0.0, own[a][1] - np.clip(gradient[1] / hessian[1, 1], -longest, longest)])
                own[a] = moved
        table, variance = np.array(own), np.array(doubt)
        certainty = 1 / (spread**2 + variance)
        top = (certainty * table).sum(axis=0) + START / platt.START_SPREAD**2
        common = top / (certainty.sum(axis=0) + 1 / platt.START_SPREAD**2)
        scatter = ((table - common) ** 2 + variance).sum(axis=0) + platt.WORTH * SPREAD**2
        spread = np.sqrt(scatter / (len(samples) + platt.WORTH))
    return np.array(own), common, spread


@pytest.mark.parametrize("cells_at_once", [1, 200, platt.CELLS_AT_ONCE])
def test_lines_of_all_folds_at_once_equal_those_of_one_after_another(cells_at_once, monkeypatch):
    monkeypatch.setattr(platt, "CELLS_AT_ONCE", cells_at_once)
    numbers = np.random.default_rng(5)
    samples, places = [], []
    for k, n in enumerate((25, 7, 60, 25)):
        slope = -1.0 if k == 2 else 0.4 + 0.3 * k  # one falls, and is held level
        samples.append(Sample(*world(n, slope, k - 2.0, k), numbers.choice([1.0, 3.0, 80.0], n)))
        places.append(numbers.integers(0, 5, n))
    found = fit_lines_by_fold(samples, places, 5)
    assert len(found) == 6
    for part, lines in enumerate(found):
        kept = [place != part - 1 for place in places]
        some = [Sample(s.log_odds[k], s.truth[k], s.weight[k]) for s, k in zip(samples, kept, strict=True)]
        own, common, spread = slow_lines(some)
        assert lines.own == pytest.approx(own, abs=1e-9)
        assert lines.common == pytest.approx(common, abs=1e-9)
        assert lines.spread == pytest.approx(spread, abs=1e-9)
    assert found[0].own[2, 0] == 0


def test_an_attribute_without_labels_outside_a_fold_leans_on_the_others_alone():
    samples = [Sample(*world(40, 0.5, -1.0, 1), np.ones(40)), Sample(*world(3, 0.5, -1.0, 2), np.ones(3))]
    folds = [np.arange(40) % 5, np.full(3, 2)]
    lines = fit_lines_by_fold(samples, folds, 5)[3]  # without fold 2
    assert lines.own[1] == pytest.approx(lines.common, abs=0.01)


def test_weights_count_by_their_ratio():
    logits, truth = world(60, 0.6, -1.0, 3)
    weights = np.where(truth == 1, 1.0, 4.0)
    one = fit_lines([Sample(logits, truth, weights)])
    other = fit_lines([Sample(logits, truth, 1000 * weights)])
    assert one.own == pytest.approx(other.own)
    assert one.own[0, 1] < fit_lines([Sample(logits, truth, np.ones(60))]).own[0, 1]


def test_few_labels_lean_on_the_others_and_many_do_not():
    others = [Sample(*world(400, 0.5, -2.0, seed), np.ones(400)) for seed in range(8)]
    few, many = world(12, 1.0, 1.0, 50), world(4000, 1.0, 1.0, 51)
    lines = fit_lines([*others, Sample(*few, np.ones(12)), Sample(*many, np.ones(4000))])
    alone = fit_lines([Sample(*few, np.ones(12))])
    assert abs(lines.own[8, 1] - lines.common[1]) < abs(alone.own[0, 1] - lines.common[1])
    assert lines.own[9] == pytest.approx([1.0, 1.0], abs=0.2)


def test_a_slope_never_falls():
    logits, truth = world(500, -1.5, 0.0, 1)
    lines = fit_lines([Sample(logits, truth, np.ones(500))])
    assert lines.own[0, 0] == 0
    assert expit(lines.own[0, 1]) == pytest.approx(truth.mean(), abs=0.05)


def test_labels_help_where_the_curve_is_wrong():
    codes = {f"c{k}": labelled(*world(40, 0.5, -1.5, k), start=100 * k) for k in range(12)}
    fits = fit(codes)
    assert sum(f.applied for f in fits.values()) >= 9
    assert all(f.calibration.kind == "platt" for f in fits.values() if f.applied)
    for k, code in enumerate(codes):
        logits, truth = world(3000, 0.5, -1.5, 1000 + k)
        after = ((confidence(fits[code].calibration, logits) - truth) ** 2).mean()
        before = ((confidence(fixed(0.0, 1.0), logits) - truth) ** 2).mean()
        assert after <= before + 1e-3
        if fits[code].applied:
            assert after < before


def test_a_curve_that_is_right_already_is_hardly_moved():
    codes = {f"c{k}": labelled(*world(25, 1.0, 0.0, k), start=100 * k) for k in range(20)}
    logits, truth = world(20_000, 1.0, 0.0, 999)
    best = ((expit(logits) - truth) ** 2).mean()
    losses = [((confidence(f.calibration, logits) - truth) ** 2).mean() for f in fit(codes).values()]
    assert np.mean(losses) < best + 0.002


def test_held_out_confidences_never_saw_their_own_label():
    always = {f"c{k}": labelled(*world(40, 0.4, -2.0, k), start=100 * k) for k in range(6)}
    first = fit(always)["c0"]
    flipped = world(40, 0.4, -2.0, 0)[1]
    flipped[3] = 1 - flipped[3]
    second = fit({**always, "c0": labelled(world(40, 0.4, -2.0, 0)[0], flipped)})["c0"]
    assert first.applied
    assert second.applied
    assert first.held_out[3] == second.held_out[3]
    assert first.calibration != second.calibration


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        (np.zeros(30), "all 30 labels say no"),
        (np.ones(30), "all 30 labels say yes"),
        (np.array([0.0, 1.0]), "2 labels"),
    ],
)
def test_labels_that_say_too_little_change_nothing(truth, said):
    given = labelled(np.linspace(-2, 2, len(truth)), truth)
    found = fit({"a": given})["a"]
    assert not found.applied
    assert found.calibration == given.base
    assert said in found.reason
    assert found.held_out == pytest.approx(found.unlabelled)


def test_a_fit_that_does_not_help_is_not_used():
    # The answers ignore the logit, and the curve knows their rate: any slope or offset fitted is noise.
    truth = (np.random.default_rng(1).random(40) < 0.5).astype(float)
    base = Calibration("fixed", {"center": 0.0, "scale": 1e6})
    found = fit({"a": labelled(np.linspace(-1, 1, 40), truth, base=base)})["a"]
    assert not found.applied
    assert "no better on labels the fit did not see" in found.reason


def test_a_thousand_labels_may_bend_the_curve():
    numbers = np.random.default_rng(0)
    logits = numbers.normal(0, 3, 4000)
    truth = (numbers.random(4000) < np.where(logits > 2, 0.9, np.where(logits > -1, 0.5, 0.02))).astype(float)
    found = fit({"steps": labelled(logits, truth)})["steps"]
    assert found.calibration.kind == "isotonic"
    fresh = numbers.normal(0, 3, 4000)
    answer = (numbers.random(4000) < np.where(fresh > 2, 0.9, np.where(fresh > -1, 0.5, 0.02))).astype(float)
    assert expected_calibration_error(confidence(found.calibration, fresh), answer) < 0.03
    assert fit({"steps": labelled(logits[:900], truth[:900])})["steps"].calibration.kind != "isotonic"


def test_isotonic_agrees_with_scikit_learn():
    logits, truth = world(300, 1.0, 0.0, 8)
    weights = np.random.default_rng(1).uniform(0.5, 3, 300)
    x, y = fit_isotonic(Sample(np.round(logits, 1), truth, weights))
    theirs = IsotonicRegression(out_of_bounds="clip").fit(np.round(logits, 1), truth, sample_weight=weights)
    at = np.linspace(-8, 8, 500)
    edge = 1 / 302
    assert np.interp(at, x, y) == pytest.approx(np.clip(theirs.predict(at), edge, 1 - edge), abs=0.02)


def test_a_logit_that_is_no_number_is_left_out():
    logits, truth = world(60, 0.5, -1.5, 0)
    logits[5] = np.nan
    found = fit({"a": labelled(logits, truth)})["a"]
    assert found.n == 59
    assert np.isnan(found.held_out[5])
    assert np.isfinite(np.delete(found.held_out, 5)).all()


def test_a_temperature_is_found_again():
    numbers = np.random.default_rng(0)
    odds = numbers.normal(0, 1.5, (5000, 4))
    truth = np.array([numbers.choice(4, p=row) for row in group_confidence(odds)])
    found = fit_temperature(odds * 7.0, truth)
    assert found.params["temperature"] == pytest.approx(7.0, rel=0.05)
    with pytest.raises(UsageError, match="at least 10"):
        fit_temperature(odds[:5], truth[:5])


def test_what_does_not_fit_together_is_named():
    with pytest.raises(UsageError, match="no label"):
        fit({})
    with pytest.raises(UsageError, match="'moon'"):
        fit({"moon": Labelled(fixed(), ["a"], [1.0, 2.0], [1.0, 0.0])})
    with pytest.raises(UsageError, match="neither yes nor no"):
        fit({"moon": labelled(np.array([1.0]), np.array([0.5]))})
