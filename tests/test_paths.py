"""`~` in a path."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes import opened, picture
from sextant.errors import UsageError
from sextant.paths import expanded


def test_home_is_replaced_and_everything_else_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert expanded("~/a.csv") == tmp_path / "a.csv"
    assert expanded("~") == tmp_path
    for name in ("a.csv", "/x/~y/z", "~draft.png", "", "a~b"):
        assert expanded(name) == Path(name)
    (tmp_path / "~nobody-here").mkdir()
    assert expanded("~nobody-here/a.csv") == Path("~nobody-here/a.csv")


def test_the_home_of_nobody_is_named_wherever_a_path_is_taken(tmp_path: Path) -> None:
    picture(tmp_path / "red.png", "red")
    photos = opened(tmp_path)
    photos.add(tmp_path / "red.png")
    name = "~nobody-here/x.csv"
    calls = (photos.tag, photos.import_labels, photos.export_labels, photos.report, photos.outside)
    for call in (*calls, lambda path: photos.evaluate(truth=path), lambda path: opened(path)):
        with pytest.raises(UsageError, match="no user 'nobody-here'"):
            call(name)
