"""Which encoder a collection uses: loaded once when first needed, checked against its vectors, phrases kept.

Between `models`, which finds an encoder by name, and the stages, which are handed one.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from sextant import trust
from sextant.catalog import Catalog
from sextant.errors import CollectionError, ModelError, UsageError
from sextant.manifest import FOLDER, Manifest
from sextant.paths import expanded
from sextant.settings import Settings
from sextant.types import Encoder, Floats

Loader = Callable[[str, str, str], Encoder]
"""From a model's name, a device and a precision to the encoder."""


BY_A_PERSON = ("argument", "environment")
"""Sources of a setting that no collection can bring with it."""
UNIT_SLACK = 1e-2  # bf16 rounds a unit vector's length by less


def load_model(spec: str, device: str, precision: str) -> Encoder:
    """The loader of real collections: `sextant.models`, imported when first needed."""
    from sextant import models

    return models.load(spec, device=device, precision=precision)


class Encoders:
    """The encoders that one open collection has loaded."""

    def __init__(self, folder: Path, settings: Settings, loader: Loader) -> None:
        self.folder, self.settings, self.loader = folder, settings, loader
        self._loaded: dict[tuple[str, str], Encoder] = {}

    def own(self, held: Manifest) -> Encoder:
        """The encoder that the collection's vectors came from, or the one it starts with.

        Raises:
            ModelError: it cannot be found or loaded, or is code that this person has not allowed.
            CollectionError: it loads as something else than what the vectors came from.
        """
        spec = from_folder(held.model, self.folder) if held.model else self.settings.model
        if held.model:
            self._allowed(spec, str(self.folder / FOLDER / "collection.json"))
        else:
            self._allowed(spec, self.settings.sources.get("model", "default"))
        asked = self.settings.precision
        encoder = self._at_hand(spec, held.encoder) or self.load(spec, held.precision if asked == "auto" else asked)
        if held.encoder not in (None, key_of(encoder)):
            raise CollectionError(
                f"the vectors of this collection come from {held.encoder}, but {spec} now loads as {key_of(encoder)}. "
                f"Ask for the same --precision, or embed everything anew with: sextant model use {spec}"
            )
        return encoder

    def first(self) -> Encoder:
        """The encoder that the settings name, for a collection that has none yet. Raises `ModelError` as `own` does."""
        self._allowed(self.settings.model, self.settings.sources.get("model", "default"))
        return self.load(self.settings.model)

    def named(self, spec: str) -> Encoder:
        """An encoder that a person names now; if it is code, they trust it from now on."""
        encoder = self.load(spec)
        self.allow(spec)
        return encoder

    def allow(self, spec: str) -> None:
        """Trusts what a person has named, where it is code."""
        if self.loader is load_model:
            with suppress(UsageError):  # what cannot be kept is asked for again next time
                trust.keep(spec)

    def _allowed(self, spec: str, where: str) -> None:
        """Refuses code that nobody here has named or allowed; a loader of the caller's own decides for itself."""
        if self.loader is not load_model:
            return
        own = self.settings.model if self.settings.sources.get("model") in BY_A_PERSON else None
        if own is not None and trust.code_of(own) == trust.code_of(spec):
            self.allow(spec)
        else:
            trust.check(spec, where)

    def load(self, spec: str, precision: str | None = None) -> Encoder:
        """An encoder by name, once, whatever it is."""
        precision = precision or self.settings.precision
        if (spec, precision) not in self._loaded:
            encoder = self.loader(spec, self.settings.device, precision)
            self._loaded[spec, precision] = encoder
        return self._loaded[spec, precision]

    def _at_hand(self, spec: str, key: str | None) -> Encoder | None:
        """The encoder of this place and key that was loaded by another name for it, as its folder was when first named.

        A second copy would cost the time and the memory of the whole network again.
        """
        asked = self.settings.precision
        found = (e for (s, p), e in self._loaded.items() if p == asked and from_folder(s, Path.cwd()) == spec)
        return next((e for e in found if key_of(e) == key), None)

    def recipe(self, encoder: Encoder) -> Callable[[], Encoder]:
        """How another process loads an encoder that was loaded here, which a person has allowed by then."""
        spec, precision = next(key for key, held in self._loaded.items() if held is encoder)
        spec = from_folder(spec, Path.cwd())  # the other process works in a folder of its own
        return partial(_alike, self.loader, spec, self.settings.device, precision, key_of(encoder))


