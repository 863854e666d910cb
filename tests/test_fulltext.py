"""Words of tags and descriptions: split and folded, kept right by every change, matched exactly and in order."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sextant import fulltext
from sextant.catalog import Catalog
from sextant.database import Database
from sextant.schema import MIGRATIONS

SAID = {
    "a": (["beach", "summer holiday"], "Ada at the café by the sea"),
    "b": (["Strand", "Übersee"], "Möwen über dem Meer"),
    "c": ([], "a red car beside another red car"),
    "d": (["car"], "cartoon on a wall"),
    "e": (["富士山"], "日本の地球儀"),
    "f": (["cartoon"], ""),
    "g": (["हिन्दी", "Ёлка"], ""),
}


@pytest.fixture(params=["fts5", "reading", "postgres"])
def catalog(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
    """A catalog that holds SAID, with each of the three ways of looking."""
    if request.param == "postgres":
        held = Catalog(request.getfixturevalue("postgres"))
    else:
        if request.param == "reading":
            monkeypatch.setattr(fulltext, "_has_fts5", lambda _: False)
        held = Catalog.beside(tmp_path / "catalog.db")
    held.put_words(SAID)
    yield held
    held.close()


def found(catalog: Catalog, text: str, **how: bool) -> list[str]:
    return [image for image, _ in catalog.match_words(text, 100, **how)]


# words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A photo of the Sea!", ["a", "photo", "of", "the", "sea"]),
        ("Straße CAFÉ naïve ﬁne", ["strasse", "cafe", "naive", "fine"]),
        ("Ёлка Άλφα", ["елка", "αλφα"]),
        ("日本 tokyo2020", ["日", "本", "tokyo2020"]),
        ("mid-air, 3.5 m; don't_stop", ["mid", "air", "3", "5", "m", "don", "t", "stop"]),
        ("हिन्दी", ["हिन्दी"]),
        ("한국어", ["한국어"]),
        ("", []),
        ("😀 … '\"*()", []),
    ],
)
def test_a_text_falls_into_folded_words(text: str, words: list[str]) -> None:
    assert fulltext.tokens(text) == words


@given(st.text())
def test_folding_folded_words_changes_nothing(text: str) -> None:
    words = fulltext.tokens(text)
    assert fulltext.tokens(" ".join(words)) == words


def test_a_query_is_its_telling_words_unless_it_has_none() -> None:
    assert fulltext.asked("a photo of the sea and the sea") == [["sea"]]
    assert fulltext.asked("the photo") == [["the"], ["photo"]]
    assert fulltext.asked("富士山 2020") == [["富", "士", "山"], ["2020"]]


# matches


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("beach", ["a"]),
        ("a picture of a beach", ["a"]),
        ("cafe", ["a"]),
        ("CAFÉ", ["a"]),
        ("uber", ["b"]),
        ("möwe", ["b"]),
        ("beach sea", ["a"]),
        ("beach meer", []),
        ("holidays", []),
        ("富士", ["e"]),
        ("地球", ["e"]),
        ("球地", []),
        ("елка", ["g"]),
        ("हिन्दी", ["g"]),
        ("nothing of the kind", []),
        ("", []),
        ("!!!", []),
    ],
)
def test_matches_are_images_with_every_telling_word(catalog: Catalog, text: str, images: list[str]) -> None:
    assert found(catalog, text) == images


def test_whole_words_count_more_than_beginnings(catalog: Catalog) -> None:
    assert found(catalog, "car")[0] == "d"  # a tag, whole
    assert found(catalog, "car") == ["d", "c", "f"]
    assert set(found(catalog, "car", prefix=False)) == {"c", "d"}
    assert found(catalog, "ca") == []  # too short to be a beginning
    scores = [score for _, score in catalog.match_words("car", 100)]
    assert scores == sorted(scores, reverse=True)


def test_some_words_are_enough_when_asked_so(catalog: Catalog) -> None:
    assert set(found(catalog, "beach meer", every=False)) == {"a", "b"}
    assert found(catalog, "car wall", every=False)[0] == "d"


def test_a_limit_keeps_the_best(catalog: Catalog) -> None:
    assert [i for i, _ in catalog.match_words("car", 1)] == found(catalog, "car")[:1]
    assert catalog.match_words("car", 0) == []


@pytest.mark.parametrize(
    "text",
    ['"', '" OR 1=1 --', "NEAR(a b)", "a AND", "tags:x", "*", "(", "x'); DROP TABLE said; --", "%", "_", "\x00", "^a",
     "a" * 10_000, "word " * 3000, "&|!:<->", "'a' & 'b'", "\\", "🎉" * 50, "\ud7ff", "ͅ"],
)  # fmt: skip
def test_no_text_is_an_error_or_more_than_words(catalog: Catalog, text: str) -> None:
    assert set(found(catalog, text)) <= set(SAID)
    assert found(catalog, "beach") == ["a"]


def test_every_change_is_followed(catalog: Catalog) -> None:
    catalog.put_tags("c", ["garage"])
    catalog.put_description("f", "drawn by Ada")
    assert (found(catalog, "garage car"), found(catalog, "drawn cartoon")) == (["c"], ["f"])
    catalog.drop_tags("a", ["beach"])
    catalog.put_description("b", "now this")
    catalog.put_description("c", "")
    assert [found(catalog, t) for t in ("beach", "sea", "meer", "now", "red", "garage")] == [
        [], ["a"], [], ["b"], [], ["c"]
    ]  # fmt: skip
    catalog.drop_tags("f", ["cartoon"])
    catalog.put_description("f", "")
    assert "f" not in found(catalog, "cartoon")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return Catalog.beside(tmp_path_factory.mktemp("words") / "catalog.db")


WORDS = st.sampled_from(["sea", "seal", "see", "Strand", "Müller", "mull", "a", "the", "地球", "x1"])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from("pqrstu"), st.tuples(st.lists(WORDS, max_size=3), st.lists(WORDS, max_size=5))),
    st.lists(WORDS | st.text(max_size=4), min_size=1, max_size=3),
    st.booleans(),
    st.booleans(),
)
def test_the_index_finds_what_reading_finds(
    two: Catalog, said: dict[str, tuple[list[str], list[str]]], query: list[str], every: bool, prefix: bool
) -> None:
    for image in two.tags():
        two.drop_tags(image, [*two.tags()[image]])
    for image in two.descriptions():
        two.put_description(image, "")
    two.put_words({image: (words, " ".join(text)) for image, (words, text) in said.items()})
    runs = fulltext.asked(" ".join(query))
    expected = {
        image for image, (words, text) in said.items() if _matches(runs, [*words, *text], every=every, prefix=prefix)
    }
    assert set(found(two, " ".join(query), every=every, prefix=prefix)) == expected


def _matches(runs: list[list[str]], texts: list[str], *, every: bool, prefix: bool) -> bool:
    """The slow way: every place of every text."""
    words = [fulltext.tokens(text) for text in texts]
    flat = [" ".join(w) for w in words]

    def there(run: list[str]) -> bool:
        wanted = " ".join(run)
        if prefix and (len(run) > 1 or len(run[0]) >= fulltext.PREFIX):
            return any(f" {line}".find(f" {wanted}") >= 0 for line in [" ".join(flat)])
        return any(f" {line} ".find(f" {wanted} ") >= 0 for line in [" ".join(flat)])

    return bool(runs) and (all if every else any)(there(run) for run in runs)


# older catalogs


def test_an_older_catalog_is_filled_from_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sextant import database

    place = next(i for i, step in enumerate(MIGRATIONS) if step.__name__ == "_search_tables")
    monkeypatch.setattr(database, "MIGRATIONS", MIGRATIONS[:place])
    Database(f"sqlite:///{tmp_path / 'catalog.db'}").close()
    monkeypatch.undo()
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        connection.executemany("insert into tags values (?, ?, 'then')", [(f"i{n}", "Müll") for n in range(1200)])
        connection.execute("insert into descriptions values ('i7', 'a heap', 'then')")
    connection.close()
    catalog = Catalog.beside(tmp_path / "catalog.db")
    assert len(catalog.match_words("mull", 2000)) == 1200
    assert found(catalog, "heap of mull") == ["i7"]
    catalog.close()


def test_a_sqlite_without_the_index_says_what_is_missing(tmp_path: Path) -> None:
    from sextant.errors import CollectionError

    catalog = Catalog.beside(tmp_path / "catalog.db")
    with pytest.raises(CollectionError, match="SQLite has full-text search"), catalog._writing() as connection:
        connection.exec_driver_sql("create virtual table x using nosuch(a)".replace("nosuch", "no_fts"))
    catalog.close()
