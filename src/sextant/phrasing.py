"""A search as people type it becomes a Phrasing: what should be seen, what should not, and how much each term weighs.

    a beach at sunset                     one positive term
    a + 0.5:b - 2:c                       two positives, one negative, with weights
    a beach without people or dogs        the same as: a beach - people - dogs
    a wall with "do not enter - ever"     what stands in quotes is taken as it stands

It knows nothing about encoders and scores, and nothing about which pictures there are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NoReturn

from sextant.errors import UsageError

MOST_CHARACTERS = 2_000
MOST_TERMS = 20
MOST_PARTS = 4
LEAST_WEIGHT, MOST_WEIGHT = 0.01, 100.0

WORD = re.compile(r"\w+(?:['’&/.-]\w+)*")

_LITERAL = "\0"  # stands in the mask of a term for every character that was quoted
_SIGNED = r"[+-]?(?:\.?\d|(?:nan|inf)(?=:))[^\s\":]*"
_WEIGHT = re.compile(rf"(?P<number>{_SIGNED}):(?=[^\s\d:])", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
_OPENING = re.compile(rf'(?:{_SIGNED}:)?"', re.IGNORECASE)
_ITEM = re.compile(
    rf"""(?P<gap>[ ]*)(?:(?P<operator>[+-])(?=[ ]|$)
    |(?P<number>{_SIGNED}:)?"(?P<quoted>(?:[^"]|"")*)"
    |(?P<word>[^ ]+))""",
    re.IGNORECASE | re.VERBOSE,
)

# "X without Y" and its kin; set phrases in which nothing is missing from the picture stay as they are.
_WITHOUT = re.compile(
    r"""(?:^|\s*,\s*|\s+)
        (?:(?:and\s+|but\s+|yet\s+)?(?:without|with\s+no|with\s+neither)
         | (?:and|but)\s+(?:no|not(?:\s+with)?)
         | (?:(?<=,)|(?<=,\s))no)
        \s+(?:any\s+)?
        (?!(?:an?\s+|any\s+)?(?:doubt|question|cause|borders?|end|warning|limits?|anything|least|only|forgotten|longer|more)\b)
        (?!to\b|\w+ing\s+signs?\b|(?:entry|exit|access|parking)\s+signs?\b)
        (?=\S)""",
    re.IGNORECASE | re.VERBOSE,
)
# "no people on a beach": one or two words are missing from a place that is named.
_NONE_IN = re.compile(
    r"no\s+(?!(?:one|way|idea|man|more|longer|matter|entry|exit|access)\b)"
    r"(?P<missing>(?:(?!\w*ing\b)\w+)(?:\s+(?!(?:on|in|at)\b)(?!\w*ing\b)\w+)?)"
    r"\s+(?:on|in|at)\s+(?P<place>(?:a|an|the)\s(?!.*\bsigns?\b).+)",
    re.IGNORECASE,
)
_WITH_AGAIN = re.compile(r"(?:\s*,\s*|\s+)(?:and|but)\s+with\s+", re.IGNORECASE)
_AND = re.compile(r"\s*,\s*(?:(?:and|or|nor)\s+)?(?:any\s+)?|\s+(?:and|or|nor)\s+(?:any\s+)?", re.IGNORECASE)
_NOBODY = re.compile(
    r"(?:any|no)?\s?(?:one|body)(?:\s+(?:on|in|at|there|around|else|near)\b.*)?|a\s+(?:living\s+)?soul", re.IGNORECASE
)
_PAIRS = re.compile(
    r"\b(black\s+and\s+white|pen\s+and\s+ink|salt\s+and\s+pepper|rock\s+and\s+roll|fish\s+and\s+chips)\b", re.IGNORECASE
)
_DASHED = re.compile(r"(?:^|\s)-(?=[^\W\d_])")

_ARTICLES = frozenset({"a", "an", "the"})
_SMALL = frozenset(
    WORD.findall(
        "a an the some any this that these those my your his her its our their of is are was were be being it there "
        "and or very one who which just as to"
    )
)
_PICTURE = re.compile(
    r"^((?:(?:a|an|the)\s+)?(?:black[ -]and[ -]white\s+)?)(?:photo|photograph|picture|image|shot|view|snapshot)s?"
    r"\s+(?:of|showing)\s+(?:(?:an?|the)\s+)?",
    re.IGNORECASE,
)
_BETWEEN = re.compile(
    r"\s*[,;]\s*(?:and\s+)?|\s+(?:and|with|wearing|holding|carrying|riding|next\s+to|in\s+front\s+of|on\s+top\s+of|on|in"
    r"|at|inside|beside|near|under|over|above|below|behind|against|through|between|around|beneath|across|along|during"
    r"|by|from|into|onto|plus)\s+",
    re.IGNORECASE,
)
# Words that can be seen on their own, so that "a red car" asks for something red and for a car.
_SEEN = frozenset(
    WORD.findall(
        "red orange yellow green blue purple violet pink brown black white grey gray golden silver turquoise crimson "
        "scarlet beige striped spotted checkered wooden stone brick marble glass metal steel concrete leather rusty "
        "snowy foggy misty rainy sunny cloudy burning broken ruined abandoned flooded frozen wet neon blurred "
        "black-and-white"
    )
)
# Pairs of which the first word does not describe the second: a red panda is not red and a panda.
_NAMES = re.compile(
    r"golden (?:hour|gate|ratio|retriever)|black (?:hole|box|bear|sheep|friday)|brown bear|snowy owl|silver lining"
    r"|red (?:panda|carpet|planet|cross|wine|squirrel)|blue (?:hour|whale|jay|moon|marble)|pink panther|steel drum"
    r"|white (?:house|noise|balance|space|collar|wine)|green (?:house|screen|card)|orange (?:juice|tree)|stone age"
    r"|glass house|wet plate|broken heart",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Term:
    """Words that are encoded together, and how much they count: `weight` from 0.01 to 100."""

    text: str
    weight: float = 1.0

    def __str__(self) -> str:
        """The term as it is typed: in quotes where it would be read as something else."""
        bare = self.text
        if self.weight == 1:
            return bare if _reads_as(bare, self) else _quoted(bare)
        number = f"{self.weight:.0f}" if float(self.weight).is_integer() else repr(float(self.weight))
        return f"{number}:{bare}" if _reads_as(f"{number}:{bare}", self) else f"{number}:{_quoted(bare)}"


@dataclass(frozen=True, slots=True)
class Phrasing:
    """What a search asks for. `remarks` say what may not have been meant; `str` is parsed to the same."""

    positives: tuple[Term, ...]
    negatives: tuple[Term, ...] = ()
    remarks: tuple[str, ...] = field(default=(), compare=False)

    @property
    def words(self) -> tuple[str, ...]:
        """Every word of the positive terms, as typed, each once, in order."""
        return tuple(dict.fromkeys(word for term in self.positives for word in WORD.findall(term.text)))

    @property
    def parts(self) -> tuple[str, ...]:
        """What the only positive term asks for at once; () where there are several terms, or one meaning."""
        return parts(self.positives[0].text) if len(self.positives) == 1 else ()

    def __str__(self) -> str:
        """The search with `+`, `-` and weights, whichever way it was typed."""
        return " - ".join([" + ".join(map(str, self.positives)), *map(str, self.negatives)])


def parse(text: str, negatives: Sequence[str] = ()) -> Phrasing:
    """Read a search, and further negatives, each one term that may begin with a weight.

    Raises:
        UsageError: for a search that is empty, longer than 2,000 characters, of more than 20 terms or of negatives
            only; for a weight that is no number from 0.01 to 100; for a quote that is never closed. It names the place.
    """
    if len(text) > MOST_CHARACTERS:
        raise UsageError(
            f"the query has {len(text)} characters, and {MOST_CHARACTERS:,} are allowed: "
            "an encoder reads a sentence, not a book"
        )
    text = _spaced(text)
    if not text.strip():
        raise UsageError("say what to search for: the query is empty")
    wanted: list[Term] = []
    unwanted: list[Term] = []
    for piece in _pieces(text):
        pleasing, others = ((), (piece.term(),)) if piece.negative else piece.readings()
        wanted += pleasing
        unwanted += others
        if len(wanted) + len(unwanted) > MOST_TERMS:
            _refuse(text, piece.at, f"more than {MOST_TERMS} terms: say it in fewer")
    if not wanted:
        _refuse(text, 0, "this only says what must not be seen: say first what should, as in 'a beach - people'")
    unwanted += [_negative(negative) for negative in negatives]
    if len(wanted) + len(unwanted) > MOST_TERMS:
        raise UsageError(f"the query and its negatives have more than {MOST_TERMS} terms: say it in fewer")
    positives, rest = tuple(dict.fromkeys(wanted)), tuple(dict.fromkeys(unwanted))
    return Phrasing(positives, rest, _remarks(positives, rest))


def parts(text: str) -> tuple[str, ...]:
    """What a phrase asks for at once, at most four pieces: `a red car on a beach` gives red, car, beach.

    The phrase is divided at words such as `and`, `with` and `on`; a colour, a material or a kind of weather is taken
    from its noun, but for names such as `red panda`. () where one piece would be left: it is the phrase itself.
    """
    rest = _PICTURE.sub(r"\1", _spaced(text).strip())
    kept = _PAIRS.sub(lambda pair: "-".join(pair[0].split()), rest)
    chunks = [words for chunk in _BETWEEN.split(kept) if (words := _meaningful(chunk))]
    found = [[" ".join(words)] for words in chunks]
    for place, words in enumerate(chunks):
        divided = _divided(words)
        if sum(map(len, found)) - 1 + len(divided) <= MOST_PARTS:
            found[place] = divided
    pieces = tuple(dict.fromkeys(piece for chunk in found for piece in chunk))[:MOST_PARTS]
    return pieces if len(pieces) > 1 else ()


def _meaningful(chunk: str) -> list[str]:
    words = WORD.findall(chunk)
    while words and words[0].lower() in _SMALL:
        del words[0]
    while words and words[-1].lower() in _SMALL:
        del words[-1]
    return words


def _divided(words: list[str]) -> list[str]:
    """A noun phrase as the words in it that can be seen on their own, and then the rest."""
    seen = [one for one, after in pairwise(words) if one.lower() in _SEEN and not _NAMES.fullmatch(f"{one} {after}")]
    rest = [word for word in words if word not in seen] or words[-1:]
    return [*(word.replace("-", " ") if "-and-" in word else word for word in seen), " ".join(rest)]


# reading


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch between two operators: its characters without quotes, and the same with quoted ones masked."""

    text: str
    mask: str
    at: int
    weight: float
    negative: bool

    def term(self) -> Term:
        return Term(" ".join(self.text.split()), self.weight)

    def readings(self) -> tuple[tuple[Term, ...], tuple[Term, ...]]:
        """The positive and the negative terms of a piece, once `without` and its kin are read."""
        none_in = _NONE_IN.fullmatch(self.mask)
        if none_in:
            place = self.text[slice(*none_in.span("place"))]
            missing = self.text[slice(*none_in.span("missing"))]
            return (Term(" ".join(place.split()), self.weight),), (Term(" ".join(missing.split())),)
        found = list(_WITHOUT.finditer(self.mask))
        if not found:
            return (self.term(),), ()
        wanted = [self.text[: found[0].start()]]
        unwanted: list[str] = []
        for this, after in zip(found, [*found[1:], None], strict=True):
            begin, end = this.end(), after.start() if after else len(self.text)
            again = _WITH_AGAIN.search(self.mask, begin, end)
            if again:
                wanted.append("with " + self.text[again.end() : end])
                end = again.start()
            unwanted += _listed(self.text[begin:end], self.mask[begin:end])
        phrase = " ".join(" ".join(wanted).split()).strip(" ,;")
        return ((Term(phrase, self.weight),) if phrase else ()), tuple(map(Term, unwanted))


