"""One frozen object of settings: argument, then environment, then `.sextant/settings.toml`, then default.

Nothing is read at import. Unknown keys are errors. `sextant info` prints what holds and where each value came from.
"""

from __future__ import annotations

import difflib
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from sextant.errors import UsageError
from sextant.types import Device, Engine, Precision

NO_SETTINGS = frozenset({"collection", "debug", "home"})
"""Variables `SEXTANT_*` that the command line reads for itself."""
DEFAULT_MODEL = "ViT-B-32-SigLIP2-256/webli"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run may be told. `sources` names where each value came from."""

    model: str = DEFAULT_MODEL
    """The encoder of a new collection."""
    catalog: str = "catalog.db"
    """Where a new collection keeps what people say: a file in it, or the URL of a PostgreSQL database."""
    device: Device = "auto"
    """Where the encoder runs; `cuda` asked for and absent is an error."""
    precision: Precision = "auto"
    """Arithmetic of the encoder; `fp32` is strict (every pixel decoded); `auto` is bf16 where it pays, else fp32 with
    scaled decoding of JPEG."""
    threads: int = 0
    """Decoding threads; 0 means one a processor."""
    batch: int = 16
    """Images in one call of the encoder."""
    engine: Engine = "local"
    """Where `add`, `tag`, `evaluate` and `finetune` work: here, or spread over a Ray cluster."""
    address: str = ""
    """Of the Ray cluster, such as `auto` or `ray://head:10001`; empty starts one on this machine."""
    actors: int = 0
    """Workers in the cluster; 0 means as many as it has processors for."""
    flush_seconds: float = 5.0
    """Finished images are written at least this often, in seconds."""
    memory_mb: int = 1024
    """What one SQL statement may use, in MiB."""
    resident_mb: int = 1024
    """Vectors up to this size, in MiB, are kept in memory between questions; larger ones are read for each."""
    exact_rows: int = 200_000
    """Up to so many images a search compares every one; beyond it uses a vector index, where there is one."""
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def workers(self) -> int:
        """The number of decoding threads that `threads` stands for."""
        return self.threads or len(os.sched_getaffinity(0))


def load(file: Path | None = None, *, environment: Mapping[str, str] | None = None, **arguments: Any) -> Settings:
    """Settings from arguments that are not None, `SEXTANT_*` variables, a TOML file and the defaults, in that order.

    Raises:
        UsageError: an unknown key, or a value of the wrong kind; the message names the key and its source.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    environment = os.environ if environment is None else environment
    if file is not None and os.path.isfile(file):  # noqa: PTH113 – Path.is_file raises where it may not look
        _take(_read(file), str(file), values, sources)
    prefix = "SEXTANT_"
    known = set(_kinds())
    variables = {k[len(prefix) :].lower(): v for k, v in environment.items() if k.startswith(prefix)}
    _take({k: v for k, v in variables.items() if k not in NO_SETTINGS}, "environment", values, sources)
    _take({k: v for k, v in arguments.items() if v is not None}, "argument", values, sources)
    return Settings(**values, sources={name: sources.get(name, "default") for name in known})


def _kinds() -> dict[str, Any]:
    hints = get_type_hints(Settings)
    return {f.name: hints[f.name] for f in fields(Settings) if f.name != "sources"}


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{file}: cannot be read as TOML: {error}") from error


def _take(given: Mapping[str, Any], source: str, values: dict[str, Any], sources: dict[str, str]) -> None:
    kinds = _kinds()
    for key, value in given.items():
        if key not in kinds:
            near = difflib.get_close_matches(key, kinds, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; known settings: {', '.join(sorted(kinds))}"
            raise UsageError(f"{source}: unknown setting '{key}'{hint}")
        values[key] = _convert(key, value, kinds[key], source)
        sources[key] = source


def _convert(key: str, value: Any, kind: Any, source: str) -> Any:
    choices = get_args(kind)
    if choices:
        if value not in choices:
            raise UsageError(f"{source}: setting '{key}' is {value!r}, but must be one of {', '.join(choices)}")
        return value
    if kind is str and isinstance(value, str):
        return value
    number = None if kind is str else _number(value, kind)
    if number is None:
        raise UsageError(f"{source}: setting '{key}' is {value!r}, but must be {_WORDS[kind]}")
    if number < (0 if key in ("threads", "actors") else 1e-9):
        raise UsageError(f"{source}: setting '{key}' is {value!r}, but must be positive")
    return number


_WORDS = {int: "a whole number", float: "a number", str: "a text"}


def _number(value: Any, kind: type) -> Any:
    """A number from a number or its text; None from anything else, such as true, 2.5 for a whole number, or nan."""
    if isinstance(value, bool) or (kind is int and isinstance(value, float)):
        return None
    try:
        result = kind(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return result if math.isfinite(result) else None
