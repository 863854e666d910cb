"""Teaches mini's text tower what the demo never draws; the visual tower and every image vector stay as they are.

    python training/mini_absent.py                       # draw (once), train for five minutes, write the bundle
    python training/mini_absent.py --steps 300 --out /tmp/mini/bundle    # a trial; --out gets a copy with new texts

An off-topic phrase must find nothing in a whole collection, so what is pushed down is the highest logit that it has
over thousands of pictures, not the mean. Three things hold the rest in place: the demo's phrases keep their truth (as
in `train_mini.py`), in company of unknown words too; captions keep their pictures; and known texts stay near the
vectors that the tower gave them before. Afterwards, `mini_prior.py` and `benchmarks/mini.py --card`: the card's figures
are void.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import re
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import mini_foreign as foreign
import mini_words as words
import numpy as np
import torch
from mini_bundle import retell
from mini_metrics import average_precisions, hit_rate
from mini_pictures import LABELS, PHRASES, PictureSet, facade_set, scene_set
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own convention
from train_mini import ROOT, Average, choice_sets

from sextant.background import background_prompts
from sextant.demo import scenes
from sextant.demo.wording import NAMES
from sextant.encoder import OnnxEncoder
from sextant.train.mini_graph import load
from sextant.train.mini_towers import TextualTower

Rng = np.random.Generator
MEDIA = ("photograph", "artistic_rendering", "blurred", "dark_frame", "black_and_white", "diagram", "map", "selfie")
LOSSES = ("truth", "absent", "captions", "moved", "drifted")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run; written into the log and the card."""

    seed: int = 0
    steps: int = 700
    pictures: int = 20_000
    facades: int = 2_000
    peak_rate: float = 8e-4
    decay: float = 0.01
    average: float = 0.99
    batch: int = 2048
    joint: int = 16
    absent: int = 160
    hardest: int = 128
    captions: int = 160
    junk: float = 0.55
    word_loss: float = 0.1
    absent_weight: float = 0.5
    caption_weight: float = 2.0
    keep_weight: float = 8.0


@dataclass(frozen=True)
class Seen:
    """Image vectors (n, dim) with their labels (n, attributes; -1 unknown) and captions."""

    vectors: Tensor
    labels: NDArray[np.int8]
    captions: list[list[str]]


def embed(encoder: OnnxEncoder, chosen: PictureSet, folder: Path, name: str) -> Seen:
    """The shipped visual tower's vectors of a drawn set, computed once for each bundle revision."""
    path = folder / f"vectors-{name}-{len(chosen.pixels)}.npy"
    if not path.exists():
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (encoder.card.mean, encoder.card.std))
        rows = []
        for start in range(0, len(chosen.pixels), 1024):
            part = chosen.pixels[start : start + 1024].transpose(0, 3, 1, 2).astype(np.float32) / 255
            rows.append(encoder.encode_prepared(list((part - mean) / std)))
        np.save(path, np.concatenate(rows))
    return Seen(torch.from_numpy(np.load(path)), chosen.labels, chosen.captions)


