"""Pictures from the web as plain files with their sources, fetched once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from fakes import FakeEncoder, opened, picture
from loopback import HERE, PNG, Server, png, running, send
from sextant import fetch
from sextant.cli import cli
from sextant.fetch import Fetcher
from sextant.gather import folder_of, gather
from sextant.types import Skipped
from sextant.walk import Candidate


@pytest.fixture
def server() -> Iterator[Server]:
    with running(Server()) as server:
        server.answers["/red"] = send(PNG, Link="<https://example.org/licence>; rel=license")
        server.answers["/again"] = send(PNG)
        server.answers["/blue"] = send(png("blue"))
        server.answers["/page"] = send(b"<html></html>", "text/html")
        yield server


def sources(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "downloads" / "sources.jsonl").read_text().splitlines()]


def test_urls_become_files_named_by_host_and_hash_and_rows_of_the_collection(server: Server, tmp_path: Path) -> None:
    encoder = FakeEncoder()
    photos = opened(tmp_path, encoder)
    urls = [server.url(path) for path in ("/red", "/page", "/blue", "/again", "/red")]
    report = photos.add(*urls, picture(tmp_path / "p" / "green.png", "green"), fetcher=Fetcher(HERE))
    assert (report.added, report.encoded) == (3, 3)
    assert report.skipped == (Skipped(server.url("/page"), "the server sent 'text/html', not an image"),)
    (row,) = photos.search("red").hits[:1]
    assert row.path == f"downloads/127.0.0.1/{row.id}.png"
    assert (tmp_path / row.path).read_bytes() == PNG
    known = {source["url"]: source for source in sources(tmp_path)}
    assert set(known) == {server.url(path) for path in ("/red", "/blue", "/again")}
    red = known[server.url("/red")]
    assert (red["path"], red["id"], red["licence"]) == (row.path, row.id, "https://example.org/licence")
    assert red["final"] == red["url"]
    assert str(red["at"]).endswith("+00:00")
    assert known[server.url("/again")]["path"] == row.path


def test_a_second_run_asks_for_nothing_that_is_there(server: Server, tmp_path: Path) -> None:
    photos = opened(tmp_path)
    urls = [server.url("/red"), server.url("/blue")]
    photos.add(*urls, fetcher=Fetcher(HERE))
    again = photos.add(*urls)
    assert (again.added, again.unchanged, again.encoded) == (0, 2, 0)
    assert len(server.asked) == 2
    (gone,) = (s["path"] for s in sources(tmp_path) if s["url"] == urls[0])
    (tmp_path / str(gone)).unlink()
    assert photos.add(*urls, fetcher=Fetcher(HERE)).unchanged == 2
    asked = [path for path, _ in server.asked]
    assert (sorted(asked[:2]), asked[2:]) == (["/blue", "/red"], ["/red"])  # fetched side by side, in any order


def test_a_record_that_was_cut_short_or_tampered_with_costs_a_fetch_and_no_more(server: Server, tmp_path: Path) -> None:
    list(gather([server.url("/red")], tmp_path, Fetcher(HERE)))
    record = tmp_path / "downloads" / "sources.jsonl"
    whole = record.read_text()
    (tmp_path / "secret").write_bytes(b"12")
    lines = [
        json.dumps({"url": server.url("/blue"), "path": path, "bytes": 2}) for path in ("../secret", "secret", "", 7)
    ]
    record.write_text("\n".join([*lines, "[]", "null", whole.strip(), '{"url": "http://cut']))
    found = list(gather([server.url("/red"), server.url("/blue")], tmp_path, Fetcher(HERE)))
    assert sorted(path for path, _ in server.asked) == ["/blue", "/red"]
    assert all(isinstance(f, Candidate) and f.name.startswith("downloads/127.0.0.1/") for f in found)
    assert json.loads(record.read_text().splitlines()[-1])["url"] == server.url("/blue")


def test_answers_come_in_the_order_asked_and_few_are_under_way_at_once(server: Server, tmp_path: Path) -> None:
    urls = [server.url(f"/{n}") for n in range(12)]
    for n in range(12):
        server.answers[f"/{n}"] = send(png(f"rgb({n * 20}, 9, 9)"))
    found = gather(urls, tmp_path, Fetcher(HERE))
    first = next(found)
    found.close()  # type: ignore[attr-defined]
    assert isinstance(first, Candidate)
    assert len(server.asked) < 8
    names = [f.name for f in gather(urls, tmp_path, Fetcher(HERE)) if isinstance(f, Candidate)]
    assert names[0] == first.name
    assert len(set(names)) == 12


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("https://Example.ORG:8080/a/b.jpg", "example.org"),
        ("https://bücher.example/x", "xn--bcher-kva.example"),
        ("http://[::1]/x", "--1"),
        ("http://../x", "host"),
        ("http://.hidden/x", "hidden"),
        ("http://a_b%2fc/x", "a-b-2fc"),
        ("http://" + "a" * 300, "a" * 100),
        ("http://[/", "host"),
    ],
)
def test_a_host_becomes_the_name_of_one_plain_folder(url: str, folder: str) -> None:
    assert folder_of(url) == folder.strip(".-")


def test_the_command_line_takes_urls_and_refuses_private_ones(tmp_path: Path, server: Server) -> None:
    (tmp_path / "urls.txt").write_text(f"{server.url('/red')}\nhttp://169.254.169.254/latest/meta-data\n")
    line = ["-C", str(tmp_path), "add", "--from", str(tmp_path / "urls.txt"), "http://localhost/x.png"]
    result = CliRunner().invoke(cli, [*line, "--model", "hash", "--json"])
    assert result.exit_code == 1
    reasons = [s["reason"] for s in json.loads(result.stdout)["skipped"]]
    assert reasons[0].endswith("the address of localhost is not on the public internet")
    assert reasons[1].startswith(f"port {server.server_port} is refused")
    assert reasons[2] == "169.254.169.254 is not on the public internet"
    assert server.asked == []
    assert not (tmp_path / "downloads").exists()


def test_the_default_fetcher_is_the_strict_one() -> None:
    assert Fetcher().policy.allows is fetch.is_public
    assert Fetcher().policy.ports == fetch.PORTS
