"""Labels to calibrations, on colours that can be computed in the head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakes import FakeEncoder, attributes, opened, picture, vocabulary
from sextant import evaluation, judge, tag
from sextant.catalog import Label
from sextant.collection import Collection
from sextant.errors import UsageError
from sextant.maths.rules import ACCEPTED

N = 160
WRONG = "center: 22\nscale: 2\n"
"""A curve that says yes far too early: an even mix of red and green has a logit of 27 for red."""


def shades(folder: Path, n: int = N) -> None:
    """n pictures between red and green: the i-th is truly "red" where red outweighs green."""
    for i in range(n):
        red = 5 + (i * 245) // n
        picture(folder / f"{i:03d}.png", (red, 250 - red, 40 + i % 7), (4, 4))


def truly_red(path: str) -> bool:
    return int(Path(path).stem) >= N // 2


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judge")
    shades(folder / "p")
    photos = opened(folder)
    photos.add(folder / "p")
    photos.tag(vocabulary(folder, WRONG + attributes("red", "green", "blue")))
    photos.close()
    return folder


@pytest.fixture
def photos(made: Path, tmp_path: Path) -> Collection:
    import shutil

    shutil.copytree(made, tmp_path / "c")
    return opened(tmp_path / "c")


def answer(photos: Collection, code: str, n: int, *, turned: bool = False) -> None:
    for asked in photos.label_next(code, n):
        photos.label(asked.id, code, (truly_red(asked.path) == (code == "red")) != turned)


def test_what_is_asked_next_is_on_record_and_never_asked_twice(photos: Collection) -> None:
    first = photos.label_next("red", 20)
    assert len({a.id for a in first}) == 20
    assert all(0 < a.probability <= 1 for a in first)
    drawn = {d.image: d.probability for d in photos.catalog.sample(["red"])}
    assert drawn == {a.id: pytest.approx(a.probability) for a in first}
    assert [a.id for a in photos.label_open("red")] == [a.id for a in first]
    for asked in first[:15]:
        photos.label(asked.id, "red", True)
    assert {a.id for a in photos.label_open("red")} == {a.id for a in first[15:]}
    again = photos.label_next("red", 20)
    assert not {a.id for a in again} & {a.id for a in first[:15]}
    assert {a.id for a in photos.label_open("red")} == {a.id for a in again}


def test_the_same_seed_draws_the_same_images(photos: Collection) -> None:
    assert [a.id for a in photos.label_next("red", 10, seed=4)] == [a.id for a in photos.label_next("red", 10, seed=4)]
    assert [a.id for a in photos.label_next("red", 10, seed=4)] != [a.id for a in photos.label_next("red", 10, seed=5)]


def test_labels_make_a_calibration_that_is_measured_and_rewrites_no_column(photos: Collection) -> None:
    stored = photos.view(["red"]).logits("red").tobytes()
    before = photos.evaluate(["red", "green"], truth=truth_file(photos))[-1].brier
    answer(photos, "red", 40)
    answer(photos, "green", 40)
    reports = {r.code: r for r in photos.calibrate()}
    assert reports["red"].applied
    assert reports["red"].kind == "platt"
    assert reports["red"].brier_after < reports["red"].brier_before
    summary = {s.code: s for s in photos.columns()}
    assert (summary["red"].state, summary["blue"].state) == ("calibrated", "uncalibrated")
    assert summary["red"].trust.startswith("calibrated (40 labels, ECE .")
    assert photos.evaluate(["red", "green"], truth=truth_file(photos))[-1].brier < before
    assert photos.view(["red"]).logits("red").tobytes() == stored


def truth_file(photos: Collection) -> Path:
    file = photos.folder / "truth.csv"
    lines = [f"{path},{'yes' if truly_red(path) else 'no'}" for path in photos.view().paths.to_pylist()]
    rows = [f"{line},{'no' if line.endswith('yes') else 'yes'}" for line in lines]
    file.write_text("\n".join(["path,red,green", *rows, "elsewhere.png,yes,no"]) + "\n")
    return file


def test_a_fit_that_labels_no_longer_support_gives_way_to_its_base(photos: Collection) -> None:
    answer(photos, "red", 40)
    assert photos.calibrate(["red"])[0].applied
    for label in photos.catalog.labels(["red"])[5:]:
        photos.label(label.image, "red", None)
    report = photos.calibrate(["red"])[0]
    assert not report.applied
    assert "5 labels" in report.reason
    assert photos.columns()[0].state == "uncalibrated"


@pytest.mark.parametrize("value", [True, False])
def test_one_class_only_is_named_and_not_applied(photos: Collection, value: bool) -> None:
    for asked in photos.label_next("red", 20):
        photos.label(asked.id, "red", value)
    before = photos.view(["red"]).calibration("red").id
    (report,) = photos.calibrate(["red"])
    assert f"all 20 labels say {'yes' if value else 'no'}" in report.reason
    assert photos.view(["red"]).calibration("red").id == before


def test_two_people_who_disagree_stop_everything_and_are_named(photos: Collection) -> None:
    answer(photos, "red", 20)
    image = photos.catalog.labels(["red"])[0].image
    said = bool(photos.catalog.labels(["red"])[0].value)
    photos.label(image, "red", not said, person="Ada")
    before = photos.view(["red"]).calibration("red").id
    for ask in (lambda: photos.calibrate(), lambda: photos.evaluate(), lambda: photos.count("red")):
        with pytest.raises(UsageError, match=f"people disagree about 1 cells.*\n  {image} red"):
            ask()
    assert photos.view(["red"]).calibration("red").id == before
    photos.label(image, "red", said, person="Ada")
    assert photos.calibrate(["red"])


def test_labels_of_images_without_a_logit_do_not_count(tmp_path: Path) -> None:
    shades(tmp_path / "p", 40)
    photos = opened(tmp_path)
    photos.add(tmp_path / "p")
    photos.tag(vocabulary(tmp_path, attributes("red")))
    view = photos.view(["red"])
    view._logits["red"] = np.full(len(view), np.nan, np.float32)
    for image in view.ids.to_pylist()[:20]:
        photos.catalog.put_labels([Label(image, "red", True)])
    (report,) = judge.calibrate(view, photos.catalog, photos.catalog.labels(), ["red"], {})
    assert (report.applied, report.n) == (False, 0)
    assert "0 labels with a logit" in report.reason


def test_fewer_than_twenty_images_are_too_few(tmp_path: Path) -> None:
    shades(tmp_path / "p", 19)
    photos = opened(tmp_path)
    photos.add(tmp_path / "p")
    photos.tag(vocabulary(tmp_path, attributes("red")))
    photos.label("p/000.png", "red", True)
    with pytest.raises(UsageError, match="19 images are too few"):
        photos.calibrate()


def test_no_labels_is_said_with_the_way_to_get_some(photos: Collection) -> None:
    with pytest.raises(UsageError, match="sextant label next"):
        photos.calibrate()
    with pytest.raises(UsageError, match="nothing to evaluate against"):
        photos.evaluate()
    with pytest.raises(UsageError, match="'red' has no labels"):
        photos.promise("red", precision=0.9)
    assert photos.count("red") is None


def test_labels_of_a_stale_column_fit_nothing(photos: Collection) -> None:
    answer(photos, "red", 20)
    text = attributes("green", "blue", red="orange")
    photos.catalog.put_vocabulary("words.yaml", text)
    with pytest.raises(UsageError, match="red\nCompute them first: sextant tag"):
        photos.calibrate()


def test_a_calibration_belongs_to_its_encoder(made: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(made, tmp_path / "c")
    photos = opened(tmp_path / "c", FakeEncoder(), FakeEncoder("2"))
    answer(photos, "red", 40)
    photos.calibrate(["red"])
    photos.use("fake@2")
    assert photos.columns()[0].state == "calibrated", "from the same labels, before anybody saw it otherwise"
    assert photos.columns()[1].state == "uncalibrated"
    assert len(photos.catalog.history("fake@2", "red")) == 2
    assert photos.calibrate(["red"])[0].n == 40, "the labels are of images and serve every encoder"


def test_a_fit_that_is_given_up_leaves_a_prior_that_need_not_be_worked_out_anew(tmp_path: Path) -> None:
    shades(tmp_path / "p")
    photos = opened(tmp_path)
    photos.add(tmp_path / "p")
    photos.tag(vocabulary(tmp_path, attributes("red", "green", "blue")))
    before = photos.view(["red"]).calibration("red")
    for path in photos.view().paths.to_pylist()[::2]:
        photos.label(path, "red", not truly_red(path))  # the curve is wrong for what this person means
    (report,) = photos.calibrate(["red"])
    assert report.applied
    assert photos.view(["red"]).state("red") == "calibrated"
    for label in photos.catalog.labels(["red"])[5:]:
        photos.label(label.image, "red", None)
    (report,) = photos.calibrate(["red"])
    assert not report.applied
    assert photos.view(["red"]).calibration("red") == before
    assert not tag.renew(photos, ["red"], fitted=True)


# promises


def test_a_promise_moves_the_edge_of_accepted_and_can_be_withdrawn(photos: Collection) -> None:
    for path in photos.view().paths.to_pylist():
        photos.label(path, "red", truly_red(path))
    photos.calibrate(["red"])
    before = photos.view(["red"]).thresholds("red")
    promise = photos.promise("red", precision=0.9, failure=0.1)
    assert promise.threshold is not None
    assert promise.bound >= 0.9
    view = photos.view(["red"])
    assert view.thresholds("red").accepted == promise.threshold
    accepted = view.values("red").band == ACCEPTED
    right = np.array([truly_red(path) for path in view.paths.to_pylist()])
    assert right[accepted].mean() >= 0.9
    assert set(photos.query("red").table["path"].to_pylist()) == set(np.array(view.paths.to_pylist())[accepted])
    photos.calibrate(["red"])
    assert photos.view(["red"]).promised("red") == pytest.approx(promise.threshold), "calibrating keeps the promise"
    photos.withdraw_promise("red")
    assert photos.view(["red"]).thresholds("red") == before


def test_a_promise_outlasts_a_prior_that_is_worked_out_anew(tmp_path: Path) -> None:
    shades(tmp_path / "p")
    photos = opened(tmp_path)
    photos.add(tmp_path / "p")
    photos.tag(vocabulary(tmp_path, attributes("red", "green", "blue")))
    for path in photos.view().paths.to_pylist():
        photos.label(path, "red", truly_red(path))
    assert photos.promise("red", precision=0.9, failure=0.1).threshold is not None
    before = photos.view(["red"]).calibrations["red"]
    picture(tmp_path / "q" / "one more.png", (3, 2, 1), (4, 4))
    photos.add(tmp_path / "q")
    photos.calibrate(["red"])
    assert [record.id for record in photos.catalog.history(photos.vectors.name, "red")][-1] > before.id
    assert photos.view(["red"]).promised("red") is not None


def test_a_promise_that_labels_cannot_keep_changes_nothing(photos: Collection) -> None:
    answer(photos, "red", 30)
    promise = photos.promise("red", precision=0.99)
    assert promise.threshold is None
    assert "are needed for this promise" in promise.reason
    assert photos.view(["red"]).promised("red") is None


def test_a_promise_is_void_for_other_prompts(photos: Collection) -> None:
    for path in photos.view().paths.to_pylist():
        photos.label(path, "red", truly_red(path))
    assert photos.promise("red", precision=0.8, failure=0.2).threshold is not None
    photos.tag(vocabulary(photos.folder, attributes("green", "blue", red="orange")))
    assert photos.view(["red"]).promised("red") is None


# counts


def test_a_count_covers_the_truth_and_is_shown_with_the_columns(photos: Collection) -> None:
    answer(photos, "red", 60)
    found = photos.count("red")
    assert found is not None
    assert found.low <= N / 2 <= found.high
    assert found.high - found.low < N
    estimate = {s.code: s.estimate for s in photos.columns()}
    assert estimate["red"] == found
    assert estimate["green"] is None


def test_when_everything_is_labelled_the_count_is_exact(photos: Collection) -> None:
    answer(photos, "red", N)
    found = photos.count("red")
    assert found is not None
    assert (found.value, found.low, found.high, found.n) == (N / 2, N / 2, N / 2, N)


# evaluating


def test_an_evaluation_has_a_row_for_each_and_one_for_all(photos: Collection) -> None:
    answer(photos, "red", 30)
    answer(photos, "green", 20)
    rows = photos.evaluate()
    assert [(r.code, r.n) for r in rows] == [("red", 30), ("green", 20), ("*", 50)]
    assert all(0 <= r.ece_low <= r.ece <= r.ece_high for r in rows)
    assert [r.code for r in photos.evaluate(["green"])] == ["green"]


def test_a_label_never_sees_itself(photos: Collection) -> None:
    """Turning one label around must not move the confidence that judges that label."""
    answer(photos, "red", 40)
    photos.calibrate(["red"])
    cells = evaluation.cross_fitted(photos.view(["red"]), photos.catalog, ["red"])["red"][0]
    label = photos.catalog.labels(["red"])[0]
    photos.label(label.image, "red", not label.value)
    order = [x.image for x in photos.catalog.labels(["red"])]
    turned = evaluation.cross_fitted(photos.view(["red"]), photos.catalog, ["red"])["red"][0]
    assert turned[order.index(label.image)] == pytest.approx(cells[0])
    assert not np.allclose(np.delete(turned, order.index(label.image)), cells[1:])


def test_against_a_truth_every_known_image_counts_and_strangers_do_not(photos: Collection) -> None:
    rows = photos.evaluate(["red"], truth=truth_file(photos))
    assert [(r.code, r.n, r.positives) for r in rows] == [("red", N, N // 2)]


# exclusive groups

GROUP = (
    WRONG
    + """
