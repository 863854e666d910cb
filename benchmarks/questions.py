"""What a search is worth, and what it costs: compound questions, off-topic ones, other words, milliseconds.

    python benchmarks/questions.py                     # prints the figures
    python benchmarks/questions.py --write             # and puts them into docs/performance.md
    python benchmarks/questions.py --images 2000       # milliseconds on fewer pictures

The demo's truth says what is right in 1,200 drawings of other seeds than those of the tests' baseline, and of the seeds
that no `mini` was trained on. The Caltech photos in ../shared/real, where they are, are asked through Conse, which is
no CLIP: it knows ImageNet's classes and 1,612 nouns, and takes the words that it does not know for noise.
"""

from __future__ import annotations

import argparse
import itertools
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import demo
import numpy as np
from questions_asked import ALSO, CALTECH, NOT_IN_CALTECH, not_in_demo, phrase
from report import section, table

import sextant
from sextant import question, search
from sextant.cli.measuring import Measured
from sextant.demo import tour, truth
from sextant.maths.metrics import average_precision
from sextant.question import Answer
from sextant.types import Hit

REAL = Path(__file__).resolve().parents[2] / "shared" / "real"
ORDER = tour.Order("scenes", 1200, 500)
PAIRS, LEAST, MOST = 120, 8, 0.7
PARTS = (0.0, 0.3, 0.5, 0.7, 1.0)
SURE = 0.8
GROUPS = ("in words that the dictionary lists", "in words that it does not list", "in WordNet's words")
FILTER = "earth or not selfie"
ASKED = 300
NAME = "questions"
Row = list[str]
Doubles = np.ndarray


@dataclass
class Figures:
    """Rows for the page, each: what, where, measured, wanted."""

    rows: list[Row] = field(default_factory=list)

    def add(self, what: str, where: str, measured: str, wanted: str = "") -> None:
        print(f"{what} | {where} | {measured}{f' | wanted {wanted}' if wanted else ''}", flush=True)
        self.rows.append([what, where, measured, wanted])


@contextmanager
def parts(weight: float) -> Iterator[None]:
    """Questions whose parts weigh so much."""
    usual, question.PARTS = question.PARTS, weight
    try:
        yield
    finally:
        question.PARTS = usual


# (a) several things at once


def compound(photos: sextant.Collection, found: Figures) -> None:
    """AP of two things at once, and of one without the other, over pairs of the demo's attributes."""
    view, known = photos.view(), Measured(photos, photos.folder, tour.SCENES)
    shown = {c: np.array([bool(known.shows(p, frozenset([c]))) for p in view.paths.to_pylist()]) for c in truth.BASE}
    pairs = chosen_pairs(shown)
    where = f"{len(view):,} drawings, {len(pairs)} pairs"

    def answer(text: str) -> Answer:
        return question.answer(photos, view, question.question(photos, text, expand=False))

    def mean(form: str, score: Callable[[Answer, str, str], Doubles], *, without: bool = False) -> float:
        values = []
        for a, b in pairs:
            one, other = a.replace("_", " "), b.replace("_", " ")
            right = shown[a] & (~shown[b] if without else shown[b])
            values.append(average_precision(score(answer(form.format(one, other)), one, other), right))
        return float(np.mean(values))

    for weight in PARTS:
        with parts(weight):
            value = np.mean([mean(form, ranked) for form in ("{} and {}", "{} with {}")])
        used = ", as shipped" if weight == question.PARTS else ""
        found.add(f"AP of `A and B`, `A with B`: parts weigh {weight:g}{used}", where, f"{value:.3f}")
    found.add("AP of `A + B`", where, f"{mean('{} + {}', ranked):.3f}")
    for name, score in (
        ("by probabilities, as shipped", ranked),
        ("by the margin of logits", lambda a, x, y: logit(a, x) - logit(a, y)),
        ("by the rival's lead alone", lambda a, x, y: logit(a, x) - np.maximum(0.0, logit(a, y) - logit(a, x))),
        ("the negative left out", lambda a, x, _: logit(a, x)),
    ):
        found.add(f"AP of `A - B` {name}", where, f"{mean('{} - {}', score, without=True):.3f}")


def chosen_pairs(shown: dict[str, Doubles]) -> list[tuple[str, str]]:
    """Pairs of attributes of which enough drawings show both, and enough the first without the second."""
    codes = [c for c, images in shown.items() if 2 * LEAST <= images.sum() <= MOST * len(images)]
    enough = [
        (a, b)
        for a, b in itertools.combinations(codes, 2)
        if min((shown[a] & shown[b]).sum(), (shown[a] & ~shown[b]).sum()) >= LEAST
    ]
    return [enough[i] for i in np.random.default_rng(0).permutation(len(enough))[:PAIRS]]


def ranked(answer: Answer, _one: str, _other: str) -> Doubles:
    """What a search ranks by."""
    return answer.score


def logit(answer: Answer, text: str) -> Doubles:
    """The logits of one text."""
    return answer.logits[:, answer.judge.texts.index(text)].astype(np.float64)


