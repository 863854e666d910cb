"""Bundles made from transformers' checkpoints give the vectors that transformers gives."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers import AutoTokenizer  # noqa: E402
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil  # noqa: E402
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil  # noqa: E402

import checkpoints  # noqa: E402
from sextant import images, models  # noqa: E402
from sextant.encoder import OnnxEncoder, canonical  # noqa: E402
from sextant.errors import ModelError  # noqa: E402
from sextant.train.export import convert  # noqa: E402

BUILDERS = {
    "clip": lambda folder: checkpoints.clip(folder),
    "clip-gelu": lambda folder: checkpoints.clip(folder, act="gelu", legacy=True),
    "siglip2": lambda folder: checkpoints.siglip(folder, version=2),
}


class Pair:
    """A checkpoint, its torch model, and the encoder loaded from its bundle."""

    def __init__(self, kind: str, root: Path) -> None:
        self.kind, self.checkpoint, self.bundle = kind, root / kind, root / f"{kind}-bundle"
        self.model = BUILDERS[kind](self.checkpoint)
        self.card = convert(self.checkpoint, self.bundle, licence="MIT")
        self.encoder = OnnxEncoder(self.bundle, device="cpu", precision="fp32")

    def images(self, pixels: Any) -> np.ndarray:
        with torch.no_grad():
            return unit(self.model.get_image_features(pixel_values=torch.as_tensor(pixels)).pooler_output.numpy())

    def texts(self, texts: list[str]) -> np.ndarray:
        tokenizer = AutoTokenizer.from_pretrained(self.checkpoint)
        ids = tokenizer(
            texts, padding="max_length", max_length=self.card.context_length, truncation=True, return_tensors="pt"
        )["input_ids"]
        with torch.no_grad():
            return unit(self.model.get_text_features(input_ids=ids).pooler_output.numpy())

    def processor(self) -> Any:
        kind = CLIPImageProcessorPil if self.kind.startswith("clip") else SiglipImageProcessorPil
        return kind.from_pretrained(self.checkpoint)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def least_cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of the rows as they are, and with the mean removed, which random weights make the harder test."""
    centre = a.mean(axis=0)
    return min(float((a * b).sum(axis=1).min()), float((unit(a - centre) * unit(b - centre)).sum(axis=1).min()))


@pytest.fixture(scope="session", params=sorted(BUILDERS))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(request.param, tmp_path_factory.mktemp("convert"))


def jpegs() -> list[bytes]:
    out = []
    for index, picture in enumerate(canonical.draw(243, 377)):
        image = Image.fromarray(picture if index % 2 else np.ascontiguousarray(picture.transpose(1, 0, 2)))
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=92)
        out.append(stream.getvalue())
    return out


def test_same_pixels_give_the_same_vectors(pair: Pair) -> None:
    pixels = pair.encoder.canonical_pixels()
    reference = pair.images(pixels)
    assert np.median(reference @ reference.T) < 0.9, "the checkpoint does not tell pictures apart: nothing is tested"
    assert least_cosine(reference, pair.encoder.encode_prepared(list(pixels))) >= 0.99999


def test_same_jpeg_through_both_preprocessors(pair: Pair) -> None:
    processor = pair.processor()
    files = jpegs()
    pictures = [Image.open(io.BytesIO(data)) for data in files]
    reference = pair.images(np.stack([processor(p, return_tensors="np")["pixel_values"][0] for p in pictures]))
    ours = pair.encoder.encode_images([images.decode(data)[0] for data in files])
    assert least_cosine(reference, ours) >= 0.9999


def test_same_texts_give_the_same_vectors(pair: Pair) -> None:
    reference = pair.texts(checkpoints.TEXTS)
    assert np.median(reference @ reference.T) < 0.9
    assert least_cosine(reference, pair.encoder.encode_texts(checkpoints.TEXTS)) >= 0.99999


