"""Answers to text: nothing steers a terminal, nothing is rounded over an edge, JSON is always JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sextant import output
from sextant.cli import drawing
from sextant.output import Heading
from sextant.types import Inspection, Rows


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 100 columns that takes colours."""
    monkeypatch.setattr(output, "on_terminal", lambda _stream=None: True)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


# words and numbers


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("two\nlines\tand\rmore", "two\\nlines\\tand\\rmore"),
        ("c1\x9b31m", "c1\\x9b31m"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("zero\ufeffwidth", "zero\\ufeffwidth"),
        ("half \udcff", "half \\udcff"),
        ("straße 北京 👩‍🚀 é", "straße 北京 👩‍🚀 é"),
        ("[red]not markup[/red]", "[red]not markup[/red]"),
    ],
)
def test_plain_shows_what_would_steer_a_terminal(hostile: str, harmless: str) -> None:
    assert output.plain(hostile) == harmless


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.7999999999, "0.799"),
        (0.8, "0.800"),
        (0.4999999, "0.499"),
        (0.5, "0.500"),
        (1.0, "1.000"),
        (0.9999999, "0.999"),
        (0.0, "0.000"),
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_confidence_is_cut_and_never_rounded_up(value: float | None, text: str) -> None:
    assert output.confidence(value) == text


@given(st.floats(0, 1), st.integers(0, 1000))
def test_confidence_stays_on_its_side_of_every_threshold_of_three_digits(value: float, edge: int) -> None:
    assert (float(output.confidence(value)) >= edge / 1000) == (value >= edge / 1000)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.79999, "0.799"), (-0.04096, "-0.040"), (1200.0, "1200"), (812.3456, "812.345"), (1.5e-7, "1.5e-07"),
     (0.0, "0.000"), (1.0, "1.000"), (math.inf, "inf")],
)  # fmt: skip
def test_numbers_are_cut_too(value: float, text: str) -> None:
    assert output.number(value) == text


def test_amounts_and_sizes_read_as_a_person_says_them() -> None:
    assert output.amount(1, "image") == "1 image"
    assert output.amount(12217, "image") == "12,217 images"
    assert output.size(999) == "999 bytes"
    assert output.size(3 * 1024 * 1024 + 1) == "3.0 MiB"


# JSON and CSV


def test_json_has_no_nan_and_no_character_that_steers_a_terminal() -> None:
    value = {"nan": math.nan, "inf": math.inf, "date": datetime(2020, 1, 2, tzinfo=UTC), "words": "é\x1b\x9b\u202e",
             "sum": Decimal(12), "share": Decimal("1.25"), "bytes": b"\x01\xff", "list": (1, None, True)}  # fmt: skip
    text = output.json_text(value)
    assert json.loads(text) == {"nan": None, "inf": None, "date": "2020-01-02T00:00:00+00:00",
                                "words": "é\x1b\x9b\u202e", "sum": 12, "share": 1.25, "bytes": "01ff",
                                "list": [1, None, True]}  # fmt: skip
    assert not {"\x1b", "\x9b", "\u202e"} & set(text)
    assert "é" in text


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_rows_are_one_array_with_a_row_a_line(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    output.write_json_rows({"n": n} for n in range(count))
    text = capsys.readouterr().out
    assert json.loads(text) == [{"n": n} for n in range(count)]
    assert len(text.splitlines()) == (count + 2 if count else 1)


def test_csv_defuses_formulas(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_csv(output.rows_of([{"path": "=cmd()|x", "n": 1}], ("path", "n")))
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [["path", "n"], ["'=cmd()|x", "1"]]


def test_columns_of_one_name_are_told_apart_without_losing_any() -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], names=["a", "a", "a_1"])
    apart = output.told_apart(Rows(table))
    assert apart.names == ["a", "a_2", "a_1"]
    assert list(apart) == [{"a": 1, "a_2": 2, "a_1": 3}]


def test_paths_are_exact_in_a_pipe_and_harmless_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output.write_paths(["a\x1b.jpg", "b.jpg"])
    assert capsys.readouterr().out == "a\x1b.jpg\nb.jpg\n"
    output.write_paths(["a\nb.jpg", "c.jpg"], nul=True)
    assert capsys.readouterr().out == "a\nb.jpg\0c.jpg\0"
    monkeypatch.setattr(output, "on_terminal", lambda _stream=None: True)
    output.write_paths(["a\x1b.jpg"])
    assert capsys.readouterr().out == "a\\x1b.jpg\n"


# tables