# (b) what is not there, and what is


def top(photos: sextant.Collection, text: str) -> Hit:
    """The first hit of a search."""
    return photos.search(text, limit=1, words=False).hits[0]


def off_topic(photos: sextant.Collection, phrases: tuple[str, ...], where: str, found: Figures) -> None:
    """What confidence a search ends at when nothing fits."""
    best = np.array([top(photos, phrase(noun)).confidence for noun in phrases])
    median, most = np.quantile(best, [0.5, 0.9])
    said = f"median {median:.3f}, 90th percentile {most:.3f}, {(best < 0.5).mean():.0%} below .5"
    found.add(f"top confidence of {len(best)} off-topic phrases", where, said, "median < .05")


def on_topic(asked: list[tuple[float, bool]], where: str, found: Figures) -> None:
    """How often a search that is sure of its first hit is right, from (confidence, right) of every query."""
    for least, wanted in ((SURE, "≥ 80 %"), (0.5, "")):
        sure = [right for confidence, right in asked if confidence >= least]
        share = f" ({np.mean(sure):.0%})" if sure else ""
        what = f"first hits of confidence ≥ {least:g} that are right"
        found.add(what, where, f"{sum(sure)} of {len(sure)}{share}, of {len(asked)} queries", wanted)


def asked_of_demo(photos: sextant.Collection) -> list[tuple[float, bool]]:
    """The golden set's queries about what is there: of each the first hit's confidence, and whether it is right."""
    report = photos.golden(photos.folder / tour.GOLDEN, k=1)
    return [(m.best or 0.0, bool(m.measures.hit)) for m in report.queries if m.measures is not None]


def folders(noun_folder: str) -> set[str]:
    """The folders that show what one of them shows."""
    return {noun_folder, ALSO.get(noun_folder, noun_folder)}


def asked_of_caltech(photos: sextant.Collection) -> list[tuple[float, bool]]:
    """The same of the folders' names and of WordNet's other words for them."""
    answers = [(top(photos, phrase(word)), folders(name)) for name, words in CALTECH.items() for word in words]
    return [(hit.confidence or 0.0, Path(hit.path).parent.name in right) for hit, right in answers]


# (c) other words


def golden(photos: sextant.Collection, where: str, found: Figures) -> None:
    """Recall at 20 and precision at 5 on the golden set, by whose words a query has, without and with expansion.

    Everyday queries that repeat what the dictionary lists are apart: dictionary and queries were written by people who
    knew of each other, and on those the dictionary cannot fail for want of a word.
    """
    asked = {
        (k, expand): {
            m.query: m for m in photos.golden(photos.folder / tour.GOLDEN, k=k, expand=expand).queries if m.measures
        }
        for k in (5, 20)
        for expand in (False, True)
    }
    listed = {other.text for entry in question.dictionary_of(photos).entries.values() for other in entry}
    found_in = re.compile("|".join(rf"\b{re.escape(text)}\b" for text in sorted(listed)), re.IGNORECASE)
    groups: dict[str, list[str]] = {name: [] for name in GROUPS}
    for m in asked[20, True].values():
        own = 0 if found_in.search(m.query) else 1
        groups[GROUPS[2 if m.note == "WordNet" else own]].append(m.query)
    for name, texts in (*groups.items(), ("all", [text for chosen in groups.values() for text in chosen])):
        recall, precision = [], []
        for expand in (False, True):
            deep, first = asked[20, expand], asked[5, expand]
            recall.append(
                np.mean([deep[t].measures.recall * deep[t].relevant / min(20, deep[t].relevant) for t in texts])
            )
            precision.append(np.mean([first[t].measures.precision for t in texts]))
        expansion(f"golden set, {name}", f"{where}, {len(texts)} queries", recall, precision, found)


def expansion(what: str, where: str, recall: list[float], precision: list[float], found: Figures) -> None:
    """Both measures, before and after."""
    gain = recall[1] / recall[0] - 1
    found.add(
        f"recall@20 without and with expansion: {what}",
        where,
        f"{recall[0]:.3f}, {recall[1]:.3f} ({gain:+.1%})",
        "≥ +10 %",
    )
    found.add(
        f"precision@5 without and with expansion: {what}", where, f"{precision[0]:.3f}, {precision[1]:.3f}", "no loss"
    )


def caltech_words(photos: sextant.Collection, where: str, found: Figures) -> None:
    """The same on photos: folders by their names, and by WordNet's other words for them."""
    for name, chosen in (("the folders' names", slice(0, 1)), ("WordNet's other words", slice(1, None))):
        asked = [(word, folders(folder)) for folder, words in CALTECH.items() for word in words[chosen]]
        recall, precision = [], []
        for expand in (False, True):
            rows = [
                [
                    Path(hit.path).parent.name in right
                    for hit in photos.search(phrase(word), limit=20, expand=expand, words=False).hits
                ]
                for word, right in asked
            ]
            amounts = [8 * len(right) for _, right in asked]
            recall.append(float(np.mean([sum(row) / most for row, most in zip(rows, amounts, strict=True)])))
            precision.append(float(np.mean([sum(row[:5]) / 5 for row in rows])))
        expansion(name, f"{where}, {len(asked)} queries", recall, precision, found)


