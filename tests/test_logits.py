from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sextant.errors import UsageError
from sextant.maths.logits import CHUNK, background, logit_matrix, logits, prompt_vector, statistics, unit


def slow_logit(image, positive, negatives, scale, bias):
    """The formula, one image at a time, with exact sums."""
    import math

    def raw(t):
        return scale * math.fsum(float(a) * float(b) for a, b in zip(image, t, strict=True)) + bias

    own = raw(positive)
    return own - max([0.0] + [raw(t) - own for t in negatives])


@pytest.fixture(scope="module")
def rows():
    draw = np.random.default_rng(7)
    return unit(draw.normal(size=(CHUNK + 77, 96))), unit(draw.normal(size=(37, 96)))


def test_a_logit_by_hand():
    red, green, image = np.eye(3, dtype=np.float32)[0], np.eye(3, dtype=np.float32)[1], unit([[3.0, 4.0, 0.0]])
    assert logits(image, red, scale=100, bias=-10)[0] == pytest.approx(50)
    # Green is 20 ahead of red, and red loses just that.
    assert logits(image, red, green[None], scale=100, bias=-10)[0] == pytest.approx(30)
    # A negative that is further away than the attribute costs nothing.
    assert logits(image, green, red[None], scale=100, bias=-10)[0] == pytest.approx(70)


def test_logits_agree_with_exact_sums(rows):
    images, prompts = rows
    negatives = [None, prompts[5:8], prompts[:1]]
    fast = logit_matrix(images[:50], prompts[:3], negatives, scale=100, bias=-4)
    for i in range(50):
        for a in range(3):
            kept = [] if negatives[a] is None else negatives[a]
            assert fast[i, a] == pytest.approx(slow_logit(images[i], prompts[a], kept, 100, -4), abs=5e-6)


def test_a_column_is_the_same_to_the_bit_whatever_is_computed_with_it(rows):
    images, prompts = rows
    negatives = [prompts[i : i + 2] if i % 3 == 0 else None for i in range(37)]
    together = logit_matrix(images, prompts, negatives, scale=100, bias=1)
    for width in (1, 2, 3, 5, 8, 13, 36):
        some = logit_matrix(images, prompts[:width], negatives[:width], scale=100, bias=1)
        assert np.array_equal(some, together[:, :width])
    assert np.array_equal(logits(images, prompts[9], negatives[9], scale=100, bias=1), together[:, 9])
    assert np.array_equal(logit_matrix(images, prompts[::-1], negatives[::-1], scale=100, bias=1), together[:, ::-1])


def test_a_row_is_the_same_to_the_bit_whatever_chunk_it_comes_in(rows):
    images, prompts = rows
    whole = logit_matrix(images, prompts, scale=100)
    for size in (1, 7, 100, 1000):
        for start in (0, 3, CHUNK - 2):
            piece = logit_matrix(images[start : start + size], prompts, scale=100)
            assert np.array_equal(piece, whole[start : start + size])
    order = np.random.default_rng(0).permutation(len(images))
    assert np.array_equal(logit_matrix(images[order], prompts, scale=100), whole[order])


def test_half_precision_vectors_are_taken_as_they_are(rows):
    images, prompts = rows
    half = images[:20].astype(np.float16)
    exact = logit_matrix(half.astype(np.float32), prompts, scale=100)
    assert np.array_equal(logit_matrix(half, prompts, scale=100), exact)


def test_a_broken_vector_spoils_only_its_own_row(rows):
    images, prompts = rows
    broken = images[:4].copy()
    broken[2] = np.nan
    out = logit_matrix(broken, prompts, scale=100)
    assert np.isnan(out[2]).all()
    assert np.array_equal(out[[0, 1, 3]], logit_matrix(images[:4], prompts, scale=100)[[0, 1, 3]])


def test_the_background_is_the_mean_logit_over_its_prompts(rows):
    images, prompts = rows
    expected = logit_matrix(images[:30], prompts, scale=100, bias=-3).astype(np.float64).mean(axis=1)
    assert background(images[:30], prompts, scale=100, bias=-3) == pytest.approx(expected, abs=1e-5)


def test_prompts_are_averaged_on_the_sphere():
    mean = prompt_vector(np.array([[1.0, 0, 0], [0, 10.0, 0]]))
    assert mean == pytest.approx([np.sqrt(0.5), np.sqrt(0.5), 0], abs=1e-7)
    assert mean.dtype == np.float32


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=60))
@settings(deadline=None)
def test_statistics_equal_numpy(values):
    found = statistics(np.array(values, dtype=np.float32))
    wide = np.array(values, dtype=np.float64)
    assert (found.min, found.max) == (wide.min(), wide.max())
    assert found.mean == pytest.approx(wide.mean(), abs=1e-9)
    assert found.std == pytest.approx(wide.std(), abs=1e-9)
    assert sum(found.counts) == found.n == len(values)
    assert len(found.edges) == len(found.counts) + 1


def test_statistics_leave_out_what_is_no_number():
    found = statistics([1.0, np.nan, 3.0, np.inf])
    assert (found.n, found.missing, found.mean) == (2, 2, 2.0)
    empty = statistics([np.nan])
    assert empty.n == 0
    assert np.isnan(empty.mean)


def test_shapes_that_do_not_fit_are_refused(rows):
    images, prompts = rows
    with pytest.raises(UsageError, match="do not fit"):
        logit_matrix(images, prompts[:, :5], scale=100)
    with pytest.raises(UsageError, match="lists of negatives"):
        logit_matrix(images, prompts, [None], scale=100)
    with pytest.raises(UsageError, match="at least one prompt"):
        prompt_vector(np.zeros((0, 3)))


def test_a_row_without_direction_stays_zero():
    assert np.array_equal(unit([[0.0, 0.0], [0.0, 2.0]]), np.array([[0, 0], [0, 1]], dtype=np.float32))
