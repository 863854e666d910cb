"""How fast near-duplicates are found, in how much memory, and how right they are. `python benchmarks/duplicates.py`.

Times are of made vectors, 512 wide: a direction that all share (two strangers have a cosine of about .52, as with
CLIP), thousands of centres, a spectrum that falls off, and some rows that nearly repeat the one before. A film is
12,217 frames that drift. The groups of the demo's bursts come from real files and the embedded encoder.
`--million` adds 1,000,000 vectors; each figure with a memory is of a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path

import numpy as np
from report import section

from sextant.maths import clusters, diversity, groups

DIM = 512
THRESHOLD = 0.98
TABLE = [0.95, 0.96, 0.97, 0.98, 0.99]
COMMAND = "python benchmarks/duplicates.py"
Row = list[str]


def made(n: int, repeats: float) -> np.ndarray:
    """Unit rows (n, 512), a share of which nearly repeats the row before."""
    random = np.random.default_rng(0)
    common = random.standard_normal(DIM)
    common /= np.linalg.norm(common)
    centres = random.standard_normal((max(400, n // 200), DIM)) / np.sqrt(DIM)
    spectrum = 1 / np.sqrt(1 + np.arange(DIM) / 8)
    spectrum *= 0.75 / np.linalg.norm(spectrum)
    rows = np.empty((n, DIM), np.float32)
    for start in range(0, n, 20_000):
        part = rows[start : start + 20_000]
        part[:] = common + 0.6 * centres[random.integers(0, len(centres), len(part))]
        part += random.standard_normal(part.shape) * spectrum
        again = np.flatnonzero(random.random(len(part)) < repeats)
        again = again[again > 0]
        noise = random.standard_normal((len(again), DIM)) / np.sqrt(DIM)
        part[again] = part[again - 1] + 0.08 * noise * np.linalg.norm(part[again - 1], axis=1, keepdims=True)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return rows


def film(n: int) -> np.ndarray:
    """Frames (n, 512) of which each is very near the one before: one chain without end."""
    random = np.random.default_rng(1)
    rows = made(n, 0.0)
    for i in range(1, n):
        step = rows[i - 1] + 0.004 * random.standard_normal(DIM)
        rows[i] = step / np.linalg.norm(step)
    return rows


def timed(what: str, n: int) -> None:
    """Runs one measurement in this process and prints seconds, peak MiB, and what it found."""
    rows = film(n) if what == "film" else made(n, 0.15 if n < 100_000 else 0.08)
    begun = time.perf_counter()
    if what == "faiss":
        found = near_by_faiss(rows)
    elif what == "table":
        found = int((groups.sizes(groups.groups(rows, [THRESHOLD, *TABLE])[0]) > 1).sum())
    elif what == "pick":
        found = len(diversity.relevant(rows, 50, np.random.default_rng(2).random(n), 0.5))
    elif what == "clusters":
        found = len(clusters.k_means(rows, 25).centres)
    else:
        found = int((groups.sizes(groups.groups(rows, [THRESHOLD])[0]) > 1).sum())
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": time.process_time(), "peak": peak, "found": found}))


def near_by_faiss(rows: np.ndarray) -> int:
    """How many rows have a neighbour, by a faiss index: flat up to 20,000 rows, inverted lists of halves above."""
    import faiss

    if len(rows) <= 20_000:
        index = faiss.IndexFlatIP(DIM)
        index.add(rows)
        limits, _, _ = index.range_search(rows, THRESHOLD)
        return int((np.diff(limits) > 1).sum())
    index = faiss.index_factory(DIM, "IVF1024,SQfp16", faiss.METRIC_INNER_PRODUCT)
    index.train(rows[:: max(1, len(rows) // 50_000)])
    index.add(rows)
    index.nprobe = 16
    found = 0
    for start in range(0, len(rows), 10_000):
        cosine, _ = index.search(rows[start : start + 10_000], 8)
        found += int((cosine[:, 1] >= THRESHOLD).sum())
    return found


def measured(what: str, n: int) -> dict[str, float]:
    script = [sys.executable, __file__, "--one", what, "--rows", str(n)]
    return dict(json.loads(subprocess.run(script, capture_output=True, text=True, check=True, env=os.environ).stdout))


def line(name: str, what: str, n: int, target: str = "") -> Row:
    got = measured(what, n)
    row = [name, f"{n:,}", f"{got['seconds']:.1f}", f"{got['peak'] / 1024:.2f}", f"{got['found']:,}", target]
    print(*row, sep="\t", flush=True)
    return row


def agreement(series: dict[str, list[str]], found: list[list[str]]) -> tuple[float, float, float]:
    """Pairwise F1, precision and recall."""
    true = {pair for members in series.values() for pair in combinations(sorted(members), 2)}
    said = {pair for members in found for pair in combinations(sorted(members), 2)}
    right = len(true & said)
    return 2 * right / (len(true) + len(said)), right / max(1, len(said)), right / max(1, len(true))


def demo(folder: Path, count: int, seed: int) -> list[Row]:
    """How well groups agree with the series that the demo drew, by level."""
    import sextant
    from sextant.demo.scenes import collection

    truth = {t["path"]: t["series"] or t["path"] for t in collection(folder / "in", count, seed=seed)}
    out = []
    with sextant.open(folder, create=True, model="mini") as photos:
        photos.add(folder / "in")
        series: dict[str, list[str]] = {}
        for path in photos.view().paths.to_pylist():
            series.setdefault(truth[Path(path).name], []).append(path)
        for level in ("shot", "scene"):
            found = photos.duplicates(level, sensitivity=False)
            f1, precision, recall = agreement(series, [[m.path for m in g.members] for g in found.groups])
            name = f"{level}, {count:,} pictures from seed {seed:,}"
            out.append([name, f"{found.threshold:g}", f"{f1:.3f}", f"{precision:.3f}", f"{recall:.3f}"])
            print(*out[-1], sep="\t", flush=True)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--million", action="store_true", help="also 1,000,000 vectors: ten minutes and more")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        timed(chosen.one, chosen.rows)
        return
    rows = [
        line("groups at .98", "groups", 12_217, "≤ 2 s"),
        line("groups and the sensitivity table", "table", 12_217),
        line("groups of a film", "film", 12_217),
        line("faiss, flat, pairs alone", "faiss", 12_217),
        line("groups at .98", "groups", 200_000),
        line("faiss, IVF1024 SQfp16, pairs alone, approximate", "faiss", 200_000),
        line("pick 50 by relevance", "pick", 200_000),
        line("25 clusters by k-means", "clusters", 200_000),
    ]
    if chosen.million:
        rows.append(line("groups at .98", "groups", 1_000_000, "≤ 15 min, ≤ 4 GiB"))
    head = ["512 wide", "vectors", "seconds", "peak GiB of the process", "found", "target"]
    section("duplicates", COMMAND + (" --million" if chosen.million else ""), head, rows)
    with tempfile.TemporaryDirectory() as name:
        right = [row for k in (1, 2) for row in demo(Path(name) / str(k), 1500, 12_500_000 + 20_000 * k)]
    head = ["series of the demo, encoder mini", "cosine", "pairwise F1", "precision", "recall"]
    section("duplicates-demo", COMMAND, head, right)


if __name__ == "__main__":
    main()