class Phrases:
    """Phrases to unit vectors (n, dim) for one encoder, each encoded once and then kept in the catalog."""

    def __init__(self, catalog: Catalog, key: str, encoder: Callable[[], Encoder]) -> None:
        self.catalog, self.key, self.encoder = catalog, key, encoder

    def __call__(self, wanted: Sequence[str]) -> Floats:
        """Vectors (n, dim) of these phrases, in their order."""
        unique = list(dict.fromkeys(wanted))
        kept = self.catalog.texts(self.key, unique)
        new = [text for text in unique if text not in kept]
        if new:
            rows = self._encoded(new)
            fresh = {text: row.tobytes() for text, row in zip(new, rows, strict=True)}
            self.catalog.put_texts(self.key, fresh)
            kept |= fresh
        return np.stack([np.frombuffer(kept[text], np.float32) for text in wanted])

    def _encoded(self, new: Sequence[str]) -> Floats:
        """Rows that are fit to be kept for good."""
        encoder = self.encoder()
        rows = np.ascontiguousarray(encoder.encode_texts(new), np.float32)
        if rows.shape != (len(new), encoder.dim):
            raise ModelError(f"{self.key} gave {rows.shape} for {len(new)} texts, not ({len(new)}, {encoder.dim})")
        lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
        bad = np.flatnonzero(~(np.abs(lengths - 1) < UNIT_SLACK))
        if len(bad):
            raise ModelError(f"{self.key} makes nothing of the text {new[bad[0]]!r}: it gave no vector of unit length")
        return rows


def _alike(loader: Loader, spec: str, device: str, precision: str, key: str) -> Encoder:
    """In another process: the encoder, refused where it is not the one that the rows are kept under."""
    encoder = loader(spec, device, precision)
    if key_of(encoder) != key:
        raise ModelError(
            f"{spec} loads as {key_of(encoder)} on {platform.node()}, but as {key} where the command runs: say one "
            "--precision that all machines have, and give them the same model"
        )
    return encoder


def key_of(encoder: Encoder) -> str:
    """`NAME@REVISION`, under which an encoder's vectors are kept."""
    return f"{encoder.name}@{encoder.revision}"


def adopted(held: Manifest, encoder: Encoder, model: str) -> Manifest:
    """The manifest of a collection that uses this encoder."""
    scaled = encoder.revision.endswith("+scaled")  # what `auto` makes of fp32; asking for fp32 itself means strict
    return held.with_encoder(
        model=model,
        precision="auto" if scaled else getattr(encoder, "precision", "auto"),
        encoder=key_of(encoder),
        dim=int(encoder.dim),
        logit_scale=float(encoder.logit_scale),
        logit_bias=float(encoder.logit_bias),
        prior=getattr(getattr(encoder, "card", None), "prior", None) or getattr(encoder, "prior", None),
        taught_phrases=list(getattr(getattr(encoder, "card", None), "taught_phrases", ())) or None,
    )


def stored(spec: str, folder: Path) -> str:
    """A model as a person names it, as the collection in `folder` writes it down: local paths from that folder."""
    return _moved(spec, Path.cwd(), lambda path: _seen_from(folder, path))


def _seen_from(folder: Path, path: Path) -> str:
    """A relative path with a slash in it: a name without one would not be read as a path again."""
    found = Path(os.path.relpath(path, folder)).as_posix()
    return found if "/" in found else f"./{found}"


def from_folder(spec: str, folder: Path) -> str:
    """A model as the collection wrote it down, as a path that holds from any folder."""
    return _moved(spec, folder, str)


def _moved(spec: str, start: Path, place: Callable[[Path], str]) -> str:
    prefix = "local-dir:" if spec.startswith("local-dir:") else ""
    rest = spec.removeprefix(prefix)
    head, colon, name = rest.rpartition(":")
    for part, tail in ((rest, ""), (head, colon + name)):
        path = start / expanded(part)
        if (prefix or "/" in part or part.endswith(".py")) and path.exists():
            return f"{prefix}{place(path.resolve())}{tail}"
    return spec
