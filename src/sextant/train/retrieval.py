"""How well pictures are found by text and texts by picture: accuracy, average precision, places of right prompts.

numpy only, on unit rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sextant.maths.metrics import average_precision
from sextant.types import Floats

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Measured:
    """`accuracy` of telling classes apart by canonical prompts, and `retrieval` both ways.

    The latter is the mean of two: the mean average precision with which a class's prompt finds its images, and the mean
    reciprocal rank at which an image finds its class's prompt.
    """

    accuracy: float
    retrieval: float


def measure(images: Floats, texts: Floats, labels: Rows) -> Measured:
    """From images (n, dim), canonical prompts (classes, dim), both unit rows, and labels (n,)."""
    cosines = images @ texts.T
    found = [average_precision(cosines[:, k], labels == k) for k in np.unique(labels)]
    place = ranks(images, texts, np.arange(len(texts)), labels)
    accuracy = float((cosines.argmax(1) == labels).mean())
    return Measured(accuracy, float(np.mean(found) + (1 / place).mean()) / 2)


def ranks(images: Floats, texts: Floats, text_labels: Rows, labels: Rows) -> Rows:
    """At which place (n,), from 1, the first prompt of its own class comes for each image, of all prompts (m, dim).

    A prompt of another class that is just as near comes first: a tie is no hit.
    """
    cosines = images @ texts.T
    own = np.where(text_labels[None, :] == labels[:, None], cosines, -np.inf).max(axis=1)
    others = np.where(text_labels[None, :] == labels[:, None], -np.inf, cosines)
    return np.asarray((others >= own[:, None]).sum(axis=1) + 1, np.intp)
