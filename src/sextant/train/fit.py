"""Two stages of training, epoch by epoch: the heads on cached features, then the last visual blocks on pictures.

What an epoch draws depends on the seed, the stage and the epoch alone, and after each the weights and the optimiser are
on disk: a run that was stopped anywhere goes on to the same weights. Knows nothing of data sets or bundles.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from sextant.encoder.network import cpu_has_bf16
from sextant.errors import ModelError
from sextant.manifest import replacing
from sextant.train import loss
from sextant.train.anchor import Anchor, Draw
from sextant.train.augment import augment, normalise
from sextant.train.batches import Batch, Rows, epoch, hard_share, oversample
from sextant.train.pair import Pair, State
from sextant.train.recipe import Recipe
from sextant.train.retrieval import Measured, measure
from sextant.types import Floats, Progress

Report = Callable[[Progress], None]
Shown = Callable[[Batch, Draw, np.random.Generator], Tensor]
"""Unit rows of a batch, then of the draw's kept and doubted pictures."""
MOST_TEXTS = 256
FLOOR_SCALE, CEILING_SCALE = 0.0, math.log(100.0)


@dataclass(frozen=True, slots=True)
class Material:
    """What is learnt from: pictures (n, s, s, 3) and labels (n,) of the whole set, and which rows serve for what.

    `kept_*` are pictures and texts of what the base knows already and should not forget; `doubted` are pictures that
    show none of the classes.
    """

    pictures: NDArray[np.uint8]
    labels: Rows
    train: Rows
    choice: Rows
    prompts: Sequence[Sequence[str]]
    clusters: Sequence[Sequence[int]]
    kept_pictures: NDArray[np.uint8]
    kept_texts: Sequence[str]
    doubted: NDArray[np.uint8]


@dataclass
class Standing:
    """How far a stage is: the best epoch so far by the measure that chooses, and what it measured."""

    stage: str
    epoch: int = 0
    best: float = -1.0
    best_epoch: int = -1
    history: list[dict[str, Any]] = field(default_factory=list)


