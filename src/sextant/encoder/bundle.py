"""An encoder from a folder of ONNX files: a bundle, or the hub layout. Knows nothing of where the folder came from."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sextant.encoder import canonical, network
from sextant.encoder.card import Card, Known, read_bundle_card, read_hub_card
from sextant.encoder.pixels import PixelPreparation
from sextant.encoder.tokens import TextPreparation
from sextant.errors import MissingExtra, ModelError
from sextant.types import Floats

if TYPE_CHECKING:
    from PIL import Image

Precision = Literal["auto", "fp32", "bf16", "int8"]
LEAST_FIDELITY = 0.99
"""int8 is used only where its vectors keep this mean cosine to fp32 on the canonical pictures, their mean removed."""
WORTH_BF16 = 32_000_000
"""Bytes of an image tower above which bf16 pays for its start: below, `auto` is plain fp32."""
SCALED_DECODE = 1.0
"""How many times the network's own side a scaled decode must keep."""


class OnnxEncoder:
    """An image-text pair of towers on ONNX Runtime; the image tower on OpenVINO for bf16.

    `precision` is part of the revision, because it changes the vectors: `REVISION` alone is fp32 from fully decoded
    pictures, `+scaled` fp32 from JPEGs decoded at a fraction of their size, `+bf16` and `+int8` both that and fewer
    bits. `auto` is bf16 where the processor and the installed packages have it and the model is large enough to gain.
    Texts are always encoded in fp32. Towers are opened when first used.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "auto",
        precision: str = "auto",
        name: str | None = None,
        revision: str | None = None,
        known: Known | None = None,
        threads: int | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.card, self.visual_path, self.textual_path, self.tokenizer_path = _read(self.folder, name, revision, known)
        self.device = _device(device)
        self.precision, scaled = _precision(precision, self.device, self.visual_path)
        suffix = f"+{self.precision}" if self.precision != "fp32" else ("+scaled" if scaled else "")
        self.name, self.revision, self.dim = self.card.name, self.card.revision + suffix, self.card.dim
        self.logit_scale, self.logit_bias = self.card.logit_scale, self.card.logit_bias
        self.decode_side = int(self.card.image_size * SCALED_DECODE) if scaled else None
        self._pixels = PixelPreparation(self.card)
        self._threads = threads
        self._lock = threading.RLock()
        self._visual: network.Network | None = None
        self._textual: tuple[TextPreparation, network.Network] | None = None
        if self.precision == "int8":
            self._refuse_bad_int8()
        if device == "cuda":  # asked for: better an error now than one for every picture
            self._visual = self._open_visual()

    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        """RGB images of any size to (n, dim) float32 unit rows. Raises `ModelError`."""
        return self.encode_prepared([self.prepare(image) for image in images])

    def prepare(self, image: Image.Image) -> NDArray[Any]:
        """One RGB image to a (3, s, s) float32 array, as the model's reference prepares it. Safe in several threads."""
        return self._pixels(image)

    def encode_prepared(self, batch: Sequence[NDArray[Any]]) -> Floats:
        """Prepared images, each (3, s, s), to (n, dim) float32 unit rows. Raises `ModelError`."""
        if not len(batch):
            return np.empty((0, self.dim), dtype=np.float32)
        with self._lock:
            if self._visual is None:
                self._visual = self._open_visual()
            return self._unit(self._visual(np.stack(batch)), "image")

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """Texts to (n, dim) float32 unit rows. Raises `ModelError`."""
        if not len(texts):
            return np.empty((0, self.dim), dtype=np.float32)
        with self._lock:
            if self._textual is None:
                tower = network.open_onnx(self.textual_path, device=self.device, threads=self._threads)
                self._textual = TextPreparation(self.tokenizer_path, self.card), tower
            prepare, tower = self._textual
            return self._unit(tower(prepare(texts)), "text")

    def tokens(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """The token ids that the text tower gets, (n, context_length) int32."""
        return TextPreparation(self.tokenizer_path, self.card)(texts)

    def canonical_pixels(self) -> Floats:
        """The canonical pictures at the network's own size, prepared: (24, 3, s, s) float32."""
        side = self.card.image_size
        return np.stack([self._pixels.normalise(picture) for picture in canonical.draw(side, side)])

    def at(self, precision: str) -> OnnxEncoder:
        """The same encoder in another precision. Raises `ModelError` where that is not possible."""
        other = OnnxEncoder(self.folder, device="cpu", precision=precision, threads=self._threads)
        other.card, other.name = self.card, self.name
        return other

    def fidelity(self) -> tuple[float, float]:
        """Mean and least cosine of this precision's vectors to fp32 on the canonical pictures, their mean removed."""
        if self.precision == "fp32":
            return 1.0, 1.0
        pictures = self.canonical_pixels()
        exact = self._unit(network.open_onnx(self.visual_path, threads=self._threads)(pictures), "image")
        return _fidelity(exact, self.encode_prepared(list(pictures)))

    def _open_visual(self) -> network.Network:
        if self.precision == "bf16":
            return network.open_openvino(self.visual_path, threads=self._threads)
        path = _int8_copy(self.visual_path) if self.precision == "int8" else self.visual_path
        return network.open_onnx(path, device=self.device, threads=self._threads)

    def _refuse_bad_int8(self) -> None:
        record = _int8_copy(self.visual_path).with_suffix(".json")
        if not record.is_file():
            mean, least = self.fidelity()
            record.write_text(json.dumps({"mean": mean, "least": least}), encoding="utf-8")
        mean = float(json.loads(record.read_text(encoding="utf-8"))["mean"])
        if not mean >= LEAST_FIDELITY:
            raise ModelError(
                f"{self.card.name} loses too much in int8: its vectors keep a cosine of {mean:.3f} to fp32 on the "
                f"canonical pictures, and {LEAST_FIDELITY} is required. Use --precision bf16 or fp32."
            )

    def _unit(self, rows: Floats, what: str) -> Floats:
        """Rows scaled to length 1, or a `ModelError` that names the row that is not a vector."""
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise ModelError(
                f"{self.name} gives {what} vectors of shape {rows.shape[1:]}; its card says ({self.dim},)."
            )
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        wrong = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0))[:, 0])
        if len(wrong):
            raise ModelError(
                f"{self.name} gives no usable vector for {what} {wrong[0]} of this batch (not a number, or all zero). "
                "The weights may be damaged; try `sextant model doctor`, or --precision fp32."
            )
        unit: Floats = (rows / lengths).astype(np.float32, copy=False)
        return unit


