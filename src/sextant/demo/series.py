"""Collections on disk: pictures as files, bursts of near-duplicates, exact copies, and the truth beside them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sextant.demo.captions import caption_of
from sextant.demo.kinds import MOST_SEED, plan
from sextant.demo.parallel import mapped
from sextant.demo.planning import Plan
from sextant.demo.render import render
from sextant.errors import UsageError

MOST = 1_000_000
TRUTH = "truth.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file to write: a plan, the series it belongs to, or the earlier file that it repeats byte for byte."""

    path: str
    plan: Plan
    series: str | None = None
    copy_of: str | None = None


def entries(count: int, *, seed: int, bursts: float, copies: float) -> Iterator[Entry]:
    """What a collection holds, in the order of its file names. Seeds run on from `seed`.

    About `bursts` of the pictures belong to series of three to six near-duplicates, about `copies` are exact copies.
    """
    rng = np.random.default_rng([seed, 70])
    written: list[Entry] = []
    fresh = seed
    while len(written) < count:
        number = len(written)
        if written and rng.random() < copies:
            original = written[int(rng.integers(len(written)))]
            suffix = Path(original.path).suffix
            entry = replace(original, path=f"{number:06d}-copy{suffix}", copy_of=original.copy_of or original.path)
            written.append(entry)
            yield entry
            continue
        takes = int(rng.integers(3, 7)) if rng.random() < bursts / 4.5 / max(1 - bursts + bursts / 4.5, 1e-9) else 1
        whole, series = plan(fresh, aspect=True), f"series-{fresh}" if takes > 1 else None
        takes = min(takes, count - number)
        for take in range(takes):
            suffix = "png" if rng.random() < 0.06 else "jpg"
            entry = Entry(f"{number + take:06d}.{suffix}", replace(whole, take=take), series)
            written.append(entry)
            yield entry
        fresh += 1


def collection(
    folder: Path | str,
    count: int,
    *,
    seed: int,
    size: int = 256,
    bursts: float = 0.12,
    copies: float = 0.02,
    processes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Draw `count` pictures into a folder and return their truth, which is also written as `truth.jsonl`.

    Each file appears whole or not at all. `progress(done, count)` is called after each picture.
    Raises UsageError for a count outside 1..1,000,000, a bad seed, size or share, or a folder that cannot be written.
    """
    _check(count, seed, size, bursts, copies)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / ".probe", b"")
        (folder / ".probe").unlink()
    except OSError as error:
        raise UsageError(
            f"cannot write into {folder}: {error.strerror or error}; choose another folder with --dir"
        ) from error
    planned = list(entries(count, seed=seed, bursts=bursts, copies=copies))
    originals = [entry for entry in planned if entry.copy_of is None]
    done = 0
    jobs = ((entry.path, entry.plan, size) for entry in originals)
    copied: dict[str, list[str]] = {}
    for entry in planned:
        if entry.copy_of is not None:
            copied.setdefault(entry.copy_of, []).append(entry.path)
    try:
        for name, data in mapped(_encoded, jobs, processes):
            for target in (name, *copied.get(name, ())):
                _write(folder / target, data)
                done += 1
                if progress:
                    progress(done, count)
        records = [_record(entry) for entry in planned]
        lines = "".join(json.dumps(record, sort_keys=True) + "\n" for record in records)
        _write(folder / TRUTH, lines.encode())
    except OSError as error:
        raise UsageError(
            f"cannot write into {folder}: {error.strerror or error}; choose another folder with --dir"
        ) from error
    return records


def _check(count: int, seed: int, size: int, bursts: float, copies: float) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST:
        raise UsageError(f"a collection has 1 to {MOST:,} pictures, not {count!r}; say another number with --images")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < MOST_SEED - MOST:
        raise UsageError(f"a seed is a whole number from 0 to 2**62 - 1, not {seed!r}")
    if not 16 <= size <= 4096:
        raise UsageError(f"a picture is 16 to 4096 pixels wide, not {size!r}")
    for name, share in (("bursts", bursts), ("copies", copies)):
        if not 0 <= share <= 0.9:
            raise UsageError(f"the share of {name} is between 0 and 0.9, not {share!r}")


def _record(entry: Entry) -> dict[str, Any]:
    return {
        "path": entry.path,
        "seed": entry.plan.seed,
        "style": entry.plan.style,
        "attributes": sorted(entry.plan.attributes),
        "caption": caption_of(entry.plan),
        "series": entry.series,
        "copy_of": entry.copy_of,
    }


def _encoded(job: tuple[str, Plan, int]) -> tuple[str, bytes]:
    """Draw one picture and encode it as its suffix says."""
    name, whole, size = job
    buffer = io.BytesIO()
    picture = render(whole, size)
    if name.endswith("png"):
        picture.save(buffer, "PNG", compress_level=3)
    else:
        picture.save(buffer, "JPEG", quality=whole.quality)
    return name, buffer.getvalue()


def _write(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)