def test_a_table_in_a_pipe_is_aligned_by_the_width_of_its_characters(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_table([Heading("path"), Heading("n", "right")], [["北京.jpg", "7"], ["[b]x[/b].jpg", "1,200"]])
    assert capsys.readouterr().out.splitlines() == [
        "path              n",
        "北京.jpg          7",
        "[b]x[/b].jpg  1,200",
    ]


@pytest.mark.usefixtures("terminal")
def test_a_table_on_a_terminal_takes_no_markup_from_words(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_table([Heading("path")], [["[red]x[/red] :smile:"], [[("styled", "green")]]])
    text = capsys.readouterr().out
    assert "[red]x[/red] :smile:" in text
    assert "styled" in text


@pytest.mark.usefixtures("terminal")
def test_rows_on_a_terminal_are_cut_and_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    rows = Rows(pa.table({"n": list(range(300))}))
    output.write_rows(rows)
    shown = capsys.readouterr()
    assert "199" in shown.out
    assert "\n 200" not in shown.out
    assert "first 200 of 300" in shown.err
    output.write_rows(rows, all_rows=True)
    assert "299" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
@pytest.mark.usefixtures("terminal")
def test_colours_are_left_out_where_they_are_not_wanted(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert output.coloured()
    monkeypatch.setenv(name, value)
    assert not output.coloured()


def test_an_error_is_marked_without_colour_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    output.failure("no \x1b image\nsecond line")
    assert capsys.readouterr().err == "error: no \\x1b image\nsecond line\n"


# drawings


@given(st.lists(st.integers(0, 10_000), min_size=4, max_size=4), st.integers(4, 60))
def test_shares_fill_their_width_and_hide_no_band(counts: list[int], width: int) -> None:
    spans = drawing.shares(counts, width)
    assert sum(len(text) for text, _ in spans) == width
    drawn = {text[0] for text, _ in spans}
    for count, (glyph, _) in zip(counts, drawing.BANDS, strict=True):
        assert not sum(counts) or glyph == " " or (glyph in drawn) == (count > 0)


def inspection(counts: tuple[int, ...], low: float, high: float, **values: object) -> Inspection:
    step = (high - low) / len(counts)
    given = {
        "code": "dog", "prompts": ("a photo of dog",), "n": sum(counts), "missing": 0, "min": low, "mean": 0.0,
        "max": high, "std": 1.0, "counts": counts, "edges": tuple(low + step * i for i in range(len(counts) + 1)),
        "calibration": {"id": "x", "kind": "fixed", "center": 25.5, "scale": 1.5}, "state": "uncalibrated",
        "accepted": 1, "tentative": 2, "rejected": 3, "accepted_from": 27.579, "tentative_from": 25.5,
    }  # fmt: skip
    return Inspection(**{**given, **values})  # type: ignore[arg-type]


def lines(found: Inspection, width: int) -> list[str]:
    return [output.text_of(cell) for cell in drawing.inspection(found, width)]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("bins", [5, 40, 300])
def test_the_histogram_keeps_to_the_terminal_and_marks_the_edges(width: int, bins: int) -> None:
    drawn = lines(inspection((3,) * bins, 0.0, 50.0), width)
    assert max(map(output.cell_width, drawn)) <= width
    axis = next(line for line in drawn if "└" in line)
    first, second = (i for i, c in enumerate(axis) if c == "┴")
    columns = len(axis.rstrip()) - drawing.MARGIN
    assert abs((first - drawing.MARGIN) / columns - 25.5 / 50) < 1.5 / columns + 0.02
    assert abs((second - drawing.MARGIN) / columns - 27.579 / 50) < 1.5 / columns + 0.02
    for name, column in (("tentative from 25.5", first), ("accepted from 27.579", second)):
        line = next(line for line in drawn if name in line)
        assert line.index("▲") == column


def test_a_near_edge_beyond_the_last_bin_is_reached_and_a_far_one_named() -> None:
    near = "\n".join(lines(inspection((1,) * 40, 0.0, 27.0), 90))
    assert "outside" not in near
    far = "\n".join(lines(inspection((1,) * 40, 0.0, 5.0), 90))
    assert far.count("outside this picture") == 2


def test_a_single_image_is_drawn_in_the_band_it_counts_for() -> None:
    drawn = list(drawing.inspection(inspection((0, 0, 1000, 0, 1), 0.0, 50.0), 80))
    spans = [span for cell in drawn if not isinstance(cell, str) for span in cell]
    assert any(style == "green" and "▁" in text for text, style in spans)


def test_a_calibration_of_many_parameters_is_wrapped() -> None:
    curve = {"id": "x", "kind": "prior", **{f"parameter{n}": n / 7 for n in range(12)}}
    drawn = lines(inspection((1, 2), 0.0, 1.0, calibration=curve, state="prior", accepted_from=None,
                             tentative_from=None), 60)  # fmt: skip
    assert max(map(len, drawn)) <= 60
    assert drawn[0] == "dog  prior"
    assert "parameter11 1.571" in " ".join(" ".join(drawn).split())


def test_a_column_without_logits_says_so() -> None:
    assert "no image has a logit yet" in lines(inspection((0,), 0.0, 1.0, n=0), 80)
