"""Feedback on colours that can be computed in the head: kept, counted against a slow oracle, learned from."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from click.testing import CliRunner

from fakes import FakeEncoder, attributes, opened, picture, vocabulary
from sextant import answers, draws, judge
from sextant.catalog import Catalog, Label
from sextant.cli import cli
from sextant.collection import Collection
from sextant.errors import UsageError
from sextant.events import Event, Impression
from sextant.feedback import counting, features, negatives, recording, weights
from sextant.feedback.recording import Context, swapped
from sextant.maths import experiments as maths
from sextant.maths.learning import Weights
from sextant.types import Hit, SearchResult

N = 60


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures between red and green, the later ones larger; a third of them with much blue in it."""
    folder = tmp_path_factory.mktemp("feedback")
    for i in range(N):
        picture(folder / "p" / f"{i:03d}.png", (5 + 4 * i, 245 - 4 * i, 200 if i % 3 == 0 else 20), (4 + i, 4))
    photos = opened(folder)
    photos.add(folder / "p")
    photos.tag(vocabulary(folder, "center: 22\nscale: 2\n" + attributes("red", "green", "blue")))
    photos.close()
    return folder


@pytest.fixture
def photos(made: Path, tmp_path: Path) -> Collection:
    import shutil

    shutil.copytree(made, tmp_path / "c")
    return opened(tmp_path / "c")


def paths(photos: Collection) -> list[str]:
    return photos.view().paths.to_pylist()


# what is kept


def test_an_answer_and_what_became_of_it_survive_a_restart(photos: Collection) -> None:
    found = photos.search("red", limit=5)
    number = photos.shown(found, Context(person="Ada", variant="x:a", options={"limit": 5}))
    event = photos.feedback("clicked", found.hits[2].id, impression=number)
    photos.feedback("down", found.hits[0].path, impression=number, reason="too dark", person="Bob")
    photos.close()
    again = opened(photos.folder)
    kept = again.catalog.impression(number)
    assert kept is not None
    assert [hit["id"] for hit in kept.hits] == [hit.id for hit in found.hits]
    assert [hit["confidence"] for hit in kept.hits] == [hit.confidence for hit in found.hits]
    assert (kept.query, kept.person, kept.variant, kept.options, kept.nothing_here) == (
        "red", "Ada", "x:a", {"limit": 5}, found.hits[0].confidence < 0.5
    )  # fmt: skip
    down, clicked = again.events()
    assert (clicked.id, clicked.kind, clicked.image, clicked.rank, clicked.person) == (
        event, "clicked", found.hits[2].id, 3, "Ada"
    )  # fmt: skip
    assert (down.rank, down.reason, down.person) == (1, "too dark", "Bob")


def test_what_is_sent_again_counts_once(photos: Collection) -> None:
    found = photos.search("red", limit=5)
    number = photos.shown(found, Context(key="page"))
    assert photos.shown(found, Context(key="page")) == number
    first = photos.feedback("picked", found.hits[0].id, impression=number, key="e")
    assert photos.feedback("picked", found.hits[0].id, impression=number, key="e") == first
    with pytest.raises(UsageError, match="every event needs its own"):
        photos.feedback("picked", found.hits[1].id, impression=number, key="e")
    with pytest.raises(UsageError, match="every event needs its own"):
        photos.shown(photos.search("green", limit=5), Context(key="page"))
    photos.feedback("picked", found.hits[0].id, impression=number)  # without a key everything counts
    assert [e.kind for e in photos.events()] == ["picked", "picked"]
    assert len(photos.catalog.impressions()) == 1


def test_a_thumb_sent_twice_is_one_label(photos: Collection) -> None:
    for _ in range(3):
        photos.feedback("down", paths(photos)[0], code="red", person="Ada", key="k")
    with photos.catalog._engine.connect() as connection:
        assert connection.exec_driver_sql("select count(*) from labels").scalar() == 1


