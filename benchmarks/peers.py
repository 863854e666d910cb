"""Sextant beside the programs that do the same job, in one run, on the same pictures, vectors and weights.

    python benchmarks/peers.py [--env FOLDER] [--only encode,columns,search,duplicates,calibration,start] [--million]

Every peer is installed from the package registry into an environment of its own below FOLDER; what does not install or
run is listed with what it said. One CLIP ViT-B/32 (256 pixels, open_clip's own architecture, random weights) is what
all of them compute with: as a checkpoint for open_clip and clip-retrieval, as the same ONNX graphs for fastembed, rclip
and the documents' loop, and as a bundle for Sextant. Each part writes its table into docs/performance.md. Ratios are
the peer's seconds over Sextant's: above 1, Sextant is ahead; seconds of the processor are disturbed least by others.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from peers_env import REQUIREMENTS, Missing, Peers, own
from report import section

COMMAND = "python benchmarks/peers.py"
CACHE = Path(__file__).resolve().parent / ".cache" / "peers"
SETS = {"large": ("photos of 2000 × 1500", 2000, 96), "small": ("pictures of 160 × 120", 160, 192)}
PROMPTS = [f"a photo of thing {i}" for i in range(37)]
ARCHIVE = 12_217
EXACT_ROWS = 200_000  # as the setting is
RECALL, BUILD_SECONDS = 0.98, 600
FAISS = (
    "Flat",
    "SQfp16",
    "IVF,SQfp16",
    "PQ256x4fs,Refine(SQfp16)",
    "IVF,PQ256x4fs,Refine(SQfp16)",
    "RaBitQfs,Refine(SQfp16)",
    "HNSW32,SQfp16",
)
LANCEDB = ("flat", "IVF_FLAT", "IVF_PQ", "IVF_RQ", "IVF_HNSW_SQ")
STARTS = 5
Answer = dict[str, Any]


@dataclass
class Run:
    """Where everything lies, the peers, and the rows of the part that is being measured."""

    folder: Path
    peers: Peers
    rows: list[list[str]] = field(default_factory=list)

    def place(self, name: str) -> Path:
        return self.folder / name

    def paths(self, of: str, count: int | None = None) -> list[str]:
        return [str(path) for path in sorted(self.place(of).glob("*.jpg"))][:count]

    def add(self, *cells: str) -> None:
        self.rows.append(list(cells))
        print(*cells, sep="\t", flush=True)

    def tried(self, name: str, work: Callable[[], Answer], width: int) -> Answer | None:
        """What a job says; a row with its error where it cannot."""
        try:
            return work()
        except Missing as error:
            self.add(name, *[""] * (width - 2), str(error).replace("|", "/"))
            return None

    def written(self, name: str, head: list[str], flags: str = "") -> None:
        note = f"{os.getloadavg()[1]:.1f} programs wanted to run meanwhile, this one included."
        section(f"peers-{name}", f"{COMMAND} --only {name}{flags}", head, self.rows, note)
        self.rows = []


def ratio(peer: Answer, ours: Answer) -> list[str]:
    """The peer's seconds over Sextant's, by the clock and by the processor."""
    return [f"{peer['seconds'] / ours['seconds']:.2f}", f"{peer['cpu'] / max(ours['cpu'], 1e-9):.2f}"]


def ready(run: Run) -> None:
    """The weights in every form, and the pictures."""
    run.folder.mkdir(parents=True, exist_ok=True)
    if not run.place("ck").is_dir():
        run.peers.run("open_clip", "weights", folder=run.place("ck"))
    if not (run.place("bundle") / "card.json").is_file():
        places = {"folder": run.place("bundle"), "fastembed": run.place("fe"), "rclip": run.place("rclip")}
        own("bundle", {}, checkpoint=run.place("ck"), **places)
    for name, (_, side, count) in SETS.items():
        own("pictures", {}, folder=run.place(name), count=count, side=side)
        own("pictures", {}, folder=run.place(f"{name}-few"), count=16, side=side)
    run.peers.settings = {"RCLIP_DATADIR": str(run.place("rclip")), "HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}


# pictures to vectors


def encode(run: Run) -> None:
    """Pictures a second, every program warm: beside Sextant as it comes, and beside it in their own precision."""
    ready(run)
    head = ["pictures", "program", "a second", "ratio by the clock", "by the processor", "target"]
    head += ["Sextant in fp32: by the clock", "by the processor", "remark"]
    for name, (title, _, _) in SETS.items():
        paths = run.paths(name)
        ours, plain = sextant_add(run, paths, "auto"), sextant_add(run, paths, "fp32")
        label = f"Sextant, as it comes: {ours['precision']}"
        run.add(title, label, rate(paths, ours), "1", "1", "", *ratio(ours, plain), "")
        run.add(title, "Sextant, fp32, every pixel", rate(paths, plain), *ratio(plain, ours), "", "1", "1", "")
        for peer, work in encoders(run, name, paths).items():
            shutil.rmtree(run.place("clip-retrieval"), ignore_errors=True)
            (run.place("rclip") / "timed.sqlite3").unlink(missing_ok=True)
            target = "≥ 2" if peer in ("the documents' loop", "open_clip") else "≥ 1"
            if found := run.tried(f"{title} | {peer}", work, 8):
                label = peer if peer not in REQUIREMENTS else f"{peer} {run.peers.version(peer)}"
                beside = [*ratio(found, ours), target, *ratio(found, plain), same(plain, found)]
                run.add(title, f"{label}, fp32", rate(paths, found), *beside)
    run.written("encode", head)


def encoders(run: Run, name: str, paths: list[str]) -> dict[str, Callable[[], Answer]]:
    """What turns the pictures of a set into vectors, by program."""
    few, whole, ck, scratch = run.place(f"{name}-few"), run.place(name), run.place("ck"), run.place("clip-retrieval")
    texts = {"paths": paths, "prompts": PROMPTS}
    folders = {"folder": whole, "few": few, "scratch": scratch, "checkpoint": ck, "count": len(paths)}
    return {
        "the documents' loop": lambda: own("loop", {}, **texts, folder=run.place("bundle")),
        "open_clip": lambda: run.peers.run("open_clip", "open_clip", **texts, checkpoint=ck),
        "clip-retrieval": lambda: run.peers.run("clip-retrieval", "clip-retrieval", **folders),
        "fastembed": lambda: run.peers.run("fastembed", "fastembed", paths=paths, folder=run.place("fe")),
        "rclip": lambda: run.peers.run("rclip", "rclip", folder=whole, few=few),
    }


def rate(paths: list[str], found: Answer) -> str:
    return f"{len(paths) / found['seconds']:.1f}"


def sextant_add(run: Run, paths: list[str], precision: str) -> Answer:
    return own("add", {}, paths=paths, folder=run.place("bundle"), precision=precision, place=run.folder)


def same(ours: Answer, theirs: Answer) -> str:
    """How alike the vectors of the first pictures are, Sextant's in fp32, their mean taken off."""
    if "vectors" not in theirs:
        return ""
    a, b = np.array(ours["vectors"]), np.array(theirs["vectors"])
    a, b = a - a.mean(axis=0), b / np.linalg.norm(b, axis=1, keepdims=True) - a.mean(axis=0)
    cosine = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return f"cosine of vectors {cosine.mean():.4f}"


