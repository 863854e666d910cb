"""What a peer does, run by the interpreter of its own environment: `python peers_inside.py JOB JSON` prints one line.

Nothing here imports Sextant. Every job loads what it needs, warms up where the peer would be warm in long work, and
times the rest; `seconds` is what is compared. The pictures, weights and vectors are files that Sextant reads as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Answer = dict[str, Any]
BATCH, WARM = 16, 16
MODEL = "ViT-B-32-256"


def without_operators() -> None:
    """Lets torchvision be imported where its compiled operators were built for another torch; none is used here."""
    import torch.library

    register = torch.library.register_fake

    def lenient(name: Any, *given: Any, **named: Any) -> Any:
        try:
            decorate = register(name, *given, **named)
        except RuntimeError:
            return lambda function: function

        def tried(function: Any) -> Any:
            with contextlib.suppress(RuntimeError):
                return decorate(function)
            return function

        return tried

    torch.library.register_fake = lenient  # type: ignore[assignment]


USED: Answer = {}
"""Seconds of the processor that the last thing timed took, child processes included."""


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun, used = time.perf_counter(), sum(os.times()[:4])
    result = work()
    seconds = time.perf_counter() - begun
    USED["cpu"] = sum(os.times()[:4]) - used
    return seconds, result


def batches(paths: list[str], size: int = BATCH) -> list[list[str]]:
    return [paths[start : start + size] for start in range(0, len(paths), size)]


# weights that everybody uses


def weights(folder: str) -> Answer:
    """Writes an open_clip checkpoint of true size with random weights, and the vocabulary of its tokenizer."""
    without_operators()
    import open_clip
    import torch
    from open_clip.tokenizer import SimpleTokenizer
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = open_clip.create_model(MODEL)
    with torch.no_grad():  # as drawn, all pictures have nearly the same vector
        for tower in (model.visual.transformer, model.transformer):
            for block in tower.resblocks:
                block.attn.out_proj.weight.mul_(4)
                block.mlp.c_proj.weight.mul_(4)
    place = Path(folder)
    place.mkdir(parents=True)
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, place / "open_clip_model.safetensors")
    pixels = {**open_clip.get_model_preprocess_cfg(model), "resize_mode": "shortest", "interpolation": "bicubic"}
    config = {"model_cfg": open_clip.get_model_config(MODEL), "preprocess_cfg": pixels}
    (place / "open_clip_config.json").write_text(json.dumps(config))
    tokenizer = SimpleTokenizer()
    named = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {named.get(word, word): number for word, number in tokenizer.encoder.items()}
    (place / "vocab.json").write_text(json.dumps(vocabulary))
    merges = [" ".join(pair) for pair, _ in sorted(tokenizer.bpe_ranks.items(), key=lambda item: item[1])]
    (place / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    source = Path(open_clip.__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
    (place / "bpe_simple_vocab_16e6.txt.gz").write_bytes(source.read_bytes())
    return {"architecture": MODEL}


# pictures to vectors


def open_clip_loop(paths: list[str], checkpoint: str, prompts: list[str]) -> Answer:
    """The loop of open_clip's own page: prompts once, then pictures by the batch, each prepared by its transform."""
    without_operators()
    import open_clip
    import torch
    from PIL import Image

    file = str(Path(checkpoint) / "open_clip_model.safetensors")
    model, _, prepare = open_clip.create_model_and_transforms(MODEL, pretrained=file)
    model.eval()
    texts = open_clip.get_tokenizer(MODEL)(prompts)
    rows = []

    def loop(wanted: list[str]) -> None:
        with torch.no_grad():
            words = model.encode_text(texts, normalize=True)
            for some in batches(wanted):
                pixels = torch.stack([prepare(Image.open(path)) for path in some])
                found = model.encode_image(pixels, normalize=True)
                (100.0 * found @ words.T).softmax(dim=-1)
                rows.append(found)

    loop(paths[:WARM])
    rows.clear()
    seconds, _ = timed(lambda: loop(paths))
    return {"seconds": seconds, "vectors": torch.cat(rows)[:WARM].tolist()}


