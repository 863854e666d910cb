"""Coordinates in which short codes lose least of what is asked.

Codes lose the same share of every coordinate that they are made for, so what is asked most has to be large there. Knows
nothing of codes.
"""

from __future__ import annotations

import numpy as np

from sextant.types import Floats

EVEN = 0.5  # of the weight goes to all directions alike: phrases lie elsewhere than the rows
KEPT = 0.99  # of what varies is coded, and at least half of the coordinates


def coordinates(rows: Floats) -> tuple[Floats, Floats]:
    """Two matrices (m, dim), for rows and for directions, whose products of what they turn are nearly what they were.

    `rows` (n, dim) are some of those that will be coded. In the new coordinates an error along a direction counts as
    much as rows lie along it: likeness to a picture asks in such directions, and so, less, do phrases. Those that
    hardly vary are left out. Neighbours are one that varies much and one that varies little, so that all pairs of them
    are about as hard to code.
    """
    dim = rows.shape[1]
    exact = np.asarray(rows, np.float64)
    weight = EVEN * np.eye(dim) / dim + (1 - EVEN) * exact.T @ exact / max(float((exact * exact).sum()), 1e-30)
    values, axes = np.linalg.eigh(weight)
    stretched = (axes * np.sqrt(values)) @ axes.T
    shrunk = (axes / np.sqrt(values)) @ axes.T
    spread = np.cov(exact, rowvar=False, bias=True).reshape(dim, dim)
    varies, own = np.linalg.eigh(stretched @ spread @ stretched)
    share = np.cumsum(varies[::-1]) / max(float(varies.sum()), 1e-30)
    half = (max(int(np.searchsorted(share, KEPT)) + 1, dim // 2) + 1) // 2
    strong, weak = np.arange(dim)[::-1][:half], np.arange(dim)[::-1][half : 2 * half][::-1]
    order = np.stack([strong[: len(weak)], weak], axis=1).ravel()
    turn = own[:, np.concatenate([order, strong[len(weak) :]])].T
    return np.asarray(turn @ stretched, np.float32), np.asarray(turn @ shrunk, np.float32)
