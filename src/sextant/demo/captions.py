"""Words for pictures: phrases for each attribute, sentences for a set of attributes, and captions for a plan.

Everything comes twice: words and templates for training, and held-out ones that training never sees.
Only what is true of the picture is ever said.
"""

from __future__ import annotations

import re

import numpy as np

from sextant.demo.planning import Item, Plan

PHRASES: dict[str, tuple[str, ...]] = {
    "earth": ("the earth", "planet earth", "the blue planet", "earth from space", "our planet with clouds and oceans"),
    "moon": ("the moon", "the earth's moon", "the lunar disc or ground", "luna", "the grey moon"),
    "crescent_moon": ("a crescent moon", "a thin sickle of the moon", "the moon as a crescent", "a lunar crescent"),
    "full_moon": ("a full moon", "the fully lit moon", "the whole round moon", "a moon lit all over"),
    "crescent_earth": ("a crescent earth", "the earth as a thin crescent", "a sickle of the earth", "the earth mostly in shadow"),
    "full_earth": ("a full earth", "the fully lit earth", "the whole round earth", "the earth lit all over"),
    "sun": ("the sun", "the bright sun", "a blazing sun", "sunlight from the sun's disc", "our star the sun"),
    "stars": ("stars", "a field of stars", "a starry sky", "many stars", "points of starlight"),
    "deep_space": ("deep space", "black space", "outer space", "the blackness of space", "empty dark space"),
    "orbital": ("a view from orbit", "seen from orbit", "an orbital view", "above a planet in orbit", "the curved limb seen from orbit"),
    "surface": ("the surface", "solid ground or sea", "a view on the surface", "standing on the ground", "surface terrain"),
    "lunar_surface": ("the lunar surface", "the surface of the moon", "moon ground with craters", "cratered grey ground", "lunar terrain"),
    "earth_surface": ("the earth's surface", "ground on earth", "land or sea on earth", "a landscape on earth", "the ground under the sky"),
    "horizon": ("the horizon", "a horizon line", "the edge of the ground against the sky", "a visible horizon"),
    "atmosphere": ("the atmosphere", "a thin blue layer of air", "the glowing atmosphere of the earth", "a blue rim of air"),
    "interior": ("an interior", "inside a room or cabin", "indoors", "the inside of a spacecraft", "an indoor view"),
    "porthole": ("a porthole", "a round window", "a spacecraft window", "a view through a porthole", "a circular window"),
    "spacecraft": ("a spacecraft", "a spaceship", "a space station, capsule or satellite", "a space vehicle", "a craft in space"),
    "rocket": ("a rocket", "a launch vehicle", "a tall rocket", "a rocket with boosters", "a carrier rocket"),
    "vehicle": ("a vehicle", "a rover, truck or ship", "a wheeled vehicle", "a rover", "a machine for driving"),
    "habitat": ("a habitat", "a dome habitat", "a base with a dome", "living quarters on the ground", "a shelter dome"),
    "solar_panel": ("solar panels", "a solar array", "photovoltaic panels", "solar wings", "blue solar cells"),
    "astronaut": ("an astronaut", "a person in a space suit", "a suited astronaut", "a spacewalker in a suit", "an astronaut with a helmet"),
    "crew": ("crew members", "the crew", "people in coveralls", "faces of the crew", "crew in flight suits"),
    "hand": ("a hand", "a hand with fingers", "an open hand", "somebody's hand", "a gloved or bare hand"),
    "selfie": ("a selfie", "a self portrait at arm's length", "someone taking a selfie", "a selfie with an outstretched arm"),
    "launch": ("a launch", "a rocket launch", "liftoff", "a rocket lifting off with fire and smoke", "flames of a launch"),
    "splashdown": ("a splashdown", "a capsule landing in the sea", "landing on water", "a capsule coming down at sea", "ocean recovery"),
    "mission_control": ("mission control", "a control room with consoles", "a flight control room", "operators at consoles", "rows of consoles"),
    "launch_pad": ("a launch pad", "a launch tower", "the pad with its gantry", "a gantry", "a launch site tower"),
    "flag": ("a flag", "a striped flag", "a coloured flag", "a banner", "a flag on a pole or wall"),
    "lens_flare": ("lens flare", "a lens flare", "coloured ghosts of a lens", "flare circles and a streak", "light reflections in the lens"),
    "diagram": ("a diagram", "a technical drawing", "a schematic", "a labelled diagram", "a blueprint"),
    "text_overlay": ("text overlay", "text in the picture", "a line of lettering", "printed words", "a text label"),
    "map": ("a map", "a chart of land and sea", "a map with a grid", "a map with coastlines", "a route map"),
    "artistic_rendering": ("an artistic rendering", "an illustration", "a drawing", "flat artwork", "a drawn picture with outlines"),
    "photograph": ("a photograph", "a photo", "a camera picture", "a real photo with grain", "a photographic image"),
    "blurred": ("a blurred picture", "out of focus", "a blurry image", "an unsharp photo"),
    "dark_frame": ("a dark frame", "an almost black picture", "a nearly black image", "a very dark frame"),
    "black_and_white": ("a black and white picture", "a monochrome image", "in black and white", "a grey picture without colour"),
}  # fmt: skip

