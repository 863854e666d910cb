"""What a collection says at one moment about every image: facts, logits, confidences and bands, aligned.

Confidences are never stored: they follow from the stored logits by the newest calibration, with a person's override on
top, and derived attributes follow from those by rule. A view reads only the columns it was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sextant.catalog import CalibrationRecord, Catalog, Override
from sextant.errors import UsageError
from sextant.maths import calibration as curves
from sextant.maths import rules
from sextant.maths.calibration import Calibration, base_of
from sextant.maths.derived import derive
from sextant.maths.rules import AttributeValues, band
from sextant.store import IMAGES, Store
from sextant.types import Floats
from sextant.vectors import Column, Vectors
from sextant.vocabulary import Attribute, Derived, Thresholds, Vocabulary
from sextant.walk import name_of

MODEL, PERSON, RULE = "model", "person", "rule"
BAND_WORDS = ("unknown", "rejected", "tentative", "accepted")
Scorer = Callable[["View", str], NDArray[np.float64]]
STATES = {"prior": "prior", "native": "prior", "platt": "calibrated", "isotonic": "calibrated"}
FACTS = (
    *("id", "path", "name", "folder", "bytes", "width", "height", "megapixels", "aspect", "format", "taken_at"),
    *("camera_model", "gps", "sharpness", "darkness", "brightness", "added_at", "tags", "description"),
)
KINDS: Mapping[str, str] = {
    **dict.fromkeys(("id", "path", "name", "folder", "format", "camera_model", "description"), "text"),
    **dict.fromkeys(
        ("bytes", "width", "height", "megapixels", "aspect", "sharpness", "darkness", "brightness"), "number"
    ),
    **dict.fromkeys(("taken_at", "added_at"), "date"),
    "gps": "bool",
    "tags": "tags",
}
"""What a rule may do with each fact."""
STORED = {"megapixels": ("width", "height"), "aspect": ("width", "height"), "camera_model": ("camera",)}
"""What is stored of a fact that is not stored under its own name."""


class View:
    """What a collection says at one moment about every image that has a file, in the order of their paths.

    The columns named in `codes`, and what they derive from, are read at once; others and facts when first asked for.
    `score` gives the confidences (n,) of a phrase that has no column, for rules that ask `score('a phrase')`.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        vectors: Vectors,
        vocabulary: Vocabulary | None,
        codes: Iterable[str] = (),
        *,
        score: Scorer | None = None,
    ) -> None:
        self.store, self.catalog, self.vectors, self.vocabulary = store, catalog, vectors, vocabulary
        self._score = score
        self.memo: dict[str, Any] = {}
        """What stages worked out from this moment and will want again, by a name of their own."""
        self.kept: dict[str, Any] = {}
        """The same of what models computed alone: it outlasts what people say."""
        files = store.files(["id", "path"])
        files = files.filter(pc.is_valid(files["id"]))
        self._files = pa.table({name: _whole(files[name]) for name in ("id", "path")})
        self._snapshot = vectors.snapshot(self._base_codes(codes))
        self._place: tuple[pa.Array, pa.Array] | None = None
        self._order()
        self.columns = self._snapshot.columns
        self._logits = self._aligned(self._snapshot.table)
        self._facts: dict[str, pa.Array] = {}
        self._values: dict[str, AttributeValues] = {}
        self._sources: dict[str, NDArray[np.object_]] = {}

    def _order(self) -> None:
        """Sets `ids`, `paths` and `copies`: every image once, by the first of its paths."""
        ids, paths = (_whole(self._files[name]) for name in ("id", "path"))
        # the ids of a table of vectors are all different, and files mostly lie as they were added
        if ids.equals(_whole(self._snapshot.table["id"])) or pc.count_distinct(ids).as_py() == len(ids):
            order = pc.sort_indices(paths)
            self.ids: pa.Array = ids.take(order)
            self.paths: pa.Array = paths.take(order)
            self.copies: NDArray[np.int64] = np.ones(len(ids), np.int64)
            self._place = ids, order
        else:
            files = self._files.group_by("id").aggregate([("path", "min"), ("path", "count")])
            files = files.take(pc.sort_indices(files["path_min"]))
            self.ids, self.paths = _whole(files["id"]), _whole(files["path_min"])
            self.copies = files["path_count"].to_numpy()

    def among(self, ids: pa.Array) -> pa.Array:
        """The place among these ids of every image, (n,) with null for none; looked up once where they come again."""
        held = self._place  # once: another thread may look up others meanwhile
        if held is None or not held[0].equals(ids):
            held = self._place = ids, pc.index_in(self.ids, value_set=ids)
        return held[1]

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, codes: Iterable[str]) -> None:
        """Reads the columns of these codes that are not in memory yet, all at once."""
        wanted = [c for c in self._base_codes(codes) if c in self.columns and c not in self._logits]
        if wanted:
            self._logits |= self._aligned(self._snapshot.more(wanted))

    def find(self, name: str) -> str | None:
        """The id behind an id, a path from the collection's folder, or a path from the current one."""
        if name in self.places:
            return name
        if held := self._ids_by_path.get(name):
            return held
        relative = name_of(Path(os.path.expanduser(name)), self.store.root.parent)  # noqa: PTH111 – never raises
        return self._ids_by_path.get(relative)

    def paths_of(self, image: str) -> list[str]:
        """Every path of an image, in order."""
        return sorted(self._files.filter(pc.equal(self._files["id"], image))["path"].to_pylist())

    @cached_property
    def _ids_by_path(self) -> dict[str, str]:
        return dict(zip(self._files["path"].to_pylist(), self._files["id"].to_pylist(), strict=True))

    # facts

    def _stored(self, names: Iterable[str]) -> None:
        """Reads these facts of the images' bytes that are not in memory yet, all at once."""
        wanted = [name for name in dict.fromkeys(names) if name not in self._facts]
        if wanted:
            images = self.store.images(["id", *wanted])
            place = self.among(_whole(images["id"]))
            self._facts |= {name: _whole(images[name]).take(place) for name in wanted}

    @cached_property
    def _names(self) -> pa.Array:
        return pc.replace_substring_regex(self.paths, r"^.*/", "")

    @cached_property
    def _folders(self) -> pa.Array:
        return pc.replace_substring_regex(self.paths, r"/?[^/]*$", "")

    def fact(self, name: str) -> pa.Array:
        """One fact of every image, (n,)."""
        match name:
            case "id":
                return self.ids
            case "path":
                return self.paths
            case "name":
                return self._names
            case "folder":
                return self._folders
            case "megapixels":
                area = pc.multiply(self._float("width"), self._float("height"))
                return pc.divide(area, 1e6)
            case "aspect":
                return pc.divide(self._float("width"), self._float("height"))
            case "camera_model":  # not `camera`, which a vocabulary may well ask for as a thing to be seen
                return self.fact("camera")
            case "tags":
                return self._said(self.catalog.tags(), pa.list_(pa.string()))
            case "description":
                return self._said(self.catalog.descriptions(), pa.string())
            case _:
                self._stored([name])
                return self._facts[name]

    def facts(self, names: Sequence[str] = FACTS) -> pa.Table:
        """Facts as a table, one row an image."""
        self._stored(stored for name in names for stored in STORED.get(name, (name,)) if stored in IMAGES.names[1:])
        return pa.table({name: self.fact(name) for name in names})

    def fact_values(self, name: str) -> NDArray[Any]:
        """One fact as rules compare it: float64, datetime64, or objects with None where nothing is known."""
        values = self.fact(name)
        match KINDS[name]:
            case "number":
                return np.asarray(pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False), np.float64)
            case "date":
                return np.asarray(pc.cast(values, pa.timestamp("us")).to_numpy(zero_copy_only=False))
        array = np.empty(len(values), object)
        array[:] = values.to_pylist()
        return array

    def _float(self, name: str) -> pa.Array:
        return pc.cast(self.fact(name), pa.float64())

    def _said(self, by_image: Mapping[str, Any], kind: pa.DataType) -> pa.Array:
        if not by_image:
            return pa.nulls(len(self), kind)
        said = pa.array(list(by_image.values()), kind)
        return said.take(pc.index_in(self.ids, value_set=pa.array(list(by_image), pa.string())))

    # confidences

    def values(self, code: str) -> AttributeValues:
        """Confidence and band of an attribute, base or derived, for every image."""
        if code not in self._values:
            item = self.describe(code)
            self._values[code] = self._derived(item) if isinstance(item, Derived) else self._judged(code)
        return self._values[code]

    def source(self, code: str) -> NDArray[np.object_]:
        """Where each confidence comes from: `model`, `person` or `rule`."""
        if code not in self._sources:
            found = self.source_words(code)
            self._sources[code] = np.array(found.dictionary.to_pylist(), object)[found.indices.to_numpy()]
        return self._sources[code]

    def logits(self, code: str) -> Floats:
        """The stored logits, aligned; NaN where an image has none. KeyError where there is no such column."""
        if code not in self._logits:
            if code not in self.columns:
                raise KeyError(code)
            self._logits |= self._aligned(self._snapshot.more([code]))
        return self._logits[code]

    @cached_property
    def taught(self) -> frozenset[str]:
        """The images that this encoder was trained on: what it says of them is no measure of what it is worth."""
        return self.catalog.taught(self.vectors.name)

    @property
    def background(self) -> Floats:
        """The stored background of every image, aligned; NaN where there is none."""
        return self._logits["background"]

    def describe(self, code: str) -> Attribute | Derived | None:
        """The vocabulary's entry of a code; None for a column that is no longer in it."""
        if self.vocabulary is not None and code in self.vocabulary:
            return self.vocabulary[code]
        return None

    def thresholds(self, code: str) -> Thresholds:
        """The band edges of a code: the vocabulary's, but accepted where labels promise a precision."""
        item = self.describe(code)
        edges = item.thresholds if item else Thresholds()
        accepted = self.promised(code)
        return edges if accepted is None else Thresholds(accepted, min(edges.tentative, accepted))

    def promised(self, code: str) -> float | None:
        """The confidence from which the labels promise a precision; None where they were not asked to."""
        record, column = self.calibrations.get(code), self.columns.get(code)
        if record is None or column is None or record.prompt_hash != column.provenance.get("prompt_hash"):
            return None
        promise = record.measured.get("promise")
        return None if not promise else float(promise["accepted"])

    @cached_property
    def calibrations(self) -> dict[str, CalibrationRecord]:
        """The newest calibration record of every column of this encoder."""
        return self.catalog.calibrations(self.vectors.name)

    def calibration(self, code: str) -> Calibration:
        """The curve that turns a column's logits into confidences."""
        record = self.calibrations.get(code)
        if record is None:
            return curves.fixed()
        return Calibration(record.calibration["kind"], record.calibration["params"])

    def unlabelled(self) -> View:
        """The same moment, as if nobody had labelled anything: every fitted curve is the one that it stands on."""
        found = copy(self)
        found._values, found._sources, found.memo = {}, {}, {}
        held: dict[str, CalibrationRecord] = {}
        for code, record in self.calibrations.items():
            curve = base_of(Calibration(record.calibration["kind"], record.calibration["params"]))
            held[code] = replace(record, calibration={"kind": curve.kind, "params": curve.params})
        found.__dict__["calibrations"] = held
        return found

    def state(self, code: str) -> str:
        """How far confidences can be trusted: `uncalibrated`, `prior`, `calibrated`, `stale`, or `rule`, `missing`."""
        item = self.describe(code)
        if isinstance(item, Derived):
            parts = {self.state(c) for c in item.rule.codes() if c in self.codes()}
            return "stale" if "stale" in parts else "rule"
        if code not in self.columns:
            return "missing"
        if item is not None and is_stale(self.columns[code], item):
            return "stale"
        record = self.calibrations.get(code)
        if record and reads_another_background(record.calibration, self._background_hash):
            return "stale"
        kind, params = self.calibration(code).kind, self.calibration(code).params
        if record and kind != "fixed" and record.prompt_hash != self.columns[code].provenance.get("prompt_hash"):
            return "stale"
        learned = "head" in self.columns[code].provenance and record is not None and "ece" in record.measured
        if learned or (kind == "temperature" and "labels" in params):
            return "calibrated"
        return STATES.get(kind, "uncalibrated")

    @property
    def _background_hash(self) -> str | None:
        """Which list of phrases the background of these images is of."""
        return self._snapshot.metadata.get("background_hash")

    @property
    def collection_size(self) -> int:
        """How many images have a vector, in this view or not."""
        return self._snapshot.rows

    def codes(self) -> tuple[str, ...]:
        """All codes: the vocabulary's, then columns that are no longer in it."""
        known = self.vocabulary.codes() if self.vocabulary else ()
        return (*known, *(c for c in self.columns if c not in known))

    def _base_codes(self, codes: Iterable[str]) -> list[str]:
        """The stored columns that these codes stand on."""
        wanted: dict[str, None] = {}
        queue = list(codes)
        while queue:
            code = queue.pop()
            item = self.describe(code)
            if isinstance(item, Derived):
                queue += item.rule.codes()
            elif code not in wanted:
                wanted[code] = None
                queue += self._group(item)
        return list(wanted)

    def _group(self, item: Attribute | None) -> list[str]:
        if item is None or item.group is None or self.vocabulary is None:
            return []
        return [a.code for a in self.vocabulary.attributes if a.group == item.group]

    def _aligned(self, table: pa.Table) -> dict[str, Floats]:
        place = self.among(_whole(table["id"]))
        return {name: _floats(_whole(table[name]).take(place)) for name in table.column_names if name != "id"}

    def aligned(self, ids: pa.Array, values: Floats) -> Floats:
        """Values by image id in the order of this view; NaN for an image that has none."""
        return self._aligned(pa.table({"id": ids, "values": values}))["values"]

    def _judged(self, code: str) -> AttributeValues:
        confidence = self.confidence(code, self.calibration(code))
        bands = band(confidence, self.thresholds(code))
        for place, value in self._overridden(code):
            confidence[place], bands[place] = float(value), 2 if value else 0
        return AttributeValues(confidence, bands)

    def confidence(self, code: str, curve: Calibration) -> NDArray[np.float64]:
        """What a curve makes of a column's logits, people's words left out; NaN where an image has no logit."""
        if code not in self.columns:
            return np.full(len(self), np.nan)
        if curve.kind != "temperature":
            return np.array(curves.confidence(curve, self.logits(code), self.background), np.float64)
        item = self.describe(code)
        group = self._group(item) if isinstance(item, Attribute) else [code]
        nothing = np.full(len(self), np.nan, np.float32)
        rows = np.stack([self.logits(c) if c in self.columns else nothing for c in group], axis=1)
        shares = curves.group_confidence(rows, curve.params["temperature"])
        return np.array(shares[:, group.index(code)], np.float64)

    def _overridden(self, code: str) -> list[tuple[int, bool]]:
        words = self._overrides.get(code, [])
        return [(self.places[o.image], bool(o.value)) for o in words if o.image in self.places]

    @cached_property
    def _overrides(self) -> dict[str, list[Override]]:
        by_code: dict[str, list[Override]] = {}
        for override in self.catalog.overrides():
            by_code.setdefault(override.code, []).append(override)
        return by_code

    @cached_property
    def out_of_sight(self) -> NDArray[np.bool_]:
        """The images (n,) that are suppressed while the one that stands for them is still in the collection."""
        standing = self.catalog.suppressed()
        if not standing:
            return np.zeros(len(self), np.bool_)
        there = pc.is_in(pa.array(list(standing.values()), pa.string()), value_set=self.ids)
        hidden = pa.array(list(standing), pa.string()).filter(there)
        return np.asarray(pc.is_in(self.ids, value_set=hidden).to_numpy(zero_copy_only=False), np.bool_)

    @cached_property
    def places(self) -> dict[str, int]:
        """The row of every image id."""
        return {image: place for place, image in enumerate(self.ids.to_pylist())}

    def _derived(self, item: Derived) -> AttributeValues:
        return derive(item.rule, {code: self.values(code) for code in item.rule.codes()})

    def score(self, phrase: str) -> NDArray[np.float64]:
        """The confidences (n,) of a phrase that has no column. Raises `UsageError` where nothing can judge it."""
        if self._score is None:
            raise UsageError(f"score({phrase!r}) needs a collection with an encoder")
        return self._score(self, phrase)

    # tables

    def mask(self, rule: rules.Rule) -> NDArray[np.bool_]:
        """The images (n,) for which a rule is true."""
        values: dict[str, Any] = {n: self.fact_values(n) if n in KINDS else self.values(n) for n in rule.names}
        values |= {rules.score_key(phrase): self.score(phrase) for phrase in rule.scores}
        return rules.evaluate(rule, values, len(self))

    def select(self, rule: rules.Rule, names: Sequence[str], sort: str | None, limit: int | None) -> pa.Table:
        """id, path, `names` and a rule's phrases, of the images for which it is true; `sort` is a name, `-` falling."""
        if limit is not None and limit < 0:
            raise UsageError(f"limit must not be negative, and {limit} is")
        key = sort.removeprefix("-") if sort else "path"
        needed = dict.fromkeys([*rule.names, *names, key])
        rows = np.flatnonzero(self.mask(rule))
        chosen = pa.array(rows)
        shown = {
            n: self.fact(n).take(chosen) if n in KINDS else nullable(self.values(n).confidence[rows]) for n in needed
        }
        scores = {f"score('{phrase}')": nullable(self.score(phrase)[rows]) for phrase in rule.scores}
        table = pa.table({"id": self.ids.take(chosen), "path": self.paths.take(chosen), **shown, **scores})
        if sort:
            direction = "descending" if sort.startswith("-") else "ascending"
            table = table.sort_by([(key, direction), ("path", "ascending")])
        return table.select(list(dict.fromkeys(["id", "path", *names, *scores]))).slice(0, limit)

    def wide(self, codes: Sequence[str] | None = None) -> pa.Table:
        """Facts and one confidence column a code (float64, null where unknown)."""
        table = self.facts()
        for code in self.codes() if codes is None else codes:
            table = table.append_column(code, nullable(self.values(code).confidence))
        return table

    def bands(self, codes: Sequence[str] | None = None) -> pa.Table:
        """id and one column of bands a code, as words."""
        table = pa.table({"id": self.ids})
        for code in self.codes() if codes is None else codes:
            table = table.append_column(code, self.band_words(code).cast(pa.string()))
        return table

    def sources(self, codes: Sequence[str] | None = None) -> pa.Table:
        """id and one column of sources a code."""
        table = pa.table({"id": self.ids})
        for code in self.codes() if codes is None else codes:
            table = table.append_column(code, self.source_words(code).cast(pa.string()))
        return table

    def band_words(self, code: str) -> pa.DictionaryArray:
        """The band of every image, (n,), as places in a list of words."""
        return _words(self.values(code).band + 1, BAND_WORDS)

    def source_words(self, code: str) -> pa.DictionaryArray:
        """Where each confidence comes from, (n,), as places in a list of words."""
        derived = isinstance(self.describe(code), Derived)
        found = np.zeros(len(self), np.int8)
        found[[place for place, _ in ([] if derived else self._overridden(code))]] = 1
        return _words(found, (RULE,) if derived else (MODEL, PERSON))


def is_stale(column: Column, attribute: Attribute) -> bool:
    """Whether a column was computed from other prompts than the attribute has now."""
    return bool(column.provenance.get("prompt_hash") != attribute.prompt_hash)


def reads_another_background(curve: Mapping[str, Any], background_hash: str | None) -> bool:
    """Whether a curve, or the one it stands on, was made for a background of other phrases than images have now."""
    while "on" in curve["params"]:
        curve = curve["params"]["on"]
    return bool(curve["params"].get("background", background_hash) != background_hash)


def nullable(confidence: NDArray[np.float64]) -> pa.Array:
    """Confidences as Arrow, NaN as null."""
    return pa.array(confidence, pa.float64(), mask=np.isnan(confidence))


def _words(places: NDArray[Any], words: Sequence[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(places, pa.int8()), pa.array(words, pa.string()))


def _floats(values: pa.Array) -> Floats:
    return np.asarray(pc.fill_null(values, float("nan")).to_numpy(zero_copy_only=False), np.float32)


def _whole(values: pa.ChunkedArray | pa.Array) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
