"""Draws building façades of 24 styles in six clusters of four that are easily taken for each other.

The second domain of the demo: the embedded encoder knows a building, an arch, a column, a dome and a tower, but no
style by name, so fine-tuning has something to gain. A picture depends on its seed and style alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from sextant.demo.facade_arches import arcade, temple
from sextant.demo.facade_canvas import Canvas, View
from sextant.demo.facade_grids import curtain_wall, timber
from sextant.demo.facade_paint import Paint
from sextant.demo.facade_setting import Setting, behind, develop, in_front, lamp
from sextant.demo.facade_towers import domed, tower
from sextant.errors import CollectionError, UsageError

_Draw = Callable[[Canvas, Paint, np.random.Generator, str], None]

# cluster: (who draws it, {code: (which kind, name, what a caption says of it)}). A caption does not say "building":
# that is true of every style, and an encoder that knows little else would hear nothing but that word.
_BOOK: dict[str, tuple[_Draw, dict[str, tuple[str, str, str]]]] = {
    "arches": (
        arcade,
        {
            "round_arch": ("round", "round arches", "round arches"),
            "pointed_arch": ("pointed", "pointed arches", "pointed arches"),
            "horseshoe_arch": ("horseshoe", "horseshoe arches", "horseshoe arches"),
            "ogee_arch": ("ogee", "ogee arches", "ogee arches"),
        },
    ),
    "columns": (
        temple,
        {
            "doric_order": ("doric", "Doric order", "Doric columns"),
            "ionic_order": ("ionic", "Ionic order", "Ionic columns"),
            "corinthian_order": ("corinthian", "Corinthian order", "Corinthian columns"),
            "papyrus_order": ("papyrus", "papyrus columns", "papyrus columns"),
        },
    ),
    "domes": (
        domed,
        {
            "hemisphere_dome": ("hemisphere", "hemispherical dome", "a hemispherical dome"),
            "onion_dome": ("onion", "onion dome", "an onion dome"),
            "bulb_dome": ("bulb", "bulbous dome", "a bulbous dome"),
            "lantern_dome": ("lantern", "ribbed dome with a lantern", "a ribbed dome and a lantern"),
        },
    ),
    "towers": (
        tower,
        {
            "campanile": ("campanile", "campanile", "a campanile, a tower with a low pyramid roof"),
            "spire": ("spire", "spire", "a tower with a tall spire"),
            "battlement": ("battlement", "battlement", "a tower with battlements"),
            "clock_tower": ("clock", "clock tower", "a tower with a clock"),
        },
    ),
    "timber": (
        timber,
        {
            "close_studding": ("studs", "close studding", "timber framing with close studding"),
            "square_panels": ("squares", "square panels", "timber framing with square panels"),
            "cross_bracing": ("crosses", "cross bracing", "timber framing with crossed braces"),
            "herringbone": ("herringbone", "herringbone framing", "timber framing with herringbone braces"),
        },
    ),
    "glass": (
        curtain_wall,
        {
            "square_grid": ("squares", "square glass grid", "glass with a square grid"),
            "ribbon_windows": ("ribbons", "ribbon windows", "glass with ribbon windows"),
            "vertical_fins": ("fins", "vertical fins", "glass with vertical fins"),
            "diagrid": ("diagonals", "diagrid", "glass with a diagonal grid"),
        },
    ),
}  # fmt: skip

_TEMPLATES = ("{}", "a photo of {}", "a picture of {}", "a view of {}", "{} in a street")
_COARSE = {"arches": "arch", "columns": "column", "domes": "dome", "towers": "tower"}
_COARSE_WORDS = {
    "arches": ("a building with arches", "arches in a wall", "an arcade", "a facade with arched openings"),
    "columns": ("a building with columns", "a row of columns", "a facade with pillars", "a colonnade"),
    "domes": ("a building with a dome", "a domed building", "a dome on a building", "a house under a dome"),
    "towers": ("a building with a tower", "a tower", "a tall tower", "a tower in a town"),
    "timber": ("a building", "a house", "the front of a house", "a facade"),
    "glass": ("a building", "a big building", "the front of a building", "a facade"),
}

CLUSTERS: dict[str, tuple[str, ...]] = {name: tuple(styles) for name, (_, styles) in _BOOK.items()}
STYLES: tuple[str, ...] = tuple(code for codes in CLUSTERS.values() for code in codes)
NAMES: dict[str, str] = {code: entry[1] for _, styles in _BOOK.values() for code, entry in styles.items()}
PROMPTS: dict[str, tuple[str, ...]] = {
    code: tuple(template.format(entry[2]) for template in _TEMPLATES)
    for _, styles in _BOOK.values()
    for code, entry in styles.items()
}
_CLUSTER_OF = {code: cluster for cluster, codes in CLUSTERS.items() for code in codes}


@dataclass(frozen=True, slots=True)
class Facade:
    """One picture with its truth: the style, and the coarse things that an encoder may know.

    `coarse` holds "building" and what else is there of "arch", "column", "dome" and "tower"; `caption` says no more.
    """

    seed: int
    style: str
    image: Image.Image
    coarse: frozenset[str]
    caption: str


def draw(seed: int, style: str | None = None, *, size: int = 256) -> Facade:
    """The façade of a seed, `size` pixels square; without a style the seed chooses one.

    Raises UsageError for an unknown style, a negative seed or a size under 32.
    """
    if style is not None and style not in _CLUSTER_OF:
        raise UsageError(f"no façade style {style!r}; the styles are {', '.join(STYLES)}")
    if seed < 0 or size < 32:
        raise UsageError(f"a façade needs a seed of 0 or more and a size of 32 or more, not {seed} and {size}")
    code = style or STYLES[int(np.random.default_rng([seed, 1]).integers(len(STYLES)))]
    rng = np.random.default_rng([seed, 2, STYLES.index(code)])
    drawn = bool(rng.random() < 0.2)
    turn, lean = (float(rng.uniform(-reach, reach)) for reach in (0.5, 0.12))
    view = View(
        float(rng.uniform(0.82, 1.12)), (float(rng.uniform(-0.07, 0.07)), float(rng.uniform(-0.02, 0.06))), turn, lean
    )
    paint, setting = Paint.random(rng), Setting.random(rng, drawn=drawn)
    canvas = Canvas(size, view, (36, 32, 34) if drawn else None)
    behind(canvas, rng, setting)
    cluster = _CLUSTER_OF[code]
    painter, styles = _BOOK[cluster]
    painter(canvas, paint, rng, styles[code][0])
    in_front(canvas, rng, setting)
    if rng.random() < 0.15:
        lamp(canvas, rng)
    image = Image.fromarray(develop(canvas, rng, setting, drawn=drawn))
    words = _COARSE_WORDS[cluster]
    caption = f"{words[rng.integers(len(words))]} under {setting.words}"
    coarse = frozenset({"building", _COARSE.get(cluster, "building")})
    return Facade(seed, code, image, coarse, caption)


def collection(
    folder: str | Path, per_class: int, *, seed: int = 0, size: int = 256, processes: int | None = None
) -> list[Path]:
    """Write `per_class` JPEG pictures of every style, a folder each, and `truth.jsonl`; returns the pictures' paths.

    A line of the truth holds path, style, cluster, seed, coarse and caption. Picture i of a style has seed
    `seed + i`, so disjoint seed ranges give disjoint sets. Raises UsageError for a count below 1 or above 10,000,
    CollectionError for a folder that cannot be written.
    """
    if not 1 <= per_class <= 10_000:
        raise UsageError(f"a façade collection holds 1 to 10,000 pictures of each style, not {per_class}")
    root = Path(folder)
    try:
        for code in STYLES:
            (root / code).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CollectionError(f"cannot write façades to {root}: {error.strerror}; choose another folder") from error
    jobs = [(root, code, seed + number, size) for code in STYLES for number in range(per_class)]
    if processes is not None and processes <= 1:
        lines = [_write(job) for job in jobs]
    else:
        # A forked child may hang on locks that this process's threads (numpy, ONNX Runtime) hold.
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            lines = list(pool.map(_write, jobs, chunksize=16))
    (root / "truth.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return [root / str(line["path"]) for line in lines]


def _write(job: tuple[Path, str, int, int]) -> dict[str, object]:
    root, code, seed, size = job
    facade = draw(seed, code, size=size)
    path = Path(code) / f"{code}_{seed:07d}.jpg"
    facade.image.save(root / path, quality=88)
    return {
        "path": path.as_posix(),
        "style": code,
        "cluster": _CLUSTER_OF[code],
        "seed": seed,
        "coarse": sorted(facade.coarse),
        "caption": facade.caption,
    }
