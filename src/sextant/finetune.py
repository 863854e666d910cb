"""`finetune` and `scorecard`: from labelled pictures to an encoder that a collection uses, and what that is worth.

Finds the examples, hands them to `train`, and installs what comes out. Knows nothing of torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sextant import cluster, evaluation, switching
from sextant.edges import Edges
from sextant.encoders import from_folder, key_of
from sextant.errors import UsageError
from sextant.exchange import write_text
from sextant.maths.rules import BAND_NAMES
from sextant.settings import Settings
from sextant.train import classes, dataset
from sextant.train.order import Order
from sextant.train.recipe import Recipe, named
from sextant.train.run import Run
from sextant.train.steps import STEPS
from sextant.train.tensorboard import Mirror
from sextant.types import Progress
from sextant.view import View
from sextant.vocabulary import Attribute

Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What to train on and how. Either `source` (a folder or CSV) or `labels` (codes of a collection) is given."""

    source: Path | None = None
    out: Path = Path("tuned")
    base: str = "mini"
    recipe: str = "quick"
    prompts: Path | None = None
    clusters: Path | None = None
    photos: Path | None = None
    labels: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    gate: float | None = None
    rate: float | None = None
    epochs: int | None = None
    seed: int = 0
    until: str | None = None
    ablate: bool = False
    settings: Settings | None = None

    def chosen(self) -> Recipe:
        """The recipe with the changes that were asked for. Raises `UsageError`."""
        changes: dict[str, Any] = {}
        found = named(self.recipe)
        if self.gate is not None:
            if not 0 <= self.gate < 1:
                raise UsageError(f"--gate is a probability of 0 or more and below 1, not {self.gate:g}")
            changes["gate"] = self.gate
        if self.rate is not None:
            if not self.rate > 0:
                raise UsageError(f"--rate is above 0, not {self.rate:g}")
            changes["heads_rate"] = self.rate
        if self.epochs is not None:
            if self.epochs < 1:
                raise UsageError(f"--epochs is 1 or more, not {self.epochs}")
            changes["heads_epochs"] = self.epochs
            changes["blocks_epochs"] = self.epochs if found.blocks_epochs else 0
        return found.changed(**changes)


@dataclass(frozen=True, slots=True)
class Installed:
    """What a switch of encoders changed: by attribute how many were and are accepted, and how many changed band."""

    encoder: str
    former: str
    changes: tuple[dict[str, Any], ...]
    images: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class FinetuneReport:
    """What a run came to. `ready` is None where the scorecard was not reached."""

    folder: Path
    told: tuple[str, ...]
    scorecard: dict[str, Any] | None = None
    ablations: tuple[dict[str, Any], ...] = ()
    installed: Installed | None = None
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def ready(self) -> bool | None:
        """Whether all gates passed."""
        return None if self.scorecard is None else bool(self.scorecard["ready"])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "folder": str(self.folder),
            "ready": self.ready,
            "told": list(self.told),
            "gates": self.scorecard["gates"] if self.scorecard else None,
            "scorecard": self.scorecard,
            "ablations": list(self.ablations),
            "installed": None if self.installed is None else asdict(self.installed),
        }


def finetune(request: Request, *, edges: Edges | None = None, progress: Report | None = None) -> FinetuneReport:
    """Runs every step that is not done yet, up to `until` or the scorecard.

    Raises:
        UsageError: data, files or options that cannot be, or a class that the gate would gut.
        ModelError: a base that cannot be trained, a loss that is no number, a disk that is full.
        MissingExtra: without the extra `train`.
    """
    with Mirror(request.out, progress) as mirror:
        run = Run(request.out, order(request, edges), progress=mirror.progress)
        chosen = cluster.of(request.settings or (edges.settings if edges else Settings()))
        run.spread = chosen.spread_all if chosen else None
        return _steps(request, run)


def _steps(request: Request, run: Run) -> FinetuneReport:
    until = request.until or STEPS[-1]
    if request.recipe == "probe" and request.until is None:
        found = run.to("probe")
        return FinetuneReport(run.folder, tuple(_told(run)), None, steps={"probe": found})
    run.to(until)
    card = run.done("scorecard") if until == STEPS[-1] else None
    ablations: tuple[dict[str, Any], ...] = ()
    if request.ablate:
        from sextant.train.ablation import ablate

        ablations = tuple(ablate(run))
    return FinetuneReport(run.folder, tuple(_told(run)), card, ablations)