@pytest.mark.parametrize(
    ("kind", "image", "more", "words"),
    [
        ("liked", "p/001.png", {}, "feedback is clicked, picked, up, down"),
        ("clickd", "p/001.png", {}, "Did you mean 'clicked'"),
        ("clicked", "p/none.png", {}, "no image 'p/none.png'"),
        ("clicked", "p/001.png", {"impression": 99}, "no impression 99"),
        ("clicked", "p/001.png", {"code": "red"}, "gets thumbs"),
        ("up", "p/001.png", {"code": "rde"}, "no attribute 'rde'"),
        ("up", "p/001.png", {"reason": "x" * 1001}, "at most 1,000 characters"),
        ("up", "p/001.png", {"key": "x" * 201}, "at most 200 characters"),
    ],
)
def test_what_is_no_feedback(photos: Collection, kind: str, image: str, more: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        photos.feedback(kind, image, **more)
    assert photos.events() == []


def test_what_was_not_shown_cannot_be_selected(photos: Collection) -> None:
    found = photos.search("red", limit=2)
    number = photos.shown(found)
    stranger = next(p for p in paths(photos) if p not in {hit.path for hit in found.hits})
    with pytest.raises(UsageError, match="did not show"):
        photos.feedback("clicked", stranger, impression=number)
    for context in ({"start": 5}, {"continues": number}, {"start": -1}):
        with pytest.raises(UsageError, match="later page"):
            Context(**context)
    with pytest.raises(UsageError, match="no impression 7"):
        photos.shown(found, Context(start=2, continues=7))
    with pytest.raises(UsageError, match="limit"):
        photos.events(0)


def test_feedback_on_answers_changes_no_answer(photos: Collection) -> None:
    found = photos.search("red", limit=2)
    before = photos.catalog.changes()
    photos.feedback("down", found.hits[0].id, impression=photos.shown(found))
    assert photos.catalog.changes() == before
    photos.feedback("down", found.hits[0].id, code="red")
    assert photos.catalog.changes() > before


def test_threads_lose_and_double_nothing(photos: Collection) -> None:
    found = photos.search("red", limit=10)
    number = photos.shown(found)

    def send(k: int) -> int:
        return photos.feedback("clicked", found.hits[k % 10].id, impression=number, key=f"k{k % 40}")

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(send, range(80)))
    assert numbers[:40] == numbers[40:]
    assert len(photos.events(100)) == len(set(numbers)) == 40


def _send_until_killed(file: str, acknowledged: str, name: int) -> None:
    catalog = Catalog.beside(Path(file))
    with Path(acknowledged).open("a", encoding="utf-8") as done:
        for k in range(100_000):
            number = catalog.put_event(Event(kind="clicked", image="i", key=f"{name}-{k}"))
            done.write(f"{name}-{k} {number}\n")
            done.flush()


def test_every_acknowledged_event_survives_kill_9(tmp_path: Path) -> None:
    file = tmp_path / "catalog.db"
    Catalog.beside(file).close()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sextant.catalog"])
    for turn in range(2):
        notes = [tmp_path / f"{turn}-{n}.txt" for n in range(3)]
        tasks = [
            context.Process(target=_send_until_killed, args=(str(file), str(note), 10 * turn + n))
            for n, note in enumerate(notes)
        ]
        for task in tasks:
            task.start()
        while sum(note.read_text().count("\n") for note in notes if note.exists()) < 40:
            tasks[0].join(0.02)
        for task in tasks:
            os.kill(task.pid, signal.SIGKILL)
            task.join()
    kept = {event.key: event.id for event in Catalog.beside(file).events()}
    told = [line.split() for note in tmp_path.glob("*.txt") for line in note.read_text().splitlines()]
    assert len(told) >= 80
    assert all(kept[line[0]] == int(line[1]) for line in told if len(line) == 2 and line[1])


def test_swapping_moves_nothing_by_more_than_a_place() -> None:
    result = SearchResult("q", "prior", tuple(Hit(str(i), f"{i}", 0.1, 1.0, 0.5, "q") for i in range(9)))
    moved = np.zeros(9)
    for seed in range(400):
        ids = [int(hit.id) for hit in swapped(result, seed=seed).hits]
        assert sorted(ids) == list(range(9))
        assert max(abs(place - i) for place, i in enumerate(ids)) <= 1
        moved += [place != i for place, i in enumerate(ids)]
    assert swapped(result, seed="x") == swapped(result, seed="x")
    assert 70 < moved[0] < 130, "an end is in half of the pairings, turned half of the time"
    assert all(160 < m < 240 for m in moved[1:-1])


# thumbs on a column


