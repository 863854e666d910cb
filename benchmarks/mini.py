"""Measures the embedded encoder on seeds that no choice was made on; prints the table of docs/mini.md.

python benchmarks/mini.py                    # the full measurement, about three minutes on two cores
python benchmarks/mini.py --pictures 300     # a quick look
python benchmarks/mini.py --card             # and write the figures into the bundle's card
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "training"))

import mini_foreign as foreign  # noqa: E402
from mini_metrics import average_precisions, calibration_error, hit_rate  # noqa: E402

from sextant.background import background_prompts  # noqa: E402
from sextant.demo import facades, scenes  # noqa: E402
from sextant.encoder import OnnxEncoder  # noqa: E402

BUNDLE = ROOT / "src" / "sextant" / "demo" / "mini"
CODES = scenes.ATTRIBUTES  # the derived ones follow from these by rule, without the encoder
KNOWN_TEMPLATES = ("a photo of {}", "a picture of {}", "an image of {}", "a view of {}", "{}")
# Their words are in no template, filler list or caption of the training: a test holds the vocabulary against them.
UNKNOWN_TEMPLATES = (
    "kindly retrieve whichever snapshots depict {}",
    "{} throughout yesterday's footage",
    "unmistakably {} according to our curator",
    "my uncle allegedly photographed {} nearby",
    "thumbnail concerning {} hereafter",
)
NOUN_FORMS = ("{}", "a {}", "a photo of a {}", "a drawing of a {}")
FIRST = scenes.TEST_SEEDS[0]


class Drawn:
    """Test pictures of one style with their truth and vectors."""

    def __init__(self, encoder: OnnxEncoder, style: str | None, count: int, first: int = FIRST) -> None:
        self.seeds = range(first, first + count)
        attributes, prepared = [], []
        for scene in scenes.draw_many(self.seeds, size=256, style=style, processes=2):
            attributes.append(scene.attributes)
            prepared.append(encoder.prepare(scene.image))
        self.labels = np.array([[code in row for code in CODES] for row in attributes], dtype=np.int8)
        self.vectors = encoder.encode_prepared(prepared)


def precisions(encoder: OnnxEncoder, drawn: Drawn, prompts: list[str]) -> np.ndarray:
    """Average precision of every attribute for one prompt each."""
    return average_precisions(drawn.vectors @ encoder.encode_texts(prompts).T, drawn.labels)


def template_figures(encoder: OnnxEncoder, drawn: Drawn, templates: tuple[str, ...]) -> float:
    """Mean AP over attributes and templates."""
    rows = [precisions(encoder, drawn, [t.format(scenes.PHRASES[c][0]) for c in CODES]) for t in templates]
    return float(np.nanmean(rows))


def phrase_figures(encoder: OnnxEncoder, drawn: Drawn, phrases: dict[str, tuple[str, ...]]) -> float:
    """Mean AP over attributes, each the mean over its phrases used alone."""
    figures = []
    for number, code in enumerate(CODES):
        vectors = encoder.encode_texts(list(phrases[code]))
        truth = np.repeat(drawn.labels[:, number : number + 1], len(vectors), axis=1)
        figures.append(float(np.mean(average_precisions(drawn.vectors @ vectors.T, truth))))
    return float(np.nanmean(figures))


def caption_figures(encoder: OnnxEncoder, drawn: Drawn, *, held_out: bool) -> list[float]:
    """Hit rate at 1 on sets of 500 captions against their 500 pictures, told anew in trained or held-out words."""
    rates = []
    for number in range(len(drawn.seeds) // 500):
        part = slice(500 * number, 500 * (number + 1))
        rng = np.random.default_rng([number, 41])
        told = [scenes.retellings(seed, rng, 1, held_out=held_out)[0] for seed in drawn.seeds[part]]
        similarity = encoder.encode_texts(told) @ drawn.vectors[part].T
        rates.append(round(hit_rate(similarity, np.eye(500, dtype=bool)), 3))
    return rates


def off_topic_figures(encoder: OnnxEncoder, drawn: Drawn) -> dict[str, list[float]]:
    """The highest probability of phrases that fit no picture, over all pictures: median and 90 % of each kind.

    No phrase of them is a training text. Words of the background prompts that the tokenizer knows whole were trained as
    absent long ago, so those of other words are given besides; the other kinds are words that training never saw.
    """
    known = set(json.loads((BUNDLE / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"])
    background = list(background_prompts())
    kinds = {
        "background": background,
        "background_unseen": [text for text in background if not set(_told(text)) & known],
        "held_out_nouns": [form.format(noun) for noun in foreign.held_out() for form in NOUN_FORMS],
        "compounds": [f"a photo of {text}" for text in foreign.never_trained("compounds")],
    }
    found = {}
    for kind, texts in kinds.items():
        logits = drawn.vectors @ encoder.encode_texts(texts).T * encoder.logit_scale + encoder.logit_bias
        top = 1 / (1 + np.exp(-logits.max(axis=0)))
        found[kind] = [round(float(np.quantile(top, q)), 4) for q in (0.5, 0.9)]
    return found


def _told(text: str) -> list[str]:
    """The words of a prompt that say what it is of."""
    return [word for word in foreign.bare(text).split() if len(word) > 2]


def draw_rate(count: int = 64) -> float:
    """Pictures of 256 pixels a second in two processes: twice what this one process draws."""
    begun = time.perf_counter()
    for seed in range(FIRST, FIRST + count):
        scenes.draw(seed, size=256)
    return 2 * count / (time.perf_counter() - begun)


def facade_figures(encoder: OnnxEncoder, per_class: int) -> tuple[float, float]:
    """Zero-shot accuracy over the 24 styles and over the six clusters, by the first prompt of every style."""
    prompts = encoder.encode_texts([facades.PROMPTS[code][0] for code in facades.STYLES])
    with tempfile.TemporaryDirectory() as folder:
        from PIL import Image

        paths = facades.collection(folder, per_class, seed=FIRST, size=256, processes=2)
        vectors = encoder.encode_images([Image.open(path).convert("RGB") for path in paths])
    truth = np.repeat(np.arange(len(facades.STYLES)), per_class)
    found = (vectors @ prompts.T).argmax(1)
    cluster = np.array([number for number, codes in enumerate(facades.CLUSTERS.values()) for _ in codes])
    return float(np.mean(found == truth)), float(np.mean(cluster[found] == cluster[truth]))


def speed_figures() -> dict[str, float]:
    """Loading (both towers opened and used once) and encoding of prepared pictures, the best of five; drawing."""
    loads = []
    for _ in range(5):
        begun = time.perf_counter()
        encoder = OnnxEncoder(BUNDLE, threads=2)
        blank = np.zeros((3, encoder.card.image_size, encoder.card.image_size), dtype=np.float32)
        encoder.encode_prepared([blank])
        encoder.encode_texts(["the earth"])
        loads.append(time.perf_counter() - begun)
    rates = []
    for _ in range(5):
        begun = time.perf_counter()
        encoder.encode_prepared([blank] * 512)
        rates.append(512 / (time.perf_counter() - begun))
    megabytes = sum(path.stat().st_size for path in BUNDLE.iterdir() if path.is_file()) / 1e6
    return {
        "load_seconds": min(loads),
        "pictures_per_second": max(rates),
        "megabytes": megabytes,
        "draws_per_second": draw_rate(),
    }


def measure(count: int, speeds: dict[str, float] | None = None) -> dict[str, Any]:
    """Every figure of docs/mini.md; `speeds` are taken over where they are given."""
    encoder = OnnxEncoder(BUNDLE, threads=2)
    figures: dict[str, Any] = {**(speeds or speed_figures())}
    plain = [scenes.PHRASES[code][0] for code in CODES]
    trained = Drawn(encoder, None, count)
    each = precisions(encoder, trained, plain)
    figures["map_trained"] = float(np.nanmean(each))
    for name, style in (("mild", scenes.MILD_STYLE), ("hard", scenes.HARD_STYLE)):
        drawn = Drawn(encoder, style, count)
        figures[f"map_{name}"] = float(np.nanmean(precisions(encoder, drawn, plain)))
    figures["map_known_templates"] = template_figures(encoder, trained, KNOWN_TEMPLATES)
    figures["map_unknown_templates"] = template_figures(encoder, trained, UNKNOWN_TEMPLATES)
    figures["map_held_out_phrases"] = phrase_figures(encoder, trained, scenes.HELD_OUT_PHRASES)
    figures["hit_rate"] = caption_figures(encoder, trained, held_out=False)[:5]
    figures["hit_rate_held_out_words"] = caption_figures(encoder, trained, held_out=True)[:5]
    figures["facade_styles"], figures["facade_clusters"] = facade_figures(encoder, max(4, count // 60))
    logits = trained.vectors @ encoder.encode_texts(plain).T * encoder.logit_scale + encoder.logit_bias
    figures["ece"] = calibration_error(1 / (1 + np.exp(-logits.ravel())), trained.labels.ravel() == 1)
    figures["off_topic"] = off_topic_figures(encoder, trained)
    figures["pictures"] = count
    prevalence = trained.labels.mean(0)
    figures["attributes"] = {
        code: {"ap": round(float(ap), 3), "prevalence": round(float(share), 4)}
        for code, ap, share in zip(CODES, each, prevalence, strict=True)
    }
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}


def table(figures: dict[str, Any]) -> str:
    """The figures as Markdown."""
    frequent = {code: row["ap"] for code, row in figures["attributes"].items() if row["prevalence"] >= 0.02}
    weakest = min(frequent, key=lambda code: frequent[code])
    hits, foreign = figures["hit_rate"], figures["hit_rate_held_out_words"]
    lost = 100 * (figures["map_known_templates"] - figures["map_unknown_templates"])
    rows = [
        ("mean AP, trained styles", "≥ .90", f"{figures['map_trained']:.3f}"),
        (f"mean AP, mild held-out style ({scenes.MILD_STYLE})", "≥ .82", f"{figures['map_mild']:.3f}"),
        (f"mean AP, hard held-out style ({scenes.HARD_STYLE})", "≥ .75", f"{figures['map_hard']:.3f}"),
        (f"weakest attribute of prevalence ≥ 2 % ({weakest})", "≥ .50", f"{frequent[weakest]:.3f}"),
        ("mean AP, held-out phrases", "–", f"{figures['map_held_out_phrases']:.3f}"),
        ("mean AP, known templates", "–", f"{figures['map_known_templates']:.3f}"),
        ("mean AP, templates of unknown words: points lost", "≤ 3", f"{lost:.1f}"),
        (f"hit rate@1, {len(hits)} × 500 new captions", "≥ .60", " ".join(f"{h:.2f}" for h in hits)),
        ("the same, captions in held-out words", "–", " ".join(f"{h:.2f}" for h in foreign)),
        ("façade styles zero-shot, 24 classes", ".15–.65", f"{figures['facade_styles']:.3f}"),
        ("façade clusters zero-shot, 6 classes", "–", f"{figures['facade_clusters']:.3f}"),
        ("expected calibration error of sigmoid(logit)", "–", f"{figures['ece']:.4f}"),
        *off_topic_rows(figures["off_topic"]),
        ("encoding, pictures a second", "≥ 1,000", f"{figures['pictures_per_second']:,.0f}"),
        ("drawing, pictures of 256 pixels a second", "≥ 100", f"{figures['draws_per_second']:,.0f}"),
        ("loading both towers, seconds", "≤ 0.3", f"{figures['load_seconds']:.2f}"),
        ("bundle, megabytes", "≤ 8", f"{figures['megabytes']:.1f}"),
    ]
    lines = ["| figure | wanted | measured |", "|---|---|---|", *(f"| {a} | {b} | {c} |" for a, b, c in rows), ""]
    lines += ["| attribute | prevalence | AP |", "|---|---|---|"]
    lines += [
        f"| {code} | {100 * r['prevalence']:.1f} % | {r['ap']:.2f} |" for code, r in figures["attributes"].items()
    ]
    return "\n".join(lines)


def known_speeds(card: Path) -> dict[str, float]:
    """The speeds that a card gives: for a busy machine, where the visual tower and the drawing are the same."""
    quality = json.loads(card.read_text(encoding="utf-8"))["quality"]
    return {key: quality[key] for key in ("load_seconds", "pictures_per_second", "megabytes", "draws_per_second")}


def off_topic_rows(figures: dict[str, list[float]]) -> list[tuple[str, str, str]]:
    """Lines of the table for phrases that fit no picture."""
    names = {
        "background": ("the 200 background prompts", "< .05 / < .5"),
        "background_unseen": ("those of them without a known word", "< .05 / < .5"),
        "held_out_nouns": (f"{len(foreign.held_out())} nouns never trained, in four forms", "< .05 / < .5"),
        "compounds": ("known words in compounds never trained (a hotel room)", "–"),
    }
    return [
        (f"off-topic top, median / 90 %: {names[kind][0]}", names[kind][1], f"{median:.3f} / {high:.3f}")
        for kind, (median, high) in figures.items()
    ]


def main() -> None:
    """Measure, print, and on request write into the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=3000, help="test pictures of each style (default 3000)")
    parser.add_argument("--card", action="store_true", help="write the figures into the bundle's card")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--speeds", type=Path, metavar="CARD", help="take the speeds over from this card's figures")
    options = parser.parse_args()
    figures = measure(options.pictures, known_speeds(options.speeds) if options.speeds else None)
    print(json.dumps(figures, indent=1) if options.json else table(figures))
    if options.card:
        path = BUNDLE / "card.json"
        card = json.loads(path.read_text(encoding="utf-8"))
        card["quality"] = {"measured_by": f"benchmarks/mini.py on seeds from {FIRST}", **figures}
        path.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
