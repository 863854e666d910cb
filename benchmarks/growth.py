"""How time, memory and bytes grow from 10^4 to 10^6 images. `python benchmarks/growth.py [--most 1000000]`.

The vectors are made beforehand, so a collection grows from `import` of a `.npy` file as it would from a cache: 512
wide, a direction that all share and a spectrum that falls off; pictures there are none. Phrases come from the
model-free encoder: the cost does not depend on what a vector means. Every figure is a process of its own.

The exponent of a step is the slope of the logarithm of the processor's seconds, which other programs disturb least,
over that of the images, from the second largest size to the largest: 1 means that ten times the images cost ten times
as much. Twelve million bytes a thousand images are needed on the disk.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from columns import ATTRIBUTES, DIM, MODEL, trusting, vocabulary
from report import peak_mib, section

import sextant
from sextant.catalog import Label
from sextant.manifest import Manifest, write

SIZES = (10_000, 100_000, 1_000_000)
BLOCK = 20_000
BYTES_AN_IMAGE = 12_000
WARM_SEARCHES = 15
MOST = 1.1
STEPS = {
    "import": "import of vectors",
    "more": "import of 1 % more, after `tag`",
    "tag": f"{ATTRIBUTES} columns",
    "column": "one more column",
    "query": "query",
    "search": "search, the first of a process",
    "calibrate": f"calibrate {ATTRIBUTES} columns by 25 labels each",
    "sql": "SQL: means by camera",
    "index": "index",
    "warm": "search, one more of the same process",
    "vacuum": "vacuum",
}
ORDER = ("import", "tag", "column", "more", "query", "calibrate", "sql", "search", "index", "warm", "vacuum")
MEANS = "SELECT camera_model, count(*), avg(thing_1) FROM images WHERE thing_2 < 0.5 GROUP BY ALL"
Figures = dict[str, float]


def blocks(n: int, seed: int) -> Iterator[np.ndarray]:
    """Unit rows (k, 512) of n vectors."""
    shared = np.random.default_rng(0).standard_normal(DIM)
    spectrum = 1 / np.sqrt(1 + np.arange(DIM) / 8)
    spectrum *= 0.75 / np.linalg.norm(spectrum)
    random = np.random.default_rng(seed)
    for start in range(0, n, BLOCK):
        rows = random.standard_normal((min(BLOCK, n - start), DIM), np.float32) * spectrum.astype(np.float32)
        rows += (shared / np.linalg.norm(shared)).astype(np.float32)
        yield rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cached(folder: Path, name: str, n: int, seed: int) -> None:
    """A `.npy` file of n vectors and a list of as many paths."""
    out = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, (n, DIM))
    start = 0
    for rows in blocks(n, seed):
        out[start : start + len(rows)] = rows
        start += len(rows)
    out.flush()
    paths = (f"photos/{name}/{i // 1000:04d}/{i:07d}.jpg" for i in range(n))
    (folder / f"{name}.txt").write_text("\n".join(paths) + "\n", encoding="utf-8")


# one step, in its own process


def labelled(collection: Any) -> None:
    """25 answers for every column, of images of which a third shows it."""
    ids, random = collection.view([]).ids[:25].to_pylist(), np.random.default_rng(1)
    codes = [f"thing_{i}" for i in range(ATTRIBUTES)]
    collection.catalog.put_labels([Label(i, code, bool(random.random() < 0.3)) for code in codes for i in ids])


def prepared(collection: Any, step: str) -> None:
    """What a step needs and its time does not count."""
    if step == "calibrate":
        labelled(collection)
    if step == "warm":
        collection.search("thing 3")


def done(collection: Any, step: str, folder: Path) -> int:
    """Does the step, and says how many times."""
    if step in ("import", "more"):
        collection.import_vectors(folder / f"{step}.npy", ids=folder / f"{step}.txt")
    elif step in ("tag", "column"):
        collection.tag(folder / f"{step}.yaml")
    elif step == "query":
        collection.query("thing_1 >= 0.5 and not thing_2", limit=100)
    elif step == "search":
        collection.search("thing 3")
    elif step == "warm":
        for i in range(WARM_SEARCHES):
            collection.search(f"thing {i + 100}")
        return WARM_SEARCHES
    elif step == "calibrate":
        collection.calibrate()
    elif step == "sql":
        collection.sql(MEANS)
    else:
        getattr(collection, step)()
    return 1


def one(folder: Path, step: str) -> Figures:
    """Seconds in the library and the peak of memory, in this process."""
    with sextant.open(folder) as collection:
        prepared(collection, step)
        begun, used = time.perf_counter(), time.process_time()
        times = done(collection, step, folder)
        seconds, cpu = (time.perf_counter() - begun) / times, (time.process_time() - used) / times
    return {"seconds": seconds, "cpu": cpu, "memory": peak_mib()}


def run(folder: Path, step: str) -> Figures:
    script = [sys.executable, __file__, "--step", step, "--folder", str(folder)]
    found = subprocess.run(script, capture_output=True, text=True, check=False, env=trusting(folder, MODEL))
    if found.returncode:
        raise SystemExit(f"{step} failed:\n{found.stderr}")
    stored = sum(p.stat().st_size for p in (folder / ".sextant").rglob("*") if p.is_file())
    return dict(json.loads(found.stdout)) | {"stored": stored / 2**20}


# every step, every size


def measured(n: int, within: Path) -> dict[str, Figures]:
    """All steps of a collection of n images."""
    room = shutil.disk_usage(within).free
    if room < n * BYTES_AN_IMAGE:
        raise SystemExit(f"{n:,} images need {n * BYTES_AN_IMAGE / 1e9:.0f} GB and {within} has {room / 1e9:.0f}")
    with tempfile.TemporaryDirectory(dir=within) as name:
        folder = Path(name)
        write(folder, Manifest(model=MODEL, encoder="hash@1", dim=DIM, logit_scale=100.0))
        cached(folder, "import", n, seed=1)
        cached(folder, "more", n // 100, seed=2)
        (folder / "tag.yaml").write_text(vocabulary(ATTRIBUTES))
        (folder / "column.yaml").write_text(vocabulary(ATTRIBUTES + 1))
        found = {}
        for step in ORDER:
            found[step] = run(folder, step)
            print(f"{n:,}\t{step}", *(f"{v:.3f}" for v in found[step].values()), sep="\t", flush=True)
        return found


def exponent(few: float, many: float, ratio: float) -> float:
    """The slope of the logarithm of a cost over that of a size that grew `ratio` times."""
    return math.log(many / few) / math.log(ratio)


def row(step: str, sizes: list[int], found: dict[int, dict[str, Figures]]) -> list[str]:
    seconds = [found[n][step]["seconds"] for n in sizes]
    cpu, memory = ([found[n][step][what] for n in sizes] for what in ("cpu", "memory"))
    slopes = [exponent(*of[-2:], sizes[-1] / sizes[-2]) for of in (cpu, memory)]
    times = [f"{s:.2f}" if s >= 0.1 else f"{s:.3f}" for s in seconds]
    used = f"{cpu[-1]:.2f}"
    return [STEPS[step], *times, used, *[f"{s:.2f}" for s in slopes], " / ".join(f"{m:,.0f}" for m in memory)]


def growth(sizes: list[int], within: Path) -> None:
    found = {n: measured(n, within) for n in sizes}
    rows = [row(step, sizes, found) for step in ORDER]
    for when in ("import", "tag", "index", "vacuum"):
        stored = [found[n][when]["stored"] for n in sizes]
        slope = f"{exponent(*stored[-2:], sizes[-1] / sizes[-2]):.2f}"
        rows.append([f"MiB on the disk after {when}", *[f"{s:,.0f}" for s in stored], "", slope, "", ""])
    head = ["step", *[f"{n:,} images, s" for n in sizes], "s of the processor", f"exponent (≤ {MOST})", "of memory"]
    head.append("peak MiB")
    note = f"{os.getloadavg()[1]:.1f} programs wanted to run meanwhile, this one included."
    section("growth", "python benchmarks/growth.py", head, rows, note)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=SIZES[-1], help="the largest collection, to try it with fewer")
    parser.add_argument("--within", type=Path, default=Path(tempfile.gettempdir()), help="a folder with room")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step:
        print(json.dumps(one(chosen.folder, chosen.step)))
        return
    sizes = [n for n in SIZES if n <= chosen.most]
    if len(sizes) < 2:
        raise SystemExit(f"--most must be {SIZES[1]:,} or more")
    growth(sizes, chosen.within)


if __name__ == "__main__":
    main()
