from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sextant import sql
from sextant.errors import CollectionError, SqlError

IDS = ["a", "b", "c"]
EARTH = [0.9, None, 0.1]
MOON = [0.75, 0.5, 0.25]
LONG = "image_id, attribute_code, confidence, band, source"


def tables(earth: list[Any] = EARTH) -> sql.Tables:
    wide = {
        "id": IDS,
        "path": ["x.jpg", "y.jpg", "z.jpg"],
        "sharpness": [1.0, math.nan, 3.0],
        "width": [640, 1000, 2000],
    }
    confidences = {"earth": pa.array(earth, pa.float64()), "moon": pa.array(MOON, pa.float32())}
    bands = {"earth": ["accepted", "unknown", "rejected"], "moon": ["tentative", "tentative", "rejected"]}
    sources = {"earth": ["model", None, "person"], "moon": pa.array(["model"] * 3).dictionary_encode()}
    return sql.Tables(
        pa.table({**wide, **confidences}), pa.table({"id": IDS, **bands}), pa.table({"id": IDS, **sources})
    )


def rows(select: str, **options: Any) -> list[dict[str, Any]]:
    return sql.run(select, tables(), **options).to_pylist()


def score(phrase: str) -> Any:
    return np.array([len(phrase) / 10, math.nan, 0.05])


def test_images_have_metadata_and_one_double_a_code() -> None:
    assert rows("SELECT id, earth FROM images WHERE width > 700") == [
        {"id": "b", "earth": None},
        {"id": "c", "earth": 0.1},
    ]
    kinds = {row["column_name"]: row["column_type"] for row in rows("DESCRIBE images")}
    assert (kinds["earth"], kinds["moon"], kinds["path"]) == ("DOUBLE", "DOUBLE", "VARCHAR")


def test_nan_is_null_and_never_the_greatest_number() -> None:
    assert sql.run("SELECT id FROM images WHERE earth > 0.5", tables([math.nan] * 3)).num_rows == 0
    assert rows("SELECT id FROM images WHERE sharpness > 2") == [{"id": "c"}]
    assert rows("SELECT id FROM images WHERE sharpness IS NULL") == [{"id": "b"}]


def test_the_long_view_has_one_row_a_cell() -> None:
    assert rows("FROM feature_image_attribute WHERE attribute_code = 'earth' ORDER BY image_id") == [
        dict(zip(LONG.split(", "), cell, strict=True))
        for cell in (
            ("a", "earth", 0.9, "accepted", "model"),
            ("b", "earth", None, "unknown", None),
            ("c", "earth", 0.1, "rejected", "person"),
        )
    ]


def test_the_wide_view_pivots_to_the_long_one_and_back_exactly() -> None:
    generator = np.random.default_rng(5)
    ids = [f"{number:04x}" for number in range(200)]
    codes = [f"c{number}" for number in range(12)]
    confidences = {code: np.where(generator.random(200) < 0.1, np.nan, generator.random(200)) for code in codes}
    bands = {code: np.where(np.isnan(values), "unknown", "rejected") for code, values in confidences.items()}
    sources = dict.fromkeys(codes, ["model"] * 200)
    made = sql.Tables(*(pa.table({"id": ids, **columns}) for columns in (confidences, bands, sources)))
    wide = sql.run("FROM images ORDER BY id", made)
    pivot = (
        "PIVOT feature_image_attribute ON attribute_code USING first(confidence) GROUP BY image_id ORDER BY image_id"
    )
    back = sql.run(pivot, made).rename_columns({"image_id": "id"}).select(wide.column_names)
    assert back.equals(wide)
    unpivot = f"UNPIVOT INCLUDE NULLS (confidence FOR attribute_code IN ({', '.join(codes)}))"
    long = sql.run(f"SELECT id AS image_id, attribute_code, confidence FROM images {unpivot} ORDER BY ALL", made)
    cells = "SELECT image_id, attribute_code, confidence FROM feature_image_attribute ORDER BY ALL"
    assert sql.run(cells, made).equals(long)
    assert long.num_rows == 200 * 12


