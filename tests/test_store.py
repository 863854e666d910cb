"""Tables on disk: rows and columns written whole, one writer at a time, readers never disturbed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fakes import readable_by_all
from sextant import tables
from sextant.errors import CollectionError
from sextant.store import Store, file_name
from sextant.types import Floats
from sextant.vectors import Vectors

META = {"encoder": "fake/one@1"}


def rows_of(start: int, stop: int) -> tuple[list[str], Floats]:
    """Rows whose first number is their own place."""
    vectors = np.zeros((stop - start, 3), np.float32)
    vectors[:, 0] = np.arange(start, stop)
    return [f"{i:05d}" for i in range(start, stop)], vectors


def put(vectors: Vectors, start: int, stop: int, logits: Mapping[str, Floats] | None = None) -> int:
    ids, rows = rows_of(start, stop)
    return vectors.append(ids, rows, rows[:, 0], lambda _r, _b: logits or {}, META)


def first_number(rows: Floats) -> dict[str, Floats]:
    return {"a": rows[:, 0]}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "c").mkdir()
    return Store(tmp_path / "c")


@pytest.fixture
def vectors(store: Store) -> Vectors:
    return store.vectors("fake/one@1")


def aligned(vectors: Vectors, code: str = "a") -> bool:
    table = vectors.read([code])
    return [int(i) for i in table["id"].to_pylist()] == [int(x) for x in table[code].to_pylist()]


def test_a_table_that_does_not_exist_is_empty(store: Store, vectors: Vectors) -> None:
    assert (len(vectors), vectors.dim, vectors.columns(), vectors.metadata()) == (0, 0, {}, {})
    assert vectors.matrix()[1].shape == (0, 0)
    assert vectors.vector("x") is None
    assert list(vectors.batches()) == []
    assert store.images().num_rows == store.files().num_rows == 0
    assert store.encoders() == []
    assert store.vacuum() == 0


def test_a_row_is_written_once_whoever_appends_it_again(vectors: Vectors) -> None:
    assert put(vectors, 0, 3) == 3
    assert put(vectors, 1, 5) == 2
    assert vectors.ids().to_pylist() == [f"{i:05d}" for i in range(5)]
    ids, rows = rows_of(9, 10)
    assert vectors.append(ids * 2, np.repeat(rows, 2, 0), np.zeros(2, np.float32), lambda _r, _b: {}, META) == 1


def test_vectors_come_back_as_they_were(vectors: Vectors) -> None:
    ids, rows = rows_of(0, 4)
    put(vectors, 0, 2)
    put(vectors, 2, 4)
    assert vectors.matrix()[0] == ids
    np.testing.assert_array_equal(vectors.matrix()[1], rows)
    np.testing.assert_array_equal(vectors.vector("00003"), rows[3])
    assert [i for batch, _ in vectors.batches(rows=3) for i in batch.to_pylist()] == ids
    assert vectors.metadata() == META


def test_columns_stay_aligned_after_rows_were_deleted_from_many_fragments(store: Store, vectors: Vectors) -> None:
    for start in range(0, 50, 10):
        put(vectors, start, start + 10)
    store.drop_images(["00003", "00015", *(f"{i:05d}" for i in range(20, 30)), "00049"])
    assert vectors.put_columns({"a": {}}, first_number) == 37
    assert aligned(vectors)
    store.vacuum()
    assert aligned(vectors)
    put(vectors, 50, 60, {"a": rows_of(50, 60)[1][:, 0]})
    assert vectors.put_columns({"a": {}}, first_number) == 47
    assert aligned(vectors)


def test_a_column_can_be_written_where_every_row_was_dropped(store: Store, vectors: Vectors) -> None:
    put(vectors, 0, 3)
    store.drop_images([f"{i:05d}" for i in range(3)])
    assert vectors.put_columns({"a": {"n": 1}}, first_number) == 0
    assert vectors.columns()["a"].provenance == {"n": 1}
    put(vectors, 3, 5, {"a": np.array([3, 4], np.float32)})
    assert aligned(vectors)


def test_more_rows_than_one_batch_stay_aligned(vectors: Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sextant.vectors.ROWS_A_BATCH", 7)
    for start in range(0, 100, 20):
        put(vectors, start, start + 20)
    vectors.put_columns({"a": {}}, first_number)
    assert aligned(vectors)


def test_a_replaced_column_keeps_its_neighbours_and_carries_its_new_record(vectors: Vectors) -> None:
    put(vectors, 0, 5)
    vectors.put_columns({"a": {"v": 1}, "b": {"v": 1}}, lambda r: {"a": r[:, 0], "b": r[:, 0] + 1})
    vectors.put_columns({"a": {"v": 2}}, lambda r: {"a": r[:, 0] * 10})
    assert vectors.read(["a", "b"])["a"].to_pylist() == [0, 10, 20, 30, 40]
    assert vectors.read(["a", "b"])["b"].to_pylist() == [1, 2, 3, 4, 5]
    assert {c: column.provenance for c, column in vectors.columns().items()} == {"a": {"v": 2}, "b": {"v": 1}}
    assert vectors.metadata() == META


def test_a_column_whose_computation_fails_leaves_the_old_one(vectors: Vectors) -> None:
    put(vectors, 0, 5)
    vectors.put_columns({"a": {"v": 1}}, first_number)

    def fails(_rows: Floats) -> dict[str, Floats]:
        raise OSError("no room")

    with pytest.raises(CollectionError, match="no room"):
        vectors.put_columns({"a": {"v": 2}}, fails)
    assert aligned(vectors)
    assert vectors.columns()["a"].provenance == {"v": 1}


def test_what_a_killed_writer_left_is_hidden_survived_and_swept(vectors: Vectors, store: Store) -> None:
    put(vectors, 0, 3)
    vectors.put_columns({"a": {}}, first_number)
    schema = pa.schema([pa.field("a$new", pa.float32())])
    half = pa.record_batch([pa.array([9, 9, 9], pa.float32())], schema=schema)
    tables.opened(vectors.path).add_columns(pa.RecordBatchReader.from_batches(schema, iter([half])))
    assert list(vectors.columns()) == ["a"]
    assert put(vectors, 3, 5, {"a": np.array([3, 4], np.float32)}) == 2
    assert aligned(vectors)
    vectors.put_columns({"a": {}}, first_number)
    assert tables.opened(vectors.path).schema.names == ["id", "vector", "background", "a"]
    tables.opened(vectors.path).add_columns({"b$old": "cast(1 as float)"})
    store.vacuum()
    assert tables.opened(vectors.path).schema.names == ["id", "vector", "background", "a"]


def test_a_folder_that_a_killed_writer_left_without_a_version_is_no_table(vectors: Vectors, store: Store) -> None:
    (vectors.path / "_versions").mkdir(parents=True)
    (vectors.path / "data").mkdir()
    assert not vectors.exists()
    assert store.encoders() == []
    assert put(vectors, 0, 2) == 2


def test_the_background_is_replaced_with_its_record(vectors: Vectors) -> None:
    put(vectors, 0, 3)
    vectors.put_background(lambda rows: rows[:, 0] * 2, {**META, "background_hash": "x"})
    assert vectors.read()["background"].to_pylist() == [0, 2, 4]
    assert vectors.metadata() == {**META, "background_hash": "x"}


def test_a_snapshot_is_one_version_whatever_is_written_later(vectors: Vectors) -> None:
    put(vectors, 0, 3)
    vectors.put_columns({"a": {"v": 1}}, first_number)
    snapshot = vectors.snapshot(["a", "unknown"])
    vectors.put_columns({"a": {"v": 2}, "b": {}}, lambda r: {"a": -r[:, 0], "b": r[:, 0]})
    put(vectors, 3, 4)
    assert snapshot.columns["a"].provenance == {"v": 1}
    assert "b" not in snapshot.columns
    assert snapshot.more(["a"])["a"].to_pylist() == [0, 1, 2]
    vectors.drop(["a"])
    assert snapshot.more(["a"])["a"].to_pylist() == [0, 1, 2]


def test_a_column_costs_bytes_of_its_own_and_rewrites_no_vector(vectors: Vectors) -> None:
    n, dim = 5000, 256
    rng = np.random.default_rng(1)
    ids = [f"{i:032d}" for i in range(n)]
    rows = rng.normal(size=(n, dim)).astype(np.float32)
    vectors.append(ids, rows, rows[:, 0], lambda _r, _b: {}, META)
    before = {p: p.stat().st_size for p in vectors.path.rglob("*.lance")}
    vectors.put_columns({"a": {}}, first_number)
    after = {p: p.stat().st_size for p in vectors.path.rglob("*.lance")}
    assert before.items() <= after.items()
    written = sum(size for p, size in after.items() if p not in before)
    assert 4 * n <= written < 4 * n * 2
    assert sum(before.values()) > 100 * written / 2


def test_disk_stays_near_the_live_data_after_many_small_adds_and_retags(store: Store, vectors: Vectors) -> None:
    rng = np.random.default_rng(1)
    for k in range(40):
        ids = [f"{i:032d}" for i in range(k * 50, k * 50 + 50)]
        rows = rng.normal(size=(50, 128)).astype(np.float32)
        vectors.append(ids, rows, rows[:, 0], lambda _r, _b: {}, META)
    for k in range(20):
        vectors.put_columns({"a": {"k": k}}, first_number)
    live = 2000 * (32 + 128 * 4 + 4 + 4)
    freed = store.vacuum()
    assert freed > 0
    assert store.size() <= 1.5 * live
    gone = [f"{i:032d}" for i in range(1600)]
    store.drop_images(gone)
    store.vacuum()
    assert store.size() <= 1.5 * live / 5 + 20_000
    assert len(vectors) == 400


def test_small_adds_are_merged_as_they_pile_up(store: Store, vectors: Vectors) -> None:
    for k in range(40):
        put(vectors, k, k + 1)
        store.compact()
    assert len(tables.opened(vectors.path).get_fragments()) <= tables.COMPACT_ABOVE + 1
    assert vectors.ids().to_pylist() == [f"{i:05d}" for i in range(40)]


def test_a_reader_is_not_disturbed_by_a_writer_and_a_vacuum(store: Store, vectors: Vectors) -> None:
    put(vectors, 0, 300)
    vectors.put_columns({"a": {"sign": 0}}, lambda r: {"a": r[:, 0] * 0})
    done = threading.Event()
    failures: list[object] = []
    reads = 0

    def read() -> None:
        nonlocal reads
        while not done.is_set():
            try:
                snapshot = vectors.snapshot(["a"])
                expected = snapshot.columns["a"].provenance["sign"]
                values = set(snapshot.table["a"].to_pylist()) - {0.0}
                if any(value * expected <= 0 for value in values):
                    failures.append((expected, values))
                reads += 1
            except Exception as error:  # noqa: BLE001 – any error is what this looks for
                failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for k in range(12):
        sign = 1 if k % 2 else -1
        vectors.put_columns({"a": {"sign": sign}}, lambda r, sign=sign: {"a": r[:, 0] * sign})
        if k % 3 == 0:
            store.vacuum()
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert reads > 5


def test_a_path_is_replaced_and_forgotten(store: Store) -> None:
    def row(path: str, image: str | None) -> pa.Table:
        return pa.table({"path": [path], "id": pa.array([image], pa.string()), "bytes": [1], "mtime_ns": [2]})

    store.put_files(row("a.png", "1"))
    store.put_files(row("b.png", "2"))
    store.put_files(row("a.png", "3"))
    assert dict(zip(*store.files().select(["path", "id"]).to_pydict().values(), strict=True)) == {
        "a.png": "3",
        "b.png": "2",
    }
    store.put_files(row("b.png", None))
    store.drop_files(["a.png"])
    store.vacuum()
    assert store.files().num_rows == 0


def test_an_encoder_is_dropped_with_its_table_alone(store: Store) -> None:
    for name in ("one@1", "two/x@2"):
        ids, rows = rows_of(0, 2)
        store.vectors(name).append(ids, rows, rows[:, 0], lambda _r, _b: {}, {"encoder": name})
    assert store.encoders() == ["one@1", "two/x@2"]
    store.drop_encoder("two/x@2")
    store.drop_encoder("never@3")
    assert store.encoders() == ["one@1"]
    assert [p.name for p in (store.root / "encoders").iterdir()] == ["one@1.lance"]


def test_an_encoder_whose_deletion_was_killed_is_gone_and_swept(store: Store, vectors: Vectors) -> None:
    put(vectors, 0, 2)
    vectors.path.rename(vectors.path.with_name(vectors.path.name + ".dropped"))
    assert store.encoders() == []
    store.vacuum()
    assert list((store.root / "encoders").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "file"),
    [("a/b@1", "a__b@1"), ("../../x@1", "..__..__x@1"), ("a b:c@é", "a-b-c@é"), ("n@sha-1+x", "n@sha-1+x")],
)
def test_an_encoders_name_becomes_one_harmless_file_name(name: str, file: str) -> None:
    assert file_name(name) == file
    assert os.sep not in file_name(name)


# what goes wrong


def test_keys_that_are_remembered_are_those_of_the_table_whoever_else_writes(store: Store) -> None:
    random = np.random.default_rng(4)
    writers, held = [store.vectors("fake/one@1") for _ in range(2)], set()
    for _ in range(25):
        start = int(random.integers(0, 60))
        ids = set(rows_of(start, start + 8)[0])
        assert put(writers[int(random.integers(2))], start, start + 8) == len(ids - held)
        held |= ids
        if random.random() < 0.3:
            gone = sorted(held)[:: int(random.integers(2, 5))]
            store.drop_images(gone)
            held -= set(gone)
    assert sorted(writers[0].ids().to_pylist()) == sorted(held)


def test_a_run_of_appends_reads_the_keys_once(vectors: Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, read = [], tables.table
    monkeypatch.setattr(tables, "table", lambda *given: (reads.append(given[0]), read(*given))[1])
    for start in range(0, 50, 10):
        put(vectors, start, start + 10)
    assert len(reads) <= 1
    assert len(vectors) == 50


def test_two_threads_append_the_same_rows_once(vectors: Vectors) -> None:
    threads = [threading.Thread(target=lambda: [put(vectors, k, k + 5) for k in range(0, 50, 5)]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(vectors.ids().to_pylist()) == [f"{i:05d}" for i in range(50)]


def test_the_lock_is_waited_for_and_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Store(store.root)
    other.own_lock.timeout = 0.05
    with store.writing(), store.writing(), pytest.raises(CollectionError, match="another process has been writing"):
        other.writing().__enter__()
    with other.writing():
        assert other.own_lock.is_locked


def test_a_failed_write_names_the_table_and_the_remedy_and_changes_nothing(
    vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lance

    put(vectors, 0, 2)

    def full(*_: object, **__: object) -> None:
        raise OSError("LanceError(IO): No space left on device (os error 28), /home/x/lance/rust/io.rs:10")

    monkeypatch.setattr(lance, "write_dataset", full)
    with pytest.raises(CollectionError, match=r"could not be written.*No space left on device.*make room") as raised:
        put(vectors, 2, 4)
    assert "rust" not in str(raised.value)
    monkeypatch.undo()
    assert len(vectors) == 2


def test_a_damaged_table_is_named(vectors: Vectors) -> None:
    put(vectors, 0, 2)
    for file in (vectors.path / "_versions").glob("*.manifest"):
        file.write_bytes(b"rubbish")
    with pytest.raises(CollectionError, match=r"fake__one@1\.lance: cannot be read"):
        len(vectors)


READ_ONLY = """
import os, sys
from pathlib import Path
import lance
from sextant.store import Store
from sextant.errors import CollectionError
os.setgid(65534); os.setuid(65534)
store = Store(Path(sys.argv[1]))
vectors = store.vectors("fake/one@1")
print(vectors.read(["a"])["a"].to_pylist(), store.images().num_rows)
try:
    vectors.drop(["a"])
