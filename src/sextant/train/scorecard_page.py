"""A scorecard as Markdown and as one HTML page that needs nothing else, pictures included.

Written from the JSON of a finished run alone, so that it can be written again, with an ablation table or another run
beside it. No network is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant import figures
from sextant.errors import MissingExtra
from sextant.manifest import replacing
from sextant.maths.metrics import Bin
from sextant.train import gates, scorecard_pictures

ALLOWED = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
NAMES = {
    "accuracy": "accuracy", "macro_f1": "macro-F1", "ece": "ECE after calibration",
    "hard_negative_pass_rate": "hard-negative pass rate", "hard_negative_margin": "hard-negative margin (cosine)",
    "semantic_r1": "R@1", "semantic_r3": "R@3", "semantic_r5": "R@5", "semantic_mrr": "MRR",
    "noise_confidence_p95": "noise: 95 % of top confidences are below",
    "int8_latency_p95_ms": "int8 latency, 95 % are below (ms)",
}  # fmt: skip
EXAMPLES, CONFUSIONS = 4, 12
NOISE_LIMIT = 0.5


def write(folder: Path, found: dict[str, Any], beside: dict[str, Any] | None = None) -> None:
    """`scorecard.md` and `scorecard.html` in a run's folder. Without matplotlib the page lacks reliability diagrams."""
    pictures = np.load(folder / "pictures.npy", mmap_mode="r", allow_pickle=False)
    path = folder / "ablations.json"
    ablations = json.loads(path.read_text(encoding="utf-8")).get("lines") if path.is_file() else None
    with replacing(folder / "scorecard.md") as file:
        file.write(markdown(found).encode())
    with replacing(folder / "scorecard.html") as file:
        file.write(Page(found, pictures, folder, ablations, beside).html().encode())


