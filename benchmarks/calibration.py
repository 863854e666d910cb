"""Measures confidences against truth they were not fitted on; prints the tables of docs/calibration.md.

python benchmarks/calibration.py                  # every collection that is there, about two minutes on two cores
python benchmarks/calibration.py --only clip      # one of clip, conse, mini
python benchmarks/calibration.py --pictures 12217 # how many drawn pictures for mini (and --bundle, another encoder)
python benchmarks/calibration.py --part labels     # one part of it
python benchmarks/calibration.py --write          # and put the tables into docs/calibration.md
python benchmarks/calibration.py --clip-prior     # the constants of maths.components.CLIP_VIT_B32

Truth of one attribute is never used for its own unlabelled curve: components are fitted on other attributes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from calibration_data import MINI, Labelled, collections
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import t as student

from sextant.maths import fitting, metrics, platt, sampling
from sextant.maths.calibration import Calibration, confidence, fixed, group_confidence, histogram_rule
from sextant.maths.components import fit_prior, unknown_prior
from sextant.maths.mixture import Level, Prior, background_level, prior

Doubles = NDArray[np.float64]
PAGE = Path(__file__).resolve().parents[1] / "docs" / "calibration.md"
FOLDS = 10
REPEATS = 12
HEAVIEST = (np.inf, 1.5, 1.0, 0.6, 0.01)  # of the mean weight of an attribute's labels
PREVALENCES = (0.005, 0.02, 0.1, 0.3, 0.6, 0.9, 0.99)
SETTINGS = ((25.5, 1.5), (22.0, 3.0), (28.0, 1.5))


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def folds(count: int) -> Iterator[tuple[list[int], list[int]]]:
    """(attributes to judge, attributes to fit on), each attribute judged once."""
    parts = min(FOLDS, count)
    for k in range(parts):
        yield [a for a in range(count) if a % parts == k], [a for a in range(count) if a % parts != k]


def cards(data: Labelled) -> list[Prior]:
    """For every attribute, the prior that the other attributes gave."""
    found: list[Prior | None] = [None] * len(data.codes)
    for judged, used in folds(len(data.codes)):
        card = fit_prior(
            data.logits[:, used], data.background, data.background_logits, data.truth[:, used], source="the others"
        )
        for a in judged:
            found[a] = card
    return [card for card in found if card is not None]


def curves(data: Labelled, cards: list[Prior]) -> list[Calibration]:
    return [
        prior(data.logits[:, a], data.background, card, background_level(data.background_logits, card.weight))
        for a, card in enumerate(cards)
    ]


def drawn(data: Labelled, calibrations: list[Calibration]) -> Doubles:
    return np.stack([confidence(c, data.logits[:, a], data.background) for a, c in enumerate(calibrations)], axis=1)


def brier(p: Doubles, truth: Doubles) -> float:
    return float(((p - truth) ** 2).mean())


def mean_ap(p: Doubles, truth: Doubles) -> float:
    return float(np.nanmean([metrics.average_precision(p[:, a], truth[:, a]) for a in range(p.shape[1])]))


def line(name: str, p: Doubles, data: Labelled, off: Doubles | None = None, found: Doubles | None = None) -> list[str]:
    ece = metrics.evaluate(p, data.truth, resamples=100).pooled.ece
    sure = p >= 0.5
    precision = f"{data.truth[sure].mean():.2f}" if sure.any() else "–"
    top = off.max(axis=0) if off is not None else np.array([])
    close = "–"
    if found is not None:
        rate = data.truth.mean(axis=0)
        ratio = found[rate >= 0.02] / rate[rate >= 0.02]
        close = f"{((ratio < 1.6) & (ratio > 1 / 1.6)).mean():.0%}" if len(ratio) else "–"
    return [
        name,
        f"{ece.value:.4f} ({ece.low:.3f}–{ece.high:.3f})",
        f"{brier(p, data.truth):.4f}",
        f"{mean_ap(p, data.truth):.3f}",
        precision,
        f"{np.median(top):.3f} / {np.quantile(top, 0.9):.3f}" if len(top) else "–",
        close,
    ]


def unlabelled(data: Labelled) -> str:
    """Nothing labelled for the attribute that is judged."""
    rows = []
    for curve in ([fixed()] if data.clip_like else []) + [histogram_rule(data.logits)]:
        name = f"fixed({curve.params['center']:.1f}, {curve.params['scale']:.2f})"
        p, off = drawn(data, [curve] * len(data.codes)), confidence(curve, data.off_topic)
        rows.append(line(name, p, data, off))
    if data.native:
        rows.append(line("native", expit(data.logits), data, expit(data.off_topic)))
    own = cards(data)
    for name, given in (
        ("prior, components from the other attributes", own),
        ("prior of an unknown encoder", [unknown_prior(data.background_logits, data.training)] * len(data.codes)),
    ):
        fitted = curves(data, given)
        strange = replace(data, logits=data.off_topic, codes=[""] * data.off_topic.shape[1])
        off = drawn(strange, curves(strange, [given[0]] * data.off_topic.shape[1]))
        prevalence = np.array([c.params["prevalence"] for c in fitted])
        rows.append(line(name, drawn(data, fitted), data, off, prevalence))
    rate = data.truth.mean(axis=0)
    rows.append(["always the base rate", "0", f"{(rate * (1 - rate)).mean():.4f}", "–", "–", "–", "–"])
    head = ["nothing labelled", "ECE (95 %)", "Brier", "mean AP", "precision at .5", "off-topic top: median / 90 %"]
    return table([*head, "prevalence within 1.6 ×"], rows)


def located(way: str, logits: Doubles, background: Doubles, card: Prior, level: Level, reference: float) -> Calibration:
    """The curve of one attribute with its absent level found in one of four ways."""
    values = logits - card.weight * background
    df, location, scale = card.absent
    card = replace(card, native=None)
    pinned = replace(card, shift=0.0, shift_spread=0.01)
    match way:
        case "median":
            at = float(np.median(values)) - location * level.spread
        case "lower tail":
            at = float(np.quantile(values, 0.1)) - level.spread * (location + scale * float(student.ppf(0.1, df)))
        case "reference images":
            at = reference
        case _:
            return prior(logits, background, card, level)
    return prior(logits, background, pinned, level, reference=at)


def locations(data: Labelled) -> str:
    """Each attribute thinned to each prevalence; the references come from images that are not in the sample."""
    ways = ("median", "lower tail", "reference images", "summed over levels")
    right: dict[tuple[str, float], list[bool]] = {}
    turned: dict[tuple[str, float], list[bool]] = {}
    error: dict[tuple[str, float], list[float]] = {}
    numbers = np.random.default_rng(0)
    for a, card in enumerate(cards(data)):
        level = background_level(data.background_logits, card.weight)
        half = numbers.random(len(data.truth)) < 0.5
        absent = half & (data.truth[:, a] == 0)
        reference = float(np.median((data.logits[:, a] - card.weight * data.background)[absent]))
        for wanted in PREVALENCES:
            rows = _thinned(data.truth[:, a], ~half, wanted, numbers)
            if rows is None:
                continue
            y = data.truth[rows, a]
            for way in ways:
                curve = located(way, data.logits[rows, a], data.background[rows], card, level, reference)
                p, found = confidence(curve, data.logits[rows, a], data.background[rows]), curve.params["prevalence"]
                right.setdefault((way, wanted), []).append(y.mean() / 1.6 <= found <= y.mean() * 1.6)
                turned.setdefault((way, wanted), []).append(abs(found - y.mean()) > 0.5)
                error.setdefault((way, wanted), []).append(brier(p, y))
    there = [w for w in PREVALENCES if (ways[0], w) in right]
    rows_out = []
    for way in ways:
        cells = [
            f"{np.mean(right[way, w]):.0%} / {np.mean(turned[way, w]):.0%} / {np.mean(error[way, w]):.3f}"
            for w in there
        ]
        rows_out.append([way, *cells])
    return table(["absent level by", *(f"{w:.1%} of images" for w in there)], rows_out)


def _thinned(y: Doubles, allowed: NDArray[np.bool_], wanted: float, numbers: np.random.Generator) -> Doubles | None:
    """Rows of a sample of that prevalence, as large as may be; None where fewer than 20 images would be left."""
    yes, no = np.flatnonzero(allowed & (y == 1)), np.flatnonzero(allowed & (y == 0))
    n = int(min(len(yes) / wanted, len(no) / (1 - wanted)))
    k = round(n * wanted)
    if n < 20 or k < 1:
        return None
    return np.concatenate([numbers.choice(yes, k, replace=False), numbers.choice(no, n - k, replace=False)])


def with_labels(data: Labelled) -> str:
    """Labels drawn by `sampling.choose`; judged on the cells that nobody labelled."""
    rows = []
    for name, given in (
        ("components from the other attributes", cards(data)),
        ("prior of an unknown encoder", [unknown_prior(data.background_logits, data.training)] * len(data.codes)),
    ):
        base = curves(data, given)
        start = drawn(data, base)
        for size in (25, 200):
            if 2 * size > len(data.truth):
                continue
            figures = [_labelled_once(data, base, start, size, seed) for seed in range(REPEATS)]
            before, after = np.mean([f[0] for f in figures], axis=0), np.mean([f[1] for f in figures], axis=0)
            used = np.mean([f[2] for f in figures])
            rows.append(
                [
                    name,
                    str(size),
                    f"{before[0]:.4f}",
                    f"{after[0]:.4f}",
                    f"{before[1]:.5f}",
                    f"{after[1]:.5f}",
                    f"{used:.0%}",
                ]
            )
    head = ["start", "labels an attribute", "ECE before", "ECE after", "Brier before", "Brier after", "fits used"]
    return table(head, rows)


def weights(data: Labelled) -> str:
    """The same with the labels' weights in the fit trimmed at several multiples of their mean; ECE / Brier score."""
    rows, usual = [], platt.HEAVIEST
    for name, given in (
        ("components from the other attributes", cards(data)),
        ("prior of an unknown encoder", [unknown_prior(data.background_logits, data.training)] * len(data.codes)),
    ):
        base = curves(data, given)
        start = drawn(data, base)
        for size in (size for size in (25, 200) if 2 * size <= len(data.truth)):
            cells = []
            for platt.HEAVIEST in HEAVIEST:
                found = [_labelled_once(data, base, start, size, seed)[1] for seed in range(REPEATS)]
                cells.append("{:.4f} / {:.5f}".format(*np.mean(found, axis=0)))
            rows.append([name, str(size), *cells])
    platt.HEAVIEST = usual
    head = ["start", "labels an attribute", "full", *(f"at most {k:g} × mean" for k in HEAVIEST[1:-1]), "equal"]
    return table(head, rows)


