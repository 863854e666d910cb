"""What the profiling passes were worth: an older commit and this tree, in turns.

    python benchmarks/before.py [--write] [--before COMMIT] [--turns 5] [--images 100000]

Both do the same steps on collections of their own, each time in a process of its own, and take turns, so that whatever
else the machine does strikes both. Told are seconds of the processor, user and system, of all threads: of a command
from its start to its end, of a call within the library, the middle one of the turns. `--before COMMIT` takes another
commit than the one where profiling began; its files come from `git archive`, so a clone with its history is needed.
A hundred thousand images need a gigabyte of room.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from columns import ATTRIBUTES, DIM, MODEL, vocabulary
from growth import cached, labelled
from report import section

import sextant
from sextant.manifest import Manifest, write

ROOT = Path(__file__).resolve().parent.parent
BEGAN = "32b51bf"
TURNS = 5
PICTURES, FEW, IMAGES = 120, 10_000, 100_000
WARM = 20
PORT, PATIENCE = 8_941, 120
COMMANDS = {
    "search": ("a phrase that was asked before", ["search", "an astronaut"]),
    "query": ("a rule", ["query", "moon >= 0.5"]),
    "info": ("", ["info"]),
    "serve": ("to its first page", ["serve", "--port", str(PORT)]),
    "add": ("into a new collection, with `mini`", ["add", "../drawn", "-C", "../added", "--model", "mini"]),
}
CALLS = {
    "few": f"import of {FEW:,} vectors",
    "many": "import of all vectors",
    "tag": f"{ATTRIBUTES} columns",
    "column": "one more column",
    "query": "query, the first of a process",
    "search": "search, every image compared, the first of a process",
    "warm": f"the same, each of {WARM} more in the process",
    "index": f"search by the index, each of {WARM} in a process",
    "similar": f"`similar` to a picture, each of {WARM} in a process",
    "calibrate": f"calibrate {ATTRIBUTES} columns by 25 labels each, the first of a process",
    "again": "the same once more, with labels that are new",
}
MADE = {
    **{"tag": "many", "column": "tagged", "query": "tagged", "search": "tagged", "warm": "tagged", "similar": "tagged"},
    **{"index": "indexed", "calibrate": "labelled", "again": "labelled"},
}


# in a process of its own, with the library of either side


def beforehand(collection: Any, step: str) -> None:
    """What a step needs to be warm and its time does not count."""
    if step in ("warm", "index"):
        collection.search("thing 3")
    elif step == "similar":
        collection.similar(collection.view([]).paths[0].as_py())
    elif step == "again":
        collection.calibrate()
        labelled(collection)


def done(collection: Any, step: str, home: Path) -> int:
    """Does a step, and says how many times."""
    if step in ("few", "many"):
        collection.import_vectors(home.parent / f"{step}.npy", ids=home.parent / f"{step}.txt")
    elif step in ("tag", "tagged", "column"):
        collection.tag(home.parent / ("more.yaml" if step == "column" else "words.yaml"))
    elif step == "labelled":
        labelled(collection)
    elif step == "indexed":
        collection.index()
    elif step == "query":
        collection.query("thing_1 >= 0.5 and not thing_2", limit=100)
    elif step == "search":
        collection.search("thing 3")
    elif step in ("warm", "index"):
        for i in range(WARM):
            collection.search(f"thing {i + 100}")
        return WARM
    elif step == "similar":
        for path in collection.view([]).paths[1 : WARM + 1].to_pylist():
            collection.similar(path)
        return WARM
    else:
        collection.calibrate()
    return 1


def call(step: str, folder: Path) -> float:
    """Seconds of the processor that a step takes within the library, in this process."""
    if step in ("few", "many"):
        write(folder, Manifest(model=MODEL, encoder="hash@1", dim=DIM, logit_scale=100.0))
    with sextant.open(folder) as collection:
        beforehand(collection, step)
        used = time.process_time()
        times = done(collection, step, folder.parent)
        return (time.process_time() - used) / times


# both sides


class Side:
    """A tree of sources, and the collections that it made for itself."""

    def __init__(self, name: str, sources: Path, within: Path) -> None:
        self.name, self.within, self.home = name, within, within / name
        self.home.mkdir()
        compiled = {"PYTHONPYCACHEPREFIX": str(self.home / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}
        self.env = {**os.environ, "PYTHONPATH": str(sources), "XDG_CONFIG_HOME": str(self.home), **compiled}

    def ran(self, command: Sequence[str], cwd: Path, **more: str) -> str:
        """What a command prints."""
        whole = [sys.executable, "-W", "ignore", *command]
        done = subprocess.run(whole, cwd=cwd, env=self.env | more, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{self.name}: {' '.join(whole)} failed:\n{done.stderr[-2_000:]}")
        return done.stdout

    def called(self, step: str, folder: Path) -> float:
        words = [__file__, "--step", step, "--folder", str(folder)]
        few = {"SEXTANT_EXACT_ROWS": "1000"} if step == "index" else {}
        return float(self.ran(words, self.home, SEXTANT_MODEL=MODEL, **few))

    def prepare(self) -> None:
        """The collections that steps begin from."""
        self.ran(["-m", "sextant", "demo", "--images", str(PICTURES), "--dir", "drawn"], self.home)
        self.ran(["-m", "sextant", "search", "an astronaut"], self.home / "drawn")
        (self.home / "many").mkdir()
        self.called("many", self.home / "many")
        for step, of in (("tagged", "many"), ("labelled", "tagged"), ("indexed", "many")):
            copied(self.home / of, self.home / step)
            self.called(step, self.home / step)

    def command(self, name: str) -> float:
        """Seconds of the processor that a command takes, on the drawn collection."""
        shutil.rmtree(self.home / "added", ignore_errors=True)
        used = spent()
        if name == "serve":
            self.served(COMMANDS[name][1], self.home / "drawn")
        else:
            self.ran(["-m", "sextant", *COMMANDS[name][1]], self.home / "drawn")
        return spent() - used

    def served(self, words: Sequence[str], cwd: Path) -> None:
        whole = [sys.executable, "-W", "ignore", "-m", "sextant", *words]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(whole, cwd=cwd, env=self.env, **quiet) as run:
            try:
                awaited(f"http://127.0.0.1:{PORT}/", run)
            finally:
                run.terminate()

    def step(self, name: str) -> float:
        """A call of the library, on a copy of the collection that it begins from."""
        folder = self.home / "now"
        shutil.rmtree(folder, ignore_errors=True)
        if name in MADE:
            copied(self.home / MADE[name], folder)
        else:
            folder.mkdir()
        return self.called(name, folder)


def copied(of: Path, to: Path) -> None:
    """A copy of a collection; files of a table are never written again, so they are the same ones."""

    def copy(source: str, target: str) -> None:
        (os.link if ".lance/" in source else shutil.copy2)(source, target)

    shutil.copytree(of, to, copy_function=copy)


def spent() -> float:
    """Seconds of the processor of all processes that this one started and that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def awaited(address: str, run: subprocess.Popen[bytes]) -> None:
    """Waits for a server's first page."""
    for _ in range(PATIENCE * 20):
        if run.poll() is not None:
            raise SystemExit(f"the server ended with {run.returncode}")
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
                answer.read()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"no page from {address} within {PATIENCE} s")


