"""The steps of training: both stages, how far to go from the base, and what logits are divided by.

What happens in a stage is `fit`'s business, and the line between two sets of weights that of `interpolation`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sextant.train import gates, strangers
from sextant.train.preparing import Preparing
from sextant.types import Floats

if TYPE_CHECKING:
    from sextant.train.fit import Fitting, Material
    from sextant.train.pair import Pair

KEPT, HELD, DOUBTED = 2400, 1600, 600
TOP_SHARE = 0.1


class Training(Preparing):
    """The steps `train`, `interpolate` and `temperature`."""

    def material(self) -> Material:
        """What `fit` learns from."""
        from sextant.train.fit import Material

        train = np.array(self.to("gate")["kept"], np.intp)
        kept = strangers.texts(strangers.phrases() if self.knows_scenes else ())
        rng = np.random.default_rng([self.order.seed, *b"doubt"])
        return Material(
            self.pictures, self.labels, train, self.part("choice"), self.prompts, self.clusters(),
            self._once("kept", lambda: self.strangers(strangers.KEPT_SEED, KEPT)), kept,
            strangers.senseless(self.pictures[train], rng, DOUBTED),
        )  # fmt: skip

    def fitting(self, pair: Pair) -> Fitting:
        """The training of this run."""
        from sextant.train.fit import Fitting

        return Fitting(
            pair, self.recipe, self.material(), self.folder / "train", seed=self.order.seed, progress=self.progress
        )

    def _train(self) -> dict[str, Any]:
        from safetensors.torch import save_file

        from sextant.train.pair import digest

        pair = self.open_base()
        fitting = self.fitting(pair)
        told = fitting.fit()
        save_file(pair.state(), self.folder / "trained.safetensors")
        per_class = np.bincount(fitting.row_labels, minlength=len(self.classes)).tolist()
        return {**told, "rows_by_class": per_class, "weights": digest(pair.state())}

    def _interpolate(self) -> dict[str, Any]:
        from safetensors.torch import load_file, save_file

        from sextant.train import interpolation
        from sextant.train.pair import digest
        from sextant.train.retrieval import measure

        pair, trained = self.open_base(), load_file(self.folder / "trained.safetensors")
        base, choice = pair.state(), self.part("choice")
        outside = self._outside()

        def both(now: Pair) -> tuple[float, float]:
            canonical = now.text_rows([part[0] for part in self.prompts])
            inside = measure(now.image_rows(self.pictures[choice]), canonical, self.labels[choice])
            return (inside.accuracy + inside.retrieval) / 2, outside(now)

        if not self.recipe.interpolate:
            pair.load(trained)
            save_file(pair.state(), self.folder / "tuned.safetensors")
            return {"in_use": False, "alpha": 1.0, "weights": digest(pair.state())}
        line = interpolation.choose(pair, base, trained, both, self.recipe.ood_tolerance)
        save_file(pair.state(), self.folder / "tuned.safetensors")
        return {"in_use": True, "alpha": line.chosen.alpha, **line.to_dict(), "weights": digest(pair.state())}

    def _outside(self) -> Callable[[Pair], float]:
        """What a pair still knows outside: of drawn scenes by their truth, of photos by what the base said of them."""
        if self.order.photos is None and self.knows_scenes:
            if not (self.folder / "held.json").is_file():
                drawn, phrases, shown = strangers.told_scenes(strangers.HELD_SEED, HELD)
                self._array("held", np.stack([self.base.pixels.square(picture) for picture in drawn]))
                self.write_json(
                    "held", {"phrases": phrases, "shown": [np.flatnonzero(row).tolist() for row in shown.T]}
                )
            told, pictures = self.done("held") or {}, self.array("held")
            shown = np.zeros((len(pictures), len(told["phrases"])), np.bool_)
            for k, rows in enumerate(told["shown"]):
                shown[rows, k] = True
            return lambda now: truth_kept(now.image_rows(pictures), now.text_rows(told["phrases"]), shown)
        held, asked = self._once("held", lambda: self.strangers(strangers.HELD_SEED, HELD)), strangers.texts()
        if not len(held):
            return lambda _: 1.0
        kept = agreement(self.base.image_rows(held), self.base.text_rows(asked))
        return lambda now: kept(now.image_rows(held), now.text_rows(asked))

    def _once(self, name: str, made: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Pictures that take a while to draw or to read: once a run, and once for all of its ablations."""
        if not (self.folder / f"{name}.npy").is_file():
            self._array(name, made())
        return self.array(name)

    def _temperature(self) -> dict[str, Any]:
        """Fitted on the calibration part, which nothing else has seen."""
        rows, found = self.part("calibration"), {}
        for name, pair in (("base", self.base), ("tuned", self.tuned)):
            canonical = np.stack([part[0] for part in self.prompt_rows(pair)])
            scale = float(pair.log_scale.detach().exp())
            logits = scale * (pair.image_rows(self.pictures[rows]) @ canonical.T)
            value = gates.temperature(logits, self.labels[rows])
            found[name] = {"scale": scale, "temperature": value, "effective_scale": scale / value}
        return {**found, "images": len(rows)}


def truth_kept(images: Floats, texts: Floats, shown: NDArray[np.bool_]) -> float:
    """Mean average precision of phrases (m) over images (n) whose truth (n, m) is known."""
    from sextant.maths.metrics import average_precision

    return float(np.mean([average_precision(images @ texts[k], shown[:, k]) for k in range(len(texts))]))


def agreement(images: Floats, texts: Floats) -> Callable[[Floats, Floats], float]:
    """A measure of how far other rows still say what these rows of the base say, from 0 to 1, without any truth.

    For every text the tenth of the images that the base ranks highest counts as right; the measure is the mean average
    precision with which the others find it.
    """
    from sextant.maths.metrics import average_precision

    said = images @ texts.T
    right = said >= np.quantile(said, 1 - TOP_SHARE, axis=0)

    def measured(now_images: Floats, now_texts: Floats) -> float:
        now = now_images @ now_texts.T
        return float(np.mean([average_precision(now[:, k], right[:, k]) for k in range(now.shape[1])]))

    return measured