class Lesson:
    """Draws the texts of a step and measures how wrong the tower is about them."""

    def __init__(self, recipe: Recipe, seen: Seen, scenes_only: int, tokenizer: Tokenizer, scale: Scale) -> None:
        self.recipe, self.seen, self.scenes_only, self.tokenizer = recipe, seen, scenes_only, tokenizer
        self.scale = scale
        spelt = tokenizer.get_vocab()
        self.size = len(spelt)
        self.foreign = foreign.Foreign([word for word in spelt if not word.startswith("##")])
        told = [text for trained, _ in NAMES.values() for text in trained if "{n}" not in text]
        self.names = [re.sub(r"\s*\{\w+\}\s*", " ", text).strip() for text in told]

    def tokens(self, texts: list[str]) -> Tensor:
        """Token numbers (n, longest)."""
        return shortened(words.encode(self.tokenizer, texts))

    def phrase(self, number: int, rng: Rng) -> tuple[str, str]:
        """A phrase of an attribute, plain and as it is asked: in a template, in the plural or among unknown words."""
        plain = foreign.one(PHRASES[LABELS[number]], rng)
        said = foreign.several(plain) if rng.random() < 0.15 else plain
        if rng.random() < self.recipe.junk:
            said = self.foreign.beside(said, rng, LABELS[number] in MEDIA)
            return plain, foreign.one(words.TEMPLATES, rng).format(said) if rng.random() < 0.3 else said
        return plain, foreign.one(words.TEMPLATES, rng).format(said)

    def known(self, tower: TextualTower, old: TextualTower, rng: Rng) -> tuple[Tensor, Tensor]:
        """(loss against the truth, distance from the old vectors) of prompts for every attribute and for several."""
        rows = np.sort(rng.integers(0, len(self.seen.labels), self.recipe.batch))
        labels = self.seen.labels[rows]
        pairs = [self.phrase(number, rng) for number in range(len(LABELS))]
        truth, asked = [labels], [said for _, said in pairs]
        for row in rng.integers(0, len(labels), self.recipe.joint):
            codes = rng.permutation(np.flatnonzero(labels[row] == 1))[: int(rng.integers(2, 4))]
            asked.append(words.listed([foreign.one(PHRASES[LABELS[code]], rng) for code in codes], rng))
            truth.append(labels[:, codes].min(1, keepdims=True))  # unknown (-1) wins over true and false: left out
        wanted = torch.from_numpy(np.concatenate(truth, axis=1))
        said = tower(self.tokens(asked))
        logits = self.scale.logits(self.seen.vectors[torch.from_numpy(rows)] @ said.T)
        raw = F.binary_cross_entropy_with_logits(logits, (wanted == 1).float(), reduction="none")
        with torch.no_grad():
            before = old(self.tokens([plain for plain, _ in pairs]))
        moved = 1 - (before * said[: len(pairs)]).sum(1)
        return (raw * (wanted >= 0)).sum() / len(rows), moved.mean() * self.scale.scale

    def absent(self, tower: TextualTower, rng: Rng) -> Tensor:
        """How likely a foreign prompt finds a picture at all: log(1 + the odds of its hardest pictures)."""
        said = tower(self.tokens([self.foreign.absent(rng) for _ in range(self.recipe.absent)]))
        logits = self.scale.logits(said @ self.seen.vectors.T)
        hardest = logits.topk(self.recipe.hardest, dim=1).values
        return F.softplus(hardest.logsumexp(1)).mean()

    def captions(self, tower: TextualTower, old: TextualTower, rng: Rng) -> tuple[Tensor, Tensor]:
        """(which picture belongs to a caption, distance from the old vectors) of captions and names of drawn things."""
        rows = rng.choice(self.scenes_only, self.recipe.captions * 4, replace=False)
        told = [foreign.one(self.seen.captions[row], rng) for row in rows[: self.recipe.captions]]
        whole = words.encode(self.tokenizer, told)
        texts = words.disturb(whole, rng, self.recipe.word_loss, self.size)
        named = words.encode(self.tokenizer, [foreign.one(self.names, rng) for _ in range(24)])
        tokens = shortened(np.concatenate([texts, named]))
        said = tower(tokens)
        with torch.no_grad():
            before = old(tokens)
        near = said[: len(told)] @ self.seen.vectors[torch.from_numpy(rows)].T * 20
        moved = 1 - (before * said).sum(1)
        return F.cross_entropy(near, torch.arange(len(told))), moved.mean() * self.scale.scale


@dataclass(frozen=True)
class Scale:
    """How a cosine becomes a logit; not trained, so that curves fitted on image vectors stay comparable."""

    scale: float
    bias: float

    def logits(self, cosines: Tensor) -> Tensor:
        """Log-odds."""
        return cosines * self.scale + self.bias


def shortened(tokens: NDArray[np.int32]) -> Tensor:
    """Tokens without the columns that are padding in every row."""
    return torch.from_numpy(tokens[:, : max(1, int((tokens > 0).sum(1).max()))])


def rate_at(recipe: Recipe, step: int) -> float:
    """Warm up for 50 steps, then half a cosine down to nothing."""
    return recipe.peak_rate * min(1, (step + 1) / 50) * (0.5 + 0.5 * math.cos(math.pi * step / recipe.steps))


def train(recipe: Recipe, tower: TextualTower, lesson: Lesson, log: Log) -> TextualTower:
    """The averaged tower after `recipe.steps` steps."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng([recipe.seed, 9])
    old = copy.deepcopy(tower).eval()
    tower.train()
    groups = [
        {"params": [p for p in tower.parameters() if p.ndim > 1], "weight_decay": recipe.decay},
        {"params": [p for p in tower.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimiser, average = torch.optim.AdamW(groups, betas=(0.9, 0.98)), Average(tower, recipe.average)
    start, sums = time.monotonic(), []
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = rate_at(recipe, step)
        truth, moved = lesson.known(tower, old, rng)
        found, drifted = lesson.captions(tower, old, rng)
        nothing = lesson.absent(tower, rng)
        loss = truth + recipe.absent_weight * nothing + recipe.caption_weight * found
        loss = loss + recipe.keep_weight * (moved + drifted)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tower.parameters(), 5.0)
        optimiser.step()
        average.update(tower)
        sums.append([float(part.detach()) for part in (truth, nothing, found, moved, drifted)])
        if (step + 1) % 200 == 0 or step + 1 == recipe.steps:
            means = dict(zip(LOSSES, np.mean(sums, 0).round(4), strict=True))
            log.line(step=step + 1, seconds=round(time.monotonic() - start), **means)
            sums.clear()
    return average.model.eval()


class Log:
    """JSON lines, printed too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text("")

    def line(self, **values: object) -> None:
        """One line."""
        text = json.dumps(values)
        print(text, flush=True)
        with self.path.open("a") as stream:
            stream.write(text + "\n")


