"""Holds promises of a precision and intervals of counts against the truth, a thousand times, through the verbs.

python benchmarks/promises.py                # a thousand draws of each population, about ten minutes on two cores
python benchmarks/promises.py --draws 100    # fewer
python benchmarks/promises.py --write        # and put the table into docs/calibration.md

Every draw begins with the same tagged collection that nobody has labelled, and does what a person does: `label next`,
`label import`, `calibrate`, and that again with more; then it counts, and asks for a precision of 95 % that may fail
one time in twenty. The truth about every image decides. One population is drawn from a mixture that no encoder has;
the other is the demo, with its embedded encoder and its truth.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
from calibration import table, write
from numpy.typing import NDArray

import sextant
from sextant.background import background_hash, background_prompts
from sextant.encoders import adopted, key_of, load_model
from sextant.manifest import Manifest
from sextant.manifest import write as put_manifest
from sextant.maths import logits as maths
from sextant.store import FILES, IMAGES, Store
from sextant.types import Encoder

Truth = dict[str, NDArray[np.bool_]]
PRECISION, FAILURE = 0.95, 0.05
FIRST, SECOND = 25, 775
IMAGES_DRAWN = 3000
SHARES = {"common": 0.4, "usual": 0.15, "rare": 0.03}
ASKED = ("earth", "moon", "astronaut", "deep_space", "photograph", "rocket")
CATALOG = "catalog.db"


class Mixture:
    """An encoder of three attributes: an image's component along each is normal, higher where it is true."""

    name, revision = "mixture", "1"
    dim, logit_scale, logit_bias = 64, 100.0, 0.0

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.zeros((len(texts), self.dim))
        rows[:, 0] = 0.6
        for row, text in zip(rows, texts, strict=True):
            named = [k for k, code in enumerate(SHARES, 1) if text.endswith(code)]
            free = np.random.default_rng(list(text.encode())).standard_normal(self.dim - 4)
            row[named or np.s_[4:]] = 0.8 if named else 0.8 * free / np.linalg.norm(free)
        return rows.astype(np.float32)

    def encode_images(self, images: object) -> NDArray[np.float32]:
        raise NotImplementedError("these images are drawn as vectors")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one draw came to. `right` is the precision over the whole collection above the promised edge."""

    code: str
    early: tuple[bool, float]
    late: tuple[bool, float]
    promised: bool
    right: float


def mixture(folder: Path) -> Truth:
    """Images as vectors, with the truth that they were drawn from."""
    numbers, n = np.random.default_rng(11), 4000
    truth = {code: numbers.random(n) < share for code, share in SHARES.items()}
    rows = np.zeros((n, Mixture.dim))
    rows[:, 0] = 1 / 3
    for k, shown in enumerate(truth.values(), 1):
        rows[:, k] = np.clip(numbers.normal(np.where(shown, 0.36, 0.0), 0.12), -0.5, 0.5)
    free = numbers.standard_normal((n, Mixture.dim - 4))
    rest = np.sqrt(np.maximum(1 - (rows[:, :4] ** 2).sum(axis=1), 0.01))
    rows[:, 4:] = free / np.linalg.norm(free, axis=1, keepdims=True) * rest[:, None]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    _collect(folder, rows.astype(np.float32), Mixture(), f"{Path(__file__).resolve()}:Mixture")
    entries = [f"  - {{code: {code}, label: {code}, description: {code}}}" for code in truth]
    _tag(folder, entries)
    return truth


def demo(folder: Path) -> Truth:
    """Drawn pictures and the embedded encoder."""
    from sextant.demo import scenes

    encoder = load_model("mini", "cpu", "auto")
    first, vectors, shown = scenes.DEMO_SEEDS[0], [], []
    for start in range(first, first + IMAGES_DRAWN, 256):
        batch = list(scenes.draw_many(range(start, min(start + 256, first + IMAGES_DRAWN)), size=256))
        vectors.append(encoder.encode_images([scene.image for scene in batch]))
        shown += [scene.attributes for scene in batch]
    _collect(folder, np.concatenate(vectors), encoder, "mini")
    codes = [code for code in ASKED if code in scenes.PHRASES]
    entries = [f"  - {{code: {c}, label: {c}, description: {scenes.PHRASES[c][0]!r}}}" for c in codes]
    _tag(folder, entries)
    return {code: np.array([code in names for names in shown]) for code in codes}


def _tag(folder: Path, entries: Sequence[str]) -> None:
    file = folder / "words.yaml"
    file.write_text("\n".join(["base_attributes:", *entries]) + "\n")
    with sextant.open(folder) as photos:  # closed, so that all of the catalog is in its one file
        photos.tag(file)


def _collect(folder: Path, rows: NDArray[np.float32], encoder: Encoder, model: str) -> None:
    """A collection of these vectors, whose i-th image is called `i.jpg`."""
    put_manifest(folder, adopted(Manifest(), encoder, model))
    store, n = Store(folder / ".sextant"), len(rows)
    ids = [f"{i:032x}" for i in range(n)]
    phrases = encoder.encode_texts(background_prompts())
    level = maths.background(rows, phrases, scale=encoder.logit_scale, bias=encoder.logit_bias)
    metadata = {"encoder": key_of(encoder), "background_hash": background_hash()}
    store.vectors(key_of(encoder)).append(ids, rows, level, lambda *_: {}, metadata)
    facts = {"id": ids, "width": np.full(n, 100), "height": np.full(n, 100)}
    columns = [pa.array(facts.get(name, pa.nulls(n, IMAGES.field(name).type))) for name in IMAGES.names]
    store.append_images(pa.table(columns, names=IMAGES.names))
    store.put_files(pa.table([[f"{i:05d}.jpg" for i in range(n)], ids, [0] * n, [0] * n], schema=FILES))


def draw(seed: int, folder: Path, truth: Truth) -> Outcome:
    """One person's afternoon: from a collection that nobody has labelled to counts and a promise."""
    code = list(truth)[seed % len(truth)]
    place = folder.parent / f"{folder.name}-{os.getpid()}"
    if not place.exists():
        shutil.copytree(folder, place)
    for rest in (place / ".sextant").glob(CATALOG + "*"):
        rest.unlink()
    shutil.copy(folder / ".sextant" / CATALOG, place / ".sextant" / CATALOG)
    with sextant.open(place) as photos:
        known = truth[code]
        answer(photos, code, known, FIRST, seed)
        photos.calibrate([code])
        early = _covered(photos, code, known)
        answer(photos, code, known, SECOND, seed + 1_000_000)
        photos.calibrate([code])
        late = _covered(photos, code, known)
        promise = photos.promise(code, precision=PRECISION, failure=FAILURE)
        if promise.threshold is None:
            return Outcome(code, early, late, False, float("nan"))
        view = photos.view([code])
        rows = view.values(code).confidence >= promise.threshold
        order = np.array([int(Path(path).stem) for path in view.paths.to_pylist()])
        return Outcome(code, early, late, True, float(known[order][rows].mean()))


