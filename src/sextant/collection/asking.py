"""Questions whose answers are images, and how well they are answered."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sextant.errors import UsageError
from sextant.maths import rules
from sextant.paths import expanded
from sextant.tables import steadily
from sextant.types import (
    Facet,
    Rows,
    SearchResult,
)
from sextant.view import KINDS, View
from sextant.vocabulary import did_you_mean

if TYPE_CHECKING:
    from sextant.explain import Explanation
    from sextant.golden import GoldenReport
    from sextant.memory import Favourite, Searched

from sextant.collection.named import Named


class Asking(Named):
    """Rules, SQL, searches, explanations, favourites and golden sets."""

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
        from sextant import relations, sql

        def asked() -> Rows:
            view, memory = self.view(), f"{self.settings.memory_mb}MB"
            return Rows(
                sql.run(select, relations.of(view), memory=memory, score=lambda phrase: self.score(view, phrase))
            )

        return steadily(asked)

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
        from sextant import find as finding
        from sextant import history

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
        from sextant import find as finding

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
        from sextant import find as finding
        from sextant import labels as labelling

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
        from sextant import history as remembering

        remembering.favour(self, name, text, options, self.search)

    def repeat(self, name: str, **changes: Any) -> SearchResult:
        """Asks a favourite again; `changes` take the place of the options that were kept."""
        from sextant import history as remembering

        kept = remembering.favourite(self, name)
        return self.search(kept.text, **{**kept.options, **changes})

    def forget(self, *names: str, history: bool = False) -> int:
        """Forgets favourites by name, and with `history` everything that was searched for; how many that were."""
        from sextant import history as remembering

        return remembering.forget(self, names, history=history)

    def explain(self, image: str, asked: str) -> Explanation:
        """Why an image (id or path) has its confidence for a code or a phrase: in figures, and in sentences."""
        from sextant import explain

        return explain.explain(self, image, asked)