def sources(commit: str, folder: Path) -> Path:
    """The sources of a commit, laid out in a folder."""
    found = subprocess.run(["git", "archive", commit, "src"], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(found)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "src"


def compared(sides: Sequence[Side], turns: int) -> list[list[str]]:
    rows = []
    named = {f"`sextant {name}`{', ' * bool(what)}{what}": ("command", name) for name, (what, _) in COMMANDS.items()}
    named |= {what: ("step", name) for name, what in CALLS.items()}
    for what, (kind, name) in named.items():
        found: dict[str, list[float]] = {side.name: [] for side in sides}
        for turn in range(turns):
            for side in sides if turn % 2 else sides[::-1]:
                found[side.name].append(getattr(side, kind)(name))
        before, now = (statistics.median(found[side.name]) for side in sides)
        rows.append([what, *(f"{s:.2f}" if s >= 0.1 else f"{s:.4f}" for s in (before, now)), f"{before / now:.2f}"])
        print(*rows[-1], sep="\t", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", default=BEGAN, help="the commit to compare with")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--images", type=int, default=IMAGES, help="of the calls; the commands have a few drawn ones")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step:
        print(call(chosen.step, chosen.folder))
        return
    with tempfile.TemporaryDirectory() as name:
        within = Path(name)
        for what, count in (("few", FEW), ("many", chosen.images)):
            cached(within, what, count, seed=1)
        for what, count in (("words", ATTRIBUTES), ("more", ATTRIBUTES + 1)):
            (within / f"{what}.yaml").write_text(vocabulary(count), encoding="utf-8")
        sides = [
            Side("before", sources(chosen.before, within / "older"), within),
            Side("now", ROOT / "src", within),
        ]
        for side in sides:
            side.prepare()
        rows = compared(sides, chosen.turns)
    if chosen.write:
        head = [f"{PICTURES} drawn pictures; then {chosen.images:,} vectors", "before, s of the processor", "now, s"]
        note = f"Before is commit {chosen.before}. {os.getloadavg()[1]:.1f} programs wanted to run meanwhile."
        section("before", "python benchmarks/before.py --write", [*head, "before / now"], rows, note)


if __name__ == "__main__":
    main()
