"""Restarts the PostgreSQL that holds a collection's words, in the middle of real work, and looks at what came of it.

    python benchmarks/restarts.py                      # every verb
    python benchmarks/restarts.py --write              # and the table into docs/reliability.md
    python benchmarks/restarts.py Add Tag --restarts 4

The server is one of the tests' own (Debian's PostgreSQL on loopback). The work is that of `faults.py`, in a real
process, with the catalog in PostgreSQL. At a moment that is drawn evenly over the processor's time of an undisturbed
run the server is stopped, in turns with `fast`, `immediate` and by killing all its processes, and started again:

- briefly: at once. The run has to go on, or to end with one of Sextant's own errors that says "same command again";
- long: after the run has stopped waiting for it (SECONDS, shortened from the 15 of real life). The same holds.

Then, as after a kill: the collection can be used, everything that was acknowledged is there, the same work done again
is restarted under twice more and at last left alone, and ends in the same rows as a run that nobody disturbed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from faults import WORKS, Asking
from faults_forker import Ended, Forker
from faults_state import digest, rows_of, usable
from faults_work import Served, Work, told_of
from report import RELIABILITY, section

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from servers import Postgres

VERBS = ("Add", "Tag", "Calibrate", "Feedback", "Served", "Curate", "Tidy", "Use")
RESTARTS, IN_A_ROW = 12, 3
WAYS = ("fast", "immediate", "killed")
SECONDS = 1.0
"""So long a run waits for a server in a long restart."""
HEAD = ["what goes on meanwhile", "restarts", "of them long", "went on by themselves", "ended in a message",
        "calls acknowledged", "lost", "unexpected errors", "unreadable", "another state in the end"]  # fmt: skip


@dataclass
class Outcome:
    """What a campaign over one verb came to."""

    restarts: int = 0
    long: int = 0
    went_on: int = 0
    messages: list[str] = field(default_factory=list)
    told: int = 0
    lost: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        """Everything that should not have been."""
        return [*self.lost, *self.unexpected, *self.unreadable, *self.differing]

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(**{name: mine + getattr(other, name) for name, mine in vars(self).items()})


class Server(Postgres):
    """A PostgreSQL whose database `photos` can be put back to what was prepared."""

    def __init__(self) -> None:
        super().__init__()
        self.photos = self.url.replace("/postgres", "/photos")
        self._run_sql("CREATE DATABASE photos")

    def keep(self) -> None:
        """What is in it now is what every run begins with."""
        self._run_sql(
            "DROP DATABASE IF EXISTS prepared WITH (FORCE)",
            "SELECT pg_terminate_backend(pid, 9000) FROM pg_stat_activity WHERE datname = 'photos'",
            "ALTER DATABASE photos RENAME TO prepared",
        )

    def again(self, template: str = "prepared") -> None:
        """An empty database, or what was kept.

        Without the checkpoint a crash would turn the copy's sequences back: the values that PostgreSQL wrote down
        ahead stand in the log of the original.
        """
        drop = "DROP DATABASE IF EXISTS photos WITH (FORCE)"
        self._run_sql(drop, f"CREATE DATABASE photos TEMPLATE {template}", "CHECKPOINT")

    def away(self, way: str) -> None:
        """Stops it, or kills every process of it and waits until they are gone."""
        if way != "killed":
            self.stop(way)
            return
        first = int((self.home / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(first, signal.SIGSTOP)  # so that it has no more children
        processes = [first, *map(int, Path(f"/proc/{first}/task/{first}/children").read_text().split())]
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        while any(_lives(process) for process in processes):
            time.sleep(0.01)
        (self.home / "data" / "postmaster.pid").unlink(missing_ok=True)  # a zombie would still count as a server

    def _run_sql(self, *statements: str) -> None:
        engine = sa.create_engine(self.url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.pool.NullPool)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Campaign:
    """All restarts under one verb."""

    def __init__(self, name: str, forker: Forker, server: Server, scratch: Path, seed: int) -> None:
        self.name, self.forker, self.server, self.scratch, self.seed = name, forker, server, scratch, seed
        self.work, self.found, self.random = WORKS[name](), Outcome(), random.Random(f"{name} {seed}")
        self.folder = scratch / "run" / "c"  # always the same: a lock is called by it
        self.folder.mkdir(parents=True)
        server.again("template0")
        self.work.prepare(self.folder)
        shutil.copytree(self.folder.parent, scratch / "template")
        server.keep()
        self.begin()
        begun = self.rest()
        self.seconds = begun
        self.wanted = self.rows()

    def begin(self) -> None:
        """The prepared collection, in both places."""
        shutil.rmtree(self.folder.parent)
        shutil.copytree(self.scratch / "template", self.folder.parent)
        self.server.again()

    def run(self, restarts: int) -> Outcome:
        """Restarts the server so often."""
        rounds = 0
        while self.found.restarts < restarts:
            self.begin()
            self.round(min(IN_A_ROW, restarts - self.found.restarts))
            rounds += 1
            if rounds > 20 * restarts:
                raise RuntimeError(f"{self.name} is done before the server can be stopped")
        return self.found

    def round(self, most: int) -> None:
        """Up to `most` restarts under the same work, a look after each, then the work left alone."""
        asked = Asking(self.folder, self.work) if isinstance(self.work, Served) else None
        for turn in range(most):
            moment = self.random.uniform(0.0, 1.0 if turn == 0 else self.random.choice((0.3, 1.0))) * self.seconds
            way, long = WAYS[self.found.restarts % len(WAYS)], bool(self.random.randrange(2))
            stopped, ended = self.under(moment, way, long=long, asked=asked)
            if not stopped:
                break
            self.found.restarts += 1
            self.found.long += long
            self.judge(ended, way)
            if asked is not None:
                asked.pause()
            self.look(self.told(asked))
        if asked is None:
            self.rest()
        else:
            asked.rest(self.forker, self.name)
            asked.stop()
            refused = [status for status in asked.refused if status != 503]
            self.found.unexpected += [f"an answer {status}" for status in refused]
        self.end(self.told(asked))

    def under(self, moment: float, way: str, *, long: bool, asked: Asking | None) -> tuple[bool, Ended]:
        """The work, with the server away from a moment on; whether it came to that before the work was done."""
        mark, ended = self.scratch / "mark", self.scratch / "done"
        mark.unlink(missing_ok=True)
        ended.unlink(missing_ok=True)
        stopped = threading.Event()

        def restart() -> None:
            while not mark.exists():
                if ended.exists():
                    return
                time.sleep(0.001)
            stopped.set()
            self.server.away(way)
            if long:
                time.sleep(2.5 * SECONDS)
            self.server.start()

        given: dict[str, Any] = {"mark": [moment, str(mark)], "patience": SECONDS if long else 15.0}
        if asked is not None:
            given["until"] = str(asked.enough)
        thread = threading.Thread(target=restart)
        thread.start()
        try:
            found = self.forker.end(self.name, self.folder, self.work.seconds, **given)
        finally:
            ended.touch()
            thread.join()
        return stopped.is_set(), found

    def judge(self, ended: Ended, way: str) -> None:
        """How the run ended: well, in a message that says what to do, or in what should not be."""
        if isinstance(self.work, Served):
            well = ended.killed  # by us, once everything was acknowledged: until then it must live
        else:
            well = not ended.killed and not ended.status
        if well:
            self.found.went_on += 1
        elif not ended.killed and ended.expected and "again" in ended.message:
            self.found.messages.append(ended.message)
        else:
            self.found.unexpected.append(f"{way}: {ended.error or ended.status}: {ended.message[:600]}")

    def told(self, asked: Asking | None) -> list[Any]:
        return told_of(self.folder / "told.jsonl") if asked is None else asked.acknowledged()

    def rest(self) -> float:
        """The work left alone: the processor's time it took."""
        if isinstance(self.work, Served):
            asked = Asking(self.folder, self.work)
            asked.rest(self.forker, self.name)
            asked.stop()
            return asked.spent
        try:
            return self.forker.run(self.name, self.folder, self.work.seconds).processor
        except RuntimeError as error:
            self.found.unreadable.append(f"the work cannot be done again: {error}")
            return 0.0

    def look(self, told: list[Any]) -> None:
        """Opens what a restart left."""
        try:
            if (self.folder / ".sextant" / "collection.json").exists():
                with self.work.open(self.folder) as photos:
                    usable(photos)
            if told:
                self.work.check(self.folder, told)
        except AssertionError as error:
            self.found.lost.append(str(error) or repr(error))
        except Exception as error:  # noqa: BLE001 – whatever it is, it is a finding
            self.found.unreadable.append(f"{type(error).__name__}: {error}")

    def end(self, told: list[Any]) -> None:
        """What differs from a run that nobody disturbed."""
        self.found.told += len(told)
        self.look(told)
        try:
            rows = self.rows()
        except Exception as error:  # noqa: BLE001 – as above
            self.found.unreadable.append(f"in the end: {type(error).__name__}: {error}")
            return
        wanted, found = digest(self.wanted), digest(rows)
        self.found.differing += [p for p in sorted(wanted.keys() | found.keys()) if wanted.get(p) != found.get(p)]

    def rows(self) -> dict[str, Any]:
        """What is there in the end."""
        self.work.finish(self.folder)
        with self.work.open(self.folder) as photos:
            return rows_of(photos)


