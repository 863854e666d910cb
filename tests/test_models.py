"""Finding an encoder by what a person calls it, and examining one."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnx", reason="the bundles are made with onnx")

import tiny_bundles
from sextant import models
from sextant.encoder import OnnxEncoder
from sextant.errors import ModelError

SOURCE = '''
from __future__ import annotations
from dataclasses import dataclass
import numpy as np

@dataclass
class Grey:
    """One number a picture."""
    name: str = "grey"
    revision: str = "1"
    dim: int = 2
    logit_scale: float = 10.0
    logit_bias: float = 0.0
    device: str = "none asked"

    def encode_images(self, images):
        return np.array([[1, 0] for _ in images], np.float32)

    def encode_texts(self, texts):
        return np.array([[0, 1] for _ in texts], np.float32)

class Fixed:
    name, revision, dim, logit_scale, logit_bias = "fixed", "1", 2, 1.0, 0.0
    encode_images = encode_texts = lambda self, rows: np.ones((len(rows), 2), np.float32)

class Half:
    name = "half"

class Broken:
    def __init__(self):
        raise OSError("weights.bin not found")

ready = Grey(name="ready")
'''


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "my_encoders.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test may reach for the network, nor see what this machine has fetched before."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def cached(root: Path, repository: str, commit: str = "a" * 40) -> Path:
    """The folder in which the Hub's client keeps a commit of a repository."""
    place = root / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(commit)
    return place / "snapshots" / commit


def test_a_bundle_by_folder_and_by_prefix(tmp_path: Path) -> None:
    folder = tiny_bundles.bundle(tmp_path / "bundle")
    for spec in (str(folder), f"local-dir:{folder}"):
        encoder = models.load(spec)
        assert isinstance(encoder, OnnxEncoder)
        assert (encoder.name, encoder.revision) == ("mean-colour", "1")
        np.testing.assert_allclose(encoder.encode_texts(["green"]), [[0, 1, 0]], atol=1e-6)


def test_a_known_name_from_the_hubs_cache(tmp_path: Path) -> None:
    tiny_bundles.hub(cached(tmp_path, "immich-app/ViT-B-32__openai"))
    encoder = models.load("ViT-B-32/openai", cache=tmp_path)
    assert (encoder.name, encoder.revision) == ("ViT-B-32/openai", "a" * 12)
    assert (encoder.logit_scale, encoder.logit_bias) == (100.0, 0.0)
    assert not encoder.card.logits_assumed  # type: ignore[attr-defined]


def test_a_hub_repository_of_either_layout(tmp_path: Path) -> None:
    tiny_bundles.bundle(cached(tmp_path, "someone/a-bundle", "b" * 40))
    assert models.load("hf-hub:someone/a-bundle", cache=tmp_path).name == "mean-colour"
    tiny_bundles.hub(cached(tmp_path, "someone/exported", "c" * 40))
    encoder = models.load("hf-hub:someone/exported", cache=tmp_path)
    assert (encoder.name, encoder.revision) == ("someone/exported", "c" * 12)


def test_what_cannot_be_fetched_names_the_file_and_the_ways_on(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as raised:
        models.load("ViT-B-32-SigLIP2-256/webli", cache=tmp_path)
    message = str(raised.value)
    repository = "immich-app/ViT-B-32-SigLIP2-256__webli"
    for part in ("config.json", repository, "HF_HUB_OFFLINE", "local-dir:", "mini", "HF_HOME"):
        assert part in message
    snapshot = tiny_bundles.hub(cached(tmp_path, repository))
    (snapshot / "textual" / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"^textual/model\.onnx"):
        models.load("ViT-B-32-SigLIP2-256/webli", cache=tmp_path)


def test_hf_home_is_honoured(tmp_path: Path) -> None:
    tiny_bundles.hub(cached(tmp_path / "hub", "immich-app/ViT-B-32__openai"))
    code = "from sextant import models; print(models.load('ViT-B-32/openai').name)"
    environment = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": ":".join(sys.path)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert run.stdout.strip() == "ViT-B-32/openai", run.stderr


def test_a_repository_needs_an_owner() -> None:
    with pytest.raises(ModelError, match="OWNER/NAME"):
        models.load("hf-hub:clip")


def test_a_class_a_function_and_an_object_of_a_file(source: Path) -> None:
    encoder = models.load(f"{source}:Grey", device="cpu")
    assert encoder.name == "grey"
    assert encoder.device == "cpu", "a constructor that takes the device gets it"  # type: ignore[attr-defined]
    assert models.load(f"{source}:ready").name == "ready"
    assert models.load(f"{source}:Fixed", device="cpu", precision="fp32").dim == 2


def test_a_device_that_cannot_be_honoured_is_an_error(source: Path) -> None:
    with pytest.raises(ModelError, match="--device cuda cannot be honoured"):
        models.load(f"{source}:Fixed", device="cuda")
    with pytest.raises(ModelError, match="--precision int8 cannot be honoured"):
        models.load(f"{source}:Fixed", precision="int8")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Absent", "There is no Absent in"),
        ("Half", "no revision, dim, logit_scale, logit_bias, encode_images, encode_texts"),
        ("Broken", r"could not be started: OSError: weights\.bin not found"),
    ],
)
def test_python_that_is_no_encoder(source: Path, name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        models.load(f"{source}:{name}")


def test_python_that_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("import no_such_package_at_all")
    with pytest.raises(ModelError, match=r"wrong\.py could not be loaded: ModuleNotFoundError.*no_such_package"):
        models.load(f"{tmp_path / 'wrong.py'}:Any")
    with pytest.raises(ModelError, match="There is no Python file"):
        models.load(f"{tmp_path / 'absent.py'}:Any")
    with pytest.raises(ModelError, match=r"module no\.such\.module"):
        models.load("no.such.module:Name")


def test_a_module_by_name(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(source.parent))
    assert models.load("my_encoders:Grey").name == "grey"


def test_an_entry_point(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(source.parent))
    point = EntryPoint("plugged", "my_encoders:Grey", models.ENTRY_POINTS)
    monkeypatch.setattr(models, "entry_points", lambda group: [point] if group == "sextant.encoders" else [])
    assert models.load("plugged").name == "grey"
    assert "plugged" in [entry.name for entry in models.list_models()]


def test_the_real_encoder_of_a_file(real: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    encoder = models.load(f"{real / 'encoders' / 'conse.py'}:Conse")
    rows = encoder.encode_images([Image.new("RGB", (50, 40), "red")])
    assert rows.shape == (1, 512)


def test_a_typo_gets_the_nearest_name() -> None:
    with pytest.raises(ModelError, match=r"Did you mean ViT-B-32/openai\?"):
        models.load("ViT-B-32/opena")
    with pytest.raises(ModelError, match="Known: mini, hash"):
        models.load("zzzzzz")


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".ckpt", ".pkl"])
def test_pickles_are_refused_with_the_safe_alternative(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"weights{suffix}").write_bytes(b"\x80\x04cos\nsystem\n")
    for spec in (str(tmp_path / f"weights{suffix}"), f"local-dir:{tmp_path}", str(tmp_path)):
        with pytest.raises(ModelError, match=r"never loads.*safetensors"):
            models.load(spec)