HELD_OUT_PHRASES: dict[str, tuple[str, ...]] = {
    "earth": ("the terrestrial globe", "our home world"),
    "moon": ("the earth's companion the moon", "lunar scenery"),
    "crescent_moon": ("a slim crescent of moon", "the moon, a narrow bow of light"),
    "full_moon": ("the moon at its fullest", "the complete face of the moon"),
    "crescent_earth": ("a slim crescent of earth", "the earth, a narrow bow of light"),
    "full_earth": ("the earth at its fullest", "the complete face of the earth"),
    "sun": ("a glaring sun", "the solar disc"),
    "stars": ("countless stars", "a sky sprinkled with stars"),
    "deep_space": ("the void of space", "the black of the cosmos"),
    "orbital": ("taken while orbiting", "high above the curved edge of a world"),
    "surface": ("down on the surface", "the ground of a world"),
    "lunar_surface": ("the dusty soil of the moon", "a plain of lunar craters"),
    "earth_surface": ("a terrestrial landscape", "countryside, desert or ocean"),
    "horizon": ("a distant horizon", "where the ground meets the sky"),
    "atmosphere": ("the airglow around the earth", "a bluish veil of air"),
    "interior": ("the interior of a module", "within four walls"),
    "porthole": ("a ship's round window", "looking out of a porthole"),
    "spacecraft": ("a space probe or station", "an orbiter"),
    "rocket": ("a towering rocket", "a booster rocket"),
    "vehicle": ("a means of transport", "a buggy, lorry or boat"),
    "habitat": ("a domed outpost", "a settlement dome"),
    "solar_panel": ("panels that turn sunlight into power", "arrays of solar cells"),
    "astronaut": ("a cosmonaut in a suit", "a spacefarer wearing a helmet"),
    "crew": ("the team on board", "members of the flight crew"),
    "hand": ("a palm and fingers", "a raised hand"),
    "selfie": ("a self-taken portrait", "a self portrait by the crew"),
    "launch": ("a rocket blasting off", "the moment of liftoff"),
    "splashdown": ("the return to the ocean", "a capsule afloat or under parachutes"),
    "mission_control": ("the flight controllers' room", "a hall of operators at monitors"),
    "launch_pad": ("a launch complex", "the service tower of a pad"),
    "flag": ("an ensign", "a flag being shown"),
    "lens_flare": ("flare artefacts from bright light", "glints inside the lens"),
    "diagram": ("an engineering schematic", "a sketch with labels"),
    "text_overlay": ("a caption burnt into the picture", "superimposed lettering"),
    "map": ("a cartographic map", "a geographical chart"),
    "artistic_rendering": ("an artist's impression", "a stylised drawing"),
    "photograph": ("a snapshot", "a photo taken by a camera"),
    "blurred": ("a fuzzy picture", "a picture that lacks focus"),
    "dark_frame": ("a frame that is nearly all black", "an extremely dark picture"),
    "black_and_white": ("a greyscale picture", "a picture without any colour"),
}  # fmt: skip

