"""What training makes small: a contrastive loss that knows classes, and the distance from what the base said."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own convention


def contrastive(logits: Tensor, images: Tensor, texts: Tensor, smoothing: float) -> Tensor:
    """Symmetric cross-entropy between images (n,) and texts (m,) by class, from logits (n, m).

    All pairs of one class are right and share the target evenly, so two images of a class are never each other's
    negatives (as in UniCL, Yang et al. 2022). Where every image is a class of its own it is InfoNCE. `smoothing`
    spreads that share of the target over all. A text whose class no image of the batch shows asks nothing. Images of
    no class (a negative number) ask nothing of texts, but no text should be like them.
    """
    same = (images[:, None] == texts[None, :]).float()
    return (_one_way(logits, same, smoothing) + _one_way(logits.T, same.T, smoothing)) / 2


def _one_way(logits: Tensor, same: Tensor, smoothing: float) -> Tensor:
    asked = same.sum(1) > 0
    logits, same = logits[asked], same[asked]
    target = (1 - smoothing) * same / same.sum(1, keepdim=True) + smoothing / same.shape[1]
    return -(target * F.log_softmax(logits, dim=1)).sum(1).mean()


def pairwise(logits: Tensor, images: Tensor, texts: Tensor) -> Tensor:
    """Binary cross-entropy of every pair by class, the sum over an image's texts (as in SigLIP, Zhai et al. 2023)."""
    same = (images[:, None] == texts[None, :]).float()
    return F.binary_cross_entropy_with_logits(logits, same, reduction="sum") / len(images)


def departure(rows: Tensor, base: Tensor) -> Tensor:
    """How far unit rows went from those of the base: one minus the mean cosine."""
    return 1 - torch.mean((rows * base).sum(1))


def disagreement(logits: Tensor, base: Tensor, bias: float | None) -> Tensor:
    """How far answers went from those of the base, in nats an image: logits (n, m) of both, without the bias.

    With a bias each text is a question of its own (a sigmoid), without one an image has one right text (a softmax).
    Learning without forgetting (Li and Hoiem 2016).
    """
    if bias is None:
        return F.kl_div(logits.log_softmax(1), base.log_softmax(1), reduction="batchmean", log_target=True)
    said, now = base + bias, logits + bias
    least = F.binary_cross_entropy_with_logits(said, said.sigmoid(), reduction="sum")
    return (F.binary_cross_entropy_with_logits(now, said.sigmoid(), reduction="sum") - least) / len(logits)


def doubt(logits: Tensor) -> Tensor:
    """How far logits (n, classes) of images of no class are from being unsure: the divergence of an even softmax."""
    return -(F.log_softmax(logits, dim=1).mean(1) + math.log(logits.shape[1])).mean()
