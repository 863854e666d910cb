"""What an export is about: the images of a rule or of bands, and for each the attributes that it shows there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.errors import UsageError
from sextant.maths.rules import Rule
from sextant.types import Band
from sextant.view import View

BANDS: tuple[Band, ...] = ("unknown", "rejected", "tentative", "accepted")
"""In the order of their numbers, from -1."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One attribute that an image shows, in a band of the selection. `confidence` is None where only a rule says so."""

    code: str
    confidence: float | None
    band: Band
    source: str


@dataclass(frozen=True, slots=True)
class Picked:
    """One image of a selection: its row in the view, id, path, and what it shows."""

    row: int
    id: str
    path: str
    shown: tuple[Shown, ...]


class Selection:
    """Images for which a rule is true, and their attributes in the given bands (accepted, when none are named).

    Where bands are named, images that show nothing in them are left out, unless `narrow` is off. Without `codes` all of
    the vocabulary's count. Raises `UsageError` for a band that does not exist.
    """

    def __init__(
        self,
        view: View,
        *,
        rule: Rule | None = None,
        codes: Sequence[str] | None = None,
        bands: Sequence[str] = (),
        narrow: bool = True,
    ) -> None:
        for name in bands:
            if name not in BANDS[1:]:
                raise UsageError(f"no band '{name}'; bands are accepted, tentative and rejected")
        self.view, self.narrowed = view, narrow and bool(bands)
        self.codes = tuple(dict.fromkeys(codes)) if codes else tuple(c for c in view.codes() if view.describe(c))
        self.bands = frozenset(bands or ("accepted",))
        self._rows = view.mask(rule) if rule else np.ones(len(view), np.bool_)

    @cached_property
    def rows(self) -> NDArray[np.intp]:
        """The rows of the view that are selected."""
        if not self.narrowed:
            return np.flatnonzero(self._rows)
        shows = np.zeros(len(self.view), np.bool_)
        for code in self.codes:
            shows |= self._within(code)
        return np.flatnonzero(self._rows & shows)

    def _within(self, code: str) -> NDArray[np.bool_]:
        wanted = [BANDS.index(band) - 1 for band in self.bands]
        return np.isin(self.view.values(code).band, wanted)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Picked]:
        columns = [(c, self._within(c), self.view.values(c), self.view.source(c)) for c in self.codes]
        ids, paths = self.view.ids.to_pylist(), self.view.paths.to_pylist()
        for row in self.rows.tolist():
            shown = tuple(
                Shown(code, number(values.confidence[row]), BANDS[int(values.band[row]) + 1], str(source[row]))
                for code, within, values, source in columns
                if within[row]
            )
            yield Picked(row, ids[row], paths[row], shown)

    def label(self, code: str) -> str:
        """What people call an attribute."""
        item = self.view.describe(code)
        return item.label if item else code

    def kind(self, code: str) -> str:
        """The type that the vocabulary gives an attribute; empty where it gives none."""
        item = self.view.describe(code)
        return item.type if item else ""

    def facts(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """Facts of every image of the view, by name."""
        return {name: self.view.fact(name).to_pylist() for name in names}

    def confidences(self, row: int) -> dict[str, float | None]:
        """The confidence of every attribute of the selection for one image, in any band."""
        return {code: number(self.view.values(code).confidence[row]) for code in self.codes}


def number(value: Any) -> float | None:
    """A confidence as JSON can hold it."""
    return None if math.isnan(value) else float(value)
