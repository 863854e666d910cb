"""The tuner: every number is the formula, advice states what it rests on, and there is always a way back."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from fakes import SCALE, attributes, opened, picture, vocabulary
from sextant.collection import Collection
from sextant.errors import UsageError
from sextant.maths.sampling import precision_threshold
from sextant.tuning import PRESETS, TEMPERATURES, Tuner, at_temperature

TEXT = "center: 25.5\nscale: 1.5\n" + attributes("red", "green", "blue")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuning")
    for i in range(48):
        picture(folder / "p" / f"{i:02d}.png", (5 * i, 250 - 5 * i, 60), (4, 4))
    photos = opened(folder)
    photos.add(folder / "p")
    photos.tag(vocabulary(folder, TEXT))
    photos.close()
    return folder


@pytest.fixture
def photos(made: Path, tmp_path: Path) -> Collection:
    import shutil

    shutil.copytree(made, tmp_path / "c")
    return opened(tmp_path / "c")


@pytest.fixture
def tuner(photos: Collection) -> Tuner:
    return photos.tuner("red")


def counts(photos: Collection, center: float, scale: float, code: str = "red") -> tuple[int, int, int]:
    z = photos.view([code]).logits(code).astype(np.float64)
    p = 1 / (1 + np.exp(-(z - center) / scale))
    return int((p >= 0.8).sum()), int(((p >= 0.5) & (p < 0.8)).sum()), int((p < 0.5).sum())


# what the formula says, to the digits that people wrote down wrongly before
KNOWN = {
    -0.0409: {10: 0.3992, 12: 0.3797, 15: 0.3513, 18: 0.3238, 20: 0.3062, 25: 0.2645, 30: 0.2267, 35: 0.1929},
    -0.0566: {10: 0.3622, 15: 0.2996, 18: 0.2653, 25: 0.1954, 35: 0.1212},
    -0.05: {15: 0.3208, 25: 0.2227, 35: 0.1480},
}


@pytest.mark.parametrize(("cosine", "table"), KNOWN.items())
def test_a_temperature_is_the_formula(tuner: Tuner, cosine: float, table: dict[int, float]) -> None:
    answer = tuner.test(str(cosine))
    found = {row[0]: row[1] for row in answer.rows}
    assert list(found) == list(TEMPERATURES)
    for temperature, value in table.items():
        assert round(found[temperature], 4) == value
        assert found[temperature] == pytest.approx(1 / (1 + math.exp(-cosine * temperature)))
    assert any("never changes the order" in note for note in answer.notes)


def test_a_temperature_is_a_center_and_a_scale(tuner: Tuner, photos: Collection) -> None:
    logits = photos.view(["red"]).logits("red").astype(np.float64)
    for t, *_, center, scale in tuner.test().rows:
        by_temperature = [at_temperature(z / SCALE, t) for z in logits]
        by_center = 1 / (1 + np.exp(-(logits - center) / scale))
        np.testing.assert_allclose(by_temperature, by_center, rtol=1e-9)


def test_a_temperature_never_reorders(photos: Collection) -> None:
    cosines = photos.view(["red"]).logits("red").astype(np.float64) / SCALE
    for t in TEMPERATURES:
        p = np.array([at_temperature(c, t) for c in cosines])
        np.testing.assert_array_equal(np.argsort(p, kind="stable"), np.argsort(cosines, kind="stable"))


def test_an_image_is_tested_by_its_own_cosine(tuner: Tuner, photos: Collection) -> None:
    place = photos.view().paths.to_pylist().index("p/47.png")
    cosine = float(photos.view(["red"]).logits("red")[place]) / SCALE
    answer = tuner.test("p/47.png")
    assert answer.rows[4][:2] == (20, pytest.approx(at_temperature(cosine, 20)))
    assert f"in use (fixed(25.5, 1.5)): {photos.view(['red']).values('red').confidence[place]:.4f}" in answer.notes
    with pytest.raises(UsageError, match="neither a cosine nor an image"):
        tuner.test("p/none.png")


@pytest.mark.parametrize(("center", "scale"), [(25.5, 1.5), (22.0, 3.0), (28.0, 1.5), (31.7, 0.4)])
def test_what_if_counts_are_the_formulas(tuner: Tuner, photos: Collection, center: float, scale: float) -> None:
    assert tuner.set(center, scale).rows[1][1:] == counts(photos, center, scale)
    by_name = {row[0]: row[1:] for row in tuner.compare().rows}
    assert by_name[f"draft: fixed({center:.4g}, {scale:.4g})"] == counts(photos, center, scale)
    assert by_name["fixed(22, 3)"] == counts(photos, 22, 3)
    for code, *found in tuner.all(center, scale).rows:
        assert tuple(found) == counts(photos, center, scale, code)
    shown = tuner.histogram()
    assert (shown.accepted, shown.tentative, shown.rejected) == counts(photos, center, scale)
    assert shown.tentative_from == pytest.approx(center)
    assert shown.accepted_from == pytest.approx(center + scale * math.log(4))
    assert photos.view(["red"]).calibration("red").params["center"] == 25.5, "nothing was saved"


def test_saving_puts_a_draft_in_use_and_nothing_replaces_it(tuner: Tuner, photos: Collection) -> None:
    tuner.set(30, 2)
    tuner.save()
    assert photos.columns()[0].accepted == counts(photos, 30, 2)[0]
    photos.tag()
    photos.tag(vocabulary(photos.folder, TEXT.replace("25.5", "20")))
    photos.label("p/00.png", "green", True)
    photos.calibrate()
    held = photos.view(["red"]).calibration("red")
    assert (held.kind, held.params["center"], held.params["scale"]) == ("fixed", 30.0, 2.0)
    assert not tuner.drafts


def test_undo_takes_back_drafts_and_then_the_last_save(tuner: Tuner, photos: Collection) -> None:
    tuner.set(30, 2)
    tuner.set(31, 2)
    assert tuner.undo().rows[0][0] == "fixed(30, 2)"
    tuner.save()
    assert tuner.undo().rows[0][0] == "fixed(25.5, 1.5)"
    assert photos.view(["red"]).calibration("red").params == {"center": 25.5, "scale": 1.5}
    with pytest.raises(UsageError, match="never had another"):
        photos.tuner("green").undo()
    with pytest.raises(UsageError, match="nothing to save"):
        tuner.save()


def test_a_temperature_can_be_set(tuner: Tuner) -> None:
    tuner.set_temperature(20)
    assert tuner.curve.params == {"center": 0.0, "scale": SCALE / 20}
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(UsageError, match="above 0"):
            tuner.set_temperature(wrong)
    with pytest.raises(UsageError, match="scale above 0"):
        tuner.set(20, 0)


def test_reset_returns_to_the_prior(tuner: Tuner, photos: Collection) -> None:
    tuner.reset()
    assert photos.view(["red"]).calibration("red").kind == "prior"
    assert tuner.undo().rows[0][0] == "fixed(25.5, 1.5)"


def test_advice_states_the_numbers_it_rests_on(tuner: Tuner, photos: Collection) -> None:
    z = photos.view(["red"]).logits("red").astype(np.float64)
    answer = tuner.recommend()
    (row,) = answer.rows
    assert row[0] == "histogram"
    assert row[1:3] == (pytest.approx(np.quantile(z, 0.95)), pytest.approx(z.std() / 2))
    assert row[3:] == counts(photos, row[1], row[2])
    assert f"mean {z.mean():.2f} and standard deviation {z.std():.2f}" in answer.notes[0]
    assert "labels: 0, of them 0 yes; at least 10" in answer.notes[1]
    assert any("never changes the order" in note for note in answer.notes)


def test_labels_give_better_advice_than_a_histogram(tuner: Tuner, photos: Collection) -> None:
    for i in range(0, 48, 2):
        photos.label(f"p/{i:02d}.png", "red", i >= 20)
    rows = {row[0]: row for row in tuner.recommend().rows}
    z = {
        Path(p).stem: x
        for p, x in zip(photos.view().paths.to_pylist(), photos.view(["red"]).logits("red"), strict=True)
    }
    assert z["18"] < rows["labels"][1] < z["20"], "the center lies between the last no and the first yes"


def test_too_few_images_get_no_advice(tmp_path: Path) -> None:
    for i in range(19):
        picture(tmp_path / "p" / f"{i}.png", (100 + i, 20, 3))
    photos = opened(tmp_path)
    photos.add(tmp_path / "p")
    photos.tag(vocabulary(tmp_path, TEXT))
    with pytest.raises(UsageError, match="19 images say too little about 'red'; advice needs at least 20"):
        photos.tuner("red").recommend()


def test_what_has_no_logits_of_its_own_cannot_be_tuned(photos: Collection) -> None:
    text = TEXT + "derived_attributes:\n  - {code: warm, rule: {all_of: [red]}}\n"
    photos.tag(vocabulary(photos.folder, text))
    with pytest.raises(UsageError, match="no logits of its own"):
        photos.tuner("warm")
    with pytest.raises(UsageError, match="Did you mean 'red'"):
        photos.tuner("redd")
    group = "groups: {g: {temperature: 1.0}}\nbase_attributes:\n" + "".join(
        f"  - {{code: {c}, description: {c}, group: g}}\n" for c in ("red", "green")
    )
    photos.tag(vocabulary(photos.folder, group))
    with pytest.raises(UsageError, match="exclusive group 'g'"):
        photos.tuner("red")


def test_the_numbers_of_the_documentation_are_the_formulas() -> None:
    text = (Path(__file__).parents[1] / "docs" / "tuning.md").read_text(encoding="utf-8")
    said = " ".join(text.split())
    assert f"cosine of −0.0409 at temperature 20 is `sigmoid(−0.818)` = {at_temperature(-0.0409, 20):.4f}" in said
    assert f"at 10 it is {at_temperature(-0.0409, 10):.4f} and at 25 it is {at_temperature(-0.0409, 25):.4f}" in said
    shown = re.findall(r"\((\d+(?:\.\d+)?), (\d+(?:\.\d+)?)\)", said.split("fixed curves")[1][:60])
    assert [tuple(map(float, pair)) for pair in shown] == list(PRESETS)
    labelling = " ".join((Path(__file__).parents[1] / "docs" / "labelling.md").read_text(encoding="utf-8").split())

    def kept(n: int) -> bool:
        return precision_threshold(np.linspace(0.9, 1, n), np.ones(n), precision=0.95, failure=0.05).value is not None

    fewest = next(n for n in range(1, 200) if kept(n))
    assert f"{fewest} without a single wrong one for 95 % at 5 %" in labelling