def order(request: Request, edges: Edges | None) -> Order:
    """What the run is made of: every file with its class."""
    if bool(request.labels) == (request.source is not None):
        raise UsageError("name a DATASET to learn from, or --labels CODES of the collection, and not both")
    words: tuple[tuple[str, tuple[str, ...]], ...] = ()
    if request.source is not None:
        pairs = dataset.pairs_of(request.source)
    else:
        if edges is None:
            raise UsageError("labels are those of a collection: name one with -C")
        pairs, words = _labelled(edges, request.labels)
    known = {label for _, label in pairs}
    for code in request.without:
        if code not in known:
            raise UsageError(f"--without {code}: there is no such class; there are {', '.join(sorted(known))}")
    pairs = [(path, label) for path, label in pairs if label not in request.without]
    _readable(request, sorted(known - set(request.without)))
    return Order(
        tuple(pairs), request.base, request.chosen(), request.seed, request.prompts, request.clusters, request.photos,
        () if request.prompts else words,
    )  # fmt: skip


def _readable(request: Request, known: Sequence[str]) -> None:
    """Raises `UsageError` for files that would stop the run only after an hour of it."""
    if request.clusters is not None:
        classes.clusters(known, request.clusters)
    if request.prompts is not None:
        classes.prompts(known, request.prompts)
    if request.photos is not None and not request.photos.is_dir():
        raise UsageError(f"--photos {request.photos}: there is no such folder")


def _labelled(edges: Edges, codes: tuple[str, ...]) -> tuple[list[tuple[Path, str]], Any]:
    """The images that a person labelled with exactly one of the codes, and the prompts of those."""
    view = edges.view_of(codes)
    paths = dict(zip(view.ids.to_pylist(), view.paths.to_pylist(), strict=True))
    said: dict[str, set[str]] = {}
    for label in edges.catalog.labels(list(codes)):
        if label.value:
            said.setdefault(label.image, set()).add(label.code)
    pairs = [(edges.folder / paths[image], next(iter(found))) for image, found in sorted(said.items())
             if len(found) == 1 and image in paths]  # fmt: skip
    words = []
    for code in codes:
        item = view.describe(code)
        if isinstance(item, Attribute):
            words.append((code, tuple(item.prompts)))
    return pairs, tuple(words)


def _lost(line: dict[str, Any]) -> str:
    """What is to be said where no point of the line kept what was asked of other pictures."""
    if line.get("kept", True):
        return ""
    before, now = line["points"][0]["outside"], line["chosen"]["outside"]
    return f"; none kept what the base says of other pictures ({before:.2f}, now {now:.2f}): keep the base for those"


def _told(run: Run) -> list[str]:
    """A line a step that is done."""
    found = []
    data, parts, gate = run.done("data"), run.done("split"), run.done("gate")
    if data:
        found.append(f"data: {len(data['examples']):,} images of {len(data['classes'])} classes, "
                     f"{len(data['skipped']):,} left out")  # fmt: skip
    if parts:
        sizes = ", ".join(f"{n:,} {name}" for name, n in parts["sizes"].items())
        found.append(f"split: {sizes}; {parts['near_duplicates']:,} near-duplicates kept together")
    if gate:
        drop, gutted = sum(gate["would_drop"].values()), len(gate["would_gut"])
        what = "dropped" if gate["in_use"] else "would drop"
        found.append(f"gate: {what} {drop:,} training images; {gutted} classes would lose more than 30 %")
    clusters = run.done("clusters")
    if clusters:
        found.append(f"clusters: {len(clusters['clusters'])}, {clusters['source']}")
    trained, line = run.done("train"), run.done("interpolate")
    for name in ("heads", "blocks"):
        if trained and name in trained:
            s = trained[name]
            found.append(
                f"{name}: best after {s['best_epoch'] + 1} of {s['epochs']} epochs of {s['seconds_an_epoch']} s, "
                f"{100 * s['hard_share']:.0f} % of each batch from clusters"
            )
    if line:
        found.append(f"interpolation: {line['alpha']:g} of the way from the base to what was trained{_lost(line)}")
    heat = run.done("temperature")
    if heat:
        found.append(f"temperature: {heat['tuned']['temperature']:.2f} from {heat['images']:,} images")
    exported = run.done("export")
    if exported:
        found.append(f"export: {run.folder / 'bundle'}, cosine {exported['fp32']['mean_cosine']:.5f}")
    probe = run.done("probe")
    if probe:
        found.append(
            f"probe: accuracy {probe['accuracy']:.3f} on {probe['images']:,} test images, ECE {probe['ece']:.3f}, "
            f"fitted in {probe['fit_seconds']:.1f} s"
        )
    return found


def check_installable(request: Request) -> None:
    """Raises `UsageError` where a run would end without an encoder to install."""
    if request.recipe == "probe":
        raise UsageError("the recipe probe trains no encoder, so there is none to install. Light heads are used by: "
                         "sextant head CODE")  # fmt: skip
    if request.until in STEPS[: STEPS.index("export")]:
        raise UsageError(f"--install needs the whole run; leave --until {request.until} out")


