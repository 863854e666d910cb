"""Near-duplicates of a collection on disk: levels, the best of each, out of sight and back; picks and clusters."""

from __future__ import annotations

import json
import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageEnhance

import sextant
from fakes import FakeEncoder, attributes, opened, picture, vocabulary
from sextant import duplicates as stage
from sextant import fingerprint as hashing
from sextant.cli import cli
from sextant.collection import Collection
from sextant.demo.scenes import collection as drawn
from sextant.errors import RuleError, UsageError
from sextant.maths import groups

DEMO_SEED = 12_400_000


class Angles(FakeEncoder):
    """A picture's vector is an angle: the red of its first pixel in degrees."""

    dim = 2

    def encode_images(self, images: Any) -> Any:
        angle = np.deg2rad([float(np.asarray(image)[0, 0, 0]) for image in images])
        return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)

    def encode_texts(self, texts: Any) -> Any:
        return np.tile(np.array([[1, 0]], np.float32), (len(texts), 1))


def scene(seed: int, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """A picture with a shape of its own: a few soft blots of grey, with some detail."""
    random = np.random.default_rng(seed)
    rough = Image.fromarray(random.integers(0, 256, (5, 7), np.uint8)).resize((96, 64), Image.Resampling.BICUBIC)
    noisy = np.clip(np.asarray(rough, np.int16) + random.integers(-12, 13, (64, 96)), 0, 255).astype(np.uint8)
    return Image.fromarray(noisy).convert("RGB").resize(size)


def at(picture_: Image.Image, degrees: int) -> Image.Image:
    """The same picture at another angle for `Angles`."""
    out = picture_.copy()
    out.paste((degrees, 0, 0), (0, 0, 2, 2))
    return out


@pytest.fixture
def photos(tmp_path: Path) -> Collection:
    """One shot three times, a stranger at the same angle, a chain of another scene, a copy, and one that is alone."""
    folder = tmp_path / "p"
    folder.mkdir()
    at(scene(1), 0).save(folder / "shot-small.png")
    at(scene(1, (192, 128)), 2).save(folder / "shot-large.png")
    at(ImageEnhance.Brightness(scene(1)).enhance(0.8), 4).save(folder / "shot-dim.png")
    at(scene(2), 1).save(folder / "stranger.png")
    for name, degrees in (("chain-a", 40), ("chain-b", 48), ("chain-c", 56)):
        at(scene(3), degrees).save(folder / f"{name}.png")
    at(scene(4), 90).save(folder / "alone.png")
    shutil.copy(folder / "alone.png", folder / "alone-again.png")
    collection = opened(tmp_path, Angles())
    collection.add(folder)
    return collection


def names(found: stage.Duplicates) -> list[list[str]]:
    return [[Path(m.path).stem for m in group.members] for group in found.groups]


# levels


def test_a_shot_is_alike_to_the_encoder_and_to_the_eye(photos: Collection) -> None:
    found = photos.duplicates("shot", threshold=0.98)
    assert sorted(names(found)[0]) == ["shot-dim", "shot-large", "shot-small"]
    assert not any("stranger" in group for group in names(found))


def test_a_scene_needs_the_encoder_alone_and_no_file(photos: Collection, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "p")
    found = photos.duplicates("scene", threshold=0.98)
    assert sorted(names(found)[0]) == ["shot-dim", "shot-large", "shot-small", "stranger"]


@pytest.mark.parametrize("level", ["shot", "scene"])
def test_a_chain_whose_ends_differ_is_not_one_group(photos: Collection, level: Any) -> None:
    chained = [group for group in names(photos.duplicates(level, threshold=0.98)) if "chain" in group[0]]
    assert [len(group) for group in chained] == [2]
    assert {"chain-a", "chain-c"} != set(chained[0])


def test_files_of_the_same_bytes_are_exact_copies(photos: Collection) -> None:
    (group,) = photos.duplicates("exact").groups
    assert [m.path for m in group.members] == ["p/alone-again.png", "p/alone.png"]
    assert {m.paths for m in group.members} == {("p/alone-again.png", "p/alone.png")}
    assert photos.duplicates("exact", where="width > 5000").groups == ()


def test_the_best_is_sharp_and_large_and_never_a_dark_frame(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    sharp = scene(7, (64, 48))
    soft = sharp.resize((8, 6)).resize((64, 48), Image.Resampling.BICUBIC)
    black = Image.new("RGB", (640, 480))
    for name, image in (("soft", soft), ("sharp", sharp), ("black", black)):
        at(image, 0).save(folder / f"{name}.png")
    at(sharp.resize((65, 48)), 0).save(folder / "larger.png")
    collection = opened(tmp_path, Angles())
    collection.add(folder)
    (members,) = names(collection.duplicates("scene"))
    assert set(members[:2]) == {"sharp", "larger"}
    assert members[2:] == ["soft", "black"]


def test_equally_good_images_go_by_id(tmp_path: Path) -> None:
    for shade in range(1, 6):
        picture(tmp_path / "p" / f"{shade}.png", (shade, 200, 200))
    collection = opened(tmp_path, Angles())
    collection.add(tmp_path / "p")
    (group,) = collection.duplicates("scene").groups
    assert [m.id for m in group.members] == sorted(m.id for m in group.members)
    assert len(group.members) == 5


def test_an_image_without_its_file_is_told_and_in_no_group(photos: Collection, tmp_path: Path) -> None:
    (tmp_path / "p" / "shot-dim.png").unlink()
    found = photos.duplicates("shot", threshold=0.98)
    assert [item.path for item in found.unread] == ["p/shot-dim.png"]
    assert {"shot-large", "shot-small"} in [set(group) for group in names(found)]
    assert not any("shot-dim" in group for group in names(found))


def test_files_are_read_once_and_only_candidates(photos: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    plain = stage._hashed
    monkeypatch.setattr(stage, "_hashed", lambda edges, path: read.append(Path(path).stem) or plain(edges, path))
    first = photos.duplicates("shot", threshold=0.98)
    assert sorted(read) == ["chain-a", "chain-b", "chain-c", "shot-dim", "shot-large", "shot-small", "stranger"]
    assert names(photos.duplicates("shot", threshold=0.98)) == names(first)
    assert len(read) == 7
    (photos.store.root / hashing.FILE).write_bytes(b"damaged")
    photos.duplicates("shot", threshold=0.98)
    assert len(read) == 14


def test_a_rule_narrows_what_is_looked_at(photos: Collection) -> None:
    found = photos.duplicates("scene", threshold=0.98, where="width < 100")
    assert found.images == 7
    assert "shot-large" not in {name for group in names(found) for name in group}
    with pytest.raises(RuleError, match="nothing_known"):
        photos.duplicates(where="nothing_known")


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"level": "near"}, "exact, shot or scene"),
        ({"threshold": 1.5}, "a cosine"),
        ({"level": "exact", "threshold": 0.9}, "no threshold"),
        ({"level": "exact", "suppress": True}, "nothing to suppress"),
    ],
)
def test_a_request_that_cannot_be_is_refused_with_its_reason(
    photos: Collection, asked: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        photos.duplicates(**asked)


# thresholds


def test_the_sensitivity_table_counts_what_each_threshold_gives(photos: Collection) -> None:
    table = photos.duplicates("scene").sensitivity
    assert [line.threshold for line in table] == [0.95, 0.96, 0.97, 0.98, 0.99]
    for line in table:
        found = photos.duplicates("scene", threshold=line.threshold, sensitivity=False)
        assert (line.groups, line.extra) == (len(found.groups), found.extra)
        assert line.images == line.groups + line.extra
        assert line.largest == max(map(len, names(found)))
    assert photos.duplicates("scene", sensitivity=False).sensitivity == ()


def test_a_threshold_follows_how_alike_an_encoder_makes_images() -> None:
    random = np.random.default_rng(1)

    def alike(level: float) -> float:
        rows = (
            np.sqrt(level) * np.eye(1, 64)
            + np.sqrt(1 - level) * np.c_[np.zeros((300, 1)), random.standard_normal((300, 63)) / np.sqrt(63)]
        )
        return groups.threshold_of((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))

    assert alike(0.5) == pytest.approx(0.98, abs=0.002)
    assert alike(0.0) == pytest.approx(0.96, abs=0.002)
    assert alike(0.95) == 0.99
    assert groups.threshold_of(np.eye(40, dtype=np.float32)) == 0.98


def test_series_of_the_demo_are_found(tmp_path: Path) -> None:
    """Pairwise F1 on bursts that the demo draws and its own encoder sees."""
    truth = {t["path"]: t["series"] or t["path"] for t in drawn(tmp_path / "in", 220, seed=DEMO_SEED, size=160)}
    with sextant.open(tmp_path, create=True, model="mini") as photos:
        photos.add(tmp_path / "in")
        found = photos.duplicates()
        shown = {str(p).removeprefix("in/") for p in photos.view().paths.to_pylist()}
    series: dict[str, list[str]] = {}
    for name in sorted(shown):
        series.setdefault(truth[name], []).append(name)
    true = {pair for members in series.values() for pair in combinations(members, 2)}
    groups = [sorted(m.path.removeprefix("in/") for m in group.members) for group in found.groups]
    said = {pair for members in groups for pair in combinations(members, 2)}
    assert len(true) > 20
    assert 2 * len(true & said) / (len(true) + len(said)) >= 0.9


# out of sight


def test_what_is_suppressed_is_on_record_and_comes_back(photos: Collection) -> None:
    found = photos.duplicates("shot", threshold=0.98, suppress=True)
    kept = found.groups[0].kept.id
    hidden = photos.catalog.suppressed()
    assert hidden == {m.id: g.kept.id for g in found.groups for m in g.members[1:]}
    (run,) = photos.catalog.duplicate_runs()
    assert (run.id, run.level, run.threshold, run.images, run.restored) == (found.run, "shot", 0.98, found.extra, 0)
    some = found.groups[0].members[1]
    assert photos.restore(some.path) == 1
    assert photos.restore(some.id) == 0
    assert photos.restore(kept) == 0
    assert photos.catalog.suppressed() == {k: v for k, v in hidden.items() if k != some.id}
    assert photos.restore(run=found.run) == found.extra - 1
    assert photos.catalog.suppressed() == {}
    assert photos.catalog.duplicate_runs()[0].restored == found.extra


def test_a_new_run_takes_the_place_of_the_one_before(photos: Collection) -> None:
    photos.duplicates("scene", threshold=0.98, suppress=True)
    second = photos.duplicates("shot", threshold=0.98, suppress=True)
    assert set(photos.catalog.suppressed()) == {m.id for g in second.groups for m in g.members[1:]}
    assert [run.id for run in photos.catalog.duplicate_runs()] == [1, 2]
    assert photos.restore() == second.extra
    with pytest.raises(UsageError, match=r"no run 9 .* known: 1, 2"):
        photos.restore(run=9)
    with pytest.raises(UsageError, match=r"no image 'nowhere.png'"):
        photos.restore("nowhere.png")


def test_no_image_is_out_of_sight_for_one_that_is_gone(photos: Collection) -> None:
    found = photos.duplicates("shot", threshold=0.98, suppress=True)
    hidden = photos.view().out_of_sight
    assert hidden.sum() == found.extra
    photos.store.drop_images([found.groups[0].kept.id])
    view = photos.view()
    seen_again = {m.id for m in found.groups[0].members[1:]}
    assert seen_again <= {i for i, out in zip(view.ids.to_pylist(), view.out_of_sight, strict=True) if not out}


def test_a_collection_that_lost_its_images_has_no_duplicates(photos: Collection) -> None:
    photos.store.drop_images(photos.view().ids.to_pylist())
    assert [photos.duplicates(level).groups for level in ("exact", "shot", "scene")] == [(), (), ()]
    assert photos.pick(3) == []
    assert photos.clusters(3) == []


# hashes


def test_a_hash_survives_what_a_camera_or_an_export_does() -> None:
    image = scene(11, (300, 200))
    width, height = image.size
    changes = [
        image.resize((120, 80)),
        image.crop((4, 3, width - 4, height - 3)),
        ImageEnhance.Brightness(image).enhance(0.7),
        ImageEnhance.Contrast(image).enhance(1.3),
    ]
    strangers = [scene(seed) for seed in range(20, 40)]
    rows = hashing.rows([hashing.fingerprint(one) for one in (image, *changes, *strangers)])
    likeness = rows[1:] @ rows[0]
    assert likeness[: len(changes)].min() > 0.9
    assert likeness[len(changes) :].max() < stage.LIKENESS


def test_pictures_without_shape_are_alike_and_like_no_other() -> None:
    noise = np.random.default_rng(1).integers(0, 2, (64, 64))
    flat = [Image.new("RGB", (50, 50), (g, g, g)) for g in (0, 90)]
    flat.append(Image.fromarray((100 + noise).astype(np.uint8)))
    rows = hashing.rows([hashing.fingerprint(one) for one in (*flat, scene(1))])
    assert (rows[:3] @ rows[:3].T).min() > stage.LIKENESS
    assert (rows[:3] @ rows[3]).max() < 0.3


def test_hashes_are_kept_by_id_and_a_folder_that_is_gone_is_no_error(tmp_path: Path) -> None:
    hashes = {"ab" * 16: hashing.fingerprint(scene(1)), "cd" * 16: hashing.fingerprint(scene(2))}
    hashing.write(tmp_path, hashes)
    assert hashing.read(tmp_path) == hashes
    assert [p.name for p in tmp_path.iterdir()] == [hashing.FILE]
    hashing.write(tmp_path / "gone", hashes)
    assert hashing.read(tmp_path / "gone") == {}
    np.savez(tmp_path / hashing.FILE, ids=np.array([b"ab"]), hashes=np.array([1, 2]))
    assert hashing.read(tmp_path) == {}


# picks and clusters


@pytest.fixture
def colours(tmp_path: Path) -> Collection:
    """30 pictures: 15 reds, 10 blues, 5 greens, with their columns."""
    for number in range(30):
        colour = (255, number, 0) if number < 15 else (number, 0, 255) if number < 25 else (0, 255, number)
        picture(tmp_path / "p" / f"{number:02}.png", colour, (8 + number, 8))
    collection = opened(tmp_path)
    collection.add(tmp_path / "p")
    collection.tag(vocabulary(tmp_path, attributes("red", "blue", "green")), center=25.5, scale=1.5)
    return collection


@pytest.mark.parametrize("way", ["relevance", "spread"])
def test_a_pick_of_three_has_one_of_each_kind(colours: Collection, way: Any) -> None:
    picked = colours.pick(3, way=way)
    assert {int(Path(p.path).stem) // 5 // 3 + (int(Path(p.path).stem) >= 25) for p in picked} == {0, 1, 2}
    assert picked[0].similarity is None
    assert max(p.similarity or 0 for p in picked) < 0.3


def test_at_weight_one_a_pick_is_the_plain_order(colours: Collection) -> None:
    plain = [row["path"] for row in colours.query("width > 0", sort="-width", limit=7)]
    assert [p.path for p in colours.pick(7, by="width", weight=1)] == plain
    by_red = colours.pick(4, by="red", weight=1, where="width < 15")
    confidences = colours.view_of(["red"]).values("red").confidence[:7]
    assert [p.quality for p in by_red] == sorted(confidences, reverse=True)[:4]


def test_picks_leave_out_what_is_suppressed(colours: Collection) -> None:
    found = colours.duplicates("scene", threshold=0.99, suppress=True)
    picked = colours.pick(30)
    assert len(picked) == 30 - found.extra
    assert not {p.id for p in picked} & set(colours.catalog.suppressed())


def test_clusters_are_named_by_what_sets_them_apart(colours: Collection) -> None:
    found = colours.clusters(3)
    assert [(c.name, c.size) for c in found] == [("red", 15), ("blue", 10), ("green", 5)]
    top = found[1].attributes[0]
    assert (top.code, top.accepted, top.share, top.lift) == ("blue", 10, 1.0, pytest.approx(3.0))
    assert set(found[2].members) == {row["id"] for row in colours.query("green")}
    assert set(found[0].examples) <= {f"p/{n:02}.png" for n in range(15)}


def test_where_little_is_accepted_confidences_name_a_cluster_with_a_perhaps(colours: Collection) -> None:
    colours.tag(center=40.5, scale=4.0)  # a red picture has a logit of 40: in doubt everywhere
    assert [c.name for c in colours.clusters(3)] == ["perhaps red", "perhaps blue", "perhaps green"]
    assert colours.clusters(3)[0].attributes[0].confidence == pytest.approx(0.46, abs=0.02)
    assert [c.name for c in colours.clusters(1)] == ["cluster 1"]


def test_clusters_by_density_leave_what_lies_nowhere(colours: Collection) -> None:
    assert {c.name: c.size for c in colours.clusters(method="hdbscan")} == {"red": 15, "blue": 10, "green": 5}
    (none,) = colours.clusters(method="hdbscan", where="width < 11")
    assert (none.number, none.name, none.size) == (-1, "in no cluster", 3)
    with pytest.raises(UsageError, match="itself"):
        colours.clusters(3, method="hdbscan")


def test_what_cannot_be_picked_or_clustered_is_refused(colours: Collection) -> None:
    with pytest.raises(UsageError, match="Did you mean 'width'"):
        colours.pick(3, by="widht")
    with pytest.raises(UsageError, match="at least 1"):
        colours.pick(0)
    with pytest.raises(UsageError, match="between 0"):
        colours.pick(1, weight=2)
    with pytest.raises(UsageError, match="at least 1"):
        colours.clusters(0)


# the command line


def run(folder: Path, *line: str) -> Any:
    result = CliRunner().invoke(cli, ["-C", str(folder), *line])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if "--json" in line else result


@pytest.fixture
def hashed(tmp_path: Path) -> Path:
    """Two pictures of one shot and a stranger, with the encoder that needs no model."""
    folder = tmp_path / "in"
    folder.mkdir()
    scene(1, (192, 128)).save(folder / "large.png")
    scene(1, (192, 128)).save(folder / "again.png", compress_level=1)
    scene(2).save(folder / "other.png")
    run(tmp_path, "add", str(folder), "--model", "hash")
    return tmp_path


def test_the_verbs_answer(hashed: Path) -> None:
    asked = ("duplicates", "--level", "scene", "--threshold", "0.9")
    answer = run(hashed, *asked, "--json")
    assert [sorted(m["path"] for m in g["members"]) for g in answer["groups"]] == [["in/again.png", "in/large.png"]]
    assert answer["extra"] == 1
    assert [line["threshold"] for line in answer["sensitivity"]] == [0.95, 0.96, 0.97, 0.98, 0.99]
    table = run(hashed, *asked, "--suppress")
    assert "keep" in table.stdout
    assert "run 1 suppressed 1" in table.stderr
    assert len(run(hashed, "pick", "3", "--json")) == 2
    assert run(hashed, "pick", "3", "--paths", "--spread").stdout.count("\n") == 2
    assert run(hashed, "duplicates", "--restore", "--json") == {"restored": 1}
    assert len(run(hashed, "pick", "3", "--json")) == 3
    assert "none satisfies the rule" in run(hashed, "pick", "3", "--where", "width > 9999").stderr
    (whole,) = run(hashed, "clusters", "1", "--json", "--members")
    assert (whole["size"], len(whole["members"])) == (3, 3)
    assert "cluster 1" in run(hashed, "clusters", "1").stdout


def test_images_are_named_for_restoring_only(hashed: Path) -> None:
    result = CliRunner().invoke(cli, ["-C", str(hashed), "duplicates", "in/large.png"])
    assert result.exit_code == 2
    assert "for --restore" in result.stderr
