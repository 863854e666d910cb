"""What a target of the fuzzer is: how an input is made from a seeded generator, what reads it, and what may come out.

`make` gives one input; `check` hands it to Sextant and returns when it was accepted. Whatever it raises that is not of
`allowed` is a finding. Everything is set up in the worker, in a scratch folder of its own.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from sextant.errors import SextantError

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = ROOT.parent / "shared" / "real" / "photos"
CODES = ("earth", "moon", "dog", "red_car")


class Broken(Exception):
    """Something that must always hold does not."""


class Target:
    """One reader of input from outside."""

    allowed: tuple[type[Exception], ...] = (SextantError,)

    def __init__(self, scratch: Path) -> None:
        self.file = scratch / "input"

    def make(self, rng: random.Random) -> Any:
        raise NotImplementedError

    def check(self, case: Any) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Gives back what was set up."""

    def written(self, case: Any, suffix: str) -> Path:
        """The input as a file; a text may hold what UTF-8 cannot."""
        path = self.file.with_suffix(suffix)
        path.write_bytes(case if isinstance(case, bytes) else case.encode("utf-8", "surrogatepass"))
        return path
