"""Real photos with known names: what the whole program says of them against what its encoder says alone.

    python benchmarks/real_photos.py

Needs the photos, the vocabulary and the encoder in ../shared/real, beside the repository. The encoder is no CLIP: it
knows ImageNet's classes and 1,612 nouns.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

import sextant
from sextant import vocabulary
from sextant.models import load

REAL = Path(__file__).resolve().parents[2] / "shared" / "real"


@dataclass(frozen=True, slots=True)
class TopOne:
    """How often the highest logit names the right noun, of all labelled photos; skipped ones count as wrong."""

    photos: int
    right: int
    skipped: int

    @property
    def share(self) -> float:
        """Right ones of all."""
        return self.right / self.photos


def labelled(real: Path, codes: tuple[str, ...]) -> dict[Path, str]:
    """The photos whose folder is called like a code, and that code."""
    folders = sorted(p for p in (real / "photos" / "caltech101").iterdir() if p.name.lower() in codes)
    return {path: folder.name.lower() for folder in folders for path in sorted(folder.iterdir())}


def codes_of(real: Path) -> tuple[str, ...]:
    """The nouns of the vocabulary, derived ones left out."""
    return tuple(a.code for a in vocabulary.load(real / "caltech101.yaml").attributes)


def alone(real: Path) -> TopOne:
    """The encoder without the program: Pillow opens a photo, the highest cosine is the answer."""
    words = vocabulary.load(real / "caltech101.yaml")
    encoder = load(f"{real / 'encoders' / 'conse.py'}:Conse")
    prompts = np.concatenate([encoder.encode_texts(a.prompts) for a in words.attributes])
    photos = labelled(real, codes_of(real))
    right = skipped = 0
    for path, code in photos.items():
        with Image.open(path) as opened:
            row = encoder.encode_images([ImageOps.exif_transpose(opened).convert("RGB")])[0]
        skipped += not row.any()
        right += bool(row.any()) and words.attributes[int(np.argmax(prompts @ row))].code == code
    return TopOne(len(photos), right, skipped)


def through(photos: sextant.Collection, real: Path) -> TopOne:
    """The same from a collection's stored logits."""
    codes = codes_of(real)
    view = photos.view(codes)
    table = np.stack([view.logits(code) for code in codes], axis=1)
    found = {image: codes[int(np.argmax(row))] for image, row in zip(view.ids.to_pylist(), table, strict=True)}
    ids = {(photos.folder / path).resolve(): image for path, image in photos.located().items()}
    wanted = labelled(real, codes)
    answers = {path: found.get(ids.get(path.resolve(), "")) for path in wanted}
    right = sum(answers[path] == code for path, code in wanted.items())
    return TopOne(len(wanted), right, sum(answer is None for answer in answers.values()))


def main() -> None:
    if not REAL.is_dir():
        sys.exit(f"no real photos at {REAL}")
    with (
        tempfile.TemporaryDirectory() as folder,
        sextant.open(folder, create=True, model=f"{REAL / 'encoders' / 'conse.py'}:Conse") as photos,
    ):
        added = photos.add(REAL / "photos" / "caltech101")
        begun = time.perf_counter()
        tagged = photos.tag(REAL / "caltech101.yaml")
        print(
            f"{added.encoded} photos encoded in {added.seconds:.1f} s, {len(added.skipped)} skipped; "
            f"{len(tagged.columns)} columns in {time.perf_counter() - begun:.1f} s"
        )
        for name, found in (("encoder alone", alone(REAL)), ("through Sextant", through(photos, REAL))):
            print(
                f"{name}: {found.right} of {found.photos} photos named right, {100 * found.share:.1f} % "
                f"({found.skipped} have no vector)"
            )


if __name__ == "__main__":
    main()
