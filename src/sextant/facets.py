"""What an answer falls into: for each name its values, how many images have each, and the rule that selects those.

Attributes fall into bands, texts and tags into their commonest values, numbers into ranges with round ends, times into
years, months or days. Every rule selects exactly the images it was counted from. Knows nothing of how a search ranks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sextant.errors import UsageError
from sextant.maths.grammar import MAX_LENGTH
from sextant.maths.rules import BAND_NAMES, AttributeValues
from sextant.types import Facet, FacetValue
from sextant.view import KINDS
from sextant.vocabulary import did_you_mean

RANGES = 6
"""A number or a time is shown in about so many ranges, where its values differ enough."""
_STEPS = (1.0, 2.0, 5.0)
_UNITS = (("Y", 4), ("M", 7), ("D", 10))  # of numpy, and how much of an ISO date names one

Mask = NDArray[np.bool_]


class Facts(Protocol):
    """The part of a view that is counted."""

    def __len__(self) -> int: ...

    def codes(self) -> tuple[str, ...]:
        """Every attribute's code."""
        ...

    def fact_values(self, name: str) -> NDArray[Any]:
        """One fact of every image, as rules compare it."""
        ...

    def values(self, code: str) -> AttributeValues:
        """Confidence and band of an attribute for every image."""
        ...


def count(view: Facts, rows: Mask, names: Sequence[str], limit: int = 10) -> list[Facet]:
    """The facets of the images `rows` (n,) of a view, one a name, with at most `limit` values each.

    Raises `UsageError` for a name that is neither an attribute nor a fact, or a limit below 1.
    """
    if limit < 1:
        raise UsageError(f"limit must be at least 1, not {limit}")
    known = (*KINDS, *view.codes())
    for name in names:
        if name not in known:
            raise UsageError(f"no attribute or fact '{name}'.{did_you_mean(name, known)}")
    return [_facet(view, rows, name, limit) for name in dict.fromkeys(names)]


def _facet(view: Facts, rows: Mask, name: str, limit: int) -> Facet:
    kind = KINDS.get(name, "attribute")
    if kind == "attribute":
        return _bands(name, view.values(name).band[rows])
    values = view.fact_values(name)[rows]
    if kind == "tags":
        return _tags(name, values, limit)
    missing = _missing(values)
    found = list(_COUNTED[kind](name, values[~missing], limit))
    shown = found[:limit]
    listed = sum(value.count for value in shown)
    return Facet(name, kind, tuple(shown), int((~missing).sum()) - listed, int(missing.sum()))


def _missing(values: NDArray[Any]) -> Mask:
    if values.dtype == object:
        return np.array([value is None for value in values], np.bool_)
    missing: Mask = np.isnat(values) if values.dtype.kind == "M" else np.isnan(values)
    return missing


def _bands(name: str, bands: NDArray[np.int8]) -> Facet:
    counts = {number: int((bands == number).sum()) for number in BAND_NAMES}
    shown = tuple(
        FacetValue(word, counts[number], f"{name} is {word}")
        for number, word in BAND_NAMES.items()
        if word != "unknown" and counts[number]
    )
    return Facet(name, "attribute", shown, 0, sum(counts.values()) - sum(value.count for value in shown))


# words


def _texts(name: str, values: NDArray[Any], limit: int) -> Iterator[FacetValue]:
    return _commonest(Counter(values.tolist()), limit, lambda text: f"{name} = {quoted(text)}")


def _truths(name: str, values: NDArray[Any], limit: int) -> Iterator[FacetValue]:
    words = Counter("yes" if value else "no" for value in values.tolist())
    return _commonest(words, limit, lambda word: name if word == "yes" else f"not {name}")


def _tags(name: str, values: NDArray[Any], limit: int) -> Facet:
    lists = [set(tags) for tags in values.tolist() if tags]
    every = Counter(tag for tags in lists for tag in tags)
    shown = tuple(_commonest(every, limit, lambda tag: f"{name} contains {quoted(tag)}"))
    listed = {value.value for value in shown}
    return Facet(name, "tags", shown, sum(not tags & listed for tags in lists), len(values) - len(lists))


