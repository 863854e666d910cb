"""A fine-tuning run in a folder: each step writes what it decided, and a step that is done is not done again.

    data → split → gate → clusters → train → interpolate → temperature → export → scorecard

Puts the steps together; what happens in one is elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sextant.errors import MissingExtra
from sextant.train import heads, split
from sextant.train.order import Order
from sextant.train.steps import Report
from sextant.train.training import Training


class Run(Training):
    """One run. Its steps build on each other; asking for one does those before it that are not done yet."""

    def __init__(self, folder: Path, order: Order, *, progress: Report | None = None) -> None:
        try:
            import safetensors  # noqa: F401
            import torch
        except ImportError:
            raise MissingExtra("Fine-tuning", "train") from None
        torch.set_num_threads(min(torch.get_num_threads(), 8))
        super().__init__(folder, order, progress=progress)

    def _export(self) -> dict[str, Any]:
        from sextant.train.bundle import export

        return export(self)

    def _scorecard(self) -> dict[str, Any]:
        from sextant.train.scorecard import of_run

        return of_run(self)

    def _probe(self) -> dict[str, Any]:
        """Light heads on the base's kept features and vectors, calibrated and measured as everything else is."""
        return heads.report(
            np.asarray(self.array("base_features")), np.asarray(self.array("base_vectors")), self.labels,
            {**{name: self.part(name) for name in split.PARTS}, "train": np.array(self.to("gate")["kept"], np.intp)},
            self._array,
        )  # fmt: skip
