"""Names and files as people give them, for every part of `Collection`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sextant.edges import Edges
from sextant.errors import UsageError
from sextant.paths import expanded
from sextant.types import (
    Progress,
)
from sextant.view import View
from sextant.vocabulary import did_you_mean

if TYPE_CHECKING:
    pass

Report = Callable[[Progress], None]


class Named(Edges):
    """Finds what a person means by a name."""

    def _truth(self, view: View, file: str | os.PathLike[str] | None) -> Mapping[str, Mapping[str, bool]] | None:
        """The answers in a file, by code and image; images that the collection does not have are passed over."""
        from sextant import answers
        from sextant import labels as labelling

        if file is None:
            return None
        path = expanded(file)
        derived = self._derived()
        return answers.settled(
            labelling.read(path, view.find, view.codes(), person="", strangers=True, derived=derived)
        )

    def _derived(self) -> list[str]:
        return [item.code for item in self.vocabulary.derived] if self.vocabulary else []

    def _image(self, view: View, name: str) -> str:
        found = view.find(name)
        if found is None:
            near = did_you_mean(name, view.paths.to_pylist()) if len(view) < 50_000 else ""
            raise UsageError(f"no image '{name}' in the collection.{near}")
        return found
