"""Pieces that many kinds of picture share: space, a limb, the Sun, craft, crews, windows, lettering."""

from __future__ import annotations

from math import cos, pi, sin

from sextant.demo.planning import Sketch

COLOURS = ("white", "silver", "gold", "red", "blue", "green", "orange", "yellow")
Box = tuple[float, float, float, float]
EVERYWHERE: Box = (0.18, 0.18, 0.82, 0.82)
BUILT = ("white", "white", "silver", "gold")
PAINTS = {
    "astronaut": ("white", "white", "silver", "orange"),
    **dict.fromkeys(("lander", "habitat", "rocket", "ship"), BUILT),
}
ON_MOON = {
    "astronaut": (0.34, 0.58),
    "lander": (0.34, 0.5),
    "rover": (0.32, 0.46),
    "flag": (0.28, 0.42),
    "habitat": (0.34, 0.55),
    "solar_array": (0.28, 0.42),
}
COVERALLS = ("blue", "orange", "green", "red")


def space(s: Sketch, stars: float = 0.4, *, x: float = 0.5, y: float = 0.5, size: float = 9.0) -> None:
    """Space, with stars at times; stars seen through a porthole are given its place and size."""
    s.add("space")
    if s.stars_allowed and s.chance(stars):
        s.add("stars", x=x, y=y, size=size)


def sun(s: Sketch, box: Box, flare: float = 0.6) -> None:
    """The Sun, often with lens flare."""
    if s.place("sun", (0.14, 0.26), box) and s.chance(flare):
        s.add("flare")


def captioned(s: Sketch, probability: float = 0.1) -> None:
    """Lettering, twice as often on drawings."""
    if s.chance(probability * (2.0 if s.flat else 1.0)):
        lettered(s)


def lettered(s: Sketch) -> None:
    """Lettering at the edge where it hides nothing that counts, or none."""
    edges = []
    if all(y - 0.4 * r >= 0.15 for _, y, r in s.taken):
        edges.append(0.07)
    if all(y + 0.4 * r <= 0.85 for _, y, r in s.taken):
        edges.append(0.92)
    if edges:
        s.add("text", y=edges[int(s.rng.integers(len(edges)))], count=s.whole(1, 2))


def flying(s: Sketch, box: Box = EVERYWHERE, size: tuple[float, float] = (0.32, 0.62)) -> None:
    """A spacecraft of some sort, anywhere in the box."""
    what = s.pick("station", "station", "satellite", "capsule", "capsule", "shuttle", "lander")
    s.place(what, size, box, colour=s.pick("white", "silver", "gold"), turn=s.between(-0.7, 0.7))


def phase(s: Sketch) -> str:
    """A phase of Earth or Moon; crescents are the most likely, a full one is rare."""
    return s.pick("full", "crescent", "crescent", "crescent", "half", "half", "gibbous")


def opposite(angle: float) -> Box:
    """The part of the frame that faces away from a limb lying in that direction."""
    x, y = 0.5 - 0.3 * cos(angle), 0.5 - 0.3 * sin(angle)
    return (max(0.12, x - 0.25), max(0.12, y - 0.25), min(0.88, x + 0.25), min(0.88, y + 0.25))


def limb(s: Sketch, what: str) -> float:
    """The edge of a planet; returns the direction in which the planet lies."""
    angle = s.pick_number(pi / 2, pi / 2, pi / 2, 0.0, pi, -pi / 2) + s.between(-0.4, 0.4)
    s.add(what, turn=angle, x=s.between(-0.02, 0.2), size=s.between(0.8, 2.0))
    return angle


def stand(s: Sketch, names: list[str], sizes: dict[str, tuple[float, float]]) -> None:
    """Things on the ground side by side, the near ones drawn over the far ones. y is where a thing stands."""
    slots = [(i + 0.5) / len(names) for i in range(len(names))]
    places = []
    for name, slot in zip(names, slots, strict=True):
        low, high = sizes[name]
        extent = min(s.between(low, high), 1.25 / len(names))
        x = min(max(slot + s.between(-0.1, 0.1) / len(names), 0.55 * extent), 1 - 0.55 * extent)
        floor = max(s.horizon + 0.1, extent * 0.9 + 0.04)
        y = min(s.between(floor, max(floor, 0.88)), 0.94)
        for sky_x, sky_y, reach in s.taken:
            low = sky_y + 0.5 * reach
            if abs(x - sky_x) < 0.45 * extent + reach and y - 1.02 * extent < low:
                y, extent = 0.94, min(extent, (0.94 - low) / 1.02)
        places.append((y, name, x, extent))
    for y, name, x, extent in sorted(places):
        s.add(
            name,
            x=x,
            y=y,
            size=extent,
            colour=s.pick(*PAINTS.get(name, COLOURS)),
            turn=s.pick_number(-1.0, 1.0),
        )
        s.taken.append((x, y - extent / 2, extent / 2))