def answer(photos: sextant.Collection, code: str, known: NDArray[np.bool_], size: int, seed: int) -> None:
    """Draws images, answers by the truth, and imports the answers."""
    file = photos.folder / "answers.csv"
    with file.open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(["path", "code", "value"])
        for asked in photos.label_next(code, size, seed=seed):
            lines.writerow([asked.path, code, "yes" if known[int(Path(asked.path).stem)] else "no"])
    photos.import_labels(file)


def _covered(photos: sextant.Collection, code: str, known: NDArray[np.bool_]) -> tuple[bool, float]:
    """Whether the interval of a count holds the truth, and its width as a share of the collection."""
    found = photos.count(code)
    if found is None:
        raise RuntimeError(f"{code} was drawn and answered, and yet there is no count")
    return bool(found.low <= known.sum() <= found.high), (found.high - found.low) / len(known)


def rows_of(name: str, truth: Truth, outcomes: Sequence[Outcome]) -> list[list[str]]:
    """A line an attribute, and one for all of them."""
    rows = []
    for code in (*truth, ""):
        some = [o for o in outcomes if code in ("", o.code)]
        promised = [o for o in some if o.promised]
        broken = sum(o.right < PRECISION for o in promised)
        share = f"{truth[code].mean():.1%}" if code else "–"
        cells = [f"{np.mean([w[0] for w in c]):.1%} ({np.mean([w[1] for w in c]):.1%} wide)"
                 for c in ([o.early for o in some], [o.late for o in some])]  # fmt: skip
        rows.append([f"{name}: {code or 'all'}", share, f"{len(some):,}", *cells, f"{len(promised):,}",
                     f"{broken:,} ({broken / len(some):.1%})"])  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    rows: list[list[str]] = []
    for name, make in (("mixture", mixture), ("demo", demo)):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / name
            folder.mkdir()
            truth, started = make(folder), time.perf_counter()
            with ProcessPoolExecutor(asked.workers, get_context("spawn")) as pool:
                work = partial(draw, folder=folder, truth=truth)
                outcomes = list(pool.map(work, range(asked.draws), chunksize=10))
            print(f"{name}: {asked.draws} draws in {time.perf_counter() - started:.0f} s", flush=True)
        rows += rows_of(name, truth, outcomes)
    head = ["population: attribute", "truly", "draws", f"count covered, {FIRST} labels", f"{FIRST + SECOND} labels",
            "promises made", "broken"]  # fmt: skip
    text = table(head, rows)
    print(text)
    if asked.write:
        write("promises", text)


if __name__ == "__main__":
    main()