def _listed(text: str, mask: str) -> list[str]:
    """`people, dogs or cars` as three; `black and white stripes` as one."""
    mask = _PAIRS.sub(lambda pair: _LITERAL * len(pair[0]), mask)
    begin, found = 0, []
    for gap in [*_AND.finditer(mask), None]:
        one = " ".join(text[begin : gap.start() if gap else len(text)].split()).strip(" ,;.!?")
        if one:
            found.append("people" if _NOBODY.fullmatch(one) else one)
        begin = gap.end() if gap else begin
    return found


def _pieces(text: str) -> list[_Piece]:
    """The text divided at `+` and `-` between spaces and outside quotes; each piece with its weight."""
    found: list[_Piece] = []
    items: list[re.Match[str]] = []
    sign = ""
    for item in _ITEM.finditer(text):
        if not item["operator"]:
            items.append(item)
            continue
        if items or sign:
            found.append(_piece(text, items, sign, item.start("operator")))
        items, sign = [], item["operator"]
    return [*found, _piece(text, items, sign, len(text.rstrip()))]


def _piece(text: str, items: list[re.Match[str]], sign: str, end: int) -> _Piece:
    at = items[0].end("gap") if items else end
    shown = mask = ""
    weight = 1.0
    for item in items:
        gap = " " * bool(item["gap"] and shown)
        if item["quoted"] is not None:
            number, literal = item["number"] or "", item["quoted"].replace('""', '"')
            if number and item is items[0]:
                weight, number = _number(text, number[:-1], at), ""
            shown += gap + number + literal
            mask += gap + number + _LITERAL * len(literal)
            continue
        word = item["word"]
        if _OPENING.match(word):
            _refuse(text, item.start("word"), "this quote is never closed: close it, or leave it out")
        weighed = _WEIGHT.match(word) if item is items[0] else None
        if weighed:
            weight, word = _number(text, weighed["number"], at), word[weighed.end() :]
        shown, mask = shown + gap + word, mask + gap + word
    if not shown.strip():
        _refuse(
            text, at, f"nothing to look for {'after ' + repr(sign) if sign else 'in the quotes'}: write words there"
        )
    return _Piece(shown, mask, at, weight, sign == "-")