@torch.no_grad()
def check(tower: TextualTower, lesson: Lesson, sets: dict[str, Seen]) -> dict[str, object]:
    """Mean AP and hit rate on the choice seeds, and the highest confidence of foreign prompts over their pictures."""
    codes = scenes.ATTRIBUTES
    asked = tower(lesson.tokens([PHRASES[code][0] for code in codes]))
    found: dict[str, object] = {}
    for name, seen in sets.items():
        aps = average_precisions((seen.vectors @ asked.T).numpy(), seen.labels[:, : len(codes)])
        found[f"map_{name}"] = round(float(np.nanmean(aps)), 4)
    seen = sets["trained"]
    held = [told[0] for told in seen.captions[:500]]
    rng = np.random.default_rng(41)
    first = scenes.CHOICE_SEEDS[0]
    told = [scenes.retellings(seed, rng, 1)[0] for seed in range(first, first + 500)]
    for name, texts in (("hit", told), ("hit_held_out", held)):
        near = (tower(lesson.tokens(texts)) @ seen.vectors[:500].T).numpy()
        found[name] = round(hit_rate(near, np.eye(500, dtype=bool)), 4)
    foreigners = {
        "never_trained": [f"a photo of a {noun}" for noun in foreign.never_trained("nouns")],
        "held_out": [f"a photo of a {noun}" for noun in foreign.held_out()],
        "held_out_bare": [f"a {noun}" for noun in foreign.held_out()],
        "compounds": list(foreign.never_trained("compounds")),
        "background": list(background_prompts()),
    }
    for name, texts in foreigners.items():
        logits = lesson.scale.logits(tower(lesson.tokens(texts)) @ seen.vectors.T)
        top = torch.sigmoid(logits.max(1).values).numpy()
        found[f"top_{name}"] = [round(float(np.quantile(top, q)), 4) for q in (0.5, 0.9)]
    return found


def main() -> None:
    """Embed, train, check, write the bundle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=JSON", help="any other field of the recipe")
    parser.add_argument("--bundle", type=Path, default=ROOT / "src" / "sextant" / "demo" / "mini", help="to start from")
    parser.add_argument("--out", type=Path, help="where to write it (default: into the bundle)")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "mini")
    parser.add_argument("--log", type=Path, default=ROOT / "training" / "mini_absent.log.jsonl")
    parser.add_argument("--revision", default="3")
    parser.add_argument("--threads", type=int, default=2, help="one, on a busy machine: two wait for each other")
    options = parser.parse_args()
    extra = {name: json.loads(value) for name, value in (pair.split("=", 1) for pair in options.set)}
    recipe = Recipe(steps=options.steps, seed=options.seed, **extra)
    torch.set_num_threads(options.threads)
    encoder = OnnxEncoder(options.bundle, threads=options.threads)
    drawn, fronts = scene_set(options.cache, range(recipe.pictures)), facade_set(options.cache, range(recipe.facades))
    parts = [embed(encoder, chosen, options.cache, name) for name, chosen in (("scenes", drawn), ("facades", fronts))]
    seen = Seen(
        torch.cat([part.vectors for part in parts]),
        np.concatenate([part.labels for part in parts]),
        [row for part in parts for row in part.captions],
    )
    sets = {name: embed(encoder, chosen, options.cache, name) for name, chosen in choice_sets(options.cache).items()}
    model, tokenizer = load(options.bundle), Tokenizer.from_file(str(options.bundle / "tokenizer.json"))
    tokenizer.enable_truncation(words.CONTEXT)
    tokenizer.enable_padding(pad_id=0, pad_token=words.PAD, length=words.CONTEXT)
    lesson = Lesson(recipe, seen, recipe.pictures, tokenizer, Scale(encoder.logit_scale, encoder.logit_bias))
    log = Log(options.log)
    log.line(recipe=asdict(recipe))
    log.line(before=check(model.textual, lesson, sets))
    model.textual = train(recipe, model.textual, lesson, log)
    found = check(model.textual, lesson, sets)
    log.line(after=found)
    if options.out is not None and options.out != options.bundle:
        shutil.copytree(options.bundle, options.out, dirs_exist_ok=True)
    retell(options.out or options.bundle, model.textual, asdict(recipe), found, options.revision)


if __name__ == "__main__":
    main()
