"""What the demo knows that no real collection does: which of its answers are right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sextant.collection import Collection
from sextant.demo import tour, truth_table
from sextant.maths.rules import ACCEPTED
from sextant.types import Hit


class Measured:
    """A collection of drawn pictures beside the truth about them. Pictures that were added by hand do not count."""

    def __init__(self, photos: Collection, folder: Path, domain: tour.Domain) -> None:
        self.photos = photos
        self.truth = tour.truth(folder)
        self.codes = tour.codes(domain)
        self.view = photos.view(photos.codes())
        paths = self.view.paths.to_pylist()
        self.places = np.array([i for i, path in enumerate(paths) if path in self.truth], np.intp)
        self.paths = [paths[i] for i in self.places]
        self.truths = [self.truth[path].shows for path in self.paths]

    @property
    def images(self) -> int:
        """How many images there is a truth about; exact copies are one image."""
        return len(self.paths)

    def table(self) -> tuple[list[truth_table.Row], truth_table.Summary]:
        """A row for every attribute that the truth knows and the collection has, and all of them together."""
        present = set(self.view.codes())
        rows = [self._row(code) for code in self.codes if code in present]
        return rows, truth_table.summary(rows)

    def _row(self, code: str) -> truth_table.Row:
        values = self.view.values(code)
        shown = np.array([code in truth for truth in self.truths], bool)
        confidence, accepted = values.confidence[self.places], values.band[self.places] == ACCEPTED
        return truth_table.row(code, self.view.state(code), confidence, accepted, shown)

    def query(self, rule: str) -> truth_table.Answer:
        """How many images a rule chooses, and how many it should."""
        found = set(self.photos.query(rule).table["path"].to_pylist())
        chosen = np.array([path in found for path in self.paths], bool)
        return truth_table.answer(chosen, truth_table.holds(rule, self.codes, self.truths))

    def shows(self, path: str, codes: frozenset[str]) -> bool | None:
        """Whether a picture shows all of these; None for one that the demo did not draw."""
        known = self.truth.get(path)
        return None if known is None else codes <= known.shows

    def amount(self, codes: frozenset[str]) -> int:
        """How many images show all of these."""
        return sum(codes <= truth for truth in self.truths)

    def described(self, path: str) -> str:
        """The path, and the caption that the truth has for it."""
        return f"{path} · {self.truth[path].caption}" if path in self.truth else path

    def one_a_burst(self, hits: Sequence[Hit]) -> list[Hit]:
        """The hits, with the first of every burst of near-duplicates for all of it."""
        seen: set[str] = set()
        kept = []
        for hit in hits:
            known = self.truth.get(hit.path)
            burst = (known and known.burst) or hit.path
            if burst not in seen:
                seen.add(burst)
                kept.append(hit)
        return kept
