"""The encoder edge: bundles for ONNX Runtime (or OpenVINO), and a model-free encoder for tests and dry runs."""

from __future__ import annotations

from sextant.encoder.bundle import OnnxEncoder
from sextant.encoder.card import Card
from sextant.encoder.hashed import HashEncoder

__all__ = ["Card", "HashEncoder", "OnnxEncoder"]
