"""Unit vectors to logits: what an encoder says of (image, phrase), before anyone asks what it means.

Knows nothing of images, files or confidences. The one promise beyond the formula: a logit depends on its own image and
its own prompts alone, to the last bit, whatever else is computed in the same call, in whatever chunks, on whatever
machine. A plain float32 product cannot promise that (a BLAS library changes its order of summation with the number of
columns), so both sides are rounded to multiples of 2⁻²⁶ and multiplied in float64: every product is a multiple of 2⁻⁵²
and every partial sum stays below 2, so all sums are exact and their order cannot matter. The rounding moves a cosine by
about 6·10⁻⁹, less than the last bit of a stored float32 logit of 25 at scale 100.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sextant.errors import UsageError
from sextant.types import Floats

GRID = 2.0**26  # grid points a unit: 2 · 26 bits of product plus one of headroom fill float64's 53
CHUNK = 4096  # rows widened to float64 at a time: 16 MB at 512 dimensions
ALONE = 1 << 18
"""Numbers widened at a time for one prompt: 2 MB stay in a processor's cache, and BLAS starts no threads for so few.

For several prompts it does, and threads that wait for one another eight times as often cost more than a cache saves.
"""


@dataclass(frozen=True, slots=True)
class LogitStatistics:
    """What one column of logits looks like. `counts[i]` logits lie in `edges[i]` to `edges[i + 1]`, the last included.

    All figures are over the `n` finite logits; `missing` counts the others. Without any, the figures are NaN.
    """

    n: int
    missing: int
    min: float
    mean: float
    max: float
    std: float
    counts: tuple[int, ...]
    edges: tuple[float, ...]


def unit(rows: ArrayLike) -> Floats:
    """Rows (n, d) or one row (d,) scaled to length one, float32. A row of zeros has no direction and stays as it is."""
    wide = np.asarray(rows, dtype=np.float64)
    length = np.linalg.norm(wide, axis=-1, keepdims=True)
    return np.asarray(wide / np.where(length > 0, length, 1.0), dtype=np.float32)


def prompt_vector(vectors: ArrayLike) -> Floats:
    """One attribute's direction (d,): the mean of its prompts' unit vectors (k, d), scaled back to length one."""
    rows = np.atleast_2d(np.asarray(vectors, dtype=np.float64))
    if rows.size == 0:
        raise UsageError("an attribute needs at least one prompt")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return unit((rows / lengths).mean(axis=0))


def logits(
    vectors: Floats, positive: Floats, negatives: Floats | None = None, *, scale: float, bias: float = 0.0
) -> Floats:
    """Logits (n,) of the images (n, d) for one attribute.

    `scale · cosine + bias`, less what the most alike of the negatives (k, d) has more than `positive` (d,), if any has.
    """
    return logit_matrix(vectors, positive[None, :], [negatives], scale=scale, bias=bias)[:, 0]


def logit_matrix(
    vectors: Floats,
    positives: Floats,
    negatives: Sequence[Floats | None] | None = None,
    *,
    scale: float,
    bias: float = 0.0,
) -> Floats:
    """Logits (n, a) of n images for a attributes in one product; each column equals that of `logits` bit for bit.

    `negatives` holds one array (k, d), or None, for each row of `positives` (a, d). All rows are unit vectors; those of
    `vectors` may be float16.
    """
    positives, groups = _checked(vectors, positives, negatives)
    out = np.empty((len(vectors), len(positives)), dtype=np.float32)
    for rows, raw in _raw(vectors, np.concatenate([positives, *groups.values()]), scale, bias):
        own = raw[:, : len(positives)]
        at = len(positives)
        for column, group in groups.items():
            rival = raw[:, at : at + len(group)].max(axis=1)
            own[:, column] -= np.maximum(0.0, rival - own[:, column])
            at += len(group)
        out[rows] = own
    return out


def background(vectors: Floats, prompts: Floats, *, scale: float, bias: float = 0.0) -> Floats:
    """The background (n,) of each image: its mean logit over the background prompts (k, d)."""
    # A mean of products is the product with the mean, which is one column instead of k and just as exact.
    centre = np.asarray(prompts, dtype=np.float64).mean(axis=0).astype(np.float32)
    return logit_matrix(vectors, centre[None, :], scale=scale, bias=bias)[:, 0]


def statistics(logits: ArrayLike, bins: int = 40) -> LogitStatistics:
    """Count, extremes, mean, standard deviation (of the population) and histogram of logits of any shape."""
    values = np.asarray(logits, dtype=np.float64).ravel()
    finite = values[np.isfinite(values)]
    missing = len(values) - len(finite)
    if not len(finite):
        return LogitStatistics(0, missing, *(float("nan"),) * 4, counts=(), edges=())
    counts, edges = np.histogram(finite, bins=bins)
    return LogitStatistics(
        n=len(finite),
        missing=missing,
        min=float(finite.min()),
        mean=float(finite.mean()),
        max=float(finite.max()),
        std=float(finite.std()),
        counts=tuple(counts.tolist()),
        edges=tuple(edges.tolist()),
    )


def _checked(
    vectors: Floats, positives: Floats, negatives: Sequence[Floats | None] | None
) -> tuple[Floats, dict[int, Floats]]:
    positives = np.atleast_2d(positives)
    if vectors.ndim != 2 or vectors.shape[1] != positives.shape[1]:
        raise UsageError(f"vectors of shape {vectors.shape} do not fit prompts of {positives.shape[1]} dimensions")
    given = [None] * len(positives) if negatives is None else negatives
    if len(given) != len(positives):
        raise UsageError(f"{len(positives)} attributes but {len(given)} lists of negatives")
    groups = {i: np.atleast_2d(g) for i, g in enumerate(given) if g is not None and len(g)}
    return positives, groups


def _raw(vectors: Floats, prompts: Floats, scale: float, bias: float) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Exact `scale · cosine + bias` (rows, prompts), chunk by chunk."""
    directions = _on_grid(prompts).T
    size = CHUNK if len(prompts) > 1 else max(1, ALONE // max(1, vectors.shape[1]))
    for start in range(0, len(vectors), size):
        rows = slice(start, start + size)
        product = _on_grid(vectors[rows]) @ directions
        product *= scale / GRID**2
        product += bias
        yield rows, product


def _on_grid(rows: NDArray[Any]) -> NDArray[np.float64]:
    # Scaling by a power of two and rounding are exact in float32, and cheaper there than in float64.
    scaled = rows.astype(np.float32) * np.float32(GRID)
    return np.asarray(np.rint(scaled, out=scaled), dtype=np.float64)
