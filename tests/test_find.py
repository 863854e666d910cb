"""`search` and `similar` over a collection: filters, ranks, words, pictures, near-duplicates and hints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakes import many, opened, picture, pictures, vocabulary
from sextant import find
from sextant.collection import Collection
from sextant.errors import RuleError, UsageError
from sextant.feedback import features
from sextant.types import SearchResult

PICTURES = 80
COLOURS = ("red", "green", "blue", "yellow", "orange", "grey")
VOCABULARY = "template: '{description}'\nbase_attributes:\n  - {code: red, description: red}\n"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("find")
    many(folder / "p", PICTURES)
    pictures(folder / "q", *COLOURS)
    collection = opened(folder)
    collection.add(folder / "p", folder / "q")
    collection.tag(vocabulary(folder, VOCABULARY))
    return collection


def paths(result: SearchResult) -> list[str]:
    return [hit.path for hit in result.hits]


def test_a_filter_loses_no_match_and_adds_none(photos: Collection) -> None:
    every = photos.search("red", limit=1000)
    assert len(every.hits) == PICTURES + len(COLOURS)
    chosen = set(photos.query("name like '%0.png'").table["path"].to_pylist())
    filtered = photos.search("red", limit=3, where="name like '%0.png'")
    assert paths(filtered) == [path for path in paths(every) if path in chosen][:3]


def test_the_threshold_leaves_out_what_is_less_sure(photos: Collection) -> None:
    every = photos.search("red", limit=1000).hits
    middle = every[5].confidence
    assert middle is not None
    assert photos.search("red", limit=1000, threshold=middle).hits == tuple(h for h in every if h.confidence >= middle)


def test_ranks_do_not_depend_on_how_many_are_wanted(photos: Collection) -> None:
    every = paths(photos.search("red + green - blue", limit=1000))
    for limit in (1, 2, 7, 30):
        assert paths(photos.search("red + green - blue", limit=limit)) == every[:limit]


def test_streamed_vectors_give_the_answer_that_vectors_in_memory_give(tmp_path: Path) -> None:
    many(tmp_path / "p", PICTURES)
    warm = opened(tmp_path)
    warm.add(tmp_path / "p")
    streaming = opened(tmp_path)
    view = streaming.view()
    view.kept["vectors in memory"] = None
    for text in ("red", "red - blue", "red and green"):
        kept, read = warm.search(text, limit=10), streaming.search(text, limit=10)
        assert paths(kept) == paths(read)
        np.testing.assert_allclose([h.logit for h in kept.hits], [h.logit for h in read.hits], rtol=0, atol=0)
        np.testing.assert_allclose([h.confidence for h in kept.hits], [h.confidence for h in read.hits], rtol=1e-3)


def test_the_clip_score_is_never_negative(photos: Collection) -> None:
    hits = photos.search("red", limit=1000).hits
    for hit in hits:
        assert hit.clip_score == pytest.approx(max(100 * hit.cosine, 0))
    assert {hit.matched for hit in hits} == {"red"}


def test_a_rule_and_sql_score_a_phrase_as_search_does(photos: Collection) -> None:
    found = {hit.path: hit.confidence for hit in photos.search("green", limit=1000, words=False).hits}
    middle = sorted(found.values())[-8]
    expected = {path for path, confidence in found.items() if confidence > middle}
    rows = photos.query(f"score('green') > {middle}").table.to_pylist()
    assert {row["path"]: pytest.approx(row["score('green')"], abs=1e-5) for row in rows} == {
        p: found[p] for p in expected
    }
    rows = photos.sql("SELECT path, score('green') AS s FROM images").table.to_pylist()
    assert {row["path"]: pytest.approx(row["s"], abs=1e-5) for row in rows} == found
    assert photos.sql(f"SELECT count(*) AS n FROM images WHERE score('green') > {middle} AND width > 0").table[
        "n"
    ].to_pylist() == [len(expected)]
    both = photos.search("red", limit=1000, where=f"score('green') > {middle} and width > 0")
    assert set(paths(both)) == expected


def test_what_people_said_joins_the_ranking_and_costs_the_others_nothing(tmp_path: Path) -> None:
    many(tmp_path / "p", PICTURES)
    photos = opened(tmp_path)
    photos.add(tmp_path / "p")
    plain = paths(photos.search("red", limit=1000))
    last = plain[-1]
    photos.describe(last, tags=["red"])
    found = photos.search("red", limit=1000)
    said = {hit.path: hit.said for hit in found.hits}
    assert said[last]
    assert sum(said.values()) == 1
    assert paths(found).index(last) < 3
    assert [path for path in paths(found) if path != last] == plain[:-1]
    assert paths(photos.search("red", limit=1000, words=False)) == plain
    assert last in paths(photos.search("red", limit=1000, threshold=0.999999))
    assert not any(hit.said for hit in photos.search("red - blue", limit=1000).hits)


def test_words_and_a_picture_together_move_from_one_to_the_other(photos: Collection) -> None:
    words = paths(photos.search("red", limit=1000))
    blue = "q/blue.png"
    likeness = paths(photos.similar(blue, limit=1000))
    assert blue not in paths(photos.search("red", image=blue, limit=1000))
    only_words = paths(photos.search("red", image=blue, likeness=0.0, limit=1000))
    assert [p for p in only_words if p in words[:5]] == [p for p in words if p in words[:5] and p != blue]
    assert paths(photos.search("red", image=blue, likeness=1.0, limit=5)) == likeness[:5]
    between = photos.search("red", image=blue, likeness=0.5, limit=5)
    assert all(hit.confidence is not None for hit in between.hits)


def test_a_picture_from_elsewhere_is_asked_with(photos: Collection, tmp_path: Path) -> None:
    file = picture(tmp_path / "elsewhere.png", (0, 0, 250))
    assert paths(photos.similar(str(file), limit=1)) == ["q/blue.png"]
    assert paths(photos.search("blue", image=file, limit=1)) == ["q/blue.png"]
    with pytest.raises(UsageError, match=r"no image 'nothing\.png'"):
        photos.search("blue", image="nothing.png")


def test_near_duplicates_are_folded_behind_the_best_and_named(tmp_path: Path) -> None:
    many(tmp_path / "p", 60)
    for size in ((9, 9), (10, 10), (11, 11)):
        picture(tmp_path / "q" / f"red{size[0]}.png", "red", size)
    photos = opened(tmp_path)
    photos.add(tmp_path / "p", tmp_path / "q")
    every = photos.search("red", limit=3)
    assert {path[:5] for path in paths(every)} == {"q/red"}
    folded = photos.search("red", limit=3, fold=0.99999)
    assert sum(path.startswith("q/red") for path in paths(folded)) == 1
    first = folded.hits[0]
    assert {first.path, *first.folded} == {"q/red9.png", "q/red10.png", "q/red11.png"}
    like = photos.similar(first.path, limit=3, fold=0.99999)
    assert len(like.hits[0].folded) == 1


def test_no_diversity_is_the_plain_order_and_full_diversity_differs_most(photos: Collection) -> None:
    plain = paths(photos.search("red", limit=6))
    assert paths(photos.search("red", limit=6, diversity=0.0)) == plain
    varied = paths(photos.search("red", limit=6, diversity=0.9))
    assert varied[0] == plain[0]
    assert len(set(varied)) == 6
    assert varied != plain


def test_what_was_suppressed_is_not_found_until_it_is_restored(tmp_path: Path) -> None:
    many(tmp_path / "p", 60)
    for size in ((9, 9), (10, 10)):
        picture(tmp_path / "q" / f"red{size[0]}.png", "red", size)
    photos = opened(tmp_path)
    photos.add(tmp_path / "p", tmp_path / "q")
    before = paths(photos.search("red", limit=1000))
    photos.duplicates("scene", threshold=0.99999, suppress=True)
    after = paths(photos.search("red", limit=1000))
    assert len(before) - len(after) >= 1
    assert sum(path.startswith("q/red") for path in after) == 1
    photos.restore()
    assert paths(photos.search("red", limit=1000)) == before


def test_nothing_here_is_said_and_so_is_a_doubtful_query(photos: Collection) -> None:
    nothing = photos.search("red", where="width > 4000")
    assert nothing.hits == ()
    assert nothing.hints == ("no image satisfies the rule: width > 4000",)
    warned = photos.search("red - a red thing").hints
    assert any("contains" in hint for hint in warned)
    assert any(hint.startswith("did you mean: a green submarine") for hint in photos.search("a green submarin").hints)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "empty"),
        ("  ", {}, "empty"),
        ("red " * 2500, {}, "10,000|9,999|10000|9999"),
        ("red", {"limit": 0}, "limit"),
        ("red", {"threshold": 1.5}, "threshold"),
        ("red", {"likeness": -0.1}, "likeness"),
        ("red", {"diversity": 2.0}, "diversity"),
        ("red", {"fold": 2.0}, "folded"),
        ("- red", {}, "position|negative"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_reason(
    photos: Collection, text: str, options: dict[str, float], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        photos.search(text, **options)  # type: ignore[arg-type]


def test_a_filter_that_names_nothing_known_suggests_the_nearest(photos: Collection) -> None:
    with pytest.raises(RuleError, match="Did you mean 'width'"):
        photos.search("red", where="widht > 3")


def test_the_pool_is_larger_where_hits_may_be_folded() -> None:
    assert find._pool(find.Options(limit=7)) == 7
    assert find._pool(find.Options(limit=7, fold=True)) == 7 * find.POOL


def test_weights_that_feedback_taught_order_the_hits_that_were_chosen(photos: Collection) -> None:
    plain = paths(photos.search("red", limit=8))
    weight = [1.0 if name == "brightness" else 0.0 for name in features.NAMES]
    learned = {
        "names": list(features.NAMES),
        "mean": [0.0] * len(weight),
        "scale": [1.0] * len(weight),
        "weight": weight,
    }
    photos.catalog.put_weights(photos.vectors.name, learned, {})
    turned = paths(photos.search("red", limit=8))
    assert set(turned) == set(plain)
    assert turned != plain
    assert paths(photos.search("red", limit=8, learned=False)) == plain
    photos.drop_weights()
    assert paths(photos.search("red", limit=8)) == plain
