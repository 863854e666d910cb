"""The closed form of a run on many machines, and the simulation that it is held against."""

from __future__ import annotations

import math
import sys
from itertools import pairwise
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import scale
import scale_model as model

sys.path.pop(0)
RATES = model.Rates(
    decoded_a_core=100,
    encoded_a_device=1_000,
    cores_a_device=4,
    picture_bytes=1e6,
    row_bytes=2_000,
    column_bytes=4,
    index_bytes=1_000,
    tagged_a_core=50_000,
    memory_bytes=500,
    scanned_a_core=1e7,
)


# what is known without computing


def test_one_worker_that_never_fails_takes_as_long_as_its_fragments() -> None:
    assert model.makespan(model.Work(50, 20.0), model.Cluster(1)) == pytest.approx(50 * 20.0, rel=1e-3)


def test_equal_workers_share_fragments_and_wait_for_the_last() -> None:
    """(F − W/2) · S / W and the largest of W even rests, S · W / (W + 1)."""
    seconds = model.makespan(model.Work(400, 10.0), model.Cluster(8))
    assert seconds == pytest.approx((400 - 4) * 10 / 8 + 10 * 8 / 9, rel=1e-4)


def test_a_fragment_that_begins_anew_takes_what_the_law_of_failures_says() -> None:
    assert model.expected_seconds(10, 0.0, math.inf, 5) == 10
    assert model.expected_seconds(10, 0.0, 100, 0) == pytest.approx((math.exp(0.1) - 1) * 100)
    assert model.expected_seconds(10, 0.0, 1e9, 5) == pytest.approx(10, rel=1e-5)


def test_a_slow_coordinator_is_the_limit_whoever_works() -> None:
    work = model.Work(1_000, 10.0, commit_seconds=2.0)
    assert model.throughput(work, model.Cluster(64)) == 0.5
    assert model.throughput(work, model.Cluster(1)) == 0.1


def test_fragments_that_fail_every_time_are_expected_as_often_as_chance_says() -> None:
    work = model.Work(1_000, 10.0)
    chance = 1 - math.exp(-10 / 20)
    assert model.lost(work, model.Cluster(4, between_failures=20), 3) == pytest.approx(1_000 * chance**3)
    assert model.lost(work, model.Cluster(4), 3) == 0


# what must not turn round


def test_more_workers_fewer_failures_and_fewer_stragglers_never_cost_time() -> None:
    work = model.Work(640, 10.0, 0.2)
    by_workers = [model.makespan(work, model.Cluster(w)) for w in (1, 2, 8, 64)]
    by_failures = [model.makespan(work, model.Cluster(8, between_failures=b)) for b in (30, 300, 3_000, math.inf)]
    by_slow = [model.makespan(work, model.Cluster(8, slow, 4.0)) for slow in (8, 4, 1, 0)]
    for series in (by_workers, by_failures, by_slow):
        assert all(later < earlier for earlier, later in pairwise(series))


# the simulation


def test_a_simulated_run_does_every_fragment_once_or_lists_it() -> None:
    work = model.Work(200, 10.0, 0.3)
    for seed in range(5):
        ran = scale.simulate(work, model.Cluster(16, 2, 4.0, 60.0, 5.0), seed, tries=3)
        assert ran.done + ran.failed == 200
        assert ran.failures >= ran.failed
    assert scale.simulate(work, model.Cluster(16), 0).failures == 0


def test_a_seed_decides_a_run() -> None:
    work, cluster = model.Work(100, 10.0, 0.3), model.Cluster(4, between_failures=100.0, restart_seconds=5.0)
    assert scale.simulate(work, cluster, 7) == scale.simulate(work, cluster, 7)
    assert scale.simulate(work, cluster, 7) != scale.simulate(work, cluster, 8)


def test_without_chance_the_simulation_is_the_schedule_that_one_can_draw() -> None:
    """Five fragments of 10 s for two workers: the odd one out ends at 30 s."""
    assert scale.simulate(model.Work(5, 10.0), model.Cluster(2), 0).seconds == pytest.approx(30.0)
    assert scale.simulate(model.Work(6, 10.0, commit_seconds=20.0), model.Cluster(6), 0).seconds == pytest.approx(130.0)


@pytest.mark.parametrize(
    "cluster",
    [
        model.Cluster(16),
        model.Cluster(16, 1, 4.0),
        model.Cluster(16, between_failures=10_000.0, restart_seconds=60.0),
        model.Cluster(64, 4, 4.0, 1_000.0, 60.0),
    ],
)
def test_the_model_predicts_the_simulation(cluster: model.Cluster) -> None:
    work = model.Work(100 * cluster.workers, 100.0, 0.2)
    seen = [scale.simulate(work, cluster, seed).seconds for seed in range(4)]
    assert model.makespan(work, cluster) == pytest.approx(sum(seen) / len(seen), rel=0.03)


def test_the_model_predicts_the_listed_fragments() -> None:
    work, cluster = model.Work(2_000, 100.0), model.Cluster(16, between_failures=200.0, restart_seconds=10.0)
    seen = [scale.simulate(work, cluster, seed, tries=2).failed for seed in range(4)]
    assert model.lost(work, cluster, 2) == pytest.approx(sum(seen) / len(seen), rel=0.15)


# arithmetic of costs


def test_costs_are_proportional_to_the_images() -> None:
    few, many = (model.cost(n, RATES) for n in (1e6, 1e8))
    for name in ("cores", "devices", "read_bytes_a_second", "table_bytes", "index_bytes", "memory_bytes"):
        assert getattr(many, name) == pytest.approx(100 * getattr(few, name))


def test_costs_are_what_the_rates_say() -> None:
    found = model.cost(8.64e6, RATES, columns=10, within=86_400)
    assert (found.cores, found.read_bytes_a_second) == (1.0, 1e8)
    assert found.devices == 0.25  # 4 cores come with each: decoding wants a quarter of one, encoding a tenth
    assert found.table_bytes == pytest.approx(8.64e6 * 2_040)
    assert found.tag_core_seconds == pytest.approx(172.8)


@pytest.mark.parametrize(
    ("value", "said"), [(1.0, "1 B"), (999.0, "999 B"), (2.17e9, "2.17 GB"), (2.3e13, "23 TB"), (5e18, "5e+03 PB")]
)
def test_sizes_have_the_unit_in_which_they_are_short(value: float, said: str) -> None:
    assert scale.size(value) == said