def test_thumbs_alone_calibrate_nothing(photos: Collection) -> None:
    for k, path in enumerate(paths(photos)[:30]):
        photos.feedback("up" if k % 2 else "down", path, code="red", person="Ada")
    assert {label["source"] for label in photos.labels(["red"])} == {"thumb"}
    with pytest.raises(UsageError, match="thumbs alone"):
        photos.calibrate(["red"])
    assert photos.count("red") is None
    assert len({a.id for a in photos.label_next("red", 60)}) == N, "a thumb is not asked for, so it can still be drawn"


def test_a_thumb_stands_for_its_own_image(photos: Collection) -> None:
    drawn = photos.label_next("red", 12)
    for asked in drawn:
        photos.label(asked.id, "red", asked.path > "p/030.png")
    rest = [p for p in paths(photos) if p not in {a.path for a in drawn}]
    for path in rest[:5]:
        photos.feedback("up", path, code="red")
    photos.feedback("up", drawn[0].id, code="red")
    view = photos.view(["red"])
    given = answers.labelled(view, answers.settled(photos.catalog.labels()), photos.catalog.sample())["red"]
    weight = dict(zip(given.images, given.weights, strict=True))
    chance = {a.id: a.probability for a in drawn}
    assert len(given.images) == 17
    assert [weight[view.find(path)] for path in rest[:5]] == [1.0] * 5
    assert weight[drawn[0].id] == 1.0, "an image that is known for certain is no sample of others"
    assert all(weight[a.id] == pytest.approx(1 / chance[a.id]) for a in drawn[1:])
    before = draws.count(view, photos.catalog, "red")
    assert before is not None
    assert before.n == 12


def test_beside_labels_picked_blindly_a_thumb_weighs_one_image(photos: Collection) -> None:
    for path in paths(photos)[:20]:
        photos.label(path, "red", path > "p/010.png")
    for path in paths(photos)[20:30]:
        photos.feedback("down", path, code="red")
    view = photos.view(["red"])
    given = answers.labelled(view, answers.settled(photos.catalog.labels()), [])["red"]
    assert np.allclose(given.weights, [1.0] * 20 + [20 / 50] * 10)  # 20 labels stand for 50 images
    photos.calibrate(["red"])


def test_selective_thumbs_do_not_bend_a_rate() -> None:
    """People give thumbs to what is wrong; the weighted rate of all images stays right on average."""
    rng, n = np.random.default_rng(4), 400
    truth = rng.random(n) < 0.5
    thumbs = np.flatnonzero(~truth)[:60]  # only where it is wrong
    plain, weighted = [], []
    for _ in range(400):
        drawn = rng.choice(n, 40, replace=False)
        images = [*drawn.tolist(), *(i for i in thumbs.tolist() if i not in set(drawn.tolist()))]
        items = {str(i): answers.Drawn(str(i), "c", 1, 40 / n, 0) for i in drawn.tolist()}
        w = answers._weights([str(i) for i in images], items, frozenset(map(str, thumbs.tolist())), n)
        plain.append(truth[images].mean())
        weighted.append(np.average(truth[images], weights=w))
    assert fmean(weighted) == pytest.approx(truth.mean(), abs=0.01)
    assert fmean(plain) < truth.mean() - 0.2


def test_a_label_outranks_thumbs_and_thumbs_that_disagree_say_nothing(photos: Collection) -> None:
    one, two, three = paths(photos)[:3]
    photos.label(one, "red", True, person="Ada")
    photos.feedback("down", one, code="red", person="Ada")
    photos.feedback("up", two, code="red", person="Ada")
    photos.feedback("down", two, code="red", person="Bob")
    photos.feedback("down", three, code="red", person="Ada")
    view = photos.view()
    said = answers.settled(photos.catalog.labels())["red"]
    assert said == {view.find(one): True, view.find(three): False}
    assert said.proper == {view.find(one): True}
    photos.label(three, "red", None, person="Ada")
    assert answers.settled(photos.catalog.labels())["red"] == {view.find(one): True}
    photos.feedback("up", three, code="red", person="Ada")  # and may think again
    assert answers.settled(photos.catalog.labels())["red"][view.find(three)] is True