def markdown(found: dict[str, Any]) -> str:
    """The gates, the figures before and after, and the classes."""
    lines = [f"# Scorecard: {'ready' if found['ready'] else 'not ready'}", ""]
    lines += [
        f"{found['images']:,} held-out images of {len(found['classes'])} classes; recipe {found['recipe']['name']}.",
        "",
    ]
    lines += ["| gate | wanted | measured (95 %) | n | |", "|---|---|---|---|---|"]
    for gate in found["gates"]:
        lines.append(f"| {NAMES[gate['name']]} | {gate['better']} {gate['limit']:g} | {_figure(gate)} | "
                     f"{_count(found, gate['name'])} | {'passed' if gate['passed'] else 'FAILED'} |")  # fmt: skip
    lines += ["", "| figure (95 % interval) | before | after |", "|---|---|---|"]
    for name in found["tuned"]["figures"]:
        sides = [_figure(found[which]["figures"].get(name)) for which in ("base", "tuned")]
        lines.append(f"| {NAMES.get(name, name)} | {sides[0]} | {sides[1]} |")
    sides = [_figure(found[which]["ece_uncalibrated"]) for which in ("base", "tuned")]
    lines.append(f"| ECE before calibration | {sides[0]} | {sides[1]} |")
    lines += ["", "| outside pictures | n | before: p95 | after: p95 |", "|---|---|---|---|"]
    for kind, after in found["tuned"]["outside"].items():
        lines.append(
            f"| {kind} | {after['n']} | {_percentile(found['base']['outside'][kind])} | {_percentile(after)} |"
        )
    lines += ["", "| changed picture | n | mean cosine | same answer (95 %) |", "|---|---|---|---|"]
    for kind, line in found["tuned"]["stability"].items():
        lines.append(f"| {kind} | {line['n']} | {line['mean_cosine']:.3f} | {_share(line)} |")
    lines += ["", "| class | images | precision | recall | F1 |", "|---|---|---|---|---|"]
    for row in found["tuned"]["by_class"]:
        support = f"{row['support']}{' (few)' if row['small'] else ''}"
        lines.append(
            f"| {row['class']} | {support} | {_figure(row['precision'])} | {_figure(row['recall'])} | {row['f1']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def _figure(figure: dict[str, Any] | None) -> str:
    if figure is None or figure["value"] is None:
        return "–" if figure is None or "limit" not in figure else "missing"
    if figure["low"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} ({figure['low']:.3f}–{figure['high']:.3f})"


def _percentile(line: dict[str, Any]) -> str:
    return f"{line['p95']:.3f} ({line['p95_low']:.3f}–{line['p95_high']:.3f})"


def _share(line: dict[str, Any]) -> str:
    return f"{100 * line['same_answer']:.1f} % ({100 * line['low']:.1f}–{100 * line['high']:.1f})"


def _count(found: dict[str, Any], gate: str) -> str:
    """What a gate's figure was measured on."""
    if gate.startswith("noise"):
        noise = found["tuned"]["outside"].get("noise")
        return f"{noise['n']} pictures" if noise else "–"
    if gate.startswith("int8"):
        return f"{found.get('latency_n') or '–'} timings"
    return f"{found['images']:,} images"


class Page:
    """The page of one scorecard; `pictures` (n, s, s, 3) are those of the whole run."""

    def __init__(
        self, found: dict[str, Any], pictures: NDArray[np.uint8], folder: Path,
        ablations: list[dict[str, Any]] | None, beside: dict[str, Any] | None,
    ) -> None:  # fmt: skip
        self.found, self.pictures, self.folder, self.ablations, self.beside = found, pictures, folder, ablations, beside
        self.classes: list[str] = found["classes"]
        self.rows = np.array(found["test"]["rows"], np.intp)
        self.labels = np.array(found["test"]["labels"], np.intp)
        self.answers = np.array(found["tuned"]["answers"], np.intp)

    def html(self) -> str:
        """The whole page."""
        css = "".join((files("sextant") / name).read_text(encoding="utf-8") for name in ("report.css", "scorecard.css"))
        body = "\n".join([
            *self.head(), *self.gates(), *self.figures(), *self.side_by_side(), *self.reliability(), *self.outside(),
            *self.stability(), *self.table_of_classes(), *self.confusions(), *self.matrix(), *self.map(),
            *self.ablation(), *self.source(),
        ])  # fmt: skip
        return (
            f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Scorecard</title>\n'
            f'<meta http-equiv="Content-Security-Policy" content="{ALLOWED}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<style>\n{css}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
        )

    def head(self) -> Iterator[str]:
        """The verdict, and what it rests on."""
        found, about = self.found, self.found["about"]
        passed = sum(gate["passed"] for gate in found["gates"])
        yield f"<h1>{'Ready' if found['ready'] else 'Not ready'}: {passed} of {len(found['gates'])} gates</h1>"
        yield f'<p class="soft">{escape(about["base"])} fine-tuned by the recipe {escape(found["recipe"]["name"])}, '
        yield f"seed {about['seed']}, measured on {found['images']:,} images of {len(self.classes)} classes that "
        yield "nothing was learnt from, chosen by or calibrated on.</p>"
        parts = about["parts"]
        facts = [(f"{parts['train']:,}", "to learn from"), (f"{parts['choice']:,}", "to choose by"),
                 (f"{parts['calibration']:,}", "to calibrate on"), (f"{parts['test']:,}", "to test on"),
                 (f"{about['near_duplicates']:,}", "near-duplicates, never in two parts"),
                 (f"{about['skipped']:,}", "files left out, listed in data.json")]  # fmt: skip
        yield '<ul class="facts">' + "".join(f"<li><b>{n}</b>{escape(what)}</li>" for n, what in facts) + "</ul>"
        yield '<p class="soft">Every interval is 95 %: figures by resampling sets of near-duplicates '
        yield f"{gates.RESAMPLES:,} times, shares of a class exactly (Clopper–Pearson). Before is the base as it came, "
        yield "after is the tuned encoder, on the same images. A figure that is missing fails its gate.</p>"

    def gates(self) -> Iterator[str]:
        """The seven gates."""
        yield "<h2>Gates</h2>" + _open("gate", "wanted", "measured (95 %)", "n", "", "at the worse end")
        for gate in self.found["gates"]:
            mark = '<b class="pass">passed</b>' if gate["passed"] else '<b class="fail">failed</b>'
            sure = "passes, too" if gate["sure"] else "–" if gate["low"] is None else "would fail"
            wanted = escape(f"{gate['better']} {gate['limit']:g}")
            yield _line(NAMES[gate["name"]], wanted, _figure(gate), _count(self.found, gate["name"]), mark, sure)
        yield "</tbody></table></div>" + self._by("sextant scorecard {run}")

    def figures(self) -> Iterator[str]:
        """All figures before and after."""
        found = self.found
        yield f"<h2>Before and after</h2>{_open('figure (95 %)', 'before', 'after', 'n')}"
        for name in found["tuned"]["figures"]:
            sides = [_figure(found[which]["figures"].get(name)) for which in ("base", "tuned")]
            yield _line(NAMES.get(name, name), *sides, f"{found['images']:,}")
        sides = [_figure(found[which]["ece_uncalibrated"]) for which in ("base", "tuned")]
        yield _line("ECE before calibration", *sides, f"{found['images']:,}")
        yield f'</tbody></table></div><p class="soft">ECE in {gates.BINS} bins of equal width. The temperature was '
        yield f"fitted on the {found['about']['parts']['calibration']:,} calibration images: "
        yield f"{found['base']['temperature']:.2f} before, {found['tuned']['temperature']:.2f} after.</p>"
        yield self._by("sextant scorecard {run} --json")

    def side_by_side(self) -> Iterator[str]:
        """Another run on the same test images."""
        if self.beside is None:
            return
        one, other = self.beside["ours"], self.beside["theirs"]
        yield f"<h2>Beside the recipe {escape(other['recipe'])}</h2>"
        yield _open(
            "figure", f"{escape(one['recipe'])} (this run)", escape(other["recipe"]), "difference (95 %, paired)"
        )
        for row in self.beside["rows"]:
            gap = f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
            yield _line(NAMES.get(row["name"], row["name"]), f"{row['ours']:.3f}", f"{row['theirs']:.3f}", gap)
        yield _line("training, seconds", *(_seconds(side["seconds"]) for side in (one, other)),
                    _ratio(other["seconds"], one["seconds"]))  # fmt: skip
        for stage in ("heads", "blocks"):
            each = [side["seconds_an_epoch"].get(stage) for side in (one, other)]
            if any(each):
                name = f"seconds an epoch, stage {1 if stage == 'heads' else 2}"
                yield _line(name, *(_seconds(value) for value in each), _ratio(each[1], each[0]))
        yield f'</tbody></table></div><p class="soft">{self.beside["images"]:,} test images that both runs have; each '
        yield "image's two answers are resampled together. A difference whose interval holds 0 is none.</p>"
        yield self._by(f"sextant scorecard {{run}} --beside {escape(other['run'])}")

    def reliability(self) -> Iterator[str]:
        """How often answers of a confidence are right, of both encoders, before and after calibration."""
        yield '<h2>How far to believe it</h2><div class="figures four">'
        for side, name in (("base", "base"), ("tuned", "tuned")):
            for which in ("before", "after"):
                try:
                    bars = [Bin(**bar) for bar in self.found[side]["reliability"][which]]
                    svg = figures.reliability(bars)
                except MissingExtra:
                    yield "<p>Diagrams need the extra <code>plots</code>.</p></div>"
                    return
                ece = self.found[side]["ece_uncalibrated"] if which == "before" else self.found[side]["figures"]["ece"]
                yield f"<figure>{svg}<figcaption>{name}, {which} calibration: ECE {_figure(ece)}, "
                yield f"{self.found['images']:,} images. On the line the promise is kept.</figcaption></figure>"
        yield "</div>"

    def outside(self) -> Iterator[str]:
        """Pictures that are none of the classes, by kind, as histograms and figures."""
        found = self.found
        yield '<h2>Pictures that are none of it</h2><p class="soft">How sure the softmax over the classes is of '
        yield "pictures that show none of them: after in green, before outlined, the noise gate's limit dashed.</p>"
        yield '<div class="figures">'
        for kind, after in found["tuned"]["outside"].items():
            before = found["base"]["outside"][kind]
            svg = scorecard_pictures.outside(kind, before, after, NOISE_LIMIT)
            yield f"<figure>{svg}<figcaption><b>{escape(kind)}</b>, {after['n']} pictures: 95 % are below "
            yield f"{_percentile(after)}; before {_percentile(before)}</figcaption></figure>"
        yield "</div>"

    def stability(self) -> Iterator[str]:
        """Pictures that are a little changed."""
        yield "<h2>Pictures that are a little changed</h2>"
        yield _open("change", "n", "mean cosine", "least cosine", "same answer (95 %)", "same answer before (95 %)")
        for kind, line in self.found["tuned"]["stability"].items():
            cells = f"{line['n']:,}", f"{line['mean_cosine']:.3f}", f"{line['least_cosine']:.3f}", _share(line)
            yield _line(kind, *cells, _share(self.found["base"]["stability"][kind]))
        yield "</tbody></table></div>"

    def table_of_classes(self) -> Iterator[str]:
        """Each class with exact intervals."""
        yield "<h2>The classes</h2>" + _open("class", "n", "precision (95 %)", "recall (95 %)", "F1", "F1 before")
        for row, before in zip(self.found["tuned"]["by_class"], self.found["base"]["by_class"], strict=True):
            support = f"{row['support']}{' (few)' if row['small'] else ''}"
            cells = _figure(row["precision"]), _figure(row["recall"]), f"{row['f1']:.3f}", f"{before['f1']:.3f}"
            yield _line(row["class"], support, *cells)
        yield "</tbody></table></div>"

    def confusions(self) -> Iterator[str]:
        """The most frequent confusions with pictures, each beside one that really is what it was taken for."""
        yield '<h2>What is taken for what</h2><p class="soft">The most frequent confusions, each with a picture that '
        yield 'really is what it was taken for.</p><div class="confusions">'
        for (truth, answer), n in self.most_confused().items():
            total = int((self.labels == truth).sum())
            yield f'<div id="c{truth}-{answer}"><p><b>{escape(self.classes[truth])}</b> taken for '
            yield f"<b>{escape(self.classes[answer])}</b>: {n} of {total}</p>"
            wrong = np.flatnonzero((self.labels == truth) & (self.answers == answer))[:EXAMPLES]
            items = [f"<li>{self._photo(k)}{self._sure(k)}</li>" for k in wrong.tolist()]
            right = np.flatnonzero((self.labels == answer) & (self.answers == answer))[:1]
            items += [
                f'<li class="real">{self._photo(k)}really {escape(self.classes[answer])}</li>' for k in right.tolist()
            ]
            yield f'<ul class="strip">{"".join(items)}</ul></div>'
        yield "</div>"

    def most_confused(self) -> dict[tuple[int, int], int]:
        """The most frequent (truth, answer) that differ, and how often each came."""
        counts = np.array(self.found["tuned"]["confusion"])
        np.fill_diagonal(counts, 0)
        best = np.argsort(-counts, axis=None, kind="stable")[:CONFUSIONS]
        pairs = [(int(flat) // len(counts), int(flat) % len(counts)) for flat in best]
        return {pair: int(counts[pair]) for pair in pairs if counts[pair]}

    def matrix(self) -> Iterator[str]:
        """The confusion matrix with a picture of each class."""
        yield '<h2>Confusion matrix</h2><p class="soft">Truth down, answer across; the pictures are test images.</p>'
        samples = {}
        for k in range(len(self.classes)):
            mine = np.flatnonzero(self.labels == k)
            right = mine[self.answers[mine] == k]
            if len(mine):
                samples[k] = self._photo(int((right if len(right) else mine)[0]))
        yield from scorecard_pictures.matrix(
            self.found["tuned"]["confusion"], self.classes, samples, self.most_confused().keys()
        )

    def map(self) -> Iterator[str]:
        """Embeddings before and after."""
        yield '<h2>Embedding map</h2><p class="soft">Test images in the plane in which the means of the classes differ '
        yield "most. A point that is hollow was answered wrongly; a few stand as pictures.</p>"
        yield '<div class="maps">'
        for side, name in (("base", "before"), ("tuned", "after")):
            held, answers = self.found[side]["map"], np.array(self.found[side]["answers"], np.intp)
            svg = scorecard_pictures.embedding_map(
                held, self.labels, answers, self.classes,
                lambda k: scorecard_pictures.address(self.pictures[self.rows[k]], 34),
            )  # fmt: skip
            yield f"<figure>{svg}<figcaption>{name}: {len(held['points'])} images; the plane shows "
            yield f"{100 * held['share']:.0f} % of how the means differ</figcaption></figure>"
        counts = np.bincount(self.labels, minlength=len(self.classes))
        yield "</div>" + scorecard_pictures.legend(self.classes, dict(enumerate(counts.tolist())))

    def ablation(self) -> Iterator[str]:
        """What each decision was worth."""
        yield "<h2>What each decision is worth</h2>"
        if not self.ablations:
            yield '<p class="soft">Not measured in this run.</p>' + self._by("sextant finetune … --out {run} --ablate")
            return
        known = {"accuracy": "accuracy", "difference": "difference (95 %, paired)", "ece": "ECE",
                 "noise": "noise, p95", "outside": "outside", "seconds": "seconds"}  # fmt: skip
        shown = {key: name for key, name in known.items() if any(key in row for row in self.ablations)}
        yield _open("decision turned round", *shown.values())
        for row in self.ablations:
            yield _line(row["name"], *(_cell(row.get(key)) for key in shown))
        yield '</tbody></table></div><p class="soft">Each line is the whole run with one decision the other way, on '
        yield f"the same {self.found['images']:,} test images. A difference below 0: the decision helps.</p>"
        yield self._by("sextant finetune … --out {run} --ablate")

    def source(self) -> Iterator[str]:
        """Where every figure comes from."""
        about = self.found["about"]
        versions = ", ".join(f"{name} {value}" for name, value in about["versions"].items())
        yield "<h2>To get the same figures</h2><ul>"
        yield f"<li>Run {escape(about['digest'])}: {about['files']:,} files, base {escape(about['base'])}, recipe "
        yield f"{escape(json.dumps(self.found['recipe']))}, seed {about['seed']}.</li>"
        yield f"<li>{escape(versions)}; Python {escape(about['python'])}, {escape(about['machine'])}.</li>"
        yield "<li><code>scorecard.json</code> holds every number of this page with each test image's hash, truth, "
        yield "answer and confidence; <code>split.json</code> says which image is in which part, "
        yield "<code>data.json</code> which files count. Training images are refused by their hashes:</li></ul>"
        yield self._by("sextant scorecard {run} --data FOLDER")

    def _by(self, command: str) -> str:
        return f'<p class="soft by">By <code>{command.replace("{run}", escape(self.folder.name))}</code></p>'

    def _photo(self, k: int) -> str:
        return scorecard_pictures.photo(self.pictures[self.rows[k]], self.classes[self.labels[k]])

    def _sure(self, k: int) -> str:
        return f"{100 * self.found['tuned']['confidence'][k]:.0f} % sure"


def _open(*names: str) -> str:
    heads = "".join(f"<th{'' if k == 0 else ' class=n'}>{name}</th>" for k, name in enumerate(names))
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>'


def _line(first: str, *cells: str) -> str:
    return f"<tr><td>{escape(first)}</td>" + "".join(f'<td class="n">{cell}</td>' for cell in cells) + "</tr>"


def _cell(value: Any) -> str:
    if isinstance(value, (int, float)):
        return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.3f}"
    return "–" if value is None else escape(str(value))


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"


def _ratio(other: float | None, own: float | None) -> str:
    return "–" if not other or not own else f"{other / own:.1f} times as fast"
