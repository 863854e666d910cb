"""`search` and `similar`: from words or a picture to the images of a collection, ranked; or "nothing here".

What a question means for each image comes from `question`. Here it is filtered, joined with a person's words and with
a picture, thinned of near-duplicates, ranked and told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sextant import nearest, question
from sextant import search as ranking
from sextant.edges import Edges
from sextant.errors import UsageError
from sextant.maths import ranking as fusion
from sextant.maths import rules
from sextant.place import Bucket, is_gone, is_url, lies
from sextant.question import Among, Answer, Doubles
from sextant.types import Facet, Floats, Hit, SearchResult
from sextant.view import KINDS, View
from sextant.vocabulary import Thresholds

MOST_BY_WORDS = 200
"""Images that a person's words may bring into a ranking."""
POOL = 5
"""How many times the wanted hits are looked at where near-duplicates are folded or differing ones preferred."""
SLACK = 1e-2  # of log-odds: what the float32 of vectors in memory can move a score by
FINISH = 5000  # rows at most that are computed again to the last bit
KNOWN_WORDS = "words that are spelt as meant"
WORDED = "whether anybody has said anything"
ALIKE = "cosine of near-duplicates"

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a search answers.

    `where` is a rule every hit satisfies, `threshold` a confidence. `expand` also asks in the words of the expansion
    dictionary; `words` joins what people's tags and descriptions say. `image` is a picture that hits should resemble
    too, by a share of `likeness`. `fold` shows one of several near-duplicates, by a cosine where it is a number;
    `diversity` from 0, the plain order, to 1 prefers hits that differ. `facets` names what likely hits are counted by;
    `parts` also looks at parts of every picture, for small things. `learned` orders the hits by the weights that
    feedback taught, where there are any.
    """

    negatives: Sequence[str] = ()
    limit: int = 20
    where: str | None = None
    threshold: float = 0.0
    expand: bool = True
    words: bool = True
    image: str | None = None
    likeness: float = 0.5
    fold: bool | float = False
    diversity: float = 0.0
    facets: Sequence[str] = ()
    parts: bool = False
    learned: bool = True

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise UsageError(f"limit must be at least 1, not {self.limit}")
        for name in ("threshold", "likeness", "diversity"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must be between 0 and 1, not {getattr(self, name)}")
        if not isinstance(self.fold, bool) and not 0 < self.fold <= 1:
            raise UsageError(f"near-duplicates are folded by a cosine above 0 and at most 1, not {self.fold}")


def search(edges: Edges, text: str, options: Options) -> SearchResult:
    """The images most likely to show what is asked, judged by the same prior as unlabelled columns.

    Raises:
        UsageError: the text, an option or the rule cannot be used; no such picture.
    """
    asked = question.question(edges, text, options.negatives, expand=options.expand)
    view, chosen = _where(edges, options.where)
    chosen &= ~view.out_of_sight
    said = _said(edges, view, asked, chosen) if options.words else np.zeros(0, np.intp)
    found = question.answer(edges, view, asked, _among(chosen, said, options), parts=_parts(edges, options))
    best = ranking.candidates(found.score, 1, chosen)
    top = float(found.confidence[best].max()) if len(best) else None
    chosen &= found.confidence >= options.threshold - SLACK  # a rough cut, made again to the last bit
    chosen[said] = True
    judged = _ranked(edges, view, found, said, chosen, options)
    judged = judged.take(np.flatnonzero((judged.confidence >= options.threshold) | np.isin(judged.rows, said)))
    places, folded = _folded(edges, view, judged.rows, options)
    hits = _hits(edges, view, found, judged.take(places), folded, set(said.tolist()))
    if options.learned and options.image is None:
        from sextant.feedback import weights

        hits = weights.ranked(edges, view, text, hits)
    hints = (
        *asked.phrasing.remarks,
        *_meant(edges, view, text),
        *([] if len(said) else _hints(view, options.where, top)),
    )
    counted = _facets(view, chosen, found, options)
    terms = " + ".join(term.text for term in asked.phrasing.positives)
    return SearchResult(text.strip(), found.judge.state, hits, hints, terms, counted)


def similar(edges: Edges, image: str, *, limit: int, where: str | None, fold: bool | float = False) -> SearchResult:
    """The images most like one picture; the picture itself is left out."""
    options = Options(limit=limit, where=where, fold=fold)
    view, chosen = _where(edges, where)
    chosen &= ~view.out_of_sight
    found, vector = _picture(edges, view, image)
    rows, values = _alike_to(edges, view, vector[None, :], chosen, _pool(options) + 1)
    itself = rows == view.places.get(found, -1)
    rows, values = rows[~itself], values[~itself]
    order = ranking.order(values.astype(np.float64), view.ids.take(pa.array(rows)))
    places, folded = _folded(edges, view, rows[order], options)
    rows, values = rows[order][places], values[order][places]
    scale, bias = edges.scale
    hits = tuple(
        Hit(
            id=str(view.ids[row]),
            path=str(view.paths[row]),
            cosine=(float(value) - bias) / scale,
            logit=float(value),
            confidence=None,
            matched=image,
            folded=_paths(view, folded.get(row, ())),
        )
        for row, value in zip(rows.tolist(), values.tolist(), strict=True)
    )
    return SearchResult(image, "likeness", hits, () if hits else tuple(_hints(view, where, None)))


def _alike_to(
    edges: Edges, view: View, direction: Floats, chosen: NDArray[np.bool_], limit: int
) -> tuple[Rows, Floats]:
    """The chosen rows nearest to a direction (1, dim), unordered and a few more than wanted, with their logits (m,)."""
    near = nearest.near(edges, view)
    if near is not None:
        rows = near.candidates(direction, limit, None if chosen.all() else chosen)
        return rows, near.logits(rows, direction)[:, 0]
    logits = ranking.logits(edges, view, direction)
    rows = _best(logits[:, 0].astype(np.float64), view, chosen, limit)
    return rows, ranking.exact(edges, view, rows, direction, logits)[:, 0]


def _where(edges: Edges, where: str | None) -> tuple[View, NDArray[np.bool_]]:
    """A view of all images, and which of them satisfy a rule."""
    if where is None:
        view = edges.view()
        return view, np.ones(len(view), np.bool_)
    parsed = rules.parse(where, edges.known())
    view = edges.view([name for name in parsed.names if name not in KINDS])
    return view, view.mask(parsed)


def _picture(edges: Edges, view: View, image: str) -> tuple[str, Floats]:
    """The id and vector (dim,) of an image of the collection, or of a file elsewhere."""
    found = view.find(image)
    if found is not None and found in view.places:
        row = np.array([view.places[found]])
        near = nearest.near(edges, view)
        known = near is not None and len(near.with_vector(row)) > 0
        vector = near.vectors(row)[0] if near and known else ranking.vectors_of(edges, view, row)[0]
        if np.isfinite(vector).all():
            return found, vector
    path = lies(Path(), image) if is_url(image) else Path(image).expanduser()
    if is_gone(path) if isinstance(path, Bucket) else not path.is_file():
        raise UsageError(f"no image '{image}' in the collection, and no such file")
    from sextant import embedding

    return embedding.embed_file(path, edges.encoder())


def _among(chosen: NDArray[np.bool_], said: Rows, options: Options) -> Among | None:
    """What an index may be asked for; None where every image counts."""
    if options.facets or options.image is not None:
        return None
    return Among(max(_pool(options), 1), None if chosen.all() else chosen, said)


def _parts(edges: Edges, options: Options) -> bool:
    if options.parts:
        from sextant import crops

        if not crops.exist(edges):
            raise UsageError("no picture has parts yet: make them with sextant crops, then search with --parts")
    return options.parts


def _said(edges: Edges, view: View, asked: question.Question, chosen: NDArray[np.bool_]) -> Rows:
    """The rows whose tags or descriptions say what is asked, best first; none where something is to be absent."""
    if asked.phrasing.negatives or not _worded(edges, view):
        return np.zeros(0, np.intp)
    matches = edges.catalog.match_words(" ".join(term.text for term in asked.phrasing.positives), MOST_BY_WORDS)
    if not matches:
        return np.zeros(0, np.intp)
    rows = pc.index_in(pa.array([image for image, _ in matches], pa.string()), value_set=view.ids)
    there = np.asarray(pc.fill_null(rows, -1).to_numpy(), np.intp)
    there = there[there >= 0]
    return np.asarray(there[chosen[there]], np.intp)


def _worded(edges: Edges, view: View) -> bool:
    """Whether anybody has said anything, kept as long as the view lasts."""
    if WORDED not in view.memo:
        view.memo[WORDED] = bool(edges.catalog.tags() or edges.catalog.descriptions())
    return bool(view.memo[WORDED])


@dataclass(frozen=True, slots=True)
class Judged:
    """Rows of a view, best first, with the logits (m, k) of all texts and the confidence (m,), to the last bit."""

    rows: Rows
    table: Floats
    confidence: Doubles

    def take(self, places: Rows) -> Judged:
        """Some of the rows."""
        return Judged(self.rows[places], self.table[places], self.confidence[places])


def _ranked(edges: Edges, view: View, found: Answer, said: Rows, chosen: NDArray[np.bool_], options: Options) -> Judged:
    """Rows from the best on, more than are wanted where some may be folded."""
    limit = max(_pool(options), MOST_BY_WORDS if len(said) else 0)
    every = found.score if options.image is None else _resembling(edges, view, found, chosen, options)
    rows = _best(every, view, chosen, limit)
    rows = np.union1d(rows, said[chosen[said]])
    table = found.exact(rows)
    score, confidence = found.judge.judged(table, found.background[rows])
    order = ranking.order(score if options.image is None else every[rows], view.ids.take(pa.array(rows)))
    if len(said):
        place = {row: k for k, row in enumerate(rows.tolist())}
        words = [place[row] for row in said.tolist() if row in place]
        order = np.asarray(fusion.fuse([order, words]), np.intp)
    return Judged(rows, table, confidence).take(order)


def _best(score: Doubles, view: View, chosen: NDArray[np.bool_], limit: int) -> Rows:
    """The best rows, and those that could be among them but for the last digits."""
    rows = ranking.candidates(score, limit, chosen, slack=SLACK)
    return rows if len(rows) <= max(FINISH, limit) else ranking.best(score, view.ids, max(FINISH, limit), chosen)


def _pool(options: Options) -> int:
    return options.limit * (POOL if options.fold or options.diversity else 1)


def _resembling(edges: Edges, view: View, found: Answer, chosen: NDArray[np.bool_], options: Options) -> Doubles:
    """A score (n,) of both: where an image stands by the words and by its likeness to the picture, as normal scores."""
    own, vector = _picture(edges, view, options.image or "")
    if own in view.places:
        chosen[view.places[own]] = False
    like = ranking.logits(edges, view, vector[None, :])[:, 0].astype(np.float64)
    return np.asarray(options.likeness * _standing(like) + (1 - options.likeness) * _standing(found.score))


def _standing(values: Doubles) -> Doubles:
    """Normal scores (n,) by rank (van der Waerden): of one scale, whatever the values are; NaN stays NaN."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    known = np.count_nonzero(~np.isnan(values))
    return np.asarray(ndtri((rankdata(values, nan_policy="omit") - 0.5) / max(known, 1)))


