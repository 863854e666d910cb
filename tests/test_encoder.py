"""The encoder edge on bundles whose vectors can be computed in the head, and the model-free encoder."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnx", reason="the bundles are made with onnx")

import onnx
from onnx import TensorProto

import tiny_bundles
from sextant import images
from sextant.encoder import Card, HashEncoder, OnnxEncoder, bundle, canonical, network
from sextant.encoder.pixels import PixelPreparation
from sextant.errors import MissingExtra, ModelError
from sextant.types import Encoder, PreparingEncoder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_bundles.bundle(tmp_path / "bundle")


@pytest.fixture
def encoder(folder: Path) -> OnnxEncoder:
    return OnnxEncoder(folder)


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (20, 10)) -> Image.Image:
    return Image.new("RGB", size, colour)


def test_a_picture_is_its_mean_colour(encoder: OnnxEncoder) -> None:
    rows = encoder.encode_images([plain((255, 0, 0)), plain((0, 100, 0)), plain((90, 90, 90))])
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, [[1, 0, 0], [0, 1, 0], [3**-0.5] * 3], atol=1e-6)


def test_a_text_is_the_sum_of_its_words(encoder: OnnxEncoder) -> None:
    rows = encoder.encode_texts(["red", "Green BLUE", "a red red blue"])
    np.testing.assert_allclose(rows[0], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(rows[1], [0, 2**-0.5, 2**-0.5], atol=1e-6)
    np.testing.assert_allclose(rows[2], [2 / 5**0.5, 0, 1 / 5**0.5], atol=1e-6)


def test_it_is_what_the_pipeline_expects(encoder: OnnxEncoder) -> None:
    assert isinstance(encoder, Encoder)
    assert isinstance(encoder, PreparingEncoder)
    assert isinstance(HashEncoder(), PreparingEncoder)
    assert (encoder.name, encoder.revision, encoder.dim) == ("mean-colour", "1", 3)
    assert encoder.decode_side is None, "a small model decodes every pixel"


def test_nothing_in_nothing_out(encoder: OnnxEncoder) -> None:
    assert encoder.encode_images([]).shape == (0, 3)
    assert encoder.encode_texts([]).shape == (0, 3)
    assert HashEncoder().encode_texts([]).shape == (0, 256)


@pytest.mark.parametrize("batch", [1, 4, "n"])
@pytest.mark.parametrize("text_type", [TensorProto.INT32, TensorProto.INT64])
def test_any_number_of_rows_through_any_batch(tmp_path: Path, batch: int | str, text_type: int) -> None:
    encoder = OnnxEncoder(tiny_bundles.bundle(tmp_path / "b", batch=batch, text_type=text_type))
    pictures = [plain((i, 255 - i, 40)) for i in range(37)]
    rows = encoder.encode_images(pictures)
    expected = np.array([[i, 255 - i, 40] for i in range(37)], np.float64)
    np.testing.assert_allclose(rows, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)
    assert encoder.encode_texts(["red"] * 33).shape == (33, 3)


def test_texts_are_cut_closed_and_padded(encoder: OnnxEncoder) -> None:
    ids = encoder.tokens(["red", "red green blue red green blue red", ""])
    assert ids.tolist() == [[3, 1, 0, 0, 0, 0], [3, 4, 5, 3, 4, 1], [1, 0, 0, 0, 0, 0]]


def test_padding_on_the_left(tmp_path: Path) -> None:
    encoder = OnnxEncoder(tiny_bundles.bundle(tmp_path / "b", pad_side="left"))
    assert encoder.tokens(["red"]).tolist() == [[0, 0, 0, 0, 3, 1]]


@pytest.mark.parametrize(
    ("clean", "lower", "text", "expected"),
    [
        ("none", False, "Red  ", "unk"),
        ("none", True, "Red", "red"),
        ("whitespace", False, " red\n\tred ", "red red"),
        ("canonicalize", False, "Red, red_RED!", "red red red"),
    ],
)
def test_cleaning(tmp_path: Path, clean: str, lower: bool, text: str, expected: str) -> None:
    encoder = OnnxEncoder(tiny_bundles.bundle(tmp_path / "b", clean=clean, lower=lower))
    np.testing.assert_array_equal(encoder.tokens([text]), encoder.tokens([expected]))


def test_a_vector_that_is_no_vector_names_its_row(tmp_path: Path) -> None:
    encoder = OnnxEncoder(tiny_bundles.bundle(tmp_path / "b", mean=[0.0] * 3))
    good = encoder.prepare(plain((9, 9, 9)))
    with pytest.raises(ModelError, match="image 1 of this batch"):
        encoder.encode_prepared([good, np.full_like(good, np.nan), good])
    with pytest.raises(ModelError, match="text 2 of this batch"):
        encoder.encode_texts(["red", "blue", "nothing"])


def test_another_dimension_than_the_card_says(tmp_path: Path) -> None:
    encoder = OnnxEncoder(tiny_bundles.bundle(tmp_path / "b", dim=4))
    with pytest.raises(ModelError, match=r"shape \(3,\).*\(4,\)"):
        encoder.encode_texts(["red"])


@pytest.mark.parametrize("name", ["visual.onnx", "textual.onnx", "tokenizer.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"{name} is missing"):
        OnnxEncoder(folder)


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("visual.onnx", lambda e: e.encode_images([plain((1, 2, 3))])),
        ("textual.onnx", lambda e: e.encode_texts(["red"])),
        ("tokenizer.json", lambda e: e.encode_texts(["red"])),
    ],
)
def test_a_damaged_file_is_named_with_a_remedy(folder: Path, name: str, use: Any) -> None:
    (folder / name).write_bytes(b"version https://git-lfs.github.com/spec/v1")
    encoder = OnnxEncoder(folder)
    with pytest.raises(ModelError, match=rf"{name}.*(again)"):
        use(encoder)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tokenizer.json", {"added_tokens": ["<pad>"]}),
        ("tokenizer.json", {"added_tokens": [{"content": "<pad>", "id": {"a": 1}}]}),
        ("tokenizer.json", {"model": {"vocab": 7}}),
        ("tokenizer_config.json", {"pad_token": {"content": ["<pad>"]}}),
    ],
)
def test_a_tokenizer_of_another_shape_is_a_model_error(tmp_path: Path, file: str, content: Any) -> None:
    hub = tiny_bundles.hub(tmp_path / "hub")
    (hub / "textual" / file).write_text(json.dumps(content))
    with pytest.raises(ModelError, match="tokenizer"):
        OnnxEncoder(hub, precision="fp32")


def test_a_configuration_of_another_shape_is_read_or_refused(tmp_path: Path) -> None:
    hub = tiny_bundles.hub(tmp_path / "hub", text_cfg={"context_length": 6, "tokenizer_kwargs": [1]})
    assert OnnxEncoder(hub, precision="fp32").card.context_length == 6
    (hub / "visual" / "preprocess_cfg.json").write_text(json.dumps({"size": []}))
    with pytest.raises(ModelError, match="image_size"):
        OnnxEncoder(hub, precision="fp32")


@pytest.mark.parametrize(
    ("key", "value"), [("context_length", 1 << 40), ("dim", 1 << 40), ("image_size", 100_000), ("pad_id", 1 << 31)]
)
def test_a_card_cannot_ask_for_all_the_memory(tmp_path: Path, key: str, value: int) -> None:
    with pytest.raises(ModelError, match=f"card.json.*{key}"):
        OnnxEncoder(tiny_bundles.bundle(tmp_path / "b", **{key: value}))


@pytest.mark.parametrize(
    "change",
    [
        {"post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}]}},
        {"model": {"type": "WordLevel", "vocab": {"red": 3}, "unk_token": "<unk>"}, "added_tokens": []},
        {
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<eos>", "type_id": 0}}] * 9,
                "pair": [],
                "special_tokens": {"<eos>": {"id": "<eos>", "ids": [1], "tokens": ["<eos>"]}},
            }
        },
    ],
)
def test_a_tokenizer_that_fails_or_panics_is_a_model_error(folder: Path, change: dict[str, Any]) -> None:
    held = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(held | change))
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be used"):
        OnnxEncoder(folder, precision="fp32").encode_texts(["a red green blue thing"])


@pytest.mark.parametrize("axes", [[0, 1, 2, 3], [0, 2, 3], [3]])
def test_a_graph_that_gives_no_vector_for_each_picture_is_a_model_error(folder: Path, axes: list[int]) -> None:
    model = onnx.load(str(folder / "visual.onnx"))
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.array(axes, np.int64), "axes"))
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, str(folder / "visual.onnx"))
    with pytest.raises(ModelError, match=r"visual\.onnx.*a vector for each"):
        OnnxEncoder(folder, precision="fp32").encode_images([plain((1, 2, 3))] * 2)


@pytest.mark.parametrize("name", [b"embedding", b"image", b"n"])
def test_a_graph_whose_names_are_no_text_is_a_model_error(folder: Path, name: bytes) -> None:
    file = folder / "visual.onnx"
    field = bytes([len(name)]) + name  # as protobuf writes a text
    damaged = file.read_bytes().replace(field, bytes([len(name)]) + b"\xee" * len(name))
    assert damaged != file.read_bytes()
    file.write_bytes(damaged)
    with pytest.raises(ModelError, match=r"visual\.onnx"):
        OnnxEncoder(folder, precision="fp32").encode_images([plain((1, 2, 3))])


def test_a_graph_without_an_output_is_a_model_error(folder: Path) -> None:
    graph = onnx.load(str(folder / "visual.onnx"))
    del graph.graph.output[:]
    onnx.save(graph, str(folder / "visual.onnx"))
    with pytest.raises(ModelError, match=r"visual\.onnx"):
        OnnxEncoder(folder, precision="fp32").encode_images([plain((1, 2, 3))])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2"),
        ({"dim": -1}, "dim"),
        ({"resize_mode": "stretch"}, "resize_mode"),
        ({"mean": [0.5]}, "mean"),
        ({"mean": [float("nan"), 0, 0]}, "mean"),
        ({"std": [0.5, 0.5, 0]}, "std"),
        ({"logit_scale": 0}, "logit_scale"),
    ],
)
def test_a_wrong_card_names_the_key(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=f"card.json.*{message}"):
        OnnxEncoder(tiny_bundles.bundle(tmp_path / "b", **change))
    (tmp_path / "b" / "card.json").write_text("{not json")
    with pytest.raises(ModelError, match=r"card\.json cannot be read as JSON"):
        OnnxEncoder(tmp_path / "b")


def test_a_folder_that_is_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="model convert"):
        OnnxEncoder(tmp_path)
    with pytest.raises(ModelError, match="There is no folder"):
        OnnxEncoder(tmp_path / "absent")


def test_cuda_asked_for_and_absent_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "cuda_available", lambda: False)
    with pytest.raises(ModelError, match="onnxruntime-gpu"):
        OnnxEncoder(folder, device="cuda")
    assert OnnxEncoder(folder, device="auto").device == "cpu"
    with pytest.raises(ModelError, match="no device 'tpu'"):
        OnnxEncoder(folder, device="tpu")


def test_cuda_that_does_not_start_is_an_error_and_no_silent_fallback(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "cuda_available", lambda: True)
    if "CUDAExecutionProvider" not in _providers():
        refused = pytest.raises(ModelError, match="could not start")
        with pytest.warns(UserWarning, match="CUDAExecutionProvider"), refused:
            OnnxEncoder(folder, device="cuda")


def _providers() -> list[str]:
    import onnxruntime

    providers: list[str] = onnxruntime.get_available_providers()
    return providers


def test_precision_is_part_of_the_revision(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "WORTH_BF16", 0)
    monkeypatch.setattr(network, "has_openvino", lambda: True)
    monkeypatch.setattr(network, "cpu_has_bf16", lambda: True)
    for precision, revision, side in [("fp32", "1", None), ("bf16", "1+bf16", 8), ("auto", "1+bf16", 8)]:
        encoder = OnnxEncoder(folder, device="cpu", precision=precision)
        assert (encoder.revision, encoder.decode_side) == (revision, side)
    monkeypatch.setattr(network, "cpu_has_bf16", lambda: False)
    encoder = OnnxEncoder(folder, device="cpu", precision="auto")
    assert (encoder.revision, encoder.decode_side, encoder.precision) == ("1+scaled", 8, "fp32")
    with pytest.raises(ModelError, match="does not compute in bf16"):
        OnnxEncoder(folder, device="cpu", precision="bf16")
    with pytest.raises(ModelError, match="no precision 'fp8'"):
        OnnxEncoder(folder, precision="fp8")


@pytest.mark.skipif(not network.cpu_has_bf16() or not network.has_openvino(), reason="no bf16 here")
def test_bf16_is_close_to_fp32(folder: Path) -> None:
    encoder = OnnxEncoder(folder, device="cpu", precision="bf16")
    rows = encoder.encode_images([plain((200, 10, 90))])
    np.testing.assert_allclose(rows, OnnxEncoder(folder).encode_images([plain((200, 10, 90))]), atol=0.01)
    assert encoder.fidelity()[0] > 0.99


def test_bf16_without_openvino_names_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "has_openvino", lambda: False)
    monkeypatch.setattr(network, "cpu_has_bf16", lambda: True)
    with pytest.raises(MissingExtra, match=r"sextant-images\[openvino\]"):
        OnnxEncoder(folder, device="cpu", precision="bf16")
    with pytest.raises(MissingExtra, match=r"sextant-images\[openvino\]"):
        network.open_openvino(folder / "visual.onnx")


def test_int8_passes_its_gate_or_states_the_figure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = OnnxEncoder(folder, precision="int8")
    assert encoder.revision == "1+int8"
    [record] = (folder / ".int8").glob("*.json")
    assert json.loads(record.read_text())["mean"] == pytest.approx(1.0, abs=1e-3)
    record.write_text(json.dumps({"mean": 0.5512, "least": 0.1}))
    with pytest.raises(ModelError, match=r"0\.551 .*0\.99 is required"):
        OnnxEncoder(folder, precision="int8")


def test_fidelity_takes_the_mean_away() -> None:
    exact = np.array([[10, 1, 0], [10, -1, 0], [10, 0, 1], [10, 0, -1]], np.float32)
    swapped = exact[[1, 0, 3, 2]]
    assert bundle._fidelity(exact, exact) == pytest.approx((1, 1))
    assert bundle._fidelity(exact, swapped)[0] == pytest.approx(-1)


def card(**changes: Any) -> Card:
    values: dict[str, Any] = {
        **{"name": "x", "revision": "1", "dim": 3, "image_size": 8, "resize_mode": "shortest", "context_length": 6},
        **{"mean": (0, 0, 0), "std": (1, 1, 1), "pad_id": 0, "logit_scale": 1.0},
    }
    return Card(**{**values, **changes})


def test_shortest_edge_then_the_middle() -> None:
    picture = Image.new("RGB", (24, 8), "red")
    picture.paste("lime", (8, 0, 16, 8))
    prepared = PixelPreparation(card())(picture)
    assert prepared.shape == (3, 8, 8)
    assert (prepared[1] == 1).all(), "the middle third is left"
    assert (prepared[0] == 0).all()


def test_squash_keeps_both_ends() -> None:
    picture = Image.new("RGB", (32, 8), "red")
    picture.paste("lime", (16, 0, 32, 8))
    prepared = PixelPreparation(card(resize_mode="squash"))(picture)
    assert prepared[0, :, 0] == pytest.approx(1, abs=0.1)
    assert prepared[1, :, -1] == pytest.approx(1, abs=0.1)


def test_normalisation_is_per_channel() -> None:
    prepare = PixelPreparation(card(mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 2.0)))
    prepared = prepare(plain((255, 255, 255), (8, 8)))
    assert prepared[:, 0, 0].tolist() == pytest.approx([1.0, 3.0, 0.5])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["shortest", "squash"])
def test_a_scaled_jpeg_is_prepared_like_the_whole_one(orientation: int, mode: str) -> None:
    """Sizes that leave partial blocks at both edges: without the noted extent the error is five times as large."""
    y, x = np.mgrid[0:1003, 0:1339]
    waves = [128 + 110 * np.sin(x / a + y / b) for a, b in ((31, 47), (60, -33), (-41, 38))]
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.stack(waves, axis=-1).astype(np.uint8)).save(out, "JPEG", quality=95, subsampling=0, exif=exif)
    prepare = PixelPreparation(card(image_size=64, resize_mode=mode))
    whole = images.decode(out.getvalue())[0]
    scaled = images.decode(out.getvalue(), least_side=64)[0]
    assert min(scaled.size) == 126
    noted = np.abs(prepare(scaled) - prepare(whole)).mean()
    scaled.info.pop("extent")
    ignored = np.abs(prepare(scaled) - prepare(whole)).mean()
    assert noted < 0.004
    assert noted < ignored / 3


def test_a_cut_of_a_scaled_picture_is_prepared_as_it_is() -> None:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((1003, 1003)).convert("RGB").save(out, "JPEG")
    scaled = images.decode(out.getvalue(), least_side=64)[0]
    cut = scaled.crop((0, 0, 50, 50))
    bare = Image.fromarray(np.asarray(cut))
    prepare = PixelPreparation(card())
    assert np.array_equal(prepare(cut), prepare(bare))


def test_preparing_in_threads_is_preparing(encoder: OnnxEncoder) -> None:
    pictures = [plain((i, 2 * i, 255 - i), (30 + i, 20)) for i in range(64)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(encoder.prepare, pictures))
        rows = list(pool.map(lambda p: encoder.encode_prepared([p])[0], together))
    np.testing.assert_allclose(np.stack(rows), encoder.encode_images(pictures), atol=1e-6)


def test_the_hub_layout(tmp_path: Path) -> None:
    encoder = OnnxEncoder(tiny_bundles.hub(tmp_path / "hub"))
    assert (encoder.name, encoder.logit_scale, encoder.logit_bias) == ("hub", 100.0, 0.0)
    assert encoder.card.logits_assumed
    assert encoder.tokens(["RED"]).tolist() == [[3, 1, 0, 0, 0, 0]]
    np.testing.assert_allclose(encoder.encode_texts(["blue"]), [[0, 0, 1]], atol=1e-6)
    sigmoid = OnnxEncoder(tiny_bundles.hub(tmp_path / "sigmoid", init_logit_bias=-10))
    assert sigmoid.card.training == "sigmoid"
    assert sigmoid.logit_bias < -10
    assert encoder.revision != sigmoid.revision, "the revision follows the files"


def test_the_same_bytes_the_same_scores() -> None:
    first, second = HashEncoder(), HashEncoder()
    picture = plain((1, 2, 3))
    assert np.array_equal(first.encode_images([picture]), second.encode_images([picture.copy()]))
    assert not np.array_equal(first.encode_images([picture]), first.encode_images([plain((1, 2, 4))]))
    assert not np.array_equal(first.encode_images([picture]), first.encode_images([plain((1, 2, 3), (10, 20))]))
    assert not np.array_equal(first.encode_texts(["a"]), first.encode_texts(["b"]))


def test_a_hash_is_the_same_tomorrow_and_elsewhere() -> None:
    code = "from sextant.encoder import HashEncoder; print(HashEncoder().encode_texts(['a dog'])[0, :3].tolist())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == HashEncoder().encode_texts(["a dog"])[0, :3].tolist()
    assert json.loads(run.stdout) == pytest.approx(GOLDEN_HASH, abs=1e-6)


GOLDEN_HASH = [0.4472136, 0.0059283, -0.0701191]


def test_hash_logits_look_like_logits() -> None:
    encoder = HashEncoder()
    rows = encoder.encode_images([plain((i, j, 0)) for i in range(20) for j in range(10)])
    texts = encoder.encode_texts([f"attribute number {i}" for i in range(200)])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    logits = encoder.logit_scale * rows @ texts.T
    assert logits.mean() == pytest.approx(20, abs=0.5)
    assert logits.std() == pytest.approx(5, abs=0.5)
    assert 0.02 < (logits > 27.579).mean() < 0.15, "some accepted"


def test_canonical_pictures_never_change() -> None:
    """The golden vectors in cards rest on them."""
    pictures = canonical.draw(30, 40)
    assert len(pictures) == 24
    assert {p.shape for p in pictures} == {(30, 40, 3)}
    assert len({p.tobytes() for p in pictures}) == 24
    means = [round(float(p.mean()), 1) for p in pictures[:3]]
    assert means == GOLDEN_MEANS


GOLDEN_MEANS = [153.5, 117.4, 135.5]


def test_importing_the_encoder_starts_no_runtime() -> None:
    heavy = ["onnxruntime", "openvino", "torch", "tokenizers", "PIL"]
    code = f"import sextant.encoder, sys; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_openvino_reports_to_nobody(tmp_path: Path) -> None:
    """Importing it would send a usage report; a fork beside Lance's threads is not safe either."""
    pytest.importorskip("openvino")
    script = f"""
import os, sys
os.register_at_fork(before=lambda: print("forked"))
from pathlib import Path
from sextant.encoder import network
try:
    network.open_openvino(Path({str(tmp_path / "absent.onnx")!r}))
except Exception as error:
    print(type(error).__name__)
print("openvino" in sys.modules, sys.modules.get("openvino_telemetry"))
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["ModelError", "True", "None"]