SENTENCES = (
    "{}", "a picture of {}", "an image showing {}", "{} in the archive", "a view with {}", "here we see {}", "a scene with {}", "there is {}",
    "an archive picture: {}", "{} can be seen",
)  # fmt: skip
HELD_OUT_SENTENCES = ("a shot that features {}", "depicted here: {}", "one can make out {}", "this frame contains {}")

# What a caption calls a thing: words for training, then held-out words. {c} is the colour with a blank, or nothing.
NAMES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "earth": (("the {p}earth", "a {p}earth", "planet earth {q}"), ("our {p}planet", "the {p}terrestrial globe")),
    "earth_limb": (("the earth below a blue rim of air", "the limb of the earth", "the curved earth seen from orbit"),
                   ("the edge of our planet seen from orbit", "the rounded horizon of the earth")),
    "moon": (("the {p}moon", "a {p}moon"), ("a {p}lunar disc", "the moon {q}")),
    "moon_limb": (("the cratered limb of the moon", "the moon's surface from lunar orbit"), ("craters on the edge of the moon",)),
    "sun": (("the sun", "a bright sun", "the blazing sun"), ("a glaring sun", "the solar disc")),
    "station": (("a {c}space station with solar panels", "a station with solar wings"), ("an orbital station with solar arrays",)),
    "satellite": (("a {c}satellite with two solar panels", "a satellite with solar wings"), ("a probe with solar arrays",)),
    "capsule": (("a {c}space capsule", "a {c}capsule"), ("a {c}cone-shaped capsule",)),
    "shuttle": (("a {c}space shuttle", "a {c}winged shuttle"), ("a {c}orbiter with wings",)),
    "lander": (("a {c}lunar lander", "a {c}landing craft with legs"), ("a {c}lander on legs",)),
    "floating_capsule": (("a {c}capsule floating in the sea", "a splashdown capsule with an orange collar in the water"), ("a {c}capsule afloat on the ocean",)),
    "chutes": (("a capsule under {n} {c}parachute{s}", "{n} {c}parachute{s} above the sea"), ("a capsule coming down on {n} {c}parachute{s}",)),
    "rocket": (("a {c}rocket", "a tall {c}rocket"), ("a towering {c}rocket", "a {c}launch vehicle")),
    "plume": (("lifting off on flames and smoke", "launching with fire and smoke"), ("blasting off in a cloud of smoke",)),
    "pad": (("a launch pad with its tower", "a gantry", "a launch tower"), ("a launch complex", "the service tower of a pad")),
    "rover": (("a {c}rover", "a {c}rover with big wheels"), ("a {c}buggy with a dish",)),
    "truck": (("a {c}truck", "a {c}lorry"), ("a {c}heavy truck",)),
    "ship": (("a {c}ship", "a {c}recovery ship"), ("a {c}boat",)),
    "habitat": (("a {c}dome habitat", "a {c}habitat"), ("a {c}domed outpost",)),
    "solar_array": (("a solar panel on a mast", "a solar array"), ("a panel of solar cells",)),
    "astronaut": (("an astronaut in a {c}space suit", "a {c}suited astronaut"), ("a spacefarer in a {c}suit",)),
    "crew": (("{n} crew member{s} in {c}coveralls", "a crew of {n} in {c}flight suits"), ("{n} {c}uniformed crew",)),
    "crew_selfie": (("a crew selfie in {c}coveralls", "a selfie of {n} crew in {c}flight suits"), ("a self portrait of {n} crew in {c}coveralls",)),
    "suit_selfie": (("an astronaut taking a selfie in a space suit", "a space suit selfie"), ("a self portrait of a suited astronaut",)),
    "hand": (("an open hand", "a {c}hand"), ("a raised {c}hand",)),
    "flag": (("a {c}flag", "a {c}banner"), ("a {c}ensign",)),
    "flare": (("lens flare", "coloured lens flare"), ("glints in the lens",)),
    "text": (("text overlay", "a line of text"), ("superimposed lettering",)),
    "porthole": (("a round porthole", "a round window"), ("a ship's round window",)),
    "stars": (("stars", "a field of stars"), ("many small stars",)),
    "glow": (("a glowing atmosphere",), ("a veil of air",)),
    "wall_map": (("a map on the wall", "a big map screen"), ("a wall-sized map",)),
    "cabin": (("inside a {c}cabin", "in a {c}spacecraft interior"), ("within a {c}module",)),
    "control": (("mission control", "a control room with rows of consoles"), ("a hall of operators at monitors",)),
    "hall": (("in a large hall", "inside an assembly hall"), ("within a big hangar",)),
    "space": (("in deep space", "against black space", "in space"), ("in the void of space",)),
    "lunar_ground": (("on the lunar surface", "on the moon", "on cratered moon ground"), ("on a dusty plain of the moon",)),
    "desert": (("in the desert", "on dry ground"), ("on a sandy plain",)),
    "field": (("on {c}ground", "over {c}land"), ("above a {c}field",)),
    "sea": (("at sea", "over the ocean"), ("on open water",)),
    "chart": (("a labelled diagram", "a technical drawing on {c}paper", "a {c}schematic"), ("an engineering sketch on {c}paper",)),
    "atlas": (("a {c}map with {r}", "a {c}chart of coasts with {r}"), ("a {c}geographical chart with {r}",)),
}  # fmt: skip
HOURS = {
    "day": ("under a blue sky", "in daylight"), "dawn": ("at dawn", "in the morning"), "dusk": ("at dusk", "at sunset"),
    "night": ("at night", "under a night sky"), "cloudy": ("under clouds", "under a grey sky"),
}  # fmt: skip
PLACES = {"cabin", "control", "hall", "lunar_ground", "desert", "field", "sea", "space"}
WHOLE = {"chart", "atlas", "control"}
UNSAID = {"sky", "plume", "glow"}
UNPLACED = {
    "earth_limb",
    "moon_limb",
    "crew",
    "crew_selfie",
    "suit_selfie",
    "flare",
    "stars",
    "glow",
    "wall_map",
    "pad",
    "chutes",
}
ARTICLE = re.compile(r"\b([aA]) ([aeio])")
COLOURED = re.compile(r"\b(white|silver|gold|red|blue|green|orange|yellow|grey|coloured) (?!photo|drawing)")
NUMBERS = ("no", "one", "two", "three", "four")
COLOURLESS = {"atlas": ("grey",), "hand": ("skin", "white")}
MEDIA = {
    False: (("a photo of", "a photograph of", "a picture of", "", ""), ("a snapshot of", "a camera shot of")),
    True: (("a drawing of", "an illustration of", "a flat drawing of", "", ""), ("artwork of", "a stylised picture of")),
}  # fmt: skip


