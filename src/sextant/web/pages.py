"""The pages: templates with what they need to begin with; the scripts beside them ask the API for the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

import sextant
from sextant.output import amount
from sextant.web.access import COOKIE, SESSION_SECONDS, Access, Caller, CallerOf, Read, caller_of
from sextant.web.gallery import alike, cells, image as image_detail
from sextant.web.problems import Problem
from sextant.web.served import Served, Shelf

router = APIRouter()
HERE = Path(__file__).parent
SORTS = (
    ("", "by path"),
    ("-taken_at", "newest first"),
    ("taken_at", "oldest first"),
    ("-added_at", "last added first"),
    ("-sharpness", "sharpest first"),
    ("-megapixels", "largest first"),
)
TABS = (
    *(("", "Gallery"), ("columns", "Columns"), ("vocabulary", "Vocabulary")),
    *(("review", "Review"), ("feedback", "Feedback"), ("models", "Model")),
)


def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals.update(version=sextant.__version__, stamp=_stamp(), tabs=TABS)
    found.filters.update(amount=amount, thousands=lambda n: f"{n:,}", cut=_cut)
    return found


def _stamp() -> str:
    """Changes when a static file does, so that browsers may keep them."""
    return f"{max(int(f.stat().st_mtime) for f in (HERE / 'static').iterdir()):x}"


def _cut(confidence: float | None) -> str:
    """A confidence with two places, never rounded up into the next band."""
    return "–" if confidence is None else f"{int(confidence * 100 + 1e-9) / 100:.2f}"


_templates = _environment()


def page(name: str, request: Request, status: int = 200, **values: Any) -> HTMLResponse:
    """A template as an answer. Every one knows who is asking and which collections there are."""
    caller: Caller | None = request.app.state.access.caller(request)
    shelf: Shelf = request.app.state.shelf
    names = [served.name for served in shelf if caller and caller.sees(served.name)]
    base: dict[str, Any] = {"caller": caller, "names": names, "served": None, "tab": None, "path": request.url.path}
    base["keyed"] = request.app.state.access.keys is not None
    return HTMLResponse(_templates.get_template(f"{name}.html").render({**base, **values}), status)


def problem_page(request: Request, problem: Problem) -> Response:
    """A refusal, as a person reads it; whoever is not signed in is sent to the door."""
    if problem.status == 401:
        return RedirectResponse("/sign-in", 303)
    return page("problem", request, problem.status, problem=problem)


@router.get("/")
def home(request: Request, caller: CallerOf) -> Response:
    """The one collection that there is, or a choice."""
    shelf: Shelf = request.app.state.shelf
    seen = [served for served in shelf if caller.sees(served.name)]
    if len(seen) == 1:
        return RedirectResponse(f"/c/{seen[0].name}", 303)
    return page("collections", request, collections=[(served.name, len(served.view())) for served in seen])


@router.get("/sign-in")
def door(request: Request) -> Response:
    """Asks for a key."""
    return page("sign_in", request, wrong=False)


@router.post("/sign-in")
def sign_in(request: Request, key: Annotated[str, Form(max_length=200)] = "") -> Response:
    """Lets a browser in that knows a key. The cookie holds a session, not the key."""
    access: Access = request.app.state.access
    session = access.sign_in(key)
    if session is None:
        return page("sign_in", request, 401, wrong=True)
    found = RedirectResponse("/", 303)
    secure = request.url.scheme == "https"
    found.set_cookie(COOKIE, session, SESSION_SECONDS, httponly=True, samesite="strict", secure=secure)
    return found


@router.post("/sign-out")
def sign_out(request: Request) -> Response:
    """Ends a browser's session."""
    request.app.state.access.sign_out(request.cookies.get(COOKIE, ""))
    found = RedirectResponse("/sign-in", 303)
    found.delete_cookie(COOKIE)
    return found


@router.get("/c/{collection}")
def gallery(request: Request, served: Read, q: str = "", where: str = "", sort: str = "") -> HTMLResponse:
    """The gallery, with a search in it."""
    view = served.view()
    columns = [{"code": code, "label": _label(view, code)} for code in view.codes()]
    return page(
        "gallery", request, served=served, tab="", images=len(view), columns=columns,
        q=q[:2000], where=where[:10_000], sort=sort[:80], sorts=SORTS,
    )  # fmt: skip


def _label(view: Any, code: str) -> str:
    item = view.describe(code)
    return str((item.label if item else None) or code)


@router.get("/c/{collection}/images/{image}")
def image(request: Request, served: Read, image: str) -> HTMLResponse:
    """One image: how sure each attribute is, what people said, what resembles it."""
    found = image_detail(served, image)
    view = served.view()
    rank = {"accepted": 0, "tentative": 1, "rejected": 2, "unknown": 3}
    shown = sorted(cells(served, view, found.id), key=lambda c: (rank[c.band], -(c.confidence or 0), c.label))
    return page("image", request, served=served, tab="", image=found, cells=shown, alike=alike(served, view))


@router.get("/c/{collection}/columns")
def columns(request: Request, served: Read) -> HTMLResponse:
    """Every column: how many images it accepts, and how far that can be trusted."""
    return page("columns", request, served=served, tab="columns", columns=served.collection.columns())


def _simple(name: str, tab: str) -> None:
    @router.get(f"/c/{{collection}}/{tab}", name=name)
    def shown(request: Request, served: Read) -> HTMLResponse:
        return page(name, request, served=served, tab=tab)


__all__ = ["Served", "caller_of", "page", "problem_page", "router"]
