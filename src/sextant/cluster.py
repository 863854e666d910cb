"""Work spread over the machines of a Ray cluster: items go to workers, their results come back in the items' order.

A worker is a process that holds what is dear to make, such as an encoder, and does one item after another. One that
dies is started again and its item is tried again; an item that ends its worker time after time comes back as `Lost`.
Results of a whole run are never held at once. Only this file imports Ray; it knows nothing of what the work is.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from sextant.errors import CollectionError, MissingExtra, UsageError
from sextant.settings import Settings
from sextant.types import Lost

RETRIES = 2  # of an item whose worker died, before it is given up
WAVE = 20_000  # items of one run of Ray Data; its plan is held in memory
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

Make = Callable[[], Callable[[Any], Any]]
"""Makes, once in each worker, the function that does one item."""


@dataclass(frozen=True)
class Cluster:
    """The cluster at an address, or one on this machine for as long as the process lives; what a worker takes of it."""

    address: str = ""
    cpus: int = 1
    gpus: int = 0
    workers: int = 0

    def spread(self, make: Make, items: Sequence[Any], *, alone: bool = False) -> Iterator[Any]:
        """The result of every item in order, `Lost` for one that is given up.

        With `alone` a worker is handed nothing else beside an item, so that only the item that ends it is counted as
        having done so. What the work raises is raised here.

        Raises:
            MissingExtra: Ray is not installed.
            CollectionError: the cluster cannot be reached, or no worker can be started in it.
        """
        ray = self._started()
        for start in range(0, len(items), WAVE):
            try:
                yield from self._wave(ray, make, items[start : start + WAVE], alone)
            except ray.exceptions.RayError as error:
                why = str(error).strip().splitlines()[-1]
                raise CollectionError(
                    f"the workers of the Ray cluster could not do it: {why}. They need the same Python, the same "
                    "packages, the pictures and the model under the same names; what was written is kept"
                ) from error

    def spread_all(self, make: Make, items: Sequence[Any]) -> Iterator[Any]:
        """The same, where every item is needed: one that is lost is an error."""
        for number, found in enumerate(self.spread(make, items)):
            if isinstance(found, Lost):
                raise CollectionError(
                    f"part {number + 1} of {len(items)} ended its worker {found.times} times: use --engine local, or "
                    "give the workers more memory"
                )
            yield found

    def _started(self) -> Any:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise MissingExtra("--engine ray", "cluster") from error
        if ray.is_initialized():
            return ray
        how = {"address": self.address} if self.address else {"include_dashboard": False}
        try:
            ray.init(**how, log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise CollectionError(
                f"no Ray cluster answers at '{self.address or 'this machine'}': {error}. Start one with `ray start "
                "--head`, or leave --address out to work on this machine"
            ) from error
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        return ray

    def _wave(self, ray: Any, make: Make, items: Sequence[Any], alone: bool) -> Iterator[Any]:
        from ray import cloudpickle
        from ray.data import ActorPoolStrategy, DataContext

        context = DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        context.max_errored_blocks = -1
        most = self.workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // self.cpus)
        blocks = [pa.table({"number": [n], "item": [cloudpickle.dumps(item)]}) for n, item in enumerate(items)]
        found = ray.data.from_arrow(blocks).map_batches(
            _Worker,
            batch_size=None,
            batch_format="pyarrow",
            fn_constructor_args=(cloudpickle.dumps(make),),
            compute=ActorPoolStrategy(
                min_size=1,
                max_size=max(1, min(most, len(blocks))),
                max_tasks_in_flight_per_actor=1 if alone else 2,
            ),
            num_cpus=self.cpus,
            num_gpus=self.gpus,
            max_restarts=-1,
            max_task_retries=RETRIES,
        )
        expected = 0
        for block in found.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1):
            for number, data in zip(block["number"].to_pylist(), block["result"].to_pylist(), strict=True):
                for _ in range(expected, number):
                    yield Lost(1 + RETRIES)
                fine, value = cloudpickle.loads(data)
                if not fine:
                    raise value
                yield value
                expected = number + 1
        for _ in range(expected, len(items)):
            yield Lost(1 + RETRIES)


class _Worker:
    """In a process of the cluster: does items that come as blocks of numbers and pickled items."""

    def __init__(self, make: bytes) -> None:
        from ray import cloudpickle

        self.loads, self.dumps, self.make = cloudpickle.loads, cloudpickle.dumps, make
        self.work: Callable[[Any], Any] | None = None  # made with the first item: a worker that fails here is restarted

    def __call__(self, block: pa.Table) -> pa.Table:
        """Number and pickled result of each: whether it went well, and what came out or was raised."""
        found = [self._done(item) for item in block["item"].to_pylist()]
        return pa.table({"number": block["number"], "result": pa.array(found, pa.large_binary())})

    def _done(self, item: bytes) -> bytes:
        try:
            if self.work is None:
                self.work = self.loads(self.make)()
            return bytes(self.dumps((True, self.work(self.loads(item)))))
        except Exception as error:  # noqa: BLE001 – raised again where somebody can hear it
            return self._said(error)

    def _said(self, error: Exception) -> bytes:
        """An error as it is, or its words where it cannot travel."""
        try:
            data = bytes(self.dumps((False, error)))
            self.loads(data)
        except Exception:  # noqa: BLE001 – others' errors may hold anything
            data = bytes(self.dumps((False, CollectionError(f"a worker failed: {type(error).__name__}: {error}"))))
        return data


def of(settings: Settings) -> Cluster | None:
    """The cluster that the settings ask for; None where everything is done in this process.

    Raises:
        UsageError: a collection's own settings name its address. Whoever answers there can run code here.
    """
    if settings.engine == "local":
        return None
    source = settings.sources.get("address", "argument")
    if settings.address and source not in ("argument", "environment"):
        raise UsageError(f"{source}: a collection cannot say which cluster to trust; use --address or SEXTANT_ADDRESS")
    gpus = int(settings.device == "cuda")
    return Cluster(settings.address, cpus=settings.threads or 1, gpus=gpus, workers=settings.actors)
