"""What the profiling passes were worth: an older commit and this tree, in turns.

    python benchmarks/before.py [--write] [--before COMMIT] [--turns 5]

Both do the same steps on collections of their own, each time in a process of its own, and take turns, so that whatever
else the machine does strikes both. Told are the seconds of the processor, user and system, of the whole process with
its children: the middle one of `--turns`. `--before COMMIT` takes another commit than the one where profiling began;
its files come from `git archive`, so a clone with its history is needed, and a gigabyte of room.
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

from columns import ATTRIBUTES, DIM, MODEL, vocabulary
from growth import cached, labelled
from report import section

import sextant
from sextant.manifest import Manifest, write

ROOT = Path(__file__).resolve().parent.parent
BEGAN = "32b51bf"
TURNS = 5
PICTURES, FEW, MANY = 120, 10_000, 100_000
PORT, PATIENCE = 8_941, 120
COMMANDS = {
    "search": ("a phrase that was asked before, in a drawn collection", ["search", "an astronaut"]),
    "query": ("a rule, in a drawn collection", ["query", "moon >= 0.5"]),
    "serve": ("to its first page, of a drawn collection", ["serve", "--port", str(PORT)]),
    "add": ("drawn pictures, with `mini`", ["add", "../drawn", "-C", "../added", "--model", "mini"]),
}
CALLS = {
    "few": f"import of {FEW:,} vectors",
    "many": f"import of {MANY:,} vectors",
    "tag": f"{ATTRIBUTES} columns of {MANY:,} images",
    "query": f"query of {MANY:,} images",
    "search": f"search of {MANY:,} images, exactly",
    "calibrate": f"calibrate {ATTRIBUTES} columns of {MANY:,} images by 25 labels each",
}
MADE = {"tag": "many", "query": "tagged", "search": "tagged", "calibrate": "labelled"}


# in a process of its own, with the library of either side


def call(step: str, folder: Path) -> None:
    """One step through the library, or what has to be there before it."""
    if step in ("few", "many"):
        write(folder, Manifest(model=MODEL, encoder="hash@1", dim=DIM, logit_scale=100.0))
    with sextant.open(folder) as collection:
        if step in ("few", "many"):
            collection.import_vectors(folder.parent / f"{step}.npy", ids=folder.parent / f"{step}.txt")
        elif step in ("tag", "tagged"):
            collection.tag(folder.parent / "words.yaml")
        elif step == "labelled":
            labelled(collection)
        elif step == "query":
            collection.query("thing_1 >= 0.5 and not thing_2", limit=100)
        elif step == "search":
            collection.search("thing 3")
        else:
            collection.calibrate()


# both sides


class Side:
    """A tree of sources, and the collections that it made for itself."""

    def __init__(self, name: str, sources: Path, within: Path) -> None:
        self.name, self.home = name, within / name
        self.home.mkdir()
        trusted = {"SEXTANT_MODEL": MODEL, "XDG_CONFIG_HOME": str(self.home)}
        compiled = {"PYTHONPYCACHEPREFIX": str(self.home / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}
        self.env = {**os.environ, "PYTHONPATH": str(sources), **compiled, **trusted}
        self.plain = {k: v for k, v in self.env.items() if k != "SEXTANT_MODEL"}

    def ran(self, command: Sequence[str], cwd: Path, env: dict[str, str]) -> float:
        """Seconds of the processor that a command takes."""
        used = spent()
        done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{self.name}: {' '.join(command)} failed:\n{done.stderr[-2_000:]}")
        return spent() - used

    def sextant(self, *words: str, cwd: Path) -> float:
        return self.ran([sys.executable, "-W", "ignore", "-m", "sextant", *words], cwd, self.plain)

    def called(self, step: str, folder: Path) -> float:
        words = [sys.executable, "-W", "ignore", __file__, "--step", step, "--folder", str(folder)]
        return self.ran(words, self.home, self.env)

    def prepare(self) -> None:
        """The collections that steps begin from."""
        self.sextant("demo", "--images", str(PICTURES), "--dir", "drawn", cwd=self.home)
        self.sextant("search", "an astronaut", cwd=self.home / "drawn")
        for step in ("few", "many"):
            cached(self.home, step, FEW if step == "few" else MANY, seed=1)
        (self.home / "words.yaml").write_text(vocabulary(ATTRIBUTES), encoding="utf-8")
        (self.home / "many").mkdir()
        self.called("many", self.home / "many")
        for step, of in (("tagged", "many"), ("labelled", "tagged")):
            shutil.copytree(self.home / of, self.home / step)
            self.called(step, self.home / step)

    def command(self, name: str) -> float:
        """A verb from the command line, on the drawn collection."""
        drawn = self.home / "drawn"
        if name == "serve":
            return self.served(COMMANDS[name][1], drawn)
        shutil.rmtree(self.home / "added", ignore_errors=True)
        return self.sextant(*COMMANDS[name][1], cwd=drawn)

    def served(self, words: Sequence[str], cwd: Path) -> float:
        used = spent()
        whole = [sys.executable, "-W", "ignore", "-m", "sextant", *words]
        with subprocess.Popen(whole, cwd=cwd, env=self.plain, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
            try:
                awaited(f"http://127.0.0.1:{PORT}/", run)
            finally:
                run.terminate()
                run.communicate()
        return spent() - used

    def step(self, name: str) -> float:
        """A call of the library, on a copy of the collection that it begins from."""
        folder = self.home / "now"
        shutil.rmtree(folder, ignore_errors=True)
        if name in MADE:
            shutil.copytree(self.home / MADE[name], folder)
        else:
            folder.mkdir()
        return self.called(name, folder)


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
    named = {f"`sextant {name}`, {what}": ("command", name) for name, (what, _) in COMMANDS.items()}
    named |= {what: ("step", name) for name, what in CALLS.items()}
    for what, (kind, name) in named.items():
        found: dict[str, list[float]] = {side.name: [] for side in sides}
        for turn in range(turns):
            for side in sides if turn % 2 else sides[::-1]:
                found[side.name].append(getattr(side, kind)(name))
        before, now = (statistics.median(found[side.name]) for side in sides)
        rows.append([what, f"{before:.2f}", f"{now:.2f}", f"{before / now:.2f}"])
        print(*rows[-1], sep="\t", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", default=BEGAN, help="the commit to compare with")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step:
        call(chosen.step, chosen.folder)
        return
    with tempfile.TemporaryDirectory() as name:
        within = Path(name)
        sides = [
            Side("before", sources(chosen.before, within / "older"), within),
            Side("now", ROOT / "src", within),
        ]
        for side in sides:
            side.prepare()
        rows = compared(sides, chosen.turns)
    if chosen.write:
        head = [f"seconds of the processor, whole process; {PICTURES} drawn pictures", "before", "now", "before / now"]
        note = f"Before is commit {chosen.before}. {os.getloadavg()[1]:.1f} programs wanted to run meanwhile."
        section("before", "python benchmarks/before.py --write", head, rows, note)


if __name__ == "__main__":
    main()
