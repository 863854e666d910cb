"""`finetune` and `scorecard` from end to end: a run in steps, its bundle in a collection, what changed, and back."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch's own, at import
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    pytest.importorskip("onnxscript")

from sextant import finetune
from sextant.catalog import Label
from sextant.collection import Collection, open_collection
from sextant.errors import ModelError, UsageError
from sextant.train import recipe, strangers
from sextant.train.pair import Pair
from sextant.train.run import Run
from sextant.train.steps import STEPS

pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporter

COLOURS = {"red_wall": (190, 40, 40), "green_wall": (40, 170, 60), "blue_wall": (50, 60, 190)}
SMALL = recipe.Recipe("quick", batch=24, heads_epochs=3)


@pytest.fixture(scope="module", autouse=True)
def small() -> Any:
    """Few strangers and a short recipe: this is about the way, not the figures."""
    patch = pytest.MonkeyPatch()
    patch.setattr("sextant.train.training.KEPT", 4)
    patch.setattr("sextant.train.training.HELD", 6)
    patch.setattr(strangers, "EACH", 8)
    patch.setattr(strangers.noise, "__defaults__", (8,))
    patch.setattr(strangers.blank, "__defaults__", (8,))
    patch.setitem(recipe.RECIPES, "quick", SMALL)  # type: ignore[arg-type]
    patch.setattr("sextant.train.gates.RESAMPLES", 20)
    patch.setattr("sextant.train.ablation.RESAMPLES", 20)
    torch.set_num_threads(1)
    yield
    patch.undo()


def draw(folder: Path, seed: int, n: int = 20) -> Path:
    rng = np.random.default_rng(seed)
    for code, colour in COLOURS.items():
        (folder / code).mkdir(parents=True, exist_ok=True)
        for number in range(n):
            coarse = rng.normal(0, 60, (6, 6, 3)).repeat(16, 0).repeat(16, 1)
            pixels = np.clip(np.array(colour) + coarse, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / code / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("walls"), 0)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> finetune.FinetuneReport:
    return finetune.finetune(finetune.Request(source=data, out=tmp_path_factory.mktemp("run") / "tuned"))


class TestRun:
    def test_every_step_says_what_it_decided(self, run: finetune.FinetuneReport) -> None:
        names = {path.name for path in run.folder.iterdir()}
        for step in ("data", "split", "gate", "clusters", "train", "interpolate", "temperature", "export", "scorecard"):
            assert f"{step}.json" in names
        assert {"scorecard.md", "scorecard.html", "bundle"} <= names
        assert not [name for name in names if name.startswith(".") or name.endswith(".part")]

    def test_the_scorecard_has_seven_gates_and_intervals(self, run: finetune.FinetuneReport) -> None:
        card = run.scorecard
        assert card is not None
        assert len(card["gates"]) == 7
        assert all(gate["value"] is not None for gate in card["gates"] if gate["name"] != "hard_negative_pass_rate")
        figure = card["tuned"]["figures"]["accuracy"]
        assert figure["low"] <= figure["value"] <= figure["high"]
        assert set(card["tuned"]["outside"]) == {"noise", "blank", "text page", "space scenes"}

    def test_the_page_needs_nothing_else(self, run: finetune.FinetuneReport) -> None:
        page = (run.folder / "scorecard.html").read_text(encoding="utf-8")
        assert "http://" not in page.replace("http://www.w3.org", "")
        assert "<script" not in page
        for part in ("Confusion matrix", "Embedding map", "To get the same figures", "text page", "By <code>sextant"):
            assert part in page
        assert page.count("<figure>") >= 10

    def test_every_figure_of_the_page_has_its_count_and_interval(self, run: finetune.FinetuneReport) -> None:
        card = run.scorecard
        assert card is not None
        for gate in card["gates"]:
            if gate["value"] is not None:
                assert gate["low"] <= gate["value"] <= gate["high"]
                assert not gate["sure"] or gate["passed"]
        for side in ("base", "tuned"):
            assert len(card[side]["answers"]) == card["images"] == len(card["test"]["ids"])
            for line in card[side]["outside"].values():
                assert line["p95_low"] <= line["p95"] <= line["p95_high"]
                assert sum(line["counts"]) == line["n"]
            for line in card[side]["stability"].values():
                assert line["low"] <= line["same_answer"] <= line["high"]
        right = np.array(card["tuned"]["answers"]) == np.array(card["test"]["labels"])
        assert right.mean() == pytest.approx(card["tuned"]["figures"]["accuracy"]["value"])

    def test_the_bundle_says_what_was_trained(self, run: finetune.FinetuneReport) -> None:
        export = json.loads((run.folder / "export.json").read_text())
        assert export["fp32"]["mean_cosine"] > 0.9999
        assert export["int8"]["mean_cosine"] > 0.99
        assert export["int8"]["accuracy_lost"] <= 0.01

    def test_the_same_command_again_does_nothing(self, run: finetune.FinetuneReport, data: Path) -> None:
        before = {p: p.stat().st_mtime_ns for p in run.folder.glob("*.json")}
        finetune.finetune(finetune.Request(source=data, out=run.folder))
        assert before == {p: p.stat().st_mtime_ns for p in run.folder.glob("*.json")}

    def test_another_recipe_needs_another_folder(self, run: finetune.FinetuneReport, data: Path) -> None:
        with pytest.raises(UsageError, match="another recipe"):
            finetune.finetune(finetune.Request(source=data, out=run.folder, rate=0.5))

    def test_a_folder_of_something_else_is_left_alone(self, data: Path, tmp_path: Path) -> None:
        (tmp_path / "letter.txt").write_text("dear")
        with pytest.raises(UsageError, match="not empty"):
            finetune.finetune(finetune.Request(source=data, out=tmp_path))

    def test_a_step_alone(self, data: Path, tmp_path: Path) -> None:
        report = finetune.finetune(finetune.Request(source=data, out=tmp_path / "r", until="gate"))
        assert report.ready is None
        assert not (tmp_path / "r" / "train.json").exists()
        assert json.loads((tmp_path / "r" / "gate.json").read_text())["would_lose"].keys() == COLOURS.keys()

    def test_a_gate_that_would_gut_a_class_stops(self, data: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"would lose more than\s+30 %.*--gate 0"):
            finetune.finetune(finetune.Request(source=data, out=tmp_path / "r", gate=0.9))

    def test_a_full_disk_at_export_leaves_no_bundle_and_goes_on_later(
        self, run: finetune.FinetuneReport, data: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        weights = (run.folder / "tuned.safetensors").read_bytes()
        for name in ("export.json", "scorecard.json"):
            (run.folder / name).unlink()

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Pair, "write", full)
        with pytest.raises(ModelError, match=r"No space left.*trained weights are safe"):
            finetune.finetune(finetune.Request(source=data, out=run.folder))
        assert not [p for p in run.folder.iterdir() if p.name.startswith(".bundle")]
        monkeypatch.undo()
        finetune.finetune(finetune.Request(source=data, out=run.folder))
        assert (run.folder / "tuned.safetensors").read_bytes() == weights
        told = json.loads((run.folder / "bundle" / "card.json").read_text())["taught_phrases"]
        assert {code.replace("_", " ") for code in COLOURS} <= {text.removeprefix("a photo of ") for text in told}

    def test_stopped_at_every_step_it_goes_on_to_the_same_weights(
        self, run: finetune.FinetuneReport, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        request = finetune.Request(source=data, out=tmp_path / "r")

        def stop(_: Run) -> None:
            raise KeyboardInterrupt

        for number, step in enumerate(STEPS):
            monkeypatch.setattr(Run, f"_{step}", stop)
            with pytest.raises(KeyboardInterrupt):
                finetune.finetune(request)
            monkeypatch.undo()
            done = [name for name in STEPS if (tmp_path / "r" / f"{name}.json").exists()]
            assert done == list(STEPS[:number])
        finetune.finetune(request)
        ends = [json.loads((f / "interpolate.json").read_text())["weights"] for f in (tmp_path / "r", run.folder)]
        assert ends[0] == ends[1]
        names = ("visual.onnx", "textual.onnx")
        bundles = [[(f / "bundle" / name).read_bytes() for name in names] for f in (tmp_path / "r", run.folder)]
        assert bundles[0] == bundles[1]

    def test_what_does_not_count_is_listed(self, tmp_path: Path) -> None:
        walls = draw(tmp_path / "walls", 3, n=10)
        (walls / "red_wall" / "broken.png").write_bytes(b"no picture")
        (walls / "red_wall" / "both.png").write_bytes((walls / "blue_wall" / "1.png").read_bytes())
        finetune.finetune(finetune.Request(source=walls, out=tmp_path / "r", until="data"))
        found = json.loads((tmp_path / "r" / "data.json").read_text())
        assert found["counts"] == {"red_wall": 10, "green_wall": 10, "blue_wall": 9}
        why = {Path(item["path"]).name: item["reason"] for item in found["skipped"]}
        assert set(why) == {"broken.png", "both.png", "1.png"}
        assert "blue_wall and in red_wall" in why["both.png"]

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"clusters": "walls: [red_wall, bleu_wall]"}, "no class 'bleu_wall'. Did you mean 'blue_wall'"),
            ({"prompts": "red_wall: [a red wall]"}, "no prompts for blue_wall, green_wall"),
            ({"photos": None}, "there is no such folder"),
        ],
    )
    def test_files_that_cannot_be_are_told_before_anything_is_done(
        self, data: Path, tmp_path: Path, changes: dict[str, str | None], told: str
    ) -> None:
        (name, text), *_ = changes.items()
        if text is not None:
            (tmp_path / "file.yaml").write_text(text)
        with pytest.raises(UsageError, match=re.escape(told)):
            finetune.finetune(finetune.Request(source=data, out=tmp_path / "r", **{name: tmp_path / "file.yaml"}))
        assert not (tmp_path / "r").exists()

    def test_a_class_of_one_image_is_told(self, tmp_path: Path) -> None:
        walls = draw(tmp_path / "walls", 3, n=9)
        for path in sorted((walls / "red_wall").iterdir())[1:]:
            path.unlink()
        with pytest.raises(UsageError, match=r"red_wall \(1\).*--without CLASS"):
            finetune.finetune(finetune.Request(source=walls, out=tmp_path / "r"))
        report = finetune.finetune(
            finetune.Request(source=walls, out=tmp_path / "s", without=("red_wall",), until="split")
        )
        assert "2 classes" in report.told[0]

    def test_a_pickle_as_a_base_is_refused(self, data: Path, tmp_path: Path) -> None:
        (tmp_path / "old").mkdir()
        (tmp_path / "old" / "config.json").write_text('{"model_type": "clip"}')
        (tmp_path / "old" / "pytorch_model.bin").write_bytes(b"\x80\x02}q\x00.")
        with pytest.raises(ModelError, match="safetensors"):
            finetune.finetune(finetune.Request(source=data, out=tmp_path / "r", base=str(tmp_path / "old")))

    def test_a_probe(self, data: Path, tmp_path: Path) -> None:
        report = finetune.finetune(finetune.Request(source=data, out=tmp_path / "p", recipe="probe"))
        assert report.steps["probe"]["accuracy"] > 0.8

    def test_ablations_are_paired(
        self, run: finetune.FinetuneReport, data: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sextant.train.ablation.turned", lambda _: {"no label smoothing": {"smoothing": 0.0}})
        report = finetune.finetune(finetune.Request(source=data, out=run.folder, ablate=True))
        own, other = report.ablations
        assert own["gap"] == 0
        assert other["low"] <= other["gap"] <= other["high"]


class TestScorecard:
    def test_of_a_run(self, run: finetune.FinetuneReport) -> None:
        assert len(finetune.scorecard(str(run.folder))["gates"]) == 7

    def test_beside_itself_nothing_differs(self, run: finetune.FinetuneReport) -> None:
        found = finetune.scorecard(str(run.folder), beside=run.folder)["beside"]
        assert {row["difference"] for row in found["rows"]} == {0.0}
        assert all(row["low"] <= 0 <= row["high"] for row in found["rows"])
        assert "times as fast" in (run.folder / "scorecard.html").read_text(encoding="utf-8")

    def test_beside_a_worse_one(self, run: finetune.FinetuneReport, tmp_path: Path) -> None:
        worse = json.loads((run.folder / "scorecard.json").read_text())
        worse["tuned"]["answers"] = [(a + 1) % 3 for a in worse["test"]["labels"]]
        worse["test"]["ids"][0] = "another"
        (tmp_path / "scorecard.json").write_text(json.dumps(worse))
        found = finetune.scorecard(str(run.folder), beside=tmp_path)["beside"]
        assert found["images"] == worse["images"] - 1
        assert found["rows"][0]["theirs"] == 0
        assert found["rows"][0]["low"] > 0

    def test_beside_a_run_of_other_pictures(self, run: finetune.FinetuneReport, tmp_path: Path) -> None:
        other = json.loads((run.folder / "scorecard.json").read_text())
        other["test"]["ids"] = [f"x{k}" for k in range(other["images"])]
        (tmp_path / "scorecard.json").write_text(json.dumps(other))
        with pytest.raises(UsageError, match="share no test image"):
            finetune.scorecard(str(run.folder), beside=tmp_path)

    def test_trained_images_are_refused(self, run: finetune.FinetuneReport, data: Path) -> None:
        with pytest.raises(UsageError, match="were trained on"):
            finetune.scorecard(str(run.folder), data=data)

    def test_of_a_bundle_on_other_pictures(self, run: finetune.FinetuneReport, tmp_path: Path) -> None:
        found = finetune.scorecard(str(run.folder / "bundle"), data=draw(tmp_path, 9, n=4))
        assert found["images"] == 12
        assert found["latency"]["int8"] < 200

    def test_a_bundle_needs_data(self, run: finetune.FinetuneReport) -> None:
        with pytest.raises(UsageError, match="--data"):
            finetune.scorecard(str(run.folder / "bundle"))


def walls_of(data: Path, folder: Path, *, labelled: bool) -> Collection:
    """A collection of the pictures of `data`, tagged with its classes, and labelled with the folders' names."""
    lines = "".join(f"  - {{code: {c}, label: {c}, description: a {c}}}\n" for c in COLOURS)
    (folder / "v.yaml").write_text("base_attributes:\n" + lines)
    walls = open_collection(folder, create=True, model="mini")
    walls.add(data)
    walls.tag(folder / "v.yaml")
    if labelled:
        view = walls.view()
        pairs = list(zip(view.ids.to_pylist(), view.paths.to_pylist(), strict=True))
        walls.catalog.put_labels(Label(i, code, Path(p).parent.name == code) for i, p in pairs for code in COLOURS)
        walls.calibrate()
    return walls


