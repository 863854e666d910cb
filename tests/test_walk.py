"""What a person may name, and how each file is called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes import opened, picture, pictures
from sextant.types import Skipped
from sextant.walk import Candidate, folders, name_of, printable, walk


def names(found: list[Candidate | Skipped]) -> list[str]:
    return [item.name for item in found if isinstance(item, Candidate)]


def walked(root: Path, *sources: str | Path) -> list[str]:
    return names(list(walk(sources, root)))


def skipped(root: Path, *sources: str | Path) -> dict[str, str]:
    return {i.path: i.reason for i in walk(sources, root) if isinstance(i, Skipped)}


def test_a_folder_is_walked_in_order_and_looked_at_by_suffix(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "b/1.jpg", "a.webp", "c.txt", "d.gif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert walked(tmp_path, tmp_path) == ["a.webp", "b/1.jpg", "b/2.PNG", "d.gif"]


def test_hidden_folders_are_passed_over_unless_named(tmp_path: Path) -> None:
    pictures(tmp_path / ".hidden", "red")
    pictures(tmp_path / "p", "green")
    picture(tmp_path / ".dot.png", "red")
    assert walked(tmp_path, tmp_path) == ["p/green.png"]
    assert walked(tmp_path, tmp_path / ".hidden") == [".hidden/red.png"]


def test_the_same_file_named_twice_is_met_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path, "red")
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "red.png"
    again = f"../{tmp_path.name[:-1]}?/red.png"
    assert walked(tmp_path, "red.png", "./red.png", file, tmp_path, file.as_uri(), "*.png", again) == ["red.png"]


def test_patterns_match_across_folders(tmp_path: Path) -> None:
    pictures(tmp_path / "a" / "b", "red", "green")
    pictures(tmp_path / "c", "red")
    assert walked(tmp_path, f"{tmp_path}/**/red.png") == ["a/b/red.png", "c/red.png"]
    assert walked(tmp_path, f"{tmp_path}/[a]") == ["a/b/green.png", "a/b/red.png"]
    assert skipped(tmp_path, f"{tmp_path}/*.nothing") == {f"{tmp_path}/*.nothing": "the pattern matches no file"}


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    picture(tmp_path / "a[1].png", "red")
    picture(tmp_path / "a1.png", "red")
    assert walked(tmp_path, tmp_path / "a[1].png") == ["a[1].png"]


def test_file_urls_are_paths_and_other_urls_are_skipped_with_a_remedy(tmp_path: Path) -> None:
    file = picture(tmp_path / "a b é.png", "red")
    assert walked(tmp_path, file.as_uri(), f"file://localhost{tmp_path}/a%20b%20%C3%A9.png") == ["a b é.png"]
    for url in ("https://example.org/a.jpg", "http://example.org/b.jpg", "file://elsewhere/d.jpg"):
        assert "download it first" in skipped(tmp_path, url)[url]


@pytest.mark.parametrize("name", ["gone.png", "~nobody-here.png", "x" * 300 + ".png", "red.png/inside.png", "a\0b.png"])
def test_what_is_not_there_is_said_and_ends_nothing(tmp_path: Path, name: str) -> None:
    pictures(tmp_path, "red", "green")
    found = list(walk([f"{tmp_path}/{name}", tmp_path / "green.png"], tmp_path))
    assert names(found) == ["green.png"]
    assert isinstance(found[0], Skipped)
    assert "no such file" in found[0].reason or "cannot be looked at" in found[0].reason


def test_an_empty_name_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path, "red")
    monkeypatch.chdir(tmp_path)
    assert list(walk([""], tmp_path)) == [Skipped("", "the name is empty: say . for the current folder")]
    assert folders(["", "."]) == [Path()]


def test_a_tilde_that_is_nobodys_home_is_a_file_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "~draft.png", "red")
    assert walked(tmp_path, "~draft.png") == ["~draft.png"]


def test_links_to_files_count_under_their_own_name_and_links_to_folders_are_passed_over(tmp_path: Path) -> None:
    (file,) = pictures(tmp_path / "elsewhere", "red")
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "link.png").symlink_to(file)
    (tmp_path / "p" / "loop").symlink_to(tmp_path / "p")
    assert walked(tmp_path, tmp_path / "p") == ["p/link.png"]
    report = opened(tmp_path).add(tmp_path)
    assert (report.added, report.copies) == (1, 1)


def test_a_collection_reached_through_a_link_calls_its_files_as_ever(tmp_path: Path) -> None:
    pictures(tmp_path / "real" / "p", "red")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    photos = opened(tmp_path / "link")
    photos.add(tmp_path / "link")
    assert [r["path"] for r in photos.query("width > 0")] == ["p/red.png"]
    (tmp_path / "real" / "p" / "red.png").unlink()
    assert photos.add(tmp_path / "link").missing_paths == ("p/red.png",)


def test_a_folder_that_cannot_be_listed_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path / "open", "red")
    (tmp_path / "locked").mkdir()
    real = os.scandir

    def scandir(path: object = ".") -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return real(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", scandir)
    assert walked(tmp_path, tmp_path) == ["open/red.png"]
    assert skipped(tmp_path, tmp_path) == {f"{tmp_path}/locked": "the folder cannot be listed: Permission denied"}


def test_a_name_that_is_not_utf8_is_skipped_in_printable_words(tmp_path: Path) -> None:
    pictures(tmp_path, "red")
    (tmp_path / "red.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    assert skipped(tmp_path, tmp_path) == {"caf\\xe9.png": "the file name is not valid UTF-8: rename it"}


@pytest.mark.parametrize(
    "name", ["a\nb", 'say "cheese"', "<script>alert(1)</script>", "=1+1", "a,b;c", "日本", "'", "\u2028"]
)
def test_odd_names_are_kept_to_the_letter(tmp_path: Path, name: str) -> None:
    file = picture(tmp_path / "p" / f"{name.replace('/', '')}.png", "red")
    photos = opened(tmp_path)
    assert photos.add(tmp_path / "p").added == 1
    assert [r["path"] for r in photos.query("width > 0")] == [f"p/{file.name}"]
    assert photos.similar(f"p/{file.name}").hits == ()


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text("ab.~*é \n", min_size=1, max_size=4).filter(lambda s: s.strip(".") != ""), max_size=4))
def test_a_name_leads_back_to_its_file(tmp_path: Path, parts: list[str]) -> None:
    path = tmp_path.joinpath("up", *parts, "x.png")
    name = name_of(path, tmp_path / "root")
    assert Path(os.path.normpath(tmp_path / "root" / name)) == path
    assert printable(name) == name
