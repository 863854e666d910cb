"""What looks wrong in a collection, and what other ways to read its logits would make of it.

Changes nothing: it only reads a view.
"""

from __future__ import annotations

from dataclasses import dataclass

from sextant.maths.rules import ACCEPTED, UNKNOWN
from sextant.view import View
from sextant.vocabulary import Attribute

CONTROL_SHARE = 0.95
"""The share of images for which a positive control must be accepted, and a negative one must not."""


@dataclass(frozen=True, slots=True)
class Control:
    """A control of the vocabulary: `accepted` of `n` images, and in words whether that is as it must be."""

    code: str
    kind: str
    n: int
    accepted: int
    failing: bool
    reason: str


def controls(view: View) -> list[Control]:
    """The controls of the vocabulary that have a column: is what must be true accepted, and what cannot be not?"""
    items = view.vocabulary.attributes if view.vocabulary else ()
    return [_control(view, item) for item in items if item.control is not None and item.code in view.columns]


def _control(view: View, item: Attribute) -> Control:
    bands = view.values(item.code).band
    n, accepted = int((bands != UNKNOWN).sum()), int((bands == ACCEPTED).sum())
    right = accepted if item.control == "positive" else n - accepted
    failing = right < CONTROL_SHARE * n
    must = f"at least {CONTROL_SHARE:.0%}" if item.control == "positive" else f"at most {1 - CONTROL_SHARE:.0%}"
    said = f"control '{item.code}': accepted for {accepted:,} of {n:,} images, must be {must}"
    return Control(item.code, str(item.control), n, accepted, failing, said + (" – fails" if failing else ""))
