"""A collection in and out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sextant.paths import expanded
from sextant.types import (
    AddReport,
    Skipped,
)

if TYPE_CHECKING:
    from sextant.sidecars import SidecarReport

from sextant.collection.named import Named


class Moving(Named):
    """Exports and imports."""

    def export(
        self,
        target: str | os.PathLike[str],
        *,
        format: str | None = None,
        shape: str = "wide",
        where: str | None = None,
        codes: Sequence[str] | None = None,
        bands: Sequence[str] = (),
        force: bool = False,
    ) -> int:
        """Writes facts and confidences to a file, whole or not at all; returns how many rows or images.

        `format` is csv, jsonl, parquet, coco or fiftyone; `shape`, of a table, is `wide` (a row an image) or `long` (a
        row an image and attribute). `where` selects images by a rule, `bands` those that show one of `codes` in a band.
        A file that is there is replaced with `force` alone.
        """
        from sextant import export as exporting

        path = expanded(target)
        chosen: dict[str, Any] = {"where": where, "codes": codes, "bands": bands}
        return exporting.to_file(self, path, format=format, shape=shape, force=force, **chosen)

    def export_images(
        self,
        target: str | os.PathLike[str],
        *,
        where: str | None = None,
        codes: Sequence[str] | None = None,
        bands: Sequence[str] = (),
        link: bool = False,
        force: bool = False,
    ) -> tuple[int, tuple[Skipped, ...]]:
        """Copies or links a selection into a new Hugging Face imagefolder; how many images, and which were left out."""
        from sextant import export as exporting

        path = expanded(target).absolute()
        return exporting.to_folder(self, path, where=where, codes=codes, bands=bands, link=link, force=force)

    def export_sidecars(
        self,
        *,
        where: str | None = None,
        codes: Sequence[str] | None = None,
        bands: Sequence[str] = (),
        naming: str = "photo.jpg.xmp",
    ) -> SidecarReport:
        """Writes attributes as keywords into XMP sidecars beside the pictures; a person's keywords are never removed.

        What an earlier export wrote and no longer holds is withdrawn. `naming` is how a new sidecar is called.
        """
        from sextant import export as exporting

        return exporting.to_sidecars(self, where=where, codes=codes, bands=bands, naming=naming)

    def import_vectors(
        self,
        source: str | os.PathLike[str],
        *,
        ids: str | os.PathLike[str] | None = None,
        encoder: str | None = None,
        logit_scale: float | None = None,
        logit_bias: float | None = None,
    ) -> AddReport:
        """Takes vectors made elsewhere: `.npy` with a list of ids or paths, Parquet, or a clip-retrieval folder.

        `encoder` names, as `NAME@REVISION`, what made them; without it they belong to the collection's own encoder.
        """
        from sextant import add as adding

        return adding.bring(
            self,
            expanded(source),
            ids=expanded(ids) if ids else None,
            encoder=encoder,
            logit_scale=logit_scale,
            logit_bias=logit_bias,
        )

    def import_words(self, source: str | os.PathLike[str]) -> int:
        """Takes tags and descriptions from a CSV or JSON lines file with `path` or `id`, `tags`, `description`.

        Returns how many images they were for; nothing is written if any line is wrong.
        """
        from sextant import exchange

        view = self.view()
        words = exchange.read_words(expanded(source), view.find)
        self.catalog.put_words(words)
        return len(words)
