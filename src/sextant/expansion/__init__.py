"""A phrase becomes several that ask for the same: `a dog at golden hour` also as `a puppy at golden hour`.

    golden hour: [warm evening light, low golden sunlight]      0.9 each
    dog: [puppy, hound, mutt: 0.7]                              a weight of its own
    astronaut: [=cosmonaut, spacewalker]                        a cosmonaut is an astronaut, too
    cat: []                                                     in a person's file: takes the entry away

An entry says the same thing otherwise, or names kinds of it, and never widens. What is put in another's place is put
there in its number and with its article. It knows nothing about encoders, and scores nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain, combinations
from pathlib import Path

from sextant.errors import UsageError
from sextant.expansion import plain
from sextant.expansion.entries import Entry, turned
from sextant.expansion.inflection import plural, with_article

__all__ = ["Expansions", "Variant", "load"]

WORD = re.compile(r"\w+(?:['’&/.-]\w+)*")
MOST_PLACES = 8
BUILT_IN = Path(__file__).with_name("expansions.yaml")

# A single word is replaced only where it ends a noun phrase: `a fire on a hill`, not `a fire hydrant`.
_ENDS = frozenset(
    WORD.findall(
        "above across after against along and are around as at before behind below beneath beside between but by down "
        "during for from full has have holding image images in inside into is it like near next of off on onto or out "
        "outside over photo photograph photos picture pictures plus scene shot showing that through to toward "
        "towards under up view was were wearing which while who with without"
    )
)


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to say a search: its words, their weight (1 for the search itself), and the entry that made it."""

    text: str
    weight: float = 1.0
    key: str | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an entry's phrase stands in a text: its article too, where it has one."""

    begin: int
    end: int
    key: str
    article: str
    many: bool


@dataclass(frozen=True)
class Expansions:
    """Entries, as they are written: a phrase in lower case, and its other words with their weights, best first."""

    entries: Mapping[str, Entry]

    @cached_property
    def every(self) -> Mapping[str, Entry]:
        """The entries, and those that follow for words that mean the same as an entry's phrase."""
        return turned(self.entries)

    @cached_property
    def words(self) -> frozenset[str]:
        """Every word of every entry, in lower case: words that are certainly spelt as meant."""
        texts = (text for key, entry in self.entries.items() for text in (key, *(other.text for other in entry)))
        return frozenset(word.lower() for text in texts for word in WORD.findall(text))

    def variants(self, phrase: str, limit: int = 10) -> tuple[Variant, ...]:
        """The phrase itself, then what else it could be called, at most `limit` in all and none twice.

        Every entry found in the phrase is used, the longer before the shorter; the heavier variants come first, those
        of several entries by turns, and two entries at once come last, their weights multiplied.

        Raises:
            UsageError: for a limit below 1.
        """
        if limit < 1:
            raise UsageError(f"at least one variant is needed, the phrase itself: {limit} was asked for")
        found = {phrase.casefold(): Variant(phrase)}
        places = self._places(phrase)
        for variant in chain(self._single(phrase, places), self._double(phrase, places)):
            if len(found) >= limit:
                break
            found.setdefault(variant.text.casefold(), variant)
        return tuple(found.values())

    def _single(self, phrase: str, places: list[_Place]) -> list[Variant]:
        ranked = [
            (-weight, rank, turn, Variant(_replaced(phrase, [(place, text)]), weight, place.key))
            for turn, place in enumerate(places)
            for rank, (text, weight, _) in enumerate(self.every[place.key])
        ]
        return [variant for *_, variant in sorted(ranked, key=lambda row: row[:3])]

    def _double(self, phrase: str, places: list[_Place]) -> Iterator[Variant]:
        pairs = [
            (-one_weight * other_weight, rank + other_rank, (one, text), (other, other_text))
            for one, other in combinations(places, 2)
            for rank, (text, one_weight, _) in enumerate(self.every[one.key])
            for other_rank, (other_text, other_weight, _) in enumerate(self.every[other.key])
        ]
        for weight, _, one, other in sorted(pairs, key=lambda row: row[:2]):
            keys = " + ".join(place.key for place, _ in sorted((one, other), key=lambda row: row[0].begin))
            yield Variant(_replaced(phrase, [one, other]), -weight, keys)

    def _places(self, phrase: str) -> list[_Place]:
        """Where entries stand in the phrase without overlap: the longest first, then from left to right."""
        words = list(WORD.finditer(phrase))
        found: list[_Place] = []
        for length in range(min(self._longest, len(words)), 0, -1):
            for first in range(len(words) - length + 1):
                place = self._place(phrase, words, first, first + length)
                if place and all(place.end <= other.begin or other.end <= place.begin for other in found):
                    found.append(place)
        return [place for place in found if self.every[place.key]][:MOST_PLACES]

    def _place(self, phrase: str, words: list[re.Match[str]], first: int, after: int) -> _Place | None:
        begin, end = words[first].start(), words[after - 1].end()
        known = self._forms.get(" ".join(phrase[begin:end].lower().split()))
        if not known or (after == first + 1 and not _ends_a_noun_phrase(phrase, words, first)):
            return None
        article = words[first - 1] if first and phrase[words[first - 1].end() : begin].isspace() else None
        if article and article[0].lower() in ("a", "an", "the"):
            return _Place(article.start(), end, known[0], article[0], known[1])
        return _Place(begin, end, known[0], "", known[1])

    @cached_property
    def _forms(self) -> dict[str, tuple[str, bool]]:
        """Every form in which an entry may stand in a phrase: its key, and whether the form is its plural."""
        forms = {plural(key): (key, True) for key in self.every}
        return forms | {key: (key, False) for key in self.every}

    @cached_property
    def _longest(self) -> int:
        return max((len(WORD.findall(form)) for form in self._forms), default=0)


def load(extra: Path | None = None) -> Expansions:
    """The entries that come with Sextant, with those of a person's file added or put in their place.

    An empty list or nothing behind a phrase takes the entry away.

    Raises:
        VocabularyError: with everything that is wrong with the file, each with its line.
    """
    if extra is None:
        return _built_in()
    from sextant.expansion.reading import read  # brings YAML

    return Expansions({**_built_in().entries, **read(extra)})


@cache
def _built_in() -> Expansions:
    found = plain.entries(BUILT_IN.read_text(encoding="utf-8"))
    if found is None:
        from sextant.expansion.reading import read  # brings YAML

        found = read(BUILT_IN)
    return Expansions(found)


def _ends_a_noun_phrase(phrase: str, words: list[re.Match[str]], place: int) -> bool:
    if place + 1 == len(words) or not phrase[words[place].end() : words[place + 1].start()].isspace():
        return True
    after = words[place + 1][0].lower()
    return after in _ENDS or (len(after) > 4 and after.endswith("ing"))


def _replaced(phrase: str, changes: Iterable[tuple[_Place, str]]) -> str:
    for place, text in sorted(changes, key=lambda change: -change[0].begin):
        words = plural(text) if place.many else text
        words = with_article(place.article, words) if place.article else words
        phrase = phrase[: place.begin] + words + phrase[place.end :]
    return phrase
