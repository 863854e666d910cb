"""What a curation is asked for and what it answers: plain values that travel, and become JSON."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

from sextant.curate.gates import Gates, Refusal
from sextant.curate.scores import Orientation, Part, checked, keywords
from sextant.curate.second import SecondLook
from sextant.errors import UsageError
from sextant.types import Skipped
from sextant.vlm import Verdict

LONGEST = 2000
LONGEST_NAME = 60
REFUSALS_KEPT = 60


@dataclass(frozen=True, slots=True)
class Options:
    """How to choose. `also` are other ways to say the query, `negatives` what it must not resemble more.

    `limit` pictures are shown; at most `candidates` are taken from a search provider. `weights` change the shares of
    the parts of a score. `fold` puts near-duplicates under their best. `second` asks a model about those that lead.
    `diversity` says, from 0 to 1, how much the pictures of an automatic choice are to differ.
    """

    also: Sequence[str] = ()
    negatives: Sequence[str] = ()
    limit: int = 24
    candidates: int = 100
    orientation: Orientation | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    gates: Gates = field(default_factory=Gates)
    fold: bool = True
    diversity: float = 0.3
    second: SecondLook | None = None
    name: str | None = None
    sheet: Path | None = None

    def __post_init__(self) -> None:
        if self.limit < 1 or self.candidates < 1:
            raise UsageError("at least one picture is to be shown, of at least one candidate")
        if self.orientation is not None and self.orientation not in get_args(Orientation):
            raise UsageError(f"an orientation is {', '.join(get_args(Orientation))}, not '{self.orientation}'")
        if not 0 <= self.diversity <= 1:
            raise UsageError(f"diversity is a number from 0 to 1, not {self.diversity}")
        checked(self.weights)

    def phrases(self, query: str) -> tuple[str, ...]:
        """The query and the other ways to say it, checked. Raises `UsageError`."""
        found = tuple(dict.fromkeys(phrase.strip() for phrase in (query, *self.also)))
        for phrase in (*found, *self.negatives):
            if not phrase.strip():
                raise UsageError("say what to look for: a phrase is empty")
            if len(phrase) > LONGEST:
                raise UsageError(f"a phrase has {len(phrase)} characters; an encoder reads a sentence, not a book")
        for negative in self.negatives:
            if negative.strip().casefold() in {phrase.casefold() for phrase in found}:
                raise UsageError(f"'{negative}' is asked for and ruled out at once")
        return found

    def warnings(self, query: str) -> list[str]:
        """What is probably not meant."""
        wanted = set(keywords(query))
        return [
            f"the negative '{negative}' holds every word of the query: it also counts against what is wanted"
            for negative in self.negatives
            if wanted and wanted <= set(keywords(negative))
        ]


@dataclass(frozen=True, slots=True)
class Alike:
    """A near-duplicate that is folded under a better one."""

    image: str
    where: str
    similarity: float
    score: float


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture of the answer. `where` is its URL or path, `path` its place in the collection if it has one.

    `score` is the sum of the points of `parts`. `margin` is the cosine of the best phrase less that of the best
    negative, or without negatives less what phrases that mean nothing hardly ever get. `verdict` is a model's, or
    `remark` says why there is none.
    """

    rank: int
    image: str
    where: str
    path: str | None
    title: str
    page: str
    licence: str | None
    fetched_at: str | None
    width: int
    height: int
    score: float
    parts: tuple[Part, ...]
    margin: float
    matched: str
    confidence: float
    verdict: Verdict | None = None
    remark: str = ""
    alike: tuple[Alike, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A candidate that broke rules, and which."""

    image: str
    where: str
    title: str
    score: float
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a model was asked and what that took. `money` is None where no prices were given."""

    model: str
    asked: int
    answered: int
    cached: int
    calls: int
    tokens: tuple[int, int]
    money: float | None


@dataclass(frozen=True, slots=True)
class Curation:
    """The answer: what was shown, best first, what was refused, and what could not be read or fetched at all.

    `state` says what the confidences are worth. `diverse` are the ranks in the order in which an automatic choice
    takes them, `more` is how many passed the gates below what is shown. `number` is for keeping picks.
    """

    number: int
    name: str
    query: str
    state: str
    candidates: int
    more: int
    shown: tuple[Shown, ...]
    refused: tuple[Refused, ...]
    skipped: tuple[Skipped, ...]
    diverse: tuple[int, ...]
    notes: tuple[str, ...]
    usage: Usage | None
    seconds: float
    sheet: str | None = None


@dataclass(frozen=True, slots=True)
class Pick:
    """A picture that was kept, and where it lies now."""

    rank: int
    image: str
    path: str
    url: str
    licence: str | None
    score: float


@dataclass(frozen=True, slots=True)
class Kept:
    """What `keep` did. `skipped` could not be had any more."""

    curation: int
    name: str
    picks: tuple[Pick, ...]
    skipped: tuple[Skipped, ...]


def slug(text: str) -> str:
    """A folder's name made of a phrase: lower case, letters and digits, hyphens between."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    words = re.findall(r"[^\W_]+", plain)
    articles = {"a", "an", "the"}
    kept = "-".join(w for w in words if w not in articles) or "-".join(words) or "picks"
    return kept.encode()[:LONGEST_NAME].decode(errors="ignore").rstrip("-") or "picks"


def row_of(shown: Shown) -> dict[str, Any]:
    """What the catalog keeps of a picture that was shown."""
    names = ["rank", "image", "where", "path", "title", "page", "licence", "fetched_at", "score", "matched"]
    row = {name: getattr(shown, name) for name in (*names, "width", "height", "margin", "confidence", "remark")}
    alike = [asdict(one) for one in shown.alike]
    verdict = asdict(shown.verdict) if shown.verdict else None
    return {**row, "parts": [asdict(part) for part in shown.parts], "alike": alike, "verdict": verdict}


def refusals_of(refused: Sequence[Refused]) -> dict[str, Any]:
    """What the catalog keeps of what was refused: how many for each rule, and the best of them with their reasons."""
    rules = Counter(refusal.rule for one in refused for refusal in one.refusals)
    first = [
        {"image": r.image, "where": r.where, "title": r.title, "reasons": [refusal.reason for refusal in r.refusals]}
        for r in refused[:REFUSALS_KEPT]
    ]
    return {"count": len(refused), "rules": dict(rules.most_common()), "first": first}