def install(edges: Edges, report: FinetuneReport, *, progress: Report | None = None) -> Installed:
    """Lets a collection use a run's bundle, and tells what that changed; `installed.json` lists every image.

    All is embedded, learned and calibrated beside what is there, and then one step switches: whatever stops it earlier
    leaves the former encoder in use. Its vectors stay, so `model use` goes back in one step. Labels of images that the
    run learned from are left out, now and later: an encoder knows those by heart.
    """
    from sextant.train import measuring

    model = f"local-dir:{(report.folder / 'bundle').resolve()}"
    held, record = edges.manifest, report.folder / "installed.json"
    coming = key_of(edges.encoders.load(model))
    if held.encoder == coming and record.is_file():
        return _installed(json.loads(record.read_text(encoding="utf-8")))
    former = from_folder(held.model, edges.folder) if held.model else ""
    edges.catalog.put_taught(coming, measuring.taught(report.folder))
    found: list[Installed] = []

    def look(ahead: Edges) -> None:
        found.append(_difference(edges, ahead, former))
        write_text(json.dumps(asdict(found[0]), indent=1) + "\n", record)

    switching.use(edges, model, learned=_learned(report.folder, held.encoder), look=look, progress=progress)
    return found[0] if found else Installed(str(edges.manifest.encoder), former, ())


def _learned(run: Path, encoder: str | None) -> list[str] | None:
    """The classes of a run whose base is the encoder in use; None where it is another: then nothing is carried."""
    tuned = json.loads((run / "bundle" / "card.json").read_text(encoding="utf-8")).get("tuned") or {}
    ours = encoder is not None and "base" in tuned and encoder.startswith(tuned["base"])  # a precision may follow
    return list(tuned.get("classes", ())) if ours else None


def _installed(held: dict[str, Any]) -> Installed:
    return Installed(held["encoder"], held["former"], tuple(held["changes"]), tuple(held["images"]))


def _difference(now: Edges, ahead: Edges, former: str) -> Installed:
    """What each attribute says of the images by both encoders, and what that is worth on labels that no curve saw."""
    codes = list(now.codes())
    views = now.view(codes), ahead.view(codes)
    bands = [{code: _bands(view, code) for code in codes} for view in views]
    worth = [_worth(view, edges) for view, edges in zip(views, (now, ahead), strict=True)]
    paths = dict(zip(views[0].ids.to_pylist(), views[0].paths.to_pylist(), strict=True))
    changes, images = [], []
    for code in codes:
        was, is_ = bands[0][code], bands[1][code]
        moved = sorted((image for image in was if is_.get(image) != was[image]), key=lambda image: paths[image])
        change = {
            "code": code,
            "before": list(was.values()).count("accepted"),
            "now": list(is_.values()).count("accepted"),
            "changed": len(moved),
            "state": views[1].state(code),
        }
        if code in worth[0] and code in worth[1]:
            change |= {"labels": worth[1][code][0], "brier_before": worth[0][code][1], "brier_now": worth[1][code][1]}
        changes.append(change)
        images += [{"code": code, "path": paths[i], "before": was[i], "now": is_.get(i)} for i in moved]
    return Installed(str(ahead.manifest.encoder), former, tuple(changes), tuple(images))


def _bands(view: View, code: str) -> dict[str, str]:
    """The band of every image, by id."""
    words = [BAND_NAMES[band] for band in view.values(code).band.tolist()]
    return dict(zip(view.ids.to_pylist(), words, strict=True))


def _worth(view: View, edges: Edges) -> dict[str, tuple[int, float]]:
    """The number of labels and the Brier score on them, by code, of curves that did not see them."""
    try:
        labelled = sorted({label.code for label in edges.catalog.labels(thumbs=False)} & set(view.columns))
        rows = evaluation.evaluate(view, edges.catalog, labelled) if labelled else []
    except UsageError:  # people disagree, or there is nothing to judge by
        return {}
    return {row.code: (row.n, row.brier) for row in rows if row.code != evaluation.POOLED}


def scorecard(
    source: str,
    *,
    data: Path | None = None,
    prompts: Path | None = None,
    clusters: Path | None = None,
    beside: Path | None = None,
) -> dict[str, Any]:
    """The scorecard of a run on its own test part, or of a run or bundle on other held-out pictures.

    The page of a run is written anew; `beside` puts another run of the same data next to it.

    Raises:
        UsageError: a bundle without data, or images that the run was trained on.
    """
    from sextant.train import measuring

    return measuring.scorecard(source, data=data, prompts=prompts, clusters=clusters, beside=beside)


def with_report(report: FinetuneReport, installed: Installed) -> FinetuneReport:
    """The same report, with what the installation changed."""
    return replace(report, installed=installed)
