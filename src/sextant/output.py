"""Answers to text: JSON, CSV, paths and tables on standard output, everything else on standard error.

Words that came from files (names, tags, descriptions) cannot steer a terminal, be taken for markup, or run as a
formula. A confidence is cut, never rounded up, so that no printed number contradicts its band. Colour only where
standard output is a terminal and NO_COLOR is not set. This module knows nothing about what the answers mean.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import count, islice
from typing import TYPE_CHECKING, Any, Literal, TextIO

if TYPE_CHECKING:
    from sextant.types import Rows

ROWS_ON_A_TERMINAL = 200
_GAP = 3  # columns that a table on a terminal puts between two columns
_JSON_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_NUMERIC = re.compile(r"u?int|float|double|decimal|halffloat")
_JOINERS = "\u200c\u200d"  # without these, emoji and several scripts fall apart

Span = tuple[str, str]
Cell = str | Sequence[Span]
"""Text, or spans of text with a style such as `green` or `bold`."""


# streams


def on_terminal(stream: TextIO | None = None) -> bool:
    """Whether a person reads along; the stream is standard output unless another is given."""
    stream = stream or sys.stdout
    return bool(stream.isatty())


def coloured(stream: TextIO | None = None) -> bool:
    """Whether a stream takes colours."""
    return on_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width() -> int:
    """Columns of the terminal; 100 where there is none."""
    return shutil.get_terminal_size((100, 24)).columns


def note(text: str) -> None:
    """A remark for the person, on standard error."""
    print(text, file=sys.stderr, flush=True)


def failure(message: str) -> None:
    """`error: message` on standard error, red on a terminal."""
    mark = "\x1b[1;31merror:\x1b[0m" if coloured(sys.stderr) else "error:"
    note(f"{mark} " + "\n".join(plain(line) for line in message.splitlines()))


# words and numbers


def plain(text: str) -> str:
    """Text that cannot steer a terminal: control, direction and invisible characters become escapes such as `\\x1b`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(c) for c in text)


def _escaped(character: str) -> str:
    unsafe = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in _JOINERS
    return character.encode("unicode_escape").decode("ascii") if unsafe else character


def confidence(value: float | None) -> str:
    """A confidence to three digits, cut: .7999 is 0.799 and never 0.800."""
    if value is None or math.isnan(value):
        return "–"
    whole = int(value * 1000)
    whole += (whole + 1) / 1000 <= value  # 0.057 · 1000 may come out as 56.99…, and one step more than 57 as well
    whole -= whole / 1000 > value
    return f"{whole / 1000:.3f}"


def number(value: float) -> str:
    """A number to three digits after the point, cut; very small and very large ones with an exponent."""
    if not math.isfinite(value):
        return str(value)
    magnitude = abs(value)
    if magnitude and (magnitude < 1e-3 or magnitude >= 1e12):
        return f"{value:.3g}"
    text = ("-" if value < 0 else "") + confidence(magnitude)
    return text.rstrip("0").rstrip(".") if magnitude > 1 else text


def amount(number_of: int, one: str, many: str | None = None) -> str:
    """`1 image`, `1,200 images`."""
    return f"{number_of:,} {one if number_of == 1 else many or one + 's'}"


def size(length: int) -> str:
    """Bytes as a person says them."""
    value, units = float(length), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:,.0f} {units[0]}" if units[0] == "bytes" else f"{value:,.1f} {units[0]}"


def shown(value: Any) -> str:
    """One value of a row, for a table."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(v) for v in value)
    if hasattr(value, "isoformat"):
        return plain(str(value))
    return plain(str(value))


# JSON and CSV


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON in UTF-8 in which no character steers a terminal; NaN and infinity are null, dates ISO 8601."""
    text = json.dumps(_jsonable(value), ensure_ascii=False, indent=indent, allow_nan=False)
    return _JSON_UNSAFE.sub(lambda m: f"\\u{ord(m[0]):04x}", text)


