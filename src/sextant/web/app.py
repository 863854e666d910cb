"""Puts the application together: the API under /api/v1, the pages, the static files, and what guards them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

import sextant
from sextant.collection import Collection
from sextant.web import problems, sparing
from sextant.web.access import Access
from sextant.web.guard import MIB, Guard
from sextant.web.keys import Keys
from sextant.web.measuring import Figures, Measured
from sextant.web.served import Shelf

API = "/api/v1"
THREADS = 12
"""Requests at work at the same time: fewer than the catalog has connections."""
MOST_UPLOAD = 100 * MIB
DESCRIPTION = """Images with calibrated confidences. Every answer says what its numbers are worth: `uncalibrated`,
`prior`, `calibrated` or `stale`. Errors are problem details (RFC 9457)."""


def application(
    collections: Iterable[Collection],
    *,
    keys: Keys | None = None,
    hosts: Iterable[str] = (),
    most_upload: int = MOST_UPLOAD,
    swapping: bool = False,
) -> FastAPI:
    """The application over some collections. Without `keys` it answers to names of this machine alone.

    `swapping` turns neighbours of answers round by chance, so that feedback tells where people look.
    """
    from sextant.web import (
        asking,
        columns,
        curating,
        exports,
        gallery,
        overview,
        pages,
        reviewing,
        saying,
        scorecards,
        uploads,
        vocabularies,
    )

    shelf = Shelf(collections, swapping=swapping)
    app = FastAPI(
        title="Sextant",
        version=sextant.__version__,
        description=DESCRIPTION,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        responses=problems.RESPONSES,
        redirect_slashes=False,
    )
    app.state.shelf, app.state.access, app.state.figures = shelf, Access(keys), Figures()
    app.state.outbox = exports.Outbox()
    asked = (overview, asking, gallery, uploads, columns, saying, vocabularies)
    for part in (*asked, reviewing, curating, scorecards, exports):
        app.include_router(part.router, prefix=API)
    app.include_router(pages.router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    problems.install(app)
    app.add_middleware(Guard, hosts=None if keys is not None else hosts, most_upload=most_upload)
    app.add_middleware(Measured, figures=app.state.figures)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    giving = asyncio.create_task(sparing.giving_back(lambda: app.state.figures.asked))
    yield
    giving.cancel()
    app.state.outbox.close()