# columns


def columns(run: Run) -> None:
    """Columns a second: eight more on a collection that has some."""
    ready(run)
    paths = run.paths("small")
    again = own("loop", {}, paths=paths, folder=run.place("bundle"), prompts=PROMPTS[:8])
    whole = {key: again[key] * ARCHIVE / len(paths) for key in ("seconds", "cpu")}
    ours = own("columns", {}, folder=run.place("bundle"), images=ARCHIVE, place=run.folder)
    spent = {"seconds": ours["tag"], "cpu": ours["cpu"]}
    title = f"8 more columns of {ARCHIVE:,} images, CLIP ViT-B/32"
    run.add(title, "Sextant, `tag`, from cached vectors", f"{8 / spent['seconds']:.1f}", "1", "1", "")
    run.add(title, f"the documents' loop, from {len(paths)} images", f"{8 / whole['seconds']:.4f}",
            *[f"{float(r):,.0f}" for r in ratio(whole, spent)], "≥ 100")  # fmt: skip
    demo = own("demo", {}, place=run.folder, count=600)
    share = ARCHIVE / demo["count"]
    title = f"8 more columns of {demo['count']:,} drawn pictures, mini"
    run.add(title, "Sextant, `tag`, from cached vectors", f"{8 / demo['tag']:.1f}", "1", "", "")
    run.add(title, "the documents' loop", f"{8 / demo['seconds']:.2f}", f"{demo['seconds'] / demo['tag']:,.0f}", "",
            f"grows with the images: {share:.0f} times as many in the archive")  # fmt: skip
    run.written("columns", ["job", "program", "columns a second", "ratio by the clock", "by the processor", "target"])


# search


