"""JSON documents on disk: whole or not at all, never over another file, and harmless wherever they are shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sextant.errors import ExchangeError
from sextant.manifest import replacing

_MARKUP = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", ord("\x7f"): "\\u007f"}


def encoded(value: Any) -> str:
    """JSON in ASCII, in which no text can be markup or steer a terminal, whatever page or log it is pasted into."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False).translate(_MARKUP)


def refuse_existing(path: Path, *, force: bool) -> None:
    """Raises `ExchangeError` where a file is in the way and may not be replaced. Pipes and devices never are."""
    if path.is_file() and not force:
        raise ExchangeError(f"{path}: is there already; --force replaces it")


def save(document: Any, path: Path, *, force: bool) -> None:
    """Writes a JSON document to a file. Raises `ExchangeError` where it cannot, or may not."""
    refuse_existing(path, force=force)
    if path.is_dir():
        raise ExchangeError(f"{path}: cannot be written: it is a folder; name a file in it")
    try:
        with path.open("wb") if path.exists() and not path.is_file() else replacing(path) as file:
            file.write(encoded(document).encode() + b"\n")
    except OSError as error:
        raise ExchangeError(f"{path}: cannot be written: {error.strerror or error}") from error
