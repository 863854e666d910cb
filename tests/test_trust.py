"""Opening a collection that somebody gave you runs none of their code before you have allowed it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import sextant
from fakes import pictures
from sextant import manifest, trust
from sextant.cli import cli
from sextant.errors import ModelError, SextantError, UsageError

CODE = """
from pathlib import Path
import numpy as np
Path({mark!r}).touch()  # what somebody else's code did here
class Mine:
    name, revision, dim, logit_scale, logit_bias = "mine", "1", 2, 10.0, 0.0
    def encode_images(self, images): return np.tile(np.float32([1, 0]), (len(images), 1))
    def encode_texts(self, texts): return np.tile(np.float32([0, 1]), (len(texts), 1))
"""


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "it-ran"


@pytest.fixture
def given(tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A collection from somebody else, whose encoder is a Python file in its folder."""
    folder = tmp_path / "given"
    pictures(folder, "red", "green")
    (folder / "enc.py").write_text(CODE.format(mark=str(mark)))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "theirs"))
    with sextant.open(folder, create=True, model=f"{folder / 'enc.py'}:Mine") as photos:
        photos.add(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "mine"))
    mark.unlink()
    return folder


def everything(folder: Path) -> list[str]:
    """Asks a collection in every way; what was refused."""
    refused = []
    with sextant.open(folder) as photos:
        photos.info()
        photos.sql("SELECT * FROM images")
        photos.query("width > 0")
        photos.prune(dry_run=True)
        for ask in (
            lambda: photos.search("red"),
            lambda: photos.query("score('red') > 0.5"),
            lambda: photos.add(folder),
            lambda: photos.encoder(),
            lambda: photos.similar(folder / "enc.png"),
        ):
            try:
                ask()
            except SextantError as error:
                refused.append(str(error))
    return refused


def test_a_strangers_collection_runs_no_code_and_says_what_to_do(given: Path, mark: Path) -> None:
    refused = everything(given)
    assert not mark.exists()
    spec = f"{given / 'enc.py'}:Mine"
    assert sum("collection.json names Python code as its encoder" in text for text in refused) >= 3
    assert any(text.endswith(f"if you trust it: sextant model trust {spec}") for text in refused)


def test_what_was_allowed_runs_until_it_changes_or_moves(given: Path, mark: Path, tmp_path: Path) -> None:
    spec = f"{given / 'enc.py'}:Mine"
    assert trust.keep(spec) == trust.known()[0]
    with sextant.open(given) as photos:
        assert photos.search("red").hits is not None
    assert mark.exists()
    mark.unlink()
    again = Path(shutil.copytree(given, tmp_path / "copy"))
    with sextant.open(again) as photos, pytest.raises(ModelError, match="nobody has allowed that"):
        photos.search("blue")
    with (given / "enc.py").open("a") as file:
        file.write("\nmore = 1\n")
    with sextant.open(given) as photos, pytest.raises(ModelError, match="not what was allowed before"):
        photos.search("blue")
    assert not mark.exists()
    trust.keep(spec)
    trust.forget(spec)
    with pytest.raises(UsageError, match="was not trusted"):
        trust.forget(spec)
    assert not trust.is_trusted(spec)


def test_settings_that_come_with_a_collection_run_nothing_either(tmp_path: Path, mark: Path) -> None:
    (tmp_path / "enc.py").write_text(CODE.format(mark=str(mark)))
    pictures(tmp_path / "in", "red")
    manifest.create(tmp_path)
    (tmp_path / ".sextant" / "settings.toml").write_text(f'model = "{tmp_path / "enc.py"}:Mine"\n')
    with sextant.open(tmp_path) as photos, pytest.raises(ModelError, match=r"settings\.toml names Python code"):
        photos.add(tmp_path / "in")
    assert not mark.exists()


@pytest.mark.parametrize("way", ["argument", "environment", "add", "use"])
def test_what_a_person_names_is_trusted_from_then_on(
    given: Path, mark: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = f"{given / 'enc.py'}:Mine"
    if way == "environment":
        monkeypatch.setenv("SEXTANT_MODEL", spec)
    with sextant.open(given, model=spec if way == "argument" else None) as photos:
        if way == "add":
            photos.add(given, model=spec)
        elif way == "use":
            photos.use(spec)
        photos.search("red")
    monkeypatch.delenv("SEXTANT_MODEL", raising=False)
    with sextant.open(given) as photos:
        photos.search("blue")
    assert mark.exists()


def test_another_model_of_ones_own_allows_nothing(given: Path, mark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEXTANT_MODEL", "hash")
    assert any("sextant model trust" in text for text in everything(given))
    assert not mark.exists()


def test_a_module_is_known_by_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "it-ran"
    for place in ("mine", "theirs"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "some_encoders.py").write_text(CODE.format(mark=str(mark)))
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path / "mine")
        trust.keep("some_encoders:Mine")
        assert trust.is_trusted("some_encoders:Mine")
    monkeypatch.syspath_prepend(tmp_path / "theirs")
    assert not trust.is_trusted("some_encoders:Mine")
    assert not mark.exists(), "looking for code does not run it"


@pytest.mark.parametrize(
    "spec", ["mini", "hash", "ViT-B-32/openai", "local-dir:a/b.py:C", "hf-hub:o/n@main", "plugged"]
)
def test_data_needs_no_trust(spec: str) -> None:
    assert trust.is_trusted(spec)
    assert trust.keep(spec) is None


@pytest.mark.parametrize(
    "spec", ["a\nb.py:X", "evil.py:X\n", "os:getcwd", "a.b:c", "/x/y.py:Z", "nt:x", ":", "a:b:c", "é.é:ü"]
)
def test_whatever_could_be_code_is_held_for_code(spec: str) -> None:
    assert not trust.is_trusted(spec)
    with pytest.raises(ModelError, match="names Python code"):
        trust.check(spec, "here")


def test_what_is_not_there_cannot_be_trusted(tmp_path: Path) -> None:
    for spec in (f"{tmp_path}/none.py:X", "no_such_package_here:X"):
        with pytest.raises(UsageError, match="nothing to trust"):
            trust.keep(spec)
    file = tmp_path / "damaged" / "sextant" / "trusted.json"
    file.parent.mkdir(parents=True)
    for text in ("{", "[]", '{"trusted": [1]}', '{"trusted": [{"spec": "x"}]}'):
        file.write_text(text)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CONFIG_HOME", str(tmp_path / "damaged"))
            with pytest.raises(UsageError, match="Delete it, and trust anew"):
                trust.known()


def test_the_command_line_allows_lists_and_forgets(tmp_path: Path) -> None:
    (tmp_path / "enc.py").write_text("class Mine: pass\n")
    spec = f"{tmp_path / 'enc.py'}:Mine"

    def said(*words: str) -> str:
        done = CliRunner().invoke(cli, ["model", "trust", *words])
        assert done.exit_code == 0, done.stderr
        return done.stdout

    assert "may run from now on, as it is now" in said(spec)
    assert [row["spec"] for row in json.loads(said("--json"))] == [spec]
    assert "enc.py:Mine" in said()
    assert "needs no trust" in said("mini")
    assert "not trusted any more" in said(spec, "--forget")
    assert json.loads(said("--json")) == []
    assert CliRunner().invoke(cli, ["model", "trust", "--forget"]).exit_code == 2
