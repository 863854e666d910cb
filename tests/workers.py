"""Encoders for the workers of a cluster, which die, wait, note what they did or refuse; and all that a run wrote."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import sextant
from fakes import FakeEncoder, many, pictures
from sextant.cluster import Cluster
from sextant.collection import Collection
from sextant.errors import MissingExtra
from sextant.types import Encoder, Floats

DEADLY = (9, 9, 9)


class Fragile(FakeEncoder):
    """Its process dies at a picture of the colour DEADLY: so many times, counted by files in `flags`, or always."""

    def __init__(self, flags: str = "", times: int = 1) -> None:
        super().__init__()
        self.flags, self.times = flags, times

    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        if any(image.getpixel((0, 0)) == DEADLY for image in images):
            died = len(list(Path(self.flags).glob("died*")))
            if self.times < 0 or died < self.times:
                (Path(self.flags) / f"died{died}").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().encode_images(images)


class Noting(FakeEncoder):
    """Notes the number of every picture of `fakes.many` in a file; waits before picture `stop` for ever."""

    def __init__(self, notes: str, stop: int) -> None:
        super().__init__()
        self.notes, self.stop = notes, stop

    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        numbers = [image.getpixel((0, 0))[0] - 1 for image in images]
        while any(number >= self.stop for number in numbers):
            time.sleep(0.1)
        with Path(self.notes).open("a", encoding="utf-8") as out:
            out.write("".join(f"{number}\n" for number in numbers))
        return super().encode_images(images)


def fake(_spec: str, _device: str, _precision: str) -> Encoder:
    """The fake encoder, in any process."""
    return FakeEncoder()


def fragile(flags: str, times: int, _spec: str, _device: str, _precision: str) -> Encoder:
    """An encoder that ends its process."""
    return Fragile(flags, times)


def noting(notes: str, stop: int, _spec: str, _device: str, _precision: str) -> Encoder:
    """An encoder that notes what it did."""
    return Noting(notes, stop)


def at_home(process: int, ending: bool, _spec: str, _device: str, _precision: str) -> Encoder:
    """The fake encoder in one process; in others what is missing, or the end."""
    if os.getpid() != process:
        if ending:
            os.kill(os.getpid(), signal.SIGKILL)
        raise MissingExtra("this encoder", "openvino")
    return FakeEncoder()


def opened(folder: Path | str, loader: Any = fake, **settings: Any) -> Collection:
    """A collection with an encoder that other processes can load too."""
    return sextant.open(folder, create=True, loader=loader, **settings)


def rows(photos: Collection) -> dict[str, Any]:
    """All that was written: vectors in their order, bit for bit, facts, and where files lie."""
    table = photos.vectors.read(sorted(photos.vectors.columns()), vectors=True)
    read = table.to_pylist()
    facts = photos.store.images().drop_columns(["added_at"])
    return {
        "vectors": [(r["id"], *(np.float32(r[n]).tobytes() for n in table.column_names[1:])) for r in read],
        "facts": facts.sort_by("id").to_pylist(),
        "files": sorted((r["path"], r["id"], r["bytes"]) for r in photos.store.files().to_pylist()),
    }


def counts(report: Any) -> tuple[Any, ...]:
    """What a report of `add` says, but for its time."""
    named = ("added", "copies", "unchanged", "changed", "moved", "encoded", "missing_paths")
    return (*(getattr(report, name) for name in named), sorted((s.path, s.reason) for s in report.skipped))


def material(folder: Path) -> Path:
    """Pictures, an exact copy, one that is black and makes no vector, and files that are none."""
    many(folder / "pictures", 40)
    (folder / "pictures" / "copy.png").write_bytes((folder / "pictures" / "00003.png").read_bytes())
    pictures(folder / "pictures", "red", "black")
    (folder / "pictures" / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    (folder / "pictures" / "empty.png").touch()
    return folder / "pictures"


def in_pieces(_: Cluster, make: Any, items: Sequence[Any], **__: Any) -> Iterator[Any]:
    """What a cluster does, in this process: nothing but values that were pickled goes to a worker and comes back."""
    work = pickle.loads(pickle.dumps(make))()
    return (pickle.loads(pickle.dumps(work(pickle.loads(pickle.dumps(item))))) for item in items)
