"""Trains `mini`, the encoder inside the package, from scratch on drawn pictures; writes the bundle and a log.

    python training/train_mini.py                         # draw (once), train, write src/sextant/demo/mini
    python training/train_mini.py --steps 900 --out /tmp/mini --pictures 8000      # a trial

Two losses: single-attribute prompts against the whole label matrix (binary cross-entropy, so a logit is a log-odds),
and captions against pictures (InfoNCE, pictures of equal truth are no negatives). The figures come from
`benchmarks/mini.py`, which reads the finished bundle on seeds that no choice was made on.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import mini_words as words
import numpy as np
import torch
from mini_augment import augment
from mini_bundle import write_bundle
from mini_metrics import average_precisions, hit_rate
from mini_pictures import LABELS, PHRASES, SIZE, PictureSet, facade_set, scene_set
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, distributed, nn
from torch.nn import functional as F  # noqa: N812 - torch's own convention

from sextant.demo import scenes
from sextant.train.mini_towers import Mini

Labels = NDArray[np.int8]
Tokens = NDArray[np.int32]
Rows = NDArray[np.int64]
ROOT = Path(__file__).resolve().parents[1]
MEAN, STD = (0.42, 0.42, 0.44), (0.3, 0.28, 0.28)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run; written into the log and the card."""

    seed: int = 0
    steps: int = 3200
    minutes: float = 60.0
    pictures: int = 50_000
    facades: int = 6_000
    workers: int = 2
    batch: int = 112
    facade_share: float = 0.1
    peak_rate: float = 2.5e-3
    decay: float = 0.05
    dim: int = 256
    stem: int = 24
    widths: tuple[int, ...] = (48, 96, 192)
    depths: tuple[int, ...] = (1, 2, 2)
    strength: float = 1.0
    junk: float = 0.4
    word_loss: float = 0.16
    caption_weight: float = 0.15
    absent: int = 16
    joint: int = 12
    average: float = 0.998
    sizes: tuple[tuple[float, int], ...] = field(default=((0.0, 64), (0.4, 80), (0.6, 96)))


class Texts:
    """Draws prompts and captions for a step, already as tokens."""

    def __init__(self, tokenizer: Tokenizer, captions: list[list[str]], recipe: Recipe) -> None:
        self.tokenizer = tokenizer
        self.recipe = recipe
        self.vocabulary = tokenizer.get_vocab_size()
        self.starts = np.cumsum([0, *(len(row) for row in captions)])
        self.tokens = words.encode(tokenizer, [text for row in captions for text in row]).astype(np.int16)

    def prompts(self, rng: np.random.Generator, labels: Labels) -> tuple[Tokens, Labels]:
        """Prompts of a step and their truth (n, prompts): each attribute, joint ones, things that are never there.

        A joint prompt names two or three attributes that one picture of the batch shows.
        """
        texts = [words.dress(self._phrase(number, rng), rng, self.recipe.junk) for number in range(len(LABELS))]
        truth = [labels]
        for row in rng.integers(0, len(labels), self.recipe.joint):
            codes = rng.permutation(np.flatnonzero(labels[row] == 1))[: int(rng.integers(2, 4))]
            texts.append(words.dress(words.listed([self._phrase(code, rng) for code in codes], rng), rng, 0.2))
            truth.append(labels[:, codes].min(1, keepdims=True))  # unknown (-1) wins over true and false: left out
        texts += [words.absent_prompt(rng) for _ in range(self.recipe.absent)]
        truth.append(np.zeros((len(labels), self.recipe.absent), dtype=np.int8))
        return words.encode(self.tokenizer, texts), np.concatenate(truth, axis=1)

    def _phrase(self, number: int, rng: np.random.Generator) -> str:
        choices = PHRASES[LABELS[number]]
        return choices[rng.integers(len(choices))]

    def captions(self, rows: Rows, mirrored: NDArray[np.bool_], rng: np.random.Generator) -> Tokens:
        """One caption for each picture, left and right exchanged where it is mirrored, with words lost on the way."""
        counts = self.starts[rows + 1] - self.starts[rows]
        chosen = self.tokens[self.starts[rows] + (rng.random(len(rows)) * counts).astype(int)].astype(np.int32)
        left, right = (self.tokenizer.token_to_id(word) for word in ("left", "right"))
        swapped = np.where(chosen == left, right, np.where(chosen == right, left, chosen))
        return words.disturb(np.where(mirrored[:, None], swapped, chosen), rng, self.recipe.word_loss, self.vocabulary)