def search(run: Run, sizes: list[int]) -> None:
    """Milliseconds a search at equal recall."""
    run.folder.mkdir(parents=True, exist_ok=True)
    for n in sizes:
        files = {name: str(run.place(f"{name}-{n}.npy")) for name in ("vectors", "queries", "exact")}
        own("made", {}, **files, count=n)
        scratch = run.place(f"search-{n}")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        jobs = searches(run, files, scratch)
        ways = {"Sextant, every image compared": "compared"} if n <= EXACT_ROWS else {}
        ours: Answer | None = None
        for name, job in {**ways, "Sextant, `index`": "indexed"}.items():
            found = own(job, {}, **files, scratch=scratch)
            ours = ours or found  # what a collection of this size does unless told otherwise
            run.add(f"{n:,}", name, *figures(found, ours))
        assert ours is not None
        for peer, work in jobs.items():
            if found_there := run.tried(f"{n:,} | {peer}", work, 8):
                run.add(f"{n:,}", peer, *figures(found_there, ours))
        shutil.rmtree(scratch, ignore_errors=True)
    head = ["512 wide", "program", "recall@10 of phrases", "of evidence", "ms a search"]
    head += ["ratio by the clock", "by the processor", "made in", "setting"]
    run.written("search", head, " --million" if len(sizes) > 2 else "")


def searches(run: Run, files: dict[str, str], scratch: Path) -> dict[str, Callable[[], Answer]]:
    """What finds the nearest of the vectors in these files, each with every setting that it has, by peer."""
    jobs: dict[str, Callable[[], Answer]] = {}
    for kind in FAISS:
        given = {**files, "kind": kind, "least": RECALL, "seconds": BUILD_SECONDS}
        jobs[f"faiss, {kind}"] = lambda given=given: own("faiss", {}, **given)
    for kind in LANCEDB:
        more = {**files, "scratch": f"{scratch}/lancedb", "kind": kind, "least": RECALL, "seconds": BUILD_SECONDS}
        jobs[f"LanceDB, {kind}"] = lambda more=more: run.peers.run("lancedb", "lancedb", **more)
    return jobs


def figures(found: Answer, ours: Answer) -> list[str]:
    recalls = [f"{value:.3f}" for value in found["recalls"]]
    return [*recalls, f"{1e3 * found['seconds']:.2f}", *ratio(found, ours), f"{found['build']:.0f} s",
            str(found["setting"])]  # fmt: skip


# near-duplicates, calibration, start


def duplicates(run: Run) -> None:
    """Seconds to find near-duplicates among the vectors of the documents' archive."""
    run.folder.mkdir(parents=True, exist_ok=True)
    given = {"vectors": str(run.place("near.npy")), "count": ARCHIVE, "threshold": 0.98}
    own("near", {}, **given, way="sextant")
    ours = own("near", {}, **given, way="sextant")
    run.add("Sextant, groups", f"{ours['seconds']:.2f}", "1", "1", f"{ours['found']:,}")
    jobs: dict[str, Callable[[], Answer]] = {
        "faiss, range search of a flat index": lambda: own("near", {}, **given, way="faiss"),
        "the documents' product of all pairs": lambda: own("near", {}, **given, way="documents"),
        "imagededup, `CNN.find_duplicates`": lambda: run.peers.run(
            "imagededup", "imagededup", vectors=given["vectors"], threshold=0.98
        ),
    }
    for peer, work in jobs.items():
        if found := run.tried(peer, work, 5):
            run.add(peer, f"{found['seconds']:.2f}", *ratio(found, ours), f"{found['found']:,}")
    head = [f"near-duplicates of {ARCHIVE:,} vectors at .98", "seconds", "ratio by the clock", "by the processor"]
    run.written("duplicates", [*head, "images with one"])


def calibration(run: Run) -> None:
    """Seconds to calibrate, and what the confidences are worth on images without a label."""
    run.folder.mkdir(parents=True, exist_ok=True)
    found = own("calibration", {}, place=run.folder, count=600, labels=25)
    before, none = found["before"], ["", ""]
    run.add("no label at all", *none, *none, *none, f"{before['ece']:.4f}", f"{before['brier']:.4f}", "")
    guided, bare = "reads, judges and writes nothing", "nothing but the curve: compare it with the fit alone"
    titles = {
        "sextant": ("Sextant, `calibrate` and a new view", "reads, judges with intervals, commits"),
        "fit": ("Sextant, the fit alone", "arrays to curves, checked on labels left out"),
        "sigmoid": ("scikit-learn, `CalibratedClassifierCV`, sigmoid", guided),
        "isotonic": ("scikit-learn, `CalibratedClassifierCV`, isotonic", guided),
        "LogisticRegression": ("scikit-learn, `LogisticRegression`", bare),
        "IsotonicRegression": ("scikit-learn, `IsotonicRegression`", bare),
    }
    for way, (title, remark) in titles.items():
        one = found[way]
        took = [f"{1e3 * one['seconds']:.0f}", f"{1e3 * one['fitting']:.0f}"]
        ratios = [*ratio(one, found["sextant"]), *ratio(one, found["fit"])]
        run.add(title, *took, *ratios, f"{one['ece']:.4f}", f"{one['brier']:.4f}", remark)
    if said := run.tried("cleanlab", lambda: run.peers.run("cleanlab", "cleanlab", given="logits and labels"), 10):
        modules = ", ".join(said["modules"]) or "no module of it calibrates; it looks for wrong labels"
        run.add(f"cleanlab {run.peers.version('cleanlab')}", *[""] * 8, modules)
    head = [f"{found['columns']} columns by 25 labels each, judged on {found['images']:,} images", "ms", "of them fits"]
    by = ["by the clock", "by the processor"]
    head += [f"ratio to {whom} {how}" for whom in ("`calibrate`", "the fit alone") for how in by]
    run.written("calibration", [*head, "ECE", "Brier", "remark"])