def test_a_collection_without_columns_has_an_empty_long_view() -> None:
    ids = pa.table({"id": IDS})
    assert sql.run(f"SELECT {LONG} FROM feature_image_attribute", sql.Tables(ids, ids, ids)).num_rows == 0
    assert sql.run("SELECT count(*) AS n FROM images", sql.Tables(ids, ids, ids)).to_pylist() == [{"n": 3}]


def test_three_hundred_columns_are_nothing_special() -> None:
    codes = [f"c{number}" for number in range(300)]
    columns = [dict.fromkeys(codes, values) for values in ([0.5] * 3, ["tentative"] * 3, ["model"] * 3)]
    made = sql.Tables(*(pa.table({"id": IDS, **column}) for column in columns))
    assert sql.run("SELECT avg(confidence) AS mean FROM feature_image_attribute", made).to_pylist() == [{"mean": 0.5}]


@pytest.mark.parametrize(
    ("select", "rows_found"),
    [
        ("WITH best AS (SELECT id FROM images WHERE earth > 0.5) FROM best", 1),
        ("/* all */ (SELECT 1)", 1),
        ("-- all\nVALUES (1), (2);", 2),
        ("SHOW TABLES", 3),
        ("SUMMARIZE bands", 3),
        ("EXPLAIN SELECT * FROM images", 1),
        ("EXPLAIN ANALYZE SELECT * FROM images", 1),
        ("explain (analyze) /* x */ select 1", 1),
        ("SELECT * FROM images JOIN bands USING (id) WHERE bands.earth = 'accepted'", 1),
    ],
)
def test_whatever_reads_is_answered(select: str, rows_found: int) -> None:
    assert len(rows(select)) == rows_found


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM images",
        "UPDATE images SET earth = 1",
        "INSERT INTO bands VALUES ('d')",
        "DROP VIEW images",
        "ALTER TABLE images ADD COLUMN x INT",
        "CREATE TABLE t AS SELECT 1",
        "CREATE TABLE t AS PIVOT images ON id USING first(earth)",
        "CREATE MACRO f(x) AS x",
        "COPY images TO '{0}'",
        "COPY (SELECT 1) TO '{0}'",
        "EXPORT DATABASE '{0}'",
        "ATTACH '{0}' AS other",
        "USE temp",
        "SET threads = 1",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "PRAGMA version",
        "CALL pragma_version()",
        "INSTALL httpfs",
        "LOAD '{0}'",
        "VACUUM",
        "CHECKPOINT",
        "BEGIN",
        "PREPARE p AS SELECT 1",
        "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{0}'",
        "/* SELECT */ DELETE FROM images",
        "WITH x AS (SELECT 1) DELETE FROM images",
    ],
)
def test_whatever_writes_or_configures_is_refused_and_leaves_no_file(statement: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    with pytest.raises(SqlError) as caught:
        rows(statement.replace("{0}", str(target)))
    assert "is refused: SQL here only reads" in str(caught.value)
    assert os.listdir(tmp_path) == []  # noqa: PTH208


@pytest.mark.parametrize(
    "source",
    [
        "'{0}'",
        "read_csv('{0}')",
        "read_text('{0}')",
        "read_parquet('{0}')",
        "read_json('{0}')",
        "glob('{1}/*')",
        "read_blob('{0}')",
    ],
)
def test_no_file_is_read(source: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("key\nhush\n")
    with pytest.raises(SqlError) as caught:
        rows(f"SELECT * FROM {source.format(secret, tmp_path)}")
    assert "hush" not in str(caught.value)
    assert "images, bands, feature_image_attribute" in str(caught.value)


def test_python_objects_and_other_tables_are_out_of_sight() -> None:
    secret = pa.table({"key": ["hush"]})
    with pytest.raises(SqlError, match="The tables are images, bands, feature_image_attribute"):
        rows("SELECT * FROM secret")
    assert secret.num_rows == 1


@pytest.mark.parametrize(
    ("select", "words"),
    [
        ("", "Exactly one SELECT is answered at a time; this is nothing"),
        ("-- nothing", "this is nothing"),
        ("SELECT 1; SELECT 2", "this is 2 statements"),
        ("SELECT 1; DROP TABLE images", "this is 2 statements"),
        ("SELECT erth FROM images", 'Candidate bindings: "earth"'),
        ("SELECT * FROM imagez", 'Did you mean "images"?'),
        ("SELECT 1 +", "syntax error"),
        ("SELECT " + "(" * 5_000 + "1" + ")" * 5_000, "depth"),
        ("SELECT ? FROM images", "parameter"),
        ("SELECT error('boom')", "boom"),
    ],
)
def test_a_wrong_statement_is_explained(select: str, words: str) -> None:
    with pytest.raises(SqlError) as caught:
        rows(select)
    assert words.lower() in str(caught.value).lower()


def test_nothing_of_one_statement_reaches_the_next() -> None:
    made = tables()
    before = made.wide.to_pylist()
    with pytest.raises(SqlError):
        sql.run("CREATE TABLE kept AS SELECT 1", made)
    with pytest.raises(SqlError, match="kept"):
        sql.run("FROM kept", made)
    assert made.wide.to_pylist()[0] == before[0]


def test_too_much_memory_is_an_error_and_not_a_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SqlError, match=r"(?i)memory"):
        rows("SELECT count(*) FROM (SELECT range AS r, random() AS x FROM range(20000000) ORDER BY x)", memory="20MB")
    assert list(tmp_path.iterdir()) == []


def test_a_phrase_is_scored_once_and_null_where_unknown() -> None:
    asked: list[str] = []

    def counted(phrase: str) -> Any:
        asked.append(phrase)
        return score(phrase)

    found = rows(
        "SELECT id, score('sunset') FROM images WHERE SCORE('sunset') > 0.1 ORDER BY score('sea')", score=counted
    )
    assert found == [{"id": "a", "score": 0.6}]
    assert sorted(asked) == ["sea", "sunset"]
    assert rows("SELECT count(*) AS n FROM images WHERE score('x') IS NULL", score=score) == [{"n": 1}]


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("SELECT score('it''s') AS x FROM images WHERE id = 'a'", [{"x": 0.4}]),
        (
            "SELECT image_id FROM feature_image_attribute WHERE score('abcde', image_id) = 0.5 GROUP BY ALL",
            [{"image_id": "a"}],
        ),
        ("SELECT i.id FROM images i JOIN bands b ON i.id = b.id WHERE score('ab', i.id) > 0.1", [{"id": "a"}]),
        ("SELECT i.id FROM images i JOIN bands b USING (id) WHERE score('ab') > 0.1", [{"id": "a"}]),
        ("WITH s AS (SELECT id, score('ab') FROM images) SELECT max(score) AS best FROM s", [{"best": 0.2}]),
        ("SELECT count(*) AS n FROM images GROUP BY score('ab') > 0.1 ORDER BY n", [{"n": 1}] * 3),
        ("SELECT id FROM images ORDER BY score('ab') DESC NULLS LAST LIMIT 2", [{"id": "a"}, {"id": "c"}]),
        ("SELECT CASE WHEN score('ab') > 0.1 THEN 'yes' END AS word FROM images WHERE id = 'a'", [{"word": "yes"}]),
    ],
)
def test_a_phrase_may_stand_wherever_a_number_may(select: str, expected: list[dict[str, Any]]) -> None:
    assert rows(select, score=score) == expected


