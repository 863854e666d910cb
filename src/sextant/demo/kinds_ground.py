"""Kinds of picture taken indoors and on Earth, and the drawn sheets."""

from __future__ import annotations

from sextant.demo.pieces import (
    COLOURS,
    COVERALLS,
    ON_MOON,
    captioned,
    chosen,
    crewed,
    handed,
    outdoors,
    stand,
    sun,
    windowed,
)
from sextant.demo.planning import Sketch


def cabin(s: Sketch) -> None:
    """Inside a spacecraft or station."""
    s.add("cabin", colour=s.pick("white", "silver", "blue", "yellow", "green"))
    porthole = s.chance(0.22)
    if porthole:
        windowed(s, (0.32, 0.42), (0.24, 0.22, 0.76, 0.34))
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
        crewed(s, low=porthole)
    elif s.chance(0.5):
        handed(s, low=porthole)
    elif not porthole and s.chance(0.25):
        s.place(
            "astronaut",
            (0.55, 0.75),
            (0.35, 0.45, 0.65, 0.55),
            colour=s.pick("white", "orange"),
            turn=s.between(-0.3, 0.3),
        )
    captioned(s, 0.06)


def window(s: Sketch) -> None:
    """Looking out through a large porthole."""
    s.add("cabin", colour=s.pick("white", "silver", "blue", "yellow", "green"))
    windowed(s, (0.5, 0.78), (0.4, 0.4, 0.6, 0.56))
    if s.chance(0.18):
        s.add(
            "hand",
            x=s.pick_number(0.2, 0.8),
            y=s.between(0.7, 0.76),
            size=s.between(0.3, 0.42),
            colour=s.pick("skin", "white"),
            turn=s.between(-0.5, 0.5),
        )
    elif s.chance(0.2):
        s.add("crew", x=s.pick_number(0.2, 0.8), y=1.02, size=s.between(0.36, 0.46), colour=s.pick(*COVERALLS))
    captioned(s, 0.04)


def launch(s: Sketch) -> None:
    """A rocket leaving the pad."""
    outdoors(s)
    s.add("field", colour=s.pick("green", "grey"))
    x, side = s.between(0.38, 0.62), s.pick_number(-1.0, 1.0)
    if s.chance(0.75):
        s.add("pad", x=x, y=s.horizon + 0.08, size=s.between(0.45, 0.6), turn=side)
    size = s.between(0.34, 0.5)
    y = s.horizon + 0.02 - s.between(0.06, 0.24)
    s.add("plume", x=x, y=y, size=s.between(0.2, 0.34))
    s.add("rocket", x=x, y=y, size=size, colour=s.pick("white", "white", "orange", "silver"), count=s.whole(0, 2))
    captioned(s)


def pad(s: Sketch) -> None:
    """A rocket waiting on its pad."""
    outdoors(s)
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
    captioned(s)


def splashdown(s: Sketch) -> None:
    """Coming home at sea."""
    chutes = s.chance(0.6)
    outdoors(s, bodies=not chutes)
    s.horizon = s.between(0.5, 0.68)
    s.add("sea")
    if chutes:
        s.add(
            "chutes",
            x=s.between(0.35, 0.65),
            y=s.between(0.3, 0.42),
            size=s.between(0.5, 0.62),
            colour=s.pick("orange", "red", "white"),
            count=s.whole(1, 3),
        )
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
    captioned(s)


def control(s: Sketch) -> None:
    """Mission control."""
    s.add("control", colour=s.pick("blue", "silver", "green"))
    if s.chance(0.4):
        s.add("wall_map", x=0.5, y=0.25, size=s.between(0.44, 0.56))
    if s.chance(0.3):
        s.add("flag", x=s.pick_number(0.13, 0.87), y=0.24, size=0.24, colour=s.pick(*COLOURS), turn=0.0, count=0)
    captioned(s)


def hall(s: Sketch) -> None:
    """Indoors on the ground: assembly hall or museum."""
    s.add("hall", colour=s.pick("white", "silver", "blue", "yellow"))
    s.horizon = 0.62
    names = chosen(s, {"lander": 0.4, "capsule": 0.0, "rover": 0.35, "rocket": 0.4, "flag": 0.3}, 2) or ["lander"]
    stand(s, names, {**ON_MOON, "rocket": (0.5, 0.7)})
    captioned(s)


def desert(s: Sketch) -> None:
    """Tests on dry ground: rovers, trucks, suits."""
    s.hour = s.pick("day", "day", "dawn", "dusk")
    s.horizon = s.between(0.36, 0.55)
    s.add("sky")
    if s.chance(0.2):
        sun(s, (0.14, 0.11, 0.86, s.horizon - 0.16), 0.5)
    s.add("desert", colour=s.pick("orange", "yellow"))
    sizes = {**ON_MOON, "truck": (0.34, 0.46)}
    weights = {"rover": 0.45, "truck": 0.4, "habitat": 0.25, "flag": 0.2, "solar_array": 0.25, "astronaut": 0.2}
    stand(s, chosen(s, weights, 3) or ["truck"], sizes)
    captioned(s)


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