def test_token_ids_are_the_references(pair: Pair) -> None:
    tokenizer = AutoTokenizer.from_pretrained(pair.checkpoint)
    length = pair.card.context_length
    theirs = tokenizer(checkpoints.TEXTS, padding="max_length", max_length=length, truncation=True)["input_ids"]
    ours = pair.encoder.tokens(checkpoints.TEXTS)
    assert ours.shape == (len(checkpoints.TEXTS), 64 if pair.kind == "siglip2" else 77)
    np.testing.assert_array_equal(ours, np.asarray(theirs))


def test_an_over_long_text_keeps_its_closing_token(pair: Pair) -> None:
    [row] = pair.encoder.tokens(["mountains " * 300])
    assert row[-1] == pair.card.eos_id


def test_a_text_does_not_depend_on_its_company(pair: Pair) -> None:
    together = pair.encoder.encode_texts(["dog", "a photo of a dog in the park, with a red ball"])
    assert np.allclose(together[0], pair.encoder.encode_texts(["dog"])[0], atol=1e-5)


def test_siglip_pads_to_the_full_length_and_the_padding_counts(pair: Pair) -> None:
    if pair.kind != "siglip2":
        pytest.skip("CLIP pools at the closing token: what follows it does not count")
    [ids] = pair.encoder.tokens(["dog"])
    assert len(ids) == 64
    assert (ids[-50:] == pair.card.pad_id).all()
    tokenizer = AutoTokenizer.from_pretrained(pair.checkpoint)
    with torch.no_grad():
        short = tokenizer(["dog"], return_tensors="pt")["input_ids"]
        unpadded = unit(pair.model.get_text_features(input_ids=short).pooler_output.numpy())
    assert float((unpadded * pair.encoder.encode_texts(["dog"])).sum()) < 0.99, "padding made no difference"


def test_capitals_do_not_matter(pair: Pair) -> None:
    lower, upper = pair.encoder.encode_texts(["a photo of a dog", "A PHOTO of a Dog"])
    assert np.array_equal(lower, upper)


def test_logit_scale_and_bias_are_the_checkpoints(pair: Pair) -> None:
    encoder = pair.encoder
    with torch.no_grad():
        assert encoder.logit_scale == pytest.approx(float(pair.model.logit_scale.exp()), rel=1e-6)
        bias = float(getattr(pair.model, "logit_bias", torch.zeros(1)))
    assert encoder.logit_bias == pytest.approx(bias, abs=1e-6)
    assert pair.card.training == ("sigmoid" if pair.kind == "siglip2" else "softmax")
    assert pair.card.licence == "MIT"


def test_logits_are_the_references(pair: Pair) -> None:
    pixels = pair.encoder.canonical_pixels()
    texts = checkpoints.TEXTS[:5]
    tokenizer = AutoTokenizer.from_pretrained(pair.checkpoint)
    length = pair.card.context_length
    ids = tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        reference = pair.model(input_ids=ids, pixel_values=torch.from_numpy(pixels)).logits_per_image.numpy()
    cosines = pair.encoder.encode_prepared(list(pixels)) @ pair.encoder.encode_texts(texts).T
    ours = pair.encoder.logit_scale * cosines + pair.encoder.logit_bias
    assert np.abs(ours - reference).max() < 1e-2
    assert np.abs(ours - reference).mean() < 1e-3


def test_the_activation_of_the_checkpoint_is_honoured(tmp_path: Path) -> None:
    first, second = checkpoints.clip(tmp_path / "a"), checkpoints.clip(tmp_path / "b", act="gelu")
    assert torch.equal(first.visual_projection.weight, second.visual_projection.weight), (
        "same weights, other activation"
    )
    convert(tmp_path / "a", tmp_path / "a-bundle")
    convert(tmp_path / "b", tmp_path / "b-bundle")
    quick, exact = (OnnxEncoder(tmp_path / f"{n}-bundle", precision="fp32") for n in "ab")
    pixels = list(quick.canonical_pixels())
    assert least_cosine(quick.encode_prepared(pixels), exact.encode_prepared(pixels)) < 0.99999


