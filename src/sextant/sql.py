"""Read-only SQL over a collection, answered by DuckDB in memory: the only file that talks to it.

    images                   one row an image: its metadata and one confidence (DOUBLE, NULL if unknown) a code
    bands                    id and one band a code: accepted, tentative, rejected or unknown
    feature_image_attribute  one row a cell: image_id, attribute_code, confidence, band, source
    score('a phrase')        the confidence of a phrase that has no column; score('a phrase', image_id) says whose

A statement sees these tables and nothing else: no file, no network, no setting, no other statement. A column is made
when DuckDB comes to it, and one that the statement does not name is never made. This module knows nothing about how.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
from numpy.typing import NDArray

from sextant.errors import SqlError

Scorer = Callable[[str], NDArray[np.float64]]

TABLES = ("images", "bands", "feature_image_attribute")
MAX_PHRASES = 50
ROWS_A_BATCH = 131_072

_LOCKED: Mapping[str, str | bool] = {
    "enable_external_access": False,
    "python_enable_replacements": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "temp_directory": "",
}
_WORDS = pa.dictionary(pa.int32(), pa.string())
_LONG = pa.schema(
    [
        ("image_id", pa.string()),
        ("attribute_code", pa.dictionary(pa.int16(), pa.string())),
        ("confidence", pa.float64()),
        ("band", _WORDS),
        ("source", _WORDS),
    ]
)
_FIRST_WORD = re.compile(r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*([a-z_]+)", re.IGNORECASE | re.DOTALL)
_EXPLAIN = re.compile(_FIRST_WORD.pattern + r"(?:\s+analyze\b|\s*\([^)]*\))?", re.IGNORECASE | re.DOTALL)
# What takes the place of score('a phrase'); the two column names stand for the image and the phrase.
_LOOKUP = "SELECT (SELECT _score FROM _scores WHERE _image = _the_image AND _phrase = _the_phrase)"


class Columns(Protocol):
    """One row an image, under names that are known before any column is made; a `pa.Table` is one."""

    @property
    def schema(self) -> pa.Schema:
        """The names and types of all columns."""

    def select(self, names: Sequence[str]) -> pa.Table:
        """Some columns; no other needs to be made."""


@dataclass(frozen=True, slots=True)
class Tables:
    """What a statement can see. All three have the same images in the same order, under `id`.

    `wide`: metadata, then one float column a code (NaN or null: unknown). `bands` and `sources`: `id` and one text a
    code; their columns say which codes there are.
    """

    wide: Columns
    bands: Columns
    sources: Columns

    @property
    def codes(self) -> tuple[str, ...]:
        """The attribute codes, in the order of the columns of `bands`."""
        return tuple(name for name in self.bands.schema.names if name != "id")


def run(
    select: str,
    tables: Tables,
    *,
    parameters: Sequence[Any] = (),
    score: Scorer | None = None,
    memory: str = "2GB",
    threads: int | None = None,
) -> pa.Table:
    """The answer to one SELECT (or WITH, FROM, PIVOT, DESCRIBE, SUMMARIZE, SHOW, EXPLAIN).

    `parameters` fill each `?`. `score` gives a phrase's confidences (n,) in the order of the images, NaN for unknown;
    it is called once a phrase. Raises SqlError for a statement that is refused or that DuckDB rejects.
    """
    if not select.isascii() and any("\ud800" <= character <= "\udfff" for character in select):
        raise SqlError("The statement holds half of a character (a lone surrogate): type it anew.")
    config = {**_LOCKED, "memory_limit": memory, **({"threads": threads} if threads else {})}
    making = _Making()
    try:
        with closing(duckdb.connect(":memory:", config=config)) as connection:
            _check(connection, select)
            for name, relation in _relations(tables, making).items():
                connection.register(name, relation)
            if score is not None:
                select = _with_scores(connection, select, parameters, tables.wide.select(["id"])["id"], score)
            connection.execute("SET lock_configuration = true")
            found = connection.sql(select, params=list(parameters) or None)
            return pa.table({}) if found is None else _told_apart(found.to_arrow_table())
    except duckdb.Error as error:
        if making.failure is not None:  # ours, and not the statement's
            raise making.failure from None
        message = _explained(str(error))
    except RecursionError:
        message = "The statement is nested too deeply: split it."
    raise SqlError(message)


def _told_apart(answer: pa.Table) -> pa.Table:
    """The answer with a name of its own for every column: a second `path` becomes `path_1`."""
    names: list[str] = []
    for name in answer.column_names:
        others = (f"{name}_{n}" for n in range(1, len(answer.column_names) + 1))
        taken = {*names, *answer.column_names}
        names.append(name if name not in names else next(other for other in others if other not in taken))
    return answer.rename_columns(names)


def _check(connection: duckdb.DuckDBPyConnection, select: str) -> None:
    """Refuse everything but one statement that reads, by DuckDB's own parser."""
    kinds = [statement.type for statement in connection.extract_statements(select)]
    if len(kinds) != 1:
        found = "nothing" if not kinds else f"{len(kinds)} statements"
        raise SqlError(f"Exactly one SELECT is answered at a time; this is {found}.")
    kind = kinds[0]
    first = _FIRST_WORD.match(select)
    word = first.group(1).lower() if first else ""
    if kind == duckdb.StatementType.EXPLAIN:
        explained = _EXPLAIN.match(select)
        return _check(connection, select[explained.end() :] if explained else "")
    reads = kind == duckdb.StatementType.SELECT
    # A PIVOT is several statements to DuckDB; so is what would write one into a table.
    pivots = kind == duckdb.StatementType.MULTI and word in ("pivot", "pivot_wider", "from", "select", "with")
    if not reads and not pivots:
        what = word.upper() or kind.name
        raise SqlError(
            f"{what} is refused: SQL here only reads. Use SELECT, and 'sextant tag', 'label' or 'override' to write."
        )
    return None


