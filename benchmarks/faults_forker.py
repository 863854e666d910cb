"""A process that has everything imported, and forks a worker for each run: real work, in a real process, at once.

A worker writes what was acknowledged into `told.jsonl`, and how it ended, when it was not killed, into `ended.json`.
Conditions, such as a limit of open files or another user, hold for the worker alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FORKER = """
import json, os, resource, select, signal, sys, time, traceback
sys.path[:0] = [sys.argv[1]]
if "LD_PRELOAD" in os.environ:  # libfaketime cannot sleep until a moment of the monotonic clock, as Python does
    time.sleep = lambda seconds: select.select([], [], [], seconds) and None
import faults, lance, sextant.collection, sextant.images, sextant.models, sextant.web.app, sextant.web.server
import sextant.curate, sextant.finetune, sextant.indexing, sextant.crops, sextant.cli.adding, faiss, onnxruntime
import encodings, importlib, pkgutil, sextant.database
for package in (encodings, importlib):  # another user may not see where Python lies
    for module in pkgutil.iter_modules(package.__path__):
        if module.name not in ("cp65001", "mbcs", "oem"):
            importlib.import_module(f"{package.__name__}.{module.name}")
from pathlib import Path
from sextant.errors import SextantError

def worker(name, folder, logs, given):
    log = os.open(logs / "told.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    ended = os.open(logs / "ended.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    out = os.open(logs / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    def told(*what):
        os.write(log, (json.dumps(what[0] if len(what) == 1 else what) + "\\n").encode())
    if "uid" in given:
        os.setuid(given["uid"])
    if "files" in given:
        resource.setrlimit(resource.RLIMIT_NOFILE, (given["files"], given["files"]))
    if "patience" in given:
        sextant.database.RESTART_SECONDS = given["patience"]
    status = 0
    try:
        faults.WORKS[name]().work(folder, told)
    except SystemExit as end:
        status = end.code or 0
    except BaseException as error:
        status = 70
        kind = {"error": type(error).__name__, "expected": isinstance(error, SextantError), "message": str(error)}
        os.write(ended, json.dumps(kind).encode())
        traceback.print_exc()
    os._exit(status)

def spent(pid):
    try:
        return int(open(f"/proc/{pid}/schedstat").read().split()[0]) / 1e9
    except (OSError, IndexError):
        return 0.0

def all_of(pid):
    try:
        return sum(spent(f"{pid}/task/{t}") for t in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0.0

for line in sys.stdin:
    name, folder, logs, seconds, given = json.loads(line)
    budget, until, begun = given.pop("processor", None), given.pop("until", None), time.monotonic()
    reached, mark = given.pop("mark", (None, None))
    pid = os.fork()
    if not pid:
        os.setpgid(0, 0)
        worker(name, Path(folder), Path(logs), given)
    while (gone := os.wait4(pid, os.WNOHANG))[0] == 0 and time.monotonic() - begun < seconds:
        if until is not None and os.path.exists(until):
            break
        left = 0.1
        if budget is not None and (left := budget - all_of(pid)) <= 0:
            break
        if reached is not None and (left := reached - all_of(pid)) <= 0:
            open(mark, "w").close()
            reached = None
        time.sleep(min(0.05, max(0.002, left / 4)))
    took = time.monotonic() - begun
    if gone[0] == 0:
        os.kill(pid, signal.SIGKILL)
        gone = os.wait4(pid, 0)
    used = gone[2].ru_utime + gone[2].ru_stime
    print(json.dumps([os.WIFSIGNALED(gone[1]), os.waitstatus_to_exitcode(gone[1]), took, used]), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a worker ended: killed, or with a status; `error` is an exception, `expected` where it is one of ours."""

    killed: bool
    status: int
    seconds: float
    processor: float
    error: str = ""
    expected: bool = True
    message: str = ""


class Forker:
    """The process, with some more variables in its environment if wanted."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        path = os.pathsep.join([str(HERE.parent / "src"), str(HERE), str(HERE.parent / "tests")])
        given = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **(environment or {})}
        command = [sys.executable, "-W", "ignore", "-c", FORKER, str(HERE)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=given)

    def end(self, name: str, folder: Path, seconds: float, *, logs: Path | None = None, **given: Any) -> Ended:
        """Runs a verb's work for so many seconds at most; `logs` is where it writes what it says, else the folder.

        With `processor` it is killed when it has spent so many seconds of the processor, however busy the machine is;
        with `until` when that file is there. With `mark`, seconds and a file, that file is made when it has spent them.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        logs = logs or folder
        print(json.dumps([name, str(folder), str(logs), seconds, given]), file=self.process.stdin, flush=True)
        killed, status, took, used = json.loads(self.process.stdout.readline())
        said = (logs / "ended.json").read_text() if (logs / "ended.json").exists() and not killed else ""
        return Ended(killed, status, took, used, **(json.loads(said) if said else {}))

    def run(self, name: str, folder: Path, seconds: float, **given: Any) -> Ended:
        """The same. Raises RuntimeError where it ended by itself with a failure."""
        ended = self.end(name, folder, seconds, **given)
        if not ended.killed and ended.status:
            raise RuntimeError(f"status {ended.status}: {(folder / 'said.txt').read_text()[-2000:]}")
        return ended

    def close(self) -> None:
        """Ends it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)