def losses(model: Mini, batch: Batch, weight: float) -> tuple[Tensor, Tensor]:
    """(attribute loss, weighted caption loss) of a batch."""
    texts = torch.cat([batch.prompts, batch.captions])
    texts = texts[:, : int((texts > 0).sum(1).max())]
    with torch.autocast("cpu", torch.bfloat16):
        seen, said = model.visual(batch.images), model.textual(texts)
    asked, told = said[: len(batch.prompts)].float(), said[len(batch.prompts) :].float()
    seen = seen.float()
    logits = seen @ asked.T * model.log_scale.exp() + model.bias
    raw = F.binary_cross_entropy_with_logits(logits, (batch.truth == 1).float(), reduction="none")
    attribute_loss = (raw * (batch.truth >= 0)).sum() / len(seen)
    pairs = told @ seen.T * model.caption_log_scale.exp()
    wanted = batch.same / batch.same.sum(1, keepdim=True)
    caption_loss = -(wanted * (pairs.log_softmax(1) + pairs.T.log_softmax(1))).sum() / (2 * len(seen))
    return attribute_loss, weight * len(LABELS) * caption_loss


@dataclass(frozen=True)
class Batch:
    """Pictures (n, 3, s, s), prompts with their truth (n, prompts; -1 unknown), captions, and which fit which."""

    images: Tensor
    prompts: Tensor
    truth: Tensor
    captions: Tensor
    same: Tensor


def draw_batch(
    sets: tuple[PictureSet, PictureSet], texts: tuple[Texts, Texts], recipe: Recipe, size: int, rng: np.random.Generator
) -> Batch:
    """Scenes first, then façades. A façade's caption fits every façade of equal truth, a scene's only its own."""
    fronts = round(recipe.batch * recipe.facade_share)
    counts = (recipe.batch - fronts, fronts)
    rows = [np.sort(rng.integers(0, len(chosen.pixels), count)) for chosen, count in zip(sets, counts, strict=True)]
    mirrored = rng.random(recipe.batch) < 0.5
    raw = np.concatenate([chosen.pixels[r] for chosen, r in zip(sets, rows, strict=True)])
    labels = np.concatenate([chosen.labels[r] for chosen, r in zip(sets, rows, strict=True)])
    flags = np.split(mirrored, [counts[0]])
    told = np.concatenate([t.captions(r, f, rng) for t, r, f in zip(texts, rows, flags, strict=True)])
    prompts, truth = texts[0].prompts(rng, labels)
    same = np.eye(recipe.batch, dtype=np.float32)
    same[counts[0] :, counts[0] :] = (labels[counts[0] :, None] == labels[None, counts[0] :]).all(-1)
    images = normalised(augment(raw, mirrored, rng, size, recipe.strength)).contiguous(
        memory_format=torch.channels_last
    )
    return Batch(images, *(torch.from_numpy(part) for part in (prompts, truth, told, same)))


def normalised(x: Tensor) -> Tensor:
    """Pixels 0 to 1 to what the visual tower takes."""
    return (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


class Average:
    """A running average of the weights: what is shipped."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay, self.steps = copy.deepcopy(model), decay, 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """One step; the early average forgets faster."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 20))
        for mine, new in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True):
            if mine.dtype.is_floating_point:
                mine.lerp_(new, 1 - decay)
            else:
                mine.copy_(new)


@torch.no_grad()
def embed(model: Mini, pixels: np.ndarray) -> Tensor:
    """Unit rows for uint8 pictures (n, 96, 96, 3)."""
    model.eval()
    rows = []
    for start in range(0, len(pixels), 256):
        x = torch.from_numpy(np.array(pixels[start : start + 256])).permute(0, 3, 1, 2).float() / 255
        rows.append(model.visual(normalised(x).contiguous(memory_format=torch.channels_last)))
    return torch.cat(rows)