def test_labels_come_back_from_a_file_as_what_they_were(photos: Collection, tmp_path: Path) -> None:
    photos.label(paths(photos)[0], "red", True, person="Ada")
    photos.feedback("down", paths(photos)[1], code="red", person="Ada")
    photos.export_labels(tmp_path / "labels.csv")
    photos.label(paths(photos)[0], "red", None, person="Ada")
    photos.label(paths(photos)[1], "red", None, person="Ada")
    assert photos.import_labels(tmp_path / "labels.csv") == 2
    assert [(x.value, x.source) for x in photos.catalog.labels()] == [(True, ""), (False, "thumb")]
    assert judge.proper({"red": {"x": True}}) == {"red": {"x": True}}
    assert Label("i", "c", True).source == ""


# metrics


def log_by_hand(photos: Collection) -> None:
    """Three days, two variants, a later page, answers with nothing, to people and to nobody."""
    rng = np.random.default_rng(8)
    ids = photos.view().ids.to_pylist()
    events = [Event(kind="picked", image=ids[0])]  # of no answer
    for k in range(90):
        hits = [{"id": image, "confidence": 0.9} for image in rng.choice(ids, 6, replace=False).tolist()]
        nothing = bool(rng.random() < 0.2)
        number = photos.catalog.put_impression(
            Impression(
                query=f"q{k % 7}", hits=[] if nothing else hits, options={}, variant=("", "x:a", "x:b")[k % 3],
                person=("", "Ada", "Bob", "Cid")[int(rng.integers(4))], nothing_here=nothing,
                at=f"2026-01-0{1 + k // 30}T10:00:00+00:00",
            )
        )  # fmt: skip
        if nothing:
            continue
        for place in rng.choice(6, int(rng.integers(0, 3)), replace=False).tolist():
            kinds = rng.choice(["clicked", "picked", "up", "down"], 2).tolist()
            events += [Event(kind=kind, image=hits[place]["id"], impression=number) for kind in kinds]
        if k % 5 == 0:
            page = [{"id": image, "confidence": 0.6} for image in ids if image not in {h["id"] for h in hits}][:4]
            more = Impression(query="p", hits=page, options={}, start=6, continues=number, at="2026-01-09T00:00:00")
            later = photos.catalog.put_impression(more)
            events.append(Event(kind="clicked", image=page[1]["id"], impression=later))
    recording.record_all(photos, events)


def slow(photos: Collection, day: str | None, variant: str | None) -> tuple[int, float, float, float]:
    """Answers, selection rate, mean rank, zero-result rate: counted in loops over raw SQL rows."""
    with photos.catalog._engine.connect() as connection:
        columns = "id, variant, nothing_here, continues, at"
        shown = connection.exec_driver_sql(f"select {columns} from impressions").all()
        events = connection.exec_driver_sql("select kind, impression, image, rank from events").all()
    roots = [s for s in shown if s[3] is None and (variant is None or s[1] == variant) and s[4].startswith(day or "")]
    selected, empty, ranks = 0, 0, []
    for root in roots:
        pages = [s[0] for s in shown if s[0] == root[0] or s[3] == root[0]]
        found = {e[2]: e[3] for e in events if e[1] in pages and e[0] in ("clicked", "picked")}
        selected += bool(found)
        empty += root[2]
        ranks += found.values()
    return len(roots), selected / len(roots), fmean(ranks), empty / len(roots)


def test_metrics_equal_a_log_counted_by_hand(photos: Collection) -> None:
    log_by_hand(photos)
    found = photos.metrics()
    assert [t.variant for t in found.variants] == ["", "x:a", "x:b"]
    assert len(found.days) == 9
    for tally in (found.overall, *found.variants, *found.days):
        n, rate, rank, nothing = slow(photos, tally.day, tally.variant)
        assert tally.shown == n
        assert (tally.selection.value, tally.nothing.value) == pytest.approx((rate, nothing))
        assert tally.mean_rank is not None
        assert tally.mean_rank.value == pytest.approx(rank)
        assert tally.selection.low < rate < tally.selection.high
        assert tally.mean_rank.low <= rank <= tally.mean_rank.high
    assert found.overall.people == 3
    assert sum(found.overall.events.values()) == len(photos.events(10_000)) - 1
    later = photos.metrics(since="2026-01-02")
    assert later.overall.shown == 60
    assert later.days == found.days[3:]
    with pytest.raises(UsageError, match="is no day"):
        photos.metrics(since="yesterday")


def test_metrics_of_nothing(photos: Collection) -> None:
    found = photos.metrics()
    assert (found.overall.shown, found.variants, found.overall.mean_rank) == (0, (), None)
    assert counting.tally([]).selection.n == 0


