"""Read-only SQL over a collection, answered by DuckDB in memory: the only file that talks to it.

    images                   one row an image: its metadata and one confidence (DOUBLE, NULL if unknown) a code
    bands                    id and one band a code: accepted, tentative, rejected or unknown
    feature_image_attribute  one row a cell: image_id, attribute_code, confidence, band, source
    score('a phrase')        the confidence of a phrase that has no column; score('a phrase', image_id) says whose

A statement sees these tables and nothing else: no file, no network, no setting, no other statement. This module knows
nothing about how the tables were made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sextant.errors import SqlError

Scorer = Callable[[str], NDArray[np.float64]]

TABLES = ("images", "bands", "feature_image_attribute")
MAX_PHRASES = 50

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


@dataclass(frozen=True, slots=True)
class Tables:
    """What a statement can see. All three have the same images in the same order, under `id`.

    `wide`: metadata, then one float column a code (NaN or null: unknown). `bands` and `sources`: `id` and one text a
    code; their columns say which codes there are.
    """

    wide: pa.Table
    bands: pa.Table
    sources: pa.Table

    @property
    def codes(self) -> tuple[str, ...]:
        """The attribute codes, in the order of the columns of `bands`."""
        return tuple(name for name in self.bands.column_names if name != "id")


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
    try:
        with closing(duckdb.connect(":memory:", config=config)) as connection:
            _check(connection, select)
            _register(connection, tables)
            if score is not None:
                select = _with_scores(connection, select, parameters, tables.wide["id"], score)
            connection.execute("SET lock_configuration = true")
            relation = connection.sql(select, params=list(parameters) or None)
            return pa.table({}) if relation is None else _told_apart(relation.to_arrow_table())
    except duckdb.Error as error:
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


def _register(connection: duckdb.DuckDBPyConnection, tables: Tables) -> None:
    wide = pa.table({name: _floats(tables.wide[name], name in tables.codes) for name in tables.wide.column_names})
    connection.register("images", wide)
    connection.register("bands", tables.bands)
    connection.register("feature_image_attribute", _long(wide, tables))


def _floats(column: pa.ChunkedArray, confidence: bool) -> pa.ChunkedArray:
    """NaN becomes NULL, because SQL takes it for the greatest number; confidences become DOUBLE."""
    if confidence:
        column = column.cast(pa.float64())
    if pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py():
        return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return column


def _long(wide: pa.Table, tables: Tables) -> pa.Table:
    """The wide tables, one code below the other; ids, confidences, bands and sources are not copied."""
    words = pa.array(tables.codes, pa.string())
    pieces = [_LONG.empty_table()]
    for number, code in enumerate(tables.codes):
        which = pa.DictionaryArray.from_arrays(np.full(wide.num_rows, number, np.int16), words)
        columns = (wide["id"], which, wide[code], tables.bands[code], tables.sources[code])
        typed = [column.cast(wanted.type) for column, wanted in zip(columns, _LONG, strict=True)]
        pieces.append(pa.table(typed, schema=_LONG))
    return pa.concat_tables(pieces)


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
