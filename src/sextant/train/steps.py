"""The folder of a fine-tuning run: a JSON file for each step that is done, arrays beside them, nothing half-written.

Knows that steps follow each other and are not done twice; not what they are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.errors import UsageError
from sextant.manifest import replacing
from sextant.train.order import Order
from sextant.types import Progress, Spread

Report = Callable[[Progress], None]
PARTS = ".sextant-*.part"
STEPS = ("data", "split", "gate", "clusters", "train", "interpolate", "temperature", "export", "scorecard")
PROBE_STEPS = ("data", "split", "gate", "probe")


class Steps:
    """A run's folder. Asking for a step does those before it that are not done yet; each is a method `_NAME`."""

    spread: Spread | None = None
    """Who computes the base's features, where that is not this process."""

    def __init__(self, folder: Path, order: Order, *, progress: Report | None = None) -> None:
        self.folder, self.order, self.recipe, self.progress = folder, order, order.recipe, progress
        self._begin()

    def _begin(self) -> None:
        """Claims the folder for this order, or finds that it is this order's already."""
        record, mine = self.folder / "run.json", self.order.digest()
        if record.is_file():
            held = json.loads(record.read_text(encoding="utf-8"))
            if held["digest"] != mine:
                raise UsageError(
                    f"{self.folder} holds a run of other data or another recipe ({held['recipe']['name']}, seed "
                    f"{held['seed']}). Name another folder with --out"
                )
            return
        for rest in self.folder.glob(PARTS):  # of a process that was killed while it wrote
            rest.unlink(missing_ok=True)
        if self.folder.exists() and any(not path.is_symlink() for path in self.folder.iterdir()):
            raise UsageError(f"{self.folder} is not empty, and holds no run. Name another folder with --out")
        self.folder.mkdir(parents=True, exist_ok=True)
        order = self.order
        about = {"digest": mine, "base": order.base, "seed": order.seed, "recipe": self.recipe.to_dict()}
        self.write_json("run", {**about, "files": len(order.pairs), "begun": time.time()})

    def to(self, step: str) -> dict[str, Any]:
        """Does every step up to this one; what it decided. Raises `UsageError` for a step that is none."""
        steps = PROBE_STEPS if step == "probe" else STEPS
        if step not in steps:
            raise UsageError(f"no step {step!r}; there are {', '.join(STEPS)}, and probe")
        found: dict[str, Any] = {}
        for name in steps[: steps.index(step) + 1]:
            found = self.done(name) or self._do(name)
        return found

    def done(self, step: str) -> dict[str, Any] | None:
        """What a step decided, or None where it is not done."""
        path = self.folder / f"{step}.json"
        if not path.is_file():
            return None
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def _do(self, name: str) -> dict[str, Any]:
        begun = time.monotonic()
        found: dict[str, Any] = getattr(self, f"_{name}")()
        found = {**found, "seconds": round(time.monotonic() - begun, 2)}
        self.write_json(name, found)
        return found

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        """Writes what a step decided, whole or not at all."""
        with replacing(self.folder / f"{name}.json") as file:
            file.write((json.dumps(values, indent=1, default=_plain) + "\n").encode())

    def _array(self, name: str, values: NDArray[Any]) -> None:
        with replacing(self.folder / f"{name}.npy") as file:
            np.save(file, values)

    def array(self, name: str) -> NDArray[Any]:
        """An array that a step left, mapped from disk."""
        found: NDArray[Any] = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return found


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no plain value")
