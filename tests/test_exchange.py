"""Tables out, vectors and words in: whole or not at all, and nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import json
import os
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import FakeEncoder, attributes, colour_of, opened, pictures, vocabulary
from sextant import exchange
from sextant.collection import Collection
from sextant.errors import CollectionError, ExchangeError, UsageError


@pytest.fixture
def photos(tmp_path: Path) -> Collection:
    pictures(tmp_path / "p", "red", "green", "blue")
    collection = opened(tmp_path)
    collection.add(tmp_path / "p")
    collection.tag(vocabulary(tmp_path))
    collection.describe("p/red.png", tags=["a", "b c"], description='=HYPERLINK("x")')
    collection.override("p/blue.png", "red", True)
    return collection


# out


def read_csv(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_every_format_gives_back_the_same_confidences(photos: Collection, tmp_path: Path) -> None:
    expected = {r["id"]: (r["red"], r["cold"]) for r in photos.query("width > 0", show=["red", "cold"])}
    for kind in ("csv", "jsonl", "parquet"):
        assert photos.export(tmp_path / f"x.{kind}") == 3
    by_csv = {r["id"]: (float(r["red"]), float(r["cold"])) for r in read_csv(tmp_path / "x.csv")}
    lines = (tmp_path / "x.jsonl").read_text().splitlines()
    by_json = {r["id"]: (r["red"], r["cold"]) for r in map(json.loads, lines)}
    by_parquet = {r["id"]: (r["red"], r["cold"]) for r in pq.read_table(tmp_path / "x.parquet").to_pylist()}
    assert by_csv == by_json == by_parquet == expected


def test_the_long_shape_has_a_row_an_image_and_attribute(photos: Collection, tmp_path: Path) -> None:
    assert photos.export(tmp_path / "x.parquet", shape="long") == 15
    rows = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert list(rows[0]) == ["image_id", "path", "attribute_code", "confidence", "band", "source"]
    by_cell = {(r["path"], r["attribute_code"]): (r["band"], r["source"]) for r in rows}
    assert by_cell["p/blue.png", "red"] == ("accepted", "person")
    assert by_cell["p/red.png", "red"] == ("accepted", "model")
    assert by_cell["p/red.png", "warm"] == ("accepted", "rule")
    sql = {
        tuple(r.values())
        for r in photos.sql("select image_id, attribute_code, confidence, band, source from feature_image_attribute")
    }
    assert {(r["image_id"], r["attribute_code"], r["confidence"], r["band"], r["source"]) for r in rows} == sql


def test_a_rule_chooses_what_is_exported(photos: Collection, tmp_path: Path) -> None:
    assert photos.export(tmp_path / "x.jsonl", where="green") == 1
    assert photos.export(tmp_path / "y.csv", where="green", shape="long") == 5
    assert {r["path"] for r in read_csv(tmp_path / "y.csv")} == {"p/green.png"}


def test_formulas_are_defused_and_come_back_as_they_were(photos: Collection, tmp_path: Path) -> None:
    photos.export(tmp_path / "x.csv")
    (row,) = (r for r in read_csv(tmp_path / "x.csv") if r["path"] == "p/red.png")
    assert row["description"] == '\'=HYPERLINK("x")'
    assert row["tags"] == "a;b c"
    other = opened(tmp_path / "other")
    other.add(tmp_path / "p")
    words = tmp_path / "words.csv"
    with words.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows(
            [
                ["id", "tags", "description"],
                *([r["id"], r["tags"], r["description"]] for r in read_csv(tmp_path / "x.csv")),
            ]
        )
    assert other.import_words(words) == 3
    (said,) = other.query("tags is not null", show=["tags", "description"])
    assert (said["tags"], said["description"]) == (["a", "b c"], '=HYPERLINK("x")')


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "'=1", "'"])
def test_no_text_that_starts_like_a_formula_reaches_a_cell(text: str) -> None:
    out = io.StringIO()
    exchange.csv_rows(pa.table({"t": [text], "n": [-1.5]}), out)
    (row,) = csv.DictReader(io.StringIO(out.getvalue(), newline=""))
    assert row == {"t": "'" + text, "n": "-1.5"}


TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=8)


@given(st.lists(st.tuples(TEXTS, st.none() | st.floats(allow_nan=False), st.booleans() | st.none()), max_size=5))
def test_csv_comes_back_as_it_was(rows: list[tuple[str, float | None, bool | None]]) -> None:
    texts, numbers, flags = zip(*rows, strict=True) if rows else ((), (), ())
    table = pa.table(
        {"t": pa.array(texts, pa.string()), "x": pa.array(numbers, pa.float64()), "b": pa.array(flags, pa.bool_())}
    )
    out = io.StringIO(newline="")
    exchange.csv_rows(table, out)
    back = list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))
    assert [exchange._undefused(r["t"]) for r in back] == list(texts)
    assert [float(r["x"]) if r["x"] else None for r in back] == list(numbers)
    assert [r["b"] for r in back] == ["" if f is None else str(f).lower() for f in flags]


def test_times_and_lists_are_plain_in_json_lines(tmp_path: Path) -> None:
    table = pa.table({"at": [datetime(2020, 5, 17, 10, 11, 12)], "tags": [["a", "\u2028"]], "no": pa.nulls(1)})
    exchange.write(table, tmp_path / "x.jsonl", "jsonl")
    (line,) = (tmp_path / "x.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert json.loads(line) == {"at": "2020-05-17T10:11:12", "tags": ["a", "\u2028"], "no": None}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_target_that_cannot_be_written_leaves_nothing_behind(photos: Collection, tmp_path: Path, kind: str) -> None:
    with pytest.raises(ExchangeError, match=r"nowhere.*cannot be written: No such file or directory"):
        photos.export(tmp_path / "nowhere" / f"x.{kind}")
    (tmp_path / f"folder.{kind}").mkdir()
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(ExchangeError, match="cannot be written"):
        photos.export(tmp_path / f"folder.{kind}")
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_an_export_that_breaks_off_keeps_the_file_that_was_there(
    tmp_path: Path, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / f"x.{kind}"
    target.write_text("old")

    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(ExchangeError, match="No space left on device"):
        exchange.write(pa.table({"a": [1]}), target, kind)
    assert [p.name for p in tmp_path.iterdir()] == [target.name]
    assert target.read_text() == "old"


def test_a_pipe_is_written_into_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    exchange.write(pa.table({"a": [1]}), pipe, "csv")
    reader.join(60)
    assert found == ["a\n1\n"]
    assert pipe.is_fifo()


def test_the_format_is_said_by_the_name_or_asked_for(tmp_path: Path) -> None:
    assert exchange.format_of(Path("x.CSV"), None) == "csv"
    assert exchange.format_of(Path("x.dat"), "parquet") == "parquet"
    for name, asked in (("x.dat", None), ("x.csv", "xml")):
        with pytest.raises(ExchangeError, match="--format csv, jsonl or parquet"):
            exchange.format_of(Path(name), asked)


# vectors in

NAMES = ["p/red.png", "p/blue.png", "elsewhere/gone.png"]
ROWS = np.stack([colour_of(w) for w in ("red", "blue", "orange")])


def npy(folder: Path, rows: Any = ROWS, names: list[str] = NAMES) -> tuple[Path, Path]:
    np.save(folder / "v.npy", rows)
    (folder / "names.txt").write_text("\n".join(names) + "\n")
    return folder / "v.npy", folder / "names.txt"


def parquet(folder: Path, rows: Any = ROWS, names: Any = NAMES, key: str = "path") -> Path:
    vectors = pa.array([list(map(float, r)) for r in rows], pa.list_(pa.float32()))
    pq.write_table(pa.table({key: names, "vector": vectors}), folder / "v.parquet")
    return folder / "v.parquet"


def clip_retrieval(folder: Path) -> Path:
    (folder / "clip" / "img_emb").mkdir(parents=True)
    (folder / "clip" / "metadata").mkdir()
    for part, (start, stop) in {0: (0, 1), 1: (1, 2), 10: (2, 3)}.items():
        np.save(folder / "clip" / "img_emb" / f"img_emb_{part}.npy", ROWS[start:stop].astype(np.float16))
        table = pa.table({"image_path": NAMES[start:stop], "caption": ["x"]})
        pq.write_table(table, folder / "clip" / "metadata" / f"metadata_{part}.parquet")
    return folder / "clip"


@pytest.mark.parametrize("kind", ["npy", "parquet", "clip-retrieval"])
def test_vectors_made_elsewhere_answer_like_ones_own(tmp_path: Path, kind: str) -> None:
    pictures(tmp_path / "p", "red", "blue")
    encoder = FakeEncoder()
    photos = opened(tmp_path, encoder)
    if kind == "npy":
        source, ids = npy(tmp_path)
        report = photos.import_vectors(source, ids=ids)
    else:
        report = photos.import_vectors(parquet(tmp_path) if kind == "parquet" else clip_retrieval(tmp_path))
    assert (report.added, report.unchanged, report.skipped, encoder.images) == (3, 0, (), 0)
    photos.tag(vocabulary(tmp_path, attributes("red", "blue")))
    assert [r["path"] for r in photos.query("red")] == ["elsewhere/gone.png", "p/red.png"]
    assert [h.path for h in photos.search("blue", limit=1).hits] == ["p/blue.png"]
    assert [r["width"] for r in photos.query("width > 0", show=["width"])] == [8, 8]
    assert photos.add(tmp_path / "p").encoded == 0


def test_vectors_of_a_named_encoder_start_a_collection_of_their_own(tmp_path: Path) -> None:
    source, ids = npy(tmp_path, ROWS * 3)
    photos = opened(tmp_path)
    with pytest.raises(UsageError, match="--logit-scale"):
        photos.import_vectors(source, ids=ids, encoder="clip@openai")
    assert photos.import_vectors(source, ids=ids, encoder="clip@openai", logit_scale=100.0).added == 3
    assert (photos.info()["encoder"], photos.info()["dim"], photos.info()["logit_scale"]) == ("clip@openai", 3, 100.0)
    np.testing.assert_allclose(np.linalg.norm(photos.vectors.matrix()[1], axis=1), 1, atol=1e-6)
    assert photos.import_vectors(source, ids=ids, encoder="clip@openai").unchanged == 3
    with pytest.raises(UsageError, match="uses clip@openai, not other@1"):
        photos.import_vectors(source, ids=ids, encoder="other@1", logit_scale=1.0)


def test_vectors_for_ids_that_are_known_need_no_file(photos: Collection, tmp_path: Path) -> None:
    ids = photos.vectors.ids().to_pylist()
    report = photos.import_vectors(parquet(tmp_path, ROWS, ids, "id"))
    assert (report.added, report.unchanged) == (0, 3)
    assert photos.info()["images"] == 3


def test_a_bad_image_among_brought_vectors_is_skipped_alone(tmp_path: Path) -> None:
    pictures(tmp_path / "p", "red")
    (tmp_path / "p" / "blue.png").write_text("broken")
    source, ids = npy(tmp_path)
    photos = opened(tmp_path)
    report = photos.import_vectors(source, ids=ids)
    assert (report.added, [s.path for s in report.skipped]) == (2, ["p/blue.png"])
    table = photos.vectors.read()
    assert table.num_rows == 2


def test_brought_vectors_are_taken_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "ROWS_A_BATCH", 7)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50, 3)).astype(np.float32)
    source, ids = npy(tmp_path, rows, [f"x/{i}.jpg" for i in range(50)])
    brought = exchange.read_vectors(source, ids)
    assert [len(batch) for batch in brought.batches()] == [7] * 7 + [1]
    np.testing.assert_allclose(
        np.concatenate(list(brought.batches())), rows / np.linalg.norm(rows, axis=1)[:, None], atol=1e-6
    )
    photos = opened(tmp_path)
    assert photos.import_vectors(source, ids=ids).added == 50
    found = dict(zip(*photos.vectors.matrix(), strict=True))
    place = photos.located()
    np.testing.assert_allclose(found[place["x/33.jpg"]], rows[33] / np.linalg.norm(rows[33]), atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "names", "message"),
    [
        (ROWS[:2], NAMES, "2 vectors but 3 names"),
        (ROWS, [*NAMES[:2], NAMES[0]], "1 names appear more than once"),
        (ROWS[0], NAMES, r"has the shape \(3,\)"),
        (np.zeros((3, 3), np.float32), NAMES, r"the vector of p/red\.png is zero or not finite, and 2 more"),
        (np.where(np.eye(3, dtype=bool), np.nan, ROWS), NAMES, "zero or not finite"),
        (np.where(np.eye(3, dtype=bool), np.inf, ROWS), NAMES, "zero or not finite"),
        (ROWS.astype(np.int64), NAMES, "holds int64, not floating-point numbers"),
        (ROWS.astype(complex), NAMES, "holds complex128"),
        (np.zeros((0, 3), np.float32), [], "holds no vectors"),
        (np.zeros((3, 0), np.float32), NAMES, "holds no vectors"),
        (np.ones((3, 2), np.float32), NAMES, "the vectors have 2 dimensions, those of fake@1 have 3"),
    ],
)
def test_arrays_of_a_wrong_shape_are_refused_whole(
    photos: Collection, tmp_path: Path, rows: Any, names: list[str], message: str
) -> None:
    source, ids = npy(tmp_path, rows, names)
    with pytest.raises((ExchangeError, UsageError), match=message):
        photos.import_vectors(source, ids=ids)
    assert len(photos.vectors) == 3


def test_files_that_are_no_arrays_are_refused_and_no_pickle_is_loaded(photos: Collection, tmp_path: Path) -> None:
    _, ids = npy(tmp_path)
    bad = tmp_path / "bad.npy"
    np.save(bad, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    contents = [bad.read_bytes(), b"", b"rubbish", npy(tmp_path)[0].read_bytes()[:-8]]
    contents.append(contents[-1].replace(b")", b"(", 1))  # a header that no Python can read
    for content in contents:
        bad.write_bytes(content)
        with pytest.raises(ExchangeError, match=r"bad\.npy: cannot be read as an array"):
            photos.import_vectors(bad, ids=ids)
    with pytest.raises(ExchangeError, match="say with --ids"):
        photos.import_vectors(tmp_path / "v.npy")
    with pytest.raises(ExchangeError, match=r"none\.txt: cannot be read"):
        photos.import_vectors(tmp_path / "v.npy", ids=tmp_path / "none.txt")
    with pytest.raises(ExchangeError, match=r"bring a \.npy file"):
        photos.import_vectors(tmp_path / "v.npz")


def test_parquet_that_does_not_fit_is_refused_whole(photos: Collection, tmp_path: Path) -> None:
    file = tmp_path / "v.parquet"
    lists = pa.list_(pa.float32())
    for table, message in (
        (pa.table({"path": NAMES, "score": [1.0, 2.0, 3.0]}), "needs a column path or id, and a column vector"),
        (pa.table({"path": NAMES, "vector": ["a", "b", "c"]}), "holds string, not lists"),
        (pa.table({"path": NAMES, "vector": pa.array([[1.0], [1.0, 2.0], [1.0]], lists)}), "not vectors of one length"),
        (pa.table({"path": NAMES, "vector": pa.array([[1.0, 0, 0], None, [1.0, 0, 0]], lists)}), "without gaps"),
        (pa.table({"path": NAMES, "vector": pa.array([[1.0, None, 0]] * 3, lists)}), "without gaps"),
        (pa.table({"path": ["a", None, "b"], "vector": pa.array([[1.0, 0, 0]] * 3, lists)}), "1 rows have no name"),
    ):  # fmt: skip
        pq.write_table(table, file)
        with pytest.raises(ExchangeError, match=message):
            photos.import_vectors(file)
    file.write_bytes(b"PAR1 rubbish")
    with pytest.raises(ExchangeError, match="cannot be read as Parquet"):
        photos.import_vectors(file)
    pq.write_table(pa.table({"path": NAMES, "vector": pa.array([[1.0, 0, 0]] * 3, lists)}), file, compression="none")
    file.write_bytes(
        file.read_bytes().replace(b"path", b"p\xff\xfeh").replace(NAMES[0].encode(), b"\xff" * len(NAMES[0]))
    )
    with pytest.raises(ExchangeError, match=r"v\.parquet"):
        photos.import_vectors(file)
    assert len(photos.vectors) == 3


def test_a_clip_retrieval_folder_with_a_hole_is_refused_whole(photos: Collection, tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="no clip-retrieval folder"):
        photos.import_vectors(tmp_path / "p")
    folder = clip_retrieval(tmp_path)
    (folder / "img_emb" / "img_emb_notes.npy").touch()
    (folder / "metadata" / "metadata_1.parquet").unlink()
    with pytest.raises(ExchangeError, match=r"metadata_1\.parquet: cannot be read as Parquet"):
        photos.import_vectors(folder)
    pq.write_table(pa.table({"caption": ["x"]}), folder / "metadata" / "metadata_1.parquet")
    with pytest.raises(ExchangeError, match="no column image_path"):
        photos.import_vectors(folder)
    np.save(folder / "img_emb" / "img_emb_1.npy", np.ones((1, 4), np.float32))
    pq.write_table(pa.table({"image_path": ["x"]}), folder / "metadata" / "metadata_1.parquet")
    with pytest.raises(ExchangeError, match="different lengths: 3, 4"):
        photos.import_vectors(folder)


# words in


def test_words_come_from_csv_and_from_json_lines(photos: Collection, tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text(
        '\ufeffpath,tags,description,other\r\np/green.png,"sea; sky ;",Ü "x",1\r\np/blue.png,,\r\n', encoding="utf-8"
    )
    assert photos.import_words(tmp_path / "w.csv") == 2
    (tmp_path / "w.jsonl").write_text(
        '{"path": "p/green.png", "tags": ["sea", "\u2028"]}\n\n'
        + json.dumps({"id": photos.located()["p/blue.png"], "description": "d"})
    )
    assert photos.import_words(tmp_path / "w.jsonl") == 2
    said = {r["path"]: (r["tags"], r["description"]) for r in photos.query("width > 0", show=["tags", "description"])}
    assert said["p/green.png"] == (["sea", "sky"], 'Ü "x"'), "a tag of white space alone is none"
    assert said["p/blue.png"] == (None, "d")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "w.csv",
            "path,tags\np/green.png,x\np/nope.png,y\n,z\n",
            r"(?s)w\.csv:3: no image 'p/nope.png'.*:4: no path and no id",
        ),
        ("w.csv", "file,tags\nx,y\n", "the header needs a column path or id"),
        ("w.csv", "", "the header needs a column path or id"),
        ("w.csv", 'path,tags\n"p/green.png,x\n', "is not CSV"),
        ("w.jsonl", '{"path": "p/green.png"}\n{oops\n', r"w\.jsonl:2: is not JSON"),
        ("w.jsonl", "[1]\n", "is not a JSON object"),
        ("w.jsonl", '{"path": "p/green.png", "tags": 5}\n', "tags must be a text or a list, not 5"),
        ("w.parquet", "x", "words come from a .csv or .jsonl file"),
        ("w.txt", "x", "--format csv"),
    ],
)
def test_words_that_do_not_fit_change_nothing(
    photos: Collection, tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    before = photos.catalog.tags(), photos.catalog.descriptions()
    with pytest.raises(ExchangeError, match=message):
        photos.import_words(tmp_path / name)
    assert (photos.catalog.tags(), photos.catalog.descriptions()) == before


def test_words_for_an_empty_collection_are_refused(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text("path,tags\na,b\n")
    with pytest.raises(CollectionError, match="the collection is empty"):
        opened(tmp_path).import_words(tmp_path / "w.csv")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_a_npy_file_is_read_in_batches_however_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: Any, kind: Any
) -> None:
    monkeypatch.setattr(exchange, "ROWS_A_BATCH", 3)
    rows = np.random.default_rng(4).standard_normal((10, 5)).astype(kind)
    np.save(tmp_path / "v.npy", np.asarray(rows, order=order))
    (tmp_path / "names.txt").write_text("\n".join(f"{i}.jpg" for i in range(10)))
    brought = exchange.read_vectors(tmp_path / "v.npy", tmp_path / "names.txt")
    found = list(brought.batches())
    assert [len(batch) for batch in found] == [3, 3, 3, 1]
    wide = rows.astype(np.float32).astype(np.float64)
    expected = (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-6)


def test_a_npy_file_that_shrinks_while_it_is_read_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.ones((10, 5), np.float32))
    (tmp_path / "names.txt").write_text("\n".join(f"{i}.jpg" for i in range(10)))
    brought = exchange.read_vectors(tmp_path / "v.npy", tmp_path / "names.txt")
    with (tmp_path / "v.npy").open("r+b") as file:
        file.truncate(200)
    with pytest.raises(ExchangeError, match="ends before its last row"):
        list(brought.batches())
