"""What Sextant is made of and what is handed out: licences, the wheel, the lower bounds, the table of campaigns."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def licences() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / ".ci" / "licences.py"), run_name="licences")


def test_the_base_is_permissive(licences: dict[str, Any]) -> None:
    base = licences["brought"](licences["groups"]()[""])
    assert len(base) > 20, "the packages that others bring are there"
    assert not [name for name, found in base.items() if found is None], "everything in the base is installed"
    found = {name: licences["kinds"](licences["said"](package)) for name, package in base.items()}
    assert {name for name, kinds in found.items() if not kinds} == set(), "every licence is known"
    outside = {name: kinds - licences["PERMISSIVE"] for name, kinds in found.items()}
    assert {name: set(kinds) for name, kinds in outside.items() if kinds} in ({}, {"tqdm": {"MPL-2.0"}})


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("GNU General Public License v3 (GPLv3)", {"GPL"}),
        ("AGPL-3.0-or-later", {"GPL"}),
        ("GNU Lesser General Public License v2 or later (LGPLv2+)", {"LGPL"}),
        ("BSD-3-Clause AND 0BSD AND MIT", {"BSD", "0BSD", "MIT"}),
        ("MIT-CMU", {"MIT"}),
        ("my own words", set()),
    ],
)
def test_licences_are_told_apart(licences: dict[str, Any], text: str, kinds: set[str]) -> None:
    assert licences["kinds"](text) == kinds


def test_the_page_of_licences_names_every_package_that_is_asked_for(licences: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    for requirements in licences["groups"]().values():
        for requirement in requirements:
            name = re.split(r"[\[<>=;! ]", requirement)[0].lower().replace("_", "-")
            assert f"| {name} |" in page, f"{name} is new: python .ci/licences.py"


def test_every_dependency_has_a_lower_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for name, lines in project["optional-dependencies"].items() if name != "test" for line in lines]
    named = [line for line in [*project["dependencies"], *extras] if not line.startswith("sextant-images")]
    assert [line for line in named if ">=" not in line] == []


def test_the_wheel_is_the_same_twice_and_holds_what_it_should(tmp_path: Path) -> None:
    if find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed here; bash .ci/wheel installs it")
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("this is no checkout")
    environment = {**os.environ, "PYTHON": sys.executable, "SOURCE_DATE_EPOCH": "1767225600"}
    command = ["bash", str(ROOT / ".ci" / "wheel"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (tmp_path / "built1").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {"background.txt", "expansion/expansions.yaml", "demo/golden.yaml", "demo/vocabulary.yaml", "py.typed"}
    wanted |= {f"demo/mini/{name}" for name in ("card.json", "visual.onnx", "textual.onnx", "tokenizer.json")}
    wanted |= {"web/templates/base.html", "web/static/style.css", "web/static/gallery.js", "report.css"}
    assert {f"sextant/{name}" for name in wanted} <= names
    assert not [n for n in names if not n.startswith("sextant/") or "test" in n.rpartition("/")[2] or ".pyc" in n]
    tracked = subprocess.run(["git", "ls-files", "src"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert names <= {name.removeprefix("src/") for name in tracked.stdout.split("\n")}


def test_every_target_of_the_fuzzer_stands_in_the_table_and_survives_a_few_inputs(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the bundles are made with onnx")
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from fuzz import FINE, _generator, _outcome, targets  # type: ignore[import-not-found]

        found = targets()
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    for name, kind in found.items():
        assert f"| {name} |" in page
        if name == "requests" and find_spec("fastapi") is None:
            continue
        (tmp_path / name).mkdir()
        target = kind(tmp_path / name)
        for number in range(8):
            case = target.make(_generator(name, 11, number))
            assert repr(case) == repr(target.make(_generator(name, 11, number))), "an input can be made again"
            assert _outcome(target, case) in FINE, (name, number)
        target.close()


def test_every_test_that_the_threat_model_names_exists() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", text)
    assert len(named) > 20
    for file, test in named:
        path = ROOT / "tests" / file
        assert path.is_file(), file
        assert not test or f"def {test}(" in path.read_text(encoding="utf-8"), (file, test)