def _labelled_once(
    data: Labelled, base: list[Calibration], start: Doubles, size: int, seed: int
) -> tuple[tuple[float, float], tuple[float, float], float]:
    given, unseen = {}, np.ones(data.truth.shape, dtype=bool)
    for a, code in enumerate(data.codes):
        choice = sampling.choose(start[:, a], size, seed=1000 * seed + a)
        unseen[choice.rows, a] = False
        given[code] = fitting.Labelled(
            base=base[a],
            images=[str(row) for row in choice.rows],
            logits=data.logits[choice.rows, a],
            background=data.background[choice.rows],
            truth=data.truth[choice.rows, a],
            weights=sampling.label_weights(choice.probability),
        )
    fits = fitting.fit(given)
    after = drawn(data, [fits[code].calibration for code in data.codes])
    scores = []
    for p in (start, after):
        gap = metrics.expected_calibration_error(p[unseen], data.truth[unseen])
        scores.append((gap, brier(p[unseen], data.truth[unseen])))
    return scores[0], scores[1], float(np.mean([f.applied for f in fits.values()]))


def settings(data: Labelled) -> str:
    """The same cells under many settings: how many fall into which band, and how many accepted ones are right."""
    generic = data.background_logits.max(axis=1, keepdims=True)
    rivals = [np.delete(data.logits, a, axis=1).max(axis=1) for a in range(len(data.codes))]
    margin = data.logits - np.stack(rivals, axis=1)
    base = curves(data, cards(data))
    ways: list[tuple[str, Callable[[], Doubles]]] = [
        *((f"fixed({c}, {s})", lambda c=c, s=s: drawn(data, [fixed(c, s)] * len(data.codes))) for c, s in SETTINGS),
        (f"softmax over {len(data.codes)}", lambda: group_confidence(data.logits)),
        (
            f"softmax over {len(data.codes)} and 100 more phrases",
            lambda: group_confidence(np.hstack([data.logits, data.background_logits[:, :100]]))[:, : len(data.codes)],
        ),
        ("against the best of 200 generic phrases", lambda: expit(data.logits - generic)),
        ("margin to the best other attribute", lambda: expit(margin)),
        ("prior", lambda: drawn(data, base)),
        ("prior and 25 labels each (cross-fitted)", lambda: _cross_fitted(data, base)),
    ]
    rows = []
    for name, way in ways:
        p = way()
        accepted, tentative = p >= 0.8, (p >= 0.5) & (p < 0.8)
        right = f"{data.truth[accepted].mean():.2f}" if accepted.any() else "–"
        gap = metrics.expected_calibration_error(p.ravel(), data.truth.ravel())
        counts = [int(accepted.sum()), int(tentative.sum()), int((p < 0.5).sum())]
        rows.append([name, *map(str, counts), right, f"{gap:.4f}", f"{brier(p, data.truth):.4f}"])
    return table(["setting", "accepted", "tentative", "rejected", "accepted and right", "ECE", "Brier"], rows)