@pytest.mark.parametrize(
    ("hits", "nothing"),
    [
        ((), True),
        ((0.1, 0.4), True),
        ((0.4, 0.6), False),
        ((None,), False),
    ],
)
def test_when_there_was_nothing(hits: tuple[float | None, ...], nothing: bool) -> None:
    found = tuple(Hit(str(i), f"{i}", 0.1, 1.0, c, "q") for i, c in enumerate(hits))
    assert recording.nothing_here(SearchResult("q", "prior", found)) == nothing
    said = (Hit("i", "i", 0.1, 1.0, 0.01, "q", said=True),)
    assert not recording.nothing_here(SearchResult("q", "prior", said))


# experiments


def simulate(photos: Collection, name: str, rates: tuple[float, float], people: int = 120) -> None:
    rng, image = np.random.default_rng(1), photos.view().ids.to_pylist()[0]
    given = [photos.assign(name, f"person {k}") for k in range(people)]
    rows = [
        Impression(query="q", hits=[{"id": image, "confidence": 1.0}], options=mine.options, variant=mine.variant,
                   person=f"person {k}")
        for k, mine in enumerate(given) for _ in range(4)
    ]  # fmt: skip
    numbers = photos.catalog.put_impressions(rows)
    photos.catalog.put_events(
        [
            Event(kind="clicked", image=image, impression=number, rank=1)
            for number, shown in zip(numbers, rows, strict=True)
            if rng.random() < rates[shown.variant.endswith("b")]
        ]
    )


def test_an_experiment_from_start_to_stop(photos: Collection) -> None:
    photos.start_experiment("words", {"expand": False}, {"expand": True, "limit": 5})
    simulate(photos, "words", (0.3, 0.6))
    found = photos.experiment("words")
    assert found.difference.significant
    assert found.difference.significant_anytime
    assert found.difference.low < 0.3 < found.difference.high
    assert found.warnings == ()
    assert found.people[0] + found.people[1] == 120
    assert (found.a.n, found.b.n) == (4 * found.people[0], 4 * found.people[1])
    assert found.needed == maths.needed(found.a.value, found.effect, design=max(found.a.design, found.b.design))
    assert found.needed_people == pytest.approx(found.needed / 4, abs=1)
    assert photos.experiment("words", effect=0.01).needed > found.needed
    assert photos.stop_experiment("words").stopped_at is not None
    assert [r.name for r in photos.experiments()] == ["words"]
    with pytest.raises(UsageError, match="was stopped"):
        photos.assign("words", "Ada")


def test_what_is_wrong_with_an_experiment_is_said(photos: Collection) -> None:
    photos.start_experiment("even", {}, {}, share=0.5)
    simulate(photos, "even", (0.4, 0.4))
    assert not photos.experiment("even").difference.significant
    for k in range(80):  # answers of b get lost, so to say
        photos.shown(SearchResult("q", "prior", ()), Context(person=f"more {k}", variant="even:a"))
    photos.shown(SearchResult("q", "prior", ()), Context(variant="even:a"))
    said = " ".join(photos.experiment("even").warnings)
    assert "unevenly" in said
    assert "not theirs" in said
    assert "nobody in particular" in said


def test_an_experiment_nobody_saw(photos: Collection) -> None:
    photos.start_experiment("new", {}, {"fold": True})
    found = photos.experiment("new")
    assert (found.needed, found.people, found.difference.low, found.difference.high) == (None, (0, 0), -1.0, 1.0)


@pytest.mark.parametrize(
    ("name", "a", "share", "words"),
    [
        ("a b", {}, 0.5, "cannot name an experiment"),
        ("x", {"expnd": True}, 0.5, "Did you mean 'expand'"),
        ("x", {}, 1.0, "between 0 and 1"),
        ("there", {}, 0.5, "already"),
    ],
)
def test_what_is_no_experiment(photos: Collection, name: str, a: dict, share: float, words: str) -> None:
    photos.start_experiment("there", {}, {})
    with pytest.raises(UsageError, match=words):
        photos.start_experiment(name, a, {}, share=share)
    with pytest.raises(UsageError, match=r"no experiment 'ther'\. Did you mean 'there'"):
        photos.assign("ther", "Ada")
    with pytest.raises(UsageError, match="needs a person"):
        photos.assign("there", "")


