"""English number and article, as far as putting one phrase in another's place needs them. It knows no entries."""

from __future__ import annotations

import re

_IRREGULAR = {
    **{"child": "children", "person": "people", "foot": "feet", "mouse": "mice", "goose": "geese", "tooth": "teeth"},
    **{"wolf": "wolves", "leaf": "leaves", "loaf": "loaves", "calf": "calves", "shelf": "shelves", "knife": "knives"},
    **{"fungus": "fungi", "cactus": "cacti", "hero": "heroes", "tomato": "tomatoes", "potato": "potatoes"},
}
_UNCHANGED = frozenset(
    {"sheep", "fish", "deer", "cattle", "poultry", "swine", "trout", "aircraft", "spacecraft", "people", "foliage"}
    | {"cash", "litter", "garbage", "brickwork", "scaffolding", "fachwerk", "countryside", "wildlife", "water", "light"}
)
_SINGULAR_IN_S = frozenset({"lens", "gas", "canvas", "atlas", "christmas", "bus", "abs", "iris"})
_MEN = re.compile(r"(?:.*[a-z])?man")
_AFTER_HEAD = re.compile(
    r"\s(?:of|in|on|at|with|from|over|under|above|behind|through|by|against|around|into|for|between|before|after|beside"
    r"|across|along|along|near|without)\s"
)
_AN = re.compile(r"(?!uni|use|util|eu|one\b|ufo)[aeiou]|hour|honest|heir", re.IGNORECASE)


def plural(phrase: str) -> str:
    """A noun phrase in the plural; unchanged where it is plural already or where its head is unclear."""
    cut = _AFTER_HEAD.search(phrase)
    head, rest = (phrase[: cut.start()], phrase[cut.start() :]) if cut else (phrase, "")
    *before, last = head.split(" ")
    if "and" in before or any(word.endswith("ing") for word in before[1:]) or _is_plural(last):
        return phrase
    return " ".join([*before, _plural(last)]) + rest


def with_article(article: str, phrase: str) -> str:
    """The phrase behind `a`, `an` or `the`: `a` becomes `an` where it must, and goes before a plural or `our`."""
    if phrase.startswith("our "):
        return phrase
    if article.lower() not in ("a", "an"):
        return f"{article} {phrase}"
    cut = _AFTER_HEAD.search(phrase)
    head = phrase[: cut.start()] if cut else phrase
    last = head.rpartition(" ")[2]
    if _is_plural(last) and last not in _UNCHANGED:
        return phrase
    proper = "an" if _AN.match(phrase) else "a"
    return f"{proper.capitalize() if article[0].isupper() else proper} {phrase}"


def _is_plural(word: str) -> bool:
    if word in _UNCHANGED or word in _IRREGULAR.values() or word.endswith("men"):
        return True
    return word.endswith("s") and not word.endswith(("ss", "us", "is")) and word not in _SINGULAR_IN_S


def _plural(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if _MEN.fullmatch(word) and word not in ("human", "german", "roman"):
        return word[:-2] + "en"
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "z", "ch", "sh")) else "s")
