"""Pictures that are none of a run's classes, by kind: what an encoder must not be sure of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sextant.train import strangers

if TYPE_CHECKING:
    from PIL import Image

    from sextant.train.run import Run

Pixels = NDArray[np.uint8]
LETTERS = "etaoin shrdlu cmfwyp vbgkjq xz"
LINES, ACROSS = 38, 70


def of_run(run: Run) -> dict[str, Pixels]:
    """Noise, blank sheets, pages of text; for `mini` scenes of the demo's other domain; photos where there are any.

    Each (n, s, s, 3) as the network sees it. Photos are the third of the folder that nothing was kept or chosen by.
    """
    side, square = 2 * run.base.card.image_size, run.base.pixels.square
    kinds: dict[str, list[Image.Image]] = {
        "noise": strangers.noise(side), "blank": strangers.blank(side), "text page": pages(side)
    }  # fmt: skip
    if run.knows_scenes:
        kinds["space scenes"] = strangers.scenes(strangers.OTHER_SEED, strangers.EACH)
    found = {kind: np.stack([square(picture) for picture in pictures]) for kind, pictures in kinds.items()}
    if run.order.photos is not None:
        photos = run.strangers(strangers.OTHER_SEED, strangers.EACH)
        if len(photos):
            found[f"photos in {run.order.photos.name}"] = photos
    return found


def pages(side: int, n: int | None = None) -> list[Image.Image]:
    """Pages of letters that are no words, black on white and in two sizes."""
    from PIL import Image, ImageDraw

    numbers, letters, found = np.random.default_rng(2), np.array(list(LETTERS)), []
    for number in range(n or strangers.EACH):
        page = Image.new("RGB", (2 * side, 2 * side), "white")
        lines = ["".join(numbers.choice(letters, ACROSS)) for _ in range(LINES)]
        size = 10 if number % 2 else 16
        ImageDraw.Draw(page).multiline_text(
            (side // 8, side // 10), "\n".join(lines), fill="black", spacing=2, font_size=size
        )
        found.append(page)
    return found
