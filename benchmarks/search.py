"""How fast, how surely and in how much memory a search finds its images. `python benchmarks/search.py --million`.

A million vectors, 512 wide, are made from real CLIP ViT-B/32 ones: the mean of real images, the directions of one
or two of 1,612 nouns by their real text vectors, what real images of a class differ by, and noise, scaled so that
cosines within and across the two kinds are those of the real ones. Queries are text vectors of real nouns, as they are
and less the mean of two hundred others as a ranking by evidence asks; nouns that recall is measured with are not those
that the index was checked with when it was made. Each step writes a section of its own.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from report import section

from sextant import index, sample
from sextant.maths import calibration as curves
from sextant.maths import components, mixture
from sextant.maths import logits as maths
from sextant.store import Store
from sextant.vectors import Vectors

REAL = Path(__file__).resolve().parents[2] / "shared" / "real" / "clip_vitb32"
DIM, SCALE, BLOCK = 512, 100.0, 20_000
Rows = np.ndarray


def unit(rows: Rows) -> Rows:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def real() -> tuple[Rows, Rows, Rows]:
    """Image vectors, their classes, and text vectors of nouns."""
    if not REAL.is_dir():
        raise SystemExit(f"the real vectors are not at {REAL}")
    images, labels, texts = (
        np.load(REAL / f"{name}.npy") for name in ("cifar10_image_embeddings", "cifar10_labels", "vocab_vitb32")
    )
    return unit(images.astype(np.float32)), labels, unit(texts.astype(np.float32))


def made(n: int, seed: int = 0) -> Callable[[], object]:
    """A generator of blocks (k, 512) of n vectors."""
    images, labels, texts = real()
    random = np.random.default_rng(seed)
    means = np.stack([images[labels == c].mean(axis=0) for c in range(10)])
    rest, nouns = images - means[labels], texts - texts.mean(axis=0)
    look = 0.25 * unit(random.standard_normal((len(texts), len(rest))) @ rest)
    share = 1 / (20 + np.arange(len(texts)))
    order = random.permutation(len(texts))

    def blocks() -> object:
        for start in range(0, n, BLOCK):
            k = min(BLOCK, n - start)
            a, b = (order[random.choice(len(texts), k, p=share / share.sum())] for _ in range(2))
            second = random.uniform(0, 0.6, (k, 1))
            rows = images.mean(axis=0) + (1 - second) * look[a] + second * look[b]
            rows += 0.36 * ((1 - second) * nouns[a] + second * nouns[b])
            rows += 0.38 * unit(random.standard_normal((k, len(rest)), np.float32) @ rest)
            rows += 0.2 * unit(random.standard_normal((k, DIM), np.float32))
            yield unit(rows)

    return blocks


@dataclass
class Queries:
    """Text vectors: to check an index with, to judge it by, and the background's."""

    checked: Rows
    judged: Rows
    background: Rows

    @classmethod
    def of_nouns(cls) -> Queries:
        texts = real()[2]
        texts = texts[np.random.default_rng(5).permutation(len(texts))]
        return cls(texts[:128], texts[128:328], texts[328:528])

    @property
    def centre(self) -> Rows:
        return self.background.mean(axis=0)

    def kinds(self, rows: Rows) -> dict[str, Rows]:
        return {"phrases": rows, "evidence": rows - self.centre}


def timed(work: Callable[[int], object], times: int) -> tuple[float, float]:
    """Median and 99th percentile in milliseconds, the first call left out."""
    work(0)
    seconds = []
    for i in range(times):
        begun = time.perf_counter()
        work(i)
        seconds.append(time.perf_counter() - begun)
    return 1e3 * float(np.median(seconds)), 1e3 * float(np.quantile(seconds, 0.99))


def load() -> str:
    """What else the machine was doing: times of a busy one count only against each other."""
    return f"Programs that wanted to run meanwhile, this one included: {os.getloadavg()[1]:.1f}."


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


