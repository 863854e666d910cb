"""A view as the relations of SQL: all names and types are known at once, columns are made when they are selected.

A statement about three columns of a million images then costs three columns. Knows nothing of statements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from sextant.sql import Tables
from sextant.store import IMAGES
from sextant.view import FACTS, STORED, View, nullable

_KINDS = {"path": pa.string(), "name": pa.string(), "folder": pa.string(), "description": pa.string()}
_KINDS |= {"megapixels": pa.float64(), "aspect": pa.float64(), "tags": pa.list_(pa.string())}
WORDS = pa.dictionary(pa.int8(), pa.string())


@dataclass(frozen=True, slots=True)
class Relation:
    """Columns of every image. `read` fetches all that some columns need at once, before `column` makes each."""

    schema: pa.Schema
    read: Callable[[Sequence[str]], None]
    column: Callable[[str], pa.Array]

    def select(self, names: Sequence[str]) -> pa.Table:
        """These columns, and no other."""
        self.read(names)
        return pa.Table.from_arrays([self.column(n) for n in names], schema=pa.schema(map(self.schema.field, names)))


def of(view: View) -> Tables:
    """The relations of a view."""
    codes = view.codes()
    facts = [(name, _KINDS.get(name) or IMAGES.field(STORED.get(name, (name,))[0]).type) for name in FACTS]
    known = dict(facts)

    def read(names: Sequence[str]) -> None:
        view.read(name for name in names if name in codes)

    def read_wide(names: Sequence[str]) -> None:
        read([name for name in names if name not in known])
        view.facts([name for name in names if name in known])

    def confidence(name: str) -> pa.Array:
        return view.fact(name) if name in known else nullable(view.values(name).confidence)

    def words(of_code: Callable[[str], pa.Array]) -> Relation:
        schema = pa.schema([("id", pa.string()), *((code, WORDS) for code in codes)])
        return Relation(schema, read, lambda name: view.ids if name == "id" else of_code(name))

    wide = pa.schema([*facts, *((code, pa.float64()) for code in codes)])
    return Tables(Relation(wide, read_wide, confidence), words(view.band_words), words(view.source_words))
