"""Every choice of a fine-tuning run as one frozen value, and the recipes that have a name.

Knows nothing of data or networks: a recipe can be printed, stored beside a run, and changed one decision at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from sextant.errors import UsageError

Texts = Literal["classes", "batch"]
Scale = Literal["kept", "trained", "reset"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a run does. Rates are those of AdamW at the top of the schedule; `blocks_rate` is that of visual blocks.

    `gate` is the base's own zero-shot probability below which a training image is dropped (0: none is).
    `per_class` is the least number of training rows a class is oversampled to (0: as many as the largest class has).
    `replacement` draws the hard half of a batch anew each time; without it every row comes once an epoch.
    The first stage takes `heads_batch` rows at a time, the second `batch`.
    With `heads_blocks` the first stage trains so many visual blocks too, and cannot work on cached features.
    `keep` weighs how far the pair goes from what the base said of other things, `agree` the part of that in logits,
    `doubt` how sure it is of pictures that are no class at all; `beside` pictures of each kind come with a batch.
    `texts` says what an image is told from in a batch: one prompt of every class, or one of every image of the batch.
    """

    name: str
    gate: float = 0.0
    gate_stops: bool = True
    per_class: int = 0
    augment: float = 0.6
    clusters: bool = True
    hard_share: float = 0.5
    replacement: bool = False
    batch: int = 64
    heads_batch: int = 256
    class_aware: bool = True
    texts: Texts = "classes"
    smoothing: float = 0.1
    scale: Scale = "kept"
    heads_epochs: int = 40
    heads_rate: float = 4e-3
    heads_blocks: int = 0
    projection: bool = True
    blocks_epochs: int = 0
    blocks: int = 2
    blocks_rate: float = 1e-4
    text_rate: float = 1e-4
    keep: float = 1.0
    agree: float = 0.1
    doubt: float = 0.25
    beside: int = 24
    weight_decay: float = 0.02
    betas: tuple[float, float] = (0.9, 0.98)
    warm_up: float = 0.1
    clip: float = 1.0
    patience: int = 12
    choose_by: Literal["retrieval", "accuracy"] = "retrieval"
    interpolate: bool = True
    ood_tolerance: float = 0.01
    mixed: bool = True
    probe: bool = False

    def changed(self, **changes: Any) -> Recipe:
        """The same recipe with other values. Raises `UsageError` for a name or value that cannot be."""
        known = {field.name for field in fields(self)}
        for name in changes:
            if name not in known:
                raise UsageError(f"a recipe has no {name!r}; it has {', '.join(sorted(known))}")
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe that `to_dict` wrote."""
        return cls(**{**values, "betas": tuple(values["betas"])})


RECIPES: Mapping[str, Recipe] = {
    "quick": Recipe("quick", heads_epochs=60),
    "full": Recipe("full", beside=16, blocks_epochs=12, blocks=4, blocks_rate=8e-4, text_rate=8e-4),
    "probe": Recipe("probe", probe=True, heads_epochs=0),
    # Rates of 5e-6 and a tenth of it suit a network of 150 million weights; on mini, of a million, they move nothing.
    # Here the default rates stand in their place, the second stage at a tenth, and the rest is as it was.
    "reference": Recipe(
        "reference",
        gate=0.05,
        gate_stops=False,
        augment=1.0,
        per_class=280,
        batch=16,
        heads_batch=16,
        replacement=True,
        class_aware=False,
        texts="batch",
        scale="reset",
        heads_epochs=5,
        heads_blocks=1,
        projection=False,
        blocks_epochs=10,
        blocks=2,
        keep=0.0,
        doubt=0.0,
        heads_rate=1e-3,
        weight_decay=0.1,
        patience=5,
        choose_by="accuracy",
        interpolate=False,
    ),
}  # fmt: skip


def named(name: str) -> Recipe:
    """A recipe by name. Raises `UsageError`."""
    if name not in RECIPES:
        raise UsageError(f"no recipe {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]
