"""`Collection`: opens the edges, and has one short method per verb. The command line and the server are thin over it.

photos = sextant.open("~/photos", create=True)
photos.add("~/photos")
photos.tag("vocabulary.yaml")
photos.query("sunset and width > 2000").to_pandas()
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sextant import manifest, settings, vocabulary
from sextant.collection.choosing import Choosing
from sextant.collection.keeping import Keeping
from sextant.collection.learning import Learning
from sextant.collection.moving import Moving
from sextant.collection.named import Report
from sextant.collection.teaching import Teaching
from sextant.encoders import Loader, load_model
from sextant.errors import CollectionError, UsageError
from sextant.paths import expanded
from sextant.place import Bucket, home, is_url
from sextant.types import (
    AddReport,
    ColumnSummary,
    Inspection,
    Prompts,
    TagReport,
)
from sextant.vocabulary import Attribute, Vocabulary, did_you_mean

if TYPE_CHECKING:
    from sextant import ingest
    from sextant.fetch import Fetcher


def open_collection(
    path: str | os.PathLike[str] | None = None, *, create: bool = False, loader: Loader | None = None, **arguments: Any
) -> Collection:
    """The collection at `path`, or the nearest at or above the current folder.

    `create` makes one where there is none. Further arguments are settings, such as
    `model="mini"` or `precision="fp32"`.

    Raises:
        CollectionError: there is no collection, or it cannot be read or made.
        UsageError: an unknown setting.
    """
    if path is not None and is_url(path):
        return _in_bucket(Bucket.at(os.fspath(path)), create=create, loader=loader or load_model, **arguments)
    start = expanded(path) if path is not None else Path.cwd()
    named = start.resolve() if path is not None else None
    folder = named if named and manifest.exists(named) else None
    folder = folder or (manifest.find(start) if path is None else None)
    if folder is None:
        if not create:
            where = f"at {start}" if path is not None else f"at or above {start}"
            raise CollectionError(
                f"there is no collection {where}. `sextant add FOLDER` makes one, or name one with -C"
            )
        folder = start.resolve()
        if folder.exists() and not folder.is_dir():
            raise CollectionError(f"{folder}: is a file, not the folder of a collection")
    root = folder / manifest.FOLDER
    chosen = settings.load(root / "settings.toml", **arguments)
    return Collection(folder, chosen, loader or load_model, new=create)


def _in_bucket(place: Bucket, *, create: bool, loader: Loader, **arguments: Any) -> Collection:
    """The collection at a place in a bucket, with the folder that this machine keeps for it."""
    if not create and not manifest.exists(place):
        raise CollectionError(f"there is no collection at {place}. `sextant -C {place} add s3://…` makes one")
    folder = home(place)
    chosen = settings.load(folder / manifest.FOLDER / "settings.toml", **arguments)
    return Collection(folder, chosen, loader, new=create, place=place)


class Collection(Teaching, Learning, Choosing, Moving, Keeping):
    """A folder of images with what is known of them. Build one with `sextant.open`."""

    def __repr__(self) -> str:
        return f"Collection({str(self.place)!r})"

    def __enter__(self) -> Collection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # add

    def add(
        self,
        *sources: ingest.Source,
        model: str | None = None,
        drop_missing: bool = False,
        fetcher: Fetcher | None = None,
        progress: Report | None = None,
    ) -> AddReport:
        """Embeds every new image behind files, folders, patterns and URLs; what is known is not read again.

        Pictures behind http and https are fetched into `downloads/`; a `fetcher` of one's own has other limits.
        `drop_missing` removes images whose files are gone. A bad file is listed in the report and never scored.
        """
        from sextant import add as adding

        return adding.add(self, sources, model=model, drop_missing=drop_missing, fetcher=fetcher, progress=progress)

    def use(self, model: str, *, progress: Report | None = None) -> AddReport:
        """Switches to another encoder: embeds what it has not seen, makes its columns, then switches in one step.

        Heads and curves are made anew from the same labels. The old encoder's vectors stay, so switching back is
        instant.
        """
        from sextant import switching

        return switching.use(self, model, progress=progress)

    # columns

    def tag(
        self,
        source: str | os.PathLike[str] | Vocabulary | None = None,
        *,
        codes: Sequence[str] | None = None,
        dry_run: bool = False,
        center: float | None = None,
        scale: float | None = None,
    ) -> TagReport:
        """Makes the columns of a vocabulary: only what is absent or stale is computed, and no image is decoded.

        Without a source the current vocabulary is used again. `codes` narrows the work; `center` and `scale` set the
        `fixed` calibration of every attribute that has no better one.
        """
        from sextant import tag as tagging

        chosen = self._vocabulary_from(source)
        return tagging.tag(self, chosen, codes=codes, dry_run=dry_run, center=center, scale=scale)

    def _vocabulary_from(self, source: str | os.PathLike[str] | Vocabulary | None) -> Vocabulary:
        if isinstance(source, Vocabulary):
            return source
        if source is not None:
            return vocabulary.load(expanded(source))
        return self.current_vocabulary()

    def columns(self) -> list[ColumnSummary]:
        """How many images each attribute accepts, how far that can be trusted, and how many there are by the labels."""
        from sextant import columns

        view = self.view(self.codes())
        drawn = {label.code for label in self.catalog.labels()}
        found = [columns.summary(view, code) for code in view.codes()]
        return [replace(s, estimate=self._count(view, s.code)) if s.code in drawn else s for s in found]

    def prompts(self, codes: Sequence[str] | None = None) -> list[Prompts]:
        """Exactly what is encoded for each attribute."""
        chosen = self.current_vocabulary()
        for code in codes or ():
            if code not in chosen or not isinstance(chosen[code], Attribute):
                raise UsageError(f"no attribute '{code}'.{did_you_mean(code, [a.code for a in chosen.attributes])}")
        wanted = [a for a in chosen.attributes if codes is None or a.code in codes]
        return [Prompts(a.code, a.prompts, a.negatives, a.prompt_hash) for a in wanted]

    def inspect(
        self, code: str, *, center: float | None = None, scale: float | None = None, bins: int = 40
    ) -> Inspection:
        """A column's logits, and what a calibration makes of them; `center` and `scale` ask what if."""
        from sextant import columns

        return columns.inspect(self.view_of([code]), code, center=center, scale=scale, bins=bins)