def _cross_fitted(data: Labelled, base: list[Calibration]) -> Doubles:
    """Every image judged by a fit on labels of other images."""
    start, out = drawn(data, base), np.empty(data.truth.shape)
    half = np.random.default_rng(0).random(len(data.truth)) < 0.5
    for judged in (half, ~half):
        given = {}
        for a, code in enumerate(data.codes):
            rows = np.flatnonzero(~judged)
            choice = sampling.choose(start[rows, a], 25, seed=a)
            at = rows[choice.rows]
            given[code] = fitting.Labelled(
                base[a],
                [str(i) for i in at],
                data.logits[at, a],
                data.truth[at, a],
                data.background[at],
                sampling.label_weights(choice.probability),
            )
        fits = fitting.fit(given)
        out[judged] = drawn(data, [fits[code].calibration for code in data.codes])[judged]
    return out


PARTS: dict[str, Callable[[Labelled], str]] = {
    "unlabelled": unlabelled,
    "locations": locations,
    "labels": with_labels,
    "weights": weights,
    "settings": settings,
}


def write(name: str, text: str) -> None:
    """Replaces what stands between the markers of `name` in the page."""
    begin, end = f"<!-- figures: {name} -->", f"<!-- end: {name} -->"
    page = PAGE.read_text(encoding="utf-8")
    if begin not in page:
        page = page.rstrip() + f"\n\n{begin}\n{end}\n"
    before, rest = page.split(begin, 1)
    PAGE.write_text(before + begin + "\n" + text + "\n" + end + rest.split(end, 1)[1], encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("clip", "conse", "mini"))
    parser.add_argument("--pictures", type=int, default=3000)
    parser.add_argument("--bundle", type=Path, default=MINI)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--clip-prior", action="store_true")
    parser.add_argument("--part", choices=PARTS)
    asked = parser.parse_args()
    for name, data in collections("clip" if asked.clip_prior else asked.only, asked.pictures, asked.bundle):
        if asked.clip_prior:
            source = "CLIP ViT-B/32 on 250 CIFAR-10 images"
            print(fit_prior(data.logits, data.background, data.background_logits, data.truth, source=source))
            return
        print(f"\n## {name}: {len(data.truth)} images, {len(data.codes)} attributes\n", flush=True)
        for part, make in PARTS.items():
            if (part == "settings" and not data.clip_like) or (part == "weights" and data.native):
                continue
            if asked.part not in (None, part):
                continue
            text = make(data)
            print(text, end="\n\n", flush=True)
            if asked.write:
                write(f"{name}-{part}", text)


if __name__ == "__main__":
    main()
