"""The pages: templates with what they need to begin with; the scripts beside them ask the API for the rest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

import sextant
from sextant.curate.sheet import PARTS, STATES
from sextant.errors import UsageError
from sextant.maths.rules import BAND_NAMES
from sextant.output import amount
from sextant.survey import KINDS
from sextant.web.access import COOKIE, SESSION_SECONDS, Access, Caller, CallerOf, Read
from sextant.web.columns import column as column_detail
from sextant.web.columns import history
from sextant.web.curating import briefs, waits
from sextant.web.gallery import image as image_detail
from sextant.web.gallery import label_of
from sextant.web.problems import Problem
from sextant.web.scorecards import facts, scorecards
from sextant.web.served import Shelf
from sextant.web.vocabularies import current as current_vocabulary

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
    *(("", "Gallery"), ("curate", "Curate"), ("columns", "Columns"), ("vocabulary", "Vocabulary")),
    *(("review", "Review"), ("feedback", "Feedback"), ("models", "Model")),
)

FACTS = (
    *(("width", "width"), ("height", "height"), ("format", "format"), ("bytes", "bytes"), ("taken_at", "taken")),
    *(("camera_model", "camera"), ("sharpness", "sharpness"), ("brightness", "brightness"), ("darkness", "dark share")),
    *(("gps", "has a place"), ("added_at", "added")),
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
    try:
        caller: Caller | None = request.app.state.access.caller(request)
    except Problem:  # the page that says so is shown to whoever asks
        caller = None
    shelf: Shelf = request.app.state.shelf
    names = [served.name for served in shelf if caller and caller.sees(served.name)]
    base: dict[str, Any] = {"asker": caller, "names": names, "served": None, "tab": None, "path": request.url.path}
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
    columns = [{"code": code, "label": label_of(view, code)} for code in view.codes()]
    return page(
        "gallery", request, served=served, tab="", images=len(view), columns=columns,
        q=q[:2000], where=where[:10_000], sort=sort[:80], sorts=SORTS,
    )  # fmt: skip


@router.get("/c/{collection}/images/{image}")
def image(request: Request, served: Read, image: str) -> HTMLResponse:
    """One image: how sure each attribute is, what people said, what resembles it."""
    found = image_detail(served, image)
    rank = {"accepted": 0, "tentative": 1, "rejected": 2, "unknown": 3}
    shown = sorted(found.cells, key=lambda c: (rank[c.band], -(c.confidence or 0), c.label))
    likely = [c for c in shown if c.band in ("accepted", "tentative")]
    rest = shown[len(likely) :]
    facts = [(title, _fact(found.facts.get(name))) for name, title in FACTS if found.facts.get(name) is not None]
    return page("image", request, served=served, tab="", image=found, likely=likely, rest=rest, facts=facts)


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


@router.get("/c/{collection}/columns")
def columns(request: Request, served: Read) -> HTMLResponse:
    """Every column: how many images it accepts, and how far that can be trusted."""
    return page("columns", request, served=served, tab="columns", columns=served.collection.columns())


@router.get("/c/{collection}/columns/{code}")
def column(request: Request, served: Read, code: str) -> HTMLResponse:
    """One column: its histogram, band edges and labels."""
    found = column_detail(served, code)
    return page("column", request, served=served, tab="columns", column=found, history=history(served, code))


@router.get("/c/{collection}/vocabulary")
def vocabulary(request: Request, served: Read) -> HTMLResponse:
    """The vocabulary, to be edited, and a phrase to be tried out."""
    return page("vocabulary", request, served=served, tab="vocabulary", vocabulary=current_vocabulary(served))


@router.get("/c/{collection}/curate")
def curate(request: Request, served: Read) -> HTMLResponse:
    """The curation board: what is wanted, the best pictures for it, and past curations."""
    more: dict[str, Any] = {"images": len(served.view()), "past": briefs(served, 20), "waits": waits(served)}
    return page("curate", request, served=served, tab="curate", parts=PARTS, states=STATES, **more)


@router.get("/c/{collection}/review")
def review(request: Request, served: Read) -> HTMLResponse:
    """What a person should look at."""
    found = served.collection.review(limit=24)
    groups = [(KINDS[kind], n, [i for i in found.items if i.kind == kind]) for kind, n in found.counts.items() if n]
    failing = [control for control in found.controls if control.failing]
    view = served.view(served.view().codes())
    known = [i for i in found.items if i.code in view.codes()]
    bands = {(i.id, i.code): BAND_NAMES[int(view.values(i.code).band[view.places[i.id]])] for i in known}
    labels = {code: label_of(view, code) for code in view.codes()}
    more: dict[str, Any] = {"groups": groups, "failing": failing, "bands": bands, "labels": labels}
    return page("review", request, served=served, tab="review", **more)


@router.get("/c/{collection}/feedback")
def feedback(request: Request, served: Read) -> HTMLResponse:
    """How answers fare with people, day by day and by variant."""
    photos = served.collection
    experiments = [photos.experiment(record.name) for record in photos.experiments()]
    events, view = photos.events(20), served.view()
    more: dict[str, Any] = {"metrics": photos.metrics(), "events": events, "weights": photos.weights()[-1:]}
    paths = {event.image: str(view.paths[view.places[event.image]]) for event in events if event.image in view.places}
    return page("feedback", request, served=served, tab="feedback", experiments=experiments, paths=paths, **more)


@router.get("/c/{collection}/models")
def models(request: Request, served: Read) -> HTMLResponse:
    """The encoder in use, and what its columns are worth."""
    photos = served.collection
    summaries = photos.columns()
    states = Counter(summary.state for summary in summaries)
    try:
        evaluation = photos.evaluate()
    except UsageError:
        evaluation = []
    return page(
        "models", request, served=served, tab="models", info=photos.info(), states=states, evaluation=evaluation,
        labels={s.code: s.label for s in summaries}, card=facts(served), runs=list(scorecards(served)),
    )  # fmt: skip


__all__ = ["page", "problem_page", "router"]
