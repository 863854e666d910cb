"""Fine-tunes mini to the demo's façades or to photos of yours, ours beside the reference recipe; prints the tables.

python benchmarks/finetune.py --out /tmp/tune                                    # 5,040 façades, both recipes, one seed
python benchmarks/finetune.py --out /tmp/tune --seeds 3                          # three seeds, as in docs/finetuning.md
python benchmarks/finetune.py --out /tmp/tune --epochs                           # an epoch of stage 1, ours and theirs
python benchmarks/finetune.py --out /tmp/small --per-class 100 --recipes full --ablate   # each decision turned round
python benchmarks/finetune.py --out /tmp/tune --seeds 3 --report-only            # tables of the runs that are there
python benchmarks/finetune.py --out /tmp/clothes --seeds 3 --data ../shared/real/photos/clothing/test \
    --photos ../shared/real/photos/caltech101                                    # 372 real photos of clothes

Where threads of other programs wait for the same cores, one thread is ten times faster than two: OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from sextant import finetune
from sextant.demo import facades, scenes
from sextant.encoder import OnnxEncoder
from sextant.maths.metrics import average_precision
from sextant.train.ablation import paired, right_answers
from sextant.train.fit import Fitting
from sextant.train.pair import MINI
from sextant.train.recipe import named
from sextant.train.run import Run

ROOT = Path(__file__).resolve().parents[1]
PROMPTS = ROOT / "src" / "sextant" / "demo" / "facades.yaml"
FACADE_SEED, SCENE_SEED = 31_000_000, 11_500_000
SCENES = 1500
TIMED = 3
HEAD = ("recipe", "seed", "base", "accuracy", "macro-F1", "hard negatives", "R@1", "ECE before", "ECE after",
        "noise p95", "gates", "space AP lost", "heads s/epoch", "blocks s/epoch", "train s")  # fmt: skip


def main() -> None:
    asked = arguments()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.data is None:
        asked.data, asked.classes = asked.out / "facades", PROMPTS
        if not (asked.data / "truth.jsonl").is_file():
            facades.collection(asked.data, asked.per_class, seed=FACADE_SEED, processes=2)
    if asked.epochs:
        epochs(asked)
        return
    drawn = [scenes.draw(SCENE_SEED + k) for k in range(SCENES)]
    before, rows, cards = space(MINI, drawn), [], {}
    for name in asked.recipes:
        for seed in range(asked.seeds):
            folder = asked.out / f"{name}-{seed}"
            if not asked.report_only:
                report = finetune.finetune(request(asked, name, seed))
                ablations(report.ablations)
            if (folder / "scorecard.json").is_file():
                lost = 100 * (before - space(folder / "bundle", drawn))
                cards[name, seed] = read(folder), lost
                rows.append(line(name, seed, *cards[name, seed]))
    table(HEAD, rows)
    if len(asked.recipes) > 1:
        beside(asked, cards)


def arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="a folder of labelled pictures in place of drawn façades")
    parser.add_argument("--classes", type=Path, help="what its classes are called")
    parser.add_argument("--photos", type=Path, help="photos that show none of them")
    parser.add_argument("--per-class", type=int, default=210)
    parser.add_argument("--recipes", nargs="+", default=["full", "reference"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--ablate", action="store_true")
    parser.add_argument("--epochs", action="store_true", help="time epochs of stage 1 alone")
    parser.add_argument("--report-only", action="store_true")
    return parser.parse_args()


def request(asked: Any, name: str, seed: int) -> finetune.Request:
    """What the command line would ask for."""
    return finetune.Request(
        source=asked.data, out=asked.out / f"{name}-{seed}", recipe=name, prompts=asked.classes, seed=seed,
        photos=asked.photos, ablate=asked.ablate and not seed,
    )  # fmt: skip


def ablations(rows: tuple[dict[str, Any], ...]) -> None:
    """Each decision turned round: the difference in accuracy, ECE, noise, what is kept of the base, seconds."""
    for row in rows:
        figures = (f"{row['accuracy']:.3f}", row["difference"], f"{row['ece']:.3f}", f"{row['noise']:.2f}",
                   f"{row['outside']:.3f}", f"{row['seconds']:.0f}")  # fmt: skip
        print("| " + " | ".join((row["name"], *figures)) + " |", flush=True)


def read(folder: Path) -> dict[str, Any]:
    """What the steps of a finished run wrote."""
    return {step: json.loads((folder / f"{step}.json").read_text()) for step in ("train", "scorecard")}


def line(name: str, seed: int, found: dict[str, Any], lost: float) -> list[str]:
    card, trained = found["scorecard"], found["train"]
    tuned, base = card["tuned"]["figures"], card["base"]["figures"]
    stages = {stage: trained[stage] for stage in ("heads", "blocks") if stage in trained}
    return [
        name, str(seed), f"{base['accuracy']['value']:.3f}",
        *(_interval(tuned.get(name)) for name in ("accuracy", "macro_f1", "hard_negative_pass_rate", "semantic_r1")),
        _interval(card["tuned"]["ece_uncalibrated"]), _interval(tuned["ece"]),
        f"{card['tuned']['outside']['noise']['p95']:.2f}",
        f"{sum(gate['passed'] for gate in card['gates'])} of 7", f"{lost:+.1f}",
        *(f"{stages[s]['seconds_an_epoch']:.1f}" if s in stages else "–" for s in ("heads", "blocks")),
        f"{_seconds(trained):.0f}",
    ]  # fmt: skip


def beside(asked: Any, cards: dict[tuple[str, int], Any]) -> None:
    """Ours against the second recipe: means over the seeds, and the accuracy of both on the same test images."""
    ours, theirs = asked.recipes[:2]
    seeds = [seed for seed in range(asked.seeds) if (ours, seed) in cards and (theirs, seed) in cards]
    if not seeds:
        return
    figures = {
        "accuracy": lambda c: c["scorecard"]["tuned"]["figures"]["accuracy"]["value"],
        "macro-F1": lambda c: c["scorecard"]["tuned"]["figures"]["macro_f1"]["value"],
        "ECE, calibrated": lambda c: c["scorecard"]["tuned"]["figures"]["ece"]["value"],
        "noise, 95 % of top confidences": lambda c: c["scorecard"]["tuned"]["outside"]["noise"]["p95"],
        "seconds of training": lambda c: _seconds(c["train"]),
    }
    rows = []
    for name, figure in figures.items():
        a, b = (np.array([figure(cards[recipe, seed][0]) for seed in seeds]) for recipe in (ours, theirs))
        rows.append([name, _mean(a), _mean(b), _mean(a - b, sign=True)])
    lost = [np.array([cards[recipe, seed][1] for seed in seeds]) for recipe in (ours, theirs)]
    rows.append(["space AP lost, points", _mean(lost[0]), _mean(lost[1]), _mean(lost[0] - lost[1], sign=True)])
    print()
    table((f"mean of {len(seeds)} seeds (95 %, t)", ours, theirs, "difference"), rows)
    gaps, groups = [], []
    for seed in seeds:
        runs = [Run(asked.out / f"{recipe}-{seed}", finetune.order(request(asked, recipe, seed), None))
                for recipe in (ours, theirs)]  # fmt: skip
        gaps.append(right_answers(runs[0]) - right_answers(runs[1]))
        groups.append(np.array(runs[0].to("split")["groups"])[runs[0].part("test")] + 1_000_000 * seed)
    value, low, high = paired(np.concatenate(gaps), np.concatenate(groups))
    print(f"\naccuracy on the same {sum(map(len, gaps)):,} test answers: {ours} − {theirs} = {value:+.3f} "
          f"({low:+.3f} to {high:+.3f}, resampled by sets of near-duplicates)")  # fmt: skip


def epochs(asked: Any) -> None:
    """An epoch of stage 1 of both recipes, in turns, on the same pictures and in the same process."""
    runs = {name: Run(asked.out / f"{name}-0", finetune.order(request(asked, name, 0), None)) for name in asked.recipes}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(TIMED):
        for name, run in runs.items():
            material = run.material()
            with tempfile.TemporaryDirectory() as scratch:
                recipe = named(name).changed(heads_epochs=2, blocks_epochs=0)
                told = Fitting(run.open_base(), recipe, material, Path(scratch), seed=0).fit()["heads"]
                seconds[name].append(told["history"][-1]["seconds"])
                print(f"{name}: {seconds[name][-1]:.2f} s for {told['rows']:,} rows", flush=True)
    medians = [float(np.median(values)) for values in seconds.values()]
    print("ratio of the second to the first: " + ", ".join(f"{m / medians[0]:.1f}" for m in medians[1:]))


def space(bundle: Path, drawn: list[Any]) -> float:
    """Mean average precision of the space attributes on scenes that nothing was chosen on, by their first phrase."""
    encoder = OnnxEncoder(bundle, device="cpu", precision="fp32")
    rows = encoder.encode_images([scene.image for scene in drawn])
    texts = encoder.encode_texts([scenes.PHRASES[code][0] for code in scenes.ATTRIBUTES])
    shown = np.array([[code in scene.attributes for code in scenes.ATTRIBUTES] for scene in drawn])
    found = [average_precision(rows @ texts[k], shown[:, k]) for k in range(len(texts)) if shown[:, k].sum() >= 5]
    return float(np.mean(found))


def table(head: tuple[str, ...], rows: list[list[str]]) -> None:
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for cells in rows:
        print("| " + " | ".join(cells) + " |")


def _seconds(trained: dict[str, Any]) -> float:
    return float(sum(trained[stage]["seconds"] for stage in ("heads", "blocks") if stage in trained))


def _interval(figure: dict[str, float] | None) -> str:
    return "–" if figure is None else f"{figure['value']:.3f} ({figure['low']:.3f}–{figure['high']:.3f})"


def _mean(values: Any, *, sign: bool = False) -> str:
    mean, n = float(values.mean()), len(values)
    digits = 0 if abs(mean) >= 100 else 1 if abs(mean) >= 10 else 3
    text = f"{mean:+.{digits}f}" if sign else f"{mean:.{digits}f}"
    if n < 2:
        return text
    half = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return f"{text} (± {half:.{digits}f})"


if __name__ == "__main__":
    main()
