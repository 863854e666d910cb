"""Fine-tunes mini to the demo's façades, ours beside the reference recipe; prints the tables of docs/finetuning.md.

python benchmarks/finetune.py --out /tmp/tune                                    # 5,040 façades, both recipes, one seed
python benchmarks/finetune.py --out /tmp/tune --seeds 3 --ablate                 # three seeds, and each decision turned
python benchmarks/finetune.py --out /tmp/tune --per-class 60 --recipes quick     # a quick look
python benchmarks/finetune.py --out /tmp/tune --report-only                      # tables of the runs that are there

Where threads of other programs wait for the same cores, one thread is ten times faster than two.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from sextant import finetune
from sextant.demo import facades, scenes
from sextant.encoder import OnnxEncoder
from sextant.maths.metrics import average_precision
from sextant.train.pair import MINI
from sextant.train.run import Run

ROOT = Path(__file__).resolve().parents[1]
PROMPTS = ROOT / "src" / "sextant" / "demo" / "facades.yaml"
FACADE_SEED, SCENE_SEED = 31_000_000, 11_500_000
SCENES = 600


def main() -> None:
    asked = arguments()
    asked.out.mkdir(parents=True, exist_ok=True)
    data = asked.data or asked.out / "facades"
    if not (data / "truth.jsonl").is_file():
        facades.collection(data, asked.per_class, seed=FACADE_SEED, processes=2)
    rows = []
    drawn = [scenes.draw(SCENE_SEED + k) for k in range(SCENES)]
    before = space(MINI, drawn)
    for name in asked.recipes:
        for seed in range(asked.seeds):
            folder = asked.run or asked.out / f"{name}-{seed}"
            request = finetune.Request(source=data, out=folder, recipe=name, prompts=PROMPTS, seed=seed,
                                       ablate=asked.ablate and not seed)  # fmt: skip
            if asked.report_only and not (folder / "scorecard.json").is_file():
                continue
            report = finetune.finetune(request)
            rows.append(line(name, seed, folder, request, report, drawn, before))
            for row in report.ablations:
                print(f"| {row['name']} | {row['accuracy']:.3f} | {row['difference']} | {row['ece']:.3f} "
                      f"| {row['outside']:.3f} | {row['seconds']:.0f} |", flush=True)  # fmt: skip
    head = ("recipe", "seed", "base", "accuracy", "macro-F1", "ECE before", "ECE after", "gates", "space AP lost",
            "heads s/epoch", "blocks s/epoch", "train s")  # fmt: skip
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for cells in rows:
        print("| " + " | ".join(cells) + " |")


def arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="façades that are drawn already")
    parser.add_argument("--run", type=Path, help="a run's own folder, in place of one by recipe and seed")
    parser.add_argument("--per-class", type=int, default=210)
    parser.add_argument("--recipes", nargs="+", default=["full", "reference"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--ablate", action="store_true")
    parser.add_argument("--report-only", action="store_true")
    return parser.parse_args()


def line(
    name: str, seed: int, folder: Path, request: finetune.Request, report: Any, drawn: list[Any], before: float
) -> list[str]:
    card, run = report.scorecard, Run(folder, finetune.order(request, None))
    tuned, base, trained = card["tuned"]["figures"], card["base"]["figures"], run.to("train")
    stages = {stage: trained[stage] for stage in ("heads", "blocks") if stage in trained}
    return [
        name, str(seed), f"{base['accuracy']['value']:.3f}", _interval(tuned["accuracy"]), _interval(tuned["macro_f1"]),
        _interval(card["tuned"]["ece_uncalibrated"]), _interval(tuned["ece"]),
        f"{sum(gate['passed'] for gate in card['gates'])} of 7",
        f"{100 * (before - space(folder / 'bundle', drawn)):+.1f}",
        *(f"{stages[s]['seconds_an_epoch']:.1f}" if s in stages else "–" for s in ("heads", "blocks")),
        f"{sum(stage['seconds'] for stage in stages.values()):.0f}",
    ]  # fmt: skip


def _interval(figure: dict[str, float]) -> str:
    return f"{figure['value']:.3f} ({figure['low']:.3f}–{figure['high']:.3f})"


def space(bundle: Path, drawn: list[Any]) -> float:
    """Mean average precision of the space attributes on scenes that nothing was chosen on, by their first phrase."""
    encoder = OnnxEncoder(bundle, device="cpu", precision="fp32")
    rows = encoder.encode_images([scene.image for scene in drawn])
    texts = encoder.encode_texts([scenes.PHRASES[code][0] for code in scenes.ATTRIBUTES])
    shown = np.array([[code in scene.attributes for code in scenes.ATTRIBUTES] for scene in drawn])
    found = [average_precision(rows @ texts[k], shown[:, k]) for k in range(len(texts)) if shown[:, k].sum() >= 5]
    return float(np.mean(found))


if __name__ == "__main__":
    main()
