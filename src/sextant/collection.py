"""`Collection`: opens the edges, and has one short method per verb. The command line and the server are thin over it.

photos = sextant.open("~/photos", create=True)
photos.add("~/photos")
photos.tag("vocabulary.yaml")
photos.query("sunset and width > 2000").to_pandas()
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sextant import add as adding
from sextant import columns, exchange, extract, ingest, manifest, prior, settings, vocabulary
from sextant import export as exporting
from sextant import find as finding
from sextant import history as remembering
from sextant import labels as labelling
from sextant import tag as tagging
from sextant.catalog import Label, Override
from sextant.edges import Edges
from sextant.encoders import Loader, load_model
from sextant.errors import CollectionError, UsageError
from sextant.maths import rules
from sextant.paths import expanded
from sextant.sidecars import SidecarReport
from sextant.types import (
    AddReport,
    Asked,
    CalibrationReport,
    ColumnEvaluation,
    ColumnSummary,
    CountEstimate,
    Facet,
    Inspection,
    Progress,
    Promise,
    Prompts,
    Rows,
    SearchResult,
    Skipped,
    TagReport,
)
from sextant.view import KINDS, View
from sextant.vocabulary import Attribute, Derived, Vocabulary, did_you_mean

if TYPE_CHECKING:
    from sextant.compare import Comparison
    from sextant.crops import CropsReport
    from sextant.curate import Curation, Kept, Provider
    from sextant.curate import Options as CurateOptions
    from sextant.curations import PickRecord
    from sextant.duplicates import Duplicates, Level
    from sextant.events import Event, ExperimentRecord, WeightsRecord
    from sextant.explain import Explanation
    from sextant.feedback.counting import Metrics
    from sextant.feedback.experiments import Assignment, ExperimentReport
    from sextant.feedback.negatives import Suggestions
    from sextant.feedback.recording import Context
    from sextant.feedback.weights import LearnReport
    from sextant.fetch import Fetcher
    from sextant.finetune import FinetuneReport
    from sextant.finetune import Request as FinetuneRequest
    from sextant.golden import GoldenReport
    from sextant.indexing import IndexState
    from sextant.memory import Favourite, Searched
    from sextant.outside import Outside
    from sextant.sifting import Cluster, Method, Picked, Way
    from sextant.survey import Control, Review
    from sextant.tuning import Tuner

Report = Callable[[Progress], None]


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


class Collection(Edges):
    """A folder of images with what is known of them. Build one with `sextant.open`."""

    def __repr__(self) -> str:
        return f"Collection({str(self.folder)!r})"

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
        return adding.add(self, sources, model=model, drop_missing=drop_missing, fetcher=fetcher, progress=progress)

    def use(self, model: str, *, progress: Report | None = None) -> AddReport:
        """Switches to another encoder: embeds what it has not seen, computes the columns, then switches in one step.

        The old encoder's vectors stay, so switching back is instant.
        """
        chosen = self.vocabulary
        return adding.use(self, model, prepare=lambda ahead: chosen and tagging.tag(ahead, chosen), progress=progress)

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
        return columns.inspect(self.view_of([code]), code, center=center, scale=scale, bins=bins)

    # labels and calibrations

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
        view = self.view(self.codes())
        found = labelling.read(expanded(source), view.find, view.codes(), person=person, derived=self._derived())
        self.catalog.put_labels(found)
        return len(found)

    def labels(self, codes: Sequence[str] | None = None) -> Rows:
        """The labels that hold: id, path, code, value, person, at."""
        view = self.view()
        paths = dict(zip(view.ids.to_pylist(), view.paths.to_pylist(), strict=True))
        return Rows(labelling.table(self.catalog.labels(codes), paths))

    def export_labels(self, target: str | os.PathLike[str], codes: Sequence[str] | None = None) -> int:
        """Writes the labels that hold to a CSV, JSON lines or Parquet file; `import_labels` reads the first two."""
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
        from sextant import judge

        answered = {label.image for label in self.catalog.labels(codes)}
        before = extract.view(self, codes, answered)
        wanted = list(before.codes() if codes is None else codes)
        view = extract.view(self, wanted, answered) if tagging.renew(self, wanted, fitted=True) else before
        return judge.calibrate(view, self.catalog, wanted, before.calibrations)

    def evaluate(
        self, codes: Sequence[str] | None = None, *, truth: str | os.PathLike[str] | None = None
    ) -> list[ColumnEvaluation]:
        """ECE, Brier score, likelihood and reliability of columns on labels that no fit has seen; `*` is all together.

        `truth` names a file like those of `import_labels` to judge against instead of the collection's own labels;
        images that the collection does not have are passed over.
        """
        from sextant import evaluation

        if truth is None:
            view = extract.view(self, codes, {label.image for label in self.catalog.labels(codes)})
            return evaluation.evaluate(view, self.catalog, codes or view.codes())
        view = self.view_of(self.codes() if codes is None else codes)
        return evaluation.evaluate(view, self.catalog, codes or view.codes(), self._truth(view, truth))

    def fit_prior(self, *, truth: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """Fits the components of the encoder in use on labels, and gives every unlabelled column a prior of them.

        Components belong to the encoder, not to an attribute: they serve columns that have no labels. Returns them.
        """
        from sextant import judge

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
        from sextant import promises

        view = extract.view(self, [code], {label.image for label in self.catalog.labels([code])})
        return promises.promise(view, self.catalog, code, precision=precision, failure=failure)

    def withdraw_promise(self, code: str) -> None:
        """Accepts from the vocabulary's threshold again."""
        from sextant import promises

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
        from sextant import report

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

    # asking

    def query(self, rule: str, *, show: Sequence[str] = (), sort: str | None = None, limit: int | None = None) -> Rows:
        """The images for which a rule is true: id, path, and what the rule and `show` name.

        `sort` names a code or fact, with `-` before it for the highest first; unknown values come last.
        """
        known = self.known()
        parsed = rules.parse(rule, known)
        key = sort.lstrip("-") if sort else None
        for name in (*show, *([key] if key else [])):
            if name not in known:
                raise UsageError(f"no attribute or fact '{name}'.{did_you_mean(name, known)}")
        names = list(dict.fromkeys([*parsed.names, *show]))
        view = self.view([n for n in {*names, *([key] if key else [])} if n not in KINDS])
        return Rows(view.select(parsed, names, sort, limit))

    def sql(self, select: str) -> Rows:
        """One read-only SELECT over `images`, `bands` and `feature_image_attribute`.

        `score('a phrase')` is the confidence that `search` gives for it, and `score('a phrase', i.id)` says whose.
        """
        from sextant import sql

        view = self.view(self.codes())
        tables = sql.Tables(view.wide(), view.bands(), view.sources())
        memory = f"{self.settings.memory_mb}MB"
        return Rows(sql.run(select, tables, memory=memory, score=lambda phrase: self.score(view, phrase)))

    def score(self, view: View, phrase: str) -> NDArray[np.float64]:
        """The confidences (n,) that `search` gives for a phrase, in the order of a view; rules and SQL ask for it."""
        from sextant import question

        return question.score(self, view, phrase)

    def search(
        self,
        text: str,
        *,
        negatives: Sequence[str] = (),
        limit: int = 20,
        where: str | None = None,
        threshold: float = 0.0,
        expand: bool = True,
        words: bool = True,
        image: str | os.PathLike[str] | None = None,
        likeness: float = 0.5,
        fold: bool | float = False,
        diversity: float = 0.0,
        facets: Sequence[str] = (),
        parts: bool = False,
        learned: bool = True,
    ) -> SearchResult:
        """The images most likely to show what is asked, best first; `where` is a rule that every hit satisfies.

        Asks with weights and negatives as in `a + b - 2:c` or `a beach without people`. Confidences come from the same
        prior as those of unlabelled columns; `threshold` leaves out hits below one. `expand` also asks in the words of
        the expansion dictionary, `words` joins what tags and descriptions say. `image` is a picture to resemble as
        well, by a share of `likeness`. `fold` shows one of several near-duplicates, `diversity` above 0 prefers hits
        that differ; `facets` names what the likely images are counted by; `parts` looks at parts of pictures too, where
        `crops` made them; `learned` orders hits by the weights that feedback taught. When nothing here is likely to
        show what is asked, the hints say so. What was asked is remembered in the history.
        """
        options = finding.Options(
            negatives=negatives,
            limit=limit,
            where=where,
            threshold=threshold,
            expand=expand,
            words=words,
            image=os.fspath(image) if image is not None else None,
            likeness=likeness,
            fold=fold,
            diversity=diversity,
            facets=facets,
            parts=parts,
            learned=learned,
        )
        from sextant import history

        found = finding.search(self, text, options)
        history.remember(self, text, options, found)
        return found

    def facets(self, names: Sequence[str], *, where: str | None = None, limit: int = 10) -> list[Facet]:
        """How the images that satisfy a rule fall into the values of attributes or facts, each with the rule for it."""
        from sextant import facets

        view = self.view([name for name in names if name not in KINDS])
        chosen = np.ones(len(view), np.bool_) if where is None else view.mask(rules.parse(where, self.known()))
        return facets.count(view, chosen, names, limit)

    def similar(
        self, image: str, *, limit: int = 20, where: str | None = None, fold: bool | float = False
    ) -> SearchResult:
        """The images most like one of the collection (id or path) or like a file elsewhere; itself is left out."""
        return finding.similar(self, image, limit=limit, where=where, fold=fold)

    def history(self, limit: int = 50) -> list[Searched]:
        """What was searched for, the newest first."""
        if limit < 1:
            raise UsageError(f"limit must be at least 1, not {limit}")
        return self.catalog.searches(limit)

    def golden(
        self,
        file: str | os.PathLike[str],
        *,
        k: int | None = None,
        baseline: str | os.PathLike[str] | None = None,
        tolerance: float = 0.02,
        **options: Any,
    ) -> GoldenReport:
        """How well `search` answers a golden set: precision, recall, hit rate, nDCG and reciprocal rank at k.

        `baseline` names figures of an earlier time; the report says what fell below them by more than `tolerance`.
        Further options are those of `search`.
        """
        from sextant import answers, golden

        chosen, view = golden.load(expanded(file)), self.view()
        codes = tuple(dict.fromkeys([*view.codes(), *chosen.codes()]))
        labels = (
            labelling.read(chosen.truth, view.find, codes, person="", strangers=True)
            if chosen.truth
            else self.catalog.labels(chosen.codes())
        )

        def ask(text: str, limit: int, where: str | None) -> SearchResult:
            return finding.search(self, text, finding.Options(limit=limit, where=where, **options))

        report = golden.evaluate(view, chosen, answers.settled(labels), ask, k=k)
        return golden.compare(report, expanded(baseline), tolerance=tolerance) if baseline is not None else report

    def favourites(self) -> list[Favourite]:
        """The searches that have a name, by it."""
        return self.catalog.favourites()

    def favour(self, name: str, text: str, **options: Any) -> None:
        """Gives a search a name, with options as `search` takes them; one of that name is replaced."""
        remembering.favour(self, name, text, options, self.search)

    def repeat(self, name: str, **changes: Any) -> SearchResult:
        """Asks a favourite again; `changes` take the place of the options that were kept."""
        kept = remembering.favourite(self, name)
        return self.search(kept.text, **{**kept.options, **changes})

    def forget(self, *names: str, history: bool = False) -> int:
        """Forgets favourites by name, and with `history` everything that was searched for; how many that were."""
        return remembering.forget(self, names, history=history)

    def explain(self, image: str, asked: str) -> Explanation:
        """Why an image (id or path) has its confidence for a code or a phrase: in figures, and in sentences."""
        from sextant import explain

        return explain.explain(self, image, asked)

    # feedback

    def shown(self, result: SearchResult, context: Context | None = None) -> int:
        """Keeps an answer as a person saw it, before returning; the number is that of the impression.

        `context` says who saw it, by which options, as which variant of an experiment, and which page it was.
        """
        from sextant.feedback import recording

        return recording.shown(self, result, context or recording.Context())

    def feedback(
        self,
        kind: str,
        image: str,
        *,
        impression: int | None = None,
        reason: str | None = None,
        code: str | None = None,
        person: str = "",
        key: str | None = None,
    ) -> int:
        """Keeps that an image (id or path) was clicked, picked, or given a thumb up or down; the event's number.

        A thumb on the column `code` becomes a label that speaks for this image alone. `key` is the caller's own name
        for the event: sent again, it counts once.
        """
        from sextant.events import Event
        from sextant.feedback import recording

        given = Event(kind=kind, image=image, impression=impression, reason=reason, code=code, person=person, key=key)
        return recording.record(self, given)

    def events(self, limit: int = 50) -> list[Event]:
        """What people made of answers, the newest first."""
        if limit < 1:
            raise UsageError(f"limit must be at least 1, not {limit}")
        return self.catalog.events(limit=limit)[::-1]

    def metrics(self, *, since: str | None = None) -> Metrics:
        """Selection rate, mean rank of the selected and rate of empty answers: in all, by variant, and by day.

        `since` is a day such as `2026-01-31`, in UTC.
        """
        from sextant.feedback import counting

        return counting.metrics(self, since=since)

    def learn(self, *, dry_run: bool = False, seed: int = 0) -> LearnReport:
        """Learns weights of a ranking from what people selected, and uses them only where they rank better.

        That is measured on answers to other questions, corrected for where people look; the report says by how much.
        """
        from sextant.feedback import weights

        return weights.learn(self, dry_run=dry_run, seed=seed)

    def weights(self) -> list[WeightsRecord]:
        """Every version of the weights of the encoder in use, oldest first; the last one holds."""
        return self.catalog.weights(self.vectors.name)

    def drop_weights(self) -> bool:
        """Takes the learned weights out of use; whether there were any."""
        from sextant.feedback import weights

        return weights.drop(self)

    def suggest_negatives(self, query: str, *, seed: int = 0) -> Suggestions:
        """What a query should leave out, by the pictures that got a thumb down in its answers."""
        from sextant.feedback import negatives

        return negatives.suggest(self, query, seed=seed)

    def start_experiment(self, name: str, a: Mapping[str, Any], b: Mapping[str, Any], *, share: float = 0.5) -> None:
        """Starts to compare two ways to search, given by options of `search`; a `share` of people gets b."""
        from sextant.events import ExperimentRecord
        from sextant.feedback import experiments

        experiments.start(self, ExperimentRecord(name, dict(a), dict(b), share, ""), self.search)

    def stop_experiment(self, name: str) -> ExperimentRecord:
        """Ends an experiment; what was measured stays."""
        from sextant.feedback import experiments

        return experiments.stop(self, name)

    def experiments(self) -> list[ExperimentRecord]:
        """Every experiment, oldest first."""
        return self.catalog.experiments()

    def experiment(self, name: str, *, effect: float | None = None) -> ExperimentReport:
        """How an experiment stands: both selection rates, their difference, and how many answers it still takes."""
        from sextant.feedback import experiments

        return experiments.report(self, name, effect=effect)

    def assign(self, name: str, person: str) -> Assignment:
        """Which way to search a person gets in an experiment, always the same."""
        from sextant.feedback import experiments

        return experiments.assign(self, name, person)

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

        report = finetune.finetune(request, edges=self, progress=progress)
        if not install:
            return report
        return finetune.with_report(report, finetune.install(self, report, progress=progress))

    # in and out

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
        view = self.view()
        words = exchange.read_words(expanded(source), view.find)
        self.catalog.put_words(words)
        return len(words)

    # housekeeping

    def info(self) -> dict[str, Any]:
        """What the collection holds and which settings are in force."""
        held = self.manifest
        view = self.view() if held.encoder else None
        return {
            "folder": str(self.folder),
            "images": len(view) if view else 0,
            "files": int(view.copies.sum()) if view else 0,
            "model": held.model,
            "encoder": held.encoder,
            "dim": held.dim,
            "logit_scale": held.logit_scale,
            "logit_bias": held.logit_bias,
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
                for encoder in encoders:
                    indexing.drop(self, encoder)
                    self.store.drop_encoder(encoder)
                    self.catalog.drop_texts(encoder)
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
        """Merges small pieces and deletes old versions; returns the bytes freed."""
        return self.store.vacuum()

    # names and files

    def _truth(self, view: View, file: str | os.PathLike[str] | None) -> Mapping[str, Mapping[str, bool]] | None:
        """The answers in a file, by code and image; images that the collection does not have are passed over."""
        from sextant import answers

        if file is None:
            return None
        path = expanded(file)
        derived = self._derived()
        return answers.settled(
            labelling.read(path, view.find, view.codes(), person="", strangers=True, derived=derived)
        )

    def _derived(self) -> list[str]:
        return [item.code for item in self.vocabulary.derived] if self.vocabulary else []

    def _image(self, view: View, name: str) -> str:
        found = view.find(name)
        if found is None:
            near = did_you_mean(name, view.paths.to_pylist()) if len(view) < 50_000 else ""
            raise UsageError(f"no image '{name}' in the collection.{near}")
        return found