@pytest.mark.parametrize("batch", [None, 1])
def test_the_hub_layout_loads_the_same_way(pair: Pair, tmp_path: Path, batch: int | None) -> None:
    folder = tmp_path / ("ViT-B-32__openai" if pair.kind != "siglip2" else "ViT-B-32-SigLIP2-256__webli")
    hub_layout(pair, folder, batch)
    encoder = models.load(f"local-dir:{folder}", precision="fp32")
    assert encoder.name == folder.name.replace("__", "/")
    pixels = pair.encoder.canonical_pixels()[:5]
    assert least_cosine(pair.encoder.encode_prepared(list(pixels)), encoder.encode_prepared(list(pixels))) >= 0.99999
    # open_clip's cleaning takes punctuation away for SigLIP; otherwise a plain text is the same to both references
    texts, plain = ["A Photo, of a dog!", "under_score"], ["A Photo of a dog", "under score"]
    if pair.kind != "siglip2":
        texts = plain
    assert least_cosine(pair.encoder.encode_texts(plain), encoder.encode_texts(texts)) >= 0.99999
    assert encoder.logit_scale == (100.0 if pair.kind != "siglip2" else pytest.approx(112.0))


def hub_layout(pair: Pair, folder: Path, batch: int | None) -> None:
    """The bundle's graphs in the layout of the Immich exports, the batch fixed at 1 if asked."""
    onnx = pytest.importorskip("onnx")
    (folder / "visual").mkdir(parents=True)
    (folder / "textual").mkdir()
    for part, feed in (("visual", "image"), ("textual", "text")):
        graph = onnx.load(str(pair.bundle / f"{part}.onnx"))
        if batch:
            assert graph.graph.input[0].name == feed
            for value in (*graph.graph.input, *graph.graph.output):
                value.type.tensor_type.shape.dim[0].dim_value = batch
        onnx.save(graph, str(folder / part / "model.onnx"))
    shutil.copy(pair.bundle / "tokenizer.json", folder / "textual")
    siglip, card = pair.kind == "siglip2", pair.card
    pad = json.loads((pair.checkpoint / "tokenizer_config.json").read_text())["pad_token"]
    (folder / "textual" / "tokenizer_config.json").write_text(json.dumps({"pad_token": pad}))
    preprocess = {
        "size": [card.image_size, card.image_size],
        "mode": "RGB",
        "mean": list(card.mean),
        "std": list(card.std),
        "interpolation": "bicubic",
        "resize_mode": card.resize_mode,
        "fill_color": 0,
    }
    (folder / "visual" / "preprocess_cfg.json").write_text(json.dumps(preprocess))
    text = {"context_length": card.context_length, "vocab_size": 500, "width": 64, "heads": 2, "layers": 2}
    if siglip:
        text |= {"hf_tokenizer_name": "timm/any", "tokenizer_kwargs": {"clean": "canonicalize"}}
    config = {"embed_dim": card.dim, "vision_cfg": {"image_size": card.image_size}, "text_cfg": text}
    (folder / "config.json").write_text(json.dumps(config | ({"init_logit_bias": -10} if siglip else {})))


def test_a_hub_folder_without_a_known_name_says_that_its_scale_is_assumed(pair: Pair, tmp_path: Path) -> None:
    hub_layout(pair, tmp_path / "mine", None)
    encoder = models.load(f"local-dir:{tmp_path / 'mine'}", precision="fp32")
    assert encoder.card.logits_assumed
    config = json.loads((tmp_path / "mine" / "config.json").read_text())
    (tmp_path / "mine" / "config.json").write_text(json.dumps(config | {"logit_scale": 117.5, "logit_bias": -12.5}))
    encoder = models.load(f"local-dir:{tmp_path / 'mine'}", precision="fp32")
    assert (encoder.logit_scale, encoder.logit_bias, encoder.card.logits_assumed) == (117.5, -12.5, False)