def _jsonable(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case Mapping():
            return {str(k): _jsonable(v) for k, v in value.items()}
        case bytes():
            return value.hex()
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_jsonable(v) for v in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def write_json(value: Any) -> None:
    """One JSON value on standard output."""
    print(json_text(value, indent=2))


def write_json_rows(rows: Iterable[Mapping[str, Any]]) -> None:
    """A JSON array on standard output, a row a line, without holding it in memory."""
    before = "["
    for row in rows:
        print(before + "\n" + json_text(row), end="")
        before = ","
    print("[]" if before == "[" else "\n]")


def write_csv(rows: Rows) -> None:
    """A table as CSV on standard output; texts that a spreadsheet would run as a formula are defused."""
    from sextant import exchange

    exchange.csv_rows(rows.table, sys.stdout)


def rows_of(records: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Rows:
    """Records as rows of the columns `names`, also when there are none."""
    import pyarrow as pa

    from sextant.types import Rows

    table = pa.table({name: pa.array([record[name] for record in records]) for name in names})
    return Rows(table)


def told_apart(rows: Rows) -> Rows:
    """Rows whose columns all have names of their own: a second `path` becomes `path_1`."""
    names: list[str] = []
    for name in rows.names:
        number_of = (f"{name}_{n}" for n in count(1))
        names.append(name if name not in names else next(n for n in number_of if n not in {*names, *rows.names}))
    return rows if names == rows.names else replace(rows, table=rows.table.rename_columns(names))


def write_paths(paths: Iterable[str], *, nul: bool = False) -> None:
    """One path a line, or ended by NUL. On a terminal names are made harmless; in a pipe they are exact."""
    harmless = on_terminal() and not nul
    for path in paths:
        print(plain(path) if harmless else path, end="\0" if nul else "\n")


# tables


@dataclass(frozen=True, slots=True)
class Heading:
    """A column of a table. What does not fit a terminal is folded."""

    name: str
    align: Literal["left", "right"] = "left"


def write_table(headings: Sequence[Heading], rows: Iterable[Sequence[Cell]]) -> None:
    """A table on standard output: fitted and coloured on a terminal, whole and aligned by spaces in a pipe."""
    if on_terminal():
        _rich_table(headings, rows)
    else:
        _plain_table(headings, rows)


def _plain_table(headings: Sequence[Heading], rows: Iterable[Sequence[Cell]]) -> None:
    lines = [[plain(h.name) for h in headings], *([text_of(cell) for cell in row] for row in rows)]
    widths = [max(map(cell_width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = [
            " " * (w - cell_width(c)) + c if h.align == "right" else c + " " * (w - cell_width(c))
            for c, w, h in zip(line, widths, headings, strict=True)
        ]
        print("  ".join(padded).rstrip())


def _rich_table(headings: Sequence[Heading], rows: Iterable[Sequence[Cell]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(Text(plain(heading.name)), justify=heading.align, overflow="fold")
    for row in rows:
        table.add_row(*(Text.assemble(*([(cell, "")] if isinstance(cell, str) else cell)) for cell in row))
    Console(file=sys.stdout, highlight=False, markup=False, emoji=False).print(table)


def room_beside(headings: Sequence[Heading], rows: Sequence[Sequence[Cell]]) -> int:
    """Columns of the terminal that a table leaves for one more."""
    columns = zip([h.name for h in headings], *([text_of(cell) for cell in row] for row in rows), strict=True)
    return width() - sum(max(map(cell_width, column)) + _GAP for column in columns)


def text_of(cell: Cell) -> str:
    """A cell without its styles."""
    return cell if isinstance(cell, str) else "".join(text for text, _ in cell)


def cell_width(text: str) -> int:
    """Columns that a text takes on a terminal: two for East Asian characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) or c in _JOINERS else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def write_rows(
    rows: Rows,
    *,
    names: Sequence[str] | None = None,
    cell: Callable[[Mapping[str, Any], str], str] | None = None,
    all_rows: bool = False,
) -> None:
    """Rows of any question as a table; on a terminal only the first, and a remark says how many there are.

    `names` chooses columns, and `cell` says how a row's value of that name is written.
    """
    chosen = rows.names if names is None else list(names)
    cut = on_terminal() and not all_rows and len(rows) > ROWS_ON_A_TERMINAL
    some = islice(iter(rows), ROWS_ON_A_TERMINAL if cut else None)
    kinds = {field.name: str(field.type) for field in rows.table.schema}
    headings = [Heading(n, "right" if _NUMERIC.match(kinds[n]) else "left") for n in chosen]
    write = cell or (lambda row, name: shown(row[name]))
    write_table(headings, ([write(row, n) for n in chosen] for row in some))
    if cut:
        note(f"the first {ROWS_ON_A_TERMINAL} of {len(rows):,}: --limit or --json shows more")


# lines with colours


def write_line(cell: Cell = "") -> None:
    """A line on standard output; its styles are ANSI colours on a terminal and nothing elsewhere."""
    if isinstance(cell, str):
        print(cell)
        return
    if not coloured():
        print(text_of(cell))
        return
    print("".join(f"\x1b[{_ANSI[style]}m{text}\x1b[0m" if style else text for text, style in cell))


_ANSI = {"green": 32, "yellow": 33, "red": 31, "cyan": 36, "bold": 1, "dim": 2}