@dataclass
class _Making:
    """The making of columns in DuckDB's threads: one at a time, and the first failure is kept for who asked."""

    turn: Lock = field(default_factory=Lock)
    failure: BaseException | None = None

    def batches(self, tables: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
        """The rows of tables that are made one after another, as they are read."""
        coming = iter(tables)
        while True:
            with self.turn:
                try:
                    table = next(coming, None)
                except BaseException as error:
                    self.failure = self.failure or error
                    raise
            if table is None:
                return
            yield from table.to_batches(max_chunksize=ROWS_A_BATCH)


class _Relation(pyarrow.dataset.Dataset):  # type: ignore[misc]
    """What DuckDB takes for a data set of Arrow's: it asks for a scanner of the columns that a statement names."""

    def __init__(
        self, schema: pa.Schema, read: Callable[[Sequence[str]], Iterable[pa.Table]], making: _Making
    ) -> None:  # and not the base's, which refuses to be made here
        self._names_and_types, self._read, self._making = schema, read, making

    @property
    def schema(self) -> pa.Schema:
        """The names and types of all columns."""
        return self._names_and_types

    def scanner(self, columns: Sequence[str] | None = None, filter: Any = None, **options: Any) -> Any:
        """Columns, or all, of the rows that pass a filter; what it compares need not be among them."""
        asked = self.schema.names if columns is None else list(columns)
        compared = "" if filter is None else str(filter)  # a name too many does no harm
        names = [name for name in self.schema.names if name in asked or name in compared]
        batches = self._making.batches(self._read(names))
        schema = pa.schema([self.schema.field(name) for name in names])
        return pyarrow.dataset.Scanner.from_batches(batches, schema=schema, columns=asked, filter=filter, **options)


def _relations(tables: Tables, making: _Making) -> dict[str, _Relation]:
    codes = set(tables.codes)
    wide = [f.with_type(pa.float64()) if f.name in codes else f for f in tables.wide.schema]

    def images(names: Sequence[str]) -> Iterator[pa.Table]:
        table = tables.wide.select(names)
        yield pa.table({name: _floats(table[name], name in codes) for name in names})

    def bands(names: Sequence[str]) -> Iterator[pa.Table]:
        yield tables.bands.select(names)

    return {
        "images": _Relation(pa.schema(wide), images, making),
        "bands": _Relation(tables.bands.schema, bands, making),
        "feature_image_attribute": _Relation(_LONG, lambda names: _long(tables, names), making),
    }


def _floats(column: pa.ChunkedArray, confidence: bool) -> pa.ChunkedArray:
    """NaN becomes NULL, because SQL takes it for the greatest number; confidences become DOUBLE."""
    if confidence:
        column = column.cast(pa.float64())
    if pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py():
        return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return column


def _long(tables: Tables, names: Sequence[str]) -> Iterator[pa.Table]:
    """Columns of the long form, a code at a time."""
    for number in range(len(tables.codes)):
        yield pa.table({name: _cells(tables, number, name).cast(_LONG.field(name).type) for name in names})


def _cells(tables: Tables, number: int, name: str) -> pa.Array | pa.ChunkedArray:
    """One column of the long form, of one code."""
    code = tables.codes[number]
    match name:
        case "confidence":
            return _floats(tables.wide.select([code])[code], True)
        case "band":
            return tables.bands.select([code])[code]
        case "source":
            return tables.sources.select([code])[code]
    ids = tables.bands.select(["id"])["id"]
    if name == "image_id":
        return ids
    return pa.DictionaryArray.from_arrays(np.full(len(ids), number, np.int16), pa.array(tables.codes, pa.string()))


def _with_scores(
    connection: duckdb.DuckDBPyConnection, select: str, parameters: Sequence[Any], ids: pa.ChunkedArray, score: Scorer
) -> str:
    """The statement with each score('a phrase') looked up in a table of the phrases' confidences.

    DuckDB gives the statement's tree and takes it back; only a SELECT has one, so elsewhere score() stays unknown.
    """
    tree = _tree(connection, select)
    if tree is None:
        return select
    phrases: dict[str, None] = {}
    lookup = _tree(connection, _LOOKUP)["statements"][0]["node"]["select_list"][0]  # type: ignore[index]

    def look_up(node: dict[str, Any]) -> dict[str, Any]:
        arguments = [argument.get("expression", argument) for argument in node["arguments"]]
        if not 1 <= len(arguments) <= 2:
            raise SqlError(
                "score() takes a phrase, and the image's id where there are several: score('a red car', i.id)"
            )
        phrases[_phrase(arguments[0], parameters)] = None
        image = arguments[1] if len(arguments) == 2 else _column("id", node)
        places = {"_the_image": image, "_the_phrase": arguments[0]}
        return {**_filled(lookup, places), "alias": node["alias"]}

    tree = _replaced(tree, look_up)
    if not phrases:
        return select
    if len(phrases) > MAX_PHRASES:
        raise SqlError(f"{len(phrases)} phrases in one statement, more than {MAX_PHRASES}: make columns of them.")
    connection.register("_scores", _scores(list(phrases), ids, score))
    connection.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(tree)])
    return str(connection.fetchall()[0][0])


