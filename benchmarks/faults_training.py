"""What is killed where an encoder is made: the export of a fine-tuned one, and its installation into a collection."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from faults_work import Told, Work, words
from PIL import Image

import sextant
from sextant.collection import Collection

COLOURS = {"red_wall": (190, 40, 40), "green_wall": (40, 170, 60), "blue_wall": (50, 60, 190)}


def walls(n: int = 20) -> Path:
    """Noisy pictures of three colours, a folder for each. Where they lie is part of a run, so that stays the same."""
    folder = Path(tempfile.gettempdir()) / "sextant-faults-walls"
    numbers = np.random.default_rng(0)
    for code, colour in COLOURS.items():
        (folder / code).mkdir(parents=True, exist_ok=True)
        for number in range(n):
            coarse = numbers.normal(0, 60, (6, 6, 3)).repeat(16, 0).repeat(16, 1)
            file = folder / code / f"{number}.png"
            if not file.exists():
                Image.fromarray(np.clip(np.array(colour) + coarse, 0, 255).astype(np.uint8)).save(file)
    return folder


def shortened() -> None:
    """Few strangers and a short recipe: this is about the way, not the figures."""
    import torch

    from sextant.train import recipe, strangers, training

    torch.set_num_threads(1)
    training.KEPT, training.HELD, strangers.EACH = 4, 6, 8
    strangers.noise.__defaults__ = strangers.blank.__defaults__ = (8,)
    recipe.RECIPES["quick"] = recipe.Recipe("quick", batch=24, heads_epochs=2)


class Export(Work):
    verb, kills = "`finetune --until export`: the bundle of a trained encoder", 20
    collects = False

    def prepare(self, folder: Path) -> None:
        trained(folder, "temperature")

    def work(self, folder: Path, told: Told) -> None:
        tune(folder, "export")
        told("export")

    def check(self, folder: Path, told: list[Any]) -> None:
        from sextant import models

        run = folder.parent / "tuned"
        for file in run.glob("*.json"):
            json.loads(file.read_text())
        if (run / "bundle").exists():
            models.load(f"local-dir:{run / 'bundle'}", precision="fp32").encode_texts(["a red wall"])
        assert not told or (run / "bundle").exists(), "a bundle is lost"

    def rows(self, folder: Path) -> dict[str, Any]:
        from sextant import models

        run = folder.parent / "tuned"
        encoder = models.load(f"local-dir:{run / 'bundle'}", precision="fp32")
        rows = encoder.encode_texts(["a red wall", "a blue wall"]).round(5).tolist()
        steps = sorted(path.name for path in run.iterdir())
        return {"bundle": sorted(path.name for path in (run / "bundle").iterdir()), "vectors": rows, "run": steps}


class Install(Work):
    verb, kills = "`finetune --install`: a collection embeds anew, is tagged, calibrated, switched", 25

    def prepare(self, folder: Path) -> None:
        trained(folder, "scorecard")
        with sextant.open(folder, create=True, model="mini", precision="fp32") as photos:
            photos.add(walls())
            (folder / "v.yaml").write_text(words(**{code: code.replace("_", " ") for code in COLOURS}))
            photos.tag(folder / "v.yaml")
            for path in photos.view().paths.to_pylist():
                photos.label(path, "red_wall", "red_wall" in path)

    def open(self, folder: Path) -> Collection:
        return sextant.open(folder, precision="fp32")

    def work(self, folder: Path, told: Told) -> None:
        from sextant import finetune

        report = tune(folder, "scorecard")
        with self.open(folder) as photos:
            told("installed", finetune.install(photos, report).encoder)

    def check(self, folder: Path, told: list[Any]) -> None:
        with self.open(folder) as photos:
            assert len(photos.vectors) == 60, "the encoder in use has not seen all"
            assert set(COLOURS) <= set(photos.vectors.columns()), "the encoder in use lacks columns"
            assert not told or photos.manifest.encoder == told[-1][1], "the encoder in use is not what was installed"
            assert len(photos.labels()) == 60, "a label is lost"


def tune(folder: Path, until: str) -> Any:
    """The run beside a collection, up to a step."""
    from sextant import finetune

    shortened()
    return finetune.finetune(finetune.Request(source=walls(), out=folder.parent / "tuned", until=until))


def trained(folder: Path, until: str) -> None:
    """A run beside a collection that is done up to a step; in a process of its own, since this one never ends."""
    code = f"import faults_training as t, pathlib; t.tune(pathlib.Path({str(folder)!r}), {until!r})"
    here = Path(__file__).resolve().parent
    path = os.pathsep.join([str(here), str(here.parent / "src")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, check=True)
