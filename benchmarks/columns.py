"""Columns from cached vectors: time, memory and bytes written. `python benchmarks/columns.py [--million]`.

Vectors are random unit rows of 512 numbers, phrases come from the model-free encoder: the cost does not depend on what
a vector means. Every figure is a process of its own, so that imports and the opening of the collection are counted.
The reference is one numpy product of the same matrices, made in the same process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from report import peak_mib, section

import sextant
from sextant.background import background_hash
from sextant.catalog import Label
from sextant.encoder.hashed import HashEncoder
from sextant.manifest import Manifest, write
from sextant.store import FILES, IMAGES, Store

DIM = 512
ATTRIBUTES = 37
ROWS_A_WRITE = 50_000
WARM = "-warm"
MODEL = f"{Path(__file__).resolve()}:Phrases"
METADATA = {"encoder": "hash@1", "background_hash": background_hash()}


class Phrases(HashEncoder):
    """The model-free encoder with vectors as long as those of CLIP ViT-B/32."""

    dim = DIM

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        narrow = super().encode_texts(texts)
        return np.concatenate([narrow, narrow], axis=1) / np.float32(np.sqrt(2))


def vocabulary(count: int) -> str:
    lines = [f"  - {{code: thing_{i}, label: Thing {i}, description: thing {i}, type: object}}" for i in range(count)]
    return "base_attributes:\n" + "\n".join(lines) + "\n"


def build(folder: Path, images: int) -> None:
    """A collection of `images` random vectors, without a single picture."""
    import pyarrow as pa

    encoder = Phrases()
    write(folder, Manifest(model=MODEL, encoder="hash@1", dim=encoder.dim, logit_scale=100.0))
    store = Store(folder / ".sextant")
    table = store.vectors("hash@1")
    random = np.random.default_rng(7)
    for start in range(0, images, ROWS_A_WRITE):
        n = min(ROWS_A_WRITE, images - start)
        rows = random.standard_normal((n, encoder.dim), dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        ids = [f"{i:032x}" for i in range(start, start + n)]
        table.append(ids, rows, np.zeros(n, np.float32), lambda *_: {}, METADATA)
        facts = {"id": ids, "width": np.full(n, 1500), "height": np.full(n, 1000)}
        columns = [facts.get(name, pa.nulls(n, IMAGES.field(name).type)) for name in IMAGES.names]
        store.append_images(pa.table([pa.array(c) for c in columns], names=IMAGES.names))
        paths = [f"photos/{i % 100:02d}/{i:07d}.jpg" for i in range(start, start + n)]
        store.put_files(pa.table([paths, ids, [0] * n, [0] * n], schema=FILES))


def work(folder: Path, what: str) -> dict[str, float]:
    """One measured step, in its own process."""
    started = time.perf_counter()
    collection = sextant.open(folder)
    if what.endswith(WARM):  # the second thing that a process does: imports and connections are there
        what = what.removesuffix(WARM)
        if what.startswith("tag"):
            collection.tag(folder / "warm.yaml")
        else:
            collection.calibrate()
        started = time.perf_counter()
    if what.startswith("tag"):
        report = collection.tag(folder / f"{what}.yaml")
        result: dict[str, float] = {"columns": len(report.columns)}
    elif what == "calibrate" and collection.catalog.labels():
        result = {"columns": len(collection.calibrate())}
    elif what == "calibrate":
        random = np.random.default_rng(1)
        codes = [f"thing_{i}" for i in range(ATTRIBUTES)]
        answers = [Label(f"{i:032x}", c, bool(random.random() < 0.3)) for c in codes for i in range(25)]
        collection.catalog.put_labels(answers)
        started = time.perf_counter()
        result = {"columns": len(collection.calibrate(codes))}
    elif what == "query":
        result = {"rows": len(collection.query("thing_1 >= 0.5 and not thing_2 and width > 1000"))}
    else:
        result = {"hits": len(collection.search("thing 3").hits)}
    result["seconds"] = time.perf_counter() - started
    result["memory"] = peak_mib()
    return result


def product(folder: Path) -> float:
    """Seconds of the bare float32 product of the same size."""
    _, rows = Store(folder / ".sextant").vectors("hash@1").matrix()
    phrases = np.ascontiguousarray(rows[:ATTRIBUTES].T)
    started = time.perf_counter()
    rows @ phrases
    return time.perf_counter() - started


def trusting(folder: Path, model: str) -> dict[str, str]:
    """An environment in which `model` may run as code, and the person's own list of what may is left alone."""
    return dict(os.environ) | {"SEXTANT_MODEL": model, "XDG_CONFIG_HOME": str(folder)}


def run(folder: Path, what: str) -> dict[str, float]:
    script = [sys.executable, __file__, "--work", what, "--folder", str(folder)]
    started = time.perf_counter()
    env = trusting(folder, MODEL)
    out = subprocess.run(script, capture_output=True, text=True, check=True, env=env).stdout
    return json.loads(out) | {"process": time.perf_counter() - started}


def bytes_of(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def measure(images: int) -> list[list[str]]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, images)
        (folder / "tag37.yaml").write_text(vocabulary(ATTRIBUTES))
        (folder / "tag38.yaml").write_text(vocabulary(ATTRIBUTES + 1))
        (folder / "warm.yaml").write_text(vocabulary(ATTRIBUTES + 2))
        (folder / "tag39.yaml").write_text(vocabulary(ATTRIBUTES + 3))
        encoders = folder / ".sextant" / "encoders"
        label = f"{images:,} images"
        for what, title in (
            ("tag37", "37 columns"),
            ("tag38", "one more column"),
            ("tag39-warm", "one more column, in a warm process"),
            ("query", "query"),
            ("search", "search"),
            ("calibrate", "calibrate 37 columns by 25 labels each"),
            ("calibrate-warm", "calibrate them again, in a warm process"),
        ):
            before = bytes_of(encoders)
            figures = run(folder, what)
            written = (bytes_of(encoders) - before) / 1e6 if what.startswith("tag") else 0.0
            bytes_written = f"{written:.2f}" if what.startswith("tag") else "–"
            times = [f"{figures['seconds']:.2f}", f"{figures['process']:.2f}", f"{figures['memory']:.0f}"]
            rows.append([label, title, *times, bytes_written])
            print(*rows[-1], sep="\t", flush=True)
        rows.append([label, "bare numpy product", f"{product(folder):.2f}", "–", "–", "–"])
        print(*rows[-1], sep="\t", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--million", action="store_true", help="also 1,000,000 images: four minutes and 3 GB of disk")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        print(json.dumps(work(chosen.folder, chosen.work)))
        return
    rows = measure(12_217) + (measure(1_000_000) if chosen.million else [])
    head = ["collection", "step", "seconds in the library", "seconds whole process", "peak MiB", "MB written"]
    note = "Peaks are of what was resident, by the kernel's own count; about 130 MiB of it are files of libraries."
    section("columns", "python benchmarks/columns.py --million", head, rows, note)


if __name__ == "__main__":
    main()
