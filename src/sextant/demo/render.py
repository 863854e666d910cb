"""A plan becomes pixels: outside first, then rooms and things from far to near, then the camera's part."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from sextant.demo import bodies, craft, finish, grounds, people, rooms, vehicles
from sextant.demo.canvas import Canvas, Floats, Frame
from sextant.demo.looks import Look, look_of, named, times
from sextant.demo.pen import OVERSAMPLING, Pen
from sextant.demo.planning import Item, Plan

PAINTED = {
    "space",
    "sky",
    "stars",
    "sun",
    "moon",
    "earth",
    "earth_limb",
    "moon_limb",
    "lunar_ground",
    "desert",
    "field",
    "sea",
    "glow",
}
FLYING: dict[str, Callable[[Pen, tuple[float, float, float]], None]] = {
    "station": craft.station,
    "satellite": craft.satellite,
    "capsule": craft.capsule,
    "shuttle": craft.shuttle,
}
STANDING: dict[str, Callable[[Pen, tuple[float, float, float]], None]] = {
    "rover": vehicles.rover,
    "truck": vehicles.truck,
    "ship": vehicles.ship,
    "habitat": vehicles.habitat,
    "solar_array": vehicles.solar_array,
    "floating_capsule": craft.floating_capsule,
}
FLOORS = ("lunar_ground", "desert", "field", "hall")
# Things that throw a shadow where they stand, and half its width in their own size.
SHADOWED = {
    "astronaut": 0.26,
    "lander": 0.5,
    "rover": 0.52,
    "truck": 0.52,
    "habitat": 0.54,
    "flag": 0.22,
    "solar_array": 0.3,
}
BRIGHTNESS = {"day": 1.0, "cloudy": 0.92, "dawn": 0.88, "dusk": 0.7, "night": 0.55}


def frame_of(plan: Plan, size: int) -> Frame:
    """The frame of a plan whose longer side is `size` pixels; a later take of a burst is moved and zoomed a little."""
    width = size if plan.aspect >= 1 else round(size * plan.aspect)
    height = size if plan.aspect <= 1 else round(size / plan.aspect)
    rng = np.random.default_rng([plan.seed, 60, plan.take])
    zoom, dx, dy = (1 + rng.uniform(-0.02, 0.03), *rng.uniform(-0.018, 0.018, 2)) if plan.take else (1.0, 0.0, 0.0)
    scale = min(width, height) * float(zoom)
    return Frame(width, height, 0.5 - width / scale / 2 + float(dx), 0.5 - height / scale / 2 + float(dy), scale)


def render(plan: Plan, size: int) -> Image.Image:
    """The picture of a plan, RGB, longer side `size` pixels."""
    look = look_of(plan)
    pixels = finish.develop(undeveloped(plan, size, look), look, plan)
    return Image.fromarray((pixels * 255 + 0.5).astype(np.uint8))


def undeveloped(plan: Plan, size: int, look: Look) -> Floats:
    """The drawn things alone, (height, width, 3), before tint, blur, darkness and grain."""
    canvas = Canvas(frame_of(plan, size), look, plan.light, plan.seed)
    far = [item for item in plan.items if item.what in PAINTED]
    near = [item for item in plan.items if item.what not in PAINTED and item.what not in ("plume", "flare")]
    sheets = [item for item in near if item.what in ("chart", "atlas")]
    if sheets:
        canvas.pixels = _things(canvas, plan, sheets, look)
        near = [item for item in near if item not in sheets]
    for item in far:
        _paint(canvas, plan, item)
    fire = plan.find("plume")
    if fire:
        finish.plume(canvas, fire, plan.horizon)
    canvas.pixels = _things(canvas, plan, near, look)
    ghost = plan.find("flare")
    if ghost:
        finish.flare(canvas, ghost, plan.find("sun"))
    return canvas.pixels


def _paint(canvas: Canvas, plan: Plan, item: Item) -> None:
    bright = BRIGHTNESS[plan.hour]
    if item.what == "space":
        grounds.space(canvas, item)
    elif item.what == "sky":
        grounds.sky(canvas, plan.hour, plan.horizon, item.seed)
    elif item.what == "stars":
        bodies.stars(canvas, item, plan.horizon if plan.find("sky") or plan.find("lunar_ground") else 9.0)
    elif item.what == "sun":
        bodies.sun(canvas, item)
    elif item.what in ("moon", "earth"):
        bodies.disc(
            canvas,
            item,
            glow=item.what == "earth" and plan.find("glow") is not None,
            daylight=plan.find("sky") is not None,
        )
    elif item.what in ("earth_limb", "moon_limb"):
        bodies.limb(canvas, item)
    elif item.what == "lunar_ground":
        grounds.lunar_ground(canvas, item, plan.horizon)
    elif item.what == "desert":
        grounds.desert(canvas, item, plan.horizon, bright)
    elif item.what == "field":
        grounds.field(canvas, item, plan.horizon, bright)
    elif item.what == "sea":
        grounds.sea(canvas, item, plan.hour, plan.horizon)


def _things(canvas: Canvas, plan: Plan, items: list[Item], look: Look) -> Floats:
    """The canvas with the pen's drawings on it, back at its own resolution."""
    if not items:
        return canvas.pixels
    frame = canvas.frame
    picture = Image.fromarray((np.clip(canvas.pixels, 0, 1) * 255).astype(np.uint8))
    picture = picture.resize((frame.width * OVERSAMPLING, frame.height * OVERSAMPLING), Image.Resampling.BILINEAR)
    bright = BRIGHTNESS[plan.hour] if plan.find("sky") else 0.8 if plan.dark else 1.0
    pen = Pen(picture, frame, look, plan.light, bright)
    outside = picture
    for item in items:
        if item.what == "cabin":
            outside = picture.copy()
        _draw(pen, plan, item, outside)
    return np.asarray(picture.reduce(OVERSAMPLING), np.float32) / 255


