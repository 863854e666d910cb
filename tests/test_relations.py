"""What SQL sees of a view: the same tables as the view's own, of which only the columns asked for are made."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from fakes import attributes, opened, pictures, vocabulary
from sextant import relations, tables
from sextant.catalog import Override
from sextant.collection import Collection


@pytest.fixture
def photos(tmp_path: Path) -> Collection:
    pictures(tmp_path / "p", "red", "green", "grey")
    collection = opened(tmp_path)
    collection.add(tmp_path / "p")
    derived = "derived_attributes:\n  - {code: either, rule: {any_of: [red, green]}}\n"
    collection.tag(vocabulary(tmp_path, attributes("red", "green") + derived))
    return collection


def test_relations_are_the_tables_of_the_view(photos: Collection) -> None:
    image = photos.view().ids[0].as_py()
    photos.catalog.put_overrides([Override(image, "green", True)])
    view = photos.view()
    made = relations.of(view)
    assert made.codes == ("red", "green", "either")
    for relation, table in ((made.wide, view.wide()), (made.bands, view.bands()), (made.sources, view.sources())):
        every = relation.select(relation.schema.names)
        assert every.schema.equals(relation.schema)
        plain = [f.with_type(pa.string()) if pa.types.is_dictionary(f.type) else f for f in every.schema]
        assert every.cast(pa.schema(plain)).equals(table)
    assert made.sources.select(["green"])["green"].to_pylist().count("person") == 1


def test_a_statement_reads_the_columns_that_it_names(photos: Collection) -> None:
    assert photos.sql("SELECT max(green) > 0 AS shown FROM images").table["shown"].to_pylist() == [True]
    view = photos.view()
    assert set(view._logits) == {"background", "green"}
    assert not view._facts


def test_a_version_that_vanishes_meanwhile_is_read_anew(photos: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    real, raised = type(photos.view()).read, list[object]()

    def read(view: object, codes: object) -> None:
        if not raised:
            raised.append(codes)
            raise tables.Vanished("gone")
        real(view, codes)  # type: ignore[arg-type]

    monkeypatch.setattr(type(photos.view()), "read", lambda view, codes: read(view, list(codes)) if view else None)
    assert photos.sql("SELECT count(*) AS n FROM images WHERE red IS NOT NULL").table["n"].to_pylist() == [3]
    assert raised
