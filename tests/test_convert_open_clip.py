"""Bundles made from open_clip's checkpoints give the vectors that open_clip gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import save_file  # noqa: E402

import checkpoints  # noqa: E402
import open_clip_reference as reference  # noqa: E402
from sextant.encoder import OnnxEncoder  # noqa: E402
from sextant.errors import ModelError  # noqa: E402
from sextant.train.export import convert  # noqa: E402

PIXELS = {
    "size": [64, 64],
    "mode": "RGB",
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,
}


def config(*, quick_gelu: bool, vocabulary: int) -> dict[str, Any]:
    return {
        "embed_dim": 48,
        "quick_gelu": quick_gelu,
        "vision_cfg": {"image_size": 64, "layers": 2, "width": 128, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": vocabulary, "width": 64, "heads": 2, "layers": 2},
    }


def save(folder: Path, model: Any, model_cfg: dict[str, Any], pixels: dict[str, Any], tokenizer: Any = None) -> None:
    folder.mkdir(parents=True)
    tensors = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    written = {"model_cfg": model_cfg, "preprocess_cfg": pixels}
    (folder / "open_clip_config.json").write_text(json.dumps(written))
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)


def bundle(folder: Path) -> OnnxEncoder:
    convert(folder, folder.with_name("bundle"))
    return OnnxEncoder(folder.with_name("bundle"), device="cpu", precision="fp32")


def assert_equal(model: Any, encoder: OnnxEncoder, ids: Any) -> None:
    pixels = encoder.canonical_pixels()
    with torch.no_grad():
        images = model.encode_image(torch.from_numpy(pixels), normalize=True).numpy()
        texts = model.encode_text(torch.as_tensor(ids), normalize=True).numpy()
    assert np.median(images @ images.T) < 0.9
    assert np.median(texts @ texts.T) < 0.9
    assert (images * encoder.encode_prepared(list(pixels))).sum(axis=1).min() >= 0.99999
    assert (texts * encoder.encode_texts(checkpoints.TEXTS)).sum(axis=1).min() >= 0.99999


@pytest.mark.parametrize("quick_gelu", [False, True])
def test_clip(tmp_path: Path, quick_gelu: bool) -> None:
    tokenizer = checkpoints.clip_tokenizer()
    cfg = config(quick_gelu=quick_gelu, vocabulary=len(tokenizer))
    model = reference.Clip(**cfg).eval()
    checkpoints.spread(model)
    save(tmp_path / "clip", model, cfg, PIXELS, tokenizer)
    encoder = bundle(tmp_path / "clip")
    ids = encoder.tokens(checkpoints.TEXTS)
    assert_equal(model, encoder, ids)
    assert (ids[1, -70:] == 0).all(), "open_clip pads with 0"
    assert encoder.logit_scale == pytest.approx(100.0, abs=0.01)
    assert (encoder.card.clean, encoder.card.lower, encoder.card.crop_rounding) == ("whitespace", True, "nearest")


def test_cleaning_is_open_clips(tmp_path: Path) -> None:
    """Quotes straightened, entities resolved twice, ligatures and wide letters spelt out, capitals and space folded."""
    tokenizer = checkpoints.clip_tokenizer()
    cfg = config(quick_gelu=False, vocabulary=len(tokenizer))
    model = reference.Clip(**cfg)
    checkpoints.spread(model)
    save(tmp_path / "clip", model, cfg, PIXELS, tokenizer)
    encoder = bundle(tmp_path / "clip")
    for odd, plain in [
        ("Don’t “stop”", 'don\'t "stop"'),
        ("cats &amp;amp; dogs", "cats & dogs"),
        ("ﬁne ＷＩＤＥ", "fine wide"),
        (" two\n\twords ", "two words"),
        ("cafe\u0301", "café"),
    ]:
        np.testing.assert_array_equal(encoder.tokens([odd]), encoder.tokens([plain]), err_msg=odd)
    assert (encoder.tokens(["dog"]) != encoder.tokens(["cat"])).any()


def test_torchvisions_crop_falls_on_the_nearest_even_pixel(tmp_path: Path) -> None:
    """A 64 × 67 picture: torchvision cuts round(1.5) = 2 pixels off, transformers 1."""
    tokenizer = checkpoints.clip_tokenizer()
    cfg = config(quick_gelu=False, vocabulary=len(tokenizer))
    model = reference.Clip(**cfg)
    checkpoints.spread(model)
    save(tmp_path / "clip", model, cfg, PIXELS, tokenizer)
    encoder = bundle(tmp_path / "clip")
    rows = np.repeat(np.arange(67, dtype=np.uint8)[:, None], 64, axis=1)
    prepared = encoder.prepare(Image.fromarray(np.stack([rows] * 3, axis=-1)))
    mean, std = PIXELS["mean"][0], PIXELS["std"][0]  # type: ignore[index]
    assert prepared[0, 0, 0] * std + mean == pytest.approx(2 / 255, abs=1e-6)
    assert prepared[0, -1, 0] * std + mean == pytest.approx(65 / 255, abs=1e-6)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("vision_cfg", "attentional_pool", True),
        ("vision_cfg", "timm_model_name", "convnext_base"),
        ("text_cfg", "hf_model_name", "xlm-roberta-base"),
        ("text_cfg", "pool_type", "cls"),
    ],
)
def test_architectures_that_are_neither_are_refused_by_key(
    tmp_path: Path, section: str, key: str, value: object
) -> None:
    cfg = config(quick_gelu=False, vocabulary=50)
    model = reference.Clip(**cfg)
    cfg[section] = {**cfg[section], key: value}
    save(tmp_path / "clip", model, cfg, PIXELS)
    with pytest.raises(ModelError, match=f"{section}.{key}"):
        convert(tmp_path / "clip", tmp_path / "bundle")


@pytest.fixture(scope="module")
def open_clip() -> Any:
    checkpoints.clip_tokenizer()  # transformers looks for torchvision once: before the stand-in is there
    with reference.without_torchvision():
        return pytest.importorskip("open_clip", reason="open_clip is not installed", exc_type=ImportError)


@pytest.mark.parametrize("quick_gelu", [False, True])
def test_clip_of_open_clip_itself(open_clip: Any, tmp_path: Path, quick_gelu: bool) -> None:
    cfg = config(quick_gelu=quick_gelu, vocabulary=49408)
    model = open_clip.model.CLIP(**cfg).eval()
    checkpoints.spread(model)
    save(tmp_path / "clip", model, cfg, PIXELS)
    encoder = bundle(tmp_path / "clip")
    ids = open_clip.tokenizer.SimpleTokenizer()(checkpoints.TEXTS)
    np.testing.assert_array_equal(encoder.tokens(checkpoints.TEXTS), ids.numpy())
    assert_equal(model, encoder, ids)
    ours = reference.Clip(**cfg).eval()
    ours.load_state_dict(model.state_dict())
    assert_equal(ours, encoder, ids)


@pytest.mark.parametrize("name", ["ViT-B-32-SigLIP2-256", "ViT-B-16-SigLIP"])
def test_siglip_of_open_clip_itself(open_clip: Any, tmp_path: Path, name: str) -> None:
    tokenizer = checkpoints.siglip2_tokenizer()
    cfg = open_clip.get_model_config(name)
    cfg["text_cfg"] = {**cfg["text_cfg"], "layers": 2, "vocab_size": len(tokenizer)}
    arguments = {key: value for key, value in cfg.items() if key != "custom_text"}
    with reference.without_torchvision():
        model = open_clip.model.CustomTextCLIP(**arguments).eval()
    model.visual.trunk.blocks = model.visual.trunk.blocks[:2]
    checkpoints.spread(model)
    half = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    size = cfg["vision_cfg"]["image_size"]
    save(tmp_path / "siglip", model, cfg, {"size": [size, size], **half}, tokenizer)
    encoder = bundle(tmp_path / "siglip")
    theirs = open_clip.tokenizer.HFTokenizer(str(tmp_path / "siglip"), context_length=64, clean="canonicalize")
    ids = theirs(checkpoints.TEXTS)
    np.testing.assert_array_equal(encoder.tokens(checkpoints.TEXTS), ids.numpy())
    assert_equal(model, encoder, ids)
    assert encoder.logit_bias == pytest.approx(-10.0)
    assert encoder.card.training == "sigmoid"