def captions(attributes: frozenset[str], rng: np.random.Generator, n: int, *, held_out: bool = False) -> list[str]:
    """`n` sentences that name one to four of the attributes (base and quality codes), most telling ones first."""
    phrases, sentences = (HELD_OUT_PHRASES, HELD_OUT_SENTENCES) if held_out else (PHRASES, SENTENCES)
    codes = sorted(attributes & phrases.keys())
    if not codes:
        return ["a picture"] * n
    made = []
    for _ in range(n):
        count = min(len(codes), int(rng.integers(1, 5)))
        chosen = rng.choice(len(codes), count, replace=False)
        words = [_one(phrases[codes[i]], rng) for i in chosen]
        made.append(_one(sentences, rng).format(_listed(words)))
    return made


def _one(choices: tuple[str, ...], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def position(x: float, y: float) -> str:
    """Where in the frame: 'upper left', 'centre', 'right' …"""
    high = "upper" if y < 0.37 else "lower" if y > 0.67 else ""
    if 0.4 <= x <= 0.6 and high:
        return "top" if high == "upper" else "bottom"
    side = "left" if x < 0.4 else "right" if x > 0.6 else ""
    return " ".join(part for part in (high, side) if part) or "centre"


def describe(plan: Plan, rng: np.random.Generator, *, held_out: bool = False) -> str:
    """One caption of a plan: medium and quality, then up to four things with colour, number and place, then the setting."""
    which = 1 if held_out else 0
    things = [item for item in plan.items if item.what not in PLACES | UNSAID and item.what not in WHOLE]
    settings = [item for item in plan.items if item.what in PLACES | WHOLE]
    if any(item.what not in ("space", "sky") for item in settings):
        settings = [item for item in settings if item.what != "space"]
    order = sorted(
        things, key=lambda item: (item.what in ("text", "stars", "flare"), -_weight(item) + 0.2 * rng.random())
    )
    said = [_thing(plan, item, rng, which) for item in order[: 4 if rng.random() < 0.6 else 3]]
    words = [_named(plan, item, rng, which) for item in settings if item.what in WHOLE] + said
    where = [_named(plan, item, rng, which) for item in settings if item.what not in WHOLE][:1]
    if plan.find("sky"):
        where.append(_one(HOURS[plan.hour], rng))
    text = _joined(plan, words, where, rng)
    medium = _one(MEDIA[plan.flat][which], rng)
    sentence = " ".join(part for part in (_quality(plan, medium), text) if part)
    if plan.grey:
        sentence = COLOURED.sub("", sentence)
    return ARTICLE.sub(r"\1n \2", " ".join(sentence.split()))


def _joined(plan: Plan, words: list[str], where: list[str], rng: np.random.Generator) -> str:
    if not words:
        return " ".join(where) if where else "black space"
    if where and rng.random() < 0.3:
        return f"{words[0]} {' '.join(where)}" + (f", with {_listed(words[1:])}" if words[1:] else "")
    return f"{_listed(words)} {' '.join(where)}"


def _quality(plan: Plan, medium: str) -> str:
    kinds = [
        word
        for word, true in (("blurred", plan.blurred), ("very dark", plan.dark), ("black and white", plan.grey))
        if true
    ]
    if not kinds:
        return medium
    noun = "drawing" if plan.flat else "photo"
    return f"a {' '.join(kinds)} {noun} of"


def _weight(item: Item) -> float:
    return item.size if item.what not in ("earth_limb", "moon_limb") else 0.7


def _thing(plan: Plan, item: Item, rng: np.random.Generator, which: int) -> str:
    words = _named(plan, item, rng, which)
    if item.what == "rocket" and plan.find("plume"):
        words += " " + _one(NAMES["plume"][which], rng)
    if item.what == "text":
        return f"{words} at the {'top' if item.y < 0.5 else 'bottom'}"
    if item.what in UNPLACED:
        return words
    height = item.y - (0.4 * item.size if item.what in STANDING else 0.0)
    place = position(item.x, height)
    return f"{words} {'in' if place == 'centre' else 'at'} the {place}" if rng.random() < 0.8 else words


STANDING = {"astronaut", "lander", "rover", "truck", "ship", "habitat", "solar_array", "rocket", "floating_capsule"}


def _named(plan: Plan, item: Item, rng: np.random.Generator, which: int) -> str:
    words = _one(NAMES[item.what][which], rng)
    colour = "" if plan.grey or item.colour in COLOURLESS.get(item.what, ()) else f"{item.colour} "
    phase = item.phase if item.what in ("earth", "moon") else ""
    return words.format(
        c=colour,
        p=f"{phase} " if phase else "",
        q=f"as a {phase} disc" if phase else "",
        n=NUMBERS[min(item.count, 4)],
        s="" if item.count == 1 else "s",
        r=("no route", "one route", "two routes")[min(item.count, 2)],
    )