groups: {colour: {temperature: 3.0}}
base_attributes:
  - {code: red, label: Red, description: red, group: colour}
  - {code: green, label: Green, description: green, group: colour}
  - {code: blue, label: Blue, description: blue}
"""
)


def test_labels_set_the_temperature_of_a_group_and_tagging_keeps_it(photos: Collection) -> None:
    words = vocabulary(photos.folder, GROUP)
    photos.tag(words)
    alone = photos.view(["blue"]).values("blue").confidence.copy()
    for path in photos.view().paths.to_pylist()[::4]:
        photos.label(path, "red" if truly_red(path) else "green", True)
    reports = {r.code: r for r in photos.calibrate()}
    assert set(reports) == {"red", "green"}
    assert reports["red"].applied
    assert reports["red"].kind == "temperature"
    assert reports["red"].nll_after < reports["red"].nll_before
    view = photos.view(["red", "green", "blue"])
    fitted = view.calibration("red").params["temperature"]
    assert fitted != 3.0
    assert fitted == view.calibration("green").params["temperature"]
    total = view.values("red").confidence + view.values("green").confidence
    np.testing.assert_allclose(total, 1.0)
    np.testing.assert_array_equal(view.values("blue").confidence, alone)
    assert view.state("red") == "calibrated"
    photos.tag(words)
    assert photos.view(["red"]).calibration("red").params["temperature"] == fitted
    assert photos.evaluate()[-1].code == "*"


def test_few_labels_leave_a_group_as_it_was(photos: Collection) -> None:
    photos.tag(vocabulary(photos.folder, GROUP))
    for path in photos.view().paths.to_pylist()[:6]:
        photos.label(path, "green", True)
    report = photos.calibrate()[0]
    assert not report.applied
    assert "6 images labelled with one member; at least 10" in report.reason
    assert photos.view(["red"]).calibration("red").params["temperature"] == 3.0
    with pytest.raises(UsageError, match="exclusive group"):
        photos.promise("green", precision=0.9)