@torch.no_grad()
def check(model: Mini, tokenizer: Tokenizer, sets: dict[str, PictureSet]) -> dict[str, float]:
    """Mean AP and hit rate on the sets kept for choices."""
    codes = scenes.ATTRIBUTES
    asked = model.eval().textual(torch.from_numpy(words.encode(tokenizer, [PHRASES[code][0] for code in codes])))
    found: dict[str, float] = {}
    for name, chosen in sets.items():
        seen = embed(model, chosen.pixels)
        aps = average_precisions((seen @ asked.T).numpy(), chosen.labels[:, : len(codes)])
        found[f"map_{name}"] = round(float(np.nanmean(aps)), 4)
        if name == "trained":
            found["worst"] = {codes[i]: round(float(aps[i]), 2) for i in np.argsort(aps)[:8]}  # type: ignore[assignment]
            told = model.textual(torch.from_numpy(words.encode(tokenizer, [row[0] for row in chosen.captions[:500]])))
            similarity = (told @ seen[:500].T).numpy()
            found["hit"] = round(hit_rate(similarity, np.eye(len(similarity), dtype=bool)), 4)
    return found


def rate_at(recipe: Recipe, progress: float) -> float:
    """Warm up for 4 % of the time, then a cosine down to 1 %."""
    if progress < 0.04:
        return recipe.peak_rate * max(progress / 0.04, 0.02)
    return recipe.peak_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (progress - 0.04) / 0.96)))


def parameter_groups(model: Mini, recipe: Recipe) -> list[dict[str, object]]:
    """Weights decay, norms and biases do not; the scale and bias of the logits move faster than the rest."""
    scalars = [model.log_scale, model.bias, model.caption_log_scale]
    plain = [p for p in model.parameters() if p.ndim == 1]
    decayed = [p for p in model.parameters() if p.ndim > 1]
    return [
        {"params": decayed, "weight_decay": recipe.decay, "speed": 1.0},
        {"params": plain, "weight_decay": 0.0, "speed": 1.0},
        {"params": scalars, "weight_decay": 0.0, "speed": 4.0},
    ]


def share_gradients(model: Mini, workers: int) -> None:
    """Every worker's gradients become the mean over the workers."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    distributed.all_reduce(flat)
    flat /= workers
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def progress_of(recipe: Recipe, step: int, seconds: float) -> float:
    """0 to 1. Steps decide; minutes are a brake for a busy machine: the schedule ends early, it is not cut off.

    The workers agree on the first one's clock.
    """
    progress = torch.tensor(max(step / recipe.steps, seconds / (60 * recipe.minutes)), dtype=torch.float64)
    if recipe.workers > 1:
        distributed.broadcast(progress, 0)
    return float(progress)


def train(recipe: Recipe, rank: int, sets: tuple[PictureSet, PictureSet], texts: tuple[Texts, Texts], log: Log) -> Mini:
    """The averaged model after `recipe.steps` steps; every worker draws its own batches, the weights stay the same."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng([recipe.seed, 5, rank])
    model = Mini(texts[0].vocabulary, words.CONTEXT, recipe.dim, recipe.stem, recipe.widths, recipe.depths)
    model.visual.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(parameter_groups(model, recipe), betas=(0.9, 0.98))
    average = Average(model, recipe.average)
    start, step, sums = time.monotonic(), 0, np.zeros(3)
    while (progress := progress_of(recipe, step, time.monotonic() - start)) < 1:
        size = [s for begin, s in recipe.sizes if begin <= progress][-1]
        for group in optimiser.param_groups:
            group["lr"] = group["speed"] * rate_at(recipe, progress)
        model.train()
        parts = losses(model, draw_batch(sets, texts, recipe, size, rng), recipe.caption_weight)
        optimiser.zero_grad(set_to_none=True)
        (parts[0] + parts[1]).backward()
        if recipe.workers > 1:
            share_gradients(model, recipe.workers)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        average.update(model)
        step += 1
        log.steps = step
        sums += (float(parts[0].detach()), float(parts[1].detach()), 1)
        if rank == 0 and step % 100 == 0:
            log.losses(
                model,
                sums[:2] / sums[2],
                step=step,
                seconds=round(time.monotonic() - start),
                progress=round(progress, 4),
                size=size,
            )
            sums[:] = 0
        if rank == 0 and step % 1000 == 0:
            log.check(step, average.model)
    return average.model


