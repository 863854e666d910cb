"""A run on many machines, simulated event by event, and held against the closed form. `python benchmarks/scale.py`.

    python benchmarks/scale.py             # prints the tables, some seconds
    python benchmarks/scale.py --write     # and puts them into docs/scale.md

Up to 64 workers take fragments from one queue; some are slow, every worker fails at random moments, loses the fragment
it was at and comes back; a fragment that failed is done again, and after some tries it is listed as failed. Everything
random comes from a seed.
"""

from __future__ import annotations

import argparse
import heapq
import math
import tempfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from report import DOCS, section, table
from scale_model import DAY, Cluster, Cost, Rates, Work, cost, lost, makespan

PAGE = DOCS / "scale.md"
COMMAND = "python benchmarks/scale.py --write"
SEEDS = 20
TRIES = 5
SIZES = (1e6, 1e8, 1e10)
COMMITS = 200
FRAGMENT = Work(fragments=0, seconds=100.0, spread=0.2)
RATES = Rates(
    decoded_a_core=163,  # benchmarks/encode.py, `images.decode`, at least 224
    encoded_a_device=39_000,  # assumed, see the page
    cores_a_device=16,
    picture_bytes=1e6,  # a JPEG of 2000 × 1500
    row_bytes=2_130,  # benchmarks/growth.py, bytes after `import`
    column_bytes=4.1,  # benchmarks/growth.py, bytes after `tag`
    index_bytes=2_190,  # benchmarks/search.py --million
    tagged_a_core=77_000,  # benchmarks/columns.py --million, 37 columns in 6.5 s on two cores
    memory_bytes=470,  # benchmarks/columns.py --million, `query`, less what an empty one needs
    scanned_a_core=77e6,  # benchmarks/search.py --million, 6.5 ms on two cores
)


@dataclass(frozen=True, slots=True)
class Ran:
    """How a simulated run went."""

    seconds: float
    done: int
    failed: int
    failures: int


def simulate(work: Work, cluster: Cluster, seed: int, *, tries: int = TRIES) -> Ran:
    """One run. A worker's failure falls where it falls, also while the worker waits for the last of the others."""
    random = np.random.default_rng(seed)
    sigma = math.sqrt(math.log1p(work.spread**2))
    waiting = deque((fragment, 0) for fragment in range(work.fragments))
    speeds = cluster.speeds
    fails_at = [failure(random, 0.0, cluster) for _ in speeds]
    free = [(0.0, worker) for worker in random.permutation(len(speeds)).tolist()]
    heapq.heapify(free)
    running: list[tuple[float, int, int, int, bool]] = []
    done = failed = failures = 0
    committed = now = 0.0
    while waiting or running:
        while waiting and free and (not running or free[0][0] <= running[0][0]):
            at, worker = heapq.heappop(free)
            now = max(now, at)
            while fails_at[worker] <= now:  # it failed while it had nothing to lose
                fails_at[worker] = failure(random, fails_at[worker] + cluster.restart_seconds, cluster)
            fragment, tried = waiting.popleft()
            spent = work.seconds * speeds[worker] * random.lognormal(-(sigma**2) / 2, sigma)
            dies = fails_at[worker] < now + spent
            end = fails_at[worker] if dies else now + spent
            heapq.heappush(running, (end, worker, fragment, tried, dies))
        end, worker, fragment, tried, dies = heapq.heappop(running)
        now = max(now, end)
        if not dies:
            done += 1
            committed = max(committed, end) + work.commit_seconds
            heapq.heappush(free, (end, worker))
            continue
        failures += 1
        fails_at[worker] = failure(random, end + cluster.restart_seconds, cluster)
        heapq.heappush(free, (end + cluster.restart_seconds, worker))
        if tried + 1 < tries:
            waiting.append((fragment, tried + 1))
        else:
            failed += 1
    return Ran(max(now, committed), done, failed, failures)


def failure(random: np.random.Generator, after: float, cluster: Cluster) -> float:
    """When a worker fails next."""
    return math.inf if math.isinf(cluster.between_failures) else after + random.exponential(cluster.between_failures)


# the model held against the simulation


