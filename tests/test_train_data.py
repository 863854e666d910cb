"""Data sets, prompts, splits, the gate, batches, heads and figures of fine-tuning: everything that needs no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sextant.errors import UsageError
from sextant.train import batches, classes, dataset, gates, heads, retrieval, split
from sextant.train.recipe import RECIPES, Recipe, named


def picture(path: Path, colour: tuple[int, int, int], number: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (colour[0], colour[1], number)).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for n in range(9):
        picture(tmp_path / "red" / f"{n}.png", (200, 0, 0), n)
        picture(tmp_path / "green" / f"{n}.png", (0, 200, 0), n)
    return tmp_path


def read(folder: Path, **options: int) -> dataset.Dataset:
    return dataset.read(dataset.pairs_of(folder), side=None, seen=lambda *_: None, **options)


class TestDataset:
    def test_a_folder_for_each_class(self, folder: Path) -> None:
        found = read(folder)
        assert found.classes == ("green", "red")
        assert found.counts() == {"green": 9, "red": 9}
        assert not found.skipped

    def test_pictures_come_in_the_order_of_the_examples(self, folder: Path) -> None:
        seen: dict[int, float] = {}
        found = dataset.read(
            dataset.pairs_of(folder), side=None, seen=lambda k, p: seen.update({k: np.asarray(p)[0, 0, 0]})
        )
        assert [seen[k] > 100 for k in range(18)] == [found.classes[e.label] == "red" for e in found.examples]

    def test_a_csv(self, folder: Path) -> None:
        lines = [f"{c}/{n}.png,{c}" for c in ("red", "green") for n in range(9)]
        (folder / "data.csv").write_text("path,class\n" + "\n".join(lines))
        assert read(folder / "data.csv").counts() == {"green": 9, "red": 9}

    def test_a_csv_without_the_column(self, folder: Path) -> None:
        (folder / "data.csv").write_text("file,label\na,b\n")
        with pytest.raises(UsageError, match="needs the columns path and class"):
            dataset.pairs_of(folder / "data.csv")

    def test_one_image_in_a_class(self, folder: Path) -> None:
        picture(folder / "blue" / "1.png", (0, 0, 200), 1)
        with pytest.raises(UsageError, match=r"too few.*blue \(1\).*--without"):
            read(folder)

    def test_an_unreadable_image_is_left_out_and_listed(self, folder: Path) -> None:
        (folder / "red" / "broken.jpg").write_bytes(b"no picture")
        found = read(folder)
        assert found.counts()["red"] == 9
        assert [Path(s.path).name for s in found.skipped] == ["broken.jpg"]

    def test_an_image_in_two_classes_is_in_neither(self, folder: Path) -> None:
        data = (folder / "red" / "0.png").read_bytes()
        (folder / "green" / "copy.png").write_bytes(data)
        found = read(folder)
        assert found.counts() == {"green": 9, "red": 8}
        assert len(found.skipped) == 2
        assert "green and in red" in found.skipped[0].reason

    def test_a_copy_within_a_class_counts_once(self, folder: Path) -> None:
        (folder / "red" / "copy.png").write_bytes((folder / "red" / "0.png").read_bytes())
        found = read(folder)
        assert found.counts()["red"] == 9
        assert "the same bytes" in found.skipped[0].reason

    def test_one_class_is_none(self, tmp_path: Path) -> None:
        for n in range(9):
            picture(tmp_path / "red" / f"{n}.png", (200, 0, 0), n)
        with pytest.raises(UsageError, match="two classes or more"):
            read(tmp_path)

    def test_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="a folder for each class"):
            dataset.pairs_of(tmp_path)
        with pytest.raises(UsageError, match="neither a folder"):
            dataset.pairs_of(tmp_path / "absent")


class TestClasses:
    def test_prompts_by_name(self) -> None:
        assert classes.prompts(["art_deco"], None)["art_deco"][0] == "a photo of art deco"

    def test_prompts_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "p.yaml").write_text("a: [first, second]\nb: only\n")
        assert classes.prompts(["a", "b"], tmp_path / "p.yaml") == {"a": ("first", "second"), "b": ("only",)}

    def test_a_class_without_prompts(self, tmp_path: Path) -> None:
        (tmp_path / "p.yaml").write_text("gothik: [x]\n")
        with pytest.raises(UsageError, match=r"no prompts for gothic.*gothik"):
            classes.prompts(["gothic"], tmp_path / "p.yaml")

    def test_clusters(self, tmp_path: Path) -> None:
        (tmp_path / "c.yaml").write_text("old: [a, b]\n")
        assert classes.clusters(["a", "b", "c"], tmp_path / "c.yaml") == (("a", "b"),)

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("x: [a, zz]", "no class 'zz'"),
            ("x: [a]", "nothing to be taken for"),
            ("x: [a, b]\ny: [a, c]", "two clusters"),
        ],
    )
    def test_clusters_that_cannot_be(self, tmp_path: Path, text: str, told: str) -> None:
        (tmp_path / "c.yaml").write_text(text)
        with pytest.raises(UsageError, match=told):
            classes.clusters(["a", "b", "c"], tmp_path / "c.yaml")


class TestSplit:
    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), min_size=60, max_size=90), st.integers(0, 5))
    def test_groups_stay_whole_and_every_class_is_everywhere(self, sets: list[tuple[int, int]], seed: int) -> None:
        labels = np.array([label for label, n in sets for _ in range(n)])
        group = np.repeat(np.arange(len(sets)), [n for _, n in sets])
        if np.bincount(np.array([label for label, _ in sets]), minlength=3).min() < 8:
            return
        part = split.split(labels, group, seed=seed)
        assert all(len(set(part[group == g])) == 1 for g in np.unique(group))
        assert all(((labels == k) & (part == p)).any() for k in range(3) for p in range(4))

    def test_shares(self) -> None:
        labels = np.repeat(np.arange(4), 100)
        part = split.split(labels, np.arange(400), seed=0)
        assert np.bincount(part).tolist() == [256, 40, 44, 60]

    def test_the_same_seed_gives_the_same_split(self) -> None:
        labels = np.repeat(np.arange(4), 20)
        parts = [split.split(labels, np.arange(80), seed=s) for s in (0, 0, 1)]
        assert (parts[0] == parts[1]).all()
        assert (parts[0] != parts[2]).any()

    def test_a_chain_of_near_duplicates_is_one_set(self) -> None:
        """The ends of a chain do not resemble each other, and still must not be on both sides of a split."""
        angles = np.array([0.0, 0.15, 0.30, 2.0])
        rows = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
        found = split.connected(rows, np.ones((4, 1), np.float32), threshold=0.98)
        assert found[0] == found[1] == found[2] != found[3]

    def test_a_class_of_one_set_cannot_be_split(self) -> None:
        with pytest.raises(UsageError, match="near-duplicates"):
            split.split(np.array([0] * 9 + [1] * 9), np.array([0] * 9 + list(range(1, 10))), seed=0)


class TestGate:
    logits = np.array([[5.0, 0], [0, 5], [0, 5], [0, 5]], np.float32)
    labels = np.array([0, 0, 1, 1])

    def test_what_the_base_doubts_is_dropped(self) -> None:
        found = split.gate(self.logits, self.labels, ["a", "b"], 0.05)
        assert found.kept.tolist() == [True, False, True, True]
        assert found.dropped == {"a": 1, "b": 0}

    def test_it_stops_where_a_class_would_be_gutted(self) -> None:
        found = split.gate(self.logits, self.labels, ["a", "b"], 0.05)
        with pytest.raises(UsageError, match=r"a 50 %.*--gate 0"):
            split.stop_at_gutted(found, 0.05)


class TestBatches:
    def test_every_original_is_used_and_rounds_are_even(self) -> None:
        labels = np.array([0] * 10 + [1] * 3)
        rows = batches.oversample(labels, 0, np.random.default_rng(0))
        times = np.bincount(rows)
        assert times[:10].tolist() == [1] * 10
        assert times[10:].sum() == 10
        assert times[10:].max() - times[10:].min() <= 1

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 20), st.integers(60, 400), st.sampled_from([16, 32]))
    def test_an_epoch_shows_every_row_once_and_half_is_hard(self, seed: int, n: int, size: int) -> None:
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 8, n)
        found = batches.epoch(labels, [[0, 1, 2, 3], [4, 5, 6, 7]], size, 0.5, rng)
        assert sorted(np.concatenate([b.rows for b in found]).tolist()) == list(range(n))
        assert 0.45 <= batches.hard_share(found) <= 0.55

    def test_the_hard_half_is_of_one_cluster(self) -> None:
        labels = np.arange(240) % 8
        for batch in batches.epoch(labels, [[0, 1], [2, 3]], 16, 0.5, np.random.default_rng(0)):
            hard = set(labels[batch.rows[: batch.hard]].tolist())
            assert hard <= {0, 1} or hard <= {2, 3}

    def test_with_replacement_as_the_reference(self) -> None:
        found = batches.epoch(np.arange(160) % 4, [[0, 1]], 16, 0.5, np.random.default_rng(0), replacement=True)
        assert len(found) == 10
        assert all(len(b.rows) == 16 and b.hard == 8 for b in found)

    def test_clusters_are_proposed_from_a_confusion_matrix(self) -> None:
        matrix = np.eye(5) * 20
        matrix[0, 1] = matrix[1, 0] = 6
        matrix[2, 3] = 4
        assert batches.propose(matrix, most=2) == [[0, 1], [2, 3]]

    def test_nothing_confused_nothing_proposed(self) -> None:
        assert batches.propose(np.eye(4) * 9) == []


class TestHeads:
    def test_a_probe_learns_and_its_gradient_is_right(self) -> None:
        rng = np.random.default_rng(0)
        labels = np.repeat(np.arange(3), 40)
        rows = (np.eye(3)[labels] * 3 + rng.normal(size=(120, 3))).astype(np.float32)
        assert (heads.fit_probe(rows, labels).logits(rows).argmax(1) == labels).mean() > 0.9

    def test_it_agrees_with_scikit_learn(self) -> None:
        linear = pytest.importorskip("sklearn.linear_model")
        rng = np.random.default_rng(1)
        labels = rng.integers(0, 3, 150)
        rows = (rng.normal(size=(150, 4)) + labels[:, None]).astype(np.float32)
        probe = heads.fit_probe(rows, labels, penalty=0.01, steps=500)
        standard = (rows - probe.centre) / probe.spread
        other = linear.LogisticRegression(C=1 / (150 * 0.01), max_iter=1000, tol=1e-8).fit(standard, labels)
        assert np.allclose(other.predict_proba(standard), _softmax(probe.logits(rows)), atol=0.01)

    def test_prototypes(self) -> None:
        rows = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
        assert np.allclose(heads.prototypes(rows, np.array([0, 0, 1])), [[1, 0], [0, 1]])


def _softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


class TestFigures:
    images = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]]
    labels = np.array([0, 0, 1, 2])
    prompts = tuple(np.eye(3, dtype=np.float32)[[k]] for k in range(3))

    def test_all_right(self) -> None:
        found = gates.measured(self.images, self.labels, self.prompts, scale=20, clusters=[[0, 1]])
        assert found["accuracy"].value == found["macro_f1"].value == found["semantic_r1"].value == 1
        assert found["hard_negative_pass_rate"].value == 1
        assert found["hard_negative_margin"].value == pytest.approx(1)

    def test_a_tie_is_no_hit(self) -> None:
        same = [np.array([[1, 0, 0]], np.float32)] * 3
        assert gates.measured(self.images, self.labels, same, scale=20, clusters=[])["semantic_r1"].value == 0

    def test_f1_against_scikit_learn(self) -> None:
        sk = pytest.importorskip("sklearn.metrics")
        rng = np.random.default_rng(0)
        truth, answers = rng.integers(0, 4, 90), rng.integers(0, 4, 90)
        assert np.allclose(gates.f1_scores(truth, answers, 4), sk.f1_score(truth, answers, average=None))

    def test_a_missing_figure_fails_its_gate(self) -> None:
        found = {gate.name: gate.passed for gate in gates.gates({"accuracy": gates.Figure(0.95)})}
        assert found["accuracy"]
        assert sum(found.values()) == 1
        assert len(found) == 7

    def test_a_figure_that_is_no_number_fails(self) -> None:
        assert not gates.gates({"ece": gates.Figure(float("nan"))})[4].passed

    def test_trained_images_are_refused(self) -> None:
        gates.refuse_trained(["a"], ["b"])
        with pytest.raises(UsageError, match="1 of the 2 images were trained on"):
            gates.refuse_trained(["a", "c"], ["a"])

    def test_the_temperature_of_logits_that_are_three_times_too_sure(self) -> None:
        rng = np.random.default_rng(0)
        z = rng.normal(size=(4000, 5)) * 2
        labels = np.array([rng.choice(5, p=row) for row in _softmax(z)])
        assert gates.temperature(3 * z, labels) == pytest.approx(3, rel=0.15)

    def test_ranks_against_the_obvious(self) -> None:
        rng = np.random.default_rng(0)
        images, texts = rng.normal(size=(20, 5)), rng.normal(size=(9, 5))
        text_labels, labels = np.repeat(np.arange(3), 3), rng.integers(0, 3, 20)
        order = np.argsort(-(images @ texts.T), axis=1)
        slow = [
            next(k + 1 for k, t in enumerate(row) if text_labels[t] == y) for row, y in zip(order, labels, strict=True)
        ]
        assert retrieval.ranks(images, texts, text_labels, labels).tolist() == slow


class TestRecipe:
    def test_a_recipe_comes_back_from_json(self) -> None:
        for recipe in RECIPES.values():
            assert Recipe.from_dict(recipe.to_dict()) == recipe

    def test_unknown_names(self) -> None:
        with pytest.raises(UsageError, match="there are quick"):
            named("slow")
        with pytest.raises(UsageError, match="no 'colour'"):
            named("quick").changed(colour=1)

    def test_the_reference_is_the_references(self) -> None:
        """Facts of the recipe that ours is compared with."""
        found = named("reference")
        assert (found.gate, found.per_class, found.batch, found.smoothing) == (0.05, 280, 16, 0.1)
        assert (found.heads_epochs, found.blocks_epochs, found.weight_decay, found.patience) == (5, 10, 0.1, 5)
        assert found.scale == "reset"
        assert not found.class_aware
