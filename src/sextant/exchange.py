"""Tables out of a collection and vectors or words into it: CSV, JSON lines, Parquet, `.npy` and clip-retrieval folders.

A file is written whole or not at all. Texts that a spreadsheet would run as a formula are defused in CSV. Everything
that is read is checked whole before anything is kept.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sextant.errors import ExchangeError
from sextant.manifest import replacing
from sextant.types import Floats
from sextant.view import View, nullable

Format = Literal["csv", "jsonl", "parquet"]
FORMATS: Mapping[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
SHORTEST = 1e-6  # a vector shorter than this has no direction to speak of
ROWS_A_BATCH = 32_768  # of which each becomes one file of a table

Raw = Callable[[], Iterator[Floats]]
"""Opens a source of rows (k, dim) from its start."""


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
    if path.is_dir():
        raise ExchangeError(f"{path}: cannot be written: it is a folder; name a file in it")
    writer = {"csv": _write_csv, "jsonl": _write_jsonl, "parquet": _write_parquet}[kind]
    try:
        with path.open("wb") if _is_stream(path) else replacing(path) as file:
            writer(table, file)
    except OSError as error:
        raise ExchangeError(f"{path}: cannot be written: {error.strerror or error}") from error


def write_text(text: str, path: Path) -> int:
    """Writes a text to a file in UTF-8, whole or not at all, and returns its bytes. Raises `ExchangeError`."""
    data = text.encode("utf-8", "replace")
    try:
        with path.open("wb") if _is_stream(path) else replacing(path) as file:
            file.write(data)
    except OSError as error:
        raise ExchangeError(f"{path}: cannot be written: {error.strerror or error}") from error
    return len(data)


def _is_stream(path: Path) -> bool:
    """Whether `path` is a pipe or a device, which can only be written into, not replaced."""
    return path.exists() and not path.is_file()


def _write_csv(table: pa.Table, file: BinaryIO) -> None:
    """UTF-8 with a header; lists as words separated by `;`, null as nothing, formulas defused by a leading `'`."""
    out = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    csv_rows(table, out)
    out.detach()


def csv_rows(table: pa.Table, out: TextIO) -> None:
    """A table as CSV text."""
    plain = csv.writer(out, lineterminator="\n")
    quoted = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    plain.writerow(table.column_names)
    for batch in table.to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            cells = [_cell(value) for value in row.values()]
            # Python before 3.13 leaves a lone carriage return unquoted, and then reads it as the end of the row.
            bare = any(isinstance(cell, str) and "\r" in cell for cell in cells)
            (quoted if bare else plain).writerow(cells)


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
            file.write((json.dumps(row, ensure_ascii=False, default=datetime.isoformat) + "\n").encode())


def _write_parquet(table: pa.Table, file: BinaryIO) -> None:
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, file)


# in: vectors


@dataclass(frozen=True, slots=True)
class Brought:
    """Vectors from elsewhere, checked: `names` are paths or ids, and `batches()` their unit rows (k, dim) float32."""

    names: list[str]
    dim: int
    raw: Raw

    def batches(self) -> Iterator[Floats]:
        """The rows in the order of the names, a batch at a time, as often as asked."""
        for rows in self.raw():
            unit = np.empty(rows.shape, np.float32)
            yield np.divide(rows, _lengths(rows)[:, None], out=unit, dtype=np.float64, casting="same_kind")


def read_vectors(source: Path, names: Path | None) -> Brought:
    """Vectors from a `.npy` file with a list of names, a Parquet file, or a clip-retrieval folder.

    Raises:
        ExchangeError: a file is missing or does not fit; the message says which and how.
    """
    if source.is_dir():
        found, raw = _clip_retrieval(source)
    elif source.suffix == ".npy":
        if names is None:
            raise ExchangeError(f"{source}: say with --ids which file lists its paths or ids, one a line")
        found, raw = _lines(names), _npy([source])
    elif source.suffix == ".parquet":
        found, raw = _parquet_vectors(source)
    else:
        raise ExchangeError(f"{source}: bring a .npy file with --ids, a .parquet file, or a clip-retrieval folder")
    return Brought(found, _checked_dim(source, found, raw), raw)


def _checked_dim(source: Path, names: list[str], raw: Raw) -> int:
    """The length of the vectors, once every row was seen to be a vector and to have a name."""
    count, dims, bad = 0, set(), []
    for rows in raw():
        dims.add(rows.shape[1])
        lengths = _lengths(rows)
        bad += [count + int(k) for k in np.flatnonzero(~np.isfinite(lengths) | (lengths < SHORTEST))]
        count += len(rows)
    if not count or 0 in dims:
        raise ExchangeError(f"{source}: holds no vectors; a table of numbers (n, dim) is needed")
    if len(dims) > 1:
        raise ExchangeError(f"{source}: its vectors have different lengths: {', '.join(map(str, sorted(dims)))}")
    if len(names) != count:
        raise ExchangeError(f"{source}: {count} vectors but {len(names)} names")
    doubles = len(names) - len(set(names))
    if doubles:
        raise ExchangeError(f"{source}: {doubles} names appear more than once")
    if bad:
        more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise ExchangeError(f"{source}: the vector of {names[bad[0]]} is zero or not finite{more}")
    return int(dims.pop())


def _lengths(rows: Floats) -> NDArray[np.float64]:
    """The Euclidean length of every row, (k,), summed in float64 without a copy of the rows."""
    squares: NDArray[np.float64] = np.einsum("kd,kd->k", rows, rows, dtype=np.float64)
    return np.sqrt(squares)


def _npy(paths: list[Path]) -> Raw:
    """The rows of several `.npy` files, of which only a batch is in memory."""
    arrays = []
    for path in paths:
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # a damaged header is read as Python's own syntax, and fails in as many ways
            raise ExchangeError(f"{path}: cannot be read as an array of numbers: {error}") from error
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            kind = getattr(array, "dtype", "several arrays")
            raise ExchangeError(f"{path}: holds {kind}, not floating-point numbers")
        if array.ndim != 2:
            raise ExchangeError(f"{path}: has the shape {array.shape}; a table of vectors (n, dim) is needed")
        arrays.append(array)

    def rows() -> Iterator[Floats]:
        for path, array in zip(paths, arrays, strict=True):
            with path.open("rb") as file:
                for start in range(0, len(array), ROWS_A_BATCH):
                    yield np.asarray(_block(file, array, start), np.float32)

    return rows


def _block(file: BinaryIO, array: NDArray[Any], start: int) -> NDArray[Any]:
    """Rows of a mapped array, read from its file: pages of a map stay in memory until something else wants it."""
    rows, width = min(ROWS_A_BATCH, len(array) - start), array.shape[1]
    if not isinstance(array, np.memmap) or not array.flags.c_contiguous:
        return array[start : start + rows]
    file.seek(array.offset + start * width * array.itemsize)
    block = np.fromfile(file, array.dtype, rows * width)
    if len(block) < rows * width:
        raise ExchangeError(f"{file.name}: ends before its last row: it was changed while it was read")
    return block.reshape(rows, width)


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ExchangeError(f"{path}: cannot be read: {error}") from error
    lines = (line.removesuffix("\r") for line in text.split("\n"))  # splitlines() knows other ends, legal in names
    return [line for line in lines if line.strip()]


def _parquet_vectors(path: Path) -> tuple[list[str], Raw]:
    with _parquet(path) as file:
        columns = file.schema_arrow.names
        name = next((n for n in ("path", "image_path", "id", "key") if n in columns), None)
        vector = next((n for n in ("vector", "embedding", "image_embedding") if n in columns), None)
        if name is None or vector is None:
            raise ExchangeError(f"{path}: needs a column path or id, and a column vector; it has {columns}")
        names = _names(path, file.read([name])[name])

    def rows() -> Iterator[Floats]:
        with _parquet(path) as file:
            for batch in file.iter_batches(ROWS_A_BATCH, columns=[vector]):
                if batch.num_rows:
                    yield _matrix(path, vector, batch[vector])

    return names, rows


def _matrix(path: Path, name: str, column: pa.Array) -> Floats:
    """A column of lists as (n, dim)."""
    kind = column.type
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not lists or not pa.types.is_floating(kind.value_type):
        raise ExchangeError(f"{path}: '{name}' holds {kind}, not lists of floating-point numbers")
    lengths = pc.unique(pc.list_value_length(column))
    values = column.flatten()
    if column.null_count or values.null_count or len(lengths) != 1:
        raise ExchangeError(f"{path}: the rows of '{name}' are not vectors of one length without gaps")
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float32).reshape(len(column), -1)


def _names(path: Path, column: pa.ChunkedArray) -> list[str]:
    if column.null_count:
        raise ExchangeError(f"{path}: {column.null_count} rows have no name")
    return [str(v) for v in column.to_pylist()]


def _clip_retrieval(folder: Path) -> tuple[list[str], Raw]:
    found = [p for p in (folder / "img_emb").glob("img_emb_*.npy") if p.stem.rpartition("_")[2].isdigit()]
    parts = sorted(found, key=lambda p: int(p.stem.rpartition("_")[2]))
    if not parts:
        raise ExchangeError(f"{folder}: is no clip-retrieval folder: it has no img_emb/img_emb_0.npy")
    names: list[str] = []
    for part in parts:
        described = folder / "metadata" / f"metadata_{part.stem.rpartition('_')[2]}.parquet"
        with _parquet(described) as file:
            if "image_path" not in file.schema_arrow.names:
                raise ExchangeError(f"{described}: has no column image_path")
            names += _names(described, file.read(["image_path"])["image_path"])
    return names, _npy(parts)


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    """A Parquet file, open. Raises `ExchangeError` for whatever is wrong with it while it is."""
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield file
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise ExchangeError(f"{path}: cannot be read as Parquet: {error}") from error


# in: words


def read_words(path: Path, find: Callable[[str], str | None]) -> dict[str, tuple[list[str], str]]:
    """Tags and description by image id, from CSV or JSON lines.

    A line has `path` or `id`, and `tags` (`;` between) or `description`. `find` gives the id behind a name.
    Raises `ExchangeError` that lists every wrong line; then nothing is kept.
    """
    words: dict[str, tuple[list[str], str]] = {}
    problems: list[str] = []
    for line, row in records(path):
        name = str(row.get("path") or row.get("id") or "")
        image = find(name) if name else None
        tags = row.get("tags") or []
        if image is None:
            problem = f"no image '{name}' in the collection" if name else "no path and no id"
            problems.append(f"{path}:{line}: {problem}")
        elif not isinstance(tags, str | list):
            problems.append(f"{path}:{line}: tags must be a text or a list, not {tags!r}")
        else:
            listed = [str(t).strip() for t in (tags.split(";") if isinstance(tags, str) else tags)]
            before, said = words.get(image, ([], ""))
            words[image] = ([*before, *filter(None, listed)], str(row.get("description") or "").strip() or said)
    if problems:
        shown = problems[:20] + ([f"and {len(problems) - 20} more"] if len(problems) > 20 else [])
        raise ExchangeError("nothing was imported:\n" + "\n".join(shown))
    return words


def records(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Line number and fields of every record of a CSV or JSON lines file; CSV needs a column path or id."""
    kind = format_of(path, None)
    if kind == "parquet":
        raise ExchangeError(
            f"{path}: people's words come from a .csv or .jsonl file; a Parquet file can only bring vectors"
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ExchangeError(f"{path}: cannot be read: {error}") from error
    yield from (_csv_records if kind == "csv" else _json_records)(path, text)


def _csv_records(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        if not {"path", "id"} & set(reader.fieldnames or ()):
            raise ExchangeError(f"{path}:1: the header needs a column path or id")
        for row in reader:
            yield reader.line_num, {k: _undefused(v) for k, v in row.items() if k is not None}
    except csv.Error as error:
        raise ExchangeError(f"{path}:{reader.line_num}: is not CSV: {error}") from error


def _json_records(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):  # splitlines() would cut at U+2028, legal inside a text
        if line.strip():
            try:
                row = json.loads(line)
                if "\\ud" in line.lower():  # half of a surrogate pair is legal in JSON, and nowhere else
                    json.dumps(row, ensure_ascii=False).encode()
            except (ValueError, RecursionError) as error:
                raise ExchangeError(f"{path}:{number}: is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise ExchangeError(f"{path}:{number}: is not a JSON object")
            yield number, row


def _undefused(value: Any) -> Any:
    defused = isinstance(value, str) and value.startswith("'") and value[1:].startswith((*FORMULA, "'"))
    return value[1:] if defused else value