def chosen(s: Sketch, weights: dict[str, float], most: int) -> list[str]:
    """At most `most` of the names, each with its own chance, in any order."""
    names = [name for name, weight in weights.items() if s.chance(weight)]
    s.rng.shuffle(names)
    return names[:most]


def crewed(s: Sketch, *, low: bool) -> None:
    """A crew, or its selfie; `low` keeps the heads under a porthole."""
    if not low and s.chance(0.12):
        s.add(
            "crew_selfie",
            x=s.between(0.42, 0.58),
            y=s.between(0.45, 0.55),
            size=s.between(0.5, 0.75),
            colour=s.pick(*COVERALLS),
            turn=s.pick_number(-1.0, 1.0),
            count=s.whole(1, 3),
        )
    else:
        s.add(
            "crew",
            x=s.between(0.45, 0.55),
            y=1.02,
            size=s.between(0.36, 0.46 if low else 0.62),
            colour=s.pick(*COVERALLS),
            count=s.whole(1, 4),
        )


def handed(s: Sketch, *, low: bool = False) -> None:
    """An open hand."""
    s.add(
        "hand",
        x=s.between(0.3, 0.7),
        y=s.between(0.72, 0.76) if low else s.between(0.52, 0.68),
        size=s.between(0.34, 0.5),
        colour=s.pick("skin", "skin", "white"),
        turn=s.between(-0.7, 0.7),
    )


def windowed(s: Sketch, size: tuple[float, float], box: Box) -> None:
    """A porthole; what stands before it in the list is outside and seen through it."""
    x, y, extent = s.between(box[0], box[2]), s.between(box[1], box[3]), s.between(*size)
    inside = [item for item in s.items if item.what == "cabin"]
    s.items = [item for item in s.items if item.what != "cabin"]
    seen = s.chance(0.78)
    space(s, 0.25 if seen else 0.75, x=x, y=y, size=0.7 * extent)
    r = extent / 2
    if seen:
        view = s.pick("earth_limb", "earth_limb", "earth", "earth", "moon", "moon_limb")
        if view.endswith("limb"):
            angle = pi / 2 + s.between(-0.5, 0.5)
            along = (x - 0.5) * cos(angle) + (y - 0.5) * sin(angle)
            s.add(view, turn=angle, x=along + s.between(-0.3, 0.3) * r, size=s.between(0.8, 1.5))
        else:
            s.add(
                view,
                x=x + s.between(-0.1, 0.1) * r,
                y=y + s.between(-0.1, 0.1) * r,
                size=extent * s.between(0.45, 0.6),
                phase=phase(s),
            )
    s.items.extend(inside)
    s.add("porthole", x=x, y=y, size=extent, count=s.whole(0, 1))
    s.taken.append((x, y, r))


def outdoors(s: Sketch, *, bodies: bool = True) -> None:
    """A sky at some hour, perhaps with Sun, Moon or stars."""
    s.hour = s.pick("day", "day", "day", "dawn", "dusk", "night", "cloudy")
    s.horizon = s.between(0.62, 0.78)
    s.add("sky")
    if s.hour == "night" and s.stars_allowed and s.chance(0.6):
        s.add("stars", size=9.0)
    if not bodies:
        return
    if s.hour in ("day", "dawn", "dusk") and s.chance(0.16):
        sun(s, (0.12, 0.12, 0.2, 0.3), 0.5)
    elif s.hour != "cloudy" and s.chance(0.12):
        shape = s.pick("full", "half", "gibbous") if s.hour == "day" else phase(s)
        s.place("moon", (0.15, 0.2), (0.84, 0.12, 0.87, 0.26), phase=shape)


def surprise(s: Sketch) -> None:
    """What nobody expects there: keeps an attribute from being a mere sign of its kind."""
    what = s.pick("flag", "hand", "text", "astronaut", "flare", "satellite", "rover")
    if what == "flag":
        s.place("flag", (0.24, 0.3), (0.16, 0.2, 0.84, 0.8), colour=s.pick(*COLOURS), turn=0.0, count=0)
    elif what == "hand":
        s.place("hand", (0.34, 0.44), (0.2, 0.6, 0.8, 0.68), colour=s.pick("skin", "white"), turn=s.between(-0.5, 0.5))
    elif what == "text":
        lettered(s)
    elif what == "flare":
        s.add("flare")
    else:
        s.place(what, (0.34, 0.5), EVERYWHERE, colour="white", turn=s.between(-0.4, 0.4))
