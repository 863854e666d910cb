"""Examines an encoder: do the canonical pictures and texts still give the vectors that they gave when it was made?"""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from sextant import images
from sextant.encoder import OnnxEncoder, canonical
from sextant.errors import ModelError, SextantError
from sextant.types import Encoder, Floats

HEIGHT, WIDTH = 240, 320
"""The canonical pictures' size: neither square nor the network's own, so that resizing is examined too."""
LEAST_COSINE = {"fp32": 0.9999, "bf16": 0.98, "int8": 0.98}
"""The least cosine to the golden vectors, by precision. fp32 leaves room for another processor's rounding only."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was examined. `ok` is None where there was nothing to compare with."""

    name: str
    ok: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """What the examination found. `fidelity` gives each precision's mean cosine to fp32, or why there is none."""

    name: str
    revision: str
    device: str
    precision: str
    dim: int
    logit_scale: float
    logit_bias: float
    checks: list[Check]
    fidelity: dict[str, str] = field(default_factory=dict)
    images_per_second: float = 0.0
    texts_per_second: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(check.ok is not False for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return {**asdict(self), "ok": self.ok}


def golden(encoder: Encoder) -> dict[str, Any]:
    """An encoder's vectors of the canonical pictures and texts, as the card keeps them: base64 of float16."""
    rows, texts = _vectors(encoder)
    return {"encoding": "float16-base64", "images": _packed(rows), "texts": _packed(texts)}


def doctor(encoder: Encoder, *, precisions: Sequence[str] = ("bf16", "int8")) -> DoctorReport:
    """Examine an encoder. For a bundle, `precisions` are tried as well and compared with fp32."""
    bundle = encoder if isinstance(encoder, OnnxEncoder) else None
    image_rate = text_rate = 0.0
    try:
        checks = _checks(encoder)
        image_rate, text_rate = _rates(encoder)
    except ModelError as error:
        checks = [Check("pictures and texts", False, str(error))]
    return DoctorReport(
        name=encoder.name,
        revision=encoder.revision,
        device=getattr(encoder, "device", "cpu"),
        precision=getattr(encoder, "precision", "fp32"),
        dim=encoder.dim,
        logit_scale=encoder.logit_scale,
        logit_bias=encoder.logit_bias,
        checks=checks,
        fidelity=_fidelities(bundle, precisions) if bundle is not None else {},
        images_per_second=image_rate,
        texts_per_second=text_rate,
    )


def _checks(encoder: Encoder) -> list[Check]:
    started = time.perf_counter()
    rows, texts = _vectors(encoder)
    seconds = time.perf_counter() - started
    checks = [
        _shape("pictures", rows, encoder.dim),
        _shape("texts", texts, encoder.dim),
        _alone(encoder, texts),
        _distinct(rows),
    ]
    if isinstance(encoder, OnnxEncoder):
        checks += [_against_golden(encoder, rows, texts), _logits(encoder)]
    return [*checks, Check("time of the first vectors", None, f"{seconds:.1f} s")]


def _vectors(encoder: Encoder) -> tuple[Floats, Floats]:
    pictures = [images.from_pixels(pixels) for pixels in canonical.draw(HEIGHT, WIDTH)]
    return encoder.encode_images(pictures), encoder.encode_texts(canonical.TEXTS)


def _packed(rows: Floats) -> str:
    return base64.b64encode(np.ascontiguousarray(rows, dtype="<f2").tobytes()).decode("ascii")


def _unpacked(packed: Any, dim: int) -> Floats:
    try:
        return np.frombuffer(base64.b64decode(packed, validate=True), "<f2").astype(np.float32).reshape(-1, dim)
    except (TypeError, ValueError) as error:
        raise ModelError(f"The golden vectors in card.json are damaged: {error}") from error


def _shape(what: str, rows: Floats, dim: int) -> Check:
    if rows.ndim != 2 or rows.shape[1] != dim:
        return Check(what, False, f"vectors of shape {rows.shape}, expected (n, {dim})")
    lengths = np.linalg.norm(rows, axis=1)
    ok = bool(np.isfinite(rows).all() and np.abs(lengths - 1).max() < 1e-3)
    return Check(what, ok, f"{len(rows)} vectors, lengths {lengths.min():.4f} to {lengths.max():.4f}")


def _alone(encoder: Encoder, together: Floats) -> Check:
    """A text must not depend on the company it is encoded in: padding to the longest would make it so."""
    alone = np.concatenate([encoder.encode_texts([text]) for text in canonical.TEXTS])
    least = float((alone * together).sum(axis=1).min())
    return Check("texts alone and in company", least > 0.9999, f"least cosine {least:.6f}")


def _distinct(rows: Floats) -> Check:
    cosines = rows @ rows.T
    highest = float(cosines[~np.eye(len(rows), dtype=bool)].max())
    return Check("different pictures differ", highest < 0.999999, f"highest cosine between two {highest:.4f}")


def _against_golden(encoder: OnnxEncoder, rows: Floats, texts: Floats) -> Check:
    stored = encoder.card.golden
    if not stored:
        return Check("golden vectors", None, "the card has none; `sextant model convert` writes them")
    least = []
    for kind, ours in (("images", rows), ("texts", texts)):
        theirs = _unpacked(stored.get(kind), encoder.dim)
        if theirs.shape != ours.shape:
            return Check("golden vectors", False, f"{len(theirs)} golden {kind}, {len(ours)} expected")
        least.append(float(((ours * theirs).sum(axis=1) / np.linalg.norm(theirs, axis=1)).min()))
    ok = least[0] >= LEAST_COSINE[encoder.precision] and least[1] >= LEAST_COSINE["fp32"]
    return Check("golden vectors", ok, f"least cosine {least[0]:.6f} for pictures, {least[1]:.6f} for texts")


def _logits(encoder: OnnxEncoder) -> Check:
    values = f"scale {encoder.logit_scale:.4g}, bias {encoder.logit_bias:.4g}"
    if encoder.card.logits_assumed:
        return Check("logit scale and bias", None, f"{values}: assumed; no file of the model says them")
    return Check("logit scale and bias", True, values)


def _fidelities(encoder: OnnxEncoder, precisions: Sequence[str]) -> dict[str, str]:
    found = {}
    for precision in precisions:
        try:
            other = encoder if encoder.precision == precision else encoder.at(precision)
            mean, least = other.fidelity()
            found[precision] = f"mean cosine to fp32 {mean:.4f}, least {least:.4f} (mean removed)"
        except SextantError as error:
            found[precision] = str(error)
    return found


def _rates(encoder: Encoder, count: int = 16) -> tuple[float, float]:
    """Pictures and texts a second, the network's part only for encoders that prepare separately."""
    pictures = [images.from_pixels(pixels) for pixels in canonical.draw(HEIGHT, WIDTH)[:count]]
    prepare, run = getattr(encoder, "prepare", None), getattr(encoder, "encode_prepared", None)
    batch: Any = [prepare(picture) for picture in pictures] if prepare and run else pictures
    encode: Any = run if prepare and run else encoder.encode_images
    started = time.perf_counter()
    encode(batch)
    middle = time.perf_counter()
    encoder.encode_texts([f"a photo of {number} things" for number in range(count)])
    return count / max(middle - started, 1e-9), count / max(time.perf_counter() - middle, 1e-9)