class Fitting:
    """One run of training in a folder. `fit` trains both stages and leaves the best weights in the pair."""

    def __init__(
        self, pair: Pair, recipe: Recipe, material: Material, folder: Path, *, seed: int, progress: Report | None = None
    ) -> None:
        self.pair, self.recipe, self.material = pair, recipe, material
        self.folder, self.seed, self.progress = folder, seed, progress
        folder.mkdir(parents=True, exist_ok=True)
        self.tokens = [pair.tokens(list(part)) for part in material.prompts]
        self.canonical = torch.cat([part[:1] for part in self.tokens])
        self.rows = oversample(material.labels[material.train], recipe.per_class, self._rng("rows"))
        self.row_labels = material.labels[material.train][self.rows]
        self.mixed = recipe.mixed and cpu_has_bf16()
        self.anchor = Anchor(pair, recipe, list(material.kept_texts), material.kept_pictures, material.doubted)
        self._started = time.monotonic()
        self._done = self._total = 0

    def fit(self) -> dict[str, Any]:
        """Both stages; what each decided, for the run's record. Raises `ModelError` where the loss is no number."""
        torch.use_deterministic_algorithms(True)
        recipe, told = self.recipe, {}
        self._total = sum(
            epochs * max(1, round(len(self.rows) / self._batch(name)))
            for name, epochs in (("heads", recipe.heads_epochs), ("blocks", recipe.blocks_epochs))
        )
        if recipe.heads_epochs:
            told["heads"] = self._stage("heads", recipe.heads_epochs, recipe.heads_blocks)
        if recipe.blocks_epochs:
            told["blocks"] = self._stage("blocks", recipe.blocks_epochs, recipe.blocks)
        return told

    # one stage

    def _stage(self, name: str, epochs: int, blocks: int) -> dict[str, Any]:
        blocks = min(blocks, self.pair.towers.blocks)
        trained = self._trained(name, blocks)
        optimiser = self._optimiser(trained)
        standing = self._resume(name, optimiser)
        shown = self._from_pictures(blocks) if blocks else self._from_features()
        begun = time.monotonic()
        while standing.epoch < epochs and standing.epoch - standing.best_epoch <= self.recipe.patience:
            self._epoch(standing, epochs, optimiser, trained, shown, blocks)
        for parameters, _ in trained:
            for parameter in parameters:
                parameter.requires_grad_(False)
        self.pair.load(load_file(self.folder / f"{name}-best.safetensors"))
        seconds = [line["seconds"] for line in standing.history]
        return {
            "epochs": standing.epoch,
            "best_epoch": standing.best_epoch,
            "best": standing.best,
            "blocks": blocks,
            "cached_features": not blocks,
            "rows": len(self.rows),
            "seconds": round(time.monotonic() - begun, 2),
            "seconds_an_epoch": round(float(np.median(seconds)), 3) if seconds else None,
            "hard_share": standing.history[-1]["hard_share"] if standing.history else None,
            "history": standing.history,
        }

    def _batch(self, stage: str) -> int:
        """How many rows a step of a stage sees; of few rows at most an eighth, so that an epoch has steps."""
        wanted = self.recipe.heads_batch if stage == "heads" else self.recipe.batch
        return min(wanted, max(16, len(self.rows) // 8))

    def _trained(self, name: str, blocks: int) -> list[tuple[list[Tensor], float]]:
        """Parameters with their rate; everything else stays frozen to the bit."""
        recipe, towers = self.recipe, self.pair.towers
        heads = recipe.heads_rate if name == "heads" else recipe.text_rate
        found = [(towers.text_parameters(), heads)]
        if recipe.projection:
            found.append((towers.projection_parameters(), heads))
        if blocks:
            found.append((towers.tail_parameters(blocks), heads if name == "heads" else recipe.blocks_rate))
        if recipe.scale != "kept":
            if recipe.scale == "reset" and name == "heads" and not self._pointer("heads").is_file():
                with torch.no_grad():
                    self.pair.log_scale.fill_(math.log(1 / 0.07))
            found.append(([self.pair.log_scale], heads))
        for parameters, _ in found:
            for parameter in parameters:
                parameter.requires_grad_(True)
        return found

    def _optimiser(self, trained: Sequence[tuple[list[Tensor], float]]) -> Any:
        decay = self.recipe.weight_decay
        groups = []
        for parameters, rate in trained:
            for matrices in (True, False):
                chosen = [p for p in parameters if (p.ndim > 1) == matrices]
                if chosen:
                    groups.append(
                        {"params": chosen, "lr": rate, "top": rate, "weight_decay": decay if matrices else 0.0}
                    )
        return torch.optim.AdamW(groups, betas=self.recipe.betas, eps=1e-6, foreach=False)

    def _epoch(
        self,
        standing: Standing,
        epochs: int,
        optimiser: Any,
        trained: Sequence[tuple[list[Tensor], float]],
        shown: Shown,
        blocks: int,
    ) -> None:
        name, number, recipe = standing.stage, standing.epoch, self.recipe
        rng, begun = self._rng(name, number), time.monotonic()
        clusters = self.material.clusters if recipe.clusters else []
        size = self._batch(name)
        batches = epoch(self.row_labels, clusters, size, recipe.hard_share, rng, replacement=recipe.replacement)
        steps, losses = epochs * len(batches), []
        for step, batch in enumerate(batches):
            rate = _schedule(number * len(batches) + step, steps, recipe.warm_up)
            for group in optimiser.param_groups:
                group["lr"] = group["top"] * rate
            value = self._loss(batch, rng, shown)
            if not torch.isfinite(value):
                raise ModelError(self._not_finite(standing, step))
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            torch.nn.utils.clip_grad_norm_([p for part, _ in trained for p in part], recipe.clip)
            optimiser.step()
            if recipe.scale != "kept":
                with torch.no_grad():
                    self.pair.log_scale.clamp_(FLOOR_SCALE, CEILING_SCALE)
            losses.append(float(value.detach()))
            self._tell(name)
        trained_for = time.monotonic() - begun
        found = self._measure(cached=not blocks)
        line = {
            "stage": name, "epoch": number, "loss": round(float(np.mean(losses)), 5), **asdict(found),
            "rate": optimiser.param_groups[-1]["lr"], "hard_share": round(hard_share(batches), 4),
            "scale": round(float(self.pair.log_scale.detach().exp()), 3), "seconds": round(trained_for, 3),
        }  # fmt: skip
        self._keep_epoch(standing, found, line, optimiser)

    def _loss(self, batch: Batch, rng: np.random.Generator, shown: Shown) -> Tensor:
        recipe, labels = self.recipe, self.row_labels[batch.rows]
        asked = self._asked(labels, rng)
        tokens = torch.stack([self.tokens[k][int(rng.integers(len(self.tokens[k])))] for k in asked])
        draw = self.anchor.draw(rng, recipe.beside)
        texts = self.pair.texts(torch.cat([tokens, self.anchor.tokens[draw.texts]]))
        images = shown(batch, draw, rng)
        own, strange = images[: len(labels)], images[len(labels) :]
        kept, doubted = strange.split((len(draw.images), len(draw.doubted)))
        prompts = texts[: len(asked)]
        classes = torch.from_numpy(labels), torch.from_numpy(asked)
        if not recipe.class_aware:
            classes = torch.arange(len(labels)), torch.arange(len(asked))
        if len(doubted):
            classes = torch.cat([classes[0], torch.full((len(doubted),), -1)]), classes[1]
        logits = self.pair.log_scale.exp() * (torch.cat([own, doubted]) @ prompts.T)
        value = loss.contrastive(logits, *classes, recipe.smoothing)
        if self.pair.card.training == "sigmoid" and recipe.class_aware:
            value = value + 0.5 * loss.pairwise(logits + self.pair.bias, *classes)
        if recipe.doubt and len(strange):
            value = value + recipe.doubt * loss.doubt(self.pair.log_scale.exp() * (strange @ prompts.T))
        if recipe.keep:
            value = value + self.anchor.loss(draw, texts[len(asked) :], kept)
        return value

    def _asked(self, labels: Rows, rng: np.random.Generator) -> Rows:
        """The classes whose prompts a batch is told from: those of its rows, or all (of many, some)."""
        if self.recipe.texts == "batch":
            return labels
        if len(self.tokens) <= MOST_TEXTS:
            return np.arange(len(self.tokens))
        shown = np.unique(labels)
        others = np.setdiff1d(np.arange(len(self.tokens)), shown)
        return np.concatenate([shown, rng.permutation(others)[: max(0, MOST_TEXTS - len(shown))]])

    # what a batch shows

    def _from_features(self) -> Shown:
        features = self._cached_features()

        def shown(batch: Batch, draw: Draw, _: np.random.Generator) -> Tensor:
            own = self.pair.images(torch.from_numpy(features[batch.rows]))
            return torch.cat([own, self.anchor.rows(draw)])

        return shown

    def _from_pictures(self, blocks: int) -> Shown:
        card, towers, pictures = self.pair.card, self.pair.towers, self.material.pictures

        def shown(batch: Batch, draw: Draw, rng: np.random.Generator) -> Tensor:
            chosen = self.material.train[self.rows[batch.rows]]
            x = normalise(augment(pictures[chosen], rng, self.recipe.augment), card.mean, card.std)
            if len(draw.images) or len(draw.doubted):
                x = torch.cat([x, self.anchor.pixels(draw)])
            with self._cast():
                with torch.no_grad():
                    activations = towers.trunk(x, blocks)
                features = towers.tail(activations, blocks)
            return self.pair.images(features.float())

        return shown

    def _cast(self) -> AbstractContextManager[Any]:
        found: AbstractContextManager[Any] = torch.autocast("cpu", torch.bfloat16, enabled=self.mixed)
        return found

    def _cached_features(self) -> Floats:
        """Features (rows, f) of the oversampled rows: each original plain once, every further row changed. On disk."""
        path = self.folder / "features.npy"
        if not path.is_file():
            card, chosen = self.pair.card, self.material.train[self.rows]
            again = np.ones(len(chosen), np.bool_)
            again[np.unique(chosen, return_index=True)[1]] = False
            parts = []
            for start in range(0, len(chosen), 128):
                part = slice(start, start + 128)
                changed = augment(
                    self.material.pictures[chosen[part]], self._rng("features", start), self.recipe.augment
                )
                x = normalise(changed, card.mean, card.std)
                plain = np.flatnonzero(~again[part])
                if len(plain):
                    x[plain] = self.pair.normalised(self.material.pictures[chosen[part][plain]])
                parts.append(self.pair.features(x).numpy())
            with replacing(path) as file:
                np.save(file, np.concatenate(parts))
        found: Floats = np.load(path, mmap_mode="r", allow_pickle=False)
        return found

    # between epochs

    def _measure(self, *, cached: bool) -> Measured:
        choice = self.material.choice
        if not cached or not hasattr(self, "_choice_features"):
            self._choice_features = self.pair.feature_rows(self.material.pictures[choice])
        rows = self.pair.project_rows(self._choice_features)
        with torch.no_grad():
            texts = self.pair.texts(self.canonical).numpy()
        return measure(rows, texts, self.material.labels[choice])

    def _keep_epoch(self, standing: Standing, found: Measured, line: dict[str, Any], optimiser: Any) -> None:
        """Writes weights, optimiser and standing; the standing last, so that it never names what is not there."""
        name, value = standing.stage, getattr(found, self.recipe.choose_by)
        if value > standing.best:
            standing.best, standing.best_epoch = float(value), standing.epoch
            _save(self.pair.state(), self.folder / f"{name}-best.safetensors")
        standing.epoch += 1
        standing.history.append(line)
        _save({**self.pair.state(), **_flat(optimiser)}, self._state_file(name, standing.epoch))
        with replacing(self._pointer(name)) as file:
            file.write((json.dumps(asdict(standing)) + "\n").encode())
        self._state_file(name, standing.epoch - 1).unlink(missing_ok=True)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({**line, "time": round(time.time(), 1)}) + "\n")

    def _resume(self, name: str, optimiser: Any) -> Standing:
        if not self._pointer(name).is_file():
            begins = getattr(self._measure(cached=False), self.recipe.choose_by)
            _save(self.pair.state(), self.folder / f"{name}-best.safetensors")  # a stage never ends worse than it began
            return Standing(name, best=float(begins))
        standing = Standing(**json.loads(self._pointer(name).read_text(encoding="utf-8")))
        held = load_file(self._state_file(name, standing.epoch))
        self.pair.load({key: value for key, value in held.items() if not key.startswith("optimiser.")})
        _unflat(optimiser, held)
        return standing

    def _pointer(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _state_file(self, name: str, number: int) -> Path:
        return self.folder / f"{name}-{number:04d}.safetensors"

    def _not_finite(self, standing: Standing, step: int) -> str:
        kept = f"those of epoch {standing.best_epoch} are" if standing.best_epoch >= 0 else "none are"
        return (
            f"the loss is no number at step {step} of epoch {standing.epoch} of stage {standing.stage}: the rate is "
            f"too high, or weights or pictures are damaged. Of this stage's good weights {kept} kept in {self.folder}; "
            "train again with a smaller --rate"
        )

    def _tell(self, name: str) -> None:
        self._done += 1
        if self.progress:
            self.progress(Progress(f"train {name}", self._done, self._total, time.monotonic() - self._started))

    def _rng(self, what: str, number: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.seed, *what.encode(), number])


def _schedule(step: int, steps: int, warm_up: float) -> float:
    """A share of the top rate: a linear start, then half a cosine to nothing."""
    first = max(1, int(steps * warm_up))
    if step < first:
        return (step + 1) / first
    return 0.5 * (1 + math.cos(math.pi * (step - first) / max(1, steps - first)))


def _flat(optimiser: Any) -> State:
    """The optimiser's memory as tensors by name."""
    found = {}
    for number, values in optimiser.state_dict()["state"].items():
        for key, value in values.items():
            found[f"optimiser.{number}.{key}"] = torch.as_tensor(value).detach().clone()
    return found


def _unflat(optimiser: Any, held: State) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in held.items():
        if name.startswith("optimiser."):
            _, number, key = name.split(".")
            state.setdefault(int(number), {})[key] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _save(state: State, path: Path) -> None:
    part = path.with_suffix(".part")
    try:
        save_file({name: value.contiguous().clone() for name, value in state.items()}, part)
        part.replace(path)
    except Exception as error:
        part.unlink(missing_ok=True)
        raise ModelError(f"{path} cannot be written: {error}. Make room, then run the same command again") from error
