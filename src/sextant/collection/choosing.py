"""A few images out of many, and an encoder made from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sextant import ingest
    from sextant.curate import Curation, Kept, Provider
    from sextant.curate import Options as CurateOptions
    from sextant.curations import PickRecord
    from sextant.duplicates import Duplicates, Level
    from sextant.fetch import Fetcher
    from sextant.finetune import FinetuneReport
    from sextant.finetune import Request as FinetuneRequest
    from sextant.sifting import Cluster, Method, Picked, Way

from sextant.collection.named import Named, Report


class Choosing(Named):
    """Near-duplicates, picks, clusters, curations and fine-tuning."""

    # sifting

    def duplicates(
        self,
        level: Level = "shot",
        *,
        threshold: float | None = None,
        where: str | None = None,
        sensitivity: bool | None = None,
        suppress: bool = False,
        progress: Report | None = None,
    ) -> Duplicates:
        """Groups of images that are the same bytes (`exact`), the same `shot` or the same `scene`, best first.

        In a group every two are near-duplicates, so no chain of likenesses makes one. `threshold` is a cosine, chosen
        by how alike the encoder makes the collection's images. `suppress` puts all but the best of each group out of
        sight, until `restore`.
        """
        from sextant import duplicates as stage

        request = stage.Request(level, threshold, where, sensitivity, suppress)
        return stage.duplicates(self, request, progress=progress)

    def restore(self, *images: str, run: int | None = None) -> int:
        """Brings suppressed near-duplicates back: all, those named by id or path, or those of one run; how many."""
        from sextant import duplicates as stage

        return stage.restore(self, images, run=run)

    def pick(
        self, k: int, *, where: str | None = None, by: str | None = None, way: Way = "relevance", weight: float = 0.5
    ) -> list[Picked]:
        """k images that are good and differ: by relevance (MMR; `weight` 1 is the plain order) or by `spread`.

        `by` names an attribute or a number to prefer; without it sharp and large images are preferred.
        """
        from sextant import sifting

        return sifting.pick(self, k, sifting.Choice(where, by, way, weight))

    def clusters(
        self, k: int | None = None, *, method: Method = "kmeans", where: str | None = None, seed: int = 0
    ) -> list[Cluster]:
        """What the images fall into, largest first, named by the attributes that set each cluster apart."""
        from sextant import sifting

        return sifting.clusters(self, k, method=method, where=where, seed=seed)

    # curating

    def curate(
        self,
        query: str,
        *sources: ingest.Source,
        where: str | None = None,
        providers: Sequence[Provider] = (),
        options: CurateOptions | None = None,
        fetcher: Fetcher | None = None,
        progress: Report | None = None,
    ) -> Curation:
        """The best pictures for a query, each score in its parts: of files, URLs, providers, or of the collection.

        Pictures from outside do not enter the collection; `keep` stores those that are picked. `where` chooses among
        the collection's own. Near-duplicates are folded under their best, what a gate refuses is listed with reasons.
        """
        from sextant import curate

        options = options or curate.Options()
        more: dict[str, Any] = {"where": where, "providers": providers, "fetcher": fetcher, "progress": progress}
        return curate.curate(self, query, sources, options=options, **more)

    def keep(
        self,
        *ranks: int,
        best: int | None = None,
        curation: int | None = None,
        fetcher: Fetcher | None = None,
    ) -> Kept:
        """Stores pictures of a curation, by rank or the `best` that differ, in `picks/NAME/`; the rest is deleted."""
        from sextant import curate

        return curate.keep(self, ranks, best=best, number=curation, fetcher=fetcher)

    def discard(self) -> int:
        """Deletes the pictures from outside that wait to be picked, of every curation; how many curations."""
        from sextant import curate

        return curate.discard(self)

    def picks(self, curation: int | None = None) -> list[PickRecord]:
        """Every picture that was picked, with where it came from and how it scored; or those of one curation."""
        return self.catalog.picks(curation)

    # training

    def finetune(
        self, request: FinetuneRequest, *, install: bool = False, progress: Report | None = None
    ) -> FinetuneReport:
        """Trains an encoder on a data set or on this collection's labels; `install` lets the collection use it.

        The former encoder's vectors stay, so `use` of it goes back in one step. Needs the extra `train`.
        """
        from sextant import finetune

        if install:
            finetune.check_installable(request)
        report = finetune.finetune(request, edges=self, progress=progress)
        if not install:
            return report
        return finetune.with_report(report, finetune.install(self, report, progress=progress))
