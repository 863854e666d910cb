"""A pair of towers that can be trained, whatever made it: `mini`, or a checkpoint of CLIP or SigLIP.

The image tower comes in three parts. The trunk is never trained, the tail is its last blocks, the projection turns
features into the common space: features can be kept while the projection and the text tower learn.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own convention

from sextant.encoder.card import Card, validated
from sextant.encoder.pixels import PixelPreparation
from sextant.encoder.tokens import TextPreparation
from sextant.errors import ModelError
from sextant.train.mini_towers import Block, Mini
from sextant.types import Floats

BATCH = 128
MINI = Path(__file__).parents[1] / "demo" / "mini"
State = dict[str, Tensor]


class Towers(Protocol):
    """What differs between architectures."""

    blocks: int
    whole: nn.Module

    def trunk(self, pixels: Tensor, blocks: int) -> Tensor:
        """Pictures (n, 3, s, s) through all but the last `blocks` blocks."""
        ...

    def tail(self, activations: Tensor, blocks: int) -> Tensor:
        """What the trunk gave through the last `blocks` blocks, to features (n, f)."""
        ...

    def project(self, features: Tensor) -> Tensor:
        """Features (n, f) into the common space, (n, dim)."""
        ...

    def text(self, tokens: Tensor) -> Tensor:
        """Token ids (n, context) into the common space, (n, dim)."""
        ...

    def projection_parameters(self) -> list[Tensor]:
        """What turns features into vectors."""
        ...

    def tail_parameters(self, blocks: int) -> list[Tensor]:
        """The last `blocks` blocks and what pools them."""
        ...

    def text_parameters(self) -> list[Tensor]:
        """All of the text tower."""
        ...

    def write(self, folder: Path, size: int, context: int) -> None:
        """Writes visual.onnx and textual.onnx for pictures of `size` pixels and texts of `context` tokens."""
        ...


class Pair:
    """Two towers with the card, the tokenizer, and the scale and bias of their logits."""

    def __init__(self, towers: Towers, card: dict[str, Any], tokenizer: Path) -> None:
        self.towers, self.raw, self.tokenizer = towers, card, tokenizer
        self.card: Card = validated(card, tokenizer)
        self.pixels = PixelPreparation(self.card)
        self._tokens = TextPreparation(tokenizer, self.card)
        self.log_scale = nn.Parameter(torch.tensor(float(np.log(self.card.logit_scale))))
        self.bias = float(self.card.logit_bias)
        towers.whole.eval().requires_grad_(False)

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """Token ids (n, context)."""
        return torch.from_numpy(self._tokens(texts))

    def normalised(self, pictures: NDArray[np.uint8]) -> Tensor:
        """(n, s, s, 3) bytes to what the network takes, (n, 3, s, s)."""
        return torch.from_numpy(np.stack([self.pixels.normalise(picture) for picture in pictures]))

    def features(self, pixels: Tensor) -> Tensor:
        """Pictures (n, 3, s, s) to features (n, f), nothing trained."""
        with torch.no_grad():
            return self.towers.tail(self.towers.trunk(pixels, 0), 0)

    def images(self, features: Tensor) -> Tensor:
        """Features (n, f) to unit rows (n, dim)."""
        return F.normalize(self.towers.project(features), dim=-1)

    def texts(self, tokens: Tensor) -> Tensor:
        """Token ids to unit rows (n, dim)."""
        return F.normalize(self.towers.text(tokens), dim=-1)

    def feature_rows(self, pictures: NDArray[np.uint8]) -> Floats:
        """(n, s, s, 3) bytes to features (n, f) in batches."""
        parts = [self.features(self.normalised(part)).numpy() for part in _batches(pictures)]
        return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)

    def image_rows(self, pictures: NDArray[np.uint8]) -> Floats:
        """(n, s, s, 3) bytes to unit rows (n, dim)."""
        return self.project_rows(self.feature_rows(pictures))

    def project_rows(self, features: Floats) -> Floats:
        """Features (n, f) to unit rows (n, dim)."""
        with torch.no_grad():
            return np.asarray(self.images(torch.from_numpy(np.asarray(features, np.float32))).numpy())

    def text_rows(self, texts: Sequence[str]) -> Floats:
        """Texts to unit rows (n, dim)."""
        with torch.no_grad():
            found = [self.texts(self.tokens(texts[i : i + BATCH])).numpy() for i in range(0, len(texts), BATCH)]
        return np.concatenate(found)

    def state(self) -> State:
        """A copy of every weight by name, the log of the scale included."""
        held = {name: value.detach().clone() for name, value in self.towers.whole.state_dict().items()}
        return {**held, "pair.log_scale": self.log_scale.detach().clone()}

    def load(self, state: State) -> None:
        """Takes the weights of `state`."""
        rest = dict(state)
        with torch.no_grad():
            self.log_scale.copy_(rest.pop("pair.log_scale"))
        self.towers.whole.load_state_dict(rest)

    def write(self, folder: Path, changed: dict[str, Any]) -> dict[str, Any]:
        """Writes a bundle, and returns its card; `changed` are its new entries."""
        self.towers.write(folder, self.card.image_size, self.card.context_length)
        shutil.copyfile(self.tokenizer, folder / "tokenizer.json")
        scale = {"logit_scale": float(self.log_scale.detach().exp())}
        card = {**self.raw, **scale, "prior": None, "golden": None, "revision": digest(self.state()), **changed}
        (folder / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return card


def digest(state: State) -> str:
    """Twelve hexadecimal characters that change with any weight."""
    found = hashlib.blake2b(digest_size=6)
    for name in sorted(state):
        found.update(name.encode() + state[name].detach().contiguous().numpy().tobytes())
    return found.hexdigest()


def _batches(rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for start in range(0, len(rows), BATCH):
        yield np.asarray(rows[start : start + BATCH])


class MiniTowers:
    """`mini`: a small ResNet; its features are a mean, a maximum and a coarse map."""

    def __init__(self, model: Mini) -> None:
        self.whole = model
        self.body, self.visual, self.textual = list(model.visual.body), model.visual, model.textual
        self.blocks = sum(isinstance(part, Block) for part in self.body)

    def trunk(self, pixels: Tensor, blocks: int) -> Tensor:
        """See `Towers`."""
        x = pixels
        for part in self.body[: len(self.body) - blocks]:
            x = part(x)
        return x

    def tail(self, activations: Tensor, blocks: int) -> Tensor:
        """See `Towers`."""
        x = activations
        for part in self.body[len(self.body) - blocks :]:
            x = part(x)
        return self.visual.pooled(x)

    def project(self, features: Tensor) -> Tensor:
        """See `Towers`."""
        return self.visual.head(self.visual.norm(features.float()))

    def text(self, tokens: Tensor) -> Tensor:
        """See `Towers`. Columns of padding change nothing, but for an empty text, and are left out."""
        shown = tokens != 0
        used = int(shown.any(0).nonzero().max()) + 1 if bool(shown.any(1).all()) else tokens.shape[1]
        return self.textual(tokens[:, :used])

    def projection_parameters(self) -> list[Tensor]:
        """See `Towers`."""
        return [*self.visual.norm.parameters(), *self.visual.head.parameters()]

    def tail_parameters(self, blocks: int) -> list[Tensor]:
        """See `Towers`."""
        last = self.body[len(self.body) - blocks :]
        return [*self.visual.places.parameters(), *(p for part in last for p in part.parameters())]

    def text_parameters(self) -> list[Tensor]:
        """See `Towers`."""
        return list(self.textual.parameters())

    def write(self, folder: Path, size: int, context: int) -> None:
        """See `Towers`."""
        import logging
        import warnings

        from sextant.train import mini_graph

        exporter = logging.getLogger("torch.onnx._internal.exporter._registration")
        level = exporter.level
        exporter.setLevel(logging.ERROR)  # it warns of torchvision, which nothing here needs
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own deprecations
            try:
                mini_graph.export(self.whole, folder, size, context)
            finally:
                exporter.setLevel(level)


class TransformerTowers:
    """A vision transformer and a text transformer, as `checkpoints.read` gives them."""

    def __init__(self, visual: nn.Module, textual: nn.Module) -> None:
        self.whole = nn.ModuleDict({"visual": visual, "textual": textual})
        self.vision = visual.tower
        self.layers = list(self.vision.encoder.layers)
        self.blocks = len(self.layers)
        if isinstance(visual.projection, nn.Identity):  # SigLIP has none: one that changes nothing yet
            width = self.vision.config.hidden_size
            visual.projection = nn.Linear(width, width, bias=False)
            with torch.no_grad():
                visual.projection.weight.copy_(torch.eye(width))
        self.projection = visual.projection

    def trunk(self, pixels: Tensor, blocks: int) -> Tensor:
        """See `Towers`."""
        x = self.vision.embeddings(pixels)
        if hasattr(self.vision, "pre_layrnorm"):
            x = self.vision.pre_layrnorm(x)
        return self._through(x, self.layers[: self.blocks - blocks])

    def tail(self, activations: Tensor, blocks: int) -> Tensor:
        """See `Towers`."""
        x = self._through(activations, self.layers[self.blocks - blocks :])
        if hasattr(self.vision, "head"):
            return self.vision.head(self.vision.post_layernorm(x))
        return self.vision.post_layernorm(x[:, 0])

    @staticmethod
    def _through(x: Tensor, layers: Sequence[nn.Module]) -> Tensor:
        for layer in layers:
            found = layer(x, attention_mask=None)
            x = found[0] if isinstance(found, tuple) else found
        return x

    def project(self, features: Tensor) -> Tensor:
        """See `Towers`."""
        return self.projection(features)

    def text(self, tokens: Tensor) -> Tensor:
        """See `Towers`."""
        return self.whole["textual"](tokens)

    def projection_parameters(self) -> list[Tensor]:
        """See `Towers`."""
        return list(self.projection.parameters())

    def tail_parameters(self, blocks: int) -> list[Tensor]:
        """See `Towers`."""
        pooling = [*self.vision.post_layernorm.parameters()]
        if hasattr(self.vision, "head"):
            pooling += list(self.vision.head.parameters())
        return [*pooling, *(p for layer in self.layers[self.blocks - blocks :] for p in layer.parameters())]

    def text_parameters(self) -> list[Tensor]:
        """See `Towers`."""
        return list(self.whole["textual"].parameters())

    def write(self, folder: Path, size: int, context: int) -> None:
        """See `Towers`."""
        from sextant.train import export

        export.graphs(self.whole["visual"], self.whole["textual"], size, context, folder)


def open_pair(base: str, scratch: Path) -> Pair:
    """The pair of a base: `mini`, a bundle that was made from it, or the folder of a safetensors checkpoint.

    `scratch` keeps the tokenizer of a checkpoint. Raises `ModelError`, and `MissingExtra` without the extra `train`.
    """
    folder = Path(base.removeprefix("local-dir:")).expanduser()
    if base == "mini":
        folder = MINI
    if (folder / "card.json").is_file():
        return _from_bundle(folder)
    if not folder.is_dir():
        raise ModelError(f"there is no base {base!r}: name mini, a bundle made from it, or the folder of a checkpoint")
    return _from_checkpoint(folder, scratch)


def _from_bundle(folder: Path) -> Pair:
    from sextant.train import mini_graph

    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    if "stem" not in (card.get("recipe") or {}):
        raise ModelError(
            f"{folder} holds graphs to run, and no weights to train. Name the checkpoint (safetensors) that it was "
            "converted from: --base FOLDER"
        )
    try:
        model = mini_graph.load(folder)
    except (KeyError, ValueError) as error:
        raise ModelError(f"{folder} says that it is made from mini, but does not hold its weights: {error}") from error
    return Pair(MiniTowers(model), card, folder / "tokenizer.json")


def _from_checkpoint(folder: Path, scratch: Path) -> Pair:
    from sextant.train import checkpoints

    found = checkpoints.read(folder)
    scratch.mkdir(parents=True, exist_ok=True)
    tokenizer = scratch / "tokenizer.json"
    tokenizer.write_text(found.tokenizer, encoding="utf-8")
    size = int(found.card["image_size"])
    with torch.no_grad():
        dim = int(found.visual(torch.zeros(1, 3, size, size)).shape[1])
    card = {"format": 1, "name": folder.resolve().name, "dim": dim, **found.card}
    card["licence"] = checkpoints.licence_of(folder)
    return Pair(TransformerTowers(found.visual, found.textual), card, tokenizer)