class Log:
    """JSON lines: the recipe, losses every 200 steps, checks on the choice seeds."""

    def __init__(self, path: Path, tokenizer: Tokenizer, checks: dict[str, PictureSet]) -> None:
        self.path, self.tokenizer, self.checks, self.steps = path, tokenizer, checks, 0

    def losses(self, model: Mini, means: NDArray[np.float64], **values: object) -> None:
        """A line with the mean losses since the last one."""
        scale, bias = float(model.log_scale.detach().exp()), float(model.bias.detach())
        losses = {"attributes": round(means[0], 4), "captions": round(means[1], 4)}
        self.line(**values, **losses, scale=round(scale, 2), bias=round(bias, 2))

    def line(self, **values: object) -> None:
        """One line, printed too."""
        text = json.dumps(values)
        print(text, flush=True)
        with self.path.open("a") as stream:
            stream.write(text + "\n")

    def check(self, step: int, model: Mini) -> dict[str, float]:
        """Measure on the choice seeds and write it down."""
        found = check(model, self.tokenizer, self.checks)
        self.line(step=step, **found)
        return found


def main() -> None:
    """Draw, train, check, write the bundle."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--minutes", type=float, default=Recipe.minutes, help="a brake for a busy machine")
    parser.add_argument("--pictures", type=int, default=Recipe.pictures)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=JSON", help="any other field of the recipe")
    parser.add_argument("--out", type=Path, default=ROOT / "src" / "sextant" / "demo" / "mini")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "mini")
    parser.add_argument("--log", type=Path, default=ROOT / "training" / "mini.log.jsonl")
    parser.add_argument("--revision", default="1")
    options = parser.parse_args()
    extra = {name: json.loads(value) for name, value in (pair.split("=", 1) for pair in options.set)}
    recipe = Recipe(steps=options.steps, minutes=options.minutes, pictures=options.pictures, seed=options.seed, **extra)
    drawn, fronts = scene_set(options.cache, range(recipe.pictures)), facade_set(options.cache, range(recipe.facades))
    checks = choice_sets(options.cache)
    tokenizer = words.make_tokenizer(tokenizer_texts(drawn, fronts))
    with tempfile.NamedTemporaryFile() as meeting:
        job = (recipe, options, (drawn, fronts), checks, tokenizer.to_str(), meeting.name)
        if recipe.workers == 1:
            work(0, *job)
        else:
            Path(meeting.name).unlink()
            torch.multiprocessing.start_processes(work, job, recipe.workers, start_method="fork")
            Path(meeting.name).touch()


def choice_sets(cache: Path) -> dict[str, PictureSet]:
    """Pictures of the seeds on which choices are made, told in held-out words."""
    first = scenes.CHOICE_SEEDS[0]
    sets = {"trained": scene_set(cache, range(first, first + 1500), held_out=True)}
    for name, style in (("mild", scenes.MILD_STYLE), ("hard", scenes.HARD_STYLE)):
        sets[name] = scene_set(cache, range(first, first + 1000), style=style, held_out=True)
    return sets


def tokenizer_texts(drawn: PictureSet, fronts: PictureSet) -> list[str]:
    """What decides which words are whole: captions, and every phrase and template often enough to count."""
    said = [text for chosen in (drawn, fronts) for row in chosen.captions[:20_000] for text in row]
    single = [phrase for code in LABELS for phrase in PHRASES[code]]
    return said + 3 * [*single, *words.TEMPLATES, *words.FILLERS, *words.ABSENT, *words.LINKS]


def work(
    rank: int, recipe: Recipe, options: argparse.Namespace, sets: tuple[PictureSet, PictureSet],
    checks: dict[str, PictureSet], spelling: str, meeting: str,
) -> None:  # fmt: skip
    """One worker's run; the first one keeps the log and writes the bundle."""
    torch.set_num_threads(max(1, 2 // recipe.workers))
    if recipe.workers > 1:
        distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=recipe.workers)
    tokenizer = Tokenizer.from_str(spelling)
    texts = (Texts(tokenizer, sets[0].captions, recipe), Texts(tokenizer, sets[1].captions, recipe))
    log = Log(options.log, tokenizer, checks)
    if rank == 0:
        options.log.write_text("")
        log.line(recipe=asdict(recipe), vocabulary=texts[0].vocabulary)
    model = train(recipe, rank, sets, texts, log)
    if rank == 0:
        found = {"steps": log.steps, **log.check(-1, model)}
        write_bundle(options.out, model, tokenizer, asdict(recipe), found, options.revision, (MEAN, STD, SIZE))
    if recipe.workers > 1:
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