def _number(text: str, number: str, at: int) -> float:
    value = float(number) if _NUMBER.fullmatch(number) else None
    if value is None or not LEAST_WEIGHT <= value <= MOST_WEIGHT:
        problem = "is no number" if value is None else f"is not from {LEAST_WEIGHT:g} to {MOST_WEIGHT:g}"
        hint = "; write ' - ' before what should not be seen" if number.startswith("-") else ""
        _refuse(
            text, at, f"the weight {number!r} {problem}{hint}; if it is part of the phrase, put the phrase in quotes"
        )
    return value


def _negative(text: str) -> Term:
    """One of the negatives given apart: a term, perhaps with a weight or in quotes; nothing else is read in it."""
    if len(text) > MOST_CHARACTERS:
        raise UsageError(f"a negative has {len(text)} characters, and {MOST_CHARACTERS:,} are allowed")
    bare = " ".join(_spaced(text).split())
    if not bare:
        raise UsageError("a negative is empty: say what must not be seen, or leave it out")
    weighed = _WEIGHT.match(bare)
    weight = _number(bare, weighed["number"], 0) if weighed else 1.0
    bare = bare[weighed.end() :] if weighed else bare
    whole = _ITEM.fullmatch(bare)
    quoted = " ".join(whole["quoted"].replace('""', '"').split()) if whole and whole["quoted"] else bare
    return Term(quoted or bare, weight)


