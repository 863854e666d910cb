"""The second look keeps its limits: calls, time, money, and one answer for one question."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chats import GOOD, Chats, chat, in_turns, slow
from loopback import PNG, running, send
from sextant.catalog import Catalog
from sextant.curate.second import AT_ONCE, DOWN_AFTER, Looked, SecondLook, look
from sextant.errors import UsageError
from sextant.vlm import Endpoint

PICTURES = [(f"{n:032x}", lambda: PNG) for n in range(12)]


@pytest.fixture
def server() -> Iterator[Chats]:
    with running(Chats()) as server:
        yield server  # type: ignore[misc]


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = Catalog.beside(tmp_path / "catalog.db")
    yield catalog
    catalog.close()


def looked(catalog: Catalog, server: Chats, top: int = 6, query: str = "a duck", **limits: object) -> Looked:
    endpoint = Endpoint(server.base, "m", None, float(limits.pop("each", 5.0)))  # type: ignore[arg-type]
    return look(catalog, SecondLook(endpoint, top, **limits), query, PICTURES)  # type: ignore[arg-type]


def test_at_most_the_top_are_asked_about_and_a_second_run_asks_nothing(catalog: Catalog, server: Chats) -> None:
    first = looked(catalog, server)
    assert (first.calls, first.cached, len(first.verdicts), len(server.bodies)) == (6, 0, 6, 6)
    assert sorted(first.verdicts) == [image for image, _ in PICTURES[:6]]
    assert first.tokens == [6000, 300]
    second = looked(catalog, server)
    assert (second.calls, second.cached, second.verdicts) == (0, 6, first.verdicts)
    assert len(server.bodies) == 6
    more = looked(catalog, server, top=8)
    assert (more.calls, more.cached) == (2, 6)
    other = looked(catalog, server, query="a goose")
    assert (other.calls, other.cached) == (6, 0)


def test_a_failure_is_not_kept_and_is_asked_again(catalog: Catalog, server: Chats) -> None:
    server.say(in_turns(chat("no"), chat()))
    first = looked(catalog, server, top=3)
    assert (first.calls, len(first.verdicts)) == (3, 2)
    assert list(first.failures.values()) == ["the model answered in prose, not in JSON"]
    second = looked(catalog, server, top=3)
    assert (second.calls, second.cached, len(second.verdicts)) == (1, 2, 3)


def test_an_endpoint_that_is_down_is_left_alone_after_a_few_failures(catalog: Catalog, server: Chats) -> None:
    server.say(send(b"", "application/json", 503))
    found = looked(catalog, server, top=12)
    assert not found.verdicts
    assert len(found.failures) == 12
    assert DOWN_AFTER <= found.calls < DOWN_AFTER + AT_ONCE
    assert "the endpoint is not asked any more: it failed every time" in found.failures.values()


def test_calls_have_a_cap(catalog: Catalog, server: Chats) -> None:
    found = looked(catalog, server, calls=2)
    assert (found.calls, len(found.verdicts), len(server.bodies)) == (2, 2, 2)
    assert set(found.failures.values()) == {"the 2 calls that were allowed are used up"}
    assert looked(catalog, server, calls=0, query="x").calls == 0


def test_money_has_a_cap_that_is_never_passed(catalog: Catalog, server: Chats) -> None:
    # a call costs 1000 · 10 + 50 · 20 = 11,000 millionths, and is taken to cost 2500 · 10 + 300 · 20 = 31,000
    found = looked(catalog, server, top=12, price=(10.0, 20.0), budget=0.064)
    assert found.money == pytest.approx(0.011 * found.calls)
    assert found.money is not None
    assert found.money <= 0.064
    assert found.calls == 4  # with a fifth 0.044 + 0.031 could be more
    assert set(found.failures.values()) == {"the budget of 0.064 is used up"}
    assert looked(catalog, server, query="x", price=(10.0, 20.0), budget=0.03).calls == 0
    server.say(chat(GOOD, usage=None))  # nobody counted: taken to be as dear as any
    assert looked(catalog, server, query="y", price=(10.0, 20.0), budget=0.064).calls == 2


def test_all_calls_together_have_an_end(catalog: Catalog, server: Chats) -> None:
    server.say(slow(0.3))
    found = looked(catalog, server, top=12, seconds=0.45)
    assert found.calls < 12
    assert len(found.verdicts) + len(found.failures) == 12
    assert "the 0.45 s for all calls were over" in found.failures.values()


def test_a_picture_that_is_gone_costs_no_call_of_the_others(catalog: Catalog, server: Chats) -> None:
    def gone() -> bytes:
        raise OSError("gone")

    endpoint = Endpoint(server.base, "m")
    found = look(catalog, SecondLook(endpoint), "a duck", [("a" * 32, gone), ("b" * 32, lambda: PNG)])
    assert list(found.verdicts) == ["b" * 32]
    assert found.failures == {"a" * 32: "the picture could not be read again: gone"}


@pytest.mark.parametrize("limits", [{"top": 0}, {"seconds": 0}, {"calls": -1}, {"budget": 1.0},
                                    {"price": (1.0, 1.0), "budget": -1.0}, {"price": (-1.0, 1.0)}])  # fmt: skip
def test_limits_that_cannot_be(limits: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        SecondLook(Endpoint("http://h", "m"), **limits)  # type: ignore[arg-type]
