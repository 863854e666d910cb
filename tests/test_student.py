"""Student's t: scipy's as the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import stdtrit
from scipy.stats import t

from sextant.maths.student import log_density, upper_quartile


@pytest.mark.parametrize("df", [1.0, 1.5, 2.0, 3.7, 7.232, 10.02, 30.0, 50.0, 1000.0, 0.5, np.inf])
def test_the_quartile_is_scipys(df: float) -> None:
    assert upper_quartile(df) == pytest.approx(float(stdtrit(df, 0.75)), rel=1e-12)


def test_the_quartile_of_a_cauchy_distribution_is_one() -> None:
    assert upper_quartile(1.0) == pytest.approx(1.0, rel=1e-14)


@pytest.mark.parametrize("shape", [(1.5, 0.0, 1.0), (7.232, 0.0723, 0.8965), (50.0, -3.0, 20.0)])
def test_the_density_is_scipys(shape: tuple[float, float, float]) -> None:
    x = np.linspace(-80, 80, 1001)
    np.testing.assert_allclose(log_density(x, shape), t.logpdf(x, *shape), rtol=1e-12, atol=1e-12)
