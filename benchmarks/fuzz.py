"""Fuzzes everything that reads input from outside, and says what came out that should not have.

    python benchmarks/fuzz.py                                    every target, its full count
    python benchmarks/fuzz.py images --count 5000 --seed 1       one target
    python benchmarks/fuzz.py images --seed 0 --replay 4711      one input again, with its traceback
    python benchmarks/fuzz.py images --replay 4711 --save case   the input as a file, nothing run

Held for every input: nothing comes out but the error that the target is allowed; it takes at most 10 s; it needs at
most 2 GiB more than the idle worker (RLIMIT_AS); the process lives. An input is made from target, seed and number
alone, so these three replay it. Workers are processes of their own: one that dies is a finding, and the run goes on
behind it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import mmap
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SECONDS = 10
GIB = 1 << 30
MEMORY = 2 * GIB
DEFAULTS = {"images": 100_000, "bundles": 10_000, "sql": 3_000, "searches": 10_000, "requests": 10_000}
COUNT = 20_000
FINE = ("accepted", "refused", "at limit")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "RAYON_NUM_THREADS": "1"}


def main() -> int:
    """Runs the targets that were asked for; the exit status says whether anything was found."""
    arguments = _arguments()
    if arguments.worker:
        return _work(arguments)
    names = arguments.targets or list(targets())
    if unknown := set(names) - targets().keys():
        sys.exit(f"no target {', '.join(sorted(unknown))}; there are {', '.join(targets())}")
    if arguments.replay is not None:
        return _replay(names[0], arguments)
    rows = [_campaign(name, arguments) for name in names]
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 1 if any(row["findings"] for row in rows) else 0


def targets() -> dict[str, Any]:
    """Every target by name."""
    from fuzz_requests import Requests
    from fuzz_targets import TARGETS

    return {**TARGETS, "requests": Requests}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--count", type=int, help="inputs a target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="the number of the first input")
    parser.add_argument("--replay", type=int, help="the number of one input to run again here")
    parser.add_argument("--save", help="write the replayed input to this file instead of running it")
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


# the run of one target


def _campaign(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    start, count = arguments.start, arguments.count or DEFAULTS.get(name, COUNT)
    began, at, stop = time.monotonic(), start, start + count
    tally: Counter[str] = Counter()
    found: dict[str, dict[str, Any]] = {}
    slowest, peak = 0.0, 0
    while at < stop:
        part, at = _worker(name, arguments.seed, at, stop)
        tally.update(part.get("tally", {}))
        slowest, peak = max(slowest, part.get("slowest", 0.0)), max(peak, part.get("peak", 0))
        for finding in part["findings"]:
            known = found.setdefault(finding["what"], {**finding, "times": 0})
            known["times"] += 1
            if known["times"] == 1:
                print(f"  {name} {finding['number']}: {finding['what']}", flush=True)
    row = {
        "target": name,
        "seed": arguments.seed,
        "inputs": count,
        "accepted": tally["accepted"],
        "refused": tally["refused"],
        "at_limit": tally["at limit"],
        "findings": list(found.values()),
        "slowest_ms": round(1000 * slowest),
        "peak_mib": peak >> 20,
        "seconds": round(time.monotonic() - began),
    }
    print(
        f"{name}: {count:,} inputs, {row['accepted']:,} accepted, {row['refused']:,} refused, "
        f"{row['at_limit']} at the limit of memory, {len(found)} findings, "
        f"slowest {row['slowest_ms']} ms, peak {row['peak_mib']} MiB, {row['seconds']} s",
        flush=True,
    )
    return row


def _worker(name: str, seed: int, start: int, stop: int) -> tuple[dict[str, Any], int]:
    """What one worker found from `start` on, and where to go on: behind the input that killed it, or at the end."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        place = Path(scratch) / "place"
        place.write_bytes(bytes(mmap.PAGESIZE))
        command = [sys.executable, __file__, "--worker", scratch, "--seed", str(seed), "--start", str(start)]
        command += ["--count", str(stop - start), name]
        path = os.pathsep.join([str(Path(__file__).resolve().parents[1] / "src"), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": path}
        with (Path(scratch) / "errors").open("wb+") as errors:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, env=environment, check=False)
            errors.seek(0)
            said = errors.read()[-4000:].decode("utf-8", "replace")
        result = Path(scratch) / "result.json"
        part: dict[str, Any] = json.loads(result.read_text()) if result.is_file() else {"findings": []}
        if done.returncode == 0:
            return part, stop
        reached = int.from_bytes(place.read_bytes()[:8], "little")
        if reached == 0:
            raise RuntimeError(f"the worker of {name} did not start:\n{said}")
        number, cause = reached - 1, -done.returncode
        what = "hang: over 10 s" if cause == signal.SIGALRM else f"crash: {_signal(cause)}"
        last = said.strip().splitlines()[-1:] if cause != signal.SIGALRM else []
        part["findings"].append({"number": number, "what": " ".join([what, *last])[:300]})
        return part, number + 1


def _signal(number: int) -> str:
    return signal.Signals(number).name if number > 0 else f"exit status {-number}"


# in the worker


def _work(arguments: argparse.Namespace) -> int:
    (name,) = arguments.targets
    scratch = Path(arguments.worker) / "scratch"
    scratch.mkdir()
    target = targets()[name](scratch)
    warnings.simplefilter("ignore")
    _run_once(target, name, arguments)  # so that what is loaded once is not counted as an input's memory
    _limit_memory()
    result = Path(arguments.worker) / "result.json"
    tally: Counter[str] = Counter()
    findings: list[dict[str, Any]] = []
    slowest = 0.0
    with (Path(arguments.worker) / "place").open("rb+") as file, mmap.mmap(file.fileno(), 0) as place:
        for number in range(arguments.start, arguments.start + arguments.count):
            place[:8] = (number + 1).to_bytes(8, "little")
            case = target.make(_generator(name, arguments.seed, number))
            began = time.monotonic()
            with _time_limit():
                outcome = _outcome(target, case)
            slowest = max(slowest, time.monotonic() - began)
            tally[outcome if outcome in FINE else "found"] += 1
            if outcome not in FINE:
                findings.append({"number": number, "what": outcome})
            if number % 500 == 0 or outcome not in FINE:
                _keep(result, tally, findings, slowest)
    _keep(result, tally, findings, slowest)
    return 0


def _keep(result: Path, tally: Counter[str], findings: list[dict[str, Any]], slowest: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    kept = {"tally": tally, "findings": findings, "slowest": slowest, "peak": peak}
    result.with_suffix(".new").write_text(json.dumps(kept), encoding="utf-8")
    result.with_suffix(".new").replace(result)


def _generator(name: str, seed: int, number: int) -> random.Random:
    return random.Random(f"{name}:{seed}:{number}")


def _run_once(target: Any, name: str, arguments: argparse.Namespace) -> None:
    for number in range(20):
        _outcome(target, target.make(_generator(name, arguments.seed - 1, number)))


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * mmap.PAGESIZE + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    """The kernel ends the process after 10 s, whatever it is doing."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _outcome(target: Any, case: Any) -> str:
    """One of `FINE`, or what came out that should not have; "at limit" is a refusal for want of the 2 GiB."""
    try:
        target.check(case)
    except target.allowed as error:
        if not str(error).strip() and "detail" not in vars(error):
            return f"an empty message of {_where(error)}"
        return "at limit" if _is_memory(error) else "refused"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 – a Rust panic is no Exception
        return _signature(error)
    return "accepted"


def _is_memory(error: BaseException | None) -> bool:
    return error is not None and (isinstance(error, MemoryError) or _is_memory(error.__cause__ or error.__context__))


def _signature(error: BaseException) -> str:
    words = re.sub(r"\d+|'[^']*'|\"[^\"]*\"", "…", str(error))  # what differs from input to input
    return f"{type(error).__name__} in {_where(error)}: {words[:120]!a}"


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/sextant/" in f.filename] or list(frames)
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "nowhere"


# again


def _replay(name: str, arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        target = targets()[name](Path(scratch))
        case = target.make(_generator(name, arguments.seed, arguments.replay))
        if arguments.save:
            plain = case if isinstance(case, bytes) else repr(case).encode()
            Path(arguments.save).write_bytes(
                next((p for p in case if isinstance(p, bytes)), plain) if isinstance(case, tuple) else plain
            )
            return 0
        print(repr(case)[:3000])
        target.check(case)
        print("accepted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