def _facets(view: View, chosen: NDArray[np.bool_], found: Answer, options: Options) -> tuple[Facet, ...]:
    """How the images that are likelier than not to show what is asked fall into the values of some names."""
    if not options.facets:
        return ()
    from sextant import facets

    view.read([name for name in options.facets if name not in KINDS])
    likely = chosen & (found.confidence >= max(options.threshold, Thresholds().tentative))
    return tuple(facets.count(view, likely, options.facets))


def _folded(edges: Edges, view: View, rows: Rows, options: Options) -> tuple[Rows, dict[int, tuple[int, ...]]]:
    """The places in `rows` of at most `limit` of them, in their order, and for each row those that it stands for."""
    places = np.arange(len(rows))
    if not options.fold and not options.diversity:
        return places[: options.limit], {}
    from sextant.maths import diversity, groups

    vectors = ranking.vectors_of(edges, view, rows)
    behind: dict[int, tuple[int, ...]] = {}
    if options.fold:
        threshold = _alike(edges, view) if options.fold is True else options.fold
        (leaders,) = groups.groups(vectors, [float(threshold)], order=np.arange(len(rows)))
        for place, leader in enumerate(leaders.tolist()):
            if place != leader:
                behind[int(rows[leader])] = (*behind.get(int(rows[leader]), ()), int(rows[place]))
        places = np.flatnonzero(leaders == places)
    if options.diversity:
        quality = 1.0 - np.arange(len(places)) / max(len(places), 1)
        places = places[diversity.relevant(vectors[places], options.limit, quality, 1 - options.diversity)]
    return places[: options.limit], behind