def test_a_phrase_may_be_a_parameter_among_others() -> None:
    select = "SELECT id FROM images WHERE width < ? AND score(?, id) > ?"
    assert rows(select, score=score, parameters=[1_500, "abcde", 0.4]) == [{"id": "a"}]


@pytest.mark.parametrize(
    ("select", "words"),
    [
        ("SELECT score(path) FROM images", "a phrase in quotes"),
        ("SELECT score(5) FROM images", "a phrase in quotes"),
        ("SELECT score(' ') FROM images", "a phrase in quotes"),
        ("SELECT score() FROM images", "score() takes a phrase"),
        ("SELECT score('a', 'b', 'c') FROM images", "score() takes a phrase"),
        ("SELECT score('x') FROM images i JOIN bands b ON i.id = b.id", "say whose score is meant"),
        ("EXPLAIN SELECT score('x') FROM images", "works in a SELECT"),
        ("SELECT " + ", ".join(f"score('{n}')" for n in range(51)) + " FROM images", "51 phrases in one statement"),
    ],
)
def test_a_phrase_that_cannot_be_scored_is_explained(select: str, words: str) -> None:
    with pytest.raises(SqlError) as caught:
        rows(select, score=score)
    assert words in str(caught.value)


def test_without_an_encoder_score_is_unknown_and_says_why() -> None:
    with pytest.raises(SqlError, match="with an encoder"):
        rows("SELECT score('x') FROM images")


