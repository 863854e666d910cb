"""Answers of endpoints in the form of OpenAI: good ones, and every bad one that has been seen."""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

from loopback import Answer, Server, send

GOOD: dict[str, Any] = {
    "relevance": 8,
    "single_subject": True,
    "view": "side",
    "fill": 0.5,
    "quality": 6.5,
    "note": "A clear side view.",
}
TOKENS = {"prompt_tokens": 1000, "completion_tokens": 50}


def chat(content: object = GOOD, usage: object = TOKENS) -> Answer:
    """A completion whose message is this text, or this value as JSON."""
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}], "usage": usage}
    return send(json.dumps(body).encode(), "application/json")


def slow(seconds: float) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)
        chat()(request)

    return answer


def in_turns(*answers: Answer) -> Answer:
    """One answer after another, the last again and again."""
    left = list(answers)

    def answer(request: BaseHTTPRequestHandler) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(request)

    return answer


class Chats(Server):
    """An endpoint that gives one answer to everybody."""

    def __init__(self, answer: Answer | None = None) -> None:
        super().__init__()
        self.answers["/v1/chat/completions"] = answer or chat()

    @property
    def base(self) -> str:
        return self.url("")

    def say(self, answer: Answer) -> None:
        self.answers["/v1/chat/completions"] = answer