def _read(folder: Path, name: str | None, revision: str | None, known: Known | None) -> tuple[Card, Path, Path, Path]:
    if not folder.is_dir():
        raise ModelError(
            f"There is no folder {folder}. A local encoder is a folder with card.json or visual/model.onnx."
        )
    if (folder / "card.json").is_file():
        parts = folder / "visual.onnx", folder / "textual.onnx", folder / "tokenizer.json"
        card = read_bundle_card(folder)
    elif (folder / "visual" / "model.onnx").is_file() or (folder / "visual" / "preprocess_cfg.json").is_file():
        parts = (
            folder / "visual" / "model.onnx",
            folder / "textual" / "model.onnx",
            folder / "textual" / "tokenizer.json",
        )
        card = read_hub_card(folder, name or folder.resolve().name, revision, known)
    else:
        raise ModelError(
            f"{folder} is no encoder: neither a bundle (card.json) nor the hub layout (visual/model.onnx). "
            "A checkpoint of open_clip or Hugging Face becomes a bundle with `sextant model convert`."
        )
    for part in parts:
        if not part.is_file():
            raise ModelError(f"The encoder is incomplete: {part} is missing.")
    return card, *parts


def _device(asked: str) -> network.Device:
    if asked not in ("auto", "cpu", "cuda"):
        raise ModelError(f"There is no device {asked!r}; use auto, cpu or cuda.")
    if asked == "cpu":
        return "cpu"
    if network.cuda_available():
        return "cuda"
    if asked == "cuda":
        raise ModelError(
            "CUDA was asked for, but the installed ONNX Runtime has none. "
            "Install onnxruntime-gpu instead of onnxruntime, or use --device cpu."
        )
    return "cpu"


def _precision(asked: str, device: network.Device, visual: Path) -> tuple[Precision, bool]:
    """The precision to compute in, and whether JPEGs may be decoded at a fraction of their size."""
    if asked not in ("auto", "fp32", "bf16", "int8"):
        raise ModelError(f"There is no precision {asked!r}; use auto, fp32, bf16 or int8.")
    if asked in ("bf16", "int8") and device == "cuda":
        raise ModelError(f"Precision {asked} is for processors. Use --precision fp32 with --device cuda.")
    if asked == "bf16" and not network.cpu_has_bf16():
        raise ModelError(
            "This processor does not compute in bf16. Use --precision fp32, or int8 where it is good enough."
        )
    if asked == "bf16" and not network.has_openvino():
        raise MissingExtra("Precision bf16", "openvino")
    if asked == "auto":
        if visual.stat().st_size < WORTH_BF16:
            return "fp32", False
        able = device == "cpu" and network.cpu_has_bf16() and network.has_openvino()
        return ("bf16" if able else "fp32"), True
    return asked, asked != "fp32"  # type: ignore[return-value]


def _int8_copy(visual: Path) -> Path:
    """The int8 copy of an image tower, made once: beside the bundle, or in the cache where that is read-only."""
    stamp = f"{visual.stat().st_size:x}-{visual.stat().st_mtime_ns:x}"
    beside = visual.parent / ".int8"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sextant" / "int8"
    folder = beside if os.access(visual.parent, os.W_OK) else cache
    target = folder / f"{visual.stem}-{stamp}.onnx"
    if not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            network.quantise(visual, Path(scratch) / "model.onnx")
            (Path(scratch) / "model.onnx").replace(target)
    return target


def _fidelity(exact: Floats, other: Floats) -> tuple[float, float]:
    """Mean and least cosine of rows, after the mean of the exact rows is taken from both."""
    centre = exact.mean(axis=0)
    a, b = exact - centre, other - centre
    cosines = (a * b).sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)
    return float(cosines.mean()), float(cosines.min())
