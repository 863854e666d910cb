"""What the first answer of a process loads: what is slow to load stays out until something needs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import sextant

SOURCE = Path(__file__).parents[1] / "src"
NEVER = ("scipy", "onnxruntime", "tokenizers", "pandas", "faiss", "torch", "PIL", "duckdb", "spellchecker", "rich")
OWN = ("sextant.export", "sextant.sidecars", "sextant.add", "sextant.index", "sextant.maths.learning", "sextant.crops")
PHRASE = "a red square"


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of mini's, with a vocabulary, where a phrase was searched for before."""
    home = tmp_path_factory.mktemp("asked")
    for number in range(30):
        Image.new("RGB", (32, 24), (8 * number, 90, 160)).save(home / f"{number:02}.png")
    (home / "words.yaml").write_text("base_attributes:\n  - {code: red, label: Red, description: red, type: colour}\n")
    with sextant.open(home, create=True, model="mini") as photos:
        photos.add(home)
        photos.tag(home / "words.yaml")
        photos.search(PHRASE)
    return home


def loaded(home: Path, program: str) -> list[str]:
    code = f"import sys, json\n{program}\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SEXTANT_")}
    env = {**kept, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", code], cwd=home, env=env, capture_output=True, text=True, check=True)
    return list(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("line", [["search", PHRASE], ["query", "red >= 0.5"], ["info"], ["columns"]])
def test_an_answer_from_what_is_stored_loads_nothing_slow(asked: Path, line: list[str]) -> None:
    program = f"from sextant.cli import cli\ntry:\n    cli.main({[*line, '--json']!r})\nexcept SystemExit as end:\n"
    found = loaded(asked, program + "    assert not end.code, end.code")
    assert [name for name in (*NEVER, *OWN) if name in found] == []
    assert "lance" in found


def test_a_search_for_known_words_counts_no_english_ones(asked: Path) -> None:
    program = "import sextant\nfrom sextant import spelling\n"
    program += f"with sextant.open() as photos:\n    photos.search({PHRASE!r})\n"
    loaded(asked, program + "assert spelling._counts.cache_info().misses == 0")


def test_the_server_begins_without_pandas_and_scipy(asked: Path) -> None:
    program = "from sextant.cli.invocation import Invocation, spare_pandas\nspare_pandas()\n"
    program += "from sextant.web import app, server\nphotos = Invocation().collection()\nphotos.view()\n"
    found = loaded(asked, program + "app.application([photos])\nphotos.close()")
    assert [name for name in ("pandas", "scipy", "onnxruntime", "faiss") if name in found] == []