@pytest.mark.parametrize("phrase", ["'; DROP TABLE images; --", '"); --', "a\nb", "✨ ''quotes'' ✨", "?", "$1"])
def test_a_phrase_is_text_and_nothing_else(phrase: str) -> None:
    heard: list[str] = []
    quoted = phrase.replace("'", "''")
    rows(f"SELECT score('{quoted}') FROM images", score=lambda text: (heard.append(text), score(text))[1])
    assert heard == [phrase]


def test_the_statements_of_the_documentation_are_answered() -> None:
    text = (Path(__file__).resolve().parents[1] / "docs" / "rules.md").read_text(encoding="utf-8")
    selected, pivoted = (rows(select, score=score) for select in re.findall(r"```sql\n(.*?)```", text, re.DOTALL))
    assert selected == []
    assert {row["image_id"]: row["earth"] for row in pivoted} == dict(zip(IDS, EARTH, strict=True))


def test_half_a_character_is_refused_in_words() -> None:
    with pytest.raises(SqlError, match="half of a character"):
        rows("SELECT '\ud800'")
    assert rows("SELECT '🦆' AS d") == [{"d": "🦆"}]


class Recorded:
    """Columns that remember which of them were made."""

    def __init__(self, table: pa.Table) -> None:
        self.table, self.made = table, set[str]()

    @property
    def schema(self) -> pa.Schema:
        return self.table.schema

    def select(self, names: Any) -> pa.Table:
        self.made |= set(names)
        return self.table.select(names)


@pytest.mark.parametrize(
    ("select", "made"),
    [
        ("SELECT count(*) FROM images", [{"id"}, set(), set()]),
        ("SELECT avg(moon) FROM images WHERE width > 700", [{"moon", "width"}, set(), set()]),
        ("SELECT path FROM images WHERE earth > 0.5 OR id LIKE '%c'", [{"path", "earth", "id"}, set(), set()]),
        ("SELECT moon FROM bands WHERE earth = 'accepted'", [set(), {"moon", "earth"}, set()]),
        ("SELECT source FROM feature_image_attribute", [set(), set(), {"earth", "moon"}]),
        ("SELECT confidence FROM feature_image_attribute", [{"earth", "moon"}, set(), set()]),
        ("DESCRIBE images", [set(), set(), set()]),
        ("SELECT * FROM images", [{"id", "path", "sharpness", "width", "earth", "moon"}, set(), set()]),
        (
            "SELECT i.moon FROM images i JOIN bands b USING (id) WHERE b.earth = 'x'",
            [{"moon", "id"}, {"earth", "id"}, set()],
        ),
        ("SELECT 1", [set(), set(), set()]),
    ],
)
def test_a_column_that_the_statement_does_not_name_is_never_made(select: str, made: list[set[str]]) -> None:
    whole = tables()
    recorded = [Recorded(table) for table in (whole.wide, whole.bands, whole.sources)]
    assert sql.run(select, sql.Tables(*recorded)).equals(sql.run(select, whole))
    for found, expected in zip(recorded, made, strict=True):
        assert expected <= found.made <= expected | {"id"}


def test_what_a_filter_compares_need_not_be_in_the_answer() -> None:
    where = "attribute_code = 'moon' AND confidence >= 0.5 AND band <> 'accepted' AND source IS NOT NULL"
    found = rows(f"SELECT image_id FROM feature_image_attribute WHERE {where} ORDER BY image_id")
    assert found == [{"image_id": "a"}, {"image_id": "b"}]


def test_a_column_that_cannot_be_made_fails_in_its_own_words() -> None:
    class Broken(Recorded):
        def select(self, names: Any) -> pa.Table:
            raise CollectionError(f"no {', '.join(names)}")

    broken = Broken(tables().bands)
    made = sql.Tables(tables().wide, broken, tables().sources)
    with pytest.raises(CollectionError, match="no moon"):
        sql.run("SELECT moon FROM bands", made)
    assert sql.run("SELECT count(*) AS n FROM images", made).to_pylist() == [{"n": 3}]
