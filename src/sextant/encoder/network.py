"""Runs one ONNX graph on arrays: the only file that talks to ONNX Runtime and OpenVINO."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sextant.errors import MissingExtra, ModelError
from sextant.types import Floats

Device = Literal["cpu", "cuda"]
BATCH = 16
"""Rows that go through a graph at once: more gain nothing on a CPU and cost memory."""


class Network(Protocol):
    """One tower: (n, …) inputs to (n, dim) outputs, not normalised."""

    def __call__(self, rows: NDArray[Any]) -> Floats:
        """All rows, in batches."""
        ...


def cuda_available() -> bool:
    """Whether this ONNX Runtime was built with CUDA."""
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def has_openvino() -> bool:
    """Whether the extra `openvino` is installed, without importing it."""
    from importlib.util import find_spec

    return find_spec("openvino") is not None


def cpu_has_bf16() -> bool:
    """Whether the processor multiplies bf16 numbers itself (Linux: by the flags that the kernel reports)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def open_onnx(path: Path, *, device: Device = "cpu", threads: int | None = None) -> Network:
    """A graph in ONNX Runtime. Raises `ModelError` naming the file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # threads that wait by spinning take the processor from those that decode the next pictures
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads:
        options.intra_op_num_threads = threads
    # TF32 would round the inputs to 10 bits, and the vectors would differ from those of a CPU
    cuda: tuple[str, dict[str, str]] = ("CUDAExecutionProvider", {"use_tf32": "0"})
    providers: list[Any] = [cuda, "CPUExecutionProvider"] if device == "cuda" else ["CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        # reading a name that is not UTF-8 fails, wherever it stands
        feeds = [(feed.name, feed.type, feed.shape) for feed in session.get_inputs()]
        outputs = [output.name for output in session.get_outputs()]
    except Exception as error:  # ONNX Runtime has a class of its own for every way to fail
        raise _unreadable(path, error) from error
    if device == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        raise ModelError(
            f"CUDA was asked for, but ONNX Runtime could not start it for {path.name}. "
            "Check the NVIDIA driver and the CUDA libraries, or use --device cpu."
        )
    [(feed, type_, shape)] = _only(feeds, path, "input")
    if not outputs:
        raise ModelError(f"{path} has no output; a tower of an encoder gives vectors.")
    kind = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(float16)": np.float16}.get(type_, np.float32)

    def run(rows: NDArray[Any]) -> NDArray[Any]:
        result: NDArray[Any] = session.run(outputs[:1], {feed: rows})[0]
        return result

    return _Batched(run, path, np.dtype(kind), next((n for n in shape[:1] if isinstance(n, int) and n > 0), None))


def open_openvino(path: Path, *, threads: int | None = None) -> Network:
    """A graph in OpenVINO, computed in bf16. Raises `ModelError` naming the file, `MissingExtra` without OpenVINO."""
    if not has_openvino():
        raise MissingExtra("Precision bf16", "openvino")
    # Importing OpenVINO sends a usage report from a forked process. Without this package it does everything else alike.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    try:
        core = openvino.Core()
        model = core.read_model(str(path))
        shape = model.inputs[0].partial_shape
        fixed = None if shape[0].is_dynamic else int(shape[0].get_length())
        compiled = core.compile_model(model, "CPU", settings)
    except Exception as error:  # OpenVINO raises RuntimeError and subclasses of its own
        raise _unreadable(path, error) from error
    _only(compiled.inputs, path, "input")
    request = compiled.create_infer_request()

    def run(rows: NDArray[Any]) -> NDArray[Any]:
        result: NDArray[Any] = np.array(request.infer([rows], share_inputs=True)[0])
        return result

    return _Batched(run, path, np.dtype(np.float32), fixed)


def quantise(source: Path, target: Path) -> None:
    """Write an int8 copy of a graph: weights per channel, activations as they come ("dynamic")."""
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError:
        raise MissingExtra("Precision int8", "train") from None
    import logging

    logging.getLogger().addFilter(_without_advice)
    try:
        quantize_dynamic(
            str(source),
            str(target),
            per_channel=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm"],
        )
    except Exception as error:  # a graph that the quantiser does not understand may fail anywhere inside it
        raise ModelError(f"{source} cannot be quantised to int8 ({error}). Use --precision fp32.") from error
    finally:
        logging.getLogger().removeFilter(_without_advice)


def _without_advice(record: Any) -> bool:
    return "Please consider" not in record.getMessage()


class _Batched:
    """Cuts rows into batches that the graph accepts: `BATCH`, or the size that the graph has fixed."""

    def __init__(
        self, run: Callable[[NDArray[Any]], NDArray[Any]], path: Path, dtype: np.dtype[Any], fixed: int | None
    ) -> None:
        self._run, self._path, self._dtype, self._fixed = run, path, dtype, fixed

    def __call__(self, rows: NDArray[Any]) -> Floats:
        size = self._fixed or BATCH
        parts = []
        for start in range(0, len(rows), size):
            part = np.ascontiguousarray(rows[start : start + size], dtype=self._dtype)
            missing = size - len(part) if self._fixed else 0
            if missing:
                part = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])
            try:
                result = np.asarray(self._run(part), dtype=np.float32)
            except Exception as error:  # both runtimes have their own classes for a failed run
                raise ModelError(f"{self._path} failed while running: {error}") from error
            if result.ndim != 2 or len(result) != len(part):
                raise ModelError(
                    f"{self._path} gives {result.shape} for {len(part)} inputs; a vector for each is needed."
                )
            parts.append(result[: len(result) - missing])
        return np.concatenate(parts)


def _only(inputs: Sequence[Any], path: Path, what: str) -> Sequence[Any]:
    if len(inputs) != 1:
        raise ModelError(f"{path} has {len(inputs)} {what}s; a tower of an encoder has one.")
    return inputs


def _unreadable(path: Path, error: Exception) -> ModelError:
    if not path.is_file():
        return ModelError(f"The encoder is incomplete: {path} is missing.")
    return ModelError(
        f"{path} is not an ONNX graph that can be run ({str(error).strip().splitlines()[0]}). "
        "It may be damaged or, from a Git clone, only a Git LFS pointer: fetch or convert it again."
    )
