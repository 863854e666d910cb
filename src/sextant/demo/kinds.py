"""The kinds of picture in the archive: each composes a sketch of things that plausibly stand together."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin

from sextant.demo.planning import Sketch

COLOURS = ("white", "silver", "gold", "red", "blue", "green", "orange", "yellow")
Box = tuple[float, float, float, float]
EVERYWHERE: Box = (0.18, 0.18, 0.82, 0.82)


def _space(s: Sketch, stars: float = 0.4, *, x: float = 0.5, y: float = 0.5, size: float = 9.0) -> None:
    """Space, with stars at times; stars seen through a porthole are given its place and size."""
    s.add("space")
    if s.stars_allowed and s.chance(stars):
        s.add("stars", x=x, y=y, size=size)


def _sun(s: Sketch, box: Box, flare: float = 0.6) -> None:
    if s.place("sun", (0.14, 0.26), box) and s.chance(flare):
        s.add("flare")


def _captioned(s: Sketch, probability: float = 0.1) -> None:
    if s.chance(probability * (2.0 if s.flat else 1.0)):
        _text(s)


def _text(s: Sketch) -> None:
    """Lettering at the edge where it hides nothing that counts, or none."""
    edges = [
        edge
        for edge, hides in ((0.07, lambda y, r: y - 0.4 * r < 0.15), (0.92, lambda y, r: y + 0.4 * r > 0.85))
        if not any(hides(y, r) for _, y, r in s.taken)
    ]
    if edges:
        s.add("text", y=edges[int(s.rng.integers(len(edges)))], count=s.whole(1, 2))


def _flying(s: Sketch, box: Box = EVERYWHERE, size: tuple[float, float] = (0.32, 0.62)) -> None:
    what = s.pick("station", "station", "satellite", "capsule", "capsule", "shuttle", "lander")
    s.place(what, size, box, colour=s.pick("white", "silver", "gold"), turn=s.between(-0.7, 0.7))


def _phase(s: Sketch) -> str:
    return s.pick("full", "crescent", "crescent", "half", "gibbous")


def _opposite(angle: float) -> Box:
    """The part of the frame that faces away from a limb lying in that direction."""
    x, y = 0.5 - 0.3 * cos(angle), 0.5 - 0.3 * sin(angle)
    return (max(0.12, x - 0.25), max(0.12, y - 0.25), min(0.88, x + 0.25), min(0.88, y + 0.25))


def _limb(s: Sketch, what: str) -> float:
    angle = s.pick_number(pi / 2, pi / 2, pi / 2, 0.0, pi, -pi / 2) + s.between(-0.4, 0.4)
    s.add(what, turn=angle, x=s.between(-0.02, 0.2), size=s.between(0.8, 2.0))
    return angle


def orbit(s: Sketch) -> None:
    """Above the Earth: its limb fills part of the frame."""
    _space(s, 0.4)
    free = _opposite(_limb(s, "earth_limb"))
    if s.chance(0.2):
        _sun(s, free)
    if s.chance(0.14):
        s.place("moon", (0.13, 0.2), free, phase=_phase(s))
    if s.chance(0.5):
        _flying(s)
    if s.chance(0.1):
        s.place("astronaut", (0.36, 0.6), EVERYWHERE, colour=s.pick("white", "orange"), turn=s.between(-1, 1))
    _captioned(s)


def earth_disc(s: Sketch) -> None:
    """The whole Earth in space."""
    _space(s, 0.35)
    s.place(
        "earth",
        (0.26, 0.85),
        (0.3, 0.3, 0.7, 0.7),
        phase=s.pick("full", "full", "crescent", "crescent", "half", "gibbous"),
    )
    if s.chance(0.35):
        s.add("glow")
    if s.chance(0.25):
        s.place("moon", (0.13, 0.25), (0.1, 0.1, 0.9, 0.9), phase=_phase(s))
    if s.chance(0.1):
        _sun(s, (0.12, 0.12, 0.88, 0.88))
    if s.chance(0.15):
        _flying(s, size=(0.26, 0.42))
    _captioned(s)


def moon_disc(s: Sketch) -> None:
    """The whole Moon in space."""
    _space(s, 0.35)
    s.place("moon", (0.25, 0.85), (0.3, 0.3, 0.7, 0.7), phase=_phase(s))
    if s.chance(0.15):
        _flying(s, size=(0.26, 0.42))
    if s.chance(0.08):
        _sun(s, (0.12, 0.12, 0.88, 0.88))
    _captioned(s)


def lunar_orbit(s: Sketch) -> None:
    """Above the Moon: its cratered limb, often with the Earth rising."""
    _space(s, 0.25)
    free = _opposite(_limb(s, "moon_limb"))
    if s.chance(0.5):
        s.place("earth", (0.16, 0.32), free, phase=s.pick("crescent", "crescent", "half", "gibbous", "full"))
    elif s.chance(0.2):
        _sun(s, free)
    if s.chance(0.3):
        _flying(s, size=(0.3, 0.5))
    _captioned(s, 0.06)


def _stand(s: Sketch, names: list[str], sizes: dict[str, tuple[float, float]]) -> None:
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
            colour=s.pick(*COLOURS[: 3 if name in SUITED else 8]),
            turn=s.pick_number(-1.0, 1.0),
        )
        s.taken.append((x, y - extent / 2, extent / 2))


SUITED = ("astronaut", "lander", "habitat", "rocket", "ship")
ON_MOON = {
    "astronaut": (0.34, 0.58), "lander": (0.34, 0.5), "rover": (0.32, 0.46), "flag": (0.28, 0.42),
    "habitat": (0.34, 0.55), "solar_array": (0.28, 0.42),
}  # fmt: skip


def _chosen(s: Sketch, weights: dict[str, float], most: int) -> list[str]:
    names = [name for name, weight in weights.items() if s.chance(weight)]
    s.rng.shuffle(names)
    return names[:most]


def lunar_ground(s: Sketch) -> None:
    """On the Moon: astronauts, lander, rover, flag."""
    _space(s, 0.2)
    s.horizon = s.between(0.34, 0.52)
    sky = (0.14, 0.11, 0.86, s.horizon - 0.16)
    if s.chance(0.28):
        s.place("earth", (0.15, 0.24), sky, phase=_phase(s))
    if s.chance(0.14):
        _sun(s, sky)
    s.add("lunar_ground")
    weights = {"astronaut": 0.55, "flag": 0.25, "lander": 0.34, "rover": 0.28, "habitat": 0.1}
    names = _chosen(s, weights, 3)
    if "astronaut" in names and len(names) < 3 and s.chance(0.3):
        names.append("astronaut")
    if names:
        _stand(s, names, ON_MOON)
    _captioned(s, 0.07)


def moon_base(s: Sketch) -> None:
    """Living and working on the Moon."""
    _space(s, 0.25)
    s.horizon = s.between(0.3, 0.45)
    if s.chance(0.35):
        s.place("earth", (0.15, 0.22), (0.14, 0.11, 0.86, s.horizon - 0.14), phase=_phase(s))
    s.add("lunar_ground")
    _stand(
        s, ["habitat", *_chosen(s, {"solar_array": 0.55, "astronaut": 0.35, "rover": 0.35, "flag": 0.15}, 2)], ON_MOON
    )
    _captioned(s)


def eva(s: Sketch) -> None:
    """Outside the spacecraft."""
    _space(s, 0.35)
    limb = s.chance(0.6)
    free = _opposite(_limb(s, "earth_limb")) if limb else EVERYWHERE
    if s.chance(0.16):
        _sun(s, free)
    selfie = s.chance(0.14)
    if not selfie and s.chance(0.5):
        _flying(s, size=(0.4, 0.7))
    if selfie:
        s.add("suit_selfie", x=s.between(0.4, 0.6), y=s.between(0.48, 0.58), size=s.between(0.5, 0.75), colour="white",
              turn=s.pick_number(-1.0, 1.0))  # fmt: skip
    else:
        for _ in range(2 if s.chance(0.15) else 1):
            s.place("astronaut", (0.4, 0.75), (0.25, 0.25, 0.75, 0.75), colour=s.pick("white", "white", "orange"),
                    turn=s.between(-1.2, 1.2))  # fmt: skip
    _captioned(s, 0.06)


COVERALLS = ("blue", "orange", "green", "red")


def _crew(s: Sketch, *, low: bool) -> None:
    """A crew, or its selfie; `low` keeps the heads under a porthole."""
    if not low and s.chance(0.26):
        s.add("crew_selfie", x=s.between(0.42, 0.58), y=s.between(0.45, 0.55), size=s.between(0.5, 0.75),
              colour=s.pick(*COVERALLS), turn=s.pick_number(-1.0, 1.0), count=s.whole(1, 3))  # fmt: skip
    else:
        s.add("crew", x=s.between(0.45, 0.55), y=1.02, size=s.between(0.36, 0.46 if low else 0.62), colour=s.pick(*COVERALLS),
              count=s.whole(1, 4))  # fmt: skip


def cabin(s: Sketch) -> None:
    """Inside a spacecraft or station."""
    s.add("cabin", colour=s.pick("white", "silver", "blue", "yellow", "green"))
    porthole = s.chance(0.22)
    if porthole:
        _window(s, (0.32, 0.42), (0.24, 0.22, 0.76, 0.34))
    if s.chance(0.14):
        s.add(
            "flag",
            x=s.pick_number(0.17, 0.83),
            y=s.between(0.2, 0.3),
            size=0.24,
            colour=s.pick(*COLOURS),
            turn=0.0,
            count=0,
        )
    if s.chance(0.62):
        _crew(s, low=porthole)
    elif s.chance(0.5):
        _hand(s, low=porthole)
    elif not porthole and s.chance(0.25):
        s.place(
            "astronaut",
            (0.55, 0.75),
            (0.35, 0.45, 0.65, 0.55),
            colour=s.pick("white", "orange"),
            turn=s.between(-0.3, 0.3),
        )
    _captioned(s, 0.06)


def _hand(s: Sketch, *, low: bool = False) -> None:
    s.add("hand", x=s.between(0.3, 0.7), y=s.between(0.72, 0.76) if low else s.between(0.52, 0.68), size=s.between(0.34, 0.5), colour=s.pick("skin", "skin", "white"),
          turn=s.between(-0.7, 0.7))  # fmt: skip


def _window(s: Sketch, size: tuple[float, float], box: Box) -> None:
    """A porthole; what stands before it in the list is outside and seen through it."""
    x, y, extent = s.between(box[0], box[2]), s.between(box[1], box[3]), s.between(*size)
    inside = [item for item in s.items if item.what == "cabin"]
    s.items = [item for item in s.items if item.what != "cabin"]
    seen = s.chance(0.78)
    _space(s, 0.25 if seen else 0.75, x=x, y=y, size=0.7 * extent)
    r = extent / 2
    if seen:
        view = s.pick("earth_limb", "earth_limb", "earth", "earth", "moon", "moon_limb")
        if view.endswith("limb"):
            angle = pi / 2 + s.between(-0.5, 0.5)
            along = (x - 0.5) * cos(angle) + (y - 0.5) * sin(angle)
            s.add(view, turn=angle, x=along + s.between(-0.3, 0.3) * r, size=s.between(0.8, 1.5))
        else:
            s.add(view, x=x + s.between(-0.1, 0.1) * r, y=y + s.between(-0.1, 0.1) * r, size=extent * s.between(0.45, 0.6),
                  phase=_phase(s))  # fmt: skip
    s.items.extend(inside)
    s.add("porthole", x=x, y=y, size=extent, count=s.whole(0, 1))
    s.taken.append((x, y, r))


def window(s: Sketch) -> None:
    """Looking out through a large porthole."""
    s.add("cabin", colour=s.pick("white", "silver", "blue", "yellow", "green"))
    _window(s, (0.5, 0.78), (0.4, 0.4, 0.6, 0.56))
    if s.chance(0.18):
        s.add("hand", x=s.pick_number(0.2, 0.8), y=s.between(0.7, 0.76), size=s.between(0.3, 0.42), colour=s.pick("skin", "white"),
              turn=s.between(-0.5, 0.5))  # fmt: skip
    elif s.chance(0.2):
        s.add("crew", x=s.pick_number(0.2, 0.8), y=1.02, size=s.between(0.36, 0.46), colour=s.pick(*COVERALLS))
    _captioned(s, 0.04)


def _outdoors(s: Sketch, *, bodies: bool = True) -> None:
    s.hour = s.pick("day", "day", "day", "dawn", "dusk", "night", "cloudy")
    s.horizon = s.between(0.62, 0.78)
    s.add("sky")
    if s.hour == "night" and s.stars_allowed and s.chance(0.6):
        s.add("stars", size=9.0)
    if not bodies:
        return
    if s.hour in ("day", "dawn", "dusk") and s.chance(0.16):
        _sun(s, (0.12, 0.12, 0.2, 0.3), 0.5)
    elif s.hour != "cloudy" and s.chance(0.12):
        phase = s.pick("full", "half", "gibbous") if s.hour == "day" else _phase(s)
        s.place("moon", (0.15, 0.2), (0.84, 0.12, 0.87, 0.26), phase=phase)


def launch(s: Sketch) -> None:
    """A rocket leaving the pad."""
    _outdoors(s)
    s.add("field", colour=s.pick("green", "grey"))
    x, side = s.between(0.38, 0.62), s.pick_number(-1.0, 1.0)
    if s.chance(0.75):
        s.add("pad", x=x, y=s.horizon + 0.08, size=s.between(0.45, 0.6), turn=side)
    size = s.between(0.34, 0.5)
    y = s.horizon + 0.02 - s.between(0.06, 0.24)
    s.add("plume", x=x, y=y, size=s.between(0.2, 0.34))
    s.add("rocket", x=x, y=y, size=size, colour=s.pick("white", "white", "orange", "silver"), count=s.whole(0, 2))
    _captioned(s)


def pad(s: Sketch) -> None:
    """A rocket waiting on its pad."""
    _outdoors(s)
    s.add("field", colour=s.pick("green", "grey", "yellow"))
    x, base = s.between(0.4, 0.6), s.horizon + 0.06
    s.add("pad", x=x, y=base, size=s.between(0.5, 0.64), turn=s.pick_number(-1.0, 1.0))
    if s.chance(0.75):
        s.add(
            "rocket",
            x=x,
            y=base - 0.05,
            size=s.between(0.42, 0.56),
            colour=s.pick("white", "orange", "silver"),
            count=s.whole(0, 2),
        )
    if s.chance(0.3):
        s.add(
            "truck",
            x=s.pick_number(0.18, 0.82),
            y=0.92,
            size=s.between(0.26, 0.32),
            colour=s.pick(*COLOURS),
            turn=s.pick_number(-1.0, 1.0),
        )
    if s.chance(0.25):
        s.add(
            "flag",
            x=s.pick_number(0.12, 0.86),
            y=s.horizon + 0.1,
            size=s.between(0.28, 0.36),
            colour=s.pick(*COLOURS),
            turn=1.0,
        )
    _captioned(s)


def splashdown(s: Sketch) -> None:
    """Coming home at sea."""
    chutes = s.chance(0.6)
    _outdoors(s, bodies=not chutes)
    s.horizon = s.between(0.5, 0.68)
    s.add("sea")
    if chutes:
        s.add("chutes", x=s.between(0.35, 0.65), y=s.between(0.3, 0.42), size=s.between(0.5, 0.62), colour=s.pick("orange", "red", "white"),
              count=s.whole(1, 3))  # fmt: skip
    if s.chance(0.35):
        s.add(
            "ship",
            x=s.pick_number(0.22, 0.78),
            y=s.horizon + 0.09,
            size=s.between(0.3, 0.4),
            colour=s.pick("silver", "white", "red"),
            turn=s.pick_number(-1.0, 1.0),
        )
    if not chutes and s.chance(0.93):
        s.add(
            "floating_capsule",
            x=s.between(0.35, 0.65),
            y=s.between(0.78, 0.86),
            size=s.between(0.26, 0.4),
            colour=s.pick("white", "silver", "gold"),
        )
    _captioned(s)


def control(s: Sketch) -> None:
    """Mission control."""
    s.add("control", colour=s.pick("blue", "silver", "green"))
    if s.chance(0.4):
        s.add("wall_map", x=0.5, y=0.25, size=s.between(0.44, 0.56))
    if s.chance(0.3):
        s.add("flag", x=s.pick_number(0.13, 0.87), y=0.24, size=0.24, colour=s.pick(*COLOURS), turn=0.0, count=0)
    _captioned(s)


def hall(s: Sketch) -> None:
    """Indoors on the ground: assembly hall or museum."""
    s.add("hall", colour=s.pick("white", "silver", "blue", "yellow"))
    s.horizon = 0.62
    names = _chosen(s, {"lander": 0.4, "capsule": 0.0, "rover": 0.35, "rocket": 0.4, "flag": 0.3}, 2) or ["lander"]
    _stand(s, names, {**ON_MOON, "rocket": (0.5, 0.7)})
    _captioned(s)


def desert(s: Sketch) -> None:
    """Tests on dry ground: rovers, trucks, suits."""
    s.hour = s.pick("day", "day", "dawn", "dusk")
    s.horizon = s.between(0.36, 0.55)
    s.add("sky")
    if s.chance(0.2):
        _sun(s, (0.14, 0.11, 0.86, s.horizon - 0.16), 0.5)
    s.add("desert", colour=s.pick("orange", "yellow"))
    sizes = {**ON_MOON, "truck": (0.34, 0.46)}
    weights = {"rover": 0.45, "truck": 0.4, "habitat": 0.25, "flag": 0.2, "solar_array": 0.25, "astronaut": 0.2}
    _stand(s, _chosen(s, weights, 3) or ["truck"], sizes)
    _captioned(s)


def starfield(s: Sketch) -> None:
    """Nothing but stars, a cloud of gas, perhaps the Sun."""
    s.add("space", colour=s.pick("blue", "red", "green", "grey"), count=2)
    if s.stars_allowed:
        s.add("stars", count=2, size=9.0)
    if s.chance(0.15):
        _sun(s, EVERYWHERE)
    if s.chance(0.2):
        _flying(s)
    _captioned(s)


def sunny(s: Sketch) -> None:
    """The Sun in space."""
    _space(s, 0.25)
    _sun(s, EVERYWHERE, 0.75)
    if s.chance(0.45):
        _flying(s)
    if s.chance(0.15):
        s.place("moon", (0.15, 0.3), (0.12, 0.12, 0.88, 0.88), phase=_phase(s))
    _captioned(s)


def craft(s: Sketch) -> None:
    """A spacecraft close up in space."""
    _space(s, 0.45)
    _flying(s, (0.4, 0.4, 0.6, 0.6), (0.6, 0.85))
    if s.chance(0.12):
        s.add("flag", x=s.pick_number(0.16, 0.84), y=0.84, size=0.26, colour=s.pick(*COLOURS), turn=0.0, count=0)
    if s.chance(0.1):
        _sun(s, (0.12, 0.12, 0.88, 0.88))
    _captioned(s)


def darkness(s: Sketch) -> None:
    """A nearly black frame."""
    s.dark = True
    s.add("space", count=0)
    what = s.pick("stars", "moon", "crescent", "sun", "satellite")
    box = (0.2, 0.2, 0.8, 0.8)
    if what == "moon":
        s.place("moon", (0.14, 0.18), box, phase=s.pick("full", "half"))
    elif what == "crescent":
        s.place(s.pick("moon", "earth"), (0.2, 0.3), box, phase="crescent")
    elif what == "sun":
        s.place("sun", (0.1, 0.12), box)
    elif what == "satellite":
        s.place("satellite", (0.2, 0.24), box, colour="silver", turn=s.between(-0.7, 0.7))
    else:
        s.add("stars", count=0, size=9.0)


def chart(s: Sketch) -> None:
    """A technical drawing with labels."""
    s.add("chart", colour=s.pick("blue", "white", "grey", "green"))
    kind = s.pick("craft", "rocket", "orbit", "orbit", "cutaway")
    if kind == "orbit":
        s.place("earth", (0.2, 0.32), (0.2, 0.4, 0.32, 0.7), phase="gibbous")
        if s.chance(0.7):
            s.place("moon", (0.14, 0.2), (0.7, 0.25, 0.82, 0.5), phase="gibbous")
        if s.chance(0.4):
            s.place("capsule", (0.16, 0.22), (0.45, 0.2, 0.6, 0.8), colour="white", turn=0.4)
    elif kind == "rocket":
        s.add(
            "rocket",
            x=s.between(0.4, 0.6),
            y=0.9,
            size=s.between(0.62, 0.72),
            colour=s.pick("white", "silver"),
            count=s.whole(0, 2),
        )
    elif kind == "craft":
        s.add(
            s.pick("satellite", "station", "capsule", "shuttle"),
            x=0.5,
            y=0.52,
            size=s.between(0.5, 0.7),
            colour="white",
            turn=0.0,
        )
    else:
        s.add(
            s.pick("lander", "rover", "habitat", "astronaut"),
            x=0.5,
            y=0.84,
            size=s.between(0.5, 0.65),
            colour="white",
            turn=1.0,
        )


def atlas(s: Sketch) -> None:
    """A map with a grid and perhaps a route."""
    s.add("atlas", colour=s.pick("blue", "green", "yellow", "grey"), count=s.whole(0, 2))
    if s.chance(0.35):
        s.add("text", y=s.pick_number(0.07, 0.92), count=1)


ANY: dict[Callable[[Sketch], None], float] = {
    orbit: 0.1, earth_disc: 0.06, moon_disc: 0.055, lunar_orbit: 0.05, lunar_ground: 0.095, moon_base: 0.03,
    eva: 0.075, cabin: 0.14, window: 0.075, launch: 0.08, pad: 0.05, splashdown: 0.06, control: 0.05, hall: 0.035,
    desert: 0.045, starfield: 0.025, sunny: 0.025, craft: 0.045, darkness: 0.035,
}  # fmt: skip
FLAT_ONLY: dict[Callable[[Sketch], None], float] = {chart: 0.17, atlas: 0.11}


def _surprise(s: Sketch) -> None:
    """What nobody expects there: keeps an attribute from being a mere sign of its kind."""
    what = s.pick("flag", "hand", "text", "astronaut", "flare", "satellite", "rover")
    if what == "flag":
        s.place("flag", (0.24, 0.3), (0.16, 0.2, 0.84, 0.8), colour=s.pick(*COLOURS), turn=0.0, count=0)
    elif what == "hand":
        s.place("hand", (0.34, 0.44), (0.2, 0.6, 0.8, 0.68), colour=s.pick("skin", "white"), turn=s.between(-0.5, 0.5))
    elif what == "text":
        _text(s)
    elif what == "flare":
        s.add("flare")
    else:
        s.place(what, (0.34, 0.5), EVERYWHERE, colour="white", turn=s.between(-0.4, 0.4))


def compose(s: Sketch) -> str:
    """Fill the sketch and name the kind that was chosen."""
    weights = {**ANY, **FLAT_ONLY} if s.flat else ANY
    total = sum(weights.values())
    mark = s.rng.random() * total
    for kind, weight in weights.items():
        mark -= weight
        if mark < 0:
            break
    kind(s)
    if not s.dark and kind not in FLAT_ONLY and s.chance(0.05):
        _surprise(s)
    return kind.__name__