def line(work: Work, found: Outcome) -> list[str]:
    """A row of the table."""
    counts = [found.restarts, found.long, found.went_on, len(found.messages), found.told]
    wrong = [found.lost, found.unexpected, found.unreadable, found.differing]
    return [work.verb, *(f"{n:,}" for n in counts), *(str(len(kind)) for kind in wrong)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verbs", nargs="*", help=", ".join(VERBS))
    parser.add_argument("--restarts", type=int, default=RESTARTS, help="restarts a verb")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    chosen = parser.parse_args(arguments)
    if reason := Postgres.reason():
        parser.error(reason)
    server = Server()
    os.environ["SEXTANT_CATALOG"] = server.photos  # of this process and of the workers
    forker, rows, whole = Forker(), [], Outcome()
    try:
        for name in chosen.verbs or VERBS:
            begun = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="restarts-") as scratch:
                found = Campaign(name, forker, server, Path(scratch), chosen.seed).run(chosen.restarts)
            rows.append(line(WORKS[name](), found))
            whole += found
            print(f"{name}: {' | '.join(rows[-1])}  ({time.monotonic() - begun:.0f} s)", flush=True)
            for what in dict.fromkeys([*found.messages, *found.wrong]):
                print(f"  {json.dumps(what)[:1500]}", flush=True)
    finally:
        forker.close()
        server.close()
    rows.append(["**all**", *line(Work(), whole)[1:]])
    print(" | ".join(rows[-1]))
    if chosen.write:
        note = f"Seed {chosen.seed}; in turns `fast`, `immediate` and every process of the server killed."
        section("restarts", "python benchmarks/restarts.py --write", HEAD, rows, note, page=RELIABILITY)
    return 1 if whole.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
