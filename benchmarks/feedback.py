"""Feedback of simulated people on the demo's truth: does the ranking learn, does luck teach it nothing, is A/B honest?

    python benchmarks/feedback.py                  # prints the figures
    python benchmarks/feedback.py --write          # and puts them into docs/feedback.md
    python benchmarks/feedback.py --quick          # a tenth of everything, to look at

People ask for one or two things, look less further down, and select what truly shows what they asked for. They are
after good photographs: a picture that is truly a drawing, a diagram, a map, lettered, blurred, dark or black and white
they like a third as much. What they select is all that learning sees. What it is worth is measured by the truth, on
questions that it never saw.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import demo
import numpy as np
from report import machine, table

import sextant
from sextant.cli.measuring import Measured
from sextant.demo import tour
from sextant.events import Event, Impression
from sextant.feedback import features, weights
from sextant.feedback.features import Hits
from sextant.feedback.recording import swapped
from sextant.maths import experiments, learning
from sextant.maths.ranking import ndcg
from sextant.types import Hit, SearchResult
from sextant.view import View

PAGE = Path(__file__).resolve().parents[1] / "docs" / "feedback.md"
MARK = "feedback-figures"
LIST, LEARNED_FROM = 20, 0.7
FLAWS = frozenset(["blurred", "dark_frame", "black_and_white", "artistic_rendering", "diagram", "map", "text_overlay"])
FLAWED, WRONG = 0.33, 0.02
ETA, APPETITE = 1.0, 0.6


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its answer, and how much each hit of it (n,) is truly liked, from 0 to 1; `best` of all images."""

    text: str
    hits: tuple[Hit, ...]
    liked: np.ndarray
    best: np.ndarray


def questions(photos: sextant.Collection, least: int = 8) -> list[Question]:
    """Everything of one or two attributes that enough pictures show."""
    known = Measured(photos, photos.folder, tour.SCENES)
    vocabulary = photos.current_vocabulary()
    codes = [
        a.code for a in vocabulary.attributes if a.code not in FLAWS and known.amount(frozenset({a.code})) >= least
    ]
    asked = [frozenset({code}) for code in codes]
    asked += [frozenset(pair) for pair in combinations(codes, 2) if known.amount(frozenset(pair)) >= least]
    found = []
    for wanted in asked:
        text = " + ".join(sorted(vocabulary[code].label.lower() for code in wanted))
        hits = photos.search(text, limit=LIST).hits
        liked = np.array([_liked(known.truth[hit.path].shows, wanted) for hit in hits])
        found.append(Question(text, hits, liked, np.array([_liked(shows, wanted) for shows in known.truths])))
    return found


def _liked(shows: frozenset[str], wanted: frozenset[str]) -> float:
    return WRONG if not wanted <= shows else FLAWED if shows & FLAWS else 1.0


# the log


def log(
    asked: Sequence[Question], rng: np.random.Generator, clicks: str, showings: int
) -> tuple[list[Impression], list[Event]]:
    """What people were shown and clicked; `dealt` shuffles the clicks within each answer, `moved` among answers."""
    shown, chosen = [], []
    for question in asked:
        for _ in range(showings):
            hits = swapped(SearchResult(question.text, "prior", question.hits), seed=int(rng.integers(2**32))).hits
            liked = dict(zip((h.id for h in question.hits), question.liked, strict=True))
            rank = np.arange(1, len(hits) + 1)
            selected = rng.random(len(hits)) < APPETITE * np.array([liked[h.id] for h in hits]) * rank**-ETA
            chosen.append(rng.permutation(selected) if clicks == "dealt" else selected)
            kept = [{"id": h.id, "confidence": h.confidence, "said": h.said} for h in hits]
            shown.append(Impression(id=len(shown) + 1, query=question.text, hits=kept, options={}))
    if clicks == "moved":
        chosen = [chosen[k] for k in rng.permutation(len(chosen))]
    events = [
        Event(kind="clicked", image=answer.hits[place]["id"], impression=answer.id)
        for answer, selected in zip(shown, chosen, strict=True)
        for place in np.flatnonzero(selected)
        if place < len(answer.hits)
    ]
    return shown, events


# what is learned


def true_gain(view: View, asked: Sequence[Question], learned: learning.Weights) -> tuple[float, float]:
    """Mean nDCG@10 by the truth, as shown and in the learned order."""
    before = [ndcg(q.liked, q.best, 10) for q in asked]
    after = [ndcg(q.liked[order(view, q, learned)], q.best, 10) for q in asked]
    return float(np.mean(before)), float(np.mean(after))


def order(view: View, question: Question, learned: learning.Weights) -> np.ndarray:
    """The learned order of a question's hits."""
    rows = features.places(view, [hit.id for hit in question.hits])
    confidence = np.array([hit.confidence for hit in question.hits], np.float64)
    said = np.array([hit.said for hit in question.hits], np.bool_)
    return weights.reordered(view, question.text, Hits(rows, confidence, said, np.zeros(len(rows), np.intp)), learned)


def learn(
    view: View, asked: Sequence[Question], times: int, clicks: str, showings: int
) -> tuple[int, np.ndarray, list[float]]:
    """How often weights were applied; nDCG@10 on unseen questions, (applied, 2), and where attention was found."""
    applied, gains, etas = 0, [], []
    for seed in range(times):
        rng = np.random.default_rng([seed, len(clicks)])
        mixed = rng.permutation(len(asked))
        cut = round(LEARNED_FROM * len(asked))
        found = weights.learn_from(view, *log([asked[k] for k in mixed[:cut]], rng, clicks, showings))
        etas.append(found.examination.eta)
        if found.applied and found.weights is not None:
            applied += 1
            gains.append(true_gain(view, [asked[k] for k in mixed[cut:]], found.weights))
    return applied, np.array(gains).reshape(-1, 2), etas