def _draw(pen: Pen, plan: Plan, item: Item, outside: Image.Image) -> None:
    colour = named(item.colour, item.seed)
    mirror = item.turn < 0
    ground = plan.find("space") is None or plan.find("lunar_ground") is not None or plan.kind == "chart"
    stands = item.what != "astronaut" or (ground and abs(item.turn) == 1.0)
    if stands and item.what in SHADOWED and any(plan.find(what) for what in FLOORS):
        pen.at(item.x, item.y, item.size).shadow(SHADOWED[item.what])
    if item.what in FLYING:
        FLYING[item.what](pen.at(item.x, item.y, item.size, item.turn, seed=item.seed), colour)
    elif item.what in STANDING:
        STANDING[item.what](pen.at(item.x, item.y, item.size, 0.0, mirror, item.seed), colour)
    elif item.what == "lander":
        if plan.kind in ("orbit", "craft", "eva", "earth_disc", "moon_disc", "lunar_orbit", "starfield", "sunny"):
            craft.flying_lander(pen.at(item.x, item.y, item.size, item.turn, seed=item.seed), colour)
        else:
            craft.lander(pen.at(item.x, item.y, item.size, 0.0, mirror, item.seed), colour)
    elif item.what == "rocket":
        craft.rocket(pen.at(item.x, item.y, item.size, seed=item.seed), colour, item.count)
    elif item.what == "pad":
        vehicles.pad(pen.at(item.x, item.y, item.size, seed=item.seed), mirror)
    elif item.what == "chutes":
        craft.chutes(pen.at(item.x, item.y, item.size, seed=item.seed), colour, item.count)
    elif item.what == "flag":
        craft.flag(pen.at(item.x, item.y, item.size, seed=item.seed), colour, bool(item.count))
    elif item.what == "astronaut":
        floating = not ground or abs(item.turn) != 1.0
        place = pen.at(item.x, item.y, item.size, item.turn if floating else 0.0, mirror, item.seed)
        people.astronaut(place, colour, floating)
    elif item.what == "hand":
        place = pen.at(item.x, item.y, item.size, item.turn, mirror, item.seed)
        people.cuff(place, named("white" if item.colour != "skin" else "blue", item.seed))
        people.hand(place, colour)
    elif item.what == "crew":
        people.crew(pen.at(item.x, item.y, item.size, seed=item.seed), colour, item.count)
    elif item.what == "crew_selfie":
        people.crew_selfie(pen.at(item.x, item.y, item.size, 0.0, mirror, item.seed), colour, item.count)
    elif item.what == "suit_selfie":
        people.suit_selfie(pen.at(item.x, item.y, item.size, 0.0, mirror, item.seed), colour)
    else:
        _room(pen, plan, item, outside)


def _room(pen: Pen, plan: Plan, item: Item, outside: Image.Image) -> None:
    colour = named(item.colour, item.seed)
    if item.what == "cabin":
        rooms.cabin(pen, colour, item.seed)
    elif item.what == "porthole":
        rim = named("silver" if item.count else "white", item.seed)
        rooms.porthole(pen.picture, outside, pen.at(item.x, item.y, item.size / 1.17, seed=item.seed), times(rim, 0.95))
    elif item.what == "control":
        rooms.control(pen, colour, item.seed)
    elif item.what == "hall":
        rooms.hall(pen, colour, plan.horizon)
    elif item.what == "chart":
        rooms.chart(pen, item.colour, item.seed, plan.find("earth") is not None)
    elif item.what == "atlas":
        rooms.atlas(pen, item.colour, item.seed, item.count)
    elif item.what == "wall_map":
        rooms.wall_map(pen.at(item.x, item.y, item.size, seed=item.seed), item.seed)
    elif item.what == "text":
        rooms.text_overlay(pen, item.y, item.count, item.seed)