# learned weights


def users(photos: Collection, *, shuffled: bool = False, seed: int = 0) -> None:
    """People who like large pictures, whatever the question, and look at the first of a list."""
    rng, view = np.random.default_rng(seed), photos.view()
    ids, width = view.ids.to_pylist(), view.fact_values("width")
    like = 1 / (1 + np.exp(-(width - 34) / 6))
    shown, clicked = [], []
    for query in range(20):
        base = rng.choice(len(ids), 12, replace=False)
        for _ in range(20):
            order = base.copy()
            for place in range(int(rng.integers(2)), 11, 2):
                if rng.random() < 0.5:
                    order[[place, place + 1]] = order[[place + 1, place]]
            hits = [{"id": ids[row], "confidence": 0.5 + 0.04 * (12 - k)} for k, row in enumerate(order)]
            shown.append(Impression(query=f"Question  {query}", hits=hits, options={}))
            chosen = rng.random(12) < 0.8 * like[order] / np.arange(1, 13)
            clicked.append(np.flatnonzero(rng.permutation(chosen) if shuffled else chosen))
    photos.catalog.put_events(
        [
            Event(kind="clicked", image=answer.hits[place]["id"], impression=number)
            for number, answer, places in zip(photos.catalog.put_impressions(shown), shown, clicked, strict=True)
            for place in places
        ]
    )


def test_what_people_like_is_learned_and_put_in_use(photos: Collection) -> None:
    users(photos)
    tried = photos.learn(dry_run=True)
    assert tried.version is None
    assert photos.weights() == []
    found = photos.learn()
    assert found.learned == tried.learned
    assert found.version is not None, found.learned.reason
    kept = weights.current(photos)
    assert kept == found.learned.weights
    by_name = dict(zip(kept.names, kept.weight, strict=True))
    assert max(by_name, key=lambda n: abs(by_name[n])) == "resolution"
    assert by_name["resolution"] > 0
    (record,) = photos.weights()
    assert record.measured["gain"]["low"] > 0
    assert record.measured["groups"] == 20
    rows = np.arange(10)
    hits = features.Hits(rows, np.full(10, 0.5), np.zeros(10, bool), np.zeros(10, int))
    order = weights.reordered(photos.view(), "question", hits, kept)
    parts = weights.contributions(photos.view(), "question", hits, kept)
    assert np.argsort(-parts.sum(axis=1), kind="stable").tolist() == order.tolist()
    assert order[0] > order[-1], "the later pictures are the larger"
    hits = photos.search("question", limit=10, learned=False).hits
    reranked = weights.ranked(photos, photos.view(), "question", hits)
    assert set(reranked) == set(hits)
    assert reranked != hits
    assert weights.ranked(photos, photos.view(), "q", photos.similar(hits[0].id).hits)[0].confidence is None
    assert photos.drop_weights()
    assert weights.current(photos) is None
    assert weights.ranked(photos, photos.view(), "question", hits) == hits
    assert not photos.drop_weights()
    assert [r.weights is None for r in photos.weights()] == [False, True]


def test_shuffled_clicks_put_nothing_in_use(photos: Collection) -> None:
    users(photos, shuffled=True)
    found = photos.learn()
    assert (found.version, found.learned.applied) == (None, False)
    assert photos.weights() == []


def test_nothing_is_learned_from_nothing(photos: Collection) -> None:
    photos.shown(photos.search("red", limit=3))
    photos.shown(photos.similar(paths(photos)[0], limit=3))
    found = photos.learn()
    assert "0 different questions" in found.learned.reason
    assert found.learned.weights is None


def test_a_thumb_down_takes_a_click_back_and_gone_images_leave_ranks(photos: Collection) -> None:
    ids = photos.view().ids.to_pylist()[:3]
    hits = [{"id": image, "confidence": 0.5} for image in (ids[0], "gone", ids[1], ids[2])]
    number = photos.catalog.put_impression(Impression(query="Q", hits=hits, options={}, start=10, continues=None))
    said = (("clicked", ids[0]), ("down", ids[0]), ("picked", ids[2]), ("clicked", "gone"))
    log = [Event(kind=kind, image=image, impression=number) for kind, image in said]
    lists, _ = weights.prepared(photos.view(), photos.catalog.impressions(), log)
    assert lists.rank.tolist() == [[11, 13, 14, 0]]
    assert lists.selected.tolist() == [[0, 0, 1, 0]]


