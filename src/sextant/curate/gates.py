"""What rules a candidate out, whatever its score: too small, too narrow, dark, blank, blurred, not what was asked for.

Each refusal says the rule, the value and the limit. Facts in, reasons out; no picture is opened here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from sextant.errors import UsageError


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a candidate, held against the gates.

    `darkness` and `sharpness` are those of `ImageFacts`, `spread` the standard deviation of the luma (0 to 127.5),
    `confidence` how likely it shows what was asked for with its `state`, `relevance` what a model says of that.
    """

    width: int
    height: int
    darkness: float
    sharpness: float
    spread: float | None = None
    confidence: float | None = None
    relevance: float | None = None
    state: str = "prior"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One rule that a candidate breaks."""

    rule: str
    value: float
    limit: float
    reason: str


@dataclass(frozen=True, slots=True)
class Gates:
    """The limits. None, or 0 for the least and infinity for the most, opens a gate.

    `darkness` is the share of pixels below 20/255 from which a frame is dark, `spread` the standard deviation of the
    luma below which it is blank, `sharpness` the variance of the Laplacian below which it is blurred. `confidence` is
    held against a probability and not asked for where that is uncalibrated, `relevance` against a model's 0 to 10.
    """

    side: int = 128
    aspect: float = 3.0
    darkness: float = 0.92
    spread: float = 4.0
    sharpness: float = 25.0
    confidence: float = 0.05
    relevance: float = 3.0

    def __post_init__(self) -> None:
        if math.isnan(self.aspect) or self.aspect < 1:
            raise UsageError(f"the most that one side may be longer is a ratio from 1 up, not {self.aspect}")
        for name, most in (("darkness", math.inf), ("confidence", 1.0), ("relevance", 10.0)):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise UsageError(f"a limit of {name} is a number from 0 to {most:g}, not {value}")
        for name in ("side", "spread", "sharpness"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"a limit of {name} is a number from 0 up, not {getattr(self, name)}")

    def refusals(self, seen: Seen) -> Iterator[Refusal]:
        """Every rule that a candidate breaks; what is not known of it breaks none."""
        side, ratio = min(seen.width, seen.height), max(seen.width, seen.height) / max(1, min(seen.width, seen.height))
        if side < self.side:
            yield Refusal(
                "size", side, self.side, f"{seen.width} × {seen.height}: the shorter side is below {self.side}"
            )
        if ratio > self.aspect:
            yield Refusal("aspect", ratio, self.aspect, f"{_cut(ratio)} times as long as wide, above {self.aspect:g}")
        if seen.darkness >= self.darkness:
            dark = f"{100 * seen.darkness:.0f} % of it is black or nearly so, from {100 * self.darkness:.0f} % on"
            yield Refusal("dark", seen.darkness, self.darkness, dark)
        if seen.spread is not None and seen.spread < self.spread:
            blank = f"blank: its light varies by {_cut(seen.spread)} of 255, below {self.spread:g}"
            yield Refusal("blank", seen.spread, self.spread, blank)
        elif seen.sharpness < self.sharpness:
            blurred = f"blurred: a sharpness of {_cut(seen.sharpness)}, below {self.sharpness:g}"
            yield Refusal("blur", seen.sharpness, self.sharpness, blurred)
        if seen.confidence is not None and seen.confidence < self.confidence:
            unlikely = (
                f"unlikely to show it: {seen.state} confidence {_cut(seen.confidence, 3)}, below {self.confidence:g}"
            )
            yield Refusal("confidence", seen.confidence, self.confidence, unlikely)
        if seen.relevance is not None and seen.relevance < self.relevance:
            irrelevant = f"the model finds it irrelevant: {seen.relevance:g} of 10, below {self.relevance:g}"
            yield Refusal("relevance", seen.relevance, self.relevance, irrelevant)


def _cut(value: float, digits: int = 2) -> str:
    """A number that is never rounded up past its limit."""
    return f"{math.floor(value * 10**digits) / 10**digits:.{digits}f}"
