"""A plan: which things stand where, in which light, style and quality; and the sketch in which it is made.

Coordinates: x and y run over the square [0, 1]², y downwards; wider or taller frames only add room around it, so
whatever is planned inside the square is in every frame. Sizes are in the same unit (the frame's short side).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from sextant.demo import truth

# How far above its anchor a thing's middle lies and how far it reaches from there, in its own size.
OCCUPIES = {
    "suit_selfie": (0.0, 0.6), "crew_selfie": (0.0, 0.6), "crew": (0.5, 0.5), "chutes": (0.1, 0.5),
    "rocket": (0.5, 0.42),
    "floating_capsule": (0.35, 0.42), "ship": (0.25, 0.4), "hand": (-0.1, 0.42), "wall_map": (0.0, 0.45),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """One drawn thing. `phase` is that of a disc, `turn` an angle in radians, `seed` its private randomness."""

    what: str
    x: float = 0.5
    y: float = 0.5
    size: float = 0.3
    colour: str = "white"
    turn: float = 0.0
    count: int = 1
    phase: str = ""
    seed: int = 0

    @property
    def codes(self) -> frozenset[str]:
        """The base codes that this thing makes true."""
        phase = truth.PHASES.get((self.what, self.phase))
        return truth.SHOWS[self.what] | ({phase} if phase else frozenset())


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides a picture. `light` is where the light comes from (radians), `hour` the sky's colour."""

    seed: int
    style: str
    kind: str
    flat: bool
    items: tuple[Item, ...]
    hour: str = "day"
    horizon: float = 0.5
    light: float = 0.0
    aspect: float = 1.0
    blurred: bool = False
    dark: bool = False
    grey: bool = False
    quality: int = 90
    take: int = 0

    @property
    def attributes(self) -> frozenset[str]:
        """Base, quality and derived codes that are true of the picture."""
        codes = {code for item in self.items for code in item.codes}
        codes.add("artistic_rendering" if self.flat else "photograph")
        codes.update(
            name for name, value in zip(truth.QUALITIES, (self.blurred, self.dark, self.grey), strict=True) if value
        )
        return frozenset(codes) | truth.derive(codes)

    def find(self, what: str) -> Item | None:
        """The first item of that name."""
        return next((item for item in self.items if item.what == what), None)

    def without(self, what: str) -> Plan:
        """The same plan with every item of that name left out."""
        return replace(self, items=tuple(item for item in self.items if item.what != what))


@dataclass
class Sketch:
    """A plan in the making: draws random numbers and keeps things from hiding one another."""

    rng: np.random.Generator
    flat: bool
    items: list[Item] = field(default_factory=list)
    taken: list[tuple[float, float, float]] = field(default_factory=list)
    hour: str = "day"
    horizon: float = 0.5
    dark: bool = False
    stars_allowed: bool = True

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return bool(self.rng.random() < probability)

    def between(self, low: float, high: float) -> float:
        """A uniform number."""
        return float(low + (high - low) * self.rng.random())

    def pick(self, *names: str) -> str:
        """One of the names, equally likely."""
        return names[int(self.rng.integers(len(names)))]

    def pick_number(self, *numbers: float) -> float:
        """One of the numbers, equally likely."""
        return numbers[int(self.rng.integers(len(numbers)))]

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def add(self, what: str, **changes: float | str | int) -> Item:
        """Put an item in, with private randomness; later items are drawn over earlier ones."""
        item = Item(what, seed=int(self.rng.integers(2**31)), **changes)  # type: ignore[arg-type]
        self.items.append(item)
        if what in OCCUPIES:
            rise, reach = OCCUPIES[what]
            self.taken.append((item.x, item.y - rise * item.size, reach * item.size))
        return item

    def place(
        self, what: str, size: tuple[float, float], box: tuple[float, float, float, float], **changes: float | str | int
    ) -> bool:
        """Put an item (radius size/2) inside the box where it hides little of what is there; False where no room is."""
        for _ in range(14):
            extent = self.between(*size)
            x, y = self.between(box[0], box[2]), self.between(box[1], box[3])
            if all((x - a) ** 2 + (y - b) ** 2 > (0.85 * (extent / 2 + r)) ** 2 for a, b, r in self.taken):
                self.taken.append((x, y, extent / 2))
                self.add(what, x=x, y=y, size=extent, **changes)
                return True
        return False
