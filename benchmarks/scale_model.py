"""What a run over very many images costs, in closed form: arithmetic alone, every measured rate handed in.

A run is cut into fragments of equal size. A worker takes one, computes it, and hands the result to a coordinator that
commits it; a worker that fails loses the fragment it was at, comes back, and the fragment is done again by whoever is
free. `scale.py` simulates the same thing event by event and holds the result against `makespan`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

DAY = 86_400.0
STEPS = 2_000


@dataclass(frozen=True, slots=True)
class Work:
    """A run: how many fragments, the seconds that one takes a worker, and how much that varies (σ over mean)."""

    fragments: int
    seconds: float
    spread: float = 0.0
    commit_seconds: float = 0.0
    """Seconds that the coordinator needs for each, one after another."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Who does it. `slow` of the workers take `slowness` times as long; each fails every `between_failures` seconds."""

    workers: int
    slow: int = 0
    slowness: float = 1.0
    between_failures: float = math.inf
    restart_seconds: float = 0.0

    @property
    def speeds(self) -> list[float]:
        """How many times longer than usual each worker takes."""
        return [self.slowness] * self.slow + [1.0] * (self.workers - self.slow)


def expected_seconds(seconds: float, spread: float, between_failures: float, restart: float) -> float:
    """The mean time to finish a fragment that is begun anew after every failure.

    With failures at rate λ it is (E[exp(λS)] − 1) · (1/λ + restart), from the memoryless law of failures; S is taken
    to vary as a logarithmic normal, whose mean of exp(λS) is expanded to the second order.
    """
    if math.isinf(between_failures):
        return seconds
    rate = 1 / between_failures
    grown = math.exp(rate * seconds) * (1 + (rate * seconds * spread) ** 2 / 2)
    return (grown - 1) * (between_failures + restart)


def throughput(work: Work, cluster: Cluster) -> float:
    """Fragments a second while there are enough: of the workers together, or of the coordinator if it is slower."""
    times = _times(work, cluster)
    together = sum(1 / t for t in times)
    return min(together, 1 / work.commit_seconds) if work.commit_seconds else together


def makespan(work: Work, cluster: Cluster) -> float:
    """Seconds from the first fragment to the last.

    When none is left to begin, every worker is somewhere in one: on average half of each is done, so that came after
    (F − W/2) / throughput. What remains is the longest of the rests, each spread evenly over that worker's time.
    """
    times = _times(work, cluster)
    begun = max(0.0, work.fragments - len(times) / 2) / throughput(work, cluster)
    return max(begun + _longest(times), max(times)) + work.commit_seconds


def _times(work: Work, cluster: Cluster) -> list[float]:
    speeds = cluster.speeds[: max(1, work.fragments)] if work.fragments < cluster.workers else cluster.speeds
    known = {
        s: expected_seconds(work.seconds * s, work.spread, cluster.between_failures, cluster.restart_seconds)
        for s in set(speeds)
    }
    return [known[s] for s in speeds]


def _longest(times: list[float]) -> float:
    """The mean of the largest of independent rests, each even between 0 and one of the times: ∫ 1 − Π F(t) dt."""
    top, total = max(times), 0.0
    for step in range(STEPS):
        t = (step + 0.5) * top / STEPS
        total += 1 - math.prod(min(1.0, t / each) for each in times)
    return total * top / STEPS


def lost(work: Work, cluster: Cluster, tries: int) -> float:
    """How many fragments are expected to fail at every try and to be listed as failed."""
    if math.isinf(cluster.between_failures):
        return 0.0
    chances = [1 - math.exp(-work.seconds * s / cluster.between_failures) for s in cluster.speeds]
    shares = [1 / s for s in cluster.speeds]
    chance = sum(c * w for c, w in zip(chances, shares, strict=True)) / sum(shares)
    return work.fragments * chance**tries


# what a collection of n images is


@dataclass(frozen=True, slots=True)
class Rates:
    """What one machine does, measured; `docs/scale.md` names the command of each."""

    decoded_a_core: float
    """Photos a second that one core reads and shrinks."""
    encoded_a_device: float
    """Images a second that one accelerator encodes when it never waits."""
    cores_a_device: int
    picture_bytes: float
    row_bytes: float
    column_bytes: float
    index_bytes: float
    tagged_a_core: float
    """Images a second that one core gives a whole vocabulary of columns, from stored vectors."""
    memory_bytes: float
    """Of one process that asks about the collection."""
    scanned_a_core: float
    """Codes a second that one core reads in a search by the index."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What n images need, if they are to be added within some seconds."""

    images: float
    cores: float
    devices: float
    read_bytes_a_second: float
    table_bytes: float
    index_bytes: float
    memory_bytes: float
    tag_core_seconds: float
    search_core_seconds: float


def cost(images: float, rates: Rates, *, columns: int = 37, within: float = DAY) -> Cost:
    """What it takes. Devices come with their cores, so whichever is wanted most decides how many machines."""
    wanted = images / within
    cores = wanted / rates.decoded_a_core
    return Cost(
        images=images,
        cores=cores,
        devices=max(wanted / rates.encoded_a_device, cores / rates.cores_a_device),
        read_bytes_a_second=wanted * rates.picture_bytes,
        table_bytes=images * (rates.row_bytes + columns * rates.column_bytes),
        index_bytes=images * rates.index_bytes,
        memory_bytes=images * rates.memory_bytes,
        tag_core_seconds=images / rates.tagged_a_core,
        search_core_seconds=images / rates.scanned_a_core,
    )
