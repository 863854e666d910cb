"""What a fine-tuning run is made of, as one frozen value that says when two runs are the same."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sextant.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Order:
    """What a run is made of. `pairs` are files with their class; `photos` a folder of pictures that are none of it."""

    pairs: tuple[tuple[Path, str], ...]
    base: str
    recipe: Recipe
    seed: int = 0
    prompts: Path | None = None
    clusters: Path | None = None
    photos: Path | None = None
    words: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def digest(self) -> str:
        """Changes with anything that changes the outcome."""
        files = [str(p.resolve()) + "\0" + c for p, c in self.pairs]
        texts = [p.read_text(encoding="utf-8", errors="replace") if p else "" for p in (self.prompts, self.clusters)]
        values = [self.base, self.seed, self.recipe.to_dict(), str(self.photos), self.words, texts, files]
        return hashlib.blake2b(json.dumps(values, default=str).encode(), digest_size=8).hexdigest()


def changed(order: Order, **changes: Any) -> Order:
    """The same order with another recipe: for ablations."""
    return replace(order, recipe=order.recipe.changed(**changes))
