"""The tuner of one column, without a terminal: what other settings would make of it, advice, and a way back.

Every table here is the formula `sigmoid((logit − center) / scale)`, or `sigmoid(cosine · T)` for a temperature, and
nothing else. A temperature T is the same as the center `logit_bias` and the scale `logit_scale / T`. Nothing is written
before `save`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant import columns, prior
from sextant.answers import labelled, settled
from sextant.catalog import CalibrationRecord
from sextant.edges import Edges
from sextant.errors import UsageError
from sextant.maths import calibration as curves
from sextant.maths.calibration import Calibration, base_of
from sextant.maths.rules import ACCEPTED, REJECTED, TENTATIVE, band
from sextant.types import Inspection
from sextant.view import View
from sextant.vocabulary import Attribute

TEMPERATURES = (10.0, 12.0, 15.0, 18.0, 20.0, 25.0, 30.0, 35.0)
PRESETS = ((25.5, 1.5), (22.0, 3.0), (28.0, 1.5))
LEAST_IMAGES = 20
LEAST_LABELS = 10
BY_HAND = {"set": True}
"""Marks a curve that a person chose: neither `tag` nor `calibrate` replaces it."""
ORDER = "a center, a scale or a temperature alone never changes the order of images, only where the bands begin"


@dataclass(frozen=True, slots=True)
class Answer:
    """One table: names of columns, rows of plain values, and what is to be said about them."""

    names: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    notes: tuple[str, ...] = ()

    def records(self) -> list[dict[str, Any]]:
        """The rows by name."""
        return [dict(zip(self.names, row, strict=True)) for row in self.rows]


def at_temperature(cosine: float, temperature: float) -> float:
    """`sigmoid(cosine · T)`: −0.0409 at 20 is 0.3062."""
    return 1 / (1 + math.exp(-cosine * temperature))


@dataclass
class Tuner:
    """One column under the knife. `drafts` are the curves tried since the last save, the last one current."""

    edges: Edges
    code: str
    drafts: list[Calibration] = field(default_factory=list)

    def __post_init__(self) -> None:
        view = self.edges.view_of([self.code])
        item = view.describe(self.code)
        if self.code not in view.columns or not isinstance(item, Attribute):
            raise UsageError(
                f"'{self.code}' has no logits of its own to tune; tune what it is made of, or run sextant tag"
            )
        if item.group is not None:
            raise UsageError(
                f"'{self.code}' belongs to the exclusive group '{item.group}', which shares one temperature: "
                "label it, and run sextant calibrate"
            )

    @property
    def view(self) -> View:
        """The collection as it is now."""
        return self.edges.view_of([self.code])

    @property
    def curve(self) -> Calibration:
        """The draft, or what is in use where there is none."""
        return self.drafts[-1] if self.drafts else self.view.calibration(self.code)

    # looking

    def test(self, what: str | None = None) -> Answer:
        """A cosine, or the cosine of an image (id or path), at every temperature; else the column's range."""
        scale, bias = self.edges.scale
        view = self.view
        if what is None:
            named = {"lowest": 0.0, "median": 0.5, "99 %": 0.99, "highest": 1.0}
            z = _finite(view.logits(self.code))
            if not len(z):
                raise UsageError(f"no image has a logit for '{self.code}' yet")
            logits = {name: float(np.quantile(z, q)) for name, q in named.items()}
            cosines = {name: (z - bias) / scale for name, z in logits.items()}
        elif (number := _number(what)) is not None:
            cosines = {what: number}
        else:
            image = view.find(what)
            if image is None:
                raise UsageError(f"'{what}' is neither a cosine nor an image of the collection")
            cosines = {what: (float(view.logits(self.code)[view.places[image]]) - bias) / scale}
        rows = tuple((int(t), *(at_temperature(c, t) for c in cosines.values()), bias, scale / t) for t in TEMPERATURES)
        said = [f"{name}: cosine {c:.4f}, logit {scale * c + bias:.3f}" for name, c in cosines.items()]
        return Answer(("T", *cosines, "= center", "scale"), rows, (*said, ORDER, *self._judged(what)))

    def _judged(self, what: str | None) -> list[str]:
        """What the curve in use, and the draft, make of the image that was asked about."""
        view = self.view
        image = view.find(what) if what is not None and _number(what) is None else None
        if image is None:
            return []
        place = view.places[image]
        curves_ = {"in use": view.calibration(self.code)} | ({"draft": self.curve} if self.drafts else {})
        return [f"{n} ({_named(c)}): {view.confidence(self.code, c)[place]:.4f}" for n, c in curves_.items()]

    def compare(self) -> Answer:
        """Band counts of the usual settings, of the histogram's, of what is in use, and of the draft."""
        view = self.view
        ways = {_named(c): c for c in (curves.fixed(*p) for p in PRESETS)}
        z = _finite(view.logits(self.code))
        if len(z) >= LEAST_IMAGES and z.std() > 0:
            suggested = curves.histogram_rule(z)
            ways[f"histogram: {_named(suggested)}"] = suggested
        base = base_of(view.calibration(self.code))
        if base.kind == "prior":
            ways["prior"] = base
        ways[f"in use: {_named(view.calibration(self.code))}"] = view.calibration(self.code)
        if self.drafts:
            ways[f"draft: {_named(self.curve)}"] = self.curve
        rows = tuple((name, *self.counts(curve)) for name, curve in ways.items())
        return Answer(("setting", "accepted", "tentative", "rejected"), rows, (self._edges_note(view),))

    def counts(self, curve: Calibration) -> tuple[int, int, int]:
        """How many images a curve accepts, leaves in doubt and rejects, by the column's own thresholds."""
        view = self.view
        bands = band(view.confidence(self.code, curve), view.thresholds(self.code))
        return int((bands == ACCEPTED).sum()), int((bands == TENTATIVE).sum()), int((bands == REJECTED).sum())

    def all(self, center: float | None = None, scale: float | None = None) -> Answer:
        """What one center and scale would make of every column; without them, the draft's, or what is in use."""
        draft = self.drafts[-1] if self.drafts else None
        curve = curves.fixed(center, scale) if center is not None and scale is not None else draft
        view = self.edges.view(self.edges.codes())
        rows = []
        for code in view.columns:
            used = curve or view.calibration(code)
            bands = band(view.confidence(code, used), view.thresholds(code))
            counts = (int((bands == b).sum()) for b in (ACCEPTED, TENTATIVE, REJECTED))
            rows.append((code, *counts))
        said = f"every column at {_named(curve)}" if curve else "every column as it is in use"
        note = "one center for all columns is rarely right: their logits lie at different levels"
        return Answer(("code", "accepted", "tentative", "rejected"), tuple(rows), (said, *([note] if curve else [])))

    def recommend(self) -> Answer:
        """A center and a scale, from the labels where there are enough, else from the histogram; and why."""
        z = _finite(self.view.logits(self.code))
        if len(z) < LEAST_IMAGES:
            raise UsageError(
                f"{len(z)} images say too little about '{self.code}'; advice needs at least {LEAST_IMAGES}"
            )
        rows, notes = [], []
        if z.std() > 0:
            by_histogram = curves.histogram_rule(z)
            rows.append(("histogram", *_center_scale(by_histogram), *self.counts(by_histogram)))
            notes.append(
                f"histogram: of {len(z):,} logits with mean {z.mean():.2f} and standard deviation {z.std():.2f}, the "
                f"95th percentile {np.quantile(z, 0.95):.2f} is the center and half the deviation the scale; "
                "it assumes that about one image in twenty shows it"
            )
        fitted, why = self._from_labels()
        if fitted is not None:
            rows.append(("labels", *_center_scale(fitted), *self.counts(fitted)))
        notes.append(why)
        held = self.view.calibration(self.code)
        notes.append(f"in use: {_named(held)}, {columns.trust(self.view, self.code)}")
        if base_of(held).params.get("lambda"):
            notes.append("that compares every image with its own background, which no center and scale can do")
        return Answer(("from", "center", "scale", "accepted", "tentative", "rejected"), tuple(rows), (*notes, ORDER))

    def _from_labels(self) -> tuple[Calibration | None, str]:
        """The likeliest center and scale by the labels, and the numbers they rest on."""
        view, catalog = self.view, self.edges.catalog
        answers = settled(catalog.labels([self.code]))
        given = labelled(view, answers, catalog.sample([self.code])).get(self.code)
        truth = np.asarray(given.truth) if given else np.zeros(0)
        yes = int(truth.sum())
        if given is None or len(truth) < LEAST_LABELS or not 0 < yes < len(truth):
            return None, (
                f"labels: {len(truth)}, of them {yes} yes; at least {LEAST_LABELS} with both answers are needed: "
                f"sextant label ask {self.code}"
            )
        fitted = _likeliest(np.asarray(given.logits, np.float64), truth, np.asarray(given.weights, np.float64))
        said = f"labels: the likeliest center and scale for {len(truth)} of them, {yes} yes, each counted by its chance"
        return fitted, f"{said}; sextant calibrate does as much, and tests it on labels it did not see"

    def histogram(self, bins: int = 40) -> Inspection:
        """The column's logits, and where the bands of the draft, or of what is in use, begin."""
        if self.drafts and self.curve.kind == "fixed":
            center, scale = _center_scale(self.curve)
            return columns.inspect(self.view, self.code, center=center, scale=scale, bins=bins)
        return columns.inspect(self.view, self.code, center=None, scale=None, bins=bins)

    # changing

    def set(self, center: float, scale: float) -> Answer:
        """Makes `fixed(center, scale)` the draft, and says what it would change."""
        return self._try(curves.fixed(center, scale))

    def set_temperature(self, temperature: float) -> Answer:
        """Makes `sigmoid(cosine · T)` the draft."""
        if not (math.isfinite(temperature) and temperature > 0):
            raise UsageError(f"a temperature is a number above 0, not {temperature}")
        scale, bias = self.edges.scale
        return self._try(curves.fixed(bias, scale / temperature))

    def _try(self, curve: Calibration) -> Answer:
        before = self.counts(self.curve)
        self.drafts.append(curve)
        after = self.counts(curve)
        names = ("", "accepted", "tentative", "rejected")
        return Answer(names, (("before", *before), (_named(curve), *after)), ("not saved yet: save, or undo",))

    def save(self) -> Answer:
        """Puts the draft in use, until somebody undoes it; labels may refine it."""
        if not self.drafts:
            raise UsageError("there is nothing to save: set a center and a scale first")
        curve = Calibration("fixed", {**self.curve.params, **BY_HAND})
        self._put(curve, {})
        self.drafts.clear()
        return Answer(("in use", "accepted", "tentative", "rejected"), ((_named(curve), *self.counts(curve)),))

    def undo(self) -> Answer:
        """Takes back the last draft; where there is none, the calibration before the one in use comes back."""
        if self.drafts:
            self.drafts.pop()
        else:
            record = self._before()
            self._put(Calibration(record.calibration["kind"], record.calibration["params"]), record.measured)
        name = "draft" if self.drafts else "in use"
        return Answer((name, "accepted", "tentative", "rejected"), ((_named(self.curve), *self.counts(self.curve)),))

    def reset(self) -> Answer:
        """Puts the `prior` in use, as if nobody had ever set or labelled anything."""
        view = self.view
        unlabelled = prior.Unlabelled(self.edges)
        if not unlabelled.known:
            raise UsageError(f"there is no prior here: fewer than {LEAST_IMAGES} images, or the encoder is not at hand")
        self._put(unlabelled.curve(view.logits(self.code), view.background), {})
        self.drafts.clear()
        return Answer(
            ("in use", "accepted", "tentative", "rejected"), ((_named(self.curve), *self.counts(self.curve)),)
        )

    def _before(self) -> CalibrationRecord:
        """The last record that differs from the one in use and is for the same prompts."""
        held = self.edges.catalog.history(self.edges.vectors.name, self.code)
        prompts = self.view.columns[self.code].provenance["prompt_hash"]
        older = [r for r in held[:-1] if r.prompt_hash == prompts and r.hash != held[-1].hash]
        if not older:
            raise UsageError(f"'{self.code}' never had another calibration")
        return older[-1]

    def _put(self, curve: Calibration, measured: Mapping[str, Any]) -> None:
        prompts = self.view.columns[self.code].provenance["prompt_hash"]
        row = {self.code: (curve.id, {"kind": curve.kind, "params": dict(curve.params)}, prompts)}
        self.edges.catalog.put_calibrations(self.edges.vectors.name, row, {self.code: measured})

    def _edges_note(self, view: View) -> str:
        edges = view.thresholds(self.code)
        return f"accepted from {edges.accepted:.4g}, tentative from {edges.tentative:.4g}; {ORDER}"