def clip_retrieval_inference(folder: str, few: str, scratch: str, checkpoint: str, count: int) -> Answer:
    """`clip-retrieval inference` of a folder, less the same of a few pictures, which is what it takes to start."""
    without_operators()
    from clip_retrieval.clip_inference.main import main

    model = f"open_clip:{MODEL}/{Path(checkpoint) / 'open_clip_model.safetensors'}"

    def run(source: str, target: str) -> None:
        main(source, f"{scratch}/{target}", enable_text=False, clip_model=model, batch_size=BATCH, num_prepro_workers=2)

    with contextlib.redirect_stdout(sys.stderr):
        run(few, "warm")
        start, _ = timed(lambda: run(few, "few"))
        few_cpu = USED["cpu"]
        whole, _ = timed(lambda: run(folder, "all"))
    share = count / (count - WARM)
    return {"seconds": (whole - start) * share, "cpu": (USED["cpu"] - few_cpu) * share}


def fastembed_images(paths: list[str], folder: str) -> Answer:
    """`ImageEmbedding.embed` of files, with the same ONNX file in place of a downloaded one."""
    from fastembed import ImageEmbedding

    model = ImageEmbedding("Qdrant/clip-ViT-B-32-vision", specific_model_path=folder)
    list(model.embed(paths[:WARM], batch_size=BATCH))
    seconds, rows = timed(lambda: list(model.embed(paths, batch_size=BATCH)))
    return {"seconds": seconds, "vectors": [row.tolist() for row in rows[:WARM]]}


def rclip_index(folder: str, few: str) -> Answer:
    """`rclip`'s index of a folder, its model loaded and warm."""
    from rclip import db, model
    from rclip.main import RClip

    encoder = model.Model()
    found = RClip(encoder, db.DB(Path(os.environ["RCLIP_DATADIR"]) / "timed.sqlite3"), 8, None)
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
        found.ensure_index(few)
        seconds, _ = timed(lambda: found.ensure_index(folder))
    rows = [row for path, row in zip(*found._get_features(folder), strict=True) if path]
    return {"seconds": seconds, "count": len(rows)}


# vectors to neighbours


