"""Labels in and out of files: one a line (`path`, `code`, `value`), one column a code, or a list of what is shown.

    path,code,value          path,earth,moon        {"path": "a.jpg", "attributes": ["earth", "moon"]}
    a.jpg,earth,yes          a.jpg,yes,no

The last form is the truth of a drawn collection: what is not listed is not shown. A file is taken whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from sextant.catalog import Label
from sextant.errors import ExchangeError
from sextant.events import THUMB
from sextant.exchange import records
from sextant.vocabulary import did_you_mean

YES = frozenset({"yes", "y", "true", "1", "1.0"})
NO = frozenset({"no", "n", "false", "0", "0.0"})
SHOWN = 20


def read(
    path: Path,
    find: Callable[[str], str | None],
    codes: Sequence[str],
    *,
    person: str,
    strangers: bool = False,
    derived: Collection[str] = (),
) -> list[Label]:
    """The labels of a file, for images that `find` knows; with `strangers` others are passed over.

    A list of what is shown says no to everything else, but to codes among `derived` only where it names any of them:
    who lists dogs and cats has not said that there are no animals.

    Raises:
        ExchangeError: something is wrong; the message lists every line, and nothing is to be kept.
    """
    labels: dict[tuple[str, str, str], Label] = {}
    problems: list[str] = []
    passed = 0
    rows = list(records(path))
    named = {str(code) for _, row in rows if isinstance(row.get("attributes"), list) for code in row["attributes"]}
    meant = [code for code in codes if code not in derived or not named.isdisjoint(derived)]
    for line, row in rows:
        name = str(row.get("path") or row.get("id") or "")
        image = _image(row, path.parent, find)
        if image is None and name and strangers:
            passed += 1
            continue
        if image is None:
            what = f"no image '{name}' in the collection" if name else "no path and no id"
            problems.append(f"{path}:{line}: {what}")
            continue
        who = str(row.get("person") or person)
        for code, value in _cells(row, codes, meant):
            known = _truth(value)
            if code not in codes:
                problems.append(f"{path}:{line}: no attribute '{code}'.{did_you_mean(code, codes)}")
            elif known is None:
                problems.append(f"{path}:{line}: '{code}' is {value!r}; say yes or no")
            elif (old := labels.get((image, code, who))) is not None and old.value != known:
                problems.append(f"{path}:{line}: '{code}' of {name} is yes on one line and no on another")
            else:
                labels[image, code, who] = Label(image, code, known, who, source=_source(row))
    if not labels and passed and not problems:
        problems.append(f"{path}: none of its {passed} images is in the collection")
    if not labels and not problems:
        problems.append(f"{path}: holds no label; give columns path, code and value, or one column a code")
    if problems:
        shown = problems[:SHOWN] + ([f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else [])
        raise ExchangeError("no label was taken:\n" + "\n".join(shown))
    return list(labels.values())


def _image(row: Mapping[str, Any], folder: Path, find: Callable[[str], str | None]) -> str | None:
    """The id that a record means: its `id`, or its `path` from the collection, or from the folder of the file."""
    if row.get("id") and (image := find(str(row["id"]))):
        return image
    name = str(row.get("path") or "")
    return find(name) or find(str(folder / name)) if name else None


def _cells(row: Mapping[str, Any], codes: Collection[str], meant: Collection[str]) -> Iterator[tuple[str, Any]]:
    """The (code, value) pairs of one record, whichever form it has; a list is about `meant`. An empty value is none."""
    if "code" in row:
        if row.get("value") not in (None, ""):
            yield str(row["code"]), row["value"]
    elif isinstance(row.get("attributes"), list):
        shown = set(map(str, row["attributes"]))
        yield from ((code, code in shown) for code in meant)
    else:
        yield from ((c, v) for c, v in row.items() if c in codes and v not in (None, ""))


def _source(row: Mapping[str, Any]) -> str:
    return THUMB if row.get("source") == THUMB else ""


def _truth(value: Any) -> bool | None:
    word = str(value).strip().lower()
    return True if word in YES else False if word in NO else None


def table(labels: Sequence[Label], paths: Mapping[str, str]) -> pa.Table:
    """Labels as rows that `read` takes back: id, path, code, value, person, at, source."""
    columns = {
        "id": pa.array([label.image for label in labels], pa.string()),
        "path": pa.array([paths.get(label.image) for label in labels], pa.string()),
        "code": pa.array([label.code for label in labels], pa.string()),
        "value": pa.array([label.value for label in labels], pa.bool_()),
        "person": pa.array([label.person for label in labels], pa.string()),
        "at": pa.array([label.at for label in labels], pa.string()),
        "source": pa.array([label.source or None for label in labels], pa.string()),
    }
    return pa.table(columns)
