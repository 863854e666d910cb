"""SigLIP 1, whose vocabulary is a sentencepiece model: tokenised without sentencepiece, and as sentencepiece does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("google.protobuf")

import checkpoints  # noqa: E402
from sextant.encoder import OnnxEncoder  # noqa: E402
from sextant.errors import ModelError  # noqa: E402
from sextant.train.export import convert  # noqa: E402

PIECES = ["<unk>", "</s>", "▁a", "▁photo", "▁of", "▁", "d", "o", "g", "▁dog", "c", "a", "t", "s", "▁under", "score"]


def write_pieces(path: Path) -> None:
    """A sentencepiece model in its own file format, its scores falling with the rank."""
    from transformers.convert_slow_tokenizer import import_protobuf

    proto = import_protobuf().ModelProto()
    for rank, piece in enumerate(PIECES):
        kind = {"<unk>": 2, "</s>": 3}.get(piece, 1)
        proto.pieces.add(piece=piece, score=-float(rank) / 4, type=kind)
    proto.trainer_spec.model_type = 1
    proto.trainer_spec.unk_id, proto.trainer_spec.eos_id = 0, 1
    proto.trainer_spec.bos_id = proto.trainer_spec.pad_id = -1
    path.write_bytes(proto.SerializeToString())


def siglip(folder: Path) -> object:
    model = checkpoints.siglip(folder, version=1)
    settings = {
        "tokenizer_class": "SiglipTokenizer",
        "do_lower_case": True,
        "pad_token": "</s>",
        "model_max_length": 64,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return model


def test_a_known_answer(tmp_path: Path) -> None:
    siglip(tmp_path / "siglip")
    write_pieces(tmp_path / "siglip" / "spiece.model")
    card = convert(tmp_path / "siglip", tmp_path / "bundle")
    encoder = OnnxEncoder(tmp_path / "bundle", precision="fp32")
    ids = encoder.tokens(["A Photo, of a   DOG!", "", "under_score"])
    a, photo, of, dog = (PIECES.index(piece) for piece in ("▁a", "▁photo", "▁of", "▁dog"))
    assert ids[0, :6].tolist() == [a, photo, of, a, dog, 1]
    assert ids[2, :3].tolist() == [PIECES.index("▁under"), PIECES.index("score"), 1], "punctuation goes without a gap"
    assert (ids[:, 10:] == 1).all(), "padded with </s> to all 64"
    assert ids.shape == (3, 64)
    assert (card.pad_id, card.eos_id, card.training) == (1, 1, "sigmoid")


def test_vectors_are_those_of_transformers(tmp_path: Path) -> None:
    """The reference needs the sentencepiece package; the bundle does not."""
    sentencepiece = pytest.importorskip("sentencepiece")
    from transformers.models.siglip.tokenization_siglip import SiglipTokenizer

    model = siglip(tmp_path / "siglip")
    (tmp_path / "corpus.txt").write_text("\n".join(checkpoints.CORPUS * 20).lower())
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "corpus.txt"),
        model_prefix=str(tmp_path / "siglip" / "spiece"),
        vocab_size=200,
        hard_vocab_limit=False,
        bos_id=-1,
        eos_id=1,
        unk_id=0,
        pad_id=-1,
        minloglevel=2,
    )
    tokenizer = SiglipTokenizer(str(tmp_path / "siglip" / "spiece.model"))
    convert(tmp_path / "siglip", tmp_path / "bundle")
    encoder = OnnxEncoder(tmp_path / "bundle", precision="fp32")
    theirs = tokenizer(checkpoints.TEXTS, padding="max_length", max_length=64, truncation=True, return_tensors="pt")[
        "input_ids"
    ]
    np.testing.assert_array_equal(encoder.tokens(checkpoints.TEXTS), theirs.numpy())
    with torch.no_grad():
        reference = model.get_text_features(input_ids=theirs).pooler_output.numpy()  # type: ignore[attr-defined]
    reference /= np.linalg.norm(reference, axis=1, keepdims=True)
    assert (reference * encoder.encode_texts(checkpoints.TEXTS)).sum(axis=1).min() >= 0.99999


def test_a_folder_without_a_vocabulary(tmp_path: Path) -> None:
    siglip(tmp_path / "siglip")
    with pytest.raises(ModelError, match=r"spiece\.model"):
        convert(tmp_path / "siglip", tmp_path / "bundle")
    (tmp_path / "siglip" / "spiece.model").write_bytes(b"not a sentencepiece model")
    with pytest.raises(ModelError, match=r"spiece\.model cannot be read"):
        convert(tmp_path / "siglip", tmp_path / "bundle")