def test_the_list_says_what_is_here(tmp_path: Path) -> None:
    entries = {entry.name: entry for entry in models.list_models(cache=tmp_path)}
    assert entries["hash"].here
    assert not entries["ViT-B-32/openai"].here
    assert models.DEFAULT in entries
    tiny_bundles.hub(cached(tmp_path, "immich-app/ViT-B-32__openai"))
    assert {entry.name: entry for entry in models.list_models(cache=tmp_path)}["ViT-B-32/openai"].here


def test_every_known_model_is_in_open_clips_form() -> None:
    for name, known in models.KNOWN.items():
        model, _, weights = name.partition("/")
        assert model
        assert weights
        assert known.licence
        assert (known.logit_bias == 0.0) == ("SigLIP" not in name), name


def test_the_doctor_on_a_bundle_with_golden_vectors(tmp_path: Path) -> None:
    folder = tiny_bundles.bundle(tmp_path / "bundle")
    golden = models.golden(OnnxEncoder(folder))
    report = models.doctor(OnnxEncoder(tiny_bundles.bundle(tmp_path / "golden", golden=golden)), precisions=("int8",))
    outcomes = {check.name: check.ok for check in report.checks}
    assert outcomes["golden vectors"] is True
    assert "mean cosine to fp32 1.0000" in report.fidelity["int8"]
    assert json.loads(json.dumps(report.to_dict()))["name"] == "mean-colour"
    assert report.images_per_second > 0


def test_the_doctor_notices_a_changed_tower(tmp_path: Path) -> None:
    golden = models.golden(OnnxEncoder(tiny_bundles.bundle(tmp_path / "bundle")))
    changed = tiny_bundles.bundle(tmp_path / "changed", golden=golden, std=[1.0, 1.0, 3.0])
    report = models.doctor(OnnxEncoder(changed), precisions=())
    assert not report.ok
    assert [check.name for check in report.checks if check.ok is False] == ["golden vectors"]


def test_the_doctor_on_any_encoder(source: Path) -> None:
    report = models.doctor(models.load(f"{source}:Grey"))
    assert {check.name: check.ok for check in report.checks}["different pictures differ"] is False
    assert report.fidelity == {}
    assert models.doctor(models.load("hash")).ok


def test_the_doctor_states_why_a_precision_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sextant.encoder import bundle

    monkeypatch.setattr(bundle, "LEAST_FIDELITY", 1.1)
    report: Any = models.doctor(OnnxEncoder(tiny_bundles.bundle(tmp_path / "bundle")), precisions=("int8",))
    assert "loses too much in int8" in report.fidelity["int8"]


def test_the_doctor_reports_a_tower_that_gives_nothing(tmp_path: Path) -> None:
    folder = tiny_bundles.bundle(tmp_path / "bundle", dim=4)
    report = models.doctor(OnnxEncoder(folder), precisions=())
    assert [check.ok for check in report.checks] == [False]
    assert "its card says (4,)" in report.checks[0].detail


def test_the_encoder_in_the_documentation_works(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "models.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    (tmp_path / "mean_colour.py").write_text(code)
    encoder = models.load(f"{tmp_path / 'mean_colour.py'}:MeanColour")
    red, blue = encoder.encode_images([Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")])
    assert red @ encoder.encode_texts(["a photo of red"])[0] == pytest.approx(1, abs=1e-4)
    assert blue @ encoder.encode_texts(["a photo of red"])[0] == pytest.approx(0, abs=1e-4)