def lancedb_search(
    vectors: str, queries: str, exact: str, scratch: str, kind: str, least: float, seconds: int
) -> Answer:
    """The quickest setting of a LanceDB index with the wanted recall@10, one query at a time."""
    import lancedb
    import numpy as np
    import pyarrow as pa

    rows, wanted, best = np.load(vectors, mmap_mode="r"), np.load(queries), np.load(exact)
    database = lancedb.connect(scratch)

    def parts() -> Any:
        for start in range(0, len(rows), 20_000):
            flat = pa.array(np.ascontiguousarray(rows[start : start + 20_000]).ravel())
            vector = pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])
            yield pa.record_batch([pa.array(range(start, start + len(vector)), pa.int64()), vector], ["id", "vector"])

    if "v" in database.table_names():
        table = database.open_table("v")
    else:
        table = database.create_table("v", pa.RecordBatchReader.from_batches(next(parts()).schema, parts()))
    build = 0.0
    settings: list[tuple[int, int]] = [(0, 0)]
    if kind != "flat":
        partitions = max(8, len(rows) // 4096)
        build, _ = timed(lambda: table.create_index("dot", num_partitions=partitions, index_type=kind))
        probes = sorted({min(partitions, p) for p in (4, 16, 64, 128, partitions)})
        more = (50, 200, 800) if "HNSW" in kind else (0,) if kind == "IVF_FLAT" else (1, 10, 50, 200)
        settings = [(p, m) for p in probes for m in more]

    def found(i: int, probes: int, more: int) -> Any:
        query = table.search(wanted[i]).distance_type("dot").select(["id"]).limit(10)
        if kind == "IVF_HNSW_SQ":
            query = query.nprobes(probes).ef(more).refine_factor(2)
        elif kind == "IVF_FLAT":
            query = query.nprobes(probes)
        elif kind != "flat":
            query = query.nprobes(probes).refine_factor(more)
        return query.to_arrow()["id"].to_numpy()

    return {"build": build, **quickest(settings, found, rows, wanted, best, least, seconds)}


def quickest(
    settings: list[tuple[int, int]], found: Any, rows: Any, wanted: Any, best: Any, least: float, limit: int
) -> Answer:
    """Of the settings that find enough of either kind, the quickest; else that which finds most."""
    chosen: Answer = {}
    begun = time.perf_counter()
    for setting in settings:
        if chosen and time.perf_counter() - begun > limit:
            break
        tried = figures(lambda i, setting=setting: found(i, *setting), rows, wanted, best)
        enough = min(tried["recalls"]) >= least
        order = -tried["seconds"] if enough else min(tried["recalls"])
        if (enough, order) > (chosen.get("enough", False), chosen.get("order", -1.0)):
            chosen = {**tried, "setting": setting, "enough": enough, "order": order}
    return chosen


def figures(found: Any, rows: Any, wanted: Any, best: Any) -> Answer:
    """Seconds a search, and recall@10 of phrases and of evidence, which come by turns. Best cosines are (q, 10)."""
    import numpy as np

    spent, used, hits = [], [], []
    for i in range(min(5, len(wanted))):
        found(i)
    for i in range(len(wanted)):
        begun, processor = time.perf_counter(), time.process_time()
        ids = found(i)
        spent.append(time.perf_counter() - begun)
        used.append(time.process_time() - processor)
        hits.append(min(1.0, float((rows[np.sort(ids)] @ wanted[i] >= best[i].min() - 1e-4).sum()) / 10))
    recalls = [float(np.mean(hits[kind::2])) for kind in (0, 1)]
    return {"seconds": float(np.median(spent)), "cpu": float(np.median(used)), "recalls": recalls}


# near-duplicates, start


def imagededup_vectors(vectors: str, threshold: float) -> Answer:
    """`CNN.find_duplicates` of vectors made elsewhere."""
    without_operators()
    import numpy as np
    import torch
    from imagededup.methods import CNN
    from imagededup.utils.models import CustomModel

    rows = np.load(vectors)
    named = {f"{i:07d}": row for i, row in enumerate(rows)}
    own = CustomModel("none", torch.nn.Identity(), lambda picture: picture)
    finder = CNN(verbose=False, model_config=own)
    seconds, found = timed(
        lambda: finder.find_duplicates(encoding_map=named, min_similarity_threshold=threshold, num_sim_workers=0)
    )
    return {"seconds": seconds, "found": sum(1 for others in found.values() if others)}


def cleanlab_calibration(given: str) -> Answer:
    """Whether cleanlab has anything that turns scores and labels into probabilities."""
    import pkgutil

    import cleanlab

    named = [module.name for module in pkgutil.walk_packages(cleanlab.__path__, "cleanlab.") if "calib" in module.name]
    return {"modules": named, "given": given}


JOBS: dict[str, Callable[..., Answer]] = {
    "weights": weights,
    "open_clip": open_clip_loop,
    "clip-retrieval": clip_retrieval_inference,
    "fastembed": fastembed_images,
    "rclip": rclip_index,
    "lancedb": lancedb_search,
    "imagededup": imagededup_vectors,
    "cleanlab": cleanlab_calibration,
}


def answer(jobs: dict[str, Callable[..., Answer]]) -> Answer:
    """What the job named on the command line says, with the processor's seconds of the last thing that it timed."""
    said = jobs[sys.argv[1]](**json.loads(sys.argv[2]))
    return {**USED, **said}


if __name__ == "__main__":
    print(json.dumps(answer(JOBS)))