# (d) milliseconds


def phrases_of_ten(photos: sextant.Collection, most: int) -> list[str]:
    """Phrases that the dictionary says in ten ways."""
    known = question.dictionary_of(photos)
    keys = sorted(known.entries)
    texts = (f"a photo of a {a} and a {b}" for a, b in zip(keys, keys[7:], strict=False))
    return list(itertools.islice((text for text in texts if len(known.variants(text, question.VARIANTS)) == 10), most))


def timed(ask: Callable[[], object]) -> float:
    """Milliseconds."""
    begun = time.perf_counter()
    ask()
    return 1e3 * (time.perf_counter() - begun)


def latency(photos: sextant.Collection, where: str, found: Figures) -> None:
    """Milliseconds of a warm search with ten variants and a filter, beside one numpy product of the same size."""
    texts = phrases_of_ten(photos, 30)
    view = photos.view()
    kept = search.resident(photos, view)
    if kept is None:
        sys.exit("the vectors are too large to be kept in memory: raise the setting resident_mb")
    directions = np.ascontiguousarray(photos.phrases()(list(question.question(photos, texts[0]).texts)))
    first = [timed(lambda text=text: photos.search(text, where=FILTER, limit=20)) for text in texts]
    whole, product = [], []
    for i in range(ASKED):
        text = texts[i % len(texts)]
        whole.append(timed(lambda text=text: photos.search(text, where=FILTER, limit=20)))
        product.append(timed(lambda: kept.matrix @ directions.T))
    p50, p99, bare = np.median(whole), np.quantile(whole, 0.99), np.median(product)
    begun = time.process_time()
    for text in texts:
        photos.search(text, where=FILTER, limit=20)
    own = 1e3 * (time.process_time() - begun) / len(texts)  # what other programs on the machine do not lengthen
    said = f"{p50:.1f} ms, {p50 / bare:.1f} numpy products; {own:.1f} ms of the processor"
    found.add("search, 10 variants and a filter, p50", where, said, "≤ 10 ms")
    found.add("search, 10 variants and a filter, p99", where, f"{p99:.1f} ms, {p99 / bare:.1f} numpy products")
    found.add(
        "the same when the phrase is new, and its variants are encoded first, p50", where, f"{np.median(first):.1f} ms"
    )
    one, ten = [], []
    for i in range(ASKED):
        text = texts[i % len(texts)]
        one.append(timed(lambda text=text: photos.search(text, where=FILTER, limit=20, expand=False)))
        ten.append(timed(lambda text=text: photos.search(text, where=FILTER, limit=20)))
    found.add("time of 10 variants against one", where, f"{np.median(ten) / np.median(one):.2f}", "≤ 1.5")


# all of it


def drawn() -> sextant.Collection:
    """The drawings of other seeds as a collection embedded just now, with the golden set beside them."""
    folder = demo.CACHE / f"{NAME}-{ORDER.images}"
    tour.claim(folder, ORDER)
    tour.draw(folder, ORDER, progress=lambda *_: None)
    shutil.rmtree(folder / ".sextant", ignore_errors=True)
    shutil.copy(Path(tour.__file__).with_name(tour.GOLDEN), folder)
    photos = sextant.open(folder, create=True, model="mini")
    photos.add(folder / tour.PICTURES)
    return photos


def on_drawings(found: Figures) -> None:
    with drawn() as photos:
        where = f"{len(photos.view()):,} drawings"
        compound(photos, found)
        off_topic(photos, not_in_demo(), where, found)
        on_topic(asked_of_demo(photos), where, found)
        golden(photos, where, found)


def on_photos(found: Figures) -> None:
    if not REAL.is_dir():
        print(f"no real photos at {REAL}: left out")
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        sextant.open(folder, create=True, model=f"{REAL / 'encoders' / 'conse.py'}:Conse") as photos,
    ):
        photos.add(REAL / "photos" / "caltech101")
        where = f"{len(photos.view())} Caltech photos, Conse"
        off_topic(photos, NOT_IN_CALTECH, where, found)
        on_topic(asked_of_caltech(photos), where, found)
        caltech_words(photos, where, found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--images", type=int, default=demo.IMAGES, help="pictures that the milliseconds are measured on"
    )
    parser.add_argument("--write", action="store_true", help="put the figures into docs/performance.md")
    chosen = parser.parse_args()
    found = Figures()
    on_drawings(found)
    on_photos(found)
    photos, _ = demo.collection(chosen.images)
    with photos:
        where = f"{len(photos.view()):,} drawings"
        off_topic(photos, not_in_demo(), where, found)
        latency(photos, where, found)
    head = ["figure", "of", "measured", "wanted"]
    print(table(head, found.rows))
    if chosen.write:
        section(NAME, "python benchmarks/questions.py --write", head, found.rows)


if __name__ == "__main__":
    main()
