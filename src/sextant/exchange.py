"""Tables out of a collection and vectors or words into it: CSV, JSON lines, Parquet, `.npy` and clip-retrieval folders.

A file is written whole or not at all. Texts that a spreadsheet would run as a formula are defused in CSV. Everything
that is read is checked whole before anything is kept.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sextant.errors import ExchangeError
from sextant.manifest import replacing
from sextant.types import Floats
from sextant.view import View, nullable

Format = Literal["csv", "jsonl", "parquet"]
FORMATS: Mapping[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
FORMULA = ("=", "+", "-", "@", "\t", "\r")
LENGTH_SLACK = 1e-3  # a vector whose length is off by less came rounded, and is scaled silently


# out


def format_of(path: Path, asked: str | None) -> Format:
    """The format asked for, or the one that the file's name says."""
    if asked in FORMATS.values():
        return asked  # type: ignore[return-value]
    if asked is None and path.suffix.lower() in FORMATS:
        return FORMATS[path.suffix.lower()]
    raise ExchangeError(f"{path}: say the format with --format csv, jsonl or parquet")


def long_table(view: View) -> pa.Table:
    """One row an image and attribute: image_id, path, attribute_code, confidence, band, source."""
    n, codes = len(view), view.codes()
    if not codes:
        return pa.table({name: pa.array([], pa.string()) for name in ("image_id", "path", "attribute_code")})
    words = view.bands()
    return pa.concat_tables(
        pa.table(
            {
                "image_id": view.ids,
                "path": view.paths,
                "attribute_code": pa.array([code] * n, pa.string()),
                "confidence": nullable(view.values(code).confidence),
                "band": words[code],
                "source": pa.array(view.source(code), pa.string()),
            }
        )
        for code in codes
    )


def only(table: pa.Table, key: str, ids: pa.ChunkedArray) -> pa.Table:
    """The rows whose `key` is among the ids."""
    return table.filter(pc.is_in(table[key], value_set=ids.combine_chunks()))


def write(table: pa.Table, path: Path, kind: Format) -> None:
    """Writes a table to a file, whole or not at all.

    Raises:
        ExchangeError: the file cannot be written.
    """
    writer = {"csv": _write_csv, "jsonl": _write_jsonl, "parquet": _write_parquet}[kind]
    try:
        with replacing(path) as file:
            writer(table, file)
    except OSError as error:
        raise ExchangeError(f"{path}: cannot be written: {error.strerror or error}") from error


def _write_csv(table: pa.Table, file: BinaryIO) -> None:
    """UTF-8 with a header; lists as words separated by `;`, null as nothing, formulas defused by a leading `'`."""
    with io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True) as out:
        csv_rows(table, out)
        out.detach()


