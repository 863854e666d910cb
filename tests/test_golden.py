"""Golden sets: files read with every problem, answers measured as by hand, baselines, and the demo's own set."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import sextant
import sextant.demo
from fakes import FakeEncoder, opened, pictures, vocabulary
from sextant import golden
from sextant.cli import cli
from sextant.collection import Collection
from sextant.demo import scenes
from sextant.errors import ExchangeError, UsageError
from sextant.golden import GoldenReport, Measured
from sextant.maths.ranking import Measures

DEMO = Path(sextant.demo.__file__).with_name("golden.yaml")
BASELINE = Path(__file__).with_name("golden_baseline.json")
GOOD = """
k: 2
queries:
  - {query: red, rule: red}
  - {query: a red or yellow thing, paths: [p/red.png, p/yellow.png], k: 3, note: by path}
  - {query: xyz, nothing: true}
"""


@pytest.fixture
def photos(tmp_path: Path) -> Iterator[Collection]:
    """Five pictures of one colour each, tagged and labelled for red."""
    pictures(tmp_path / "p", "red", "yellow", "orange", "blue", "green")
    with opened(tmp_path, FakeEncoder()) as collection:
        collection.add(tmp_path / "p")
        collection.tag(vocabulary(tmp_path))
        for name, value in {"red": True, "orange": True, "blue": False, "green": False}.items():
            collection.label(f"p/{name}.png", "red", value)
        yield collection


def written(folder: Path, text: str, name: str = "golden.yaml") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


# the file


def test_a_file_is_read(tmp_path: Path) -> None:
    found = golden.load(written(tmp_path, "name: mine\ntruth: t.csv\n" + GOOD))
    assert (found.name, found.truth, found.k, len(found.queries)) == ("mine", tmp_path / "t.csv", 2, 3)
    red, both, nothing = found.queries
    assert (red.text, red.rule, red.k, red.line, red.nothing) == ("red", "red", None, 6, False)
    assert (both.paths, both.k, both.note) == (("p/red.png", "p/yellow.png"), 3, "by path")
    assert (nothing.nothing, nothing.rule) == (True, None)
    assert found.codes() == ("red",)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("queries: []", 1, "no queries"),
        ("k: 3", 1, "no queries"),
        ("queries:\n- {rule: a}", 2, "a query without a text"),
        ("queries:\n- {query: a}", 2, "exactly one of rule, paths, nothing, not 0"),
        ("queries:\n- {query: a, rule: b, nothing: true}", 2, "exactly one of rule, paths, nothing, not 2"),
        ("queries:\n- {query: a, nothing: maybe}", 2, "nothing can only be true"),
        ("queries:\n- {query: a, rule: b and}", 2, "rule: Rule, position"),
        ("queries:\n- {query: a, rule: ''}", 2, "the rule is empty"),
        ("queries:\n- {query: a, rule: b, where: 'width >'}", 2, "where: Rule, position"),
        ("queries:\n- {query: a, paths: b.jpg}", 2, "paths must be a list"),
        ("queries:\n- {query: a, paths: []}", 2, "paths must be a list"),
        ("queries:\n- {query: a, rule: b, k: 0}", 2, "k is 0, but must be a number above 0"),
        ("queries:\n- {query: a, rule: b, k: 1.5}", 2, "whole number"),
        ("queries:\n- {query: a, rule: b, ruel: c}", 2, "unknown key 'ruel' in the query. Did you mean 'rule'"),
        ("queries:\n- {query: a, rule: b}\n\n- {query: a, rule: c}", 4, "stands on line 2 as well"),
        ("query: [a]", 1, "unknown key 'query' in the golden set. Did you mean 'queries'"),
        ("queries: ]", 1, "not valid YAML"),
        ("- a", 1, "the golden set must be a mapping"),
    ],
)
def test_every_problem_is_named_with_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(UsageError) as raised:
        golden.load(file)
    assert any(said.startswith(f"{file}:{line}: ") and words in said for said in str(raised.value).splitlines())


def test_all_problems_are_reported_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        golden.load(written(tmp_path, "queries:\n- {query: a}\n- {rule: b}\n- {query: c, rule: d, k: x}"))
    assert [said.split(":")[1] for said in str(raised.value).splitlines()] == ["2", "3", "4"]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        golden.load(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        golden.load(tmp_path / "bytes.yaml")


# measures


def test_answers_are_measured_against_labels_and_paths(photos: Collection) -> None:
    report = photos.golden(written(photos.folder, GOOD))
    red, both, nothing = report.queries
    assert (red.k, red.relevant, red.measures) == (2, 2, Measures(1, 1, 1, 1, 1))  # yellow is not judged: passed over
    assert both.measures is not None
    assert (both.k, both.relevant, both.measures.recall, both.measures.hit) == (3, 2, 1, 1)
    assert both.measures.precision == pytest.approx(2 / 3)
    assert nothing.best is not None
    assert (nothing.measures, nothing.quiet) == (None, nothing.best < 0.5)
    assert report.means["recall"].value == 1
    assert report.quiet is not None
    assert report.quiet.value == float(nothing.best < 0.5)
    assert photos.golden(photos.folder / "golden.yaml", k=1).queries[0].measures == Measures(1, 0.5, 1, 1, 1)


def test_a_truth_file_is_taken_instead_of_labels(photos: Collection) -> None:
    lines = [{"path": f"p/{c}.png", "attributes": [c, "bright"]} for c in ("red", "yellow", "blue", "orange", "green")]
    (photos.folder / "truth.jsonl").write_text("\n".join(map(json.dumps, lines)))
    text = "truth: truth.jsonl\nk: 1\nqueries:\n- {query: blue, rule: blue}\n- {query: red, rule: bright and not red}"
    blue, wrong = photos.golden(written(photos.folder, text)).queries
    assert (blue.relevant, blue.measures) == (1, Measures(1, 1, 1, 1, 1))
    assert (wrong.relevant, wrong.measures) == (4, Measures(0, 0, 0, 0, 0))


def test_a_filter_narrows_what_is_right(photos: Collection) -> None:
    text = "queries:\n- {query: red, rule: red, where: \"name != 'red.png'\"}"
    (only,) = photos.golden(written(photos.folder, text)).queries
    assert (only.relevant, only.measures and only.measures.recall) == (1, 1)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{query: red, rule: rde}", "line 3, query 'red': Rule, position 1: unknown name 'rde'. Did you mean 'red'"),
        ("{query: red, paths: [p/none.png]}", "line 3, query 'red': no image 'p/none.png'"),
        ("{query: red, rule: red, where: widht > 1}", "Did you mean 'width'"),
        ("{query: red, rule: green}", "no query could be measured; 'red', line 3: no image here is known to be right"),
    ],
)
def test_what_the_collection_does_not_have_is_named(photos: Collection, entry: str, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        photos.golden(written(photos.folder, f"k: 1\nqueries:\n- {entry}"))
    assert words in str(raised.value)


def test_a_query_without_right_answers_is_passed_over(photos: Collection) -> None:
    report = photos.golden(written(photos.folder, "queries:\n- {query: red, rule: red}\n- {query: g, rule: green}"))
    assert len(report.queries) == 1
    assert report.passed_over == ("'g', line 3: no image here is known to be right",)


def test_intervals_hold_the_mean_and_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        (found,) = golden._estimates(rng.random((30, 1)))
        assert found.low < found.value < found.high
        covered += found.low <= 0.5 <= found.high
    assert covered >= 178


# baselines


def report(**recalls: float) -> GoldenReport:
    rows = [Measured(text, 10, 3, Measures(r, r, 1, r, 1), None, 0.5) for text, r in recalls.items()]
    return golden._report("set", [*rows, Measured("nothing", 10, 0, None, True, 0.1)], ())


def test_a_fall_below_the_baseline_is_a_regression(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    golden.write_baseline(report(a=0.5, b=0.7), file)
    assert golden.compare(report(a=0.5, b=0.7), file).regressed == ()
    assert golden.compare(report(a=0.49, b=0.69), file).regressed == ()
    fallen = golden.compare(report(a=0.4, b=0.7), file).regressed
    assert [r.measure for r in fallen] == ["precision", "recall", "ndcg"]
    assert (fallen[0].value, fallen[0].baseline) == (pytest.approx(0.55), pytest.approx(0.6))
    assert golden.compare(report(a=0.4, b=0.7), file, tolerance=0.1).regressed == ()
    loud = golden._report("set", [Measured("nothing", 10, 0, None, False, 0.9)], ())
    assert [r.measure for r in golden.compare(loud, file).regressed] == ["quiet"]


def test_only_the_same_queries_are_compared(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    golden.write_baseline(report(a=0.5, b=0.9), file)
    found = golden.compare(report(a=0.5, c=0.1), file)
    assert (found.regressed, set(found.changed)) == ((), {"b", "c"})
    other = golden._report("set", [Measured("z", 10, 1, Measures(1, 1, 1, 1, 1), None, 1.0)], ())
    with pytest.raises(ExchangeError, match="no query in common"):
        golden.compare(other, file)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2, "queries": []}', '{"format": 1, "queries": [{}]}'])
def test_what_is_no_baseline(tmp_path: Path, text: str) -> None:
    with pytest.raises(ExchangeError, match="baseline"):
        golden.compare(report(a=1), written(tmp_path, text, "b.json"))
    with pytest.raises(ExchangeError, match="cannot be read"):
        golden.compare(report(a=1), tmp_path / "none.json")


@pytest.mark.parametrize("value", ["x", [], {}, 10**400])
def test_a_baseline_whose_figure_is_no_number_is_refused(tmp_path: Path, value: object) -> None:
    row = {"query": "a", "k": 10, "relevant": 3, "recall": value}
    file = written(tmp_path, json.dumps({"format": 1, "queries": [row]}), "b.json")
    with pytest.raises(ExchangeError, match="its recall is no number"):
        golden.compare(report(a=1), file)


# the command line


def test_evaluate_golden_by_command(photos: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    written(photos.folder, GOOD)
    photos.close()
    monkeypatch.setattr("sextant.collection.load_model", lambda *_: FakeEncoder())
    monkeypatch.chdir(photos.folder)
    run = CliRunner()
    first = run.invoke(cli, ["evaluate", "--golden", "golden.yaml", "--write-baseline", "b.json"])
    assert first.exit_code == 0, first.stderr
    assert "mean" in first.stdout
    assert "of 1 queries about nothing here" in first.stderr
    same = run.invoke(cli, ["evaluate", "--golden", "golden.yaml", "--baseline", "b.json", "--json"])
    assert (same.exit_code, json.loads(same.stdout)["regressed"]) == (0, [])
    written(photos.folder, GOOD.replace("query: red,", "query: blue,"))
    held = json.loads((photos.folder / "b.json").read_text())
    held["queries"][0]["query"] = "blue"
    (photos.folder / "b.json").write_text(json.dumps(held))
    worse = run.invoke(cli, ["evaluate", "--golden", "golden.yaml", "--baseline", "b.json"])
    assert worse.exit_code == 1
    assert "REGRESSED: recall" in worse.stderr
    assert run.invoke(cli, ["evaluate", "--golden", "golden.yaml", "--csv"]).stdout.startswith("query,k,relevant")
    assert run.invoke(cli, ["evaluate", "red", "--golden", "golden.yaml"]).exit_code == 2
    assert run.invoke(cli, ["evaluate", "--k", "3"]).exit_code == 2


# the demo


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """Three hundred drawn pictures, embedded by `mini`, beside the demo's golden set."""
    folder = tmp_path_factory.mktemp("golden")
    scenes.collection(folder / "pictures", 300, seed=scenes.DEMO_SEEDS.start, size=128, processes=1)
    shutil.copy(DEMO, folder)
    with sextant.open(folder, create=True, model="mini", precision="fp32") as photos:
        photos.add(folder / "pictures")
        yield photos


def test_the_demos_set_is_large_and_mixed() -> None:
    found = golden.load(DEMO)
    assert sum(not q.nothing for q in found.queries) >= 30
    assert sum(q.nothing for q in found.queries) >= 10
    assert all(code in {*scenes.ATTRIBUTES, *scenes.DERIVED} for code in found.codes())


def test_the_search_of_the_demo_is_no_worse_than_before(drawn: Collection) -> None:
    """After a change for the better: sextant evaluate --golden golden.yaml --write-baseline, into this folder."""
    report = drawn.golden(drawn.folder / "golden.yaml", baseline=BASELINE)
    assert report.changed == ()
    assert report.passed_over == ()
    assert report.regressed == ()


def test_a_search_that_is_broken_would_be_noticed(drawn: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    from sextant import find

    whole = find.search

    def backwards(*arguments: object) -> sextant.SearchResult:
        found = whole(*arguments)  # type: ignore[arg-type]
        return type(found)(found.query, found.state, found.hits[::-1][:5])

    monkeypatch.setattr(find, "search", backwards)
    report = drawn.golden(drawn.folder / "golden.yaml", baseline=BASELINE)
    assert {r.measure for r in report.regressed} >= {"recall", "ndcg"}