def test_the_doctor_accepts_a_fresh_bundle_and_names_damage(pair: Pair, tmp_path: Path) -> None:
    report = models.doctor(pair.encoder, precisions=())
    assert report.ok, report.checks
    assert {check.name: check.ok for check in report.checks}["golden vectors"] is True
    broken = tmp_path / "broken"
    shutil.copytree(pair.bundle, broken)
    card = json.loads((broken / "card.json").read_text())
    card["mean"] = [0.9, 0.1, 0.5]
    (broken / "card.json").write_text(json.dumps(card))
    report = models.doctor(OnnxEncoder(broken, precision="fp32"), precisions=())
    assert not report.ok
    assert [check.name for check in report.checks if check.ok is False] == ["golden vectors"]


def test_the_bundle_is_whole_and_nothing_else_is_left(pair: Pair) -> None:
    assert sorted(path.name for path in pair.bundle.iterdir()) == sorted(models.BUNDLE_FILES)
    assert not [path for path in pair.bundle.parent.iterdir() if path.name.startswith(".")]


def test_converting_twice_gives_the_same_revision(tmp_path: Path) -> None:
    checkpoints.clip(tmp_path / "a")
    assert convert(tmp_path / "a", tmp_path / "one").revision == convert(tmp_path / "a", tmp_path / "two").revision


def test_pickled_weights_are_refused_with_the_safe_alternative(tmp_path: Path) -> None:
    checkpoints.clip(tmp_path / "a")
    (tmp_path / "a" / "model.safetensors").rename(tmp_path / "a" / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin may hold Python code.*safetensors"):
        convert(tmp_path / "a", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_checkpoint_leaves_nothing_behind(tmp_path: Path) -> None:
    checkpoints.clip(tmp_path / "a")
    weights = tmp_path / "a" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        convert(tmp_path / "a", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "siglip2"}, "NaFlex"),
        ({"model_type": "bert"}, "bert model; CLIP, SigLIP and SigLIP 2 can be converted"),
    ],
)
def test_other_architectures_are_named(tmp_path: Path, change: dict[str, str], message: str) -> None:
    checkpoints.clip(tmp_path / "a")
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    (tmp_path / "a" / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ModelError, match=message):
        convert(tmp_path / "a", tmp_path / "out")


def test_a_target_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    with pytest.raises(ModelError, match="not empty"):
        convert(tmp_path, tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "precious"


def test_a_folder_that_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"neither config\.json"):
        convert(tmp_path, tmp_path / "out")
    with pytest.raises(ModelError, match="no folder"):
        convert(tmp_path / "nothing here at all", tmp_path / "out")


def test_an_image_tower_of_true_size(tmp_path: Path) -> None:
    """ViT-B/32: twelve layers, 224 pixels; also bf16, which `auto` chooses at this size where the processor has it."""
    from transformers import CLIPConfig, CLIPModel

    tokenizer = checkpoints.clip_tokenizer()
    text = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, "bos_token_id": 0, "pad_token_id": 1}
    model = CLIPModel(CLIPConfig(text_config={**text, "num_hidden_layers": 1})).eval()
    checkpoints.spread(model, gain=1.0)
    model.save_pretrained(tmp_path / "clip")
    tokenizer.save_pretrained(tmp_path / "clip")
    convert(tmp_path / "clip", tmp_path / "bundle")
    encoder = OnnxEncoder(tmp_path / "bundle", device="cpu", precision="fp32")
    pixels = encoder.canonical_pixels()[::2]
    with torch.no_grad():
        reference = unit(model.get_image_features(pixel_values=torch.from_numpy(pixels)).pooler_output.numpy())
    ours = encoder.encode_prepared(list(pixels))
    assert least_cosine(reference, ours) >= 0.99999
    automatic = OnnxEncoder(tmp_path / "bundle", device="cpu")
    assert automatic.decode_side == 224
    assert automatic.revision in (f"{encoder.revision}+bf16", f"{encoder.revision}+scaled")
    assert least_cosine(ours, automatic.encode_prepared(list(pixels))) >= 0.99
