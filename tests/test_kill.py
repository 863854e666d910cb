"""`kill -9` of real processes at random moments: nothing acknowledged is lost, nothing is there twice, all ends well.

One process has everything imported and forks a fresh worker for every kill, so that a kill costs no start-up. A worker
says on a pipe what was acknowledged: paths once they were flushed, columns once `tag` came back.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import SCALE, FakeEncoder, colour_of, many, opened

KILLS = 20
PICTURES = 60
CODES = ("red", "green", "blue", "grey", "orange", "yellow")

FORKER = """
import json, os, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import lance, sextant.images, sextant.collection, sextant.vocabulary.reading, fakes
from sextant.store import Store

def told(out, what):
    os.write(out, (json.dumps(what) + "\\n").encode())

def add(folder, out):
    flush = Store.put_files
    def put_files(self, rows):
        flush(self, rows)
        told(out, rows["path"].to_pylist())
    Store.put_files = put_files
    fakes.opened(folder, fakes.FakeEncoder(slow=0.002), batch=4, flush_seconds=0.001).add(folder / "p")

def tag(folder, out):
    photos, codes = fakes.opened(folder), json.loads(sys.argv[2])
    for k in range(10_000):
        words = {c: f"{c} and {codes[k % len(codes)]}" for c in codes[: k % len(codes) + 1]}
        photos.tag(fakes.vocabulary(folder, "center: 25.5\\n" + fakes.attributes(**words)))
        told(out, sorted(words))

for line in sys.stdin:
    verb, folder, seconds = json.loads(line)
    read, write = os.pipe()
    worker = os.fork()
    if not worker:
        os.close(read)
        {"add": add, "tag": tag}[verb](Path(folder), write)
        os._exit(0)
    os.close(write)
    time.sleep(seconds)
    os.kill(worker, signal.SIGKILL)
    status = os.waitpid(worker, 0)[1]
    with open(read) as said:
        print(json.dumps([os.WIFSIGNALED(status), [json.loads(line) for line in said]]), flush=True)
"""


class Killer:
    """Starts a verb in a process of its own and kills it after so many seconds."""

    def __init__(self) -> None:
        arguments = [sys.executable, "-W", "ignore", "-c", FORKER, str(Path(__file__).parent), json.dumps(CODES)]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, verb: str, folder: Path, seconds: float) -> tuple[bool, list[Any]]:
        """Whether it was still running when it was killed, and what it had acknowledged."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([verb, str(folder), seconds]), file=self.process.stdin, flush=True)
        killed, said = json.loads(self.process.stdout.readline())
        return killed, said


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    killer = Killer()
    yield killer
    killer.process.communicate(timeout=60)


def check_rows(folder: Path, acknowledged: set[str]) -> int:
    """Every table is readable, holds nothing twice, and has all that was acknowledged; returns the files known."""
    photos = opened(folder)
    files = photos.located()
    vectors, facts = photos.vectors.ids().to_pylist(), photos.store.images(["id"])["id"].to_pylist()
    assert len(vectors) == len(set(vectors))
    assert len(facts) == len(set(facts))
    assert photos.store.files().num_rows == len(files)
    assert set(files.values()) <= set(vectors) & set(facts)
    assert acknowledged <= set(files)
    assert len(photos.query("width > 0")) == len(files)
    photos.close()
    return len(files)


def test_add_survives_being_killed_at_any_moment(tmp_path: Path, killer: Killer) -> None:
    chance = random.Random(1)
    kills = rounds = 0
    reach = 0.4
    while kills < KILLS:
        folder = tmp_path / str(rounds)
        many(folder / "p", PICTURES)
        acknowledged: set[str] = set()
        known = 0
        while known < PICTURES and kills < KILLS:
            killed, said = killer("add", folder, chance.uniform(0.0, reach))
            kills += killed
            reach *= 1 if said else 1.1  # a busy machine needs longer to get anywhere
            acknowledged |= {path for paths in said for path in paths}
            if (folder / ".sextant" / "collection.json").exists() and opened(folder).manifest.encoder:
                known = check_rows(folder, acknowledged)
        encoder = FakeEncoder()
        report = opened(folder, encoder).add(folder / "p")
        assert (report.added + report.unchanged, report.skipped) == (PICTURES, ())
        assert encoder.images <= PICTURES - len(acknowledged)
        assert check_rows(folder, acknowledged) == PICTURES
        rounds += 1
    assert kills == KILLS


def test_tag_survives_being_killed_at_any_moment(tmp_path: Path, killer: Killer) -> None:
    chance = random.Random(2)
    many(tmp_path / "p", PICTURES)
    photos = opened(tmp_path)
    photos.add(tmp_path / "p")
    ids, vectors = photos.vectors.matrix()
    acknowledged: set[str] = set()
    reach = 0.4
    for _ in range(KILLS):
        killed, said = killer("tag", tmp_path, chance.uniform(0.0, reach))
        assert killed
        reach *= 1 if said else 1.1  # a busy machine needs longer to get anywhere
        acknowledged |= {code for codes in said for code in codes}
        columns = photos.vectors.columns()
        assert acknowledged <= set(columns)
        table = photos.vectors.read(list(columns))
        assert table["id"].to_pylist() == ids
        for code, column in columns.items():
            (prompt,) = column.provenance["prompts"]
            np.testing.assert_allclose(table[code].to_numpy(), SCALE * vectors @ colour_of(prompt), atol=1e-4)
        if columns:
            assert len(photos.query("red is not null")) == PICTURES
    assert acknowledged
    written = photos.tag()
    assert photos.tag(dry_run=True).columns == ()
    assert written.stale == ()
    photos.vacuum()
    assert not [name for name in photos.vectors._schema().names if "$" in name]
