"""Writes docs/licences.md: the licence of every package that Sextant or one of its extras brings, as installed here.

    python .ci/licences.py            writes the file
    python .ci/licences.py --check    says with its exit status whether a licence is missing from the known kinds

What is read is the metadata that each package carries; nothing is fetched.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "licences.md"
PERMISSIVE = frozenset(
    {"MIT", "BSD", "Apache-2.0", "ISC", "PSF", "Zlib", "HPND", "Unlicense", "0BSD", "CC0-1.0", "BSL-1.0"}
)
WEAK = frozenset({"MPL-2.0", "LGPL"})
"""Copyleft of the file or the library alone: what uses it unchanged is free."""
_KINDS = (
    (r"\bLGPL|Lesser General Public", "LGPL"),
    (r"\bA?GPL|(?<!Lesser )General Public Licen[cs]e", "GPL"),
    (r"MPL|Mozilla Public", "MPL-2.0"),
    (r"Apache", "Apache-2.0"),
    (r"\b0BSD", "0BSD"),
    (r"BSD", "BSD"),
    (r"\bMIT\b|MIT-CMU", "MIT"),
    (r"\bISC\b|ISCL", "ISC"),
    (r"PSF|Python Software Foundation|Python-2", "PSF"),
    (r"HPND|Historical Permission", "HPND"),
    (r"\bzlib\b", "Zlib"),
    (r"Unlicense", "Unlicense"),
    (r"CC0", "CC0-1.0"),
    (r"BSL-1|Boost", "BSL-1.0"),
    (r"NVIDIA|Intel Simplified|Proprietary", "proprietary"),
)


def groups() -> dict[str, list[str]]:
    """The requirements of the base, under "", and of every extra but the collections of others."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {k: v for k, v in project["optional-dependencies"].items() if k not in ("all", "test")}
    return {"": project["dependencies"], **extras}


def brought(requirements: Iterable[str], extra: str = "") -> dict[str, Distribution | None]:
    """Every package that the requirements bring, by name, None for what is not installed here."""
    found: dict[str, Distribution | None] = {}
    waiting = [(Requirement(text), frozenset({extra, ""})) for text in requirements]
    while waiting:
        asked, extras = waiting.pop()
        if asked.marker and not any(asked.marker.evaluate({"extra": one}) for one in extras):
            continue
        name = canonicalize_name(asked.name)
        if name in found and not asked.extras:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            found[name] = None
            continue
        inside = frozenset({"", *asked.extras})
        waiting += [(Requirement(text), inside) for text in found[name].requires or []]  # type: ignore[union-attr]
    return found


def said(package: Distribution) -> str:
    """What a package says of its licence: the expression, else the classifiers, else the first line of the text."""
    meta = package.metadata
    classifiers = [c.rpartition(" :: ")[2] for c in meta.get_all("Classifier") or [] if c.startswith("License :: ")]
    classifiers = [c for c in classifiers if c != "OSI Approved"]
    text = (meta.get("License") or "").strip()
    return meta.get("License-Expression") or "; ".join(classifiers) or text.partition("\n")[0][:80] or "not said"


def kinds(licence: str) -> frozenset[str]:
    """The kinds of licence that stand in a text; `or` and `and` are not told apart."""
    return frozenset(kind for pattern, kind in _KINDS if re.search(pattern, licence, re.IGNORECASE))


def page() -> str:
    """The whole document."""
    lines = [
        "# Licences",
        "",
        "Sextant is under the Apache License 2.0. Below is what every package that comes with it says of itself,",
        "directly or by way of another, in an environment on Linux. Made by `python .ci/licences.py` from the",
        "metadata of what is installed; `tests/test_supply.py` holds that the base is permissive (MIT, BSD, Apache",
        "and the like), but for `tqdm`, whose MPL-2.0 covers its own files alone.",
        "",
        "Wheels with compiled code hold libraries besides, under licences that lie in each package's own `.dist-info`.",
        "One matters: the wheel of `pillow-heif` (extra `heif`) brings libheif and libde265 (LGPL-3.0) and x265",
        "(GPL-2.0), so who passes on a bundle with that extra passes on GPL code. The base has nothing of the kind.",
    ]
    base = brought(groups()[""])
    for extra, requirements in groups().items():
        packages = brought(requirements, extra)
        shown = packages if not extra else {k: v for k, v in packages.items() if k not in base}
        title = f"The extra `{extra}`, beside the base" if extra else "The base"
        lines += ["", f"## {title}", ""]
        lines += ["| package | version | licence |", "|---|---|---|"] if shown else ["Nothing more."]
        lines += [
            f"| {name} | {found.version} | {said(found).replace('|', '/')} |"
            if found
            else f"| {name} | – | not installed where this page was made |"
            for name, found in sorted(shown.items())
        ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Writes the page, or checks the base."""
    if "--check" in sys.argv:
        odd = {n: said(p) for n, p in brought(groups()[""]).items() if p and not kinds(said(p)) <= PERMISSIVE | WEAK}
        print("\n".join(f"{name}: {licence}" for name, licence in odd.items()))
        return 1 if odd else 0
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
