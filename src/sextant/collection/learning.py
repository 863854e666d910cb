"""What people made of answers, and what is learned from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sextant.errors import UsageError
from sextant.types import (
    SearchResult,
)

if TYPE_CHECKING:
    from sextant.events import Event, ExperimentRecord, WeightsRecord
    from sextant.feedback.counting import Metrics
    from sextant.feedback.experiments import Assignment, ExperimentReport
    from sextant.feedback.negatives import Suggestions
    from sextant.feedback.recording import Context
    from sextant.feedback.weights import LearnReport

from sextant.collection.asking import Asking


class Learning(Asking):
    """Feedback, experiments and learned weights."""

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
