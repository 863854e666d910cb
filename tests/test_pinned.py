"""One version of a table stays as it was while others write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sextant.errors import CollectionError
from sextant.pinned import Pinned
from sextant.store import Store
from sextant.vectors import Vectors


def add(table: Vectors, *numbers: int) -> None:
    rows = np.stack([np.array([np.cos(n), np.sin(n)], np.float32) for n in numbers])
    table.append([str(n) for n in numbers], rows, np.array(numbers, np.float32), lambda *_: {}, {"encoder": "e@1"})


def test_rows_keep_their_numbers_while_others_write(tmp_path: Path) -> None:
    store = Store(tmp_path)
    table = store.vectors("e@1")
    add(table, 1, 2, 3)
    held = Pinned(table)
    assert held.is_newest()
    store.drop_images(["2"])
    add(table, 4)
    assert not held.is_newest()
    assert (len(held), held.dim, held.ids().to_pylist()) == (3, 2, ["1", "2", "3"])
    assert held.background().tolist() == [1, 2, 3]
    np.testing.assert_allclose(held.take(np.array([1, 2])), [[np.cos(n), np.sin(n)] for n in (2, 3)], atol=1e-6)
    assert held.take(np.zeros(0, np.int64)).shape == (0, 2)
    assert np.concatenate(list(held.batches())).shape == (3, 2)
    now = Pinned(table)
    assert now.ids().to_pylist() == ["1", "3", "4"]  # what is appended comes last, and the rest keeps its order
    store.vacuum()
    assert Pinned(table).ids().to_pylist() == ["1", "3", "4"]


def test_a_table_that_is_not_there_cannot_be_held(tmp_path: Path) -> None:
    with pytest.raises(CollectionError):
        Pinned(Store(tmp_path).vectors("e@1"))
