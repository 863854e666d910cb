"""`index`: makes, shows and deletes the vector index of the encoder in use, and opens it for a search.

Recall is checked with directions made of phrases: the background prompts and those of the vocabulary, each as it is and
less the mean of the background prompts, as a ranking by evidence asks; and with pictures, as `similar` asks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sextant import index
from sextant.background import background_prompts
from sextant.edges import Edges
from sextant.errors import CollectionError, ModelError
from sextant.index import Built, Index
from sextant.types import Floats, Progress

MOST_PHRASES = 128

Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class IndexState:
    """The index of an encoder's table, and how well it fits: `new` rows came since, `gone` ones left.

    `built` is None where there is none; `usable` says whether searches can use it; `advice` what to do, if anything.
    """

    encoder: str
    images: int
    built: Built | None
    usable: bool
    new: int
    gone: int
    advice: str


def folder(edges: Edges) -> Path:
    """Where a collection's indexes lie; it can be deleted at any time."""
    return edges.store.root / "cache" / "index"


def opened(edges: Edges) -> Index | None:
    """The index of the encoder in use; None where there is none of use, or the collection is small enough without."""
    vectors = edges.vectors
    if len(vectors) <= edges.settings.exact_rows:
        return None
    return Index.open(folder(edges), vectors)


def build(edges: Edges, *, progress: Report | None = None) -> IndexState:
    """Makes the index anew, and checks its recall with phrases where the encoder can say them.

    Raises:
        CollectionError: the collection is empty, or its folder cannot be written.
        MissingExtra: faiss is not installed.
    """
    with edges.store.writing():  # so that no vacuum takes away what is read
        index.build(edges.vectors, folder(edges), queries(edges), progress=progress)
    return state(edges)


def drop(edges: Edges, encoder: str | None = None) -> bool:
    """Deletes the index of an encoder, or of the one in use; says whether there was one."""
    with edges.store.writing():
        return index.drop(folder(edges), edges.store.vectors(encoder) if encoder else edges.vectors)


def state(edges: Edges) -> IndexState:
    """What there is, and whether it still fits."""
    vectors = edges.vectors
    built, found = index.stored(folder(edges), vectors), Index.open(folder(edges), vectors)
    new, gone = (len(found.fresh), found.gone) if found else (0, 0)
    few = len(vectors) <= edges.settings.exact_rows
    if built is None:
        older = "it was made by another release: sextant index" if index.is_outdated(folder(edges), vectors) else ""
        advice = "none is needed: every image is compared" if few else older or "make one: sextant index"
    elif found is None:
        advice = "it does not fit the vectors any more: sextant index"
    elif not built.recall:
        advice = "its recall was not checked: no phrase could be encoded"
    else:
        advice = "a new one would be faster: sextant index" if 10 * (new + gone) > len(vectors) else ""
    return IndexState(vectors.name, len(vectors), built, found is not None, new, gone, advice)


def queries(edges: Edges) -> dict[str, Floats]:
    """Directions (k, dim) by kind to check recall with; none where the encoder is not at hand."""
    try:
        phrases = edges.phrases()
        background = phrases(background_prompts())
        own = [a.prompts[0] for a in edges.vocabulary.attributes] if edges.vocabulary else []
        rows = np.concatenate([phrases(own) if own else background[:0], background])
    except (ModelError, CollectionError):
        return {}
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_PHRASES)).astype(np.int64))]
    evidence = np.asarray(rows - background.mean(axis=0), np.float32)
    return {"phrases": rows, "evidence": evidence, "pictures": edges.vectors.sample(MOST_PHRASES)}
