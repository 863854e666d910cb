"""The API against its own description: schemathesis makes up requests, and every answer must be one that is described.

No answer is an error of the server, and each has a status, a kind of content and a shape that its address announces.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
import uvicorn
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis.errors import Unsatisfiable

from fakes import VOCABULARY, many, opened, pictures
from sextant.feedback.recording import Context
from sextant.vocabulary import parse
from sextant.web import server
from sextant.web.app import application

schemathesis = pytest.importorskip("schemathesis", reason="pip install schemathesis tries the API by its description")
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.specs.openapi import checks  # noqa: E402

EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "20"))
"""Requests made up for each address and method, of those that are described and of those that are not."""
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


@dataclass
class Served:
    """A served collection, and its description, in which addresses name what there is."""

    address: str
    schema: Any

    def hold(self, operation: Any, mode: GenerationMode) -> set[int]:
        """Asks what is made up for one address and method, and checks every answer; the statuses of all of them."""
        statuses = set()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def held(case: Any) -> None:
            assume(len(urlencode(case.query or {}, doseq=True)) < server.HEAD_BYTES - 4096)
            statuses.add(case.call_and_validate(base_url=self.address, checks=CHECKS).status_code)

        try:
            held()
        except Unsatisfiable:  # there is nothing that such a request could do wrong
            assert mode is GenerationMode.NEGATIVE
            assert not operation.body and not list(operation.query)  # noqa: PT018
        return statuses


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("made") / "photos"
    pictures(folder, "red", "green", "blue")
    many(folder / "many", 12)
    with opened(folder) as photos:
        photos.add(folder)
        photos.tag(parse(VOCABULARY, "vocabulary.yaml"))
        photos.shown(photos.search("red"), Context(person="ada"))
        photos.start_experiment("fold", {"diversity": 0.0}, {"diversity": 0.5})
        app = application([photos])
        document = described(app.openapi(), image=photos.view().ids[0].as_py())
        listener = server.listening("127.0.0.1", 0)
        running = uvicorn.Server(server.config(app))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", schemathesis.openapi.from_dict(document))
        running.should_exit = True
        thread.join(60)
        listener.close()


def described(document: dict[str, Any], **names: str) -> dict[str, Any]:
    there = {"collection": "photos", "code": "red", "name": "fold", **names}
    for methods in document["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and parameter["name"] in there:
                    parameter["schema"] = {"type": "string", "enum": [there[parameter["name"]]] * 3 + ["nothing"]}
    return document


def operations(schema: Any, *, reading: bool) -> list[Any]:
    found = [result.ok() for result in schema.get_all_operations()]
    return [operation for operation in found if (operation.method.upper() == "GET") == reading]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("reading", [True, False], ids=["reading", "writing"])
def test_every_answer_is_one_that_is_described(served: Served, reading: bool, mode: GenerationMode) -> None:
    found = operations(served.schema, reading=reading)
    assert len(found) > 12
    failures, statuses = [], set[int]()
    for operation in found:
        try:
            statuses |= served.hold(operation, mode)
        except (schemathesis.checks.FailureGroup, schemathesis.checks.Failure) as failure:
            failures.append(f"{operation.label}: {failure}: {getattr(failure, 'exceptions', '')}")
    assert not failures, "\n".join(failures)
    assert statuses >= ({200, 404} if mode is GenerationMode.POSITIVE else {422})
