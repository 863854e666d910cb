"""Logits with truth, to measure calibration on: real CLIP vectors, Conse on the Caltech photos, the drawn demo.

Each collection comes with background logits and with off-topic phrases that no image shows. What is not there is left
out with a word on standard error.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sextant.maths.components import Training

Doubles = NDArray[np.float64]
ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "real"
MINI = ROOT / "src" / "sextant" / "demo" / "mini"
CLASSES = ("airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")  # CIFAR-10, by number
OFF_TOPIC = 200


@dataclass(frozen=True, slots=True)
class Labelled:
    """Logits (n, a), background (n,), background logits (n, k), off-topic logits (n, m) and truth (n, a)."""

    codes: list[str]
    logits: Doubles
    background: Doubles
    background_logits: Doubles
    off_topic: Doubles
    truth: Doubles
    clip_like: bool = False
    native: bool = False

    @property
    def training(self) -> Training:
        """How the encoder was trained, for all that its bias says."""
        return "sigmoid" if self.native else "softmax"


def collections(only: str | None, pictures: int, bundle: Path = MINI) -> Iterator[tuple[str, Labelled]]:
    """The collections that are there, by name."""
    known: dict[str, Callable[[], Labelled]] = {"clip": clip, "conse": conse, "mini": partial(mini, pictures, bundle)}
    for name, load in known.items():
        if only in (None, name):
            try:
                yield name, load()
            except (FileNotFoundError, ImportError) as error:
                print(f"{name} is left out: {error}", file=sys.stderr)


def clip() -> Labelled:
    """CLIP ViT-B/32 on 250 CIFAR-10 images; phrases are nouns less alike to the ten classes than the median noun is."""
    names, nouns = _nouns()
    images = unit(np.load(REAL / "clip_vitb32" / "cifar10_image_embeddings.npy"))
    labels = np.load(REAL / "clip_vitb32" / "cifar10_labels.npy")
    own = nouns[[names.index(name) for name in CLASSES]]
    far = _unlike(nouns, own)
    truth = (labels[:, None] == np.arange(len(CLASSES))).astype(np.float64)
    return _collected(list(CLASSES), images, own, nouns[far[:200]], nouns[far[200 : 200 + OFF_TOPIC]], truth, True)


def conse() -> Labelled:
    """Conse on all 816 Caltech photos: 43 attributes, of which most photos show none."""
    import yaml
    from PIL import Image

    folder = REAL / "photos" / "caltech101"
    paths = sorted(folder.rglob("*.jpg"))
    attributes = yaml.safe_load((REAL / "caltech101.yaml").read_text())["base_attributes"]
    spec = importlib.util.spec_from_file_location("conse", REAL / "encoders" / "conse.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(REAL / "encoders" / "conse.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    encoder = module.Conse()
    images = np.concatenate([encoder.encode_images([Image.open(p).convert("RGB")]) for p in paths])
    own = encoder.encode_texts([f"a photo of {a['description']}" for a in attributes])
    names, _ = _nouns()
    nouns = encoder.encode_texts([f"a photo of a {name}" for name in names])
    far = _unlike(nouns, own)
    folders = [p.parent.name.lower() for p in paths]
    truth = np.array([[folder == a["code"] for a in attributes] for folder in folders], dtype=np.float64)
    codes = [a["code"] for a in attributes]
    return _collected(codes, unit(images), unit(own), unit(nouns[far[:200]]), unit(nouns[far[200:400]]), truth, False)


def mini(pictures: int, bundle: Path) -> Labelled:
    """The embedded encoder on drawn pictures it was not trained on; a quarter of the background serves as off-topic."""
    from sextant.background import background_prompts
    from sextant.demo import scenes
    from sextant.encoder import OnnxEncoder

    if not bundle.is_dir():
        raise FileNotFoundError(bundle)
    encoder = OnnxEncoder(bundle)
    codes = [code for code in (*scenes.ATTRIBUTES, *scenes.DERIVED) if code in scenes.PHRASES]
    vectors, truth = [], []
    first = scenes.DEMO_SEEDS[0]
    for start in range(first, first + pictures, 256):
        batch = list(scenes.draw_many(range(start, min(start + 256, first + pictures)), size=256))
        vectors.append(encoder.encode_images([scene.image for scene in batch]))
        truth += [[code in scene.attributes for code in codes] for scene in batch]
    own = encoder.encode_texts([f"a photo of {scenes.PHRASES[code][0]}" for code in codes])
    prompts = unit(encoder.encode_texts(background_prompts()))
    answers = np.array(truth, dtype=np.float64)
    seen = answers.any(axis=0)
    data = _collected(
        [code for code, keep in zip(codes, seen, strict=True) if keep],
        unit(np.concatenate(vectors)),
        unit(own)[seen],
        prompts,
        prompts[::4],
        answers[:, seen],
        False,
        scale=(encoder.logit_scale, encoder.logit_bias),
    )
    return data


def unit(rows: Doubles) -> Doubles:
    """Rows of length one; a row of zeros stays as it is."""
    wide = np.asarray(rows, dtype=np.float64)
    return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-9)


def _nouns() -> tuple[list[str], Doubles]:
    names = [row["name"] for row in json.loads((REAL / "clip_vitb32" / "vocab_vitb32.json").read_text())]
    return names, unit(np.load(REAL / "clip_vitb32" / "vocab_vitb32.npy"))


def _unlike(nouns: Doubles, own: Doubles) -> NDArray[np.intp]:
    """The half of the nouns least alike to any attribute, in a fixed random order."""
    near = (nouns @ own.T).max(axis=1)
    return np.random.default_rng(0).permutation(np.flatnonzero(near < np.median(near)))


def _collected(
    codes: list[str],
    images: Doubles,
    own: Doubles,
    background: Doubles,
    off_topic: Doubles,
    truth: Doubles,
    clip_like: bool,
    *,
    scale: tuple[float, float] = (100.0, 0.0),
) -> Labelled:
    def logits(prompts: Doubles) -> Doubles:
        return scale[0] * images @ prompts.T + scale[1]

    table = logits(background)
    return Labelled(
        codes=codes,
        logits=logits(own),
        background=table.mean(axis=1),
        background_logits=table,
        off_topic=logits(off_topic),
        truth=truth,
        clip_like=clip_like,
        native=scale[1] != 0,
    )
