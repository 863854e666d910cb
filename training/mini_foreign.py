"""Texts that fit no picture of the demo's world, and phrases that stay true among words nobody knows.

Reads the lists beside it: `absent_words.txt` (a share of its words is never trained, to be measured) and
`absent_held_out.txt` (measured only). Knows nothing about pictures or networks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import mini_words as words
import numpy as np

from sextant.background import background_prompts
from sextant.demo.wording import SENTENCES

Rng = np.random.Generator
FOLDER = Path(__file__).resolve().parent
KEPT_BACK = 7  # one listed word in seven is never trained
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_VOWELS, _CONSONANTS = "aeiouy", "bcdfghjklmnpqrstvwxz"
_ENDINGS = ("s", "es", "ed", "er", "ers", "ing", "ly", "y", "ity", "like", "less")

# {n} a noun, {a} an adjective, {v} a doing; the other words are known and say nothing about the demo's pictures.
_FORMS = (
    "{n}", "{n}", "a {n}", "a {n}", "a {n}", "a {n}", "the {n}", "{n}s", "two {n}s", "three {n}s", "four {n}s",
    "a {a} {n}", "a {a} {n}", "{a} {n}s", "the {a} {n}", "a {c} {n}", "a big {c} {n}", "a small {n}", "an old {n}",
    "a {n} and a {n}", "a {n} on a table", "a {n} on a {n}", "a {n} in a {n}", "a {n} of {n}s", "a {n} with a {n}",
    "a {n} next to a {n}", "a {n} {n}", "the {n} of a {n}", "a {n} for a {n}", "a {v} {n}", "{v}", "{v} a {n}",
    "{v} {n}s", "somebody {v} a {n}", "a dog {v}", "a {a} cat", "a pair of {n}s", "a piece of {n}", "a lot of {n}s",
    "{a}", "{a} and {a}", "something {a}", "a {n} at the {p}", "a {c} {n} at the {p}", "a {n} made of {n}",
)  # fmt: skip
_COLOURS = ("white", "black", "silver", "gold", "red", "blue", "green", "orange", "yellow", "grey")
_PLACES = ("left", "right", "top", "bottom", "upper left", "lower right", "centre")
_MEDIA = (
    "a drawing of {}", "an illustration of {}", "a flat drawing of {}", "a blurred photo of {}", "a diagram of {}",
    "a black and white photo of {}", "a very dark photo of {}", "a blurred picture of {}", "a map of {}",
    "artwork of {}", "a camera picture of {}", "a technical drawing of {}", "a selfie with {}",
    "a view of {} from above",
)  # fmt: skip


@lru_cache(maxsize=1)
def sections() -> dict[str, tuple[str, ...]]:
    """The lists of absent_words.txt by their headings."""
    text = re.sub(r"(?m)^#.*$", "", (FOLDER / "absent_words.txt").read_text(encoding="utf-8"))
    parts = re.split(r"\[(\w+)\]", text)[1:]
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    compounds = tuple(" ".join(entry.split()) for entry in found.pop("compounds").split(";"))
    return {**{name: tuple(body.split()) for name, body in found.items()}, "compounds": compounds}


def held_out() -> tuple[str, ...]:
    """The nouns for measuring alone."""
    text = (FOLDER / "absent_held_out.txt").read_text(encoding="utf-8")
    return tuple(re.sub(r"(?m)^#.*$", "", text).split())


def is_trained(word: str) -> bool:
    """Whether a listed word may be trained: the same answer on every machine."""
    return hashlib.blake2b(word.encode(), digest_size=4).digest()[0] % KEPT_BACK != 0


def trained(section: str) -> tuple[str, ...]:
    """The words of a list that may be trained; the others are measured."""
    return _split(section)[0]


def never_trained(section: str) -> tuple[str, ...]:
    """The words of a list that are kept back."""
    return _split(section)[1]


@lru_cache(maxsize=8)
def _split(section: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    all_ = sections()[section]
    return tuple(w for w in all_ if is_trained(w)), tuple(w for w in all_ if not is_trained(w))


@lru_cache(maxsize=1)
def _measured() -> frozenset[str]:
    """Background prompts without article and template: never a training text."""
    return frozenset(bare(prompt) for prompt in background_prompts())


def bare(text: str) -> str:
    """A prompt without "a photo of" and its article."""
    return re.sub(r"^(a photo of )?(an? |the )?", "", text)


@lru_cache(maxsize=1)
def _known_absent() -> tuple[str, ...]:
    """The foreign things that the tokenizer knows whole, less those that stand in a background prompt."""
    background = set(re.findall(r"[a-z]+", " ".join(_measured())))
    return tuple(word for word in words.ABSENT if word not in background and f"{word}s" not in background)


def one(choices: Sequence[str], rng: Rng) -> str:
    """Any of them."""
    return choices[int(rng.integers(len(choices)))]


def invented(rng: Rng, known: Sequence[str] = ()) -> str:
    """A word that nobody knows: letters, syllables, or the beginning that a known word gives with another end.

    The last sort is for words as "cabinet" or "airport", whose first piece the tokenizer takes for a known word.
    """
    kind = rng.random()
    if kind < 0.3:
        return "".join(one(_LETTERS, rng) for _ in range(int(rng.integers(3, 11))))
    syllables = "".join(
        one(_CONSONANTS, rng) + one(_VOWELS, rng) + (one(_CONSONANTS, rng) if rng.random() < 0.4 else "")
        for _ in range(int(rng.integers(1, 4)))
    )
    if kind < 0.65 or not known:
        return syllables if len(syllables) > 2 else syllables + one(_CONSONANTS, rng)
    made = one(known, rng) + (syllables if rng.random() < 0.5 else one(trained("nouns"), rng)[:6])
    return made if not any(made.endswith(end) for end in _ENDINGS) else made + one("dkmt", rng)


class Foreign:
    """Draws texts. `known` are the words that the tokenizer has whole."""

    def __init__(self, known: Sequence[str]) -> None:
        self.known = tuple(word for word in known if word.isalpha() and len(word) > 2)

    def noun(self, rng: Rng) -> str:
        """A thing that the demo never draws, listed or invented."""
        kind = rng.random()
        if kind < 0.6:
            return one(trained("nouns"), rng)
        if kind < 0.72:
            return one(_known_absent(), rng)
        return invented(rng, self.known)

    def absent(self, rng: Rng) -> str:
        """A prompt that is false for every picture; never one of the background prompts."""
        while True:
            text = one(trained("compounds"), rng) if rng.random() < 0.15 else self._formed(rng)
            if bare(text) not in _measured():
                return self._told(text, rng)

    def _formed(self, rng: Rng) -> str:
        draws: dict[str, Callable[[], str]] = {
            "{n}": lambda: self.noun(rng),
            "{a}": lambda: one(trained("adjectives"), rng) if rng.random() < 0.8 else invented(rng),
            "{v}": lambda: one(trained("verbs"), rng),
            "{c}": lambda: one(_COLOURS, rng),
            "{p}": lambda: one(_PLACES, rng),
        }
        text = one(_FORMS, rng)
        for mark, draw in draws.items():
            while mark in text:
                text = text.replace(mark, draw(), 1)
        return re.sub(r"\b(a) (?=[aeio])", "an ", text)

    def _told(self, text: str, rng: Rng) -> str:
        kind = rng.random()
        if kind < 0.25:
            return text
        if kind < 0.5:
            return f"a photo of {text}"
        if kind < 0.7:
            return one(words.TEMPLATES, rng).format(text)
        if kind < 0.8:
            return one(SENTENCES, rng).format(text)
        if kind < 0.9:
            return one(_MEDIA, rng).format(text)
        return f"{text} {self.chatter(rng)}" if rng.random() < 0.5 else f"{self.chatter(rng)} {text}"

    def chatter(self, rng: Rng, fillers: float = 0.3) -> str:
        """One to four words that mean nothing here."""
        return " ".join(self._aside(rng, fillers) for _ in range(int(rng.integers(1, 5))))

    def _aside(self, rng: Rng, fillers: float) -> str:
        if rng.random() < fillers:
            return one(words.FILLERS, rng)
        kind = rng.random()
        if kind < 0.45:
            return invented(rng)
        return one(trained(("adjectives", "verbs", "nouns")[int(kind * 100) % 3]), rng)

    def beside(self, phrase: str, rng: Rng, medium: bool) -> str:
        """A phrase of the demo among unknown words, which leave its truth alone.

        Behind a medium ("a photo") no filler stands: "a photo of" an unknown thing is no photo of this world.
        """
        kind = rng.random()
        if kind < 0.3:
            return self._described(phrase, rng)
        before = f"{self.chatter(rng)} " if rng.random() < 0.7 else ""
        after = f" {self.chatter(rng, 0.0 if medium else 0.3)}" if rng.random() < 0.6 else ""
        return f"{before}{phrase}{after}"

    def _described(self, phrase: str, rng: Rng) -> str:
        """An unknown word behind the article, or before the phrase: "a majestic rocket"."""
        aside = one(trained("adjectives"), rng) if rng.random() < 0.6 else invented(rng)
        return re.sub(r"^((?:an?|the) )?", lambda found: f"{found[1] or ''}{aside} ", phrase, count=1)


def several(phrase: str) -> str:
    """A phrase of one noun in the plural, any other as it is: to the tokenizer, "rockets" is an unknown word."""
    noun = re.fullmatch(r"(?:an?|the) (\w+[^s\W])", phrase)
    return phrase if noun is None else noun[1] + ("es" if noun[1].endswith(("ch", "sh", "x")) else "s")