def _tree(connection: duckdb.DuckDBPyConnection, select: str) -> dict[str, Any] | None:
    connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [select])
    tree: dict[str, Any] = json.loads(connection.fetchall()[0][0])
    return None if tree["error"] else tree


def _replaced(node: Any, look_up: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """The tree with every call of score() replaced; in a list of results the column is called score."""
    if isinstance(node, list):
        return [_replaced(child, look_up) for child in node]
    if not isinstance(node, dict):
        return node
    children = {key: _replaced(child, look_up) for key, child in node.items()}
    if _is_score(node):
        return look_up(children)
    for before, after in zip(node.get("select_list", ()), children.get("select_list", ()), strict=True):
        if _is_score(before) and not before["alias"]:
            after["alias"] = "score"
    return children


def _is_score(node: Any) -> bool:
    return isinstance(node, dict) and node.get("class") == "FUNCTION" and node["function_name"].lower() == "score"


def _filled(node: Any, places: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_filled(child, places) for child in node]
    if not isinstance(node, dict):
        return node
    names = node.get("column_names")
    if names and names[0] in places:
        return places[names[0]]
    return {key: _filled(child, places) for key, child in node.items()}


def _column(name: str, at: Mapping[str, Any]) -> dict[str, Any]:
    """A reference to a column, which errors place where the call of score() stands."""
    place = {key: at[key] for key in ("query_location", "query_location_length") if key in at}
    return {"class": "COLUMN_REF", "type": "COLUMN_REF", "alias": "", "column_names": [name], **place}


def _phrase(argument: Mapping[str, Any], parameters: Sequence[Any]) -> str:
    """The text of a phrase: a text in quotes, or the parameter that stands for one."""
    phrase: Any = None
    if argument.get("type") == "VALUE_CONSTANT" and argument.get("literal", {}).get("kind") == "STRING":
        phrase = argument["literal"]["text"]
    elif argument.get("type") == "VALUE_PARAMETER" and str(argument.get("identifier", "")).isdigit():
        place = int(argument["identifier"])
        phrase = parameters[place - 1] if place <= len(parameters) else None
    if not isinstance(phrase, str) or not phrase.strip():
        raise SqlError("score() needs a phrase in quotes, such as score('a red car'); it takes no column.")
    return phrase


def _scores(phrases: list[str], ids: pa.ChunkedArray, score: Scorer) -> pa.Table:
    """One row a phrase and image; the same phrase is scored once."""
    words = pa.array(phrases, pa.string())
    pieces = []
    for number, phrase in enumerate(phrases):
        values = pa.array(np.asarray(score(phrase), np.float64), from_pandas=True)  # from_pandas: NaN becomes NULL
        which = pa.DictionaryArray.from_arrays(np.full(len(ids), number, np.int16), words)
        pieces.append(pa.table({"_image": ids, "_phrase": which, "_score": values}))
    return pa.concat_tables(pieces)


def _explained(message: str) -> str:
    """DuckDB's own words, with what this program can add."""
    if re.search(r"Table with name \S+ does not exist", message):
        return f"{message}\nThe tables are {', '.join(TABLES)}."
    if "Function with name score does not exist" in message:
        return f"{message}\nscore('a phrase') works in a SELECT on a collection with an encoder."
    if 'Ambiguous reference to column name "id"' in message:
        return f"{message}\nWith several tables say whose score is meant: score('a phrase', i.id)."
    if "disabled by configuration" in message or "has been locked" in message:
        return f"{message}\nSQL here reads the tables {', '.join(TABLES)} and nothing else."
    return message