# A/B


def sessions(rates: np.ndarray, people: int, rng: np.random.Generator) -> experiments.Rate:
    """People who each ask some questions, of which `rates` (q,) say how often something is selected; with habits."""
    trials = rng.poisson(2, people) + 1
    habit = np.repeat(rng.beta(6, 2, people) / 0.75, trials)
    chance = np.minimum(rates[rng.integers(len(rates), size=trials.sum())] * habit, 1)
    owner = np.repeat(np.arange(people), trials)
    return experiments.rate(np.bincount(owner, rng.random(len(owner)) < chance, people), trials)


def selection(liked: np.ndarray) -> float:
    """How often at least one hit of a list is selected."""
    return float(1 - np.prod(1 - APPETITE * liked * np.arange(1.0, len(liked) + 1) ** -ETA))


def compared(a: np.ndarray, b: np.ndarray, times: int, seed: int) -> tuple[float, float, float]:
    """Of simulated tests: how often the interval covers, how often it leaves out 0, and the anytime one covers."""
    rng = np.random.default_rng(seed)
    truth = float(np.mean([sessions(b, 20_000, rng).value - sessions(a, 20_000, rng).value for _ in range(10)]))
    truth = 0.0 if a is b else truth
    found = [
        experiments.difference(*(sessions(x, int(rng.integers(60, 400)), rng) for x in (a, b))) for _ in range(times)
    ]
    return (
        float(np.mean([d.low <= truth <= d.high for d in found])),
        float(np.mean([d.significant for d in found])),
        float(np.mean([d.anytime_low <= truth <= d.anytime_high for d in found])),
    )


def peeked(rates: np.ndarray, times: int, looks: int = 20, step: int = 25) -> tuple[float, float]:
    """How often identical variants differ in any of `looks`: by one look's interval, and by the other."""
    rng, once, always = np.random.default_rng(9), 0, 0
    chance = float(rates.mean())
    for _ in range(times):
        sides = (rng.random((2, looks * step)) < chance).astype(float)
        seen = [
            experiments.difference(*(experiments.rate(side[:n], np.ones(n)) for side in sides))
            for n in range(step, looks * step + 1, step)
        ]
        once += any(d.significant for d in seen)
        always += any(d.significant_anytime for d in seen)
    return once / times, always / times


# the figures


def measure(images: int, part: float) -> list[list[str]]:
    """Every figure, in rows."""
    photos, _ = demo.collection(images)
    with photos:
        view, asked, rows = photos.view(photos.codes()), questions(photos), []
        number = max(2, round(100 * part))
        begun = time.perf_counter()
        true, gains, etas = learn(view, asked, max(2, number // 5), "true", 40)
        seconds = (time.perf_counter() - begun) / max(2, number // 5)
        before, after = gains.mean(axis=0) if len(gains) else (np.nan, np.nan)
        worse = int((gains[:, 1] <= gains[:, 0]).sum())
        rows.append(["questions, images, answers in a log", f"{len(asked)}, {len(view):,}, {_answers(asked, 40):,}"])
        rows.append(["learned weights applied, of logs of real wishes", f"{true} of {max(2, number // 5)}"])
        rows.append(["nDCG@10 by the truth on questions never seen", f"{before:.3f} as shown, {after:.3f} learned"])
        rows.append(["applied weights that made it worse", f"{worse} of {true}"])
        rows.append(["η, truly 1", f"{np.mean(etas):.2f} ± {np.std(etas):.2f}"])
        rows.append(["seconds to learn from a log", f"{seconds:.1f}"])
        for clicks, words in (("dealt", "within each answer"), ("moved", "among answers")):
            wrong, _, _ = learn(view, asked, number, clicks, 6)
            told = f"{wrong} of {number} logs of {_answers(asked, 6):,} answers"
            rows.append([f"applied where clicks were shuffled {words}", told])
    shown = np.array([selection(q.liked) for q in asked])
    ideal = np.array([selection(-np.sort(-q.liked)) for q in asked])
    return rows + compared_rows(shown, ideal, max(50, round(1000 * part)))


def _answers(asked: Sequence[Question], showings: int) -> int:
    return round(LEARNED_FROM * len(asked)) * showings


def compared_rows(shown: np.ndarray, ideal: np.ndarray, times: int) -> list[list[str]]:
    """The figures of simulated A/B tests: two identical variants, and the order shown against the best there is."""
    same, differs = compared(shown, shown, times, 1), compared(shown, ideal, times, 2)
    once, always = peeked(shown, max(50, times // 2))
    return [
        ["A/B, identical variants: interval covers 0", f"{same[0]:.1%} of {times:,} tests"],
        ["A/B, identical variants: “significant”", f"{same[1]:.1%}"],
        ["A/B, different variants: interval covers the truth", f"{differs[0]:.1%} of {times:,} tests"],
        ["the interval for any time covers", f"{same[2]:.1%} and {differs[2]:.1%}"],
        [
            "identical variants that ever differ in 20 looks",
            f"{once:.1%} by one look's interval, {always:.1%} by the other",
        ],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1200)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/feedback.md")
    chosen = parser.parse_args()
    text = table(["figure", "measured"], measure(chosen.images, 0.1 if chosen.quick else 1.0))
    print(text)
    if chosen.write:
        page, begin, end = PAGE.read_text(encoding="utf-8"), f"<!-- {MARK} -->", f"<!-- /{MARK} -->"
        before, rest = page.split(begin, 1)
        told = f"`python benchmarks/feedback.py --write`, {machine()}.\n\n{text}"
        PAGE.write_text(f"{before}{begin}\n{told}\n{end}{rest.split(end, 1)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