def test_features_are_what_they_say(photos: Collection) -> None:
    view = photos.view(["red"])
    rows = np.array([0, 10, 59])
    hits = features.Hits(rows, np.array([0.5, 1.0, 0.0]), np.array([True, False, False]), np.array([0, 3, 0]))
    table = features.table(view, "a RED ball", hits)
    assert table.shape == (3, len(features.NAMES))
    by_name = dict(zip(features.NAMES, table.T, strict=True))
    assert by_name["log_odds"].tolist() == [0.0, 10.0, -10.0]
    assert by_name["words"].tolist() == [1, 0, 0]
    assert by_name["copies"].tolist() == [0, 2, 0]
    assert by_name["resolution"] == pytest.approx(np.log2(4 * (4 + rows) / 1e6))
    assert by_name["overlap"] == pytest.approx(view.values("red").confidence[rows])
    assert ((by_name["recency"] >= 0) & (by_name["recency"] <= 1)).all()
    assert features.columns_in(view, "reddish, a ball") == []
    assert features.places(view, ["gone", str(view.ids[4])]).tolist() == [-1, 4]
    alone = features.table(
        view, "a RED ball", features.Hits(rows[1:2], np.array([1.0]), np.zeros(1, bool), np.array([3]))
    )
    assert np.array_equal(alone[0], table[1]), "a hit's features do not depend on its company"
    none = features.Hits(np.zeros(0, int), np.zeros(0), np.zeros(0, bool), np.zeros(0, int))
    some = Weights(features.NAMES, (0.0,) * 9, (1.0,) * 9, (1.0,) * 9)
    assert weights.reordered(view, "red", none, some).tolist() == []


# suggested negatives


def judged(photos: Collection, wrong: str, n: int = 14) -> None:
    """Answers to "red" in which pictures with much blue get a thumb down, if `wrong` is blue; else any."""
    names = paths(photos)
    blue = [p for p in names if int(Path(p).stem) % 3 == 0]
    others = [p for p in names if p not in blue]
    downs, ups = (blue[:n], others[:n]) if wrong == "blue" else (names[0 : 2 * n : 2], names[1 : 2 * n : 2])
    ids = photos.view().ids.to_pylist()
    number = photos.catalog.put_impression(
        Impression(query="Red ", hits=[{"id": i, "confidence": 0.5} for i in ids], options={})
    )
    given = [(kind, path) for path in downs for kind in ("clicked", "down")] + [("up", path) for path in ups]
    recording.record_all(photos, [Event(kind=kind, image=path, impression=number) for kind, path in given])


def test_what_thumbs_down_have_in_common_is_suggested(photos: Collection) -> None:
    judged(photos, "blue")
    found = photos.suggest_negatives("red")
    assert (found.downs, found.ups) == (14, 14)
    assert found.found[0].text == "blue"
    assert (found.found[0].origin, found.found[0].code) == ("attribute", "blue")
    assert found.found[0].separation > 0.9
    assert "red" not in {s.text for s in found.found}, "never what was asked for"


def test_thumbs_without_a_pattern_suggest_nothing(photos: Collection) -> None:
    judged(photos, "any")
    found = photos.suggest_negatives("RED")
    assert found.found == ()
    assert "none sets the thumbs down apart" in found.reason
    assert "8 of each" in photos.suggest_negatives("green").reason


def test_luck_is_suggested_seldom() -> None:
    rng, n = np.random.default_rng(0), 150
    wrong = 0
    for seed in range(n):
        tried = {(f"w{k}", None): (rng.random(12), rng.random(15)) for k in range(40)}
        wrong += bool(negatives.separating(tried, seed=seed))
    assert wrong <= 0.08 * n
    assert negatives.separating({}) == []


# the command line


