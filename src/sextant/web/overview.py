"""What is served, how it is, what it measured, and which encoder it uses."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

import sextant
from sextant.errors import SextantError
from sextant.web import measuring
from sextant.web.access import CallerOf, Read
from sextant.web.gallery import plain_of
from sextant.web.served import Shelf

router = APIRouter(tags=["overview"])


@router.get("/health")
def health(request: Request) -> dict[str, Any]:
    """Whether the server can answer; needs no key, and says nothing about what is served."""
    shelf: Shelf = request.app.state.shelf
    ready = [_ready(served) for served in shelf]
    return {"status": "ok" if all(ready) else "degraded", "version": sextant.__version__, "collections": len(ready)}


def _ready(served: Any) -> bool:
    try:
        served.view()
    except SextantError:
        return False
    return True


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request, caller: CallerOf) -> PlainTextResponse:
    """Requests, times and sizes, as Prometheus reads them."""
    shelf: Shelf = request.app.state.shelf
    sizes = {served.name: len(served.view()) for served in shelf if caller.sees(served.name) and _ready(served)}
    return PlainTextResponse(request.app.state.figures.text(sizes), media_type=measuring.MEDIA_TYPE)


@router.get("/collections")
def collections(request: Request, caller: CallerOf) -> list[dict[str, Any]]:
    """The collections that are served to whoever asks."""
    shelf: Shelf = request.app.state.shelf
    return [_brief(served) for served in shelf if caller.sees(served.name)]


def _brief(served: Any) -> dict[str, Any]:
    try:
        view = served.view()
        return {"name": served.name, "images": len(view), "columns": len(view.codes()), "ready": True}
    except SextantError:
        return {"name": served.name, "images": 0, "columns": 0, "ready": False}


@router.get("/collections/{collection}")
def collection(served: Read) -> dict[str, Any]:
    """What one collection holds, and with which encoder."""
    info = served.collection.info()
    for private in ("folder", "settings"):
        info.pop(private, None)
    return {"name": served.name, **plain_of(info)}