def cases() -> list[tuple[Work, Cluster]]:
    """Workers, stragglers, failures, and how many fragments each worker gets."""
    found = []
    for workers in (1, 4, 16, 64):
        for each in (10, 100):
            work = Work(workers * each, FRAGMENT.seconds, FRAGMENT.spread)
            slow = max(1, workers // 16)
            for between in (math.inf, 10_000.0, 1_000.0):
                found.append((work, Cluster(workers, between_failures=between, restart_seconds=60.0)))
                if workers > 1:
                    found.append((work, Cluster(workers, slow, 4.0, between, 60.0)))
    queue = Work(6_400, FRAGMENT.seconds, FRAGMENT.spread, commit_seconds=2.0)
    return [*found, (queue, Cluster(64))]


def compared(work: Work, cluster: Cluster) -> tuple[float, float, float, list[Ran]]:
    """Seconds by the model and by the simulation, and by how much the model is off."""
    said = makespan(work, cluster)
    runs = [simulate(work, cluster, seed) for seed in range(SEEDS)]
    seen = float(np.mean([run.seconds for run in runs]))
    return said, seen, said / seen - 1, runs


def check() -> tuple[list[list[str]], dict[int, float]]:
    """A row a case, and the largest error with ten fragments a worker and with a hundred."""
    rows, worst = [], dict.fromkeys((10, 100), 0.0)
    for work, cluster in cases():
        said, seen, off, runs = compared(work, cluster)
        each = work.fragments // cluster.workers
        worst[each] = max(worst[each], abs(off))
        between = "never" if math.isinf(cluster.between_failures) else f"every {cluster.between_failures:,.0f} s"
        slow = f"{cluster.slow} × {cluster.slowness:g}" if cluster.slow else "–"
        seconds = [run.seconds for run in runs]
        listed = f"{np.mean([run.failed for run in runs]):.1f} ({lost(work, cluster, TRIES):.1f})"
        times = [f"{said:,.0f}", f"{seen:,.0f}", f"{min(seconds):,.0f} to {max(seconds):,.0f}"]
        given = [f"{cluster.workers}", f"{work.fragments:,}", slow, between, f"{work.commit_seconds:g}"]
        rows.append([*given, *times, f"{100 * off:+.1f} %", listed])
    return rows, worst


# commits


def commits(folder: Path, count: int = COMMITS) -> tuple[float, float]:
    """Bytes of the list of fragments that a commit to a Lance table writes: of an empty one, and of each fragment."""
    import pyarrow as pa

    from sextant import tables

    path, sizes, known = folder / "t.lance", [], set()
    for i in range(count):
        tables.append(path, pa.table({"id": [f"{i:032x}"]}))
        fresh = set((path / "_versions").glob("*.manifest")) - known
        sizes.append(sum(p.stat().st_size for p in fresh))
        known |= fresh
    slope, first = np.polyfit(np.arange(1, count + 1), sizes, 1)
    return float(first), float(slope)


# what n images need


def scaled(value: float, units: list[str], step: float = 1000.0) -> str:
    """A number with the unit in which it has few digits."""
    for unit in units[:-1]:
        if abs(value) < step:
            return f"{value:,.3g} {unit}"
        value /= step
    return f"{value:,.3g} {units[-1]}"


def size(count: float) -> str:
    return scaled(count, ["B", "kB", "MB", "GB", "TB", "PB"])


def needs(found: list[Cost]) -> list[list[str]]:
    """The costs, a column a size."""
    devices = [c.images / DAY / RATES.encoded_a_device for c in found]
    return [
        ["images a second, for a day's run", *[f"{c.images / DAY:,.0f}" for c in found]],
        ["cores that decode", *[f"{c.cores:,.1f}" for c in found]],
        [f"accelerators, each with {RATES.cores_a_device} cores", *[f"{math.ceil(c.devices):,}" for c in found]],
        ["accelerators, if pictures came decoded", *[f"{math.ceil(d):,}" for d in devices]],
        ["read from where the pictures are", *[f"{size(c.read_bytes_a_second)}/s" for c in found]],
        ["tables with 37 columns", *[size(c.table_bytes) for c in found]],
        ["index", *[size(c.index_bytes) for c in found]],
        ["memory of a process that asks, in one collection", *[size(c.memory_bytes) for c in found]],
        ["37 columns, hours of a core", *[f"{c.tag_core_seconds / 3600:,.3g}" for c in found]],
        ["one search by the index, seconds of a core", *[f"{c.search_core_seconds:,.3g}" for c in found]],
    ]


def committed(first: float, slope: float) -> list[list[str]]:
    """What the commits of a table write, one after another, by how many fragments it gets."""
    counts = (100, 1_000, 10_000, 100_000)
    return [[f"{n:,}", size(first + slope * n), size(first * n + slope * n * n / 2)] for n in counts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scale.md")
    chosen = parser.parse_args()
    rows, worst = check()
    with tempfile.TemporaryDirectory() as name:
        first, slope = commits(Path(name))
    head = ["workers", "fragments", "slow", "a worker fails", "commit, s", "model, s", "simulated, s", "of the runs"]
    head += ["model off by", f"listed as failed after {TRIES} tries (model)"]
    far = " and ".join(f"{100 * off:.1f} % with {each} fragments a worker" for each, off in worst.items())
    note = f"The model is off by at most {far}. Fragments of {FRAGMENT.seconds:g} s, {SEEDS} seeds a row."
    images = ["", *[f"{n:,.0f} images" for n in SIZES]]
    costs = needs([cost(n, RATES) for n in SIZES])
    fragments = ["fragments of the table", "written by the last commit", "by all commits, if each brings one"]
    steps = committed(first, slope)
    print(table(head, rows), note, table(images, costs), table(fragments, steps), sep="\n\n")
    if chosen.write:
        section("scale-needs", COMMAND, images, costs, page=PAGE)
        section("scale-simulation", COMMAND, head, rows, note, page=PAGE)
        measured = f"Measured over {COMMITS} commits of one row: {slope:.0f} bytes a fragment, and {first:.0f} besides."
        section("scale-commits", COMMAND, fragments, steps, measured, page=PAGE)


if __name__ == "__main__":
    main()
