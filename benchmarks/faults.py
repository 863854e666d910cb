"""Kills real processes with SIGKILL at random moments, and looks at what is left.

    python benchmarks/faults.py                        # every verb, more than 600 kills
    python benchmarks/faults.py --write                # and the table into docs/reliability.md
    python benchmarks/faults.py Add Tag --kills 20     # some verbs, so many kills each
    python benchmarks/faults.py Add --seed 7
    python benchmarks/faults.py Add --keep FOLDER      # keeps what it found, goes on from it; the table has all of it

A process that has everything imported forks a worker for each kill; the worker does the verb's real work on a real
collection, and writes down what was acknowledged after each call that returned. It is killed at a moment that is drawn
evenly over the processor's time that an undisturbed run takes. Then this holds of what it left:

- the collection opens; info, query, columns and search answer; the catalog is whole; nothing is there twice, no path
  is without its image, no column by halves;
- everything that was acknowledged is there;
- the same work done again, killed up to four times more and then left alone, ends in the same rows as a run that nobody
  disturbed, and leaves nothing lying about.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from faults_forker import Forker
from faults_state import digest, rows_of, usable
from faults_training import Export, Install
from faults_work import Add, Calibrate, Command, Curate, Feedback, MakeIndex, Served, Tag, Tidy, Use, Work, told_of
from report import RELIABILITY, section

from sextant import leftovers

WORKS: dict[str, type[Work]] = {
    w.__name__: w
    for w in (Add, Tag, Calibrate, Feedback, Served, Export, Install, MakeIndex, Curate, Tidy, Use, Command)
}
IN_A_ROW = 5
HEAD = ["what is killed", "kills", "of them before anything was acknowledged", "calls acknowledged", "lost",
        "unreadable", "another state in the end"]  # fmt: skip


@dataclass
class Outcome:
    """What a campaign over one verb came to."""

    kills: int = 0
    rounds: int = 0
    silent: int = 0
    told: int = 0
    lost: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)


class Campaign:
    """All kills of one verb."""

    def __init__(self, name: str, forker: Forker, scratch: Path, seed: int) -> None:
        self.name, self.forker, self.scratch = name, forker, scratch
        self.work, self.seed = WORKS[name](), seed
        self.template = scratch / "template" / "c"
        self.template.mkdir(parents=True)
        self.work.prepare(self.template)
        self.found, self.random = Outcome(), random.Random()
        undisturbed = self.copy("undisturbed")
        self.seconds = self.undisturbed(undisturbed)
        self.wanted = self.rows(undisturbed)
        shutil.rmtree(undisturbed.parent)

    def copy(self, name: str) -> Path:
        """The prepared collection, in a folder of this name beside what it came with."""
        shutil.copytree(self.template.parent, self.scratch / name)
        return self.scratch / name / "c"

    def undisturbed(self, folder: Path) -> float:
        if isinstance(self.work, Served):
            asked = Asking(folder, self.work)
            asked.rest(self.forker, self.name)
            asked.stop()
            return asked.spent
        return self.forker.run(self.name, folder, self.work.seconds).processor

    def run(self, kills: int, kept: Path | None) -> Outcome:
        """Kills until it was killed so often; goes on from what is `kept`, and keeps what each round found."""
        if kept is not None and kept.exists():
            self.found = Outcome(**json.loads(kept.read_text()))
        while self.found.kills < kills:
            self.random = random.Random(f"{self.name} {self.seed} {self.found.rounds}")
            folder = self.copy(f"round-{self.found.rounds}")
            self.round(folder, min(IN_A_ROW, kills - self.found.kills))
            shutil.rmtree(folder.parent, ignore_errors=True)
            self.found.rounds += 1
            if kept is not None:
                kept.write_text(json.dumps(asdict(self.found), indent=1))
            if self.found.rounds > 20 * kills:
                raise RuntimeError(f"{self.name} is done before it can be killed")
        return self.found

    def round(self, folder: Path, most: int) -> None:
        """Up to `most` kills in a row, a look after each, then the same work undisturbed."""
        asked = Asking(folder, self.work) if isinstance(self.work, Served) else None
        for turn in range(most):
            before = len(told_of(folder / "told.jsonl"))
            reach = 1.0 if turn == 0 else self.random.choice((0.3, 1.0))
            moment = self.random.uniform(0.0, reach) * self.seconds
            until = {"until": str(asked.enough)} if asked is not None else {}
            try:
                killed = self.forker.run(self.name, folder, self.work.seconds, processor=moment, **until).killed
            except RuntimeError as error:
                self.found.unreadable.append(f"the work cannot be done again: {error}")
                break
            if asked is not None:
                asked.pause()
            told = told_of(folder / "told.jsonl") + (asked.acknowledged() if asked else [])
            if not killed or (asked is not None and asked.enough.exists()):
                break
            self.found.kills += 1
            self.found.silent += len(told) == before
            self.look(folder, told)
        if asked is not None:
            asked.rest(self.forker, self.name)
            asked.stop()
        self.end(folder, [] if asked is None else asked.acknowledged())

    def look(self, folder: Path, told: list[Any]) -> None:
        """Opens what a kill left."""
        try:
            if self.work.collects and (folder / ".sextant" / "collection.json").exists():
                with self.work.open(folder) as photos:
                    usable(photos)
            elif told and self.work.collects:
                raise AssertionError("there is no collection any more")
            if told or not self.work.collects:
                self.work.check(folder, told)
        except AssertionError as error:
            self.found.lost.append(str(error) or repr(error))
        except Exception as error:  # noqa: BLE001 – whatever it is, it is a finding
            self.found.unreadable.append(f"{type(error).__name__}: {error}")

    def end(self, folder: Path, asked: list[Any]) -> None:
        """The same work left alone, and what differs then."""
        try:
            if not isinstance(self.work, Served):
                self.forker.run(self.name, folder, self.work.seconds)
            told = told_of(folder / "told.jsonl") + asked
            self.found.told += len(told)
            self.look(folder, told)
            rows = self.rows(folder)
        except Exception as error:  # noqa: BLE001 – as above
            self.found.unreadable.append(f"in the end: {type(error).__name__}: {error}")
            return
        wanted, found = digest(self.wanted), digest(rows)
        for part in sorted(wanted.keys() | found.keys()):
            if wanted.get(part) != found.get(part):
                self.found.differing.append(f"{part}: {_difference(self.wanted.get(part), rows.get(part))}")

    def rows(self, folder: Path) -> dict[str, Any]:
        """What is there in the end."""
        self.work.finish(folder)
        leftovers.clear(folder, older=0.0)  # as `vacuum` does an hour later
        if not self.work.collects:
            return self.work.rows(folder)
        with self.work.open(folder) as photos:
            return {**rows_of(photos), **self.work.rows(folder)}


def _difference(wanted: Any, found: Any) -> str:
    if isinstance(wanted, list) and isinstance(found, list):
        more, less = [x for x in found if x not in wanted], [x for x in wanted if x not in found]
        return f"{len(more)} more, {len(less)} less, such as {str((more or less or ['order'])[0])[:200]}"
    return f"{str(wanted)[:150]} → {str(found)[:150]}"


class Asking:
    """Clients of a server that dies: each sends its events until they are acknowledged."""

    def __init__(self, folder: Path, work: Served) -> None:
        self.folder, self.work, self.enough = folder, work, folder / "enough"
        self.told: dict[str, list[Any]] = {}
        self.refused: Counter[int] = Counter()
        self.stopped, self.spent = threading.Event(), 0.0
        with work.open(folder) as photos:
            self.images = sorted(set(photos.located().values()))
        self.threads = [threading.Thread(target=self.client, args=(n,)) for n in range(work.clients)]
        for thread in self.threads:
            thread.start()
        self.waiter = threading.Thread(target=self.wait)
        self.waiter.start()

    def client(self, number: int) -> None:
        for place in range(self.work.events):
            image = self.images[(7 * number + place) % len(self.images)]
            body = {"kind": "up" if place % 2 else "clicked", "image": image, "key": f"{number}-{place}"}
            body |= {"code": "red"} if place % 2 else {}
            while body["key"] not in self.told and not self.stopped.is_set():
                self.send(body)

    def send(self, body: dict[str, Any]) -> None:
        try:
            connection = HTTPConnection("127.0.0.1", int((self.folder / "port").read_text()), timeout=10)
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/api/v1/collections/c/feedback", json.dumps(body), headers)
            answer = connection.getresponse()
            content = json.loads(answer.read())
            connection.close()
            if answer.status == 200:
                self.told[body["key"]] = [body["key"], content["event"], body["image"], body.get("code")]
            else:
                self.refused[answer.status] += 1
                time.sleep(0.01)
        except (OSError, HTTPException, ValueError):
            time.sleep(0.01)

    def acknowledged(self) -> list[Any]:
        return list(self.told.values())

    def pause(self) -> None:
        (self.folder / "port").unlink(missing_ok=True)

    def rest(self, forker: Forker, name: str) -> None:
        """A server for what is not acknowledged yet."""
        while not self.enough.exists():
            self.spent = forker.run(name, self.folder, 600.0, until=str(self.enough)).processor
            self.pause()

    def wait(self) -> None:
        """Until everything is acknowledged."""
        for thread in self.threads:
            thread.join()
        self.enough.touch()

    def stop(self) -> None:
        self.stopped.set()
        self.waiter.join()


def line(work: Work, found: Outcome) -> list[str]:
    """A row of the table."""
    counts = [found.kills, found.silent, found.told]
    wrong = [len(found.lost), len(found.unreadable), len(found.differing)]
    return [work.verb, *(f"{n:,}" for n in counts), *(str(n) for n in wrong)]


def campaign(name: str, forker: Forker, kills: int, seed: int, keep: Path | None) -> Outcome:
    """All kills of a verb, in a scratch folder of its own."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        kept = keep / f"{name}.json" if keep else None
        found = Campaign(name, forker, Path(scratch), seed).run(kills, kept)
    print(f"{name}: {' | '.join(line(WORKS[name](), found))}  ({time.monotonic() - begun:.0f} s)", flush=True)
    for what in dict.fromkeys([*found.lost, *found.unreadable, *found.differing]):
        print(f"  {what[:1500]}", flush=True)
    return found


