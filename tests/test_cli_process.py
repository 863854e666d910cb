"""The program as a process of its own: what it imports, pipes, signals, and a first hour with real photos."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

SOURCE = Path(__file__).parents[1] / "src"
HEAVY = ("numpy", "pyarrow", "lance", "onnxruntime", "duckdb", "sqlalchemy", "rich", "PIL", "yaml", "pydantic", "scipy")


def environment(**extra: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SEXTANT_")}
    return {**kept, "PYTHONPATH": str(SOURCE), **extra}


def sextant(*line: str | Path, cwd: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sextant", *map(str, line)]
    return subprocess.run(command, cwd=cwd, env=environment(**extra), capture_output=True, text=True, check=False)


def draw(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        Image.new("RGB", (40 + number, 30), (number % 256, 90, 160)).save(folder / f"{number:03}.png")
    return folder


@pytest.mark.parametrize("line", [["--help"], ["--version"], ["query", "--help"], ["add", "--help"], ["nonsense"]])
def test_help_imports_nothing_heavy(line: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from sextant.cli import cli\n"
        "try:\n"
        f"    cli.main({line!r})\n"
        "except SystemExit:\n"
        "    pass\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "print(loaded, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]"


def test_help_imports_no_verb(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from sextant.cli import cli\n"
        "try:\n"
        "    cli.main(['--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        "print(sorted(n for n in sys.modules if n.startswith('sextant.cli.')), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "['sextant.cli.invocation', 'sextant.cli.program', 'sextant.cli.verbs']"


def test_data_and_remarks_go_different_ways_without_colour(tmp_path: Path) -> None:
    draw(tmp_path / "in", 3)
    done = sextant("add", "in", "--model", "hash", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["added"] == 3
    wrong = sextant("query", "nothing_known", cwd=tmp_path)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith("error: ")
    assert "\x1b" not in wrong.stderr


def test_a_reader_that_goes_away_is_not_an_error(tmp_path: Path) -> None:
    draw(tmp_path / "in", 3)
    assert sextant("add", "in", "--model", "hash", cwd=tmp_path).returncode == 0
    # 20,000 rows are more than any pipe holds.
    select = "SELECT path FROM images, range(20000)"
    command = [sys.executable, "-m", "sextant", "sql", select, "--json"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 0


def test_an_interrupt_keeps_what_is_finished_and_says_so(tmp_path: Path) -> None:
    draw(tmp_path / "in", 60)
    (tmp_path / "slow.py").write_text(
        "import time\n"
        "import numpy as np\n"
        "class Slow:\n"
        "    name, revision, dim, logit_scale, logit_bias = 'slow', '1', 2, 10.0, 0.0\n"
        "    def encode_images(self, images):\n"
        "        time.sleep(0.1)\n"
        "        return np.tile(np.float32([1, 0]), (len(images), 1))\n"
        "    def encode_texts(self, texts): return np.tile(np.float32([1, 0]), (len(texts), 1))\n"
    )
    line = ["add", "in", "--model", "slow.py:Slow", "--batch", "2"]
    # A shell starts what it runs in the background deaf to interrupts, and a process inherits that.
    hearing = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    hearing += "runpy.run_module('sextant', run_name='__main__', alter_sys=True)"
    with subprocess.Popen(
        [sys.executable, "-c", hearing, *line],
        cwd=tmp_path,
        env=environment(SEXTANT_FLUSH_SECONDS="0.2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        started = time.monotonic()
        while '"encoded"' not in process.stderr.readline():  # the first line of progress comes after a second of work
            assert time.monotonic() - started < 60
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "kept. The same command goes on from there." in err
    assert "Traceback" not in err
    assert out == ""
    kept = json.loads(sextant("info", "--json", cwd=tmp_path).stdout)["images"]
    assert 0 < kept < 60
    assert f"stopped: {kept} finished images are kept" in err
    rest = json.loads(sextant("add", "in", "--json", cwd=tmp_path).stdout)
    assert (rest["unchanged"], rest["added"]) == (kept, 60 - kept)


def test_a_first_hour_with_real_photos(real: Path, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="the Conse encoder needs ai_edge_litert")
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("dalmatian", "sunflower", "pizza", "airplanes", "chair"):
        (photos / name).symlink_to(real / "photos" / "caltech101" / name)
    folders = [f"photos/{folder.name}/" for folder in sorted(photos.iterdir())]
    model = f"{real}/encoders/conse.py:Conse"
    added = sextant("add", *folders, "--model", model, "--json", cwd=tmp_path)
    assert json.loads(added.stdout)["added"] == 40, added.stderr
    tagged = json.loads(sextant("tag", real / "caltech101.yaml", "--json", cwd=tmp_path).stdout)
    assert (len(tagged["columns"]), tagged["cells"]) == (43, 43 * 40)
    found = json.loads(sextant("search", "a sunflower", "-k", "5", "--json", cwd=tmp_path).stdout)
    assert sum("/sunflower/" in hit["path"] for hit in found["hits"]) >= 4
    best = sextant("query", "dalmatian >= 0.5", "--sort", "-dalmatian", "--limit", "6", "--paths", cwd=tmp_path)
    assert sum("/dalmatian/" in path for path in best.stdout.splitlines()) >= 5
    select = "SELECT path FROM images ORDER BY pizza DESC LIMIT 4"
    assert (
        sum("/pizza/" in row["path"] for row in json.loads(sextant("sql", select, "--json", cwd=tmp_path).stdout)) >= 3
    )
