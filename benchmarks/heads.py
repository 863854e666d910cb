"""How long light heads take, and what they are worth on images without labels: façades by `mini`, or vectors drawn.

    OMP_NUM_THREADS=1 python benchmarks/heads.py                  # 5,000 drawn vectors of 512 numbers, 24 attributes
    OMP_NUM_THREADS=1 python benchmarks/heads.py --collection DIR # a façades demo: half of it labelled, half judged

Figures of the second are on the half without labels. The façades come from: sextant demo --domain facades --dir DIR
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import sextant
from sextant import evaluation
from sextant.catalog import Label
from sextant.maths import probing
from sextant.maths.logits import unit

ROWS, DIM, CODES = 5000, 512, 24


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, metavar="DIR")
    asked = parser.parse_args()
    print("| what | figure |\n|---|---|")
    for name, value in drawn() if asked.collection is None else facades(asked.collection):
        print(f"| {name} | {value} |")


def drawn() -> list[tuple[str, str]]:
    """Seconds to fit every head, process time beside wall time, for a machine that others use."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CODES, DIM))
    labels = rng.integers(0, CODES, ROWS)
    rows = unit(centres[labels] + 4 * rng.normal(size=(ROWS, DIM)) + 3 * rng.normal(size=DIM))
    truth = (labels[:, None] == np.arange(CODES)).astype(np.float64)
    found = []
    for kind in ("probe", "prototypes"):
        wall, own = time.perf_counter(), time.process_time()
        heads = probing.fit(rows, truth, np.ones_like(truth), unit(centres + rng.normal(size=(CODES, DIM))), kind=kind)
        wall, own = time.perf_counter() - wall, time.process_time() - own
        right = np.stack([head.logits(rows) for head in heads], 1).argmax(1) == labels
        told = f"{own:.1f} s of one core ({wall:.1f} s by the clock), cross-fitted accuracy {right.mean():.3f}"
        found.append((f"{kind}, {CODES} attributes, {ROWS:,} × {DIM}", told))
    return found


def facades(source: Path) -> list[tuple[str, str]]:
    """The 24 styles of a façades demo: labels on every second picture, figures on the others."""
    import shutil

    found = []
    with TemporaryDirectory() as scratch:
        folder = Path(shutil.copytree(source, Path(scratch) / "c"))
        with sextant.open(folder) as photos:
            view = photos.view()
            pairs = list(zip(view.ids.to_pylist(), view.paths.to_pylist(), strict=True))
            styles = sorted({Path(path).parent.name for _, path in pairs} & set(photos.codes()))
            seen, rest = pairs[::2], pairs[1::2]
            photos.catalog.put_labels(Label(i, s, Path(p).parent.name == s) for i, p in seen for s in styles)
            truth = {s: {i: Path(p).parent.name == s for i, p in rest} for s in styles}
            photos.calibrate(styles)
            found.append((f"prompts, calibrated on {len(seen):,}", judged(photos, styles, truth)))
            begun = time.perf_counter()
            used = sum(report.applied for report in photos.fit_heads(styles))
            told = f"{judged(photos, styles, truth)}; {used} of {len(styles)} used, {time.perf_counter() - begun:.0f} s"
            found.append((f"probe, from the same {len(seen):,}", told))
    return found


def judged(photos: sextant.Collection, codes: list[str], truth: evaluation.Truth) -> str:
    """Mean AP, Brier and ECE on images that have no label."""
    rows = evaluation.evaluate(photos.view_of(codes), photos.catalog, codes, truth)
    pooled = next(row for row in rows if row.code == evaluation.POOLED)
    mean = np.mean([row.average_precision for row in rows if row.code != evaluation.POOLED])
    return f"mean AP {mean:.3f}, Brier {pooled.brier:.4f}, ECE {pooled.ece:.4f} (n {pooled.n:,})"


if __name__ == "__main__":
    main()
