from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sextant.errors import UsageError
from sextant.maths.calibration import (
    Calibration,
    confidence,
    fixed,
    group_confidence,
    histogram_rule,
    log_odds,
    native,
    temperature,
)

PRIOR = Calibration(
    "prior",
    {
        "lambda": 1.0,
        "mu": 2.0,
        "sigma": 0.5,
        "e": [-4.0, 0.0, 4.0],
        "log_odds": [-5.0, -5.0, 3.0],
    },
)
ON_PRIOR = {"kind": PRIOR.kind, "params": PRIOR.params}
PLATT = Calibration("platt", {"on": ON_PRIOR, "slope": 0.5, "offset": 1.0})
ISOTONIC = Calibration("isotonic", {"on": ON_PRIOR, "x": [-5.0, 0.0, 3.0], "y": [0.0, 0.25, 1.0]})


@pytest.mark.parametrize(
    ("center", "scale", "logit", "expected"),
    [
        (25.5, 1.5, 16.0, 0.0018),
        (25.5, 1.5, 18.7, 0.0106),
        (25.5, 1.5, 20.6, 0.0367),
        (25.5, 1.5, 24.0, 0.2689),
        (25.5, 1.5, 24.8, 0.3854),
        (25.5, 1.5, 26.7, 0.6900),
        (25.5, 1.5, 27.0, 0.7311),
        (25.5, 1.5, 28.0, 0.8411),
        (25.5, 1.5, 31.7, 0.9842),
        (22.0, 3.0, 21.1, 0.4256),
        (22.0, 3.0, 30.0, 0.9350),
        (28.0, 1.5, 30.0, 0.7914),
        (28.0, 1.5, 31.7, 0.9218),
    ],
)
def test_the_fixed_sigmoid(center, scale, logit, expected):
    assert confidence(fixed(center, scale), [logit])[0] == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(
    ("center", "scale", "edge"),
    [(25.5, 1.5, 27.579441541679834), (22.0, 3.0, 26.158883083359672), (28.0, 1.5, 30.079441541679834)],
)
def test_the_edges_of_the_fixed_sigmoid(center, scale, edge):
    found = confidence(fixed(center, scale), [center, edge, np.nextafter(edge, 0) - 1e-9])
    assert found[0] == 0.5
    assert found[1] == pytest.approx(0.8, abs=1e-15)
    assert found[2] < 0.8


@pytest.mark.parametrize(("scale", "expected"), [(10, 0.3992), (15, 0.3513), (20, 0.3062), (25, 0.2645), (30, 0.2267)])
def test_a_raw_cosine_times_a_scale(scale, expected):
    assert confidence(native(), [-0.0409 * scale])[0] == pytest.approx(expected, abs=5e-5)


def test_a_prior_by_hand():
    # e = (5 - 1·1 - 2) / 0.5 = 4, where the curve is at 3.
    assert log_odds(PRIOR, [5.0], [1.0])[0] == pytest.approx(3.0)
    assert log_odds(PLATT, [5.0], [1.0])[0] == pytest.approx(0.5 * 3.0 + 1.0)
    assert confidence(ISOTONIC, [5.0], [1.0])[0] == pytest.approx(1.0)
    # Halfway up: e = 2, curve at -1, which lies at .2 between 0 and .25.
    assert confidence(ISOTONIC, [4.0], [1.0])[0] == pytest.approx(0.2)


@pytest.mark.parametrize("calibration", [fixed(), native(), PRIOR, PLATT, ISOTONIC])
def test_confidence_never_falls_as_the_logit_rises(calibration):
    logits = np.sort(np.random.default_rng(0).normal(3, 6, 4000))
    found = confidence(calibration, logits, np.full(4000, 1.0))
    assert (np.diff(found) >= -1e-14).all()
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("calibration", [fixed(), native(), PRIOR, PLATT, ISOTONIC])
def test_what_is_not_a_number_stays_so(calibration):
    found = confidence(calibration, [np.nan, 3.0], [1.0, 1.0])
    assert np.isnan(found[0])
    assert not np.isnan(found[1])


def test_a_missing_background_is_named():
    with pytest.raises(UsageError, match="background"):
        confidence(PRIOR, [1.0])
    assert np.isnan(confidence(PRIOR, [1.0], [np.nan])[0])


@given(st.floats(-100, 100), st.floats(0.01, 50))
def test_records_survive_json(center, scale):
    one = fixed(center, scale)
    again = Calibration.from_json(one.to_json())
    assert again == one
    assert again.id == one.id
    assert len(one.id) == 16


def test_the_id_is_of_the_content_alone():
    turned = Calibration("prior", json.loads(json.dumps(dict(reversed(PRIOR.params.items())))))
    assert turned.id == PRIOR.id
    assert fixed(25.5, 1.5).id != fixed(25.5, 1.6).id
    assert Calibration.from_json(PLATT.to_json()).id == PLATT.id


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "guess", "params": {}}'])
def test_what_is_no_record_is_refused(text):
    with pytest.raises(UsageError):
        Calibration.from_json(text)


@pytest.mark.parametrize(("center", "scale"), [(25.5, 0.0), (25.5, -1.0), (float("nan"), 1.0)])
def test_a_fixed_curve_must_rise(center, scale):
    with pytest.raises(UsageError):
        fixed(center, scale)


def test_a_group_shares_out_one():
    logits = np.array([[1.0, 2.0, 4.0], [800.0, 0.0, -800.0]])
    warm = group_confidence(logits, 2.0)
    by_hand = np.exp(logits[0] / 2) / np.exp(logits[0] / 2).sum()
    assert warm[0] == pytest.approx(by_hand)
    assert warm.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert (np.argsort(warm[0]) == np.argsort(group_confidence(logits, 0.3)[0])).all()
    assert np.isnan(group_confidence([[1.0, np.nan]])).all()


def test_a_temperature_needs_its_group():
    with pytest.raises(UsageError, match="group"):
        confidence(temperature(1.5), [1.0])
    with pytest.raises(UsageError):
        temperature(0.0)
    with pytest.raises(UsageError):
        group_confidence([[1.0]], -1.0)


def test_the_histogram_rule_reads_the_right_tail():
    logits = np.random.default_rng(0).normal(10, 2, 50_000)
    found = histogram_rule(np.append(logits, np.nan))
    assert found.params["center"] == pytest.approx(10 + 1.645 * 2, abs=0.05)
    assert found.params["scale"] == pytest.approx(1.0, abs=0.02)
    with pytest.raises(UsageError, match="differ"):
        histogram_rule([3.0, 3.0])
