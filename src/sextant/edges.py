"""`Edges`: what a collection stands on, opened when first needed, and handed to the stages.

The folder and its manifest, the tables, the catalog, the encoder in use, the vocabulary, and a view of all images at
one moment. Knows no verb.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant import manifest, vocabulary
from sextant.catalog import Catalog, public
from sextant.encoders import Encoders, Loader, Phrases, adopted, key_of, stored
from sextant.errors import CollectionError, UsageError
from sextant.manifest import Manifest
from sextant.maths import rules
from sextant.maths.heads import Head
from sextant.place import Bucket, Place
from sextant.settings import Settings
from sextant.store import LOCK_SECONDS, Lock, Store, Vectors
from sextant.tables import Vanished, steadily
from sextant.types import Encoder
from sextant.view import KINDS, View
from sextant.vocabulary import Vocabulary, did_you_mean


class Edges:
    """One open collection, without its verbs."""

    def __init__(
        self, folder: Path, settings: Settings, loader: Loader, *, new: bool = False, place: Bucket | None = None
    ) -> None:
        """A collection in a folder; or at a `place` in a bucket, of which the folder is this machine's part."""
        self.folder = folder
        self.place: Place = place or folder
        self.new = new  # nothing is on disk yet, and nothing will be until there is something to keep
        self.settings = settings
        self.encoders = Encoders(folder, settings, loader)
        root = folder / manifest.FOLDER
        self.store = Store(root, place / manifest.FOLDER, self._turn) if place else Store(root)
        self._shared: Lock | None = None
        self._manifest: tuple[object, Manifest] | None = None
        self._seen: tuple[tuple[object, ...], View] | None = None
        self._parsed: tuple[tuple[str, str], Vocabulary] | None = None

    @property
    def manifest(self) -> Manifest:
        """What the collection is, read anew: another process may have switched the encoder."""
        changed = manifest.changed(self.place)
        if self.new and changed is None:
            return Manifest()
        if self._manifest is None or self._manifest[0] != changed:
            self._manifest = (changed, manifest.read(self.place))
            self.new = False  # one that goes from now on was moved or deleted, and is not begun again where it was
        return self._manifest[1]

    @cached_property
    def catalog(self) -> Catalog:
        """What people said; asking for it makes the collection where there is none yet."""
        asked = self.settings.catalog
        there = not self.new or manifest.exists(self.place)
        name = self.manifest.catalog if there else public(asked)
        if self.settings.sources.get("catalog") == "argument" and public(asked) != name:
            raise UsageError(f"the catalog of this collection is {name}, not {public(asked)}")
        if isinstance(self.place, Bucket):
            self._settle(name, there)
        elif not there and "://" not in name:
            manifest.create(self.place, name)
        found = Catalog.at(name, asked) if "://" in name else Catalog.beside(self.store.root / name)
        if not there:  # a collection whose catalog cannot be opened is not begun
            self.__dict__["catalog"] = found  # the lock of a bucket is there
            with self.store.writing() if isinstance(self.place, Bucket) else nullcontext():
                manifest.create(self.place, name)
        return found

    def _settle(self, catalog: str, there: bool) -> None:
        """Makes this machine's folder of a collection in a bucket; a catalog that is a file lies nowhere else."""
        file = self.store.root / catalog
        if there and "://" not in catalog and self.manifest.encoder is not None and not file.exists():
            raise CollectionError(
                f"{self.place}: its catalog is a file of the machine that made it, and is not here. Copy it to {file}; "
                "or begin such a collection with --catalog postgresql://…, which every machine can open"
            )
        try:
            self.store.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CollectionError(
                f"{self.store.root}: cannot be made: {error.strerror}. SEXTANT_HOME names another folder for it"
            ) from error

    def _turn(self) -> Lock:
        """What keeps writers of a collection in a bucket apart: a lock where its catalog is."""
        if self._shared is None:
            shared = self.catalog.is_shared
            self._shared = self.catalog.turn(str(self.place), LOCK_SECONDS) if shared else self.store.own_lock
        return self._shared

    def close(self) -> None:
        """Gives back what is open."""
        if "catalog" in self.__dict__:
            self.catalog.close()

    @property
    def vectors(self) -> Vectors:
        """The table of the encoder in use."""
        encoder = self.manifest.encoder
        if encoder is None:
            raise CollectionError(f"{self.folder}: the collection is empty. Start with: sextant add FOLDER")
        return self.store.vectors(encoder)

    @property
    def scale(self) -> tuple[float, float]:
        """logit_scale and logit_bias of the encoder in use."""
        held = self.manifest
        return held.logit_scale, held.logit_bias

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The current vocabulary, with the heads that judge its attributes by the encoder in use."""
        current = self.catalog.vocabulary()
        if current is None:
            return None
        parsed = self._parsed
        if parsed is None or parsed[0] != current:
            parsed = self._parsed = (current, vocabulary.parse(current[1], current[0]))
        return self.with_heads(parsed[1])

    def with_heads(self, chosen: Vocabulary) -> Vocabulary:
        """A vocabulary whose attributes know the heads that this collection has for them."""
        encoder = self.manifest.encoder
        held = self.catalog.head_hashes(encoder) if encoder else {}
        if all(a.head == held.get(a.code) for a in chosen.attributes):
            return chosen
        return replace(chosen, attributes=tuple(replace(a, head=held.get(a.code)) for a in chosen.attributes))

    def head(self, hash_: str, encoder: str | None = None) -> Head:
        """The head with this hash, of the encoder in use or another. Raises `CollectionError` where there is none."""
        found = self.catalog.head(encoder or self.vectors.name, hash_)
        if found is None:
            raise CollectionError(f"a column is of a head that the catalog does not have ({hash_}): run sextant tag")
        return found.head

    def current_vocabulary(self) -> Vocabulary:
        """The current vocabulary. Raises `UsageError` where there is none yet."""
        current = self.vocabulary
        if current is None:
            raise UsageError("the collection has no vocabulary yet; name a file: sextant tag VOCABULARY.yaml")
        return current

    def encoder(self) -> Encoder:
        """The encoder in use, loaded when first asked for.

        Raises:
            ModelError: it cannot be found or loaded.
            CollectionError: it is not the encoder that the stored vectors came from.
        """
        return self.encoders.own(self.manifest)

    def first_encoder(self, model: str | None) -> Encoder:
        """The encoder in use; where there is none yet, `model` or the setting decides which that is from now on.

        Raises:
            UsageError: `model` is another one than the collection uses.
        """
        held = self.manifest
        if held.encoder is None:
            spec = model or self.settings.model
            encoder = self.encoders.named(model) if model else self.encoders.first()
            self.catalog  # noqa: B018 – makes the collection
            with self.store.writing():
                held = self.manifest
                if held.encoder is None:  # and no other process decided meanwhile
                    self.adopt(encoder, spec)
                    return encoder
        if model is not None and stored(model, self.folder) != held.model:
            raise UsageError(f"this collection uses {held.model}; switch all of it with: sextant model use {model}")
        if model is not None:
            self.encoders.allow(model)
        return self.encoder()

    def adopt(self, encoder: Encoder, model: str) -> None:
        """Makes an encoder the one in use, in one step."""
        manifest.write(self.place, adopted(self.manifest, encoder, stored(model, self.folder)))

    def ahead(self, encoder: Encoder, model: str) -> Edges:
        """The collection as it will be once `adopt` has made this encoder the one in use."""
        return _Ahead(self, encoder, model)

    def phrases(self, encoder: Encoder | None = None) -> Phrases:
        """Phrases to vectors, by the encoder in use or another."""
        key = key_of(encoder) if encoder else self.vectors.name
        return Phrases(self.catalog, key, (lambda: encoder) if encoder else self.encoder)

    def view(self, codes: Iterable[str] = ()) -> View:
        """What the collection says at this moment; `codes` names the columns that will be asked for.

        As long as nothing is written, by this process or another, it is the same view as before.
        """
        asked = list(codes)
        return steadily(lambda: self._view(asked))

    def _view(self, codes: Iterable[str]) -> View:
        vectors = self.vectors
        moment = (vectors.name, self.store.moment(vectors.name), self.catalog.changes())
        seen = self._seen
        if seen is None or seen[0] != moment:
            view = View(self.store, self.catalog, vectors, self.vocabulary, codes, score=self.score)
            if seen is not None and seen[0][:2] == moment[:2]:
                view.kept = seen[1].kept
            self._seen = (moment, view)
            return view
        try:
            seen[1].read(codes)
        except Vanished:
            self._seen = None
            raise
        return seen[1]

    def score(self, view: View, phrase: str) -> NDArray[np.float64]:  # noqa: ARG002 – for `Collection`, which knows how
        """The confidences (n,) of a phrase that has no column, in the order of a view."""
        raise UsageError(f"nothing here can judge the phrase {phrase!r}")

    def view_of(self, codes: Iterable[str]) -> View:
        """The same, where every code must exist. Raises `UsageError` with the nearest known one."""
        asked = list(codes)
        known = self.codes()
        for code in asked:
            if code not in known:
                raise UsageError(f"no attribute '{code}'.{did_you_mean(code, known)}")
        return self.view(asked)

    def codes(self) -> tuple[str, ...]:
        """Every code that can be asked for."""
        return self.view().codes()

    def known(self) -> dict[str, rules.Kind]:
        """Every name that a rule may use, and its kind."""
        encoder = self.manifest.encoder
        codes = self.codes() if encoder else ()
        return {**KINDS, **dict.fromkeys(codes, "attribute")}  # type: ignore[dict-item]

    def located(self) -> dict[str, str]:
        """The id behind every known path."""
        files = self.store.files()
        pairs = zip(files["path"].to_pylist(), files["id"].to_pylist(), strict=True)
        return {path: image for path, image in pairs if image is not None}

    def options(self) -> dict[str, Any]:
        """The settings in force, and where each came from."""
        sources = sorted(self.settings.sources.items())
        shown = {"catalog": public(self.settings.catalog)}  # a password is nobody's business
        return {n: {"value": shown.get(n, getattr(self.settings, n)), "from": source} for n, source in sources}


class _Ahead(Edges):
    """One open collection with another encoder in use, of which the manifest knows nothing yet."""

    def __init__(self, now: Edges, encoder: Encoder, model: str) -> None:
        place = now.place if isinstance(now.place, Bucket) else None
        super().__init__(now.folder, now.settings, now.encoders.loader, place=place)
        self.store, self.encoders = now.store, now.encoders
        self.__dict__["catalog"] = now.catalog
        self._future = adopted(now.manifest, encoder, stored(model, now.folder))
        self._encoder = encoder

    @property
    def manifest(self) -> Manifest:
        """What the collection will be."""
        return self._future

    def encoder(self) -> Encoder:
        """The encoder that will be in use."""
        return self._encoder
