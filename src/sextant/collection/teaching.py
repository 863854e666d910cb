"""What people teach a collection: labels, calibrations, promises, counts, last words."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sextant.catalog import Label, Override
from sextant.errors import UsageError
from sextant.maths import rules
from sextant.paths import expanded
from sextant.types import (
    Asked,
    CalibrationReport,
    ColumnEvaluation,
    CountEstimate,
    Promise,
    Rows,
)
from sextant.view import View
from sextant.vocabulary import Derived

if TYPE_CHECKING:
    from sextant.compare import Comparison
    from sextant.heads import HeadReport, HeadState
    from sextant.maths.probing import Kind
    from sextant.outside import Outside
    from sextant.survey import Control, Review
    from sextant.tuning import Tuner

from sextant.collection.named import Named


class Teaching(Named):
    """Labels in, calibrations out, and what they are worth."""

    def label_next(self, code: str, size: int = 25, *, seed: int | None = None) -> list[Asked]:
        """Draws images to be labelled next: stratified by confidence, more near a band edge, each with its probability.

        What was drawn is on record, so that labels of it speak for the whole collection.
        """
        from sextant import draws

        view = self.view_of([code])
        if code not in view.columns:
            raise UsageError(f"'{code}' has no column of its own to label")
        seed = len(self.catalog.sample([code])) if seed is None else seed
        return draws.ask(view, self.catalog, code, size, seed=seed)

    def label(self, image: str, code: str, value: bool | None, *, person: str = "") -> None:
        """A person's yes or no for one image and attribute, to calibrate by; None withdraws it."""
        view = self.view_of([code])
        self.catalog.put_labels([Label(self._image(view, image), code, value, person)])

    def import_labels(self, source: str | os.PathLike[str], *, person: str = "") -> int:
        """Takes labels from CSV or JSON lines: `path` or `id` with `code` and `value`, or with one column a code.

        Returns how many; nothing is kept if any line is wrong.
        """
        from sextant import labels as labelling

        view = self.view(self.codes())
        found = labelling.read(expanded(source), view.find, view.codes(), person=person, derived=self._derived())
        self.catalog.put_labels(found)
        return len(found)

    def labels(self, codes: Sequence[str] | None = None) -> Rows:
        """The labels that hold: id, path, code, value, person, at."""
        from sextant import labels as labelling

        view = self.view()
        paths = dict(zip(view.ids.to_pylist(), view.paths.to_pylist(), strict=True))
        return Rows(labelling.table(self.catalog.labels(codes), paths))

    def export_labels(self, target: str | os.PathLike[str], codes: Sequence[str] | None = None) -> int:
        """Writes the labels that hold to a CSV, JSON lines or Parquet file; `import_labels` reads the first two."""
        from sextant import exchange

        path, rows = expanded(target), self.labels(codes)
        exchange.write(rows.table, path, exchange.format_of(path, None))
        return len(rows)

    def label_open(self, code: str) -> list[Asked]:
        """What the newest draw of `label_next` asked about and nobody has answered yet."""
        from sextant import draws

        return draws.still_open(self.view_of([code]), self.catalog, code)

    def calibrate(self, codes: Sequence[str] | None = None) -> list[CalibrationReport]:
        """Fits every labelled column, and uses a fit only where it does better on labels that it did not see.

        Columns without labels get their `prior` anew. No column is rewritten.
        """
        from sextant import calibrate

        return calibrate.calibrate(self, codes)

    def fit_heads(self, codes: Sequence[str], *, kind: Kind = "probe", always: bool = False) -> list[HeadReport]:
        """Learns light heads from the labels of attributes; where they do better, they judge the columns from now on.

        No image is read. `kind` is `probe`, or `prototypes` for a few labels; `always` uses them in any case.
        """
        from sextant import heads

        return heads.fit(self, codes, kind=kind, always=always)

    def heads(self) -> list[HeadState]:
        """The light heads in use."""
        from sextant import heads

        return heads.heads(self)

    def drop_heads(self, codes: Sequence[str]) -> list[str]:
        """Lets the prompts judge attributes again; returns those that had a head."""
        from sextant import heads

        return heads.drop(self, codes)

    def evaluate(
        self, codes: Sequence[str] | None = None, *, truth: str | os.PathLike[str] | None = None
    ) -> list[ColumnEvaluation]:
        """ECE, Brier score, likelihood and reliability of columns on labels that no fit has seen; `*` is all together.

        `truth` names a file like those of `import_labels` to judge against instead of the collection's own labels;
        images that the collection does not have are passed over.
        """
        from sextant import cluster, evaluation, extract

        chosen = cluster.of(self.settings)
        spread = chosen.spread_all if chosen else None
        if truth is None:
            view = extract.view(self, codes, {label.image for label in self.catalog.labels(codes)})
            return evaluation.evaluate(view, self.catalog, codes or view.codes(), spread=spread)
        view = self.view_of(self.codes() if codes is None else codes)
        return evaluation.evaluate(view, self.catalog, codes or view.codes(), self._truth(view, truth), spread=spread)

    def fit_prior(self, *, truth: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """Fits the components of the encoder in use on labels, and gives every unlabelled column a prior of them.

        Components belong to the encoder, not to an attribute: they serve columns that have no labels. Returns them.
        """
        from sextant import judge, prior
        from sextant import tag as tagging

        view = self.view(self.codes())
        background = prior.background_logits(self)
        if background is None:
            raise UsageError("the encoder is not at hand, and without it nobody knows what a background is here")
        known = self._truth(view, truth)
        card = judge.fit_card(view, self.catalog, known, background, f"labels in {self.folder.name}")
        prior.install(self, card)
        tagging.renew(self, self.codes())
        return card.to_params()

    def promise(self, code: str, *, precision: float, failure: float = 0.05) -> Promise:
        """Accepts from the lowest confidence at which a precision holds by the labels, but for `failure`."""
        from sextant import extract, promises

        view = extract.view(self, [code], {label.image for label in self.catalog.labels([code])})
        return promises.promise(view, self.catalog, code, precision=precision, failure=failure)

    def withdraw_promise(self, code: str) -> None:
        """Accepts from the vocabulary's threshold again."""
        from sextant import extract, promises

        promises.withdraw(extract.view(self, [code], ()), self.catalog, code)

    def compare(self, codes: Sequence[str] | None = None) -> Comparison:
        """What other settings and methods would make of the columns, side by side; changes nothing."""
        from sextant import compare

        return compare.compare(self, codes)

    def review(self, codes: Sequence[str] | None = None, *, conflicts: Sequence[str] = (), limit: int = 20) -> Review:
        """What a person should look at, and why, at most `limit` of a kind; no image may satisfy `conflicts`."""
        from sextant import survey

        wanted, parsed = (
            self.codes() if codes is None else codes,
            [rules.parse(rule, self.known()) for rule in conflicts],
        )
        pairs = list(zip(conflicts, parsed, strict=True))
        return survey.review(self.view_of(wanted), self.catalog, wanted, pairs, limit=limit)

    def outside(self, photos: str | os.PathLike[str] | None = None) -> list[Outside]:
        """The highest confidences of noise, blank sheets, pages of text and, if given, a folder of off-topic photos."""
        from sextant import outside

        return outside.check(self, expanded(photos) if photos is not None else None)

    def report(
        self,
        target: str | os.PathLike[str],
        *,
        title: str | None = None,
        truth: str | os.PathLike[str] | None = None,
        pictures: bool = True,
    ) -> int:
        """Writes the collection as one HTML page that needs nothing else, whole or not at all; returns its bytes."""
        from sextant import exchange, report

        known = self._truth(self.view(), truth)
        text = report.page(self, title or self.folder.name, truth=known, pictures=pictures)
        return exchange.write_text(text, expanded(target))

    def tuner(self, code: str) -> Tuner:
        """Tries other settings for one column, and puts one in use if wanted."""
        from sextant import tuning

        return tuning.Tuner(self, code)

    def failing_controls(self) -> list[Control]:
        """The controls of the vocabulary that do not come out as they must."""
        from sextant import survey

        codes = [a.code for a in self.vocabulary.attributes if a.control] if self.vocabulary else []
        return [c for c in survey.controls(self.view(codes)) if c.failing] if codes else []

    def count(self, code: str) -> CountEstimate | None:
        """How many images really show an attribute, with a 95 % interval; None without labels of a drawn sample."""
        return self._count(self.view_of([code]), code)

    def _count(self, view: View, code: str) -> CountEstimate | None:
        from sextant import draws

        return draws.count(view, self.catalog, code)

    def override(
        self,
        images: str | Sequence[str],
        code: str,
        value: bool | None,
        *,
        person: str | None = None,
        note: str | None = None,
    ) -> int:
        """A person's final word: `value` True or False outranks the model and survives re-tagging; None withdraws it.

        Images are named by id or path. Returns how many cells it holds for.
        """
        view = self.view_of([code])
        if isinstance(view.describe(code), Derived):
            raise UsageError(f"'{code}' is derived; override the attributes that it is made of")
        named = [images] if isinstance(images, str) else list(images)
        ids = [self._image(view, name) for name in named]
        self.catalog.put_overrides(Override(i, code, value, person, note) for i in ids)
        return len(ids)

    def describe(
        self, image: str, *, tags: Sequence[str] = (), untag: Sequence[str] = (), description: str | None = None
    ) -> None:
        """Adds or takes off a person's tags, and sets the description (an empty one removes it)."""
        found = self._image(self.view(), image)
        if any(not t.strip() for t in tags):
            raise UsageError("a tag cannot be empty")
        self.catalog.put_tags(found, [t.strip() for t in tags])
        if untag:
            self.catalog.drop_tags(found, untag)
        if description is not None:
            self.catalog.put_description(found, description.strip())
