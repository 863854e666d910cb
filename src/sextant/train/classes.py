"""What each class is called in words, and which classes are easily taken for each other: two small YAML files.

Prompts may stand in a vocabulary, too. Knows nothing of images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sextant import vocabulary
from sextant.errors import UsageError
from sextant.vocabulary import did_you_mean

TEMPLATES = ("a photo of {}", "{}", "a picture of {}", "a view of {}")
Prompts = Mapping[str, tuple[str, ...]]
"""By class: the canonical prompt, by which images are told apart, then others."""
Clusters = tuple[tuple[str, ...], ...]


def prompts(classes: Sequence[str], source: Path | None) -> dict[str, tuple[str, ...]]:
    """The prompts of every class, canonical first: from a file `class: [prompt, …]`, a vocabulary, or the names.

    Raises:
        UsageError: the file lacks a class, or is no such file.
        VocabularyError: the vocabulary is wrong.
    """
    if source is None:
        return {code: named(code) for code in classes}
    raw = _yaml(source)
    if "base_attributes" in raw:
        known = {a.code: tuple(a.prompts) for a in vocabulary.load(source).attributes}
    else:
        known = {str(code): _listed(source, str(code), lines) for code, lines in raw.items()}
    missing = [code for code in classes if code not in known]
    if missing:
        hint = did_you_mean(missing[0], sorted(known))
        raise UsageError(f"{source} has no prompts for {', '.join(missing)}.{hint}")
    return {code: known[code] for code in classes}


def named(code: str) -> tuple[str, ...]:
    """Prompts from the name of a folder."""
    words = " ".join(code.replace("_", " ").replace("-", " ").split())
    return tuple(template.format(words) for template in TEMPLATES)


def clusters(classes: Sequence[str], source: Path) -> Clusters:
    """Clusters of classes from a file `name: [class, class, …]` or a list of lists.

    Raises:
        UsageError: a class that the data set does not have, one in two clusters, a cluster of fewer than two.
    """
    raw = _yaml(source, mapping=False)
    lists = list(raw.values()) if isinstance(raw, dict) else raw
    if not isinstance(lists, list) or not all(isinstance(part, list) for part in lists):
        raise UsageError(f"{source}: clusters are lists of classes, such as `gothic: [gothic, romanesque]`")
    found = tuple(tuple(str(code) for code in part) for part in lists)
    seen: set[str] = set()
    for part in found:
        for code in part:
            if code not in classes:
                raise UsageError(f"{source}: there is no class {code!r}.{did_you_mean(code, list(classes))}")
            if code in seen:
                raise UsageError(f"{source}: {code} is in two clusters; a class belongs to one")
            seen.add(code)
        if len(part) < 2:
            raise UsageError(f"{source}: a cluster of {len(part)} class has nothing to be taken for")
    return found


def _yaml(source: Path, *, mapping: bool = True) -> Any:
    try:
        raw = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{source} cannot be read as YAML: {error}") from error
    if mapping and not isinstance(raw, dict):
        raise UsageError(f"{source} should map each class to its prompts")
    return raw


def _listed(source: Path, code: str, lines: Any) -> tuple[str, ...]:
    found = [lines] if isinstance(lines, str) else lines
    if not isinstance(found, list) or not found or not all(isinstance(x, str) and x.strip() for x in found):
        raise UsageError(f"{source}: {code} needs a prompt, or a list of them with the canonical one first")
    return tuple(x.strip() for x in found)
