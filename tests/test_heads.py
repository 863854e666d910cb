"""Light heads: what they learn from labels, what they must not have seen, and what a collection makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fakes import FakeEncoder, attributes, loader_of, opened, picture, vocabulary
from sextant import heads as stage
from sextant.catalog import Label
from sextant.cli import cli
from sextant.collection import Collection
from sextant.errors import UsageError
from sextant.maths import probing
from sextant.maths.heads import FOLDS, Head, fold_of
from sextant.maths.logits import unit
from sextant.types import Floats

N = 240


def drawn(n: int = N, dim: int = 24, seed: int = 0) -> tuple[Floats, np.ndarray]:
    """Unit rows, and a truth (n, 2) of which words know nothing: the signs of two of their numbers."""
    rows = unit(np.random.default_rng(seed).normal(size=(n, dim)))
    return rows, (rows[:, :2] > 0).astype(np.float64)


class TestHead:
    def test_logits_are_the_products_of_each_folds_own_direction(self) -> None:
        rows, _ = drawn()
        rng = np.random.default_rng(1)
        head = Head(rng.normal(size=(FOLDS, 24)).astype(np.float32), rng.normal(size=FOLDS).astype(np.float32), {})
        slow = [row @ head.directions[k] + head.offsets[k] for row, k in zip(rows, fold_of(rows), strict=True)]
        np.testing.assert_allclose(head.logits(rows), slow, atol=1e-5)

    def test_a_logit_depends_on_its_own_row_alone(self) -> None:
        rows, _ = drawn()
        head = Head(rows[:FOLDS], np.zeros(FOLDS, np.float32), {})
        assert np.array_equal(head.logits(rows)[7:9], head.logits(rows[7:9]))

    def test_folds_are_even_and_the_same_wherever_a_vector_is_met(self) -> None:
        rows, _ = drawn(5000)
        fold = fold_of(rows)
        assert np.array_equal(fold[100:], fold_of(rows[100:]))
        assert np.bincount(fold, minlength=FOLDS).min() > 900

    @given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**31))
    def test_bytes_read_back(self, folds: int, dim: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        head = Head(rng.normal(size=(folds, dim)).astype(np.float32), rng.normal(size=folds).astype(np.float32), {})
        again = Head.from_bytes(head.to_bytes(), folds, {})
        assert again.hash == head.hash
        assert np.array_equal(again.directions, head.directions)

    @pytest.mark.parametrize(("raw", "folds"), [(b"", 1), (b"1234", 2), (b"\x00\x00\xc0\x7f" * 4, 2), (b"1234", 0)])
    def test_other_bytes_are_refused(self, raw: bytes, folds: int) -> None:
        with pytest.raises(UsageError):
            Head.from_bytes(raw, folds, {})

    def test_vectors_of_another_length_are_refused(self) -> None:
        head = Head(np.zeros((FOLDS, 3), np.float32), np.zeros(FOLDS, np.float32), {})
        with pytest.raises(UsageError, match="3 dimensions"):
            head.logits(np.zeros((1, 4), np.float32))


class TestProbing:
    @pytest.mark.parametrize("kind", ["probe", "prototypes"])
    def test_it_finds_what_words_do_not_know(self, kind: probing.Kind) -> None:
        rows, truth = drawn()
        other, wanted = drawn(seed=9)
        for k, head in enumerate(probing.fit(rows, truth, np.ones_like(truth), kind=kind)):
            assert ((head.logits(other) > 0) == wanted[:, k]).mean() > 0.8

    @pytest.mark.parametrize("kind", ["probe", "prototypes"])
    def test_no_logit_ever_saw_the_label_of_its_own_fold(self, kind: probing.Kind) -> None:
        rows, truth = drawn()
        fold = fold_of(rows)
        turned = truth.copy()
        turned[fold == 3] = 1 - turned[fold == 3]
        ones = np.ones_like(truth)
        before, after = (probing.fit(rows, t, ones, kind=kind)[0].logits(rows) for t in (truth, turned))
        assert np.array_equal(before[fold == 3], after[fold == 3])
        assert not np.array_equal(before[fold == 1], after[fold == 1])

    def test_a_copy_in_another_fold_does_not_help(self) -> None:
        rows, truth = drawn()
        twin = unit(rows + 1e-4 * np.random.default_rng(2).normal(size=rows.shape))
        both, said = np.concatenate([rows, twin]), np.concatenate([truth, truth])
        coin = np.random.default_rng(3).integers(0, 2, (N, 1)).astype(np.float64)
        said[:, :1] = np.concatenate([coin, coin])  # nothing can be learned, but by heart
        head = probing.fit(both, said, np.ones_like(said))[0]
        assert abs(np.corrcoef(head.logits(both), said[:, 0])[0, 1]) < 0.25

    def test_with_few_labels_it_follows_the_words(self) -> None:
        rows, _ = drawn(3000)
        words = unit(np.ones((1, 24)))
        truth = ((rows @ words.T) > 0.25).astype(np.float64)
        some = np.flatnonzero(truth[:, 0])[:12].tolist() + np.flatnonzero(truth[:, 0] == 0)[:30].tolist()
        ones = np.ones((len(some), 1))
        head, bare = (probing.fit(rows[some], truth[some], ones, a)[0] for a in (words, None))
        right = [((h.logits(rows) > 0) == truth[:, 0]).mean() for h in (head, bare)]
        assert right[0] > max(right[1], 0.9)

    def test_cells_that_nobody_labelled_do_not_count(self) -> None:
        rows, truth = drawn()
        holes = truth.copy()
        holes[200:] = np.nan
        alone = probing.fit(rows[:200], truth[:200], np.ones((200, 2)))[0]
        head = probing.fit(rows, holes, np.ones_like(truth))[0]
        assert np.corrcoef(alone.logits(rows), head.logits(rows))[0, 1] > 0.99

    def test_too_few_are_refused(self) -> None:
        rows, truth = drawn(30)
        truth[:, 0] = 0
        with pytest.raises(UsageError, match="at least 10 labels"):
            probing.fit(rows, truth, np.ones_like(truth))


# a collection: "red" by the words is what is red, and by the labels what is light

LEVELS = [(i * 37 % 200 + 30, i * 59 % 180 + 40, i * 83 % 190 + 30) for i in range(120)]


@pytest.fixture
def photos(tmp_path: Path) -> Collection:
    for k, colour in enumerate(LEVELS):
        picture(tmp_path / "p" / f"{k:03d}.png", colour)
    found = opened(tmp_path, FakeEncoder(), FakeEncoder("2"))
    found.add(tmp_path / "p")
    found.tag(vocabulary(tmp_path, attributes("red", "green", "blue")))
    return found


def greenish(path: str) -> bool:
    red, green, blue = LEVELS[int(Path(path).stem)]
    return green > (red + blue) / 2


def label(photos: Collection, code: str = "red", n: int = 100) -> None:
    view = photos.view()
    pairs = list(zip(view.ids.to_pylist(), view.paths.to_pylist(), strict=True))[:n]
    photos.catalog.put_labels(Label(image, code, greenish(path)) for image, path in pairs)


class TestCollection:
    def test_a_head_takes_the_place_of_prompts_that_know_less(self, photos: Collection) -> None:
        label(photos)
        (report,) = photos.fit_heads(["red"])
        assert report.applied
        assert report.brier_after < report.brier_before
        assert report.precision_after > 0.95
        summary = photos.columns()[0]
        assert (summary.code, summary.scorer) == ("red", "probe (100 labels)")
        assert summary.state == "calibrated"
        assert photos.inspect("red").scorer == "probe (100 labels)"
        unseen = photos.view(["red"])
        p = unseen.values("red").confidence[100:]
        assert np.mean((p > 0.5) == [greenish(x) for x in unseen.paths.to_pylist()[100:]]) >= 0.9
        assert photos.columns()[1].scorer == "prompts"

    def test_what_evaluate_says_holds_for_images_without_labels(self, photos: Collection) -> None:
        label(photos)
        photos.fit_heads(["red"])
        (found,) = photos.evaluate(["red"])
        view = photos.view(["red"])
        truth = np.array([greenish(x) for x in view.paths.to_pylist()[100:]], float)
        brier = float(np.mean((view.values("red").confidence[100:] - truth) ** 2))
        assert abs(found.brier - brier) < 0.1
        assert found.n == 100

    def test_an_image_added_later_is_judged_by_the_head(self, photos: Collection, tmp_path: Path) -> None:
        label(photos)
        photos.fit_heads(["red"])
        picture(tmp_path / "p" / "new.png", (60, 240, 60))
        photos.add(tmp_path / "p")
        image = photos.view().find("p/new.png")
        view = photos.view(["red"])
        assert view.values("red").confidence[view.places[str(image)]] > 0.5
        explained = photos.explain("p/new.png", "red")
        assert explained.cosine is None
        assert "probe (100 labels)" in explained.words[1]

    def test_one_that_is_no_better_is_not_used_unless_asked(
        self, photos: Collection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        blind = Head(np.zeros((FOLDS, 3), np.float32), np.zeros(FOLDS, np.float32), {"labels": 100, "positives": 50})
        monkeypatch.setattr(probing, "fit", lambda *_, **__: [blind])
        label(photos, "green")
        (report,) = photos.fit_heads(["green"])
        assert not report.applied
        assert photos.heads() == []
        assert photos.fit_heads(["green"], always=True)[0].applied
        assert [state.code for state in photos.heads()] == ["green"]

    def test_dropped_the_prompts_judge_again_to_the_bit(self, photos: Collection) -> None:
        before = photos.view(["red"]).logits("red").copy()
        label(photos)
        photos.fit_heads(["red"])
        assert photos.drop_heads(["red", "green"]) == ["red"]
        assert np.array_equal(photos.view(["red"]).logits("red"), before)
        assert photos.columns()[0].scorer == "prompts"
        assert photos.columns()[0].state == "calibrated"
        assert photos.heads() == []

    def test_stopped_between_head_and_column_it_is_stale_and_tag_mends_it(
        self, photos: Collection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        label(photos)

        def stop(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(stage.tagging, "tag", stop)
        with pytest.raises(KeyboardInterrupt):
            photos.fit_heads(["red"])
        monkeypatch.undo()
        assert photos.columns()[0].state == "stale"
        assert photos.tag().columns == ("red",)
        photos.calibrate(["red"])
        assert photos.columns()[0].state == "calibrated"

    def test_another_encoder_learns_it_anew_before_it_is_switched_to(self, photos: Collection) -> None:
        label(photos)
        photos.fit_heads(["red"])
        photos.use("fake@2")
        assert photos.manifest.encoder == "fake@2"
        assert [state.code for state in photos.heads()] == ["red"]
        assert photos.columns()[0].state == "calibrated"

    def test_a_vocabulary_that_changes_leaves_it_alone(self, photos: Collection, tmp_path: Path) -> None:
        label(photos)
        photos.fit_heads(["red"])
        photos.tag(vocabulary(tmp_path, attributes(red="a scarlet thing", green="green")))
        assert photos.columns()[0].scorer == "probe (100 labels)"
        assert photos.columns()[0].state == "calibrated"

    def test_what_cannot_be(self, photos: Collection, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"red \(0 yes, 0 no\).*label ask red.*prototypes"):
            photos.fit_heads(["red"])
        with pytest.raises(UsageError, match="no attribute"):
            photos.fit_heads(["purple"])
        with pytest.raises(UsageError, match="name the attributes"):
            photos.fit_heads([])
        with pytest.raises(UsageError, match="no attribute"):
            photos.drop_heads(["purple"])
        text = "base_attributes:\n" + "".join(
            f"  - {{code: {c}, description: {c}, group: hue}}\n" for c in ("red", "blue")
        )
        photos.tag(vocabulary(tmp_path, text))
        label(photos)
        with pytest.raises(UsageError, match="softmax"):
            photos.fit_heads(["red"])

    def test_on_the_command_line(self, photos: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        label(photos)
        photos.close()
        monkeypatch.setattr("sextant.collection.load_model", loader_of(FakeEncoder()))

        def run(*words: str) -> str:
            result = CliRunner().invoke(cli, [*words, "-C", str(tmp_path)])
            assert result.exit_code == 0, result.output
            return result.output

        assert "1 of 1 head in use" in run("head", "red")
        assert json.loads(run("head", "--json"))[0]["code"] == "red"
        assert "1 head dropped" in run("head", "red", "--drop")
        assert "in use" in run("finetune", "--labels", "red", "--recipe", "probe")
