"""How Sextant and faiss find the nearest of some vectors, for `peers.py`: jobs of `peers_own.py`.

Directions are text vectors of real nouns and, by turns, the same less the mean of others, as a ranking by evidence
asks. A peer's setting is chosen by the very directions that it is judged by; Sextant's index is checked with others.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np
import search
from peers_inside import Answer, figures, quickest, timed

BEST, ASKED, LISTS = 10, 60, 1024
TRAINED_ON = 60_000


class Nouns:
    """An encoder that answers every phrase with the real text vector of some noun, and knows no picture."""

    name, revision, dim, logit_scale, logit_bias = "clip", "1", search.DIM, search.SCALE, 0.0

    def __init__(self) -> None:
        self.rows = search.real()[2]

    def encode_images(self, images: Any) -> np.ndarray:
        raise NotImplementedError("the vectors are there")

    def encode_texts(self, texts: Any) -> np.ndarray:
        """Rows (n, 512)."""
        return self.rows[[int(md5(text.encode()).hexdigest()[:8], 16) % len(self.rows) for text in texts]]


def made(vectors: str, queries: str, exact: str, count: int) -> Answer:
    """A file of vectors, one of directions to search in, phrases and evidence by turns, and their ten best cosines."""
    out = np.lib.format.open_memmap(vectors, "w+", np.float32, (count, search.DIM))
    asked = search.Queries.of_nouns()
    both = asked.kinds(asked.judged)
    wanted = np.stack([kind[i] for i in range(ASKED // 2) for kind in both.values()])
    best, start = np.full((len(wanted), 0), -np.inf, np.float32), 0
    for rows in search.made(count)():
        out[start : start + len(rows)] = rows
        start += len(rows)
        scores = np.concatenate([best, wanted @ rows.T], axis=1)
        best = -np.partition(-scores, BEST - 1, axis=1)[:, :BEST]
    np.save(queries, wanted)
    np.save(exact, best)
    return {"queries": len(wanted)}


def indexed(vectors: str, queries: str, exact: str, scratch: str) -> Answer:
    """The index as `sextant index` makes it."""
    from sextant import index
    from sextant.store import Store

    rows, wanted, best = np.load(vectors, mmap_mode="r"), np.load(queries), np.load(exact)
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        table = Store(Path(name)).vectors("clip@1")
        for start in range(0, len(rows), 50_000):
            some = np.ascontiguousarray(rows[start : start + 50_000])
            ids = [f"{i:032x}" for i in range(start, start + len(some))]
            table.append(ids, some, np.zeros(len(some), np.float32), lambda *_: {}, {"encoder": "clip@1"})
        asked = search.Queries.of_nouns()
        build, built = timed(lambda: index.build(table, Path(name) / "i", asked.kinds(asked.checked)))
        opened = index.Index.open(Path(name) / "i", table)
        assert opened is not None
        found = figures(lambda i: opened.nearest(wanted[i], BEST).rows, rows, wanted, best)
    return {"build": build, **found, "setting": f"{built.depth} compared again"}


def compared(vectors: str, queries: str, exact: str, scratch: str) -> Answer:
    """What a search of a collection without an index does: every image compared, its vectors in memory."""
    import sextant
    from sextant import search as ranking

    rows, wanted, best = np.load(vectors, mmap_mode="r"), np.load(queries), np.load(exact)
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        home, every = Path(name), np.ones(len(rows), np.bool_)
        (home / "v.txt").write_text("\n".join(f"{i:07d}.jpg" for i in range(len(rows))) + "\n")
        with sextant.open(home, create=True, model=f"{__file__}:Nouns") as photos:
            photos.import_vectors(Path(vectors), ids=home / "v.txt")
            view = photos.view()
            places = np.array([int(path[:7]) for path in view.paths.to_pylist()])

            def found(i: int) -> np.ndarray:
                direction = wanted[i][None, :]
                logits = ranking.logits(photos, view, direction)
                near = ranking.best(logits[:, 0].astype(np.float64), view.ids, BEST, every)
                ranking.exact(photos, view, near, direction, logits)
                return places[near]

            answer = figures(found, rows, wanted, best)
            words = [f"thing {i}" for i in range(20)]
            for word in words:
                photos.search(word, limit=BEST)
            whole = []
            for word in words:
                begun = time.perf_counter()
                photos.search(word, limit=BEST)
                whole.append(time.perf_counter() - begun)
    whole_call = f"a whole `search`, with confidences: {1e3 * float(np.median(whole)):.1f} ms"
    return {"build": 0.0, **answer, "setting": whole_call}


def faiss_search(vectors: str, queries: str, exact: str, kind: str, least: float, seconds: int) -> Answer:
    """A faiss index by its factory name, at the quickest setting with the wanted recall@10."""
    import faiss

    rows, wanted, best = np.load(vectors, mmap_mode="r"), np.load(queries), np.load(exact)
    lists = max(16, min(LISTS, len(rows) // 64))
    index = faiss.index_factory(rows.shape[1], kind.replace("IVF", f"IVF{lists}"), faiss.METRIC_INNER_PRODUCT)
    begun = time.perf_counter()
    index.train(np.ascontiguousarray(rows[:: max(1, len(rows) // TRAINED_ON)]))
    for start in range(0, len(rows), 10_000):
        index.add(np.ascontiguousarray(rows[start : start + 10_000]))
        if time.perf_counter() - begun > seconds and start + 10_000 < len(rows):
            raise SystemExit(f"{start + 10_000:,} of {len(rows):,} vectors were in it after {seconds / 60:.0f} minutes")
    build = time.perf_counter() - begun
    refined = isinstance(index, faiss.IndexRefine)
    inner = faiss.downcast_index(index.base_index) if refined else index
    first: list[int] = [0]
    if "IVF" in kind:
        first = sorted({min(inner.nlist, p) for p in (16, 64, 128, 256, 512, 1024)})
    elif "HNSW" in kind:
        first = [32, 128, 512, 1024, 2048]
    settings = [(p, more) for p in first for more in ((1, 4, 16, 64, 256) if refined else (0,))]
    if "IVF" in kind and not refined:
        inner.parallel_mode = 1  # else one query uses one core

    def found(i: int, setting: int, more: int) -> Any:
        if "IVF" in kind:
            inner.nprobe = setting
        elif "HNSW" in kind:
            inner.hnsw.efSearch = setting
        if refined:
            index.k_factor = more
        ids = index.search(wanted[i][None, :], BEST)[1][0]
        return ids[ids >= 0]

    return {"build": build, **quickest(settings, found, rows, wanted, best, least, seconds)}


SEARCHES: dict[str, Callable[..., Answer]] = {
    "made": made,
    "indexed": indexed,
    "compared": compared,
    "faiss": faiss_search,
}
