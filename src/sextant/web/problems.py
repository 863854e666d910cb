"""Every error as problem details (RFC 9457): what happened, to which thing, and what to do. Never a stack trace."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from sextant.errors import (
    CollectionError,
    ExchangeError,
    ImageError,
    MissingExtra,
    ModelError,
    RuleError,
    SextantError,
    SqlError,
    UsageError,
    VocabularyError,
)
from sextant.manifest import exists
from sextant.web.served import Unknown

MEDIA_TYPE = "application/problem+json"
log = logging.getLogger("sextant.web")

STATUSES: tuple[tuple[type[SextantError], int, str], ...] = (
    (RuleError, 400, "The rule cannot be read"),
    (SqlError, 400, "The statement was refused"),
    (VocabularyError, 422, "The vocabulary is wrong"),
    (ImageError, 422, "The picture cannot be read"),
    (ExchangeError, 422, "The file does not fit"),
    (MissingExtra, 501, "An optional package is needed"),
    (ModelError, 503, "The encoder is not at hand"),
    (CollectionError, 503, "The collection cannot be used"),
    (UsageError, 400, "The request cannot be what was meant"),
)
"""The status of every error that Sextant raises on purpose; the first that fits."""


SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened, and to what."},
        "remedy": {"type": "string", "description": "What to do."},
        "instance": {"type": "string"},
    },
}
MAY_HAPPEN = (400, 401, 403, 404, 408, 410, 413, 415, 421, 422, 501, 503)
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": SCHEMA}}}
    for status in MAY_HAPPEN
}
"""What every address may answer instead, for the description of the API."""


@dataclass(eq=False)
class Problem(Exception):
    """A refusal: `detail` says what happened and `remedy` what to do."""

    status: int
    title: str
    detail: str
    remedy: str = ""
    headers: tuple[tuple[str, str], ...] = ()


def body(status: int, title: str, detail: str, *, remedy: str = "", path: str = "", **more: Any) -> dict[str, Any]:
    """The problem as JSON."""
    found: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if remedy:
        found["remedy"] = remedy
    if path:
        found["instance"] = path
    return {**found, **more}


def answer(problem: Problem, path: str = "", **more: Any) -> JSONResponse:
    """The problem as an answer."""
    content = body(problem.status, problem.title, problem.detail, remedy=problem.remedy, path=path, **more)
    return JSONResponse(content, problem.status, dict(problem.headers), MEDIA_TYPE)


def of(error: Exception) -> Problem:
    """What is to be said of an error."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, Unknown):
        return Problem(404, "Not found", str(error.args[0]), "Look at the list of what is there, and check the name.")
    if isinstance(error, SextantError):
        status, title = next((s, t) for kind, s, t in STATUSES if isinstance(error, kind))
        return Problem(status, title, str(error))
    log.error("%s", error, exc_info=error)
    detail = "Something went wrong that nobody foresaw. Nothing was changed by halves."
    return Problem(500, "An unexpected error", detail, "The server's log says more; please report it.")


def install(app: FastAPI) -> None:
    """Makes an application answer every error as problem details."""

    def told(request: Request, error: Exception) -> Response:
        problem = of(error)
        if isinstance(error, CollectionError):
            problem = _gone(request) or problem
        return _said(request, _discreet(request, problem))

    for kind in (SextantError, Unknown, Problem, Exception):
        app.add_exception_handler(kind, told)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)


def _discreet(request: Request, problem: Problem) -> Problem:
    """A problem that does not tell where on this machine a collection lies."""
    for served in request.app.state.shelf:
        problem.detail = problem.detail.replace(str(served.root), served.name)
    return problem


def _gone(request: Request) -> Problem | None:
    """The answer where the folder of a collection is no more."""
    name = request.path_params.get("collection")
    served = request.app.state.shelf[name] if name else None
    if served is None or exists(served.root):
        return None
    detail = f"the collection '{served.name}' is no longer where it was when the server was started"
    return Problem(410, "The collection is gone", detail, "Put it back, or start the server anew with another -C.")


def _invalid(request: Request, error: Exception) -> Response:
    """A request whose parameters are of the wrong kind: which, and why."""
    errors = error.errors() if isinstance(error, RequestValidationError) else []
    found = [{"where": ".".join(str(part) for part in e["loc"]), "why": str(e["msg"])} for e in errors]
    said = "; ".join(f"{e['where']}: {e['why']}" for e in found)
    problem = Problem(422, "A parameter cannot be used", said, "See /api/v1/openapi.json for what each one takes.")
    return _said(request, problem, parameters=found)


def _refused(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself: unknown addresses and methods."""
    status = getattr(error, "status_code", 500)
    detail = {404: f"there is nothing at {request.url.path[:200]}", 405: f"{request.method} is not possible here"}
    headers = tuple((getattr(error, "headers", None) or {}).items())
    problem = Problem(status, HTTPStatus(status).phrase, detail.get(status, str(getattr(error, "detail", ""))))
    return _said(request, Problem(problem.status, problem.title, problem.detail, "", headers))


def _said(request: Request, problem: Problem, **more: Any) -> Response:
    """The problem as a program reads it; outside the API, where a person asks, as a page."""
    if not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", ""):
        from sextant.web.pages import problem_page  # which itself raises problems

        return problem_page(request, problem)
    return answer(problem, request.url.path, **more)
