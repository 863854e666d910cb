"""Does the memory of `add` grow with the number of images? `python benchmarks/memory.py`.

Draws 20,000 small pictures, adds the first 1,000 to one collection and all to another with the model-free encoder, each
in a process of its own, and compares the peaks of resident memory.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from report import peak_mib, section

FEW, MANY, MOST_GROWTH = 1_000, 20_000, 50
SIDE = 96


def draw(folder: Path, count: int) -> None:
    """JPEGs of random colour fields, a thousand a folder."""
    random = np.random.default_rng(3)
    for i in range(count):
        part = folder / f"{i // 1000:03d}"
        part.mkdir(parents=True, exist_ok=True)
        small = random.integers(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(small).resize((SIDE, SIDE)).save(part / f"{i:06d}.jpg")


def add(folder: Path, collection: Path, count: int) -> None:
    import sextant

    with sextant.open(collection, create=True, model="hash") as photos:
        report = photos.add(*sorted(folder.iterdir())[: count // 1000])
    if report.added != count:
        raise SystemExit(f"{report.added} of {count} images were added")
    print(peak_mib())


def measured(folder: Path, collection: Path, count: int) -> float:
    script = [sys.executable, __file__, "--add", str(count), "--folder", str(folder), "--collection", str(collection)]
    return float(subprocess.run(script, capture_output=True, text=True, check=True, env=os.environ).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--add", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--collection", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.add:
        add(chosen.folder, chosen.collection, chosen.add)
        return
    with tempfile.TemporaryDirectory() as name:
        pictures = Path(name) / "pictures"
        draw(pictures, MANY)
        few = measured(pictures, Path(name) / "few", FEW)
        many = measured(pictures, Path(name) / "many", MANY)
    rows = [
        [f"{FEW:,}", f"{few:.0f}"],
        [f"{MANY:,}", f"{many:.0f}"],
        ["growth", f"{many - few:.0f} (target < {MOST_GROWTH})"],
    ]
    for row in rows:
        print(*row, sep="\t")
    section("memory", "python benchmarks/memory.py", ["images added", "peak resident MiB"], rows)


if __name__ == "__main__":
    main()