def table(found: dict[str, Outcome]) -> list[list[str]]:
    """Every verb, and the sums."""
    rows = [line(WORKS[name](), outcome) for name, outcome in found.items()]
    whole = Outcome()
    for one in found.values():
        whole = Outcome(
            whole.kills + one.kills, whole.rounds + one.rounds, whole.silent + one.silent, whole.told + one.told,
            whole.lost + one.lost, whole.unreadable + one.unreadable, whole.differing + one.differing,
        )  # fmt: skip
    total = line(Work(), whole)
    return [*rows, ["**all**", *total[1:]]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verbs", nargs="*", choices=[*WORKS, []], help=", ".join(WORKS))
    parser.add_argument("--kills", type=int, help="kills a verb; default: each verb's own number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="keep what is found in this folder, and go on from it")
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    chosen = parser.parse_args(arguments)
    forker, found = Forker(), {}
    if chosen.keep:
        chosen.keep.mkdir(parents=True, exist_ok=True)
    for name in chosen.verbs or WORKS:
        found[name] = campaign(name, forker, chosen.kills or WORKS[name].kills, chosen.seed, chosen.keep)
    forker.close()
    if chosen.keep:
        files = {name: chosen.keep / f"{name}.json" for name in WORKS}
        found = {name: Outcome(**json.loads(file.read_text())) for name, file in files.items() if file.exists()}
    rows = table(found)
    print(" | ".join(rows[-1]))
    if chosen.write:
        section("faults", "python benchmarks/faults.py --write", HEAD, rows, f"Seed {chosen.seed}.", page=RELIABILITY)
    return 1 if any(one.lost or one.unreadable or one.differing for one in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
