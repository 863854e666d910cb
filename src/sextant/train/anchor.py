"""What holds a pair that is being trained: what the base said of other things, and doubt about what is no class at all.

Texts and pictures outside the classes should keep the rows, and the logits between them, that the base gave them.
Pictures that show none of the classes should be equally unlike all of them. Knows nothing of epochs or optimisers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sextant.train import loss
from sextant.train.pair import Pair
from sextant.train.recipe import Recipe

Rows = NDArray[np.intp]
TEXTS = 48
"""Texts of a step; so many pictures each of what is kept and of what is doubted come with the recipe."""

NEAREST_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Draw:
    """Which of the kept texts, of the kept pictures and of the doubted ones come in a step."""

    texts: Rows
    images: Rows
    doubted: Rows


class Anchor:
    """The kept texts (n,) and pictures (n, s, s, 3) with the rows that the base gave them, and the doubted pictures."""

    def __init__(
        self, pair: Pair, recipe: Recipe, texts: list[str], pictures: NDArray[np.uint8], doubted: NDArray[np.uint8]
    ) -> None:
        self.pair, self.recipe = pair, recipe
        self.pictures = pictures if recipe.keep else pictures[:0]
        self.doubted = doubted if recipe.doubt else doubted[:0]
        kept = texts if recipe.keep else []
        self.tokens = pair.tokens(kept) if kept else torch.zeros((0, pair.card.context_length), dtype=torch.int32)
        dim = pair.card.dim
        self.texts = torch.from_numpy(pair.text_rows(kept)) if kept else torch.zeros((0, dim))
        self.images = torch.from_numpy(pair.image_rows(self.pictures)) if len(self.pictures) else torch.zeros((0, dim))
        self.scale = float(pair.log_scale.detach().exp())
        self.bias = pair.bias if pair.card.training == "sigmoid" else None
        self.nearest = _nearest(self.images, self.texts)
        self._features: Tensor | None = None

    def draw(self, rng: np.random.Generator, pictures: int) -> Draw:
        """What comes in a step: at most `pictures` of each kind.

        Of the kept ones half are drawn evenly, and half from those that the base finds nearest to the texts drawn: what
        is rare among them would otherwise hardly be held.
        """

        def some(n: int, most: int) -> Rows:
            return np.sort(rng.permutation(n)[:most]).astype(np.intp)

        texts, kept = some(len(self.tokens), TEXTS), some(len(self.pictures), pictures)
        if len(texts) and len(kept) == pictures:
            asked = rng.permutation(texts)[: pictures // 2]
            found = [self.nearest[text, int(rng.integers(self.nearest.shape[1]))] for text in asked]
            kept = np.unique(np.concatenate([rng.permutation(kept)[: pictures - len(found)], found])).astype(np.intp)
        return Draw(texts, kept, some(len(self.doubted), pictures))

    def pixels(self, draw: Draw) -> Tensor:
        """The pictures of a draw, kept ones first, as the network takes them: (n, 3, s, s)."""
        return self.pair.normalised(np.concatenate([self.pictures[draw.images], self.doubted[draw.doubted]]))

    def rows(self, draw: Draw) -> Tensor:
        """Unit rows of the pictures of a draw from features that were worked out once: the image tower is frozen."""
        if self._features is None:
            every = np.concatenate([self.pictures, self.doubted])
            self._features = torch.from_numpy(self.pair.feature_rows(every)) if len(every) else torch.zeros((0, 1))
        chosen = np.concatenate([draw.images, len(self.pictures) + draw.doubted])
        if not len(chosen):
            return torch.zeros((0, self.pair.card.dim))
        return self.pair.images(self._features[chosen])

    def loss(self, draw: Draw, texts: Tensor, images: Tensor) -> Tensor:
        """How far kept texts and kept images (their rows now) are from what the base made of them."""
        value = torch.zeros(())
        if len(draw.texts):
            value = value + 10 * loss.departure(texts, self.texts[draw.texts])
        if len(draw.images):
            value = value + 10 * loss.departure(images, self.images[draw.images])
        if len(draw.texts) and len(draw.images):
            before = self.images[draw.images] @ self.texts[draw.texts].T
            now = images @ texts.T
            value = value + self.recipe.agree * loss.disagreement(self.scale * now, self.scale * before, self.bias)
        return self.recipe.keep * value


def _nearest(images: Tensor, texts: Tensor) -> Rows:
    """Of each text (m) the images that are nearest to it, (m, NEAREST_SHARE of n)."""
    if not len(images) or not len(texts):
        return np.zeros((len(texts), 0), np.intp)
    few = max(1, round(NEAREST_SHARE * len(images)))
    found: Rows = np.argsort(-(texts @ images.T).numpy(), axis=1, kind="stable")[:, :few]
    return found
