"""The vector index, held against a full product: exact with a filter, nearly so without, and never about lost rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("faiss", reason="the extra `ann` is not installed")

from sextant import index
from sextant.errors import CollectionError
from sextant.index import building, parts, reading
from sextant.index.building import blocks
from sextant.index.reading import aligned
from sextant.maths.logits import logit_matrix
from sextant.store import Store
from sextant.types import Floats, Progress
from sextant.vectors import Vectors

DIM = 30  # no multiple of what shares a code


def unit_rows(n: int, seed: int, dim: int = DIM) -> Floats:
    rows = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def names(start: int, n: int) -> list[str]:
    return [f"{(i * 7919) % 100_003:032x}" for i in range(start, start + n)]


def append(table: Vectors, ids: list[str], rows: Floats) -> None:
    table.append(ids, rows, np.zeros(len(rows), np.float32), lambda *_: {}, {"encoder": "e@1"})


@pytest.fixture(scope="module", autouse=True)
def _small_shards() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (parts, building, reading):
            patch.setattr(module, "SHARD", 512)
        yield


def filled(folder: Path) -> Store:
    made = Store(folder)
    rows = unit_rows(3000, 0)
    rows[7:40] = rows[7]  # one picture in many files
    append(made.vectors("e@1"), names(0, 3000), rows)
    return made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return filled(tmp_path / "c")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Vectors, index.Index]:
    """A table and its index, for tests that change neither."""
    folder = tmp_path_factory.mktemp("shared")
    made = filled(folder / "c")
    index.build(made.vectors("e@1"), folder / "i", {})
    return made.vectors("e@1"), opened(made, folder / "i")


def truth(table: Vectors, wanted: Floats, allowed: np.ndarray | None = None) -> list[tuple[float, str]]:
    ids, matrix = table.matrix()
    best = logit_matrix(matrix, np.atleast_2d(wanted), scale=1.0).max(axis=1).tolist()
    kept = range(len(ids)) if allowed is None else np.flatnonzero(allowed)
    return sorted(((best[i], ids[i]) for i in kept), key=lambda pair: (-pair[0], pair[1]))


def ids_of(found: index.Nearest, opened: index.Index) -> list[str]:
    return list(opened.ids.take(pa.array(found.rows)).to_pylist())


def opened(store: Store, folder: Path) -> index.Index:
    found = index.Index.open(folder, store.vectors("e@1"))
    assert found is not None
    return found


@pytest.mark.parametrize("share", [1.0, 0.4, 0.01, 0.001, 0.0])
@pytest.mark.parametrize("limit", [1, 12, 700])
def test_a_filter_hides_no_match(shared: tuple[Vectors, index.Index], share: float, limit: int) -> None:
    table, asked = shared
    allowed = np.random.default_rng(limit).random(3000) < share
    for wanted in (unit_rows(1, 5), unit_rows(3, 6), 0.2 * table.matrix()[1][7:8]):
        found = asked.nearest(wanted, limit, allowed=allowed)
        expected = truth(table, wanted, allowed)[:limit]
        assert ids_of(found, asked) == [name for _, name in expected]
        np.testing.assert_allclose(found.cosines.max(axis=1, initial=-9), [c for c, _ in expected], atol=1e-6)


def test_recall_is_checked_with_the_queries_given_and_holds_for_others(store: Store, tmp_path: Path) -> None:
    table = store.vectors("e@1")
    said: list[Progress] = []
    built = index.build(table, tmp_path / "i", {"a": unit_rows(20, 1), "b": unit_rows(5, 2)}, progress=said.append)
    assert (built.rows, built.dim, built.queries) == (3000, DIM, {"a": 20, "b": 5})
    assert set(built.recall) == {"a", "b"}
    assert min(built.recall.values()) >= 0.98
    assert built.depth in building.DEPTHS
    assert 0 < built.rounding < 4e-3
    assert built.bytes > 3000 * DIM * 4
    assert said[-1].done == said[-1].total == 3000
    assert index.stored(tmp_path / "i", table) == built
    asked = opened(store, tmp_path / "i")
    hits = 0
    for row in unit_rows(40, 3):
        expected = {name for _, name in truth(table, row)[:10]}
        hits += len(expected & set(ids_of(asked.nearest(row, 10), asked)))
    assert hits >= 0.95 * 400


def test_where_codes_lose_too_much_every_row_is_compared(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "DEPTHS", (1,))
    built = index.build(store.vectors("e@1"), tmp_path / "i", {"a": unit_rows(30, 1)})
    assert (built.depth, built.recall) == (0, {"a": 1.0})
    asked, wanted = opened(store, tmp_path / "i"), unit_rows(1, 9)
    expected = [name for _, name in truth(store.vectors("e@1"), wanted)[:15]]
    assert ids_of(asked.nearest(wanted, 15), asked) == expected


def test_without_queries_recall_is_not_claimed(store: Store, tmp_path: Path) -> None:
    built = index.build(store.vectors("e@1"), tmp_path / "i", {"phrases": np.zeros((0, DIM), np.float32)})
    assert (built.recall, built.queries, built.depth) == ({}, {}, building.UNCHECKED_DEPTH)


@pytest.mark.parametrize("share", [None, 0.5])
def test_new_rows_are_found_and_removed_ones_never(store: Store, tmp_path: Path, share: float | None) -> None:
    table = store.vectors("e@1")
    index.build(table, tmp_path / "i", {"a": unit_rows(20, 1)})
    wanted = unit_rows(1, 4)
    gone = [name for _, name in truth(table, wanted)[:300]]  # all that the codes would answer
    before = opened(store, tmp_path / "i")
    store.drop_images(gone)
    append(table, names(5000, 100), unit_rows(100, 8))
    append(table, gone[:1], -wanted)  # what comes back comes back as what it is now
    assert not before.is_current()
    asked = opened(store, tmp_path / "i")
    assert (asked.gone, len(asked.fresh), len(asked)) == (300, 101, 2801)
    allowed = None if share is None else np.random.default_rng(0).random(2801) < share
    found = asked.nearest(wanted, 20, allowed=allowed)
    expected = [name for _, name in truth(table, wanted, allowed)[:20]]
    if allowed is not None:
        assert ids_of(found, asked) == expected
    assert len(set(ids_of(found, asked)) & set(expected)) >= 16
    assert not set(ids_of(found, asked)) & set(gone)
    assert ids_of(asked.nearest(-wanted, 1), asked) == gone[:1]
    store.vacuum()
    again = opened(store, tmp_path / "i")
    assert ids_of(again.nearest(-wanted, 1), again) == gone[:1]
    assert len(again) == 2801


def test_an_index_of_another_table_is_not_used(store: Store, tmp_path: Path) -> None:
    table = store.vectors("e@1")
    assert index.Index.open(tmp_path / "i", table) is None
    index.build(table, tmp_path / "i", {})
    store.drop_encoder("e@1")
    assert index.Index.open(tmp_path / "i", table) is None
    append(table, names(0, 3000), unit_rows(3000, 99))
    assert index.Index.open(tmp_path / "i", table) is None
    append(store.vectors("f@1"), names(0, 10), unit_rows(10, 1))
    assert index.Index.open(tmp_path / "i", store.vectors("f@1")) is None


def test_an_index_is_of_no_use_when_most_rows_came_since(store: Store, tmp_path: Path) -> None:
    table = store.vectors("e@1")
    index.build(table, tmp_path / "i", {})
    append(table, names(4000, 3001), unit_rows(3001, 3))
    assert index.Index.open(tmp_path / "i", table) is None


def test_a_damaged_index_is_not_used(store: Store, tmp_path: Path) -> None:
    table = store.vectors("e@1")
    built = index.build(table, tmp_path / "i", {})
    (tmp_path / "i" / built.folder / "codes-00002.faiss").write_bytes(b"nothing")
    assert index.Index.open(tmp_path / "i", table) is None
    (tmp_path / "i" / "e@1.json").write_text("[]")
    assert index.stored(tmp_path / "i", table) is None


def test_a_new_index_replaces_the_old_which_its_reader_keeps(store: Store, tmp_path: Path) -> None:
    table = store.vectors("e@1")
    index.build(table, tmp_path / "i", {})
    old, wanted = opened(store, tmp_path / "i"), unit_rows(1, 5)
    index.build(table, tmp_path / "i", {"a": unit_rows(10, 1)})
    everything = np.ones(3000, bool)
    new = opened(store, tmp_path / "i").nearest(wanted, 5, allowed=everything)
    assert old.nearest(wanted, 5, allowed=everything).rows.tolist() == new.rows.tolist()
    assert len([p for p in (tmp_path / "i").iterdir() if p.is_dir()]) == 1
    assert index.drop(tmp_path / "i", table)
    assert not index.drop(tmp_path / "i", table)
    assert list((tmp_path / "i").iterdir()) == []


def test_a_build_that_fails_leaves_the_old_index(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = store.vectors("e@1")
    index.build(table, tmp_path / "i", {})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parts.Codes, "write", full)
    with pytest.raises(CollectionError, match="No space left on device"):
        index.build(table, tmp_path / "i", {})
    assert len(list((tmp_path / "i").iterdir())) == 2
    assert opened(store, tmp_path / "i")


def test_nothing_makes_no_index(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="sextant add"):
        index.build(Store(tmp_path).vectors("e@1"), tmp_path / "i", {})


def test_a_tiny_table_has_an_index_too(tmp_path: Path) -> None:
    store = Store(tmp_path / "c")
    append(store.vectors("e@1"), ["b", "a", "c"], np.eye(3, dtype=np.float32))
    index.build(store.vectors("e@1"), tmp_path / "i", {"x": unit_rows(3, 1, 3)})
    asked = opened(store, tmp_path / "i")
    assert ids_of(asked.nearest(np.array([1, 1, 0], np.float32), 9), asked) == ["a", "b", "c"]
    assert len(asked.nearest(np.array([1, 1, 0], np.float32), 9, allowed=np.zeros(3, bool)).rows) == 0


def test_the_vectors_taken_are_those_of_the_table_to_the_last_bit(shared: tuple[Vectors, index.Index]) -> None:
    table, asked = shared
    rows = np.random.default_rng(0).permutation(3000)[:700]
    np.testing.assert_array_equal(asked.take(rows), table.matrix()[1][rows])


@given(st.lists(st.floats(-1.5, 1.5, width=32), min_size=1, max_size=20))
def test_two_halves_make_the_number_that_was(values: list[float]) -> None:
    rows = np.array([values], np.float32)
    halves = parts.Halves.of(rows)
    assert halves.exactly(np.array([0])).tobytes() == rows.tobytes()
    assert (np.abs(halves.roughly(slice(None)) - rows) <= np.abs(rows) / 256 + 1e-38).all()


@given(st.lists(st.integers(0, 20), unique=True), st.data())
def test_rows_are_matched_by_order(known: list[int], data: st.DataObject) -> None:
    kept = [i for i in known if data.draw(st.booleans())]
    added = data.draw(st.lists(st.integers(21, 40), unique=True))
    back = [i for i in known if i not in kept]
    now = kept + added + back * bool(added)
    place, first = aligned(pa.array(map(str, known), pa.string()), pa.array(map(str, now), pa.string()))
    assert first == len(kept)
    assert place.tolist() == [kept.index(i) if i in kept else -1 for i in known]


@given(st.lists(st.integers(0, 9)), st.integers(1, 7))
def test_blocks_hold_the_same_rows(sizes: list[int], size: int) -> None:
    rows = np.arange(sum(sizes), dtype=np.float32)[:, None]
    batches = iter(np.split(rows, np.cumsum(sizes)[:-1])) if sizes else iter([])
    found = list(blocks(batches, size))
    assert all(len(block) == size for block in found[:-1])
    assert np.concatenate([rows[:0], *found]).tolist() == rows.tolist()
