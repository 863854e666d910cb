"""Expansions: the entries that come with Sextant, a person's own, and what they make of a phrase."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sextant import expansion
from sextant.errors import UsageError, VocabularyError
from sextant.expansion import Expansions, Variant, load, plain
from sextant.expansion.entries import FURTHER, Other
from sextant.expansion.inflection import plural, with_article
from sextant.expansion.reading import MOST_VARIANTS, WEIGHT, parse, read

BUILT_IN = load()
EVERYDAY = parse("dog: [puppy, hound: 0.8]\ngolden hour: [warm evening light]\nhour: [sixty minutes]", "words.yaml")

# Words that would swallow a search: what asks for a dog must not be asked for every animal.
TOO_WIDE = frozenset(
    [
        "animal",
        "mammal",
        "creature",
        "pet",
        "wildlife",
        "object",
        "thing",
        "item",
        "stuff",
        "product",
        "device",
        "vehicle",
        "transport",
        "person",
        "human",
        "being",
        "someone",
        "plant",
        "nature",
        "landscape",
        "structure",
        "building",
        "architecture",
        "construction",
        "scene",
        "view",
        "place",
        "location",
        "outdoors",
        "food",
        "meal",
        "drink",
        "furniture",
        "clothing",
        "clothes",
        "garment",
        "activity",
        "sport",
        "event",
        "photo",
        "photograph",
        "picture",
        "image",
        "graphic",
        "weather",
        "season",
        "water",
        "art",
        "document",
        "machine",
        "equipment",
        "container",
        "reptile",
        "vegetation",
        "sky",
        "ground",
        "land",
        "light",
    ]
)
OPPOSITES = [
    *[("day", "night"), ("sunrise", "sunset"), ("dawn", "dusk"), ("summer", "winter"), ("spring", "autumn")],
    *[("man", "woman"), ("child", "elderly person"), ("baby", "elderly person"), ("interior", "facade")],
    *[("black and white", "colour"), ("close-up", "aerial view"), ("macro", "panorama"), ("bride", "groom")],
    *[("full moon", "crescent moon"), ("sun", "moon"), ("earth", "moon"), ("lunar surface", "earth"), ("cat", "dog")],
    *[("rocket launch", "splashdown"), ("launch", "splashdown"), ("crowd", "empty"), ("city", "countryside")],
    *[("desert", "sea"), ("round arch", "pointed arch"), ("midday", "night"), ("fire", "ice"), ("mountain", "valley")],
]


def texts(phrase: str, limit: int = 10, entries: Expansions = BUILT_IN) -> list[str]:
    return [variant.text for variant in entries.variants(phrase, limit)]


# the entries that come with Sextant


def test_there_are_enough_entries() -> None:
    assert len(BUILT_IN.entries) >= 170
    assert sum(" " in key for key in BUILT_IN.entries) >= 50


@pytest.mark.parametrize("key", sorted(BUILT_IN.entries))
def test_an_entry_is_lower_case_short_and_does_not_widen(key: str) -> None:
    entry = BUILT_IN.entries[key]
    words = [other.text for other in entry]
    assert 1 <= len(entry) <= MOST_VARIANTS
    assert all(text == text.lower() == " ".join(text.split()) for text in (key, *words))
    assert all(0 < other.weight <= WEIGHT for other in entry)
    assert not {plural(word) for word in TOO_WIDE} & {plural(word) for word in words}
    assert not any(re.match(r"(?:an?|the) ", text) for text in (key, *words))
    assert key not in words


def test_no_entry_lists_its_opposite() -> None:
    for one, other in OPPOSITES:
        for key, against in ((one, other), (other, one)):
            for text, *_ in BUILT_IN.every.get(key, ()):
                assert not re.search(rf"\b{against}\b", text) or re.search(rf"\b{against}\b", key), (key, text)
                assert text not in [other.text for other in BUILT_IN.every.get(against, ())], (key, text, against)


def test_the_words_of_the_demo_and_of_photographers_are_there() -> None:
    for key in [
        "astronaut",
        "lunar surface",
        "rocket launch",
        "facade",
        "onion dome",
        "golden hour",
        "bokeh",
        "screenshot",
        "old photograph",
    ]:
        assert key in BUILT_IN.entries


def test_words_are_all_single_words() -> None:
    assert {"golden", "hour", "dog", "puppy", "close-up"} <= BUILT_IN.words
    assert not any(" " in word or word != word.lower() for word in BUILT_IN.words)


# variants


def test_the_phrase_itself_comes_first() -> None:
    assert BUILT_IN.variants("a Dog")[0] == Variant("a Dog", 1.0, None)
    assert BUILT_IN.variants("something else altogether") == (Variant("something else altogether"),)
    assert BUILT_IN.variants("a dog", 1) == (Variant("a dog"),)


def test_an_entry_is_put_in_place_the_longer_key_first_and_two_at_once_last() -> None:
    assert Expansions(EVERYDAY).variants("a photo of a dog at golden hour") == (
        Variant("a photo of a dog at golden hour", 1.0, None),
        Variant("a photo of a dog at warm evening light", 0.9, "golden hour"),
        Variant("a photo of a puppy at golden hour", 0.9, "dog"),
        Variant("a photo of a hound at golden hour", 0.8, "dog"),
        Variant("a photo of a puppy at warm evening light", pytest.approx(0.81), "dog + golden hour"),
        Variant("a photo of a hound at warm evening light", pytest.approx(0.72), "dog + golden hour"),
    )


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("two dogs", "two puppies"),
        ("an astronaut", "a cosmonaut"),
        ("a cosmonaut and a sea", "a cosmonaut and an ocean"),
        ("A sea", "An ocean"),
        ("a forest", "woods"),
        ("the earth", "our planet"),
        ("three women", "three ladies"),
        ("wolves", "grey wolves"),
        ("astronauts", "people in a space suit"),
        ("The EARTH", "The planet earth"),
        ("golden  hour portrait", "warm evening light portrait"),
        ("a dog, a ball", "a puppy, a ball"),
        ("a dog running on grass", "a puppy running on grass"),
        ("a black and white photo", "a monochrome photo"),
    ],
)
def test_number_and_article_follow(phrase: str, expected: str) -> None:
    assert expected in texts(phrase, 30)


@pytest.mark.parametrize(
    "phrase", ["a fire escape", "a dogma", "a sheep-dog", "a moon-lit path", "dog food", "a car wash", "sun cream"]
)
def test_a_word_inside_another_name_stays(phrase: str) -> None:
    assert texts(phrase) == [phrase]


@pytest.mark.parametrize("phrase", ["a hot dog", "a fire hydrant", "a teddy bear", "a red panda", "a full moon"])
def test_a_longer_name_hides_the_shorter_entry(phrase: str) -> None:
    keys = {variant.key for variant in BUILT_IN.variants(phrase)} - {None}
    assert keys == {phrase.removeprefix("a ")}


def test_an_empty_entry_hides_shorter_ones_and_gives_nothing() -> None:
    mine = Expansions({**EVERYDAY, "hot dog": ()})
    assert texts("a hot dog", entries=mine) == ["a hot dog"]


# words that mean the same


def test_a_word_that_means_the_same_asks_for_the_entry_the_others_and_less_surely_for_kinds() -> None:
    mine = Expansions(parse("dog: [=hound, '=four-legged friend': 0.8, puppy, mutt: 0.5]", "words.yaml"))
    assert mine.variants("two hounds") == (
        Variant("two hounds"),
        Variant("two dogs", 0.9, "hound"),
        Variant("two puppies", pytest.approx(FURTHER * 0.9), "hound"),
        Variant("two four-legged friends", 0.8, "hound"),
        Variant("two mutts", pytest.approx(FURTHER * 0.5), "hound"),
    )
    assert texts("a puppy", entries=mine) == ["a puppy"]
    assert texts("a dog", entries=mine) == ["a dog", "a hound", "a puppy", "a four-legged friend", "a mutt"]
    assert "hound" not in mine.entries


def test_an_entry_of_its_own_goes_before_what_follows(tmp_path: Path) -> None:
    mine = Expansions(parse("dog: [=hound, puppy]\nhound: [beagle]", "words.yaml"))
    assert texts("a hound", entries=mine) == ["a hound", "a beagle"]
    (tmp_path / "mine.yaml").write_text("astronaut: [moonwalker]\nfrock: []\nflat: [=condo]\n")
    persons = load(tmp_path / "mine.yaml")
    assert texts("a cosmonaut", entries=persons) == ["a cosmonaut"]
    assert texts("a frock", entries=persons) == ["a frock"]
    assert texts("a gown", entries=persons) == ["a gown", "a dress", "a frock", "an evening dress"]
    assert texts("a condo", entries=persons) == ["a condo", "a flat"]


def test_words_that_mean_the_same_are_many_and_lead_both_ways() -> None:
    pairs = [(key, other.text) for key, entry in BUILT_IN.entries.items() for other in entry if other.same]
    assert len(pairs) >= 300
    for key, text in pairs:
        assert key in [other.text for other in BUILT_IN.every[text]], (key, text)


@pytest.mark.parametrize("kind", sorted({o.text for e in BUILT_IN.entries.values() for o in e if not o.same})[::7])
def test_a_kind_never_asks_for_what_it_is_a_kind_of(kind: str) -> None:
    wider = {key for key, entry in BUILT_IN.entries.items() if kind in [o.text for o in entry if not o.same]}
    own = {other.text for other in BUILT_IN.entries.get(kind, ())}
    assert not (wider - own) & {other.text for other in BUILT_IN.every.get(kind, ())}


PHRASES = st.lists(
    st.sampled_from([*sorted(BUILT_IN.entries)[::9], "a", "the", "dogs", "on", "and", "red", ",", "photo of", "Beach"]),
    max_size=7,
).map(" ".join)


@given(PHRASES, st.integers(1, 25))
def test_variants_are_few_different_ordered_and_repeatable(phrase: str, limit: int) -> None:
    found = BUILT_IN.variants(phrase, limit)
    assert found == Expansions(BUILT_IN.entries).variants(phrase, limit)
    assert found[0] == Variant(phrase)
    assert 1 <= len(found) <= limit
    assert len({variant.text.casefold() for variant in found}) == len(found)
    weights = [variant.weight for variant in found if variant.key is None or " + " not in variant.key]
    assert weights == sorted(weights, reverse=True)
    assert all(variant.weight < 1 and variant.key for variant in found[1:])
    assert found == BUILT_IN.variants(phrase, 1000)[:limit]


@given(st.text(max_size=50))
def test_any_text_has_itself_as_a_variant(text: str) -> None:
    assert BUILT_IN.variants(text)[0].text == text


def test_a_long_text_is_expanded_in_its_first_places_only() -> None:
    found = BUILT_IN.variants("a dog on a beach " * 110, 2_000)
    assert len({variant.text for variant in found}) == len(found) < 500
    assert all("a dog on a beach a dog on a beach" in variant.text for variant in found)


def test_at_least_the_phrase_is_asked_for() -> None:
    with pytest.raises(UsageError, match="0 was asked for"):
        BUILT_IN.variants("a dog", 0)


# English


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("dog", "dogs"),
        ("puppy", "puppies"),
        ("box", "boxes"),
        ("church", "churches"),
        ("toy", "toys"),
        ("lens", "lenses"),
        ("policeman", "policemen"),
        ("person in a space suit", "people in a space suit"),
        ("sheep", "sheep"),
        ("woods", "woods"),
        ("band of stars", "bands of stars"),
        ("bride and groom", "bride and groom"),
        ("sun going down", "sun going down"),
        ("glass", "glasses"),
        ("grey wolf", "grey wolves"),
        ("bus", "buses"),
    ],
)
def test_plural(one: str, many: str) -> None:
    assert plural(one) == many
    assert plural(many) == many or one in ("glass",)


def test_article() -> None:
    assert with_article("a", "ocean") == "an ocean"
    assert with_article("An", "puppy") == "A puppy"
    assert with_article("a", "university") == "a university"
    assert with_article("an", "hour glass") == "an hour glass"
    assert with_article("a", "flames") == "flames"
    assert with_article("the", "flames") == "the flames"
    assert with_article("the", "our planet") == "our planet"


# a person's own file


def test_a_persons_file_adds_replaces_and_takes_away(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("Dog: [Dachshund, 1984: 0.5]\ncat:\nbeach: []\nour   office: [Baker Street]\noff: [switch]\n")
    mine = load(file)
    assert mine.entries["dog"] == (Other("Dachshund", 0.9), Other("1984", 0.5))
    assert texts("a cat", entries=mine) == ["a cat"]
    assert texts("a beach", entries=mine) == ["a beach"]
    assert texts("Our Office", entries=mine) == ["Our Office", "Baker Street"]
    assert mine.entries["sea"] == BUILT_IN.entries["sea"]
    assert "dog" in BUILT_IN.entries
    assert load() is BUILT_IN


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("# nothing yet\n")
    assert load(tmp_path / "mine.yaml").entries == BUILT_IN.entries


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("dog: puppy", 1, "must have a list"),
        ("a: [b]\ndog: {puppy: 1}", 2, "must have a list"),
        ("- dog", 1, "must be a mapping"),
        ("dog", 1, "must be a mapping"),
        ("dog: [puppy, puppy]", 1, "lists 'puppy' twice"),
        ("dog:\n  - puppy\n  - Dog", 3, "lists itself"),
        ("dog: [hound]\ncat: [kitten]\nDOG: [mutt]", 3, "stands on line 1 too"),
        ("dog: [puppy: 1]", 1, "the weight 1 of 'puppy'"),
        ("dog: [puppy: 0]", 1, "the weight 0 of 'puppy'"),
        ("dog: [puppy: heavy]", 1, "the weight heavy of 'puppy'"),
        ("dog: [puppy: nan]", 1, "the weight nan of 'puppy'"),
        ("dog: [puppy: [1]]", 1, "the weight a list or mapping"),
        ("dog: ['']", 1, "must list phrases"),
        ("dog: [~]", 1, "must list phrases"),
        ("dog: [[puppy]]", 1, "must list phrases"),
        ("dog: [{a: 0.1, b: 0.2}]", 1, "must list phrases"),
        (f"dog: [{'x' * 101}]", 1, "at most 100 characters"),
        ("'': [a]", 1, "begins with a phrase"),
        ("[a, b]: [a]", 1, "begins with a phrase"),
        ("~: [a]", 1, "begins with a phrase"),
        (f"dog: [{', '.join('abcdefghij')}]", 1, "has 10 variants, and 9 are allowed"),
        ("a: [b]\ndog: [", 3, "not valid YAML"),
        ("dog: [=puppy, puppy]", 1, "lists 'puppy' twice"),
        ("dog:\n  - hound\n  - =Dog", 3, "lists itself"),
        ("dog: [=hound]\nfox: [red fox, =Hound]", 2, "=Hound stands on line 1 too"),
        ("dog: ['=']", 1, "must list phrases"),
        ("dog: [==hound]", 1, "must list phrases"),
        ("dog: [=hound: 2]", 1, "the weight 2 of '=hound'"),
        ("=dog: [hound]", 1, "= stands before words in a list"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(VocabularyError, match=f"^mine.yaml:{line}: ") as caught:
        parse(text + "\n", "mine.yaml")
    assert message in str(caught.value)


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(VocabularyError) as caught:
        parse("dog: puppy\ncat: [cat]\n", "mine.yaml")
    assert len(str(caught.value).splitlines()) == 2


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VocabularyError, match="cannot be read: No such file"):
        read(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"dog: [puppy]\ncaf\xe9: [bar]\n")
    with pytest.raises(VocabularyError, match=r"latin.yaml:2: byte 16 is not UTF-8"):
        read(tmp_path / "latin.yaml")
    (tmp_path / "big.yaml").write_bytes(b"#" * 2_000_001)
    with pytest.raises(VocabularyError, match="larger than 2,000,000 bytes"):
        read(tmp_path / "big.yaml")


def test_importing_it_reads_nothing() -> None:
    program = "import sys, sextant.expansion; assert 'yaml' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_file_lies_beside_the_module() -> None:
    assert expansion.BUILT_IN.is_file()


def test_the_variants_on_the_page_are_what_is_made() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "query-language.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (a photo of .*?) \| ([\d.]+) \| (.*) \|$", page, re.MULTILINE)
    made = {(one.text, f"{one.weight:.3g}", one.key) for one in BUILT_IN.variants("a photo of a dog at golden hour")}
    assert len(rows) == 5
    assert set(rows) <= made


def test_the_plain_reading_of_the_built_in_entries_is_that_of_yaml() -> None:
    found, read_by_yaml = plain.entries(expansion.BUILT_IN.read_text(encoding="utf-8")), read(expansion.BUILT_IN)
    assert found == read_by_yaml
    assert list(found) == list(read_by_yaml)


@given(st.text(alphabet="ab= :,.[]#'\"-&0189\n?null", max_size=60))
def test_plain_reading_says_what_yaml_says_or_nothing(text: str) -> None:
    found = plain.entries(text)
    try:
        read_by_yaml = parse(text, "words.yaml")
    except VocabularyError:
        return
    assert found is None or found == read_by_yaml


@pytest.mark.parametrize(
    "text",
    ["dog: puppy", "dog: []", "dog: [puppy", "dog: [mutt: 0.0]", "dog: ['puppy']", "dog: [a]\ndog: [b]", "null: [a]"],
)
def test_what_is_not_plain_is_left_to_yaml(text: str) -> None:
    assert plain.entries(text) is None
