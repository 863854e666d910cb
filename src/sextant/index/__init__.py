"""A vector index beside an encoder's table: what finds the nearest of millions of rows in milliseconds.

Two copies of the table lie in a folder that can be deleted: the vectors, and short codes of them (product quantisation,
four bits for two dimensions). A search reads the codes of *all* rows, computes the cosines of the best few hundred from
the upper 16 bits of their numbers, and those of the answer from all bits. An inverted list would read fewer rows, but
phrases do not lie where images lie, and lists near a phrase miss most of its matches: `docs/search-at-scale.md`.

`coordinates` says what is coded, `parts` makes and searches the pieces, `record` says which belong together, `building`
makes an index and measures it, `reading` asks it. All know nothing of phrases, logits or confidences.
"""

from sextant.index.building import build
from sextant.index.reading import Index, Nearest
from sextant.index.record import Built, drop, is_outdated, stored

__all__ = ["Built", "Index", "Nearest", "build", "drop", "is_outdated", "stored"]
