"""The collections that are served, by name, each with a lock for whoever writes. Knows nothing of HTTP."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sextant.collection import Collection
from sextant.errors import CollectionError
from sextant.place import Place, lies
from sextant.view import View

MOST_ORDERS = 16
"""Orders of images that are kept for paging, by question, as long as nothing is written."""


class Unknown(LookupError):
    """There is nothing of this name here: a collection, an image or a column."""


@dataclass
class Served:
    """One collection under the name it is served by. Reading needs no lock; whoever writes takes `writing`.

    `swapping` turns some neighbours of answers round, so that feedback tells where people look.
    """

    name: str
    collection: Collection
    swapping: bool = False
    writing: threading.RLock = field(default_factory=threading.RLock)
    reading: threading.RLock = field(default_factory=threading.RLock)

    @property
    def root(self) -> Path:
        """The folder that paths are relative to."""
        return self.collection.folder

    def view(self, codes: Iterable[str] = ()) -> View:
        """What the collection says now. Only one thread at a time makes a new view, so that none is made twice."""
        with self.reading:
            return self.collection.view(codes)

    def image(self, name: str) -> str:
        """The id of an image of the collection. Never a file elsewhere, whatever the name looks like."""
        if name in self.view().places:
            return name
        raise Unknown(f"no image '{name[:80]}' in the collection '{self.name}'")

    def column(self, code: str) -> str:
        """A code that exists."""
        if code in self.view().codes():
            return code
        raise Unknown(f"no column '{code[:80]}' in the collection '{self.name}'")

    def file(self, image: str) -> Place:
        """Where the file of an image lies, as the collection has recorded it."""
        view = self.view()
        place = view.places.get(self.image(image))
        return lies(self.root, str(view.paths[place]))

    def kept(self, view: View, key: str, make: Any) -> Any:
        """What `make()` gives, worked out once for a view and a question."""
        held: dict[str, Any] = view.memo.setdefault("web", {})
        if key not in held:
            if len(held) >= MOST_ORDERS:
                held.pop(next(iter(held)), None)
            held[key] = make()
        return held[key]


class Shelf:
    """All collections that are served, by name."""

    def __init__(self, collections: Iterable[Collection], *, swapping: bool = False) -> None:
        self._served: dict[str, Served] = {}
        for collection in collections:
            name = self._free(slug(collection.folder.name))
            self._served[name] = Served(name, collection, swapping)
        if not self._served:
            raise CollectionError("there is no collection to serve")

    def _free(self, name: str) -> str:
        number, tried = 1, name
        while tried in self._served:
            number += 1
            tried = f"{name}-{number}"
        return tried

    def __getitem__(self, name: str) -> Served:
        if name not in self._served:
            raise Unknown(f"no collection '{name[:80]}' is served here")
        return self._served[name]

    def __iter__(self) -> Iterator[Served]:
        return iter(self._served.values())

    def __len__(self) -> int:
        return len(self._served)


def slug(text: str) -> str:
    """A name that can stand in an address: `Ada's Photos` is `ada-s-photos`."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return plain[:60] or "collection"
