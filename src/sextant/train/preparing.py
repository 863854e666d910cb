"""The steps before training: which images count, who learns from them, what the base thinks, who is taken for whom.

Also what all later steps share: the base, the classes and their prompts, the pictures as the network sees them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sextant import fingerprint
from sextant.train import batches, classes, dataset, gates, heads, split, strangers
from sextant.train.steps import Steps
from sextant.types import Floats, Progress

if TYPE_CHECKING:
    from sextant.train.pair import Pair

Rows = NDArray[np.intp]
PICTURES_A_PART = 512
"""What another process is handed at a time: whole batches, so that they are those of this process."""


class Preparing(Steps):
    """The steps `data`, `split`, `gate` and `clusters`, and what they decided in a form to work with."""

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

    def _features(self) -> Floats:
        """What the base's image tower makes of every picture (n, f), in this process or in others that see the run."""
        if self.spread is None:
            return self.base.feature_rows(self.pictures)
        base = self.order.base
        if base != "mini":  # the other process works in a folder of its own
            base = str(Path(base.removeprefix("local-dir:")).expanduser().resolve())
        make = partial(_tower, base, self.folder.resolve())
        starts = range(0, len(self.pictures), PICTURES_A_PART)
        return np.concatenate(list(self.spread(make, [(s, s + PICTURES_A_PART) for s in starts])))

    def _split(self) -> dict[str, Any]:
        features = self._features()
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


def _tower(base: str, folder: Path) -> Callable[[tuple[int, int]], Floats]:
    """In another process: the base, and what it makes of some of the run's pictures."""
    from sextant.train.pair import open_pair

    with tempfile.TemporaryDirectory() as scratch:  # the run's folder is written by the process that runs the command
        pair = open_pair(base, Path(scratch))
    pictures = np.load(folder / "pictures.npy", mmap_mode="r", allow_pickle=False)
    return lambda part: pair.feature_rows(pictures[part[0] : part[1]])
