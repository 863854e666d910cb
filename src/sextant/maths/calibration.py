"""A calibration: a monotone curve from (logit, background) to confidence, with everything needed to draw it again.

Six kinds share one record and one function. Knows nothing of where logits come from, nor how a curve was fitted:
`mixture` fits `prior`, `platt` and `isotonic` fit what their names say.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sextant.errors import UsageError

Kind = Literal["fixed", "native", "prior", "platt", "isotonic", "temperature"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Calibration:
    """One curve: its kind, and its parameters as plain JSON values. Equal content has an equal `id`."""

    kind: Kind
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Sixteen hex characters of the content's BLAKE2b hash."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=ID_BYTES).hexdigest()

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces, floats that read back to the same bits."""
        content = {"kind": self.kind, "params": self.params}
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """The calibration that `to_json` wrote. Raises `UsageError` for anything else."""
        try:
            content = json.loads(text)
            kind, params = content["kind"], content["params"]
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"not a calibration record: {error}") from error
        if kind not in KINDS:
            raise UsageError(f"unknown kind of calibration {kind!r}; known are {', '.join(KINDS)}")
        return cls(kind, params)


def fixed(center: float = 25.5, scale: float = 1.5) -> Calibration:
    """`sigmoid((logit − center) / scale)` on the raw logit. Raises `UsageError` unless scale is above zero."""
    if not (np.isfinite(center) and np.isfinite(scale) and scale > 0):
        raise UsageError(f"a fixed calibration needs a finite center and a scale above 0, not {center} and {scale}")
    return Calibration("fixed", {"center": float(center), "scale": float(scale)})


def histogram_rule(logits: ArrayLike) -> Calibration:
    """A `fixed` curve from the histogram of all logits (any shape) of a collection: where its right tail begins.

    Center at their 95th percentile, scale half their standard deviation; it needs no label and knows of none.
    """
    values = np.asarray(logits, dtype=np.float64).ravel()
    values = values[np.isfinite(values)]
    if not len(values) or values.std() == 0:
        raise UsageError("a histogram rule needs logits that differ")
    return fixed(float(np.quantile(values, 0.95)), float(values.std() / 2))


def native(slope: float = 1.0, offset: float = 0.0) -> Calibration:
    """`sigmoid(slope · logit + offset)`: a sigmoid-trained encoder's own probability, corrected as its card says."""
    if (slope, offset) == (1.0, 0.0):
        return Calibration("native")
    return Calibration("native", {"slope": float(slope), "offset": float(offset)})


def temperature(value: float) -> Calibration:
    """The softmax of an exclusive group at this temperature; `group_confidence` applies it."""
    if not (np.isfinite(value) and value > 0):
        raise UsageError(f"a temperature must be above 0, not {value}")
    return Calibration("temperature", {"temperature": float(value)})


def confidence(calibration: Calibration, logits: ArrayLike, background: ArrayLike | None = None) -> NDArray[np.float64]:
    """Confidences (n,) of logits (n,), given each image's background (n,) where the curve reads it.

    Never falls as the logit rises at the same background. A logit or background that is NaN gives NaN.
    Raises `UsageError` when a background is needed and missing, and for `temperature`, which needs its whole group.
    """
    values = np.asarray(logits, dtype=np.float64)
    if calibration.kind == "isotonic":
        x = log_odds(_inner(calibration), values, background)
        return _interpolate(x, calibration.params["x"], calibration.params["y"])
    return sigmoid(log_odds(calibration, values, background))


def log_odds(calibration: Calibration, logits: ArrayLike, background: ArrayLike | None = None) -> NDArray[np.float64]:
    """`log(p / (1 − p))` of `confidence`, without the loss of precision near 0 and 1."""
    values = np.asarray(logits, dtype=np.float64)
    params = calibration.params
    match calibration.kind:
        case "fixed":
            return np.asarray((values - params["center"]) / params["scale"])
        case "native":
            return np.asarray(params.get("slope", 1.0) * values + params.get("offset", 0.0))
        case "prior":
            e = evidence(params, values, background)
            return _interpolate(e, params["e"], params["log_odds"])
        case "platt":
            inner = log_odds(_inner(calibration), values, background)
            return cast("NDArray[np.float64]", params["slope"] * inner + params["offset"])
        case "isotonic":
            p = confidence(calibration, values, background)
            with np.errstate(divide="ignore"):
                return cast("NDArray[np.float64]", np.log(p) - np.log1p(-p))
        case "temperature":
            raise UsageError("a temperature belongs to a whole exclusive group: use group_confidence")


def evidence(
    params: Mapping[str, Any], logits: NDArray[np.float64], background: ArrayLike | None
) -> NDArray[np.float64]:
    """`(logit − λ · background − μ) / σ`, what a prior's curve reads."""
    weight = params["lambda"]
    if weight == 0:
        return cast("NDArray[np.float64]", (logits - params["mu"]) / params["sigma"])
    if background is None:
        raise UsageError("this calibration compares a logit with its image's background, and no background was given")
    level = weight * np.asarray(background, dtype=np.float64)
    return cast("NDArray[np.float64]", (logits - level - params["mu"]) / params["sigma"])


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """`1 / (1 + exp(−x))`. Written out: scipy's would add a fifth of a second to the start of every query."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def group_confidence(logits: ArrayLike, temperature: float = 1.0) -> NDArray[np.float64]:
    """Softmax of `logits / temperature` over the last axis: the rows (n, k) of an exclusive group, each summing to 1.

    A row with any NaN is NaN throughout. The order within a row does not depend on the temperature.
    """
    if not temperature > 0:
        raise UsageError(f"a temperature must be above 0, not {temperature}")
    rows = np.asarray(logits, dtype=np.float64) / temperature
    powers = np.exp(rows - rows.max(axis=-1, keepdims=True))
    return cast("NDArray[np.float64]", powers / powers.sum(axis=-1, keepdims=True))


def base_of(calibration: Calibration) -> Calibration:
    """The unlabelled curve that a fitted one stands on; an unlabelled one itself."""
    return base_of(_inner(calibration)) if "on" in calibration.params else calibration


def _inner(calibration: Calibration) -> Calibration:
    """The curve that a fitted one stands on."""
    inner = calibration.params["on"]
    return Calibration(inner["kind"], inner["params"])


def _interpolate(x: NDArray[np.float64], knots: ArrayLike, values: ArrayLike) -> NDArray[np.float64]:
    """Straight lines between the knots and level beyond them; NaN stays NaN."""
    return cast("NDArray[np.float64]", np.interp(x, np.asarray(knots), np.asarray(values)))
