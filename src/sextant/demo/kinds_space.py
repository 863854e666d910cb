"""Kinds of picture taken in space and on the Moon."""

from __future__ import annotations

from sextant.demo.pieces import (
    COLOURS,
    EVERYWHERE,
    ON_MOON,
    captioned,
    chosen,
    flying,
    limb,
    opposite,
    phase,
    space,
    stand,
    sun,
)
from sextant.demo.planning import Sketch


def orbit(s: Sketch) -> None:
    """Above the Earth: its limb fills part of the frame."""
    space(s, 0.4)
    free = opposite(limb(s, "earth_limb"))
    if s.chance(0.2):
        sun(s, free)
    if s.chance(0.14):
        s.place("moon", (0.13, 0.2), free, phase=phase(s))
    if s.chance(0.5):
        flying(s)
    if s.chance(0.1):
        s.place("astronaut", (0.36, 0.6), EVERYWHERE, colour=s.pick("white", "orange"), turn=s.between(-1, 1))
    captioned(s)


def earth_disc(s: Sketch) -> None:
    """The whole Earth in space."""
    space(s, 0.35)
    s.place(
        "earth",
        (0.26, 0.85),
        (0.3, 0.3, 0.7, 0.7),
        phase=s.pick("full", "full", "crescent", "crescent", "half", "gibbous"),
    )
    if s.chance(0.35):
        s.add("glow")
    if s.chance(0.25):
        s.place("moon", (0.13, 0.25), (0.1, 0.1, 0.9, 0.9), phase=phase(s))
    if s.chance(0.1):
        sun(s, (0.12, 0.12, 0.88, 0.88))
    if s.chance(0.15):
        flying(s, size=(0.26, 0.42))
    captioned(s)


def moon_disc(s: Sketch) -> None:
    """The whole Moon in space."""
    space(s, 0.35)
    s.place("moon", (0.25, 0.85), (0.3, 0.3, 0.7, 0.7), phase=phase(s))
    if s.chance(0.15):
        flying(s, size=(0.26, 0.42))
    if s.chance(0.08):
        sun(s, (0.12, 0.12, 0.88, 0.88))
    captioned(s)


def lunar_orbit(s: Sketch) -> None:
    """Above the Moon: its cratered limb, often with the Earth rising."""
    space(s, 0.25)
    free = opposite(limb(s, "moon_limb"))
    if s.chance(0.5):
        s.place("earth", (0.16, 0.32), free, phase=s.pick("crescent", "crescent", "half", "gibbous", "full"))
    elif s.chance(0.2):
        sun(s, free)
    if s.chance(0.3):
        flying(s, size=(0.3, 0.5))
    captioned(s, 0.06)


def lunar_ground(s: Sketch) -> None:
    """On the Moon: astronauts, lander, rover, flag."""
    space(s, 0.2)
    s.horizon = s.between(0.34, 0.52)
    sky = (0.14, 0.11, 0.86, s.horizon - 0.16)
    if s.chance(0.28):
        s.place("earth", (0.15, 0.24), sky, phase=phase(s))
    if s.chance(0.14):
        sun(s, sky)
    s.add("lunar_ground")
    weights = {"astronaut": 0.55, "flag": 0.25, "lander": 0.34, "rover": 0.28, "habitat": 0.1}
    names = chosen(s, weights, 3)
    if "astronaut" in names and len(names) < 3 and s.chance(0.3):
        names.append("astronaut")
    if names:
        stand(s, names, ON_MOON)
    captioned(s, 0.07)


def moon_base(s: Sketch) -> None:
    """Living and working on the Moon."""
    space(s, 0.25)
    s.horizon = s.between(0.3, 0.45)
    if s.chance(0.35):
        s.place("earth", (0.15, 0.22), (0.14, 0.11, 0.86, s.horizon - 0.14), phase=phase(s))
    s.add("lunar_ground")
    stand(s, ["habitat", *chosen(s, {"solar_array": 0.55, "astronaut": 0.35, "rover": 0.35, "flag": 0.15}, 2)], ON_MOON)
    captioned(s)


def eva(s: Sketch) -> None:
    """Outside the spacecraft."""
    space(s, 0.35)
    free = opposite(limb(s, "earth_limb")) if s.chance(0.6) else EVERYWHERE
    if s.chance(0.16):
        sun(s, free)
    selfie = s.chance(0.08)
    if not selfie and s.chance(0.5):
        flying(s, size=(0.4, 0.7))
    if selfie:
        s.add(
            "suit_selfie",
            x=s.between(0.4, 0.6),
            y=s.between(0.48, 0.58),
            size=s.between(0.5, 0.75),
            colour="white",
            turn=s.pick_number(-1.0, 1.0),
        )
    else:
        for _ in range(2 if s.chance(0.15) else 1):
            s.place(
                "astronaut",
                (0.4, 0.75),
                (0.25, 0.25, 0.75, 0.75),
                colour=s.pick("white", "white", "orange"),
                turn=s.between(-1.2, 1.2),
            )
    captioned(s, 0.06)


def starfield(s: Sketch) -> None:
    """Nothing but stars, a cloud of gas, perhaps the Sun."""
    s.add("space", colour=s.pick("blue", "red", "green", "grey"), count=2)
    if s.stars_allowed:
        s.add("stars", count=2, size=9.0)
    if s.chance(0.15):
        sun(s, EVERYWHERE)
    if s.chance(0.2):
        flying(s)
    captioned(s)


def sunny(s: Sketch) -> None:
    """The Sun in space."""
    space(s, 0.25)
    sun(s, EVERYWHERE, 0.75)
    if s.chance(0.45):
        flying(s)
    if s.chance(0.15):
        s.place("moon", (0.15, 0.3), (0.12, 0.12, 0.88, 0.88), phase=phase(s))
    captioned(s)


def craft(s: Sketch) -> None:
    """A spacecraft close up in space."""
    space(s, 0.45)
    flying(s, (0.4, 0.4, 0.6, 0.6), (0.6, 0.85))
    if s.chance(0.12):
        s.add("flag", x=s.pick_number(0.16, 0.84), y=0.84, size=0.26, colour=s.pick(*COLOURS), turn=0.0, count=0)
    if s.chance(0.1):
        sun(s, (0.12, 0.12, 0.88, 0.88))
    captioned(s)


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
