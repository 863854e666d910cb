"""What is killed: for each verb how a collection is prepared, and the work that a process is killed over.

`work(folder, told)` calls `told(…)` after a call has returned, never before: that is what was acknowledged. The same
work can be done again from any state that a kill left. The encoder is the fake one of the tests, an image its mean
colour, except where an encoder itself is made or installed.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

import sextant
from sextant.collection import Collection
from sextant.curate import Options
from sextant.curate.gates import Gates
from sextant.feedback.recording import Context
from sextant.store import Store
from sextant.vocabulary import parse

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import fakes
from fakes import FakeEncoder, attributes, many, opened, vocabulary

Told = Callable[..., None]
CODES = ("red", "green", "blue", "grey", "orange", "yellow")
PICTURES = 40
OTHER = "fake@2"
EASY = Options(
    fold=False, gates=Gates(side=0, aspect=1e9, darkness=2.0, spread=0.0, sharpness=0.0, confidence=0.0, relevance=0.0)
)


class Work:
    """One verb: `verb` is what the table says, `kills` how often a whole campaign kills it."""

    verb = ""
    kills = 50
    seconds = 600.0
    collects = True
    """Whether there is a collection at all."""

    def prepare(self, folder: Path) -> None:
        """Makes the collection that every run begins from."""

    def work(self, folder: Path, told: Told) -> None:
        """Does it, and tells of every call that returned."""
        raise NotImplementedError

    def check(self, folder: Path, told: list[Any]) -> None:
        """Raises AssertionError where something that was told is not there, or is there by halves."""

    def finish(self, folder: Path) -> None:
        """What a person does in the end anyway, before states are compared."""

    def rows(self, folder: Path) -> dict[str, Any]:  # noqa: ARG002 – of those that have more to compare
        """What else two runs are compared by."""
        return {}

    def open(self, folder: Path) -> Collection:
        """The collection, as this verb opens it."""
        return opened(folder)


def added(folder: Path, pictures: int = PICTURES) -> Collection:
    """A collection of so many pictures."""
    many(folder / "p", pictures)
    photos = opened(folder)
    photos.add(folder / "p")
    return photos


def words(**said: str) -> str:
    """A vocabulary of fixed curves, so that no confidence depends on what else there is."""
    return "center: 25.5\n" + attributes(**said)


class Add(Work):
    verb, kills = "`add` of 40 pictures, a copy and two broken files", 50

    def prepare(self, folder: Path) -> None:
        many(folder / "p", PICTURES)
        shutil.copy(folder / "p" / "00003.png", folder / "p" / "copy.png")
        (folder / "p" / "broken.png").write_bytes((folder / "p" / "00001.png").read_bytes()[:40])
        (folder / "p" / "empty.jpg").touch()

    def work(self, folder: Path, told: Told) -> None:
        flush = Store.put_files

        def put_files(store: Store, rows: Any) -> None:
            flush(store, rows)
            told(rows["path"].to_pylist())

        Store.put_files = put_files  # type: ignore[method-assign]
        opened(folder, FakeEncoder(slow=0.002), batch=4, flush_seconds=0.001).add(folder / "p")

    def check(self, folder: Path, told: list[Any]) -> None:
        with opened(folder) as photos:
            assert {path for paths in told for path in paths} <= set(photos.located()), "a path is lost"


class Tag(Work):
    verb, kills = "`tag`, six columns written and written again", 70

    def prepare(self, folder: Path) -> None:
        added(folder)

    def work(self, folder: Path, told: Told) -> None:
        photos = opened(folder)
        for k in range(8):
            said = {code: f"{code} and {CODES[k % 6]}" for code in CODES[: 2 + k % 5]}
            photos.tag(parse(words(**said), f"{k}.yaml"))
            told(sorted(said), f"{k}.yaml")

    def check(self, folder: Path, told: list[Any]) -> None:
        with opened(folder) as photos:
            ids, vectors = photos.vectors.matrix()
            columns = photos.vectors.columns()
            assert {code for codes, _ in told for code in codes} <= set(columns), "a column is lost"
            table = photos.vectors.read(list(columns))
            assert table["id"].to_pylist() == ids
            for code, column in columns.items():
                (prompt,) = column.provenance["prompts"]
                wanted = fakes.SCALE * vectors @ fakes.colour_of(prompt)
                assert np.allclose(table[code].to_numpy(), wanted, atol=1e-4), f"{code} is not what its record says"


class Calibrate(Work):
    verb, kills = "`label` and `calibrate`, six rounds", 50

    def prepare(self, folder: Path) -> None:
        with added(folder) as photos:
            photos.tag(vocabulary(folder, words(**{c: c for c in CODES[:3]})))
            for code in CODES[:3]:
                photos.label_next(code, 40, seed=1)

    def work(self, folder: Path, told: Told) -> None:
        photos, elsewhere = opened(folder), Path(tempfile.mkdtemp(prefix="labels-"))  # a folder that has no trouble
        paths = sorted(photos.located())
        for k in range(6):
            file = elsewhere / f"labels-{k}.csv"
            lines = [
                f"{p},{c},{'yes' if (i + len(c)) % 3 else 'no'}" for i, p in enumerate(paths[k::6]) for c in CODES[:3]
            ]
            file.write_text("\n".join(["path,code,value", *lines]) + "\n")
            photos.import_labels(file)
            file.unlink()
            told("labels", paths[k::6])
            for report in photos.calibrate(CODES[:3]):
                told("calibrated", report.code)
            photos.override(paths[k], "red", k % 2 == 0, person="ada")
            told("override", paths[k], k % 2 == 0)
            photos.describe(paths[k], tags=[f"tag {k}"], description=f"what {k} shows")
            told("tag", paths[k], f"tag {k}")
        elsewhere.rmdir()

    def check(self, folder: Path, told: list[Any]) -> None:
        with opened(folder) as photos:
            located = photos.located()
            labelled = {(label.image, label.code) for label in photos.catalog.labels()}
            final = {(o.image, o.code): o.value for o in photos.catalog.overrides()}
            tags = photos.catalog.tags()
            for kind, *what in told:
                if kind == "labels":
                    assert all((located[p], c) in labelled for p in what[0] for c in CODES[:3]), "a label is lost"
                elif kind == "override":
                    assert final[located[what[0]], "red"] == what[1], "an override is lost"
                elif kind == "tag":
                    assert what[1] in tags[located[what[0]]], "a tag is lost"
            for path in sorted(located)[:6]:
                whole = {sum((located[path], c) in labelled for c in CODES[:3])}
                assert whole <= {0, 3}, "a file of labels is there by halves"


class Feedback(Work):
    verb, kills = "`feedback` through the library: answers shown, clicks, thumbs on a column", 50

    def prepare(self, folder: Path) -> None:
        with added(folder) as photos:
            photos.tag(vocabulary(folder, words(**{c: c for c in CODES[:3]})))

    def work(self, folder: Path, told: Told) -> None:
        photos = opened(folder)
        for k in range(12):
            result = photos.search(CODES[k % 6], limit=8)
            shown = photos.shown(result, Context(person="ada", key=f"shown-{k}"))
            told("shown", f"shown-{k}", shown)
            for rank, hit in enumerate(result.hits):
                kind, code = (("clicked", None), ("up", "red"), ("down", None))[rank % 3]
                key = f"{k}-{rank}"
                told("event", key, photos.feedback(kind, hit.id, impression=shown, code=code, key=key), hit.id, code)

    def check(self, folder: Path, told: list[Any]) -> None:
        with opened(folder) as photos:
            check_events(photos, [row[1:] for row in told if row[0] == "event"])
            shown = {i.key: i.id for i in photos.catalog.impressions()}
            assert all(shown.get(row[1]) == row[2] for row in told if row[0] == "shown"), "an impression is lost"


def check_events(photos: Collection, told: Iterable[Any]) -> None:
    """Every event that was told is there once, under its number; a thumb on a column and its label are one."""
    events = photos.catalog.events()
    kept = {event.key: event.id for event in events}
    assert len(kept) == len(events), "an event is there twice"
    assert all(kept.get(key) == number for key, number, *_ in told), "an event is lost"
    thumbs = {(label.image, label.code) for label in photos.catalog.labels()}
    assert {(event.image, event.code) for event in events if event.code} == thumbs, "half a thumb"


class Served(Feedback):
    verb, kills = "`feedback` through `serve`, two clients, each event sent until it is acknowledged", 40
    clients, events = 2, 40

    def work(self, folder: Path, told: Told) -> None:  # noqa: ARG002 – its clients know
        """The server alone; who asks it are threads of the campaign, which keep what was acknowledged."""
        from sextant.web import app, server

        listener = server.listening("127.0.0.1", 0)
        (folder / "port.new").write_text(str(listener.getsockname()[1]))
        (folder / "port.new").replace(folder / "port")
        server.run(app.application([opened(folder)], hosts=["127.0.0.1"]), listener)

    def check(self, folder: Path, told: list[Any]) -> None:
        with opened(folder) as photos:
            check_events(photos, told)


class MakeIndex(Work):
    verb, kills = "`index` of 2,000 vectors, made and made again", 45

    def prepare(self, folder: Path) -> None:
        added(folder, 8)
        rows = np.random.default_rng(0).normal(size=(2000, 3)).astype(np.float32)
        np.save(folder / "rows.npy", rows / np.linalg.norm(rows, axis=1, keepdims=True))
        (folder / "names.txt").write_text("".join(f"p/{n:05d}.png\n" for n in range(2000)))
        with opened(folder) as photos:
            photos.import_vectors(folder / "rows.npy", ids=folder / "names.txt")

    def open(self, folder: Path) -> Collection:
        return opened(folder, exact_rows=100)

    def work(self, folder: Path, told: Told) -> None:
        photos = self.open(folder)
        for _ in range(2):
            told(photos.index().images)

    def check(self, folder: Path, told: list[Any]) -> None:
        with opened(folder) as plain, self.open(folder) as quick:
            state = quick.index_state()
            assert state.usable or not told, "the index is lost"
            for phrase in ("red", "a grey thing"):
                exact, fast = (photos.search(phrase, limit=10).hits for photos in (plain, quick))
                assert [hit.cosine for hit in fast] == [hit.cosine for hit in exact], "the index answers something else"


class Curate(Work):
    verb, kills = "`curate` and `keep` of pictures from outside, twice", 40

    def prepare(self, folder: Path) -> None:
        added(folder, 12)
        many(folder.parent / "outside", 16, 400)

    def work(self, folder: Path, told: Told) -> None:
        photos, outside = opened(folder), folder.parent / "outside"
        for query in ("red", "blue"):
            answer = photos.curate(query, outside, options=EASY)
            told("curation", answer.number)
            kept = photos.keep(1, 2, 3, curation=answer.number)
            told("kept", [[pick.image, pick.path] for pick in kept.picks])

    def check(self, folder: Path, told: list[Any]) -> None:
        from sextant import images

        with opened(folder) as photos:
            rows = {(pick.image, pick.path) for pick in photos.picks()}
            for image, path in rows:
                assert images.identify((folder / path).read_bytes()) == image, "a pick is another picture"
            located = photos.located()
            assert all(located.get(path) == image for image, path in rows), "a pick is no row"
            said = {tuple(pick) for kind, what in told if kind == "kept" for pick in what}
            assert said <= rows, "a pick is lost"
            assert not said or all(photos.catalog.curation(n) for kind, n in told if kind == "curation")

    def finish(self, folder: Path) -> None:
        with opened(folder) as photos:
            photos.discard()


class Tidy(Work):
    verb, kills = "`add --drop-missing`, `prune`, `vacuum` after files, columns and an encoder went", 60

    def prepare(self, folder: Path) -> None:
        with added(folder) as photos:
            photos.tag(vocabulary(folder, words(**{c: c for c in CODES})))
            photos.tag(vocabulary(folder, words(**{c: f"{c} and red" for c in CODES})))
        with opened(folder, FakeEncoder(), FakeEncoder("2")) as photos:
            photos.use(OTHER)
            photos.tag(vocabulary(folder, words(**{c: c for c in CODES[:3]})))
        for path in sorted((folder / "p").iterdir())[:15]:
            path.unlink()

    def open(self, folder: Path) -> Collection:
        return opened(folder, FakeEncoder(), FakeEncoder("2"))

    def work(self, folder: Path, told: Told) -> None:
        photos = self.open(folder)
        photos.add(folder / "p", drop_missing=True)
        told("dropped", 25)
        photos.prune()
        told("pruned", list(CODES[:3]))
        photos.vacuum()
        told("vacuumed", 1)

    def check(self, folder: Path, told: list[Any]) -> None:
        with self.open(folder) as photos:
            done = {kind for kind, _ in told}
            assert len(photos.located()) in ((25,) if "dropped" in done else (25, 40)), "half of the files went"
            assert set(CODES[:3]) <= set(photos.vectors.columns()), "a column that is used is lost"
            if "pruned" in done:
                assert set(photos.vectors.columns()) == set(CODES[:3])
                assert photos.store.encoders() == [OTHER]
            assert photos.vectors.unknown(CODES[:3]) == dict.fromkeys(CODES[:3], 0), "half a column"


class Use(Work):
    verb, kills = "`model use`, there and back", 60

    def prepare(self, folder: Path) -> None:
        with added(folder) as photos:
            photos.tag(vocabulary(folder, words(**{c: c for c in CODES[:3]})))

    def open(self, folder: Path) -> Collection:
        return opened(folder, FakeEncoder(), FakeEncoder("2"))

    def work(self, folder: Path, told: Told) -> None:
        photos = opened(folder, FakeEncoder("1", slow=0.001), FakeEncoder("2", slow=0.001))
        for spec in (OTHER, "fake@1", OTHER):
            photos.use(spec)
            told(spec)

    def check(self, folder: Path, told: list[Any]) -> None:  # noqa: ARG002 – the next run switches back
        with self.open(folder) as photos:
            held = photos.manifest.encoder
            assert held in ("fake@1", OTHER), f"the encoder is {held}"
            assert len(photos.vectors) == PICTURES, "the encoder in use has not seen all"
            assert set(CODES[:3]) <= set(photos.vectors.columns()), "the encoder in use lacks columns"
            assert set(photos.catalog.calibrations(held)) >= set(CODES[:3]), "the encoder in use lacks curves"


class Command(Work):
    """The command itself, from its start."""

    verb, kills = "the command `sextant add` with `mini`, from its start", 40

    def prepare(self, folder: Path) -> None:
        many(folder / "p", PICTURES)

    def work(self, folder: Path, told: Told) -> None:  # noqa: ARG002 – a command tells when it ends
        from sextant.cli import cli

        cli.main(["-C", str(folder), "add", str(folder / "p"), "--model", "mini", "--batch", "2", "--json"])

    def open(self, folder: Path) -> Collection:
        return sextant.open(folder)


def told_of(file: Path) -> list[Any]:
    """What a worker wrote into its log; a line that the kill cut off was not told."""
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return [json.loads(line) for line in lines]
