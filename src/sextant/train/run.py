"""A fine-tuning run in a folder: each step writes what it decided, and a step that is done is not done again.

    data → split → gate → clusters → train → interpolate → temperature → export → scorecard

Knows the steps and their files; what happens in a step is elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sextant import fingerprint
from sextant.errors import MissingExtra, UsageError
from sextant.manifest import replacing
from sextant.train import batches, classes, dataset, gates, heads, split, strangers
from sextant.train.recipe import Recipe
from sextant.types import Floats, Progress

if TYPE_CHECKING:
    from sextant.train.fit import Fitting, Material
    from sextant.train.pair import Pair

Report = Callable[[Progress], None]
Rows = NDArray[np.intp]
STEPS = ("data", "split", "gate", "clusters", "train", "interpolate", "temperature", "export", "scorecard")
PROBE_STEPS = ("data", "split", "gate", "probe")
KEPT, HELD = 240, 240
TOP_SHARE = 0.1


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


class Run:
    """One run. Its steps build on each other; asking for one does those before it that are not done yet."""

    def __init__(self, folder: Path, order: Order, *, progress: Report | None = None) -> None:
        try:
            import safetensors  # noqa: F401
            import torch
        except ImportError:
            raise MissingExtra("Fine-tuning", "train") from None
        torch.set_num_threads(min(torch.get_num_threads(), 8))
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

    # what the steps share

    @cached_property
    def base(self) -> Pair:
        """The pair as it was before training. Never trained."""
        return self.open_base()

    def open_base(self) -> Pair:
        """A fresh copy of the base."""
        from sextant.train.pair import open_pair

        return open_pair(self.order.base, self.folder / "base")

    @cached_property
    def tuned(self) -> Pair:
        """The pair with the weights that `interpolate` chose."""
        from safetensors.torch import load_file

        pair = self.open_base()
        pair.load(load_file(self.folder / "tuned.safetensors"))
        return pair

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The codes of the classes, sorted."""
        return tuple(self.to("data")["classes"])

    @cached_property
    def labels(self) -> Rows:
        """The class (n,) of every example."""
        return np.array([e["label"] for e in self.to("data")["examples"]], np.intp)

    @cached_property
    def ids(self) -> list[str]:
        """The hash of every example's bytes."""
        return [e["id"] for e in self.to("data")["examples"]]

    @cached_property
    def pictures(self) -> NDArray[np.uint8]:
        """What the network sees of every example, (n, s, s, 3), mapped from disk."""
        return self.array("pictures")[: len(self.labels)]

    @cached_property
    def prompts(self) -> list[tuple[str, ...]]:
        """The prompts of every class, canonical first."""
        if self.order.words:
            known = dict(self.order.words)
            return [known.get(code) or classes.named(code) for code in self.classes]
        found = classes.prompts(self.classes, self.order.prompts)
        return [found[code] for code in self.classes]

    def part(self, name: str) -> Rows:
        """The examples of a part of the split."""
        parts = np.array(self.to("split")["parts"], np.intp)
        return np.flatnonzero(parts == split.PARTS.index(name))

    def prompt_rows(self, pair: Pair) -> list[Floats]:
        """Unit rows of every class's prompts."""
        rows = pair.text_rows([text for part in self.prompts for text in part])
        return np.split(rows, np.cumsum([len(part) for part in self.prompts])[:-1])

    def clusters(self) -> list[list[int]]:
        """The clusters in use, of class numbers."""
        return [[self.classes.index(code) for code in part] for part in self.to("clusters")["clusters"]]

    def strangers(self, seed: int, n: int) -> NDArray[np.uint8]:
        """Pictures outside the classes, as the network sees them: of `photos`, or what `mini` knows; else none."""
        if self.order.photos is not None:
            found = list(strangers.photos(self.order.photos, 3 * n))
            offset = {strangers.KEPT_SEED: 0, strangers.HELD_SEED: 1, strangers.OTHER_SEED: 2}[seed]
            found = found[offset::3]
        else:
            found = strangers.scenes(seed, n) if self.knows_scenes else []
        side = self.base.card.image_size
        squares = [self.base.pixels.square(picture) for picture in found]
        return np.stack(squares) if squares else np.empty((0, side, side, 3), np.uint8)

    @property
    def knows_scenes(self) -> bool:
        """Whether the base is `mini`, whose world can be drawn."""
        return "stem" in (self.base.raw.get("recipe") or {})

    # the steps

    def _data(self) -> dict[str, Any]:
        pair, pairs = self.base, list(self.order.pairs)
        side, begun = pair.card.image_size, time.monotonic()
        part = self.folder / "pictures.part"
        held = np.lib.format.open_memmap(part, "w+", np.uint8, (len(pairs), side, side, 3))
        hashes: list[bytes] = []

        def seen(number: int, picture: Any) -> None:
            held[number] = pair.pixels.square(picture)
            hashes.append(fingerprint.fingerprint(picture))
            if self.progress:
                self.progress(Progress("read", number + 1, len(pairs), time.monotonic() - begun))

        found = dataset.read(pairs, side=2 * side, seen=seen)
        held.flush()
        part.replace(self.folder / "pictures.npy")
        self._array("hashes", fingerprint.rows(hashes))
        return {
            "classes": found.classes,
            "counts": found.counts(),
            "skipped": [asdict(item) for item in found.skipped],
            "examples": [asdict(example) for example in found.examples],
        }

    def _split(self) -> dict[str, Any]:
        features = self.base.feature_rows(self.pictures)
        self._array("base_features", features)
        vectors = self.base.project_rows(features)
        self._array("base_vectors", vectors)
        group = split.connected(vectors, np.asarray(self.array("hashes")))
        part = split.split(self.labels, group, seed=self.order.seed)
        sizes = np.bincount(group)
        mixed = [g for g in np.flatnonzero(sizes > 1) if len(set(self.labels[group == g].tolist())) > 1]
        counts = {
            name: np.bincount(self.labels[part == k], minlength=len(self.classes)).tolist()
            for k, name in enumerate(split.PARTS)
        }
        return {
            "parts": part.tolist(),
            "groups": group.tolist(),
            "sizes": {name: int(sum(n)) for name, n in counts.items()},
            "by_class": counts,
            "near_duplicates": int((sizes[group] > 1).sum()),
            "near_duplicates_of_two_classes": len(mixed),
        }

    def _gate(self) -> dict[str, Any]:
        """What the base thinks of the training images; where the recipe asks for it, who stays."""
        train, least = self.part("train"), self.recipe.gate
        canonical = np.stack([rows[0] for rows in self.prompt_rows(self.base)])
        logits = self.base.card.logit_scale * (self.array("base_vectors")[train] @ canonical.T)
        found = split.gate(logits, self.labels[train], self.classes, least or 0.05)
        if least and self.recipe.gate_stops:
            split.stop_at_gutted(found, least)
        kept = found.kept if least else np.ones(len(train), np.bool_)
        for k in range(len(self.classes)):  # a class that the gate would empty keeps its images: nothing else is left
            mine = self.labels[train] == k
            if not kept[mine].any():
                kept = kept | mine
        return {
            "threshold": least,
            "in_use": bool(least),
            "kept": train[kept].tolist(),
            "dropped": int((~kept).sum()),
            "would_drop": found.dropped,
            "would_lose": {code: round(share, 4) for code, share in found.shares.items()},
            "would_gut": found.gutted(),
        }

    def _clusters(self) -> dict[str, Any]:
        if self.order.clusters is not None:
            found = classes.clusters(self.classes, self.order.clusters)
            return {"source": str(self.order.clusters), "clusters": found}
        train = np.array(self.to("gate")["kept"], np.intp)
        answers = heads.cross_answers(np.asarray(self.array("base_features")[train]), self.labels[train])
        matrix = gates.confusion(self.labels[train], answers, len(self.classes))
        proposed = [[self.classes[k] for k in part] for part in batches.propose(matrix)]
        return {
            "source": "proposed: who a probe of the base's features takes for whom, on training images it did not see",
            "clusters": proposed,
            "confusion": matrix.astype(int).tolist(),
        }

    def material(self) -> Material:
        """What `fit` learns from."""
        from sextant.train.fit import Material

        train = np.array(self.to("gate")["kept"], np.intp)
        kept = strangers.texts(strangers.phrases() if self.knows_scenes else ())
        return Material(
            self.pictures, self.labels, train, self.part("choice"), self.prompts, self.clusters(),
            self.strangers(strangers.KEPT_SEED, KEPT), kept,
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
            drawn, phrases, shown = strangers.told_scenes(strangers.HELD_SEED, HELD)
            pictures = np.stack([self.base.pixels.square(picture) for picture in drawn])
            return lambda now: truth_kept(now.image_rows(pictures), now.text_rows(phrases), shown)
        held, asked = self.strangers(strangers.HELD_SEED, HELD), strangers.texts()
        if not len(held):
            return lambda _: 1.0
        kept = agreement(self.base.image_rows(held), self.base.text_rows(asked))
        return lambda now: kept(now.image_rows(held), now.text_rows(asked))

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


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no plain value")


def changed(order: Order, **changes: Any) -> Order:
    """The same order with another recipe: for ablations."""
    return replace(order, recipe=order.recipe.changed(**changes))
