"""Pictures that come over the network: streamed to a file, looked at before anything is kept, then added as usual."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException

from sextant import images
from sextant.errors import ExchangeError, ImageError
from sextant.manifest import replacing
from sextant.web.access import Write
from sextant.web.problems import Problem
from sextant.web.served import Served

router = APIRouter(prefix="/collections/{collection}", tags=["images"])
FOLDER = "uploads"
MOST_FIELDS = 8
SUFFIXES = {
    **{"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif", "AVIF": ".avif"},
    "HEIF": ".heic",
}
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "tags": {"type": "string", "description": "Joined by commas."},
                        "description": {"type": "string", "maxLength": 5000},
                    },
                }
            }
        },
    }
}


@dataclass(slots=True)
class Uploaded:
    """What became of an upload. `added` is False where the collection had these bytes already."""

    id: str
    path: str
    added: bool


@router.post("/images", status_code=201, openapi_extra=FORM)
async def upload(request: Request, served: Write) -> Uploaded:
    """Adds one picture, with tags and a description if wanted. Nothing is kept of a file that is no picture."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Problem(415, "Not a form", "an upload is multipart/form-data with a part `file`", "Send it as a form.")
    try:
        async with request.form(max_files=1, max_fields=MOST_FIELDS) as form:
            return await run_in_threadpool(_keep, served, form)
    except MultiPartException as error:
        raise Problem(400, "The form cannot be read", error.message, "Send one part `file`, as browsers do.") from error


def _keep(served: Served, form: FormData) -> Uploaded:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise Problem(400, "Nothing was sent", "the form has no part `file`", "Name the part of the picture `file`.")
    tags, description = _words(form)
    file.file.seek(0)
    data = file.file.read()
    try:
        _, facts = images.decode(data, least_side=64)
    except ImageError as error:
        detail = f"{_shown(file.filename)}: {error}"
        raise Problem(415, "Not a picture that can be used", detail, "Send a JPEG, PNG, WebP, GIF or TIFF.") from error
    found = images.identify(data)
    with served.writing:
        known = found in served.view().places
        path = "" if known else _added(served, found, data, _name(file.filename, found, facts.format))
        if tags or description:
            served.collection.describe(found, tags=tags, description=description or None)
    view = served.view()
    return Uploaded(found, path or str(view.paths[view.places[found]]), not known)


def _words(form: FormData) -> tuple[Sequence[str], str]:
    tags = [word.strip() for word in str(form.get("tags") or "").split(",") if word.strip()]
    description = str(form.get("description") or "").strip()
    if len(tags) > 100 or any(len(tag) > 100 for tag in tags) or len(description) > 5000:
        why = "at most 100 tags of 100 characters, and a description of 5,000"
        raise Problem(422, "Too many words", f"a picture takes {why}", "Send fewer.")
    return tags, description


def _added(served: Served, image: str, data: bytes, name: str) -> str:
    """Writes the file and embeds it; where that fails nothing is left of it."""
    target = served.root / FOLDER / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as out:
            out.write(data)
    except OSError as error:
        raise ExchangeError(f"{FOLDER}/{name}: cannot be written: {error.strerror or error}") from error
    try:
        report = served.collection.add(target)
        if report.skipped or image not in served.view().places:
            why = report.skipped[0].reason if report.skipped else "it could not be added"
            raise Problem(415, "Not a picture that can be used", f"{name}: {why}")
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return f"{FOLDER}/{name}"


def _name(given: str | None, image: str, kind: str) -> str:
    """A file name of our own making: what is left of the given one has letters, digits and dashes alone."""
    stem = re.sub(r"[^A-Za-z0-9]+", "-", Path((given or "").replace("\\", "/")).stem)[:60].strip("-")
    return f"{stem or 'picture'}-{image[:10]}{SUFFIXES.get(kind, '.img')}"


def _shown(name: str | None) -> str:
    return "".join(c for c in (name or "the file") if c.isprintable())[:80]
