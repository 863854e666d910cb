"""Print how often each attribute of the demo is true, or how fast pictures are drawn."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from sextant.demo import scenes


def prevalences(count: int, *, style: str | None = None) -> dict[str, float]:
    """The share of the first `count` training seeds of which each code is true. Draws nothing."""
    counts = Counter(code for seed in range(count) for code in scenes.plan(seed, style).attributes)
    return {code: counts[code] / count for code in scenes.ATTRIBUTES + scenes.DERIVED}


def speed(count: int, *, size: int = 256) -> float:
    """Pictures drawn a second with all cores, their start included."""
    begun = time.perf_counter()
    drawn = sum(1 for _ in scenes.draw_many(range(count), size=size))
    return drawn / (time.perf_counter() - begun)


def main(arguments: list[str] | None = None) -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m sextant.demo.prevalences", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=20_000, help="how many seeds")
    parser.add_argument("--speed", action="store_true", help="draw them and print pictures per second")
    chosen = parser.parse_args(arguments)
    if chosen.count < 1:
        parser.error("count must be at least 1")
    if chosen.speed:
        sys.stdout.write(f"{speed(chosen.count):.0f} pictures a second\n")
        return
    for code, share in prevalences(chosen.count).items():
        sys.stdout.write(f"{code:24}{share:8.2%}\n")


if __name__ == "__main__":
    main()