def _spaced(text: str) -> str:
    """The text with a plain space for every control character and every other kind of space; positions stay."""
    return "".join(" " if unicodedata.category(char) in ("Cc", "Cs", "Zs", "Zl", "Zp") else char for char in text)


def _refuse(text: str, at: int, problem: str) -> NoReturn:
    begin = max(0, at - 40)
    shown = text[begin : at + 40]
    raise UsageError(f"Query, position {at + 1}: {problem}\n  {shown}\n  {' ' * (at - begin)}^")


# writing


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _reads_as(source: str, term: Term) -> bool:
    """Whether the source, read by itself, is this one positive term."""
    try:
        pieces = _pieces(source)
        return len(pieces) == 1 and not pieces[0].negative and pieces[0].readings() == ((term,), ())
    except UsageError:
        return False


def _remarks(positives: Sequence[Term], negatives: Sequence[Term]) -> tuple[str, ...]:
    found = [
        f"the negative {negative.text!r} {verb} the query {positive.text!r}: what is looked for is pushed away with it"
        for negative in negatives
        for positive in positives
        if (verb := _clash(_core(negative.text), _core(positive.text)))
    ]
    for positive in positives:
        dashed = _DASHED.search(positive.text)
        if dashed:
            word = positive.text[dashed.end() :].split()[0]
            found.append(f"'-{word}' is read as a word: to push it away, put spaces around the minus: ' - {word}'")
        if re.match(r"no\s(?!.*\bsigns?\b)", positive.text, re.IGNORECASE):
            found.append(
                f"{positive.text!r} is read as it stands, and encoders hardly know what 'no' means: "
                f"say what should be seen, then ' - {positive.text[3:]}'"
            )
    return tuple(found)


def _core(text: str) -> list[str]:
    return [word for word in map(str.lower, WORD.findall(text)) if word not in _ARTICLES]


def _clash(negative: list[str], positive: list[str]) -> str:
    if not positive or not negative:
        return ""
    if negative == positive:
        return "equals"
    places = range(len(negative) - len(positive) + 1)
    return "contains" if any(negative[at : at + len(positive)] == positive for at in places) else ""
