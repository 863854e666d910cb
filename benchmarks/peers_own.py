"""What Sextant does, and what the documents' own loops and plain libraries do, for `peers.py`: one job, one process.

`python peers_own.py JOB JSON` prints one line of JSON. The files that go in are those that the peers read.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from peers_inside import USED, Answer, answer, batches, timed
from peers_search import SEARCHES

WARM = 16
LOOP_BATCH = 64
ATTRIBUTES, MORE = 37, 8


# what all read


def bundle(checkpoint: str, folder: str, fastembed: str, rclip: str) -> Answer:
    """Turns the checkpoint into a bundle, and lays its graphs where fastembed and rclip look for theirs."""
    import onnx

    from sextant.train.export import convert

    target = Path(folder)
    card = convert(checkpoint, target, name="peers/ViT-B-32-256", licence="none")
    for place in (Path(fastembed), Path(rclip) / "ViT-B-32-256-datacomp_s34b_b86k", Path(rclip) / "tokenizer"):
        place.mkdir(parents=True, exist_ok=True)
    shutil.copy(target / "visual.onnx", Path(fastembed) / "model.onnx")
    side = card.image_size
    pixels = {
        "image_processor_type": "CLIPImageProcessor",
        **{"do_resize": True, "size": {"shortest_edge": side}, "resample": 3},
        **{"do_center_crop": True, "crop_size": {"height": side, "width": side}},
        **{"do_rescale": True, "rescale_factor": 1 / 255},
        **{"do_normalize": True, "image_mean": list(card.mean), "image_std": list(card.std)},
    }
    (Path(fastembed) / "preprocessor_config.json").write_text(json.dumps(pixels))
    for name, kind in (("visual", onnx.TensorProto.FLOAT), ("textual", onnx.TensorProto.INT64)):
        graph = onnx.load(target / f"{name}.onnx")
        renamed(graph, kind)
        onnx.save(graph, Path(rclip) / "ViT-B-32-256-datacomp_s34b_b86k" / f"{name}.onnx")
    words = Path(checkpoint) / "bpe_simple_vocab_16e6.txt.gz"
    shutil.copy(words, Path(rclip) / "tokenizer" / words.name)
    return {"revision": card.revision}


def renamed(model: Any, kind: int) -> None:
    """Gives a graph's input the name and the type that rclip hands it."""
    from onnx import helper

    graph, given = model.graph, model.graph.input[0]
    old, was = given.name, given.type.tensor_type.elem_type
    inner = old if was == kind else f"{old}_as_it_was"
    for node in graph.node:
        node.input[:] = ["input" if n == old and was == kind else inner if n == old else n for n in node.input]
    given.name, given.type.tensor_type.elem_type = "input", kind
    if was != kind:
        graph.node.insert(0, helper.make_node("Cast", ["input"], [inner], to=was))


def pictures(folder: str, count: int, side: int) -> Answer:
    """Draws soft colours with a camera's noise, `side` by three quarters of it, where they are not there yet."""
    from PIL import Image

    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    size = (side, side * 3 // 4)
    for i in range(count):
        path = place / f"{i:05d}.jpg"
        if not path.is_file():
            random = np.random.default_rng(i)
            small = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8))
            soft = np.asarray(small.resize(size, Image.Resampling.BICUBIC), np.int16)
            noise = random.integers(-12, 13, (size[1], size[0], 1), np.int16)
            Image.fromarray(np.clip(soft + noise, 0, 255).astype(np.uint8)).save(path, quality=90)
    return {"count": count}


# pictures to vectors


def loop(paths: list[str], folder: str, prompts: list[str]) -> Answer:
    """The documents' loop with the very same graph: every picture and all prompts again, batch by batch."""
    from PIL import Image

    from sextant.encoder import OnnxEncoder

    encoder = OnnxEncoder(Path(folder), precision="fp32", device="cpu")
    confidences = []

    def run(wanted: list[str]) -> None:
        for some in batches(wanted, LOOP_BATCH):
            rows = encoder.encode_images([Image.open(path).convert("RGB") for path in some])
            logits = 100 * rows @ encoder.encode_texts(prompts).T
            confidences.append(1 / (1 + np.exp(-(logits - 25.5) / 1.5)))

    run(paths[:WARM])
    seconds, _ = timed(lambda: run(paths))
    return {"seconds": seconds}


def add(paths: list[str], folder: str, precision: str, place: str) -> Answer:
    """`add` into a new collection, the encoder loaded and warm."""
    import sextant

    with tempfile.TemporaryDirectory(dir=place) as name:
        home = Path(name)
        for part, some in (("warm", paths[:WARM]), ("all", paths)):
            (home / part).mkdir()
            for path in some:
                data = Path(path).read_bytes()
                (home / part / Path(path).name).write_bytes(data + (b"once more" if part == "warm" else b""))
        with sextant.open(home, create=True, model=folder, precision=precision, device="cpu") as collection:
            collection.add(home / "warm")
            seconds, report = timed(lambda: collection.add(home / "all"))
            cpu = USED["cpu"]
            if report.encoded != len(paths):
                raise SystemExit(f"{report.encoded} of {len(paths)} pictures were encoded")
            view = collection.view([])
            precision = getattr(collection.encoder(), "precision", "fp32")
            held, rows = collection.vectors.matrix()
            places = dict(zip(view.paths.to_pylist(), view.ids.to_pylist(), strict=True))
            at = [held.index(places[f"all/{Path(path).name}"]) for path in paths[:WARM]]
    return {"seconds": seconds, "cpu": cpu, "precision": precision, "vectors": rows[at].tolist()}


