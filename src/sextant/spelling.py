"""A search that may be misspelt becomes the one that was probably meant, to be suggested and never to be assumed.

A word is taken as meant where it is known here, is English, begins with a capital, has a digit, or is shorter than four
letters. Any other is compared with the words at one step from it (a letter more, less or other, or two swapped); known
ones before those that are merely English, and these only where they are common. The English words are the list that
comes with pyspellchecker: it is read when the first word that is not known asks for it, and its counts are taken apart
when the first word that is no English one does. This module knows no vocabulary.
"""

from __future__ import annotations

import gzip
import json
import re
import unicodedata
from collections.abc import Collection, Iterator
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

SHORTEST = 4
SHORTEST_FAR = 7  # letters from which a known word may be two steps away
LONGEST = 40  # a longer word is no word
COMMON, COMMON_LONG = 1e-6, 5e-8  # how often an English word must be used to be suggested, the lesser for long words

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_TOKEN = re.compile(r"\S+")
_MARKS = ".,;:!?()[]\"'’“”"
_BRITISH = (
    *((r"our", "or"), (r"([bt])re(s?)$", r"\1er\2"), (r"is(e[sd]?|ing|ations?)$", r"iz\1"), (r"ys(e[sd]?)$", r"yz\1")),
    *((r"ll(ed|ing|ers?|ery)$", r"l\1"), (r"ae|oe", "e"), (r"ogue(s?)$", r"og\1"), (r"ence(s?)$", r"ense\1")),
    *(
        (r"grey", "gray"),
        (r"woollen", "woolen"),
        (r"plough", "plow"),
        (r"tyre", "tire"),
        (r"mould", "mold"),
        (r"mme(s?)$", r"m\1"),
    ),
    *((r"draught", "draft"), (r"pyjama", "pajama"), (r"aluminium", "aluminum"), (r"l(ful)?$", r"ll\1")),
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def suggestion(text: str, known: Collection[str]) -> str | None:
    """The text with the words that are probably misspelt put right; None where all seem to be meant.

    `known` are words or phrases that are spelt as meant: those of the columns, the tags and the expansions. A text of
    which more than half of the words are unknown is taken to be in another language, and left alone.
    """
    words, joined = _forms(frozenset(known))
    spans = list(_spans(text))
    unknown = [(begin, end) for begin, end in spans if not _is_known(_plain(text[begin:end]), words)]
    if len(unknown) > max(1, len(spans) // 2):
        return None
    corrected = text
    for begin, end in reversed(unknown):
        meant = _meant(_plain(text[begin:end]), words, joined) if SHORTEST <= end - begin <= LONGEST else None
        if meant:
            corrected = corrected[:begin] + meant + corrected[end:]
    return corrected if corrected != text else None


@lru_cache(maxsize=4)
def _forms(known: frozenset[str]) -> tuple[frozenset[str], dict[str, str]]:
    """The words of known phrases, and the phrases of two words by how they look when the space is forgotten."""
    words = frozenset(word for phrase in known for word in _WORD.findall(phrase.lower()))
    pairs = [phrase.lower() for phrase in known if phrase.count(" ") == 1]
    return words, {pair.replace(" ", ""): pair for pair in sorted(pairs)}


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where words stand that are written in small letters and have no digits, dashes or slashes beside them."""
    for token in _TOKEN.finditer(text):
        word = token[0].strip(_MARKS)
        if word.islower() and _WORD.fullmatch(word):
            begin = token.start() + token[0].index(word)
            yield begin, begin + len(word)


def _is_known(word: str, words: frozenset[str]) -> bool:
    if not word.isascii():
        return True
    forms = (word, word + "s", word.removesuffix("'s"), word.removesuffix("s"), word.removesuffix("es"))
    if any(form in words for form in forms):
        return True
    return any(_is_english(form) for form in dict.fromkeys((*forms, *sorted(_american(word)))))


def _american(word: str) -> set[str]:
    """A British spelling as the American one that the English words are in: colour, theatre, grey and travelled."""
    found = {word}
    for british, american in _BRITISH:
        found |= {re.sub(british, american, one) for one in found}
    return found


def _meant(word: str, words: frozenset[str], joined: dict[str, str]) -> str | None:
    if word in joined:
        return joined[word]
    near = _one_step(word)
    here = near & words
    if here:
        return min(here, key=lambda one: _rank(word, one))
    least = COMMON_LONG if len(word) >= SHORTEST_FAR else COMMON
    common = [one for one in near if len(one) >= SHORTEST and _frequency(one) >= least]
    if len(word) > SHORTEST and common:
        return min(common, key=lambda one: _rank(word, one))
    far = [one for one in words if len(word) >= SHORTEST_FAR and _may_be_two_steps(word, one)]
    return min((one for one in far if near & _one_step(one)), key=lambda one: _rank(word, one), default=None)


def _rank(word: str, candidate: str) -> tuple[bool, float, str]:
    """Which of several words was meant: the same first letter, then the more common; the alphabet last."""
    return candidate[0] != word[0], -_frequency(candidate), candidate


def _may_be_two_steps(word: str, candidate: str) -> bool:
    return candidate[0] == word[0] and abs(len(candidate) - len(word)) <= 2 and len(set(candidate) ^ set(word)) <= 4


def _one_step(word: str) -> set[str]:
    """Every string one letter more or less, other (not in short words), swapped with its neighbour, or heard alike."""
    halves = [(word[:place], word[place:]) for place in range(len(word) + 1)]
    deleted = {left + right[1:] for left, right in halves if right}
    swapped = {left + right[1] + right[0] + right[2:] for left, right in halves if len(right) > 1}
    replaced = {left + letter + right[1:] for left, right in halves if right for letter in _LETTERS}
    inserted = {left + letter + right for left, right in halves for letter in _LETTERS}
    heard = {word.replace("f", "ph"), word.replace("ph", "f")}
    return deleted | swapped | inserted | heard | (replaced if len(word) > SHORTEST else set())


def _plain(word: str) -> str:
    """The word in small letters without accents: `façade` is `facade`."""
    letters = unicodedata.normalize("NFKD", word.lower().replace("’", "'"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


@lru_cache(maxsize=4096)
def _is_english(word: str) -> bool:
    """Whether a word of ASCII letters is in the list, which is looked through as it lies: taking it apart is slower."""
    return not _listed() or f'\n"{word}":'.encode() in _listed()


def _frequency(word: str) -> float:
    """How often a word is used among all English words; 0 for one that is none."""
    counts, total = _counts()
    return counts.get(word, 0) / total


@cache
def _listed() -> bytes:
    """The English words with their counts as pyspellchecker has them: JSON in small letters, a word a line.

    Nothing where another release keeps them elsewhere: then every word is taken as meant.
    """
    found = find_spec("spellchecker")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named 'spellchecker'", name="spellchecker")
    kept = Path(found.origin).with_name("resources") / "en.json.gz"
    return gzip.decompress(kept.read_bytes()).lower() if kept.is_file() else b""


@cache
def _counts() -> tuple[dict[str, int], int]:
    """How often each English word was counted, and all of them together."""
    counts: dict[str, int] = json.loads(_listed())
    return counts, sum(counts.values())
