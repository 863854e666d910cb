"""`explain`: why an image has the confidence it has, for a column or for any phrase, in numbers and in words.

Every figure is one that the answer itself was made of: prompts and cosines, the logit, the image's background, the
evidence, the curve and where it comes from, and what people said of the images most like this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from sextant import columns, question, search
from sextant.catalog import Label
from sextant.edges import Edges
from sextant.errors import UsageError
from sextant.maths import calibration as curves
from sextant.maths.calibration import Calibration
from sextant.maths.rules import BAND_NAMES, band
from sextant.phrasing import Phrasing
from sextant.types import Floats
from sextant.view import MODEL, PERSON, View
from sextant.vocabulary import Derived, Thresholds, did_you_mean

NEIGHBOURS = 5
SHOWN = 5
Role = Literal["prompt", "variant", "part", "negative"]


@dataclass(frozen=True, slots=True)
class Said:
    """One text that the image was compared with, in which role, and their cosine."""

    text: str
    role: Role
    cosine: float


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A labelled image that is most like this one: its cosine with it, and what a person said."""

    id: str
    path: str
    cosine: float
    value: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one image has its confidence for what was `asked`, a code (`kind` column or derived) or a phrase (query).

    `evidence` is the logit less λ · background and the level of images that do not show it, in spreads, where the curve
    reads that. `rank` counts from 1, among the `of` images that have a confidence. `shows` are the columns this image
    is surest of. `words` say all of it in sentences.
    """

    image: str
    path: str
    asked: str
    kind: Literal["column", "derived", "query"]
    confidence: float | None
    band: str
    state: str
    source: str
    said: tuple[Said, ...]
    cosine: float | None
    logit: float | None
    background: float | None
    evidence: float | None
    calibration: dict[str, Any]
    rank: int | None
    of: int
    neighbours: tuple[Neighbour, ...]
    shows: tuple[tuple[str, float], ...]
    words: tuple[str, ...]
    scorer: str = "prompts"
    """What the logit comes from: `prompts`, or a head such as `probe (120 labels)`, and then the cosine is None."""


def explain(edges: Edges, image: str, asked: str) -> Explanation:
    """Why an image (id or path) has its confidence for a code of the vocabulary, or for a phrase.

    Raises:
        UsageError: no such image, or the phrase cannot be read.
    """
    view = edges.view()
    found = view.find(image)
    if found is None:
        near = did_you_mean(image, view.paths.to_pylist()) if len(view) < 50_000 else ""
        raise UsageError(f"no image '{image}' in the collection.{near}")
    row = view.places[found]
    if asked in edges.codes():
        edges.view([asked])
        derived = isinstance(view.describe(asked), Derived)
        return _derived(view, row, asked) if derived else _column(edges, view, row, asked)
    return _query(edges, view, row, asked)


@dataclass(frozen=True, slots=True)
class _Case:
    """What `_told` needs of a column or a query: its texts and curve, and the figures (n,) of every image."""

    asked: str
    kind: Literal["column", "query"]
    confidence: float | None
    band: str
    state: str
    source: str
    texts: Sequence[tuple[str, Role]]
    logit: float | None
    curve: Calibration
    every: question.Doubles
    labels: Sequence[Label] = ()
    matched: str = ""
    scorer: str = "prompts"


def _column(edges: Edges, view: View, row: int, code: str) -> Explanation:
    values, column = view.values(code), view.columns.get(code)
    prompts = column.provenance["prompts"] if column else ()
    negatives = column.provenance["negatives"] if column else ()
    case = _Case(
        asked=code,
        kind="column",
        confidence=_number(values.confidence[row]),
        band=BAND_NAMES[int(values.band[row])],
        state=columns.trust(view, code),
        source=str(view.source(code)[row]),
        texts=[*((p, "prompt") for p in prompts), *((n, "negative") for n in negatives)],
        logit=_number(view.logits(code)[row]) if column else None,
        curve=view.calibration(code),
        every=values.confidence,
        labels=edges.catalog.labels([code]),
        scorer=columns.scorer(column) if column else "prompts",
    )
    return _told(edges, view, row, case)


def _query(edges: Edges, view: View, row: int, text: str) -> Explanation:
    asked = question.question(edges, text)
    answer = question.answer(edges, view, asked)
    table = answer.exact(np.array([row]))
    _, confidence = answer.judge.judged(table, answer.background[[row]])
    usable = bool(np.isfinite(table).all())
    case = _Case(
        asked=text,
        kind="query",
        confidence=_number(confidence[0]),
        band=BAND_NAMES[int(band(confidence, Thresholds())[0])],
        state=answer.judge.state,
        source=MODEL,
        texts=_spoken(asked.phrasing, [v.text for variants in asked.variants for v in variants]),
        logit=float(answer.judge.positive_logits(table)[0]) if usable else None,
        curve=answer.judge.positives[0].curve or curves.fixed(),
        every=answer.confidence,
        matched=answer.judge.matched(table)[0] if usable else "",
    )
    return _told(edges, view, row, case)


def _spoken(phrasing: Phrasing, variants: Sequence[str]) -> list[tuple[str, Role]]:
    own = [term.text for term in phrasing.positives]
    others = [text for text in dict.fromkeys(variants) if text not in own]
    negatives = [term.text for term in phrasing.negatives]
    found: list[tuple[str, Role]] = [(text, "prompt") for text in own]
    found += [(text, "variant") for text in others]
    found += [(text, "part") for text in phrasing.parts]
    return [*found, *((text, "negative") for text in negatives)]


def _derived(view: View, row: int, code: str) -> Explanation:
    item, values = view.describe(code), view.values(code)
    inputs = item.rule.codes() if isinstance(item, Derived) else ()
    parts = []
    for part in inputs:
        own = view.values(part)
        told = _percent(_number(own.confidence[row]))
        parts.append(f"{part} is {BAND_NAMES[int(own.band[row])]} ({told})")
    confidence, name = _number(values.confidence[row]), BAND_NAMES[int(values.band[row])]
    words = (
        f"{view.paths[row]} is {name} for {code}, with {_percent(confidence)}.",
        f"{code} follows by rule from {len(inputs)} other columns: {'; '.join(parts)}.",
        "It is as sure as the weakest part of its rule; no model was asked for it.",
    )
    rank, of = _rank(values.confidence, row)
    return Explanation(
        image=str(view.ids[row]),
        path=str(view.paths[row]),
        asked=code,
        kind="derived",
        confidence=confidence,
        band=name,
        state=view.state(code),
        source="rule",
        said=(),
        cosine=None,
        logit=None,
        background=None,
        evidence=None,
        calibration={},
        rank=rank,
        of=of,
        neighbours=(),
        shows=_shows(view, row),
        words=words,
    )


def _told(edges: Edges, view: View, row: int, case: _Case) -> Explanation:
    background = _number(view.background[row])
    rank, of = _rank(case.every, row)
    scale, bias = edges.scale
    found = Explanation(
        image=str(view.ids[row]),
        path=str(view.paths[row]),
        asked=case.asked,
        kind=case.kind,
        confidence=case.confidence,
        band=case.band,
        state=case.state,
        source=case.source,
        said=_compared(edges, view, row, case.texts),
        cosine=None if case.logit is None or case.scorer != "prompts" else (case.logit - bias) / scale,
        logit=case.logit,
        background=background,
        evidence=_evidence(case.curve, case.logit, background),
        calibration={"id": case.curve.id, "kind": case.curve.kind, **_brief(case.curve)},
        rank=rank,
        of=of,
        neighbours=_neighbours(edges, view, row, case.labels),
        shows=_shows(view, row),
        words=(),
        scorer=case.scorer,
    )
    return replace(found, words=tuple(_sentences(found, case.curve, case.matched)))


def _sentences(found: Explanation, curve: Calibration, matched: str) -> Iterator[str]:
    yield _verdict(found)
    if found.logit is None:
        yield "It has no vector of this encoder, so there is nothing to compare."
    else:
        yield _likeness(found, matched)
        yield from _against_background(found, curve)
        if found.rank is not None:
            yield f"Of {found.of:,} images it is number {found.rank:,}."
    yield _trust(found, curve)
    if found.neighbours:
        yes = sum(n.value for n in found.neighbours)
        yield f"Of the {len(found.neighbours)} labelled images most like it, {yes} show it."


def _verdict(found: Explanation) -> str:
    if found.source == PERSON:
        return f"{found.path}: a person said {'yes' if found.confidence else 'no'}, and that outranks the model."
    if found.confidence is None:
        return f"{found.path}: nothing is known about “{found.asked}”."
    return f"{found.path} shows “{found.asked}” with a confidence of {_percent(found.confidence)}: {found.band}."


def _likeness(found: Explanation, matched: str) -> str:
    if found.cosine is None:
        return f"Its logit is {found.logit:.2f} by a {found.scorer} that has not seen this image's own label."
    own = [s for s in found.said if s.role in ("prompt", "variant")]
    nearest = max(own, key=lambda s: s.cosine) if own else None
    text = f"Its cosine with {'the mean of ' + str(len(own)) + ' prompts' if found.kind == 'column' else 'it'} is "
    text += f"{found.cosine:.3f}, which makes the logit {found.logit:.2f}"
    if matched and matched != found.asked:
        text += f"; it fits best as “{matched}”"
    elif nearest is not None and len(own) > 1 and found.kind == "column":
        text += f"; the nearest prompt is “{nearest.text}”, {nearest.cosine:.3f}"
    negatives = [s for s in found.said if s.role == "negative"]
    if negatives:
        rival = max(negatives, key=lambda s: s.cosine)
        text += f"; of what must not be seen, “{rival.text}” comes to {rival.cosine:.3f}"
    return text + "."


def _against_background(found: Explanation, curve: Calibration) -> list[str]:
    base = curves.base_of(curve)
    if base.kind == "native" and found.cosine is None:
        return ["That is read as log-odds; words were only where learning began."]
    if base.params.get("set") == "carried":
        return ["Its curve follows what the former encoder said of the same images."]
    if base.kind == "native":
        return [
            "The encoder was trained to say yes or no, so its logit is read as log-odds, corrected as its card says."
        ]
    if base.kind != "prior" or found.evidence is None or found.background is None:
        return []
    level = float(base.params["mu"]) + float(base.params["lambda"]) * found.background
    prevalence = float(base.params["prevalence"])
    return [
        f"An image like this that does not show it would come to about {level:.2f}: everyday phrases come to "
        f"{found.background:.2f} on it. The logit lies {found.evidence:+.1f} spreads of "
        f"{base.params['sigma']:.2f} from there.",
        f"The collection's own logits suggest that {_percent(prevalence)} of its images show it.",
    ]


def _trust(found: Explanation, curve: Calibration) -> str:
    match found.state.split(" ")[0]:
        case "calibrated":
            return f"The number was calibrated on labels: {found.state}."
        case "prior" if found.cosine is None and found.logit is not None:
            return "The labels that it learned from could not improve on its own log-odds."
        case "prior":
            return "The number is a prior: nobody has labelled anything for it, and labels would sharpen it."
        case "stale":
            return "The number is stale: the prompts or the encoder changed since it was calibrated."
        case _:
            return f"The number is uncalibrated ({curve.kind}): trust the order of images, not its size."


def _compared(edges: Edges, view: View, row: int, texts: Sequence[tuple[str, Role]]) -> tuple[Said, ...]:
    vector = search.vectors_of(edges, view, np.array([row]))
    if not texts or not np.isfinite(vector).all():
        return ()
    rows: Floats = edges.phrases()([text for text, _ in texts])
    cosines = (rows.astype(np.float64) @ vector[0].astype(np.float64)).tolist()
    return tuple(Said(text, role, cosine) for (text, role), cosine in zip(texts, cosines, strict=True))


def _evidence(curve: Calibration, logit: float | None, background: float | None) -> float | None:
    base = curves.base_of(curve)
    if base.kind != "prior" or logit is None or background is None:
        return None
    return float(curves.evidence(base.params, np.array([logit]), np.array([background]))[0])


def _brief(curve: Calibration) -> dict[str, Any]:
    """The parameters that a person can read; the knots of a curve are in its record."""
    base = curves.base_of(curve)
    names = ("center", "scale", "slope", "offset", "lambda", "mu", "sigma", "prevalence", "images", "source", "labels")
    own = {name: curve.params[name] for name in names if name in curve.params}
    return {**{name: base.params[name] for name in names if name in base.params}, **own}


def _neighbours(edges: Edges, view: View, row: int, labels: Sequence[Label]) -> tuple[Neighbour, ...]:
    """The labelled images most like this one; where people disagree, the newest word."""
    said = {label.image: bool(label.value) for label in labels if label.image in view.places}
    said.pop(str(view.ids[row]), None)
    if not said:
        return ()
    rows = np.array([view.places[image] for image in said], np.intp)
    vectors = search.vectors_of(edges, view, np.concatenate([[row], rows]))
    cosines = np.nan_to_num(vectors[1:] @ vectors[0], nan=-1.0)
    best = np.argsort(-cosines, kind="stable")[:NEIGHBOURS]
    names = list(said)
    return tuple(
        Neighbour(names[k], str(view.paths[int(rows[k])]), float(cosines[k]), said[names[k]]) for k in best.tolist()
    )


def _shows(view: View, row: int) -> tuple[tuple[str, float], ...]:
    """The columns that this image is surest of."""
    view.read(view.codes())
    found = [(code, _number(view.values(code).confidence[row])) for code in view.codes()]
    known = [(code, value) for code, value in found if value is not None and value >= Thresholds().tentative]
    return tuple(sorted(known, key=lambda pair: (-pair[1], pair[0]))[:SHOWN])


def _rank(confidence: question.Doubles, row: int) -> tuple[int | None, int]:
    known = confidence[~np.isnan(confidence)]
    if np.isnan(confidence[row]):
        return None, len(known)
    return int((known > confidence[row]).sum()) + 1, len(known)


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def _percent(value: float | None) -> str:
    if value is None:
        return "nothing known"
    if 0.999 < value < 1:
        return "over 99.9 %"
    if 0 < value < 0.001:
        return "under 0.1 %"
    return f"{100 * value:.{0 if value in (0, 1) else 1}f} %"