def demo_loop(place: str, count: int) -> Answer:
    """The documents' loop with the embedded encoder on the demo's pictures, and `tag` on their cached vectors."""
    from PIL import Image

    import sextant
    from sextant.demo.scenes import collection as drawn
    from sextant.encoder import OnnxEncoder
    from sextant.models import load

    with tempfile.TemporaryDirectory(dir=place) as name:
        home = Path(name)
        drawn(home / "in", count, seed=12_700_000)
        paths = sorted(str(p) for p in (home / "in").rglob("*.jpg")) or sorted(str(p) for p in (home / "in").iterdir())
        encoder = load("mini", device="cpu")
        assert isinstance(encoder, OnnxEncoder)
        prompts = [f"a photo of thing {i}" for i in range(MORE)]

        def run() -> None:
            for some in batches(paths, LOOP_BATCH):
                rows = encoder.encode_images([Image.open(path).convert("RGB") for path in some])
                1 / (1 + np.exp(-(100 * rows @ encoder.encode_texts(prompts).T - 25.5) / 1.5))

        run()
        seconds, _ = timed(run)
        with sextant.open(home, create=True, model="mini") as collection:
            collection.add(home / "in")
            tagged = columns_of(collection, home)
    return {"seconds": seconds, "count": len(paths), **tagged}


def vocabulary(count: int) -> str:
    lines = [f"  - {{code: thing_{i}, label: Thing {i}, description: thing {i}, type: object}}" for i in range(count)]
    return "base_attributes:\n" + "\n".join(lines) + "\n"


def columns_of(collection: Any, home: Path) -> Answer:
    """Seconds of eight more columns where there are some."""
    (home / "some.yaml").write_text(vocabulary(ATTRIBUTES))
    (home / "more.yaml").write_text(vocabulary(ATTRIBUTES + MORE))
    collection.tag(home / "some.yaml")
    seconds, report = timed(lambda: collection.tag(home / "more.yaml"))
    if len(report.columns) != MORE:
        raise SystemExit(f"{len(report.columns)} columns were written")
    return {"tag": seconds}


def columns(folder: str, images: int, place: str) -> Answer:
    """Eight more columns of a collection of made vectors by the bundle's text encoder, in a warm process."""
    import sextant
    from sextant.models import load

    encoder = load(folder, device="cpu")
    with tempfile.TemporaryDirectory(dir=place) as name:
        home, random = Path(name), np.random.default_rng(0)
        rows = random.standard_normal((images, encoder.dim), np.float32)
        np.save(home / "v.npy", rows)
        (home / "v.txt").write_text("\n".join(f"{i:07d}.jpg" for i in range(images)) + "\n")
        with sextant.open(home, create=True, model=folder) as collection:
            collection.import_vectors(home / "v.npy", ids=home / "v.txt")
            return columns_of(collection, home)


# near-duplicates


def near(vectors: str, count: int, threshold: float, way: str) -> Answer:
    """Groups of near-duplicates: Sextant's, faiss's pairs by range search, or the documents' product of all pairs."""
    from duplicates import made as repeated

    if not Path(vectors).is_file():
        np.save(vectors, repeated(count, 0.15))
    rows = np.load(vectors)
    if way == "sextant":
        from sextant.maths import groups

        seconds, found = timed(lambda: (groups.sizes(groups.groups(rows, [threshold])[0]) > 1).sum())
    elif way == "faiss":
        seconds, found = timed(lambda: ranged(rows, threshold))
    else:
        seconds, found = timed(lambda: all_pairs(rows, threshold))
    return {"seconds": seconds, "found": int(found)}


def ranged(rows: np.ndarray, threshold: float) -> int:
    import faiss

    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    limits, _, _ = index.range_search(rows, threshold)
    return int((np.diff(limits) > 1).sum())


def all_pairs(rows: np.ndarray, threshold: float) -> int:
    """A thousand rows by all at a time, then connected components, as the documents do."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    first, second = [], []
    for start in range(0, len(rows), 1000):
        i, j = np.nonzero(rows[start : start + 1000] @ rows.T >= threshold)
        first.append(i + start)
        second.append(j)
    i, j = np.concatenate(first), np.concatenate(second)
    graph = csr_matrix((np.ones(len(i), np.int8), (i, j)), shape=(len(rows), len(rows)))
    _, label = connected_components(graph, directed=False)
    return int((np.bincount(label)[label] > 1).sum())


# calibration


def calibration(place: str, count: int, labels: int) -> Answer:
    """Columns of the demo calibrated by few labels, by Sextant and by scikit-learn, judged on all other images."""
    from peers_calibration import compared

    with tempfile.TemporaryDirectory(dir=place) as name, contextlib.redirect_stdout(sys.stderr):
        return compared(Path(name), count, labels)


JOBS: dict[str, Callable[..., Answer]] = {
    "bundle": bundle,
    "pictures": pictures,
    "loop": loop,
    "add": add,
    "demo": demo_loop,
    "columns": columns,
    "near": near,
    "calibration": calibration,
    **SEARCHES,
}

if __name__ == "__main__":
    print(json.dumps(answer(JOBS)))