def _alike(edges: Edges, view: View) -> float:
    """The cosine from which two images of this collection count as near-duplicates, kept as long as the view lasts."""
    if ALIKE not in view.kept:
        from sextant.maths import groups

        view.kept[ALIKE] = groups.threshold_of(edges.vectors.sample(groups.SAMPLED))
    return float(view.kept[ALIKE])


def _hits(
    edges: Edges,
    view: View,
    found: Answer,
    judged: Judged,
    folded: dict[int, tuple[int, ...]],
    said: set[int],
) -> tuple[Hit, ...]:
    scale, bias = edges.scale
    values = found.judge.positive_logits(judged.table)
    margins = found.judge.margins((judged.table.astype(np.float64) - bias) / scale)
    return tuple(
        Hit(
            id=str(view.ids[row]),
            path=str(view.paths[row]),
            cosine=(float(values[k]) - bias) / scale,
            logit=float(values[k]),
            confidence=float(judged.confidence[k]),
            matched=matched,
            margin=None if margins is None else float(margins[k]),
            said=row in said,
            folded=_paths(view, folded.get(row, ())),
        )
        for k, (row, matched) in enumerate(zip(judged.rows.tolist(), found.judge.matched(judged.table), strict=True))
    )


def _paths(view: View, rows: Sequence[int]) -> tuple[str, ...]:
    return tuple(str(view.paths[row]) for row in rows)


def _meant(edges: Edges, view: View, text: str) -> list[str]:
    """The spelling that was probably meant, as a hint; nothing is replaced."""
    from sextant import spelling

    if KNOWN_WORDS not in view.memo:
        named = [w for c in view.codes() for w in (c.replace("_", " "), getattr(view.describe(c), "label", "") or "")]
        tagged = {tag for tags in edges.catalog.tags().values() for tag in tags}
        view.memo[KNOWN_WORDS] = frozenset({*question.dictionary_of(edges).words, *named, *tagged})
    meant = spelling.suggestion(text, view.memo[KNOWN_WORDS])
    return [] if meant is None else [f"did you mean: {meant}"]


def _hints(view: View, where: str | None, top: float | None) -> list[str]:
    if not len(view):
        return ["the collection has no images: sextant add FOLDER"]
    if top is None:
        return [f"no image satisfies the rule: {where}"] if where else []
    if top < Thresholds().tentative:
        return [f"nothing here is likely to show this: the best has confidence {floor(top * 1000) / 1000:.3f}"]
    return []