@pytest.fixture
def run(photos: Collection, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    photos.close()
    monkeypatch.setattr("sextant.collection.load_model", lambda *_: FakeEncoder())
    monkeypatch.chdir(photos.folder)
    return CliRunner()


def said(run: CliRunner, *words: str) -> str:
    result = run.invoke(cli, list(words))
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_feedback_by_command(run: CliRunner, photos: Collection) -> None:
    assert "nobody gave any feedback yet" in run.invoke(cli, ["feedback", "show"]).stderr
    assert "no answer was recorded yet" in run.invoke(cli, ["feedback", "metrics"]).stderr
    log_by_hand(photos)
    photos.close()
    assert said(run, "feedback", "add", "up", "p/001.png", "--column", "red") == "p/001.png: up\n"
    added = json.loads(said(run, "feedback", "add", "down", "p/002.png", "--reason", "no", "--key", "k", "--json"))
    newest, *rest = json.loads(said(run, "feedback", "show", "-n", "3", "--json"))
    assert (newest["id"], newest["reason"], newest["kind"], len(rest)) == (added["event"], "no", "down", 2)
    assert said(run, "feedback", "show", "--csv").startswith("id,at,kind")
    assert "down" in said(run, "feedback", "show")
    *variants, overall = json.loads(said(run, "feedback", "metrics", "--json"))
    assert (len(variants), overall["shown"], overall["variant"]) == (3, 90, None)
    assert overall["selection"]["low"] < overall["selection"]["value"]
    assert said(run, "feedback", "metrics", "--by", "day", "--csv").count("\n") == 11
    assert "x:a" in said(run, "feedback", "metrics", "--since", "2026-01-02")
    assert run.invoke(cli, ["feedback", "add", "liked", "p/001.png"]).exit_code == 2
    assert run.invoke(cli, ["feedback", "metrics", "--since", "then"]).exit_code == 2


def test_learning_by_command(run: CliRunner, photos: Collection) -> None:
    assert "nothing was learned yet" in run.invoke(cli, ["feedback", "weights", "show"]).stderr
    assert said(run, "feedback", "learn").startswith("not used: 0 different questions")
    users(photos)
    photos.close()
    assert said(run, "feedback", "learn", "--dry-run").startswith("would be used: ranks better")
    learned = json.loads(said(run, "feedback", "learn", "--json"))
    assert (learned["applied"], learned["version"]) == (True, 1)
    assert learned["gain"]["low"] > 0
    assert "resolution" in said(run, "feedback", "weights", "show")
    assert said(run, "feedback", "weights", "drop") == "dropped\n"
    assert json.loads(said(run, "feedback", "weights", "drop", "--json")) == {"dropped": False}
    assert "dropped" in said(run, "feedback", "weights", "show")
    assert json.loads(said(run, "feedback", "weights", "show", "--json"))[0]["measured"]["ndcg_at"] == 10


def test_negatives_by_command(run: CliRunner, photos: Collection) -> None:
    assert "8 of each" in run.invoke(cli, ["feedback", "negatives", "red"]).stderr
    judged(photos, "blue")
    photos.close()
    assert "blue" in said(run, "feedback", "negatives", "red")
    assert json.loads(said(run, "feedback", "negatives", "red", "--json"))["found"][0]["code"] == "blue"


def test_experiments_by_command(run: CliRunner, photos: Collection) -> None:
    assert "no experiment yet" in run.invoke(cli, ["experiment", "show"]).stderr
    assert said(run, "experiment", "start", "words", "--a", "expand=off", "--b", '{"limit": 5}') == "words: started\n"
    assert json.loads(said(run, "experiment", "show", "--json"))[0]["a"] == {"expand": False}
    given = json.loads(said(run, "experiment", "assign", "words", "Ada", "--json"))
    assert given == {
        "experiment": "words", "variant": f"words:{maths.assigned('words', 'Ada')}",
        "options": {"a": {"expand": False}, "b": {"limit": 5}}[maths.assigned("words", "Ada")],
    }  # fmt: skip
    assert "words:" in said(run, "experiment", "assign", "words", "Ada")
    simulate(photos, "words", (0.3, 0.6))
    photos.close()
    assert "however often somebody looks" in said(run, "experiment", "show", "words")
    shown = json.loads(said(run, "experiment", "show", "words", "--effect", "0.05", "--json"))
    assert (shown["significant"], shown["anytime"], shown["effect"]) == (True, True, 0.05)
    assert "words" in said(run, "experiment", "show")
    assert "stopped at" in said(run, "experiment", "stop", "words")
    for wrong in ("expand", "=1", "{", "expnd=on"):
        assert run.invoke(cli, ["experiment", "start", "x", "--a", wrong, "--b", ""]).exit_code == 2