except CollectionError as error:
    print(error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become nobody")
def test_a_folder_that_cannot_be_written_can_be_read_without_the_lock(store: Store, vectors: Vectors) -> None:
    put(vectors, 0, 2)
    vectors.put_columns({"a": {}}, first_number)
    (store.root / "lock").unlink(missing_ok=True)
    with readable_by_all(store.root) as folder:
        command = [sys.executable, "-c", READ_ONLY, str(folder)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "[0.0, 1.0] 0" in run.stdout
    assert "cannot be written: Permission denied. A collection that is read-only can be asked" in run.stdout


def test_vacuum_merges_small_fragments_and_leaves_large_ones_alone(
    store: Store, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "WHOLE_ROWS", 10)
    for start, stop in ((0, 10), (10, 22), (22, 25), (25, 28)):
        put(vectors, start, stop)

    def rows() -> list[int]:
        return [fragment.count_rows() for fragment in tables.opened(vectors.path).get_fragments()]

    large = {file.name for file in (vectors.path / "data").iterdir()}
    store.vacuum()
    assert rows() == [10, 12, 6]
    assert len(large & {file.name for file in (vectors.path / "data").iterdir()}) == 2
    store.drop_images(["00003"])
    store.vacuum()
    assert sum(rows()) == 27
    assert vectors.ids().to_pylist() == [f"{i:05d}" for i in range(28) if i != 3]


def test_vacuum_frees_a_dropped_column_that_shares_a_file_with_others(
    store: Store, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "WHOLE_ROWS", 10)
    put(vectors, 0, 20)
    put(vectors, 20, 40)
    vectors.put_columns({"a": {}, "b": {}}, lambda rows: {"a": rows[:, 0], "b": rows[:, 0]})
    assert not tables._holds_dropped(tables.opened(vectors.path))
    vectors.drop(["b"])
    assert tables._holds_dropped(tables.opened(vectors.path))
    store.vacuum()
    assert not tables._holds_dropped(tables.opened(vectors.path))
    assert aligned(vectors)
