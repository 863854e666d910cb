"""The archive of 12,217 drawn pictures behind the documents' figures: drawn once, tagged, held against its truth.

    python benchmarks/demo.py                  # draws what is missing, embeds and tags anew, prints the figures
    python benchmarks/demo.py --write          # and puts them into docs/performance.md
    python benchmarks/demo.py --images 600     # a quick look

Pictures are kept in benchmarks/.cache, or in the folder that BENCHMARK_CACHE names, never in the repository. Another
benchmark gets them from `archive()`, or as a tagged collection from `collection()`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from report import section, table

import sextant
from sextant.cli.measuring import Measured
from sextant.demo import tour
from sextant.demo.truth_table import Row, Summary
from sextant.maths.metrics import Quality, evaluate

IMAGES = 12_217
CACHE = Path(os.environ.get("BENCHMARK_CACHE") or Path(__file__).parent / ".cache")
NAME = "demo"


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds of every step, the truth table, and what the confidences are worth."""

    images: int
    seconds: dict[str, float]
    rows: list[Row]
    whole: Summary
    quality: Quality
    base_rate: float


def archive(images: int = IMAGES) -> Path:
    """The folder of that many pictures with their truth; drawn when it is not there yet."""
    order = tour.Order("scenes", images, 0)
    folder = CACHE / f"archive-{images}"
    tour.claim(folder, order)
    if tour.draw(folder, order, progress=_dots):
        print()
    return folder


def _dots(done: int, total: int) -> None:
    if done % max(1, total // 50) == 0:
        print(".", end="", flush=True)


def collection(images: int = IMAGES, model: str = "mini") -> tuple[sextant.Collection, dict[str, float]]:
    """The archive as a collection that was embedded and tagged just now, and the seconds of each step.

    What an earlier run left is deleted first, since an encoder may have been trained anew under the same name.
    """
    folder = archive(images)
    shutil.rmtree(folder / ".sextant", ignore_errors=True)
    photos = sextant.open(folder, create=True, model=model)
    seconds = {"add": photos.add(folder / tour.PICTURES).seconds}
    seconds["tag"] = photos.tag(folder / tour.VOCABULARY).seconds
    for name, ask in (
        ("query", lambda: photos.query("astronaut and lunar_surface")),
        ("search", lambda: photos.search("an astronaut outside a spacecraft above the earth")),
    ):
        begun = time.perf_counter()
        ask()
        seconds[name] = time.perf_counter() - begun
    return photos, seconds


def measure(images: int, model: str) -> Figures:
    """Every figure."""
    photos, seconds = collection(images, model)
    with photos:
        known = Measured(photos, photos.folder, tour.SCENES)
        rows, whole = known.table()
        base = [row.code for row in rows if row.state != "rule"]
        confidence = np.stack([known.view.values(code).confidence[known.places] for code in base], axis=1)
    truth = np.array([[code in shown for code in base] for shown in known.truths], np.float64)
    pooled = evaluate(confidence, truth).pooled
    rate = truth.mean(axis=0)
    return Figures(known.images, seconds, rows, whole, pooled, float((rate * (1 - rate)).mean()))


def steps(found: Figures) -> list[list[str]]:
    """What took how long, and how good it is."""
    q, whole = found.quality, found.whole
    interval = f"{q.ece.value:.4f} ({q.ece.low:.4f} to {q.ece.high:.4f})"
    rows = [[name, f"{value:.2f} s"] for name, value in found.seconds.items()]
    return [
        *rows,
        ["mean average precision", f"{whole.mean_average_precision:.3f} over {whole.measured} attributes"],
        ["accepted cells that are true", f"{whole.right:,} of {whole.accepted:,} ({100 * whole.precision:.1f} %)"],
        ["true cells that are accepted", f"{whole.right:,} of {whole.positives:,} ({100 * whole.recall:.1f} %)"],
        ["ECE, 15 bins, all base columns", interval],
        ["Brier", f"{q.brier.value:.4f}, where always saying the base rate gives {found.base_rate:.4f}"],
    ]


def columns(found: Figures) -> list[list[str]]:
    """The truth table."""

    def share(value: float) -> str:
        return "–" if np.isnan(value) else f"{100 * value:.1f} %"

    return [
        [
            *(r.code, r.state, share(r.prevalence), f"{r.accepted:,}", share(r.precision), share(r.recall)),
            "–" if np.isnan(r.average_precision) else f"{r.average_precision:.3f}",
        ]
        for r in found.rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/performance.md")
    chosen = parser.parse_args()
    found = measure(chosen.images, chosen.model)
    head = ["attribute", "state", "shown by", "accepted", "precision", "recall", "average precision"]
    title = f"{chosen.images:,} files, {found.images:,} images, encoder {chosen.model}"
    figures, attributes = steps(found), table(head, columns(found))
    print(title, table(["figure", "measured"], figures), attributes, sep="\n\n")
    if chosen.write:
        command = "python benchmarks/demo.py --write"
        section(NAME, command, ["figure", "measured"], figures, f"{title}.\n\n{attributes}")


if __name__ == "__main__":
    main()