def csv_rows(table: pa.Table, out: TextIO) -> None:
    """A table as CSV text."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.column_names)
    for batch in table.to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            writer.writerow([_cell(value) for value in row.values()])


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        value = ";".join(str(v) for v in value)
    if isinstance(value, str):
        # A leading quote is doubled too, so that reading a file back knows which quotes were added.
        return "'" + value if value.startswith((*FORMULA, "'")) else value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    return "" if value is None else value


def _write_jsonl(table: pa.Table, file: BinaryIO) -> None:
    for batch in table.to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            file.write((json.dumps(row, ensure_ascii=False, default=str) + "\n").encode())


def _write_parquet(table: pa.Table, file: BinaryIO) -> None:
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, file)


# in: vectors


@dataclass(frozen=True, slots=True)
class Brought:
    """Vectors from elsewhere: `names` are paths or ids, `vectors` (n, dim) float32 unit rows."""

    names: list[str]
    vectors: Floats


def read_vectors(source: Path, names: Path | None) -> Brought:
    """Vectors from a `.npy` file with a list of names, a Parquet file, or a clip-retrieval folder.

    Raises:
        ExchangeError: a file is missing or does not fit; the message says which and how.
    """
    if source.is_dir():
        found, rows = _clip_retrieval(source)
    elif source.suffix == ".npy":
        if names is None:
            raise ExchangeError(f"{source}: say with --ids which file lists its paths or ids, one a line")
        found, rows = _lines(names), _npy(source)
    elif source.suffix == ".parquet":
        found, rows = _parquet_vectors(source)
    else:
        raise ExchangeError(f"{source}: bring a .npy file with --ids, a .parquet file, or a clip-retrieval folder")
    return Brought(found, _checked(source, found, rows))


def _checked(source: Path, names: list[str], rows: Floats) -> Floats:
    if rows.ndim != 2 or not len(rows):
        raise ExchangeError(f"{source}: has the shape {rows.shape}; a table of vectors (n, dim) is needed")
    if len(names) != len(rows):
        raise ExchangeError(f"{source}: {len(rows)} vectors but {len(names)} names")
    doubles = len(names) - len(set(names))
    if doubles:
        raise ExchangeError(f"{source}: {doubles} names appear more than once")
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
    bad = np.flatnonzero(~np.isfinite(lengths) | (lengths < LENGTH_SLACK))
    if len(bad):
        raise ExchangeError(f"{source}: the vector of {names[bad[0]]} is zero or not finite, and {len(bad) - 1} more")
    return np.asarray(rows / lengths[:, None], np.float32)


def _npy(path: Path) -> Floats:
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ExchangeError(f"{path}: cannot be read as an array of numbers: {error}") from error
    if rows.dtype.kind != "f":
        raise ExchangeError(f"{path}: holds {rows.dtype}, not floating-point numbers")
    return np.asarray(rows, dtype=np.float32)


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ExchangeError(f"{path}: cannot be read: {error}") from error


def _parquet_vectors(path: Path) -> tuple[list[str], Floats]:
    table = _read_parquet(path)
    name = next((n for n in ("path", "image_path", "id", "key") if n in table.column_names), None)
    vector = next((n for n in ("vector", "embedding", "image_embedding") if n in table.column_names), None)
    if name is None or vector is None:
        raise ExchangeError(f"{path}: needs a column path or id, and a column vector; it has {table.column_names}")
    try:
        rows = np.asarray(table[vector].to_pylist(), np.float32)
    except (TypeError, ValueError) as error:
        raise ExchangeError(f"{path}: the rows of '{vector}' are not vectors of one length") from error
    return [str(v) for v in table[name].to_pylist()], rows


def _clip_retrieval(folder: Path) -> tuple[list[str], Floats]:
    parts = sorted((folder / "img_emb").glob("img_emb_*.npy"), key=lambda p: int(p.stem.rpartition("_")[2]))
    if not parts:
        raise ExchangeError(f"{folder}: is no clip-retrieval folder: it has no img_emb/img_emb_0.npy")
    names: list[str] = []
    for part in parts:
        number = part.stem.rpartition("_")[2]
        table = _read_parquet(folder / "metadata" / f"metadata_{number}.parquet")
        if "image_path" not in table.column_names:
            raise ExchangeError(f"{folder}: metadata_{number}.parquet has no column image_path")
        names += [str(v) for v in table["image_path"].to_pylist()]
    return names, np.concatenate([_npy(part) for part in parts])


def _read_parquet(path: Path) -> pa.Table:
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ExchangeError(f"{path}: cannot be read as Parquet: {error}") from error


# in: words


def read_words(path: Path, find: Callable[[str], str | None]) -> dict[str, tuple[list[str], str]]:
    """Tags and description by image id, from CSV or JSON lines.

    A line has `path` or `id`, and `tags` (`;` between) or `description`. `find` gives the id behind a name.
    Raises `ExchangeError` that lists every wrong line; then nothing is kept.
    """
    words: dict[str, tuple[list[str], str]] = {}
    problems: list[str] = []
    for line, row in _records(path):
        name = str(row.get("path") or row.get("id") or "")
        image = find(name) if name else None
        if image is None:
            problems.append(
                f"{path}:{line}: " + (f"no image '{name}' in the collection" if name else "no path and no id")
            )
            continue
        tags = row.get("tags") or []
        tags = tags.split(";") if isinstance(tags, str) else tags
        words[image] = ([t.strip() for t in map(str, tags) if t.strip()], str(row.get("description") or "").strip())
    if problems:
        shown = problems[:20] + ([f"and {len(problems) - 20} more"] if len(problems) > 20 else [])
        raise ExchangeError("nothing was imported:\n" + "\n".join(shown))
    return words


def _records(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ExchangeError(f"{path}: cannot be read: {error}") from error
    if format_of(path, None) == "csv":
        reader = csv.DictReader(io.StringIO(text, newline=""))
        if not {"path", "id"} & set(reader.fieldnames or ()):
            raise ExchangeError(f"{path}:1: the header needs a column path or id")
        for row in reader:
            yield reader.line_num, {k: _undefused(v) for k, v in row.items() if k is not None}
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ExchangeError(f"{path}:{number}: is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise ExchangeError(f"{path}:{number}: is not a JSON object")
            yield number, row


def _undefused(value: Any) -> Any:
    defused = isinstance(value, str) and value.startswith("'") and value[1:].startswith((*FORMULA, "'"))
    return value[1:] if defused else value