class Table:
    """The rows of the answer, printed as they come."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = []

    def add(self, what: str, spent: tuple[float, float] | float | None, found: str = "", target: str = "") -> None:
        times = ["–", "–"]
        if isinstance(spent, tuple):
            times = [f"{spent[0]:.1f} ms", f"{spent[1]:.1f} ms"]
        elif spent is not None:
            times = [f"{spent:.1f} s", ""]
        self.rows.append([what, *times, found, target])
        print(*self.rows[-1], sep="\t", flush=True)


def written(folder: Path, n: int, queries: Queries) -> Vectors:
    """A table of n vectors with their background."""
    table, start = Store(folder).vectors("clip@1"), 0
    for rows in made(n)():
        ids = [f"{(i * 2654435761) % 2**64:032x}" for i in range(start, start + len(rows))]
        background = maths.background(rows, queries.background, scale=SCALE)
        table.append(ids, rows, background, lambda *_: {}, {"encoder": "clip@1"})
        start += len(rows)
    return table


def truth(table: Vectors, wanted: Rows, best: int = 10) -> Rows:
    """The exact best cosines (q, best)."""
    top = np.full((len(wanted), 0), -np.inf, np.float32)
    for _, rows in table.batches():
        scores = np.concatenate([top, wanted @ rows.T], axis=1)
        top = -np.partition(-scores, best - 1, axis=1)[:, :best]
    return top


def recall(scores: Rows, exact: Rows) -> float:
    """The share of the ten best among scores (q, m); a tie with the tenth counts."""
    return float(np.minimum((scores >= exact.min(axis=1)[:, None] - 1e-6).sum(axis=1), 10).mean() / 10)


def million(n: int) -> None:
    queries, out = Queries.of_nouns(), Table()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = written(folder / "c", n, queries)
        checked = {**queries.kinds(queries.checked), "pictures": table.sample(len(queries.checked))}
        built = index.build(table, folder / "i", checked)
        said = ", ".join(f"{v:.3f} of {k}" for k, v in built.recall.items())
        out.add("build, its own check of recall@10", built.seconds, f"{said}; {built.depth} compared again")
        out.add(
            "on disk, peak memory of the build", None, f"{built.bytes / 2**30:.2f} GiB, {peak():.2f} GiB", "≤ 3 GiB"
        )
        begun = time.perf_counter()
        opened = index.Index.open(folder / "i", table)
        assert opened
        out.add("open", time.perf_counter() - begun)
        asked(out, opened, table, queries)
        filtered(out, opened, queries)
        sampled(out, opened, table, queries)
        out.add("peak memory so far", None, f"{peak():.2f} GiB", "≤ 3 GiB")
        references(out, table, queries)
    head = [f"{n:,} × {DIM}", "median", "99th percentile", "found", "target"]
    section("search-million", "python benchmarks/search.py --million", head, out.rows, load())


def asked(out: Table, opened: index.Index, table: Vectors, queries: Queries) -> None:
    pictures = table.sample(len(queries.judged) + len(queries.checked))[1::2]
    for kind, rows in {**queries.kinds(queries.judged), "pictures": pictures[: len(queries.judged)]}.items():
        exact = truth(table, rows)
        found = np.stack([opened.nearest(row, 10).cosines[:, 0] for row in rows])
        spent = timed(lambda i, rows=rows: opened.nearest(rows[i], 20), len(rows))
        out.add(f"20 nearest to {kind}", spent, f"recall@10 {recall(found, exact):.3f}", "≤ 10 ms, ≥ .98")
    ten = queries.kinds(queries.judged)["evidence"][:110]
    three = timed(lambda i: opened.nearest(ten[i : i + 3], 200), 40)
    out.add("200 nearest to any of three directions, as a search of words asks", three)
    out.add("20 nearest to any of ten variants", timed(lambda i: opened.nearest(ten[i : i + 10], 20), 30))


def filtered(out: Table, opened: index.Index, queries: Queries) -> None:
    rows = queries.kinds(queries.judged)["evidence"]
    for share in (0.5, 0.1, 0.01):
        allowed = np.random.default_rng(1).random(len(opened)) < share
        spent = timed(lambda i, allowed=allowed: opened.nearest(rows[i], 20, allowed=allowed), 40)
        out.add(f"20 nearest among {share:.0%}, exactly", spent, "", "≤ 60 ms")


class Known:
    """What a collection knows of any column that nobody labelled, from the background alone."""

    def __init__(self, table: Vectors, background: Rows) -> None:
        logits = maths.logit_matrix(table.sample(2000), background, scale=SCALE)
        self.card = components.unknown_prior(logits, "softmax")
        self.level = mixture.background_level(logits, self.card.weight)

    def curve(self, logits: Rows, background: Rows) -> curves.Calibration:
        return mixture.prior(logits, background, self.card, self.level)


def sampled(out: Table, opened: index.Index, table: Vectors, queries: Queries) -> None:
    """Confidences by the curve of 20,000 rows against those of the curve of all."""
    known, part = Known(table, queries.background), sample.Sample.of(opened)
    phrases = [sample.Phrase(row, None, SCALE, 0.0) for row in queries.judged[:12]]
    far, near = [], []
    for phrase in phrases:
        every = np.concatenate([phrase.logits(rows) for _, rows in table.batches()])
        exact = curves.confidence(known.curve(every, part.every), every, part.every)
        off = np.abs(curves.confidence(sample.curve(known, part, phrase), every, part.every) - exact)
        far.append(off.max())
        near.append(off.mean())
    spent = timed(lambda i: sample.curve(known, part, phrases[i]), len(phrases))
    out.add(
        "a phrase's curve from 20,000 rows",
        spent,
        f"confidences off by {max(far):.3f} at most, {np.mean(near):.5f} on average",
    )

    def whole(i: int) -> object:
        curve = sample.curve(known, part, phrases[i])
        return sample.ranked(opened, part, phrases[i], curve, centre=queries.centre, limit=20)

    out.add("a phrase's curve and its 20 best", timed(whole, len(phrases)))


def references(out: Table, table: Vectors, queries: Queries) -> None:
    """What plain numpy, a flat index and inverted lists take in the same process."""
    import faiss

    rows, (_, matrix) = queries.kinds(queries.judged)["evidence"], table.matrix()
    exact = truth(table, rows[:60])
    out.add(
        "numpy, one float32 product and the best of it",
        timed(lambda i: np.argpartition(matrix @ rows[i], -20)[-20:], 20),
    )
    flat = faiss.IndexScalarQuantizer(DIM, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    flat.train(matrix[:1])
    flat.add(matrix)
    out.add("faiss, flat, float16", timed(lambda i: flat.search(rows[i : i + 1], 20), 20))
    flat.reset()
    quantiser = faiss.IndexFlatIP(DIM)
    lists = faiss.IndexIVFScalarQuantizer(
        quantiser, DIM, 1024, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    lists.by_residual, lists.parallel_mode = False, 1
    lists.train(np.ascontiguousarray(matrix[:: max(1, len(matrix) // 50_000)]))
    lists.add(matrix)
    for probes in (16, 64, 256):
        lists.nprobe = probes
        found = np.concatenate([lists.search(row[None, :], 10)[0] for row in rows[:60]])
        off = float(np.mean([(f >= e.min() - 1e-4).sum() for f, e in zip(found, exact, strict=True)]) / 10)
        spent = timed(lambda i: lists.search(rows[i : i + 1], 20), 40)
        out.add(f"faiss, 1,024 inverted lists, {probes} read", spent, f"recall@10 {min(off, 1):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--million", action="store_true", help="1,000,000 vectors: some minutes and 6 GB of disk")
    parser.add_argument("--rows", type=int, default=1_000_000, help="fewer, to try it")
    chosen = parser.parse_args()
    if chosen.million:
        million(chosen.rows)


if __name__ == "__main__":
    main()
