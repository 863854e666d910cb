"""`/models`: what the encoder in use says of itself, and the scorecards of fine-tuning runs beside the pictures.

A run is looked for where `finetune` leaves it: in a folder of the collection, or around the bundle that is in use.
Knows nothing of how a scorecard is made; one that cannot be read is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, ValidationError

from sextant.errors import SextantError
from sextant.manifest import FOLDER
from sextant.web.access import Read
from sextant.web.gallery import plain_of
from sextant.web.served import Served

router = APIRouter(prefix="/collections/{collection}/models", tags=["models"])
BUNDLE = "local-dir:"
LARGEST = 32_000_000
"""Bytes of a scorecard; a larger file is none."""
MOST = 50
FIGURES = ("accuracy", "macro_f1", "ece", "semantic_r1", "hard_negative_pass_rate")


class _Figure(BaseModel):
    value: float
    low: float | None = None
    high: float | None = None


class _Gate(BaseModel):
    name: str
    better: str
    limit: float
    value: float | None
    passed: bool


class _Side(BaseModel):
    figures: dict[str, _Figure]


class _Scorecard(BaseModel):
    """What is read of a scorecard; the rest of it is for its own page."""

    model_config = ConfigDict(extra="ignore")
    images: int
    classes: list[str]
    recipe: dict[str, Any]
    base: _Side
    tuned: _Side
    gates: list[_Gate]
    ready: bool


@dataclass(slots=True)
class Line:
    """One figure of a run, before and after; `gate` is null where none asks for it."""

    name: str
    base: dict[str, float | None] | None
    tuned: dict[str, float | None] | None
    gate: dict[str, Any] | None


@dataclass(slots=True)
class Scored:
    """A fine-tuning run. `name` is its folder, `in_use` whether the collection's vectors come from it."""

    name: str
    base: str
    recipe: str
    images: int
    classes: int
    ready: bool
    in_use: bool
    lines: list[Line]


@dataclass(slots=True)
class Facts:
    """What the card of an encoder says; `golden` tells whether it has vectors to compare with."""

    description: str
    licence: str | None
    image_size: int | None
    training: str | None
    assumed: bool
    prior: str | None
    golden: bool


@router.get("")
def models(served: Read) -> dict[str, Any]:
    """The encoder in use by its card, null where it has none or is not at hand, and the scorecards of runs."""
    return {"card": plain_of(facts(served)), "scorecards": plain_of(list(scorecards(served)))}


def facts(served: Served) -> Facts | None:
    """What the card of the encoder in use says."""
    photos = served.collection
    if photos.manifest.encoder is None:
        return None
    try:
        card = getattr(photos.encoder(), "card", None)
    except SextantError:
        return None
    if card is None:
        return None
    prior = (photos.manifest.prior or {}).get("source") or (card.prior or {}).get("source")
    return Facts(
        card.description, card.licence, card.image_size, card.training, card.logits_assumed, prior, bool(card.golden)
    )


def scorecards(served: Served) -> Iterator[Scored]:
    """The runs that can be read, by name."""
    model = served.collection.manifest.model or ""
    used = (served.root / model.removeprefix(BUNDLE)).resolve() if model.startswith(BUNDLE) else None
    places = [*_folders(served.root), *([used.parent] if used else [])]
    for folder in list(dict.fromkeys(place.resolve() for place in places))[:MOST]:
        card, run = _read(folder / "scorecard.json"), _read(folder / "run.json")
        try:
            found = _Scorecard.model_validate(card)
        except ValidationError:
            continue
        if isinstance(run, dict):
            base, recipe = str(run.get("base", "")), str(found.recipe.get("name", ""))
            in_use = used == folder / "bundle"
            yield Scored(
                folder.name, base, recipe, found.images, len(found.classes), found.ready, in_use, _lines(found)
            )


def _folders(root: Path) -> list[Path]:
    """The folders right below the collection's in which a run may lie."""
    try:
        return sorted(p for p in root.iterdir() if p.name != FOLDER and (p / "scorecard.json").is_file())
    except OSError:
        return []


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes()) if file.stat().st_size <= LARGEST else None
    except (OSError, ValueError, RecursionError):
        return None


def _lines(card: _Scorecard) -> list[Line]:
    gates = {gate.name: gate.model_dump() for gate in card.gates}
    names = dict.fromkeys((*FIGURES, *gates))
    sides = [{name: figure.model_dump() for name, figure in side.figures.items()} for side in (card.base, card.tuned)]
    return [Line(n, sides[0].get(n), sides[1].get(n), gates.get(n)) for n in names]


__all__ = ["router"]