def start(run: Run) -> None:
    """Seconds from the command to the first answer, pictures embedded before where the program can keep vectors."""
    import sextant

    ready(run)
    home = run.place("started")
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(run.place("small"), home)
    with sextant.open(home, create=True, model=str(run.place("bundle")), device="cpu") as collection:
        collection.add(home)
    # What pip installs is compiled: so is this tree here, whatever the environment says, and the first run does it.
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(run.place("compiled"))}
    env = {**os.environ, **run.peers.settings, **compiled}
    python = run.peers.python
    ours = [sys.executable, "-m", "sextant", "search", "thing one"]
    commands: dict[str, Callable[[], list[str]]] = {
        "Sextant, `search`": lambda: ours,
        "rclip, `-n`": lambda: [str(python("rclip").parent / "rclip"), "-n", "thing one"],
        "`import sextant`": lambda: [sys.executable, "-c", "import sextant"],
        "`import rclip.main`": lambda: [str(python("rclip")), "-c", "import rclip.main"],
        "`import fastembed`": lambda: [str(python("fastembed")), "-c", "import fastembed"],
        "`import lancedb`": lambda: [str(python("lancedb")), "-c", "import lancedb"],
    }
    base: dict[str, Answer] = {}
    for name, make in commands.items():
        first = "import" if "import" in name else "search"

        def work(make: Callable[[], list[str]] = make) -> Answer:
            command = make()
            if command[0].endswith("rclip"):
                launched([command[0], "thing one"], home, env)
            return best_of(command, home, env)

        if found := run.tried(name, work, 5):
            base.setdefault(first, found)
            run.add(name, f"{found['seconds']:.2f}", f"{found['cpu']:.2f}", *ratio(found, base[first]))
    head = ["from the command to the answer", "seconds", "of the processor", "ratio by the clock", "by the processor"]
    run.written("start", head)


def launched(command: list[str], home: Path, env: dict[str, str]) -> Answer:
    """One run of a command; raises `Missing` where it fails."""
    begun, used = time.perf_counter(), sum(os.times()[2:4])
    done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"does not run: {done.stderr.strip().splitlines()[-1][:300]}")
    return {"seconds": time.perf_counter() - begun, "cpu": sum(os.times()[2:4]) - used}


def best_of(command: list[str], home: Path, env: dict[str, str]) -> Answer:
    """The median of some runs, after one that fills the caches."""
    launched(command, home, env)
    runs = [launched(command, home, env) for _ in range(STARTS)]
    return {key: float(np.median([one[key] for one in runs])) for key in ("seconds", "cpu")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", type=Path, default=CACHE / "env", help="where the peers' environments are, or go")
    parser.add_argument(
        "--work", type=Path, default=CACHE / "work", help="pictures, weights and vectors: 3 GB and more"
    )
    parser.add_argument("--only", default="encode,columns,search,duplicates,calibration,start")
    parser.add_argument("--million", action="store_true", help="search 1,000,000 vectors too: about an hour, 10 GB")
    chosen = parser.parse_args()
    run = Run(chosen.work.absolute(), Peers(chosen.env.absolute()))
    sizes = [ARCHIVE, 100_000, *([1_000_000] if chosen.million else [])]
    parts: dict[str, Callable[[], None]] = {
        "encode": lambda: encode(run),
        "columns": lambda: columns(run),
        "search": lambda: search(run, sizes),
        "duplicates": lambda: duplicates(run),
        "calibration": lambda: calibration(run),
        "start": lambda: start(run),
    }
    for name in chosen.only.split(","):
        if name not in parts:
            raise SystemExit(f"there is no part {name}: {', '.join(parts)}")
        try:
            parts[name]()
        except Missing as error:  # what all of a part stands on: real vectors, the extra `train`
            print(f"{name} was left out: {error}", file=sys.stderr)
            run.rows = []


if __name__ == "__main__":
    main()