def _commonest(counts: Mapping[str, int], limit: int, rule: Callable[[str], str]) -> Iterator[FacetValue]:
    """The `limit` commonest values, equally common ones in alphabetical order; a value too long for a rule is not."""
    fitting = ((text, number, rule(text)) for text, number in sorted(counts.items(), key=lambda c: (-c[1], c[0])))
    values = [FacetValue(text, number, said) for text, number, said in fitting if len(said) <= MAX_LENGTH]
    return iter(values[:limit])


def quoted(text: str) -> str:
    """A text as a rule writes it."""
    return "'" + text.replace("'", "''") + "'"


# numbers


def _numbers(name: str, values: NDArray[np.float64], limit: int) -> Iterator[FacetValue]:
    different = np.unique(values)
    if len(different) <= min(limit, RANGES):
        for value in different.tolist():
            if math.isfinite(value):
                yield FacetValue(_said(value), int((values == value).sum()), f"{name} = {value!r}")
        return
    edges = _edges(values[np.isfinite(values)], min(limit, RANGES))
    for low, high in zip([None, *edges], [*edges, None], strict=True):
        chosen = np.ones(len(values), np.bool_) if low is None else values >= low
        chosen = chosen if high is None else chosen & (values < high)
        if chosen.any():
            tests = [] if low is None else [f"{name} >= {low!r}"]
            tests += [] if high is None else [f"{name} < {high!r}"]
            yield FacetValue(_range(low, high), int(chosen.sum()), " and ".join(tests) or f"{name} is not null")


def _edges(values: NDArray[np.float64], ranges: int) -> list[float]:
    """At most ranges − 1 round numbers that part the values about evenly, in order."""
    if not len(values):
        return []
    cuts = np.quantile(values, np.linspace(0, 1, ranges + 1)[1:-1])
    low, high = float(values.min()), float(values.max())
    spread = max(high - low, abs(high) * 1e-9)
    edges = (_round(float(cut), spread / ranges) for cut in cuts)
    return sorted({edge for edge in edges if low < edge <= high})


def _round(value: float, width: float) -> float:
    """The multiple of 1, 2 or 5 times a power of ten nearest to a value, no coarser than half of `width`."""
    power = 10.0 ** math.floor(math.log10(max(width / 2, 1e-300)))
    step = max(s * power for s in _STEPS if s * power <= max(width / 2, power))
    places = max(0, -math.floor(math.log10(step)))
    return round(round(value / step) * step, places) + 0.0


def _said(value: float) -> str:
    return f"{value:,.12g}"


def _range(low: float | None, high: float | None) -> str:
    if low is None:
        return "all" if high is None else f"below {_said(high)}"
    return f"{_said(low)} and more" if high is None else f"{_said(low)} to {_said(high)}"


# times


def _dates(name: str, values: NDArray[np.datetime64], limit: int) -> Iterator[FacetValue]:
    """By year where several differ, else by month, else by day; in stretches of years where those are too many."""
    by_unit = [
        Counter(str(value)[:length] for value in values.astype("datetime64[s]").tolist()) for _, length in _UNITS
    ]
    counts = next((c for c in reversed(by_unit) if len(c) <= limit and len(c) > 1), None)
    if counts is None:
        counts = next((c for c in by_unit if len(c) <= limit), None)
    if counts is not None:
        yield from (FacetValue(when, n, f"{name} = '{when}'") for when, n in sorted(counts.items()) if _whole(when))
        return
    years = Counter({int(year): n for year, n in by_unit[0].items()})
    step = next(s for s in (2, 5, 10, 20, 50, 100, 1000, 10_000) if len({y // s for y in years}) <= limit)
    for begin in sorted({year // step * step for year in years}):
        end, n = begin + step, sum(n for year, n in years.items() if begin <= year < begin + step)
        tests = ([f"{name} >= '{begin:04d}'"] if begin > 0 else []) + ([f"{name} < '{end:04d}'"] if end <= 9998 else [])
        yield FacetValue(f"{max(begin, 1)}–{min(end - 1, 9999)}", n, " and ".join(tests) or f"{name} is not null")


def _whole(when: str) -> bool:
    """Whether a rule can say this stretch of time: the last ones that there are have no end."""
    return not "9999-12-31".startswith(when)


_COUNTED: Mapping[str, Callable[[str, NDArray[Any], int], Iterator[FacetValue]]] = {
    "text": _texts,
    "bool": _truths,
    "number": _numbers,
    "date": _dates,
}