def said(walls: Collection) -> dict[str, list[float]]:
    """Every confidence."""
    view = walls.view(walls.codes())
    return {code: view.values(code).confidence.tolist() for code in COLOURS}


class TestCollection:
    def test_install_tells_what_changed_and_goes_back_in_one_step(
        self, run: finetune.FinetuneReport, data: Path, tmp_path: Path
    ) -> None:
        with walls_of(data, tmp_path, labelled=True) as walls:
            before, former = said(walls), walls.manifest.encoder
            report = walls.finetune(finetune.Request(source=data, out=run.folder), install=True)
            found = report.installed
            assert found is not None
            assert {c["code"] for c in found.changes} == set(COLOURS)
            assert walls.manifest.encoder == found.encoder != former
            now = {c.code: c for c in walls.columns()}
            for change in found.changes:
                assert now[change["code"]].accepted == change["now"]
                assert len([i for i in found.images if i["code"] == change["code"]]) == change["changed"]
                assert 0 <= change["brier_now"] <= 1
            again = walls.finetune(finetune.Request(source=data, out=run.folder), install=True)
            assert again.installed == found, "what is installed already is told again"
            assert walls.use(found.former).encoded == 0
            assert walls.manifest.encoder == former
            assert said(walls) == before, "to the last bit"

    def test_labels_of_images_that_it_learned_from_do_not_speak_for_it(
        self, run: finetune.FinetuneReport, data: Path, tmp_path: Path
    ) -> None:
        with walls_of(data, tmp_path, labelled=True) as walls:
            assert walls.evaluate(["red_wall"])[0].n == 60
            report = walls.finetune(finetune.Request(source=data, out=run.folder), install=True)
            parts = np.array(json.loads((run.folder / "split.json").read_text())["parts"])
            unseen = int((parts >= 2).sum())
            assert 0 < unseen < 60
            assert report.installed is not None
            assert {change["labels"] for change in report.installed.changes} == {unseen}
            assert walls.evaluate(["red_wall"])[0].n == unseen
            assert walls.evaluate(["red_wall"], truth=self._truth(walls, tmp_path))[0].n == unseen
            walls.use(report.installed.former)
            assert walls.evaluate(["red_wall"])[0].n == 60

    def _truth(self, walls: Collection, folder: Path) -> Path:
        walls.export_labels(folder / "truth.csv")
        return folder / "truth.csv"

    @pytest.mark.parametrize(
        "place",
        ["sextant.ingest.Ingest._encode", "sextant.switching.tagging.tag", "sextant.switching.calibrate",
         "sextant.finetune.write_text", "sextant.edges.manifest.write"],
    )  # fmt: skip
    def test_stopped_anywhere_the_former_encoder_stays_and_the_same_command_goes_on(
        self, run: finetune.FinetuneReport, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        def stop(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        with walls_of(data, tmp_path, labelled=True) as walls:
            before, former = said(walls), walls.manifest.encoder
            monkeypatch.setattr(place, stop)
            with pytest.raises(KeyboardInterrupt):
                walls.finetune(finetune.Request(source=data, out=run.folder), install=True)
            monkeypatch.undo()
            assert walls.manifest.encoder == former
            assert said(walls) == before
            report = walls.finetune(finetune.Request(source=data, out=run.folder), install=True)
            assert report.installed is not None
            assert walls.manifest.encoder == report.installed.encoder

    def test_columns_that_nobody_labels_have_the_prior_that_the_bundle_brought(
        self, run: finetune.FinetuneReport, data: Path, tmp_path: Path
    ) -> None:
        card = json.loads((run.folder / "bundle" / "card.json").read_text())
        assert "calibration pictures of 3 classes, 240 drawn scenes" in card["prior"]["source"]
        with walls_of(data, tmp_path, labelled=False) as walls:
            report = walls.finetune(finetune.Request(source=data, out=run.folder), install=True)
            assert report.installed is not None
            assert {c["state"] for c in report.installed.changes} == {"prior"}
            assert walls.manifest.prior["source"] == card["prior"]["source"]

    @pytest.mark.parametrize(
        ("changes", "told"), [({"recipe": "probe"}, "sextant head"), ({"until": "gate"}, "--until")]
    )
    def test_what_leaves_no_encoder_cannot_be_installed(
        self, data: Path, tmp_path: Path, changes: dict[str, str], told: str
    ) -> None:
        with open_collection(tmp_path, create=True, model="mini") as walls, pytest.raises(UsageError, match=told):
            walls.finetune(finetune.Request(source=data, out=tmp_path / "r", **changes), install=True)  # type: ignore[arg-type]
        assert not (tmp_path / "r").exists()

    def test_from_labels(self, data: Path, tmp_path: Path) -> None:
        (tmp_path / "v.yaml").write_text(
            "base_attributes:\n" + "".join(f"  - {{code: {c}, label: {c}, description: a {c}}}\n" for c in COLOURS)
        )
        with open_collection(tmp_path, create=True, model="mini") as walls:
            walls.add(data)
            walls.tag(tmp_path / "v.yaml")
            for path in walls.view().paths.to_pylist():
                walls.label(path, Path(path).parent.name, True)
            order = finetune.order(finetune.Request(labels=tuple(COLOURS)), walls)
        assert {label for _, label in order.pairs} == set(COLOURS)
        assert len(order.pairs) == 60
        assert dict(order.words)["red_wall"]

    def test_neither_or_both(self) -> None:
        with pytest.raises(UsageError, match="not both"):
            finetune.order(finetune.Request(), None)
        with pytest.raises(UsageError, match="of a collection"):
            finetune.order(finetune.Request(labels=("a",)), None)


@pytest.mark.parametrize("wrong", [{"gate": 2.0}, {"rate": 0.0}, {"epochs": 0}, {"recipe": "slow"}])
def test_options_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        finetune.Request(source=Path(), **wrong).chosen()
