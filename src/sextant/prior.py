"""The curves of columns that nobody has labelled: worked out from the collection itself, or fixed where asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from sextant import manifest
from sextant.background import background_hash, background_prompts
from sextant.edges import Edges
from sextant.errors import ModelError
from sextant.maths import calibration as curves
from sextant.maths import logits as maths
from sextant.maths.calibration import Calibration
from sextant.types import Floats
from sextant.vocabulary import Attribute, Vocabulary

if TYPE_CHECKING:
    from sextant.maths.mixture import Prior

LEVEL_SAMPLE = 2000
"""Images whose background logits say what this collection makes of phrases that mean nothing to it."""
COLUMNS_AT_ONCE = 32
BY_RUN = {"set": "tag"}
"""Marks a curve that a person asked for while tagging: it stays until another is asked for."""
FOUND = ("prior", "native")
"""Kinds of curve that are worked out from a column."""


class Unlabelled:
    """What an encoder's card and the collection's own background say about any column that nobody has labelled.

    `known` is False where they say nothing: fewer than twenty images, or an encoder that is not at hand and never said
    what it makes of the background prompts. What was found is kept, and used again unless `fresh`, or unless the
    collection has outgrown it.
    """

    def __init__(self, edges: Edges, *, fresh: bool = False) -> None:
        from sextant.maths import mixture

        self._mixture = mixture
        name, catalog = edges.vectors.name, edges.catalog
        self._read = edges.vectors.metadata().get("background_hash", "")
        kept = None if fresh else catalog.level(name, background_hash())
        if kept is None or 2 * kept["level"]["images"] < min(LEVEL_SAMPLE, len(edges.vectors)):
            kept = _measured(edges)
            if kept is not None:
                catalog.put_level(name, background_hash(), kept)
        self.known = kept is not None
        if kept is not None:
            self.card = mixture.Prior.from_params(kept)
            self.level = self.card.level

    def curve(self, logits: ArrayLike, background: ArrayLike) -> Calibration:
        """The curve of a column from its logits (n,) and the images' background (n,); `fixed` where there are too few.

        There can be fewer than the table has: files went, or an `add` has written vectors and no paths yet.
        """
        if not self.known:
            return curves.fixed()
        try:
            found = self._mixture.prior(logits, background, self.card, self.level)
        except self._mixture.TooFew:
            return curves.fixed()
        if not found.params.get("lambda"):
            return found
        return Calibration(found.kind, {**found.params, "background": self._read})


def _measured(edges: Edges) -> dict[str, Any] | None:
    """The card's prior with this collection's own level in place of the card's, as JSON values."""
    from sextant.maths import components, mixture

    logits = background_logits(edges)
    if logits is None or len(logits) < mixture.LEAST_IMAGES:
        return None
    own = edges.manifest.prior
    # A sigmoid-trained encoder has a bias, and its logits do not float from image to image.
    training: components.Training = "sigmoid" if edges.scale[1] else "softmax"
    card = mixture.Prior.from_params(own) if own else components.unknown_prior(logits, training)
    return replace(card, level=mixture.background_level(logits, card.weight)).to_params()


def sources(edges: Edges, codes: Sequence[str]) -> dict[str, str]:
    """What the curve of each of these columns rests on before any label, in brief; unchanged as long as that is.

    The column and its prompts, the number of images, the background, the encoder's components, the collection's level.
    """
    vectors = edges.vectors
    there, metadata, rows = vectors.outline()
    level = edges.catalog.level(vectors.name, background_hash())
    common = [rows, metadata.get("background_hash"), edges.manifest.prior, level]
    return {code: _brief([*common, dict(there[code].provenance)]) for code in codes if code in there}


def _brief(values: Sequence[Any]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def install(edges: Edges, card: Prior) -> None:
    """Makes these components the prior of the encoder in use, for all columns that nobody labels."""
    manifest.write(edges.place, edges.manifest.with_encoder(prior=card.to_params()))
    Unlabelled(edges, fresh=True)


def background_logits(edges: Edges) -> Floats | None:
    """Logits (n, k) of an even sample of images for the background prompts; None where no encoder can say them."""
    try:
        prompts = edges.phrases()(background_prompts())
    except ModelError:
        return None
    rows = edges.vectors.sample(LEVEL_SAMPLE)
    scale, bias = edges.scale
    return maths.logit_matrix(rows, prompts, scale=scale, bias=bias)


def default_curves(
    edges: Edges, chosen: Vocabulary, codes: Sequence[str], *, center: float | None, scale: float | None
) -> Mapping[str, Calibration]:
    """The curve of these attributes before anybody labelled anything.

    An exclusive group shares a softmax. Where a center or a scale was set, by the vocabulary or by the person who asks,
    a curve is `fixed`; everywhere else it is the `prior`, or the usual `fixed` one where there can be none.
    """
    found: dict[str, Calibration] = {}
    rest: list[Attribute] = []
    for a in (a for a in chosen.attributes if a.code in codes):
        if a.head is not None:  # log-odds already
            found[a.code] = curves.native()
        elif a.group is not None:
            found[a.code] = curves.temperature(chosen.groups.get(a.group, 1.0))
        elif (center, scale, a.center, a.scale) != (None, None, None, None):
            found[a.code] = _fixed(chosen, a, center, scale)
        else:
            rest.append(a)
    there = edges.vectors.columns()
    rest = [a for a in rest if a.code in there]
    if rest:
        found |= _priors(edges, rest)
    return found


def _priors(edges: Edges, attributes: Sequence[Attribute]) -> dict[str, Calibration]:
    unlabelled = Unlabelled(edges)
    found: dict[str, Calibration] = {}
    for start in range(0, len(attributes), COLUMNS_AT_ONCE):
        codes = [a.code for a in attributes[start : start + COLUMNS_AT_ONCE]]
        table = edges.vectors.read(codes)
        background = np.asarray(table["background"].to_numpy())
        found |= {code: unlabelled.curve(table[code].to_numpy(), background) for code in codes}
    return found


def _fixed(chosen: Vocabulary, a: Attribute, center: float | None, scale: float | None) -> Calibration:
    """An attribute's own settings come before those of this run, and these before the file's."""
    usual = curves.fixed().params
    own_center = a.center if a.center != chosen.center else None
    own_scale = a.scale if a.scale != chosen.scale else None
    found = curves.fixed(
        next(v for v in (own_center, center, chosen.center, usual["center"]) if v is not None),
        next(v for v in (own_scale, scale, chosen.scale, usual["scale"]) if v is not None),
    )
    asked = (own_center is None and center is not None) or (own_scale is None and scale is not None)
    return Calibration(found.kind, {**found.params, **BY_RUN}) if asked else found
