"""A fake encoder whose vectors are computed in the head, and makers of image files.

An image is its mean colour and a phrase the sum of the colours it names, both scaled to length one: a red picture and
"a photo of red" are (1, 0, 0), yellow is (1, 1, 0) / √2, a phrase without a colour is grey, (1, 1, 1) / √3. At a scale
of 40 the logits for "red" are: red 40, orange 35.8, yellow 28.3, grey 23.1, black none at all. The fixed calibration
(25.5, 1.5) accepts from 27.58 and is in doubt from 25.5: red and yellow pictures are accepted, a grey one rejected.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

import sextant
from sextant.collection import Collection
from sextant.types import Encoder, Floats

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "orange": (255, 128, 0),
    "grey": (128, 128, 128),
    "black": (0, 0, 0),
}
SCALE = 40.0

VOCABULARY = """
thresholds: {accepted: 0.8, tentative: 0.5}
base_attributes:
  - {code: red, label: Red, description: red, type: colour}
  - {code: green, label: Green, description: green, type: colour}
  - {code: blue, label: Blue, description: blue, type: colour}
derived_attributes:
  - {code: warm, label: Warm, type: mood, rule: {all_of: [red], none_of: [blue]}}
  - {code: cold, label: Cold, type: mood, rule: {any_of: [blue, green], none_of: [warm]}}
"""


class FakeEncoder:
    """Counts what it is asked to encode; `slow` seconds are spent on every picture."""

    name = "fake"
    dim = 3
    logit_scale = SCALE
    logit_bias = 0.0

    def __init__(self, revision: str = "1", slow: float = 0.0) -> None:
        self.revision = revision
        self.slow = slow
        self.images = 0
        self.texts: list[str] = []

    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        self.images += len(images)
        time.sleep(self.slow * len(images))
        means = np.stack([np.asarray(image, np.float64).reshape(-1, 3).mean(axis=0) for image in images])
        return _unit(means)

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        self.texts += texts
        return np.stack([colour_of(text) for text in texts])


def colour_of(text: str) -> Floats:
    """The vector (3,) of a phrase."""
    named = [np.array(rgb, np.float64) for word, rgb in COLOURS.items() if word in text.lower() and word != "black"]
    return _unit(np.sum(named or [np.ones(3)], axis=0)[None, :])[0]


def _unit(rows: np.ndarray) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (rows / lengths).astype(np.float32)  # a black picture has no direction: NaN, as from a broken encoder


def loader_of(*encoders: Encoder) -> Callable[[str, str, str], Encoder]:
    """A loader that knows these encoders as `name` or `name@revision`; the first also by any other name."""
    known = {f"{e.name}@{e.revision}": e for e in encoders}
    return lambda spec, _device, _precision: known.get(spec, encoders[0])


def opened(folder: Path, *encoders: Encoder, **settings: object) -> Collection:
    """The collection in a folder, made where there is none, with fake encoders."""
    return sextant.open(folder, create=True, loader=loader_of(*(encoders or (FakeEncoder(),))), **settings)


def picture(path: Path, colour: str | tuple[int, int, int], size: tuple[int, int] = (8, 8)) -> Path:
    """An image file of one colour, in the format its suffix says; another size makes other bytes of the same vector."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, COLOURS[colour] if isinstance(colour, str) else colour).save(path)
    return path


def pictures(folder: Path, *colours: str) -> list[Path]:
    """One PNG for each colour, called by it."""
    return [picture(folder / f"{colour}.png", colour) for colour in colours]


@contextmanager
def readable_by_all(folder: Path) -> Iterator[Path]:
    """A copy of a folder that nobody but root may write, away from pytest's own folders, which are root's alone."""
    with tempfile.TemporaryDirectory() as away:
        Path(away).chmod(0o755)
        copy = Path(shutil.copytree(folder, Path(away) / "copy"))
        copy.chmod(0o755)
        yield copy


def many(folder: Path, n: int, start: int = 0) -> list[Path]:
    """n PNG files with n different colours, none of them black."""
    numbers = range(start, start + n)
    return [picture(folder / f"{i:05d}.png", (1 + i % 250, 1 + i // 250 % 250, 128), (4, 4)) for i in numbers]


def vocabulary(folder: Path, text: str = VOCABULARY, name: str = "words.yaml") -> Path:
    """A vocabulary file."""
    file = folder / name
    file.write_text(text)
    return file


def attributes(*codes: str, **descriptions: str) -> str:
    """The text of a vocabulary with these base attributes, described by their own codes or as given."""
    said = {**dict(zip(codes, codes, strict=True)), **descriptions}
    lines = [f"  - {{code: {c}, label: {c}, description: {words}, type: colour}}" for c, words in said.items()]
    return "\n".join(["base_attributes:", *lines]) + "\n"
