"""Which Python code this person lets a collection run: kept in their own settings, never in a collection.

A collection remembers its encoder, and that can be Python code, `file.py:Name` or `package.module:Name`. One that came
from somebody else must not run it by being opened. What a person names themselves, on the command line or in Python, is
trusted from then on; a file as long as it is where it was and has the bytes that it had. Knows nothing of encoders.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Any

from sextant.errors import ModelError, UsageError
from sextant.manifest import replacing
from sextant.paths import expanded

FILE = re.compile(r"\.py:\w+$")
DATA = ("local-dir:", "hf-hub:")


@dataclass(frozen=True, slots=True)
class Code:
    """Python code that a model is: the file it lies in, None where there is none, and a hash of its bytes.

    Of a module only the place counts, since an installed package changes with every update.
    """

    spec: str
    file: str | None
    hash: str | None


def code_of(spec: str) -> Code | None:
    """The code that loading a model would run; None where it is data alone."""
    if ":" not in spec or spec.startswith(DATA):
        return None
    if FILE.search(spec):
        head, _, name = spec.rpartition(":")
        path = expanded(head).resolve()
        return Code(f"{path}:{name}", str(path), _hash(path))
    return None if expanded(spec).is_dir() else Code(spec, _place(re.split(r"[.:]", spec)[0]), None)


def known() -> list[Code]:
    """Everything that is trusted, the oldest first.

    Raises:
        UsageError: the file it is kept in is damaged.
    """
    return list(_read(_kept()).values())


def is_trusted(spec: str) -> bool:
    """Whether loading a model runs nothing, or only what this person has allowed."""
    code = code_of(spec)
    return code is None or _read(_kept()).get(code.spec) == code


def check(spec: str, where: str) -> None:
    """Refuses a model that is code which nobody here has allowed; `where` names the file that names it.

    Raises:
        ModelError: with the command that allows it.
    """
    if is_trusted(spec):
        return
    code = code_of(spec)
    changed = code is not None and code.spec in _read(_kept())
    why = "that code is not what was allowed before" if changed else "nobody has allowed that on this account"
    raise ModelError(
        f"{where} names Python code as its encoder, {spec}, and {why}. What needs no encoder works without it. Look at "
        f"the code; if you trust it: sextant model trust {quote(spec)}"
    )


def keep(spec: str) -> Code | None:
    """Trusts the code of a model from now on; None where it is data alone.

    Raises:
        UsageError: the code is not there, or that it is trusted cannot be kept.
    """
    code = code_of(spec)
    if code is None:
        return None
    if code.file is None or (code.hash is None and FILE.search(spec)):
        raise UsageError(f"{spec}: there is no such Python code here, so there is nothing to trust")
    held = _read(_kept())
    if held.get(code.spec) != code:
        _write({**held, code.spec: code})
    return code


def forget(spec: str) -> None:
    """Trusts the code of a model no longer. Raises `UsageError` where it was not trusted."""
    held = _read(_kept())
    code = code_of(spec)
    names = [name for name in (spec, code.spec if code else "") if name in held]
    if not names:
        raise UsageError(f"{spec} was not trusted. `sextant model trust` lists what is")
    _write({name: value for name, value in held.items() if name != names[0]})


def _kept() -> Path:
    return expanded(os.environ.get("XDG_CONFIG_HOME") or "~/.config") / "sextant" / "trusted.json"


def _read(file: Path) -> Mapping[str, Code]:
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
        return {row["spec"]: Code(row["spec"], row["file"], row["hash"]) for row in content["trusted"]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file}: cannot be read as what you trust: {error}. Delete it, and trust anew") from error


def _write(held: Mapping[str, Code]) -> None:
    file = _kept()
    rows = [{"spec": code.spec, "file": code.file, "hash": code.hash} for code in held.values()]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as out:
            Path(out.name).chmod(0o600)
            out.write((json.dumps({"trusted": rows}, indent=2) + "\n").encode())
    except OSError as error:
        raise UsageError(f"{file}: what you trust cannot be written: {error.strerror or error}") from error


def _hash(path: Path) -> str | None:
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=32).hexdigest()
    except OSError:
        return None


def _place(package: str) -> str | None:
    """Where the outermost package of a module lies; looking for an inner one would import it."""
    try:
        found = find_spec(package)
    except (ImportError, ValueError):
        return None
    places = list(found.submodule_search_locations or ()) if found else []
    origin = found.origin if found else None
    return str(Path(origin).resolve()) if origin and os.path.exists(origin) else next(iter(places), None)  # noqa: PTH110
