"""What is imported, and when: nothing heavy before it is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fakes import FakeEncoder, opened, pictures, vocabulary

HEAVY = {  # but for pandas, which pyarrow loads for itself wherever it is installed
    *("lance", "duckdb", "onnxruntime", "openvino", "torch", "transformers", "PIL", "simplejpeg", "tokenizers"),
    *("polars", "huggingface_hub", "matplotlib", "sklearn", "yaml", "pydantic"),
}


def imported_by(statements: str, *arguments: str) -> set[str]:
    """The heavy packages that a new Python has in memory after these statements."""
    program = f"import sys, json\n{statements}\nprint(json.dumps([m.partition('.')[0] for m in sys.modules]))"
    command = [sys.executable, "-c", program, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return HEAVY & set(json.loads(run.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of two pictures, tagged."""
    here = tmp_path_factory.mktemp("light")
    pictures(here / "p", "red", "blue")
    photos = opened(here, FakeEncoder())
    photos.add(here / "p")
    photos.tag(vocabulary(here))
    photos.close()
    return here


def test_importing_the_package_brings_nothing_heavy() -> None:
    assert imported_by("import sextant, numpy") == set()
    run = "import sextant\nassert 'numpy' not in sys.modules and 'pyarrow' not in sys.modules"
    assert imported_by(run) == set()


def test_opening_a_collection_brings_nothing_heavy(folder: Path) -> None:
    assert imported_by("import sextant; sextant.open(sys.argv[1])", str(folder)) == set()


def test_a_query_brings_the_tables_and_the_vocabulary_alone(folder: Path) -> None:
    run = "import sextant; print(len(sextant.open(sys.argv[1]).query('red >= 0.5 and width > 1')))"
    assert imported_by(run, str(folder)) == {"lance", "yaml"}


def test_sql_brings_duckdb_and_no_encoder(folder: Path) -> None:
    run = "import sextant; print(len(sextant.open(sys.argv[1]).sql('select red from images')))"
    assert imported_by(run, str(folder)) == {"lance", "yaml", "duckdb"}


def test_an_export_brings_no_encoder(folder: Path) -> None:
    run = "import sextant; print(sextant.open(sys.argv[1]).export(sys.argv[1] + '/x.csv'))"
    assert imported_by(run, str(folder)) == {"lance", "yaml"}


def test_a_verb_leaves_pandas_alone_and_a_frame_can_still_be_made(folder: Path) -> None:
    pytest.importorskip("pandas")
    program = """
import contextlib, sys
from sextant.cli import cli
with contextlib.suppress(SystemExit):
    cli(["query", "red >= 0", "-C", sys.argv[1]])
assert "lance" in sys.modules and "pandas" not in sys.modules
import sextant
print(list(sextant.open(sys.argv[1]).query("red >= 0").to_pandas().columns)[:2])
"""
    command = [sys.executable, "-c", program, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "['id', 'path']"


def test_the_names_of_the_package_are_all_there() -> None:
    import sextant

    assert sorted(name for name in sextant.__all__ if getattr(sextant, name) is None) == []
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sextant.nothing  # noqa: B018
