"""What keeps a collection in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sextant.crops import CropsReport
    from sextant.indexing import IndexState

from sextant.collection.named import Named, Report


class Keeping(Named):
    """Housekeeping, indexes and parts of pictures."""

    def info(self) -> dict[str, Any]:
        """What the collection holds and which settings are in force."""
        held = self.manifest
        view = self.view() if held.encoder else None
        return {
            "folder": str(self.place),
            "images": len(view) if view else 0,
            "files": int(view.copies.sum()) if view else 0,
            "model": held.model,
            "encoder": held.encoder,
            "dim": held.dim,
            "logit_scale": held.logit_scale,
            "logit_bias": held.logit_bias,
            "catalog": held.catalog,
            "encoders": {name: len(self.store.vectors(name)) for name in self.store.encoders()},
            "vocabulary": (self.catalog.vocabulary() or (None,))[0],
            "columns": len(self.vectors.columns()) if held.encoder else 0,
            "bytes": self.store.size(),
            "format": held.format,
            "settings": self.options(),
        }

    def prune(self, *, dry_run: bool = False) -> dict[str, list[str]]:
        """Deletes what nothing refers to any more: removed columns, other encoders, images without a file."""
        from sextant import indexing

        held = self.manifest
        chosen = self.vocabulary
        gone = [c for c in self.vectors.columns() if chosen is not None and c not in chosen] if held.encoder else []
        encoders = [e for e in self.store.encoders() if e != held.encoder]
        located = set(self.store.files()["id"].to_pylist())
        orphans = sorted(set(self.store.images(["id"])["id"].to_pylist()) - located)
        if not dry_run:
            with self.store.writing():
                if held.encoder:
                    self.vectors.drop(gone)
                for encoder in encoders:  # its table last: while that is there, a run that was killed is done again
                    self.catalog.drop_texts(encoder)
                    indexing.drop(self, encoder)
                    self.store.drop_encoder(encoder)
                self.store.drop_images(orphans)
        return {"columns": gone, "encoders": encoders, "images": orphans}

    def index(self, *, progress: Report | None = None) -> IndexState:
        """Makes the vector index of a large collection anew, and checks its recall with phrases.

        It is a cache: searches are exact without it, and slow beyond a few hundred thousand images.
        """
        from sextant import indexing

        return indexing.build(self, progress=progress)

    def index_state(self) -> IndexState:
        """What index there is, how much it finds, and whether it still fits."""
        from sextant import indexing

        return indexing.state(self)

    def drop_index(self) -> bool:
        """Deletes the vector index; says whether there was one."""
        from sextant import indexing

        return indexing.drop(self)

    def crops(self, *, progress: Report | None = None) -> CropsReport:
        """Embeds five parts of every picture that has none yet, so that small things can be found."""
        from sextant import crops

        return crops.add(self, progress=progress)

    def vacuum(self) -> int:
        """Merges small pieces, deletes old versions and what killed processes left; returns the bytes freed."""
        from sextant import leftovers

        return self.store.vacuum() + leftovers.clear(self.folder)
