"""One model asked about one picture by a real endpoint on this machine: good, slow, down, in prose, wrong, endless."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chats import GOOD, Chats, chat, slow
from loopback import PNG, leads_to, running, send, trickle
from sextant import vlm
from sextant.errors import UsageError
from sextant.vlm import Endpoint, Failure, Reply, Verdict, Vlm

KEY = "sk-verysecret"
SAID = Verdict(8.0, True, "side", 0.5, 6.5, "A clear side view.")


@pytest.fixture
def server() -> Iterator[Chats]:
    with running(Chats()) as server:
        yield server  # type: ignore[misc]


def asked(server: Chats, seconds: float = 60.0) -> Reply | Failure:
    return Vlm(Endpoint(server.base, "gemma3", KEY, seconds)).judge("What is it?", PNG)


def test_the_request_has_the_schema_and_the_picture_inside(server: Chats) -> None:
    assert asked(server) == Reply(SAID, (1000, 50))
    ((path, headers),) = server.asked
    body = json.loads(server.bodies[0])
    assert (path, headers["Authorization"]) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert (body["model"], body["temperature"]) == ("gemma3", 0)
    assert body["response_format"]["type"] == "json_schema"
    assert body["response_format"]["json_schema"]["schema"] == vlm.SCHEMA
    words, picture = body["messages"][0]["content"]
    assert words == {"type": "text", "text": "What is it?"}
    head, _, data = picture["image_url"]["url"].partition(",")
    assert (head, base64.b64decode(data)) == ("data:image/jpeg;base64", PNG)
    assert pytest.approx((3 * 8 + 6.5) / 40) == SAID.value


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (chat("It is a lovely duck."), "the model answered in prose, not in JSON"),
        (chat(f"Sure! {json.dumps(GOOD)}"), "the model answered in prose, not in JSON"),
        (chat({**GOOD, "relevance": 11}), "the model's 'relevance' is not a number from 0 to 10"),
        (chat({**GOOD, "relevance": True}), "the model's 'relevance' is not a number from 0 to 10"),
        (chat({**GOOD, "fill": "half"}), "the model's 'fill' is not a number from 0 to 1"),
        (chat('{"relevance": NaN, "single_subject": true, "view": "side", "fill": 0, "quality": 1}'),
         "the model's 'relevance' is not a number from 0 to 10"),
        (chat({**GOOD, "view": "from Mars"}), "the model's 'single_subject' or 'view' is none of what was asked for"),
        (chat({"relevance": 8}), "the model's answer has no 'single_subject'"),
        (chat([GOOD]), "the model's answer is not a JSON object"),
        (chat(None), "the model gave no text"),
        (chat("[" * 100_000), "the model answered in prose, not in JSON"),
        (send(b'{"choices": []}', "application/json"), "the endpoint's answer is not that of a chat completion"),
        (send(b"[]", "application/json"), "the endpoint's answer is not that of a chat completion"),
        (send(b"{", "application/json"), "the endpoint's answer is not that of a chat completion"),
        (send(b"<html>", "text/html"), "the server sent 'text/html', not application/json"),
        (send(b"{}", "application/json", 500), "the server answered 500 Internal Server Error"),
        (send(KEY.encode(), "application/json", 401), "the server answered 401 Unauthorized"),
        (leads_to("http://127.0.0.1:1/"), "it redirects more than 0 times"),
    ],
)  # fmt: skip
def test_nonsense_is_a_reason_and_no_exception(server: Chats, said: object, reason: str) -> None:
    server.say(said)  # type: ignore[arg-type]
    found = asked(server)
    assert isinstance(found, Failure)
    assert found.reason == reason


def test_an_endless_answer_a_trickle_and_a_slow_one_end_in_time(server: Chats) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    server.say(trickle(head, b" " * 65536, 0.0))
    assert asked(server) == Failure("it is larger than 1 MiB")
    server.say(trickle(head, b" ", 0.05))
    assert asked(server, 0.4) == Failure("it took too long in all")
    server.say(trickle(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", 0.05))
    assert asked(server, 0.4) == Failure("it took too long in all")
    server.say(slow(2.0))
    assert isinstance(asked(server, 0.4), Failure)


def test_nobody_there_is_a_reason(server: Chats) -> None:
    found = Vlm(Endpoint("http://127.0.0.1:9", "m")).judge("?", PNG)
    assert isinstance(found, Failure)
    assert found.reason.startswith("the connection failed")


def test_a_fenced_answer_and_one_without_usage_count(server: Chats) -> None:
    server.say(chat(f"```json\n{json.dumps(GOOD)}\n```", usage={"prompt_tokens": "many"}))
    assert asked(server) == Reply(SAID, None)


@pytest.mark.parametrize(
    ("url", "asked_at"),
    [("http://h:1", "http://h:1/v1/chat/completions"), ("http://h/v1/", "http://h/v1/chat/completions"),
     ("https://h/api/v1", "https://h/api/v1/chat/completions"),
     ("http://h/v1/chat/completions", "http://h/v1/chat/completions")],
)  # fmt: skip
def test_an_endpoint_is_named_with_or_without_its_path(url: str, asked_at: str) -> None:
    assert Endpoint(url, "m").completions == asked_at


@pytest.mark.parametrize(
    ("url", "model", "key"),
    [("file:///x", "m", None), ("http://u:secretpass@h", "m", None), ("http://h", " ", None),
     ("http://h", "m", "two words\n")],
)  # fmt: skip
def test_endpoints_that_cannot_be_and_no_secret_in_the_message(url: str, model: str, key: str | None) -> None:
    with pytest.raises(UsageError) as error:
        Endpoint(url, model, key)
    assert "secretpass" not in str(error.value)
    assert "two words" not in str(error.value)


def test_a_key_is_in_no_repr() -> None:
    assert KEY not in repr(Endpoint("http://h", "m", KEY))


def test_an_answer_is_kept_by_its_question() -> None:
    one, other = vlm.prompt_hash(vlm.prompt_for("a duck")), vlm.prompt_hash(vlm.prompt_for("a duck", "a mould"))
    assert one == vlm.prompt_hash(vlm.prompt_for("a duck"))
    assert one != other


def test_half_a_character_in_a_note_is_replaced() -> None:
    found = vlm.verdict(json.dumps({**GOOD, "note": "a \ud800 duck"}))
    assert isinstance(found, Verdict)
    assert found.note == "a ? duck"


NAMES = st.sampled_from([*GOOD, "choices", "message", "content", "usage"])
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner),
)


@given(JSON)
def test_whatever_comes_is_read(value: object) -> None:
    assert isinstance(vlm.read(json.dumps(value).encode()), (Reply, Failure))
    assert isinstance(vlm.verdict(json.dumps(value)), (Verdict, str))
