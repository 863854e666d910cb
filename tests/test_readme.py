"""The documents keep their promises: commands between their markers, examples that run, a file map that is true."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import sextant
from sextant import vocabulary
from sextant.cli import cli
from sextant.collection import Collection
from sextant.demo import scenes

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ("README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))


def between(name: str) -> str:
    """What stands between the marker lines of that name in the README."""
    found = re.search(rf"^<!-- {name} -->\n(.*?)^<!-- /{name} -->$", README, re.MULTILINE | re.DOTALL)
    assert found, f"no {name} in the README"
    return found[1]


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


# commands


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("demo-command", ["python3 -m venv .venv", "pip install -q -e .", ".venv/bin/sextant demo"]),
        ("test-command", ["python3 -m venv .venv", "torch==", ".[test,", ".venv/bin/pytest -q"]),
    ],
)
def test_a_set_up_command_is_one_fenced_block_between_its_markers(marker: str, words: list[str]) -> None:
    inside = between(marker)
    (command,) = fenced(inside, "sh")
    assert inside == f"```sh\n{command}```\n"
    assert all(word in command for word in words)
    checked = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_the_test_command_installs_extras_that_exist() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (extras,) = re.findall(r"\.\[([a-z,]+)\]", between("test-command"))
    for extra in extras.split(","):
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE), extra


def test_every_verb_that_the_readme_uses_exists() -> None:
    for verb in set(re.findall(r"^(?:\$ )?sextant ([a-z]+)", README, re.MULTILINE)):
        assert verb in cli.list_commands(None), verb


# links and the map


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    missing = [link for link in targets if link and not (ROOT / page).parent.joinpath(link).exists()]
    assert missing == []


def test_every_page_of_the_documentation_is_linked_from_the_readme() -> None:
    assert [page for page in PAGES[1:] if f"]({page})" not in README] == []


def test_the_file_map_names_what_is_there_and_nothing_else() -> None:
    source = ROOT / "src" / "sextant"
    there = {
        f"{p.name}/" if p.is_dir() else p.name for p in source.iterdir() if not p.name.startswith(("__pycache__", "."))
    }
    rows = re.findall(r"^\| (`.*?) \|", between("file-map"), re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert set(named) == there
    assert len(named) == len(set(named))


# examples


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with drawn pictures and the demo's vocabulary, where nothing is downloaded."""
    scenes.collection(tmp_path / "photos", 60, seed=scenes.DEMO_SEEDS.start, size=128, processes=1)
    words = Path(scenes.__file__).with_name("vocabulary.yaml")
    (tmp_path / "vocabulary.yaml").write_text(words.read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEXTANT_MODEL", "hash")
    return tmp_path


def test_the_examples_of_the_python_page_run(drawn: Path) -> None:
    """In order and in one namespace, as a reader would type them."""
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks, names = fenced(text, "python"), {"__name__": "page"}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert len(blocks) >= 12
    assert (drawn / "columns.parquet").stat().st_size > 0
    rows = names["Brightness"]().encode_texts(["a bright day", "a dark one"])
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)


def test_the_python_page_names_every_method_of_a_collection() -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    own = {
        name: value
        for kind in Collection.__mro__
        if "collection" in kind.__module__
        for name, value in vars(kind).items()
    }
    public = {name for name, value in own.items() if callable(value) and not name.startswith("_")}
    assert {name for name in public - {"known"} if not re.search(rf"\b{name}\b", text)} == set()


def test_the_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["demo", "--images", "30", "--model", "hash"])
    assert result.exit_code == 0, result.stderr
    (example,) = fenced(README, "python")
    names: dict = {"__name__": "readme"}
    exec(compile(example, "README.md", "exec"), names)
    assert list(names["frame"].columns) == ["path", "earth", "moon"]
    assert len(names["found"].hits) == 5


# real photos


@pytest.fixture(scope="module")
def nouns(real: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A collection of the real photos by the real encoder, tagged with the 43 nouns."""
    pytest.importorskip("ai_edge_litert")
    folder = tmp_path_factory.mktemp("real")
    with sextant.open(folder, create=True, model=f"{real / 'encoders' / 'conse.py'}:Conse") as photos:
        report = photos.add(real / "photos" / "caltech101")
        assert (report.encoded, len(report.skipped)) == (811, 5)
        photos.tag(real / "caltech101.yaml")
    return folder, real


def test_the_highest_logit_is_right_exactly_as_often_as_the_encoder_alone(nouns: tuple[Path, Path]) -> None:
    folder, real = nouns
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import real_photos
    finally:
        sys.path.pop(0)
    with sextant.open(folder) as photos:
        through = real_photos.through(photos, real)
    alone = real_photos.alone(real)
    assert through == alone
    assert through.photos == 344
    assert 0.75 < through.share < 0.80


def test_real_photos_come_back_for_what_they_show(nouns: tuple[Path, Path]) -> None:
    folder, _ = nouns
    with sextant.open(folder) as photos:
        dogs = [row["path"] for row in photos.query("dalmatian > 0", sort="-dalmatian", limit=8)]
        flowers = [hit.path for hit in photos.search("a sunflower", limit=8).hits]
    assert sum("/dalmatian/" in path for path in dogs) >= 7
    assert sum("/sunflower/" in path for path in flowers) >= 2
    assert all(re.search("sunflower|lotus|water_lilly", path) for path in flowers)


def test_one_more_noun_writes_one_column_and_reads_no_photo(
    nouns: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, real = nouns
    text = (real / "caltech101.yaml").read_text(encoding="utf-8")
    words = tmp_path / "nouns.yaml"
    words.write_text(text.replace("base_attributes:", "base_attributes:\n  - {code: flower, description: flower}", 1))
    codes = [a.code for a in vocabulary.load(real / "caltech101.yaml").attributes]

    def bytes_of(photos: Collection) -> dict[str, bytes]:
        view = photos.view(codes)
        return {code: view.logits(code).tobytes() for code in codes}

    def data_files() -> dict[Path, tuple[int, int]]:
        return {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.rglob("data/*.lance")}

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a photo was read")

    with sextant.open(folder) as photos:
        before, files = bytes_of(photos), data_files()
    for name in ("sextant.images.decode", "PIL.Image.open"):
        monkeypatch.setattr(name, refuse)
    with sextant.open(folder) as photos:
        assert photos.tag(words).columns == ("flower",)
        assert bytes_of(photos) == before
        assert photos.tag(words).columns == ()
    after = data_files()
    assert {p: after.get(p) for p in files} == files  # nothing that lay there was rewritten
    new = after.keys() - files.keys()
    assert {p.relative_to(folder / ".sextant").parts[0] for p in new} == {"encoders"}
    assert sum(p.stat().st_size for p in new) < 3 * 4 * 811  # one float32 a photo, and Lance's own page of each piece


def test_the_transcript_names_photos_that_are_there(real: Path) -> None:
    text = (ROOT / "docs" / "real-photos.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\.\./shared/real/(photos/\S+\.jpg)", text))
    assert len(shown) > 10
    assert all((real / path).is_file() for path in shown)