def _likeliest(logits: NDArray[np.float64], truth: NDArray[np.float64], weights: NDArray[np.float64]) -> Calibration:
    """The center and scale of the greatest weighted likelihood, kept from running off where labels part cleanly."""
    from scipy.optimize import minimize

    there = np.isfinite(logits)
    z, y, w = logits[there], truth[there], weights[there] / weights[there].sum() * len(logits[there])
    middle, spread = float(z.mean()), max(float(z.std()), 1e-6)
    x = (z - middle) / spread

    def loss(free: NDArray[np.float64]) -> float:
        linear = np.exp(free[0]) * x + free[1]
        return float((w * (np.logaddexp(0, linear) - y * linear)).sum() + 0.5 * (free[0] / 1.5) ** 2)

    best = minimize(loss, [0.0, 0.0], method="Nelder-Mead").x
    slope = float(np.exp(best[0]))
    return curves.fixed(middle - spread * float(best[1]) / slope, spread / slope)


def _center_scale(curve: Calibration) -> tuple[float, float]:
    return float(curve.params["center"]), float(curve.params["scale"])


def _named(curve: Calibration) -> str:
    if curve.kind != "fixed":
        return curve.kind
    center, scale = _center_scale(curve)
    return f"fixed({center:.4g}, {scale:.4g})" + (" by hand" if "set" in curve.params else "")


def _finite(values: Sequence[float] | NDArray[Any]) -> NDArray[np.float64]:
    z = np.asarray(values, np.float64)
    return np.asarray(z[np.isfinite(z)])


def _number(text: str) -> float | None:
    try:
        return float(text.replace("−", "-"))
    except ValueError:
        return None
