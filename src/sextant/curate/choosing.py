"""Candidates to an answer: scored, gated, ranked, near-duplicates folded, a model asked, shown.

The same steps for every candidate, wherever it came from.
"""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from sextant import exchange, images
from sextant.curate import pool, scores, sheet
from sextant.curate.gates import Refusal
from sextant.curate.pool import Entry, Pool
from sextant.curate.request import Alike, Curation, Options, Refused, Shown, Usage, refusals_of, row_of, slug
from sextant.curate.second import Looked
from sextant.duplicates import LIKENESS
from sextant.edges import Edges
from sextant.errors import SextantError
from sextant.fingerprint import rows as hash_rows
from sextant.maths import diversity
from sextant.maths import groups as near
from sextant.place import read
from sextant.types import Progress, Skipped
from sextant.vlm import SIDE as VLM_SIDE

DEEPEST = 5
"""Times the pictures to be shown: so many of those that lead are opened, and compared with each other."""
FEWEST, MOST_OPENED = 200, 2000
Report = Callable[[Progress], None]


class Choosing:
    """One curation under way."""

    def __init__(self, edges: Edges, query: str, phrases: Sequence[str], options: Options, found: Pool) -> None:
        self.edges, self.query, self.phrases, self.options, self.pool = edges, query, phrases, options, found
        self.weights = scores.checked(options.weights)
        self.words = [scores.keywords(phrase) for phrase in phrases]
        self.refused: list[Refused] = []
        self.skipped = list(found.skipped)
        self.notes = [*options.warnings(query), *found.notes]

    def answer(self, waiting: str, begun: float, progress: Report | None) -> Curation:
        """Everything after the candidates are at hand."""
        for entry in self.pool.entries:
            self._score(entry)
        groups, unopened = self._grouped(self._ranked(self._passed(self.pool.entries)))
        looked = self._second(groups, progress)
        shown = self._shown(groups[: self.options.limit])
        diverse = self._diverse([group[0] for group in groups[: self.options.limit]])
        name = slug(self.options.name or self.query)
        usage = _usage(looked) if looked else None
        more = unopened + sum(map(len, groups[self.options.limit :]))
        self.refused.sort(key=lambda r: (-r.score, r.image))
        request = {
            "phrases": list(self.phrases),
            "negatives": list(self.options.negatives),
            "weights": self.weights,
            "gates": {k: v if v != float("inf") else None for k, v in asdict(self.options.gates).items()},
            "orientation": self.options.orientation,
            "diverse": diverse,
            "where": self.pool.where,
            "limit": self.options.limit,
            "outcome": {  # so that it can be shown again as it was
                "candidates": self.pool.count,
                "more": more,
                "notes": self.notes,
                "skipped": len(self.skipped),
                "refused": refusals_of(self.refused),
            },
        }
        number = self.edges.catalog.put_curation(
            name,
            self.query,
            encoder=self.edges.vectors.name,
            state=self.pool.state,
            request=request,
            shown=[row_of(one) for one in shown],
            scratch=waiting,
        )
        answer = Curation(
            number=number,
            name=name,
            query=self.query,
            state=self.pool.state,
            candidates=self.pool.count,
            more=more,
            shown=tuple(shown),
            refused=tuple(self.refused),
            skipped=tuple(self.skipped),
            diverse=tuple(diverse),
            notes=tuple(self.notes),
            usage=usage,
            seconds=time.monotonic() - begun,
        )
        return self._written(answer)

    # scores and gates

    def _score(self, entry: Entry) -> None:
        values = {
            "clip": entry.likeness,
            "keyword": scores.overlap(self.words, entry.words),
            "resolution": scores.resolution(*entry.size),
            "orientation": scores.orientation(*entry.size, self.options.orientation),
            "vlm": entry.verdict.value if entry.verdict else None,
        }
        entry.parts = scores.parts_of(values, self.weights)
        entry.score = scores.total(entry.parts)

    def _passed(self, entries: Iterable[Entry]) -> list[Entry]:
        """Those that no gate refuses."""
        passed = []
        for entry in entries:
            refusals = self._refusals(entry)
            if [refusal.rule for refusal in refusals] == ["blur"] and entry.look is None:
                pool.look_at(entry)  # what is blank is not sharp either, and only the pixels tell the two apart
                refusals = self._refusals(entry)
            if refusals:
                self._refuse(entry, refusals)
            else:
                passed.append(entry)
        return passed

    def _refusals(self, entry: Entry) -> tuple[Refusal, ...]:
        return tuple(self.options.gates.refusals(entry.seen(self.pool.state)))

    def _refuse(self, entry: Entry, refusals: tuple[Refusal, ...]) -> None:
        self.refused.append(Refused(entry.image, entry.candidate.url, entry.candidate.title, entry.score, refusals))

    @staticmethod
    def _ranked(entries: Iterable[Entry]) -> list[Entry]:
        return sorted(entries, key=lambda e: (-e.score, e.image, e.candidate.url))

    def _opened(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those that lead and can be opened, held against the gates that ask for pixels."""
        found = []
        for entry in entries:
            known = entry.look is not None
            reason = pool.look_at(entry)
            if reason:
                self.skipped.append(Skipped(entry.candidate.url, reason))
            elif known or self._passed([entry]):
                found.append(entry)
        return found

    # near-duplicates

    def _grouped(self, ranked: Sequence[Entry]) -> tuple[list[list[Entry]], int]:
        """The groups of those that lead, opened a part at a time until there are enough; and how many were not."""
        step = max(FEWEST, DEEPEST * self.options.limit)
        opened: list[Entry] = []
        groups: list[list[Entry]] = []
        at = 0
        while at < min(len(ranked), MOST_OPENED) and len(groups) < self.options.limit:
            opened += self._opened(ranked[at : at + step])
            at += step
            groups = self._folded(opened) if self.options.fold else [[entry] for entry in _each_once(opened)]
        return groups, max(0, len(ranked) - at)

    def _folded(self, entries: Sequence[Entry]) -> list[list[Entry]]:
        """Groups of the same shot, the best of each first, in the order of the ranking."""
        if not entries:
            return []
        vectors = np.stack([entry.vector for entry in entries])
        hashes = hash_rows([entry.look.hash for entry in entries if entry.look])
        threshold = near.threshold_of(self.pool.vectors)

        def alike(left: near.Rows, right: near.Rows) -> NDArray[np.bool_]:
            return near.similarities(hashes, left, right) >= LIKENESS

        (leaders,) = near.groups(vectors, [threshold], related=alike)
        groups: dict[int, list[Entry]] = {}
        for entry, leader in zip(entries, leaders.tolist(), strict=True):
            groups.setdefault(leader, []).append(entry)
        return list(groups.values())

    # the second look

    def _second(self, groups: list[list[Entry]], progress: Report | None) -> Looked | None:
        """Asks a model about those that lead; they stay before all others, in the order of their new scores."""
        second = self.options.second
        if second is None or not groups:
            return None
        from sextant.curate import second as asking

        leading = [group[0] for group in groups[: second.top]]
        wanted = [(e.image, lambda e=e: images.thumbnail(read(e.file), VLM_SIDE)) for e in leading]
        looked = asking.look(self.edges.catalog, second, self.query, wanted, progress=progress)
        for entry in leading:
            entry.verdict = looked.verdicts.get(entry.image)
            entry.remark = looked.failures.get(entry.image, "")
            self._score(entry)
        for group in groups[second.top :]:
            group[0].remark = f"not among the {second.top} that the model was asked about"
        passed = {id(e) for e in self._passed(leading)}
        first = [g for g in groups[: second.top] if id(g[0]) in passed]
        groups[:] = [*sorted(first, key=lambda g: (-g[0].score, g[0].image)), *groups[second.top :]]
        if looked.failures:
            ((reason, count),) = Counter(looked.failures.values()).most_common(1)
            self.notes.append(
                f"{second.endpoint.model} gave no verdict on {len(looked.failures)} of {len(leading)} pictures, which "
                f"are ranked without it; {count} times because {reason}"
            )
        return looked

    # the answer

    def _shown(self, groups: Sequence[Sequence[Entry]]) -> list[Shown]:
        return [self._one(rank, group) for rank, group in enumerate(groups, 1)]

    def _one(self, rank: int, group: Sequence[Entry]) -> Shown:
        entry, rest = group[0], group[1:]
        alike = [Alike(e.image, e.candidate.url, min(1.0, float(entry.vector @ e.vector)), e.score) for e in rest]
        return Shown(
            rank=rank,
            image=entry.image,
            where=entry.candidate.url,
            path=entry.path,
            title=entry.candidate.title,
            page=entry.candidate.source,
            licence=entry.candidate.licence,
            fetched_at=entry.fetched_at,
            width=entry.size[0],
            height=entry.size[1],
            score=entry.score,
            parts=entry.parts,
            margin=entry.margin,
            matched=self.phrases[entry.matched],
            confidence=entry.confidence,
            verdict=entry.verdict,
            remark=entry.remark,
            alike=tuple(alike),
        )

    def _diverse(self, entries: Sequence[Entry]) -> list[int]:
        """Ranks in the order of maximal marginal relevance."""
        if not entries:
            return []
        vectors = np.stack([entry.vector for entry in entries])
        quality = np.array([entry.score for entry in entries])
        return [int(k) + 1 for k in diversity.relevant(vectors, len(entries), quality, 1 - self.options.diversity)]

    def _written(self, answer: Curation) -> Curation:
        """Writes the contact sheet, where one is wanted, while all pictures are at hand."""
        target = self.options.sheet
        if target is None:
            return answer
        by_image = {entry.image: entry for entry in self.pool.entries}
        large = {one.image: sheet.LARGE for one in answer.shown}
        small = [a.image for one in answer.shown for a in one.alike]
        small += [r.image for r in answer.refused[: sheet.REFUSED_SHOWN]]
        sizes = {**dict.fromkeys(small, sheet.SMALL), **large}
        pictures = {}
        for image, side in sizes.items():
            try:
                jpeg = images.thumbnail(read(by_image[image].file), side)
            except (SextantError, OSError):
                continue  # the page says that there is no picture of it
            pictures[image] = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
        exchange.write_text(sheet.page(answer, pictures), target)
        return replace(answer, sheet=str(target))


def _each_once(entries: Sequence[Entry]) -> list[Entry]:
    return list({entry.image: entry for entry in reversed(entries)}.values())[::-1]


def _usage(looked: Looked) -> Usage:
    asked = len(looked.verdicts) + len(looked.failures)
    sent, made = looked.tokens
    return Usage(looked.model, asked, len(looked.verdicts), looked.cached, looked.calls, (sent, made), looked.money)
