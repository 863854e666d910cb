"""Fits the prior of mini's card on pictures that it was not trained on, and writes it into the card.

    python training/mini_prior.py              # after training; about a minute on two cores
    python training/mini_prior.py --dry-run    # prints it only

The pictures are those of CHOICE_SEEDS, the attributes those of the demo's vocabulary, as `tag` would encode them. What
a confidence from this prior is worth is measured elsewhere, on other seeds: `benchmarks/demo.py`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from sextant import vocabulary
from sextant.background import background_hash, background_prompts
from sextant.demo import scenes
from sextant.encoder import OnnxEncoder
from sextant.maths import logits as maths
from sextant.maths.components import fit_prior

DEMO = Path(__file__).resolve().parents[1] / "src" / "sextant" / "demo"
FIRST = scenes.CHOICE_SEEDS.start + 500_000


def measure(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits (n, a) of every attribute, background logits (n, k) and truth (n, a) of that many pictures."""
    encoder = OnnxEncoder(DEMO / "mini")
    prepared, shown = [], []
    for scene in scenes.draw_many(range(FIRST, FIRST + count)):
        prepared.append(encoder.prepare(scene.image))
        shown.append(scene.attributes)
    vectors = encoder.encode_prepared(prepared)
    attributes = vocabulary.load(DEMO / "vocabulary.yaml").attributes
    directions = np.stack([maths.prompt_vector(encoder.encode_texts(a.prompts)) for a in attributes])
    scale, bias = encoder.logit_scale, encoder.logit_bias
    own = vectors @ directions.T * scale + bias
    background = vectors @ encoder.encode_texts(background_prompts()).T * scale + bias
    truth = np.array([[a.code in codes for a in attributes] for codes in shown], np.float64)
    return own, background, truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=3000)
    parser.add_argument("--dry-run", action="store_true")
    chosen = parser.parse_args()
    logits, background, truth = measure(chosen.pictures)
    last = FIRST + chosen.pictures - 1
    source = f"{chosen.pictures} drawn pictures, seeds {FIRST} to {last}, and their {truth.shape[1]} attributes"
    prior = fit_prior(logits, background.mean(axis=1), background, truth, source=source)
    print(json.dumps(prior.to_params(), indent=1))
    if not chosen.dry_run:
        path = DEMO / "mini" / "card.json"
        card = json.loads(path.read_text(encoding="utf-8"))
        card |= {"prior": prior.to_params(), "background_hash": background_hash()}
        path.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
