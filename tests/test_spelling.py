"""Spelling suggestions: what is found, and above all what is left alone."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spellchecker import SpellChecker

from sextant import expansion
from sextant.spelling import _frequency, _is_english, _one_step, suggestion

KNOWN = frozenset((*expansion.load().entries, *expansion.load().words))

ORDINARY = re.findall(
    r"\w+",
    """
    apple apron arrow axe baker balloon bamboo banana bandage banjo barrel basin basket bath battery bead beak
    beard bed beetle bell belt bench berry bible biscuit blanket blender blouse board bolt bone bonnet boot bottle
    boulder bowl box bracelet brake branch brass brick broom brush bucket buckle bud bulb bun button cabbage
    cabinet cable cage calendar camel canal canoe cape caravan card carrot cart castle catalogue cauldron ceiling
    cellar cello chain chalk chariot cheese cherry chess chestnut chin chisel cigar cinema circus clarinet claw
    clay cloak cloth clover clown coat cobweb coconut coffin coin collar comb compass cone cork corn cotton cradle
    crane crayon crib crow crown crutch cube cucumber cupboard cushion dagger daisy dam dart deck dentist desk dice
    ditch dock doll dolphin donkey doughnut dove dragon drawer drill drum dustbin easel egg elbow elevator engine
    eraser eyebrow fan feather fence fern ferry fiddle finger flask fleece flute foam fork fossil fountain funnel
    fur furnace galley garlic ginger giraffe glove glue goose gown grape grapefruit gravel grill gutter hammock
    hamster handle hangar harp hatchet hawk hay hedge heel helmet hen hinge hive hook hoop horn hose hourglass
    igloo ink iron ivy jacket jar jeans jelly jug kayak kennel kettle kite knee knitting knob ladle lantern leash
    lemon lever lily lime lizard lobster lock locket log loom magnet mailbox mandolin mane mango marble mask mast
    mat maze medal melon mill mitten moose mop mosquito moss moth motor mug mule mustard nail napkin nappy needle
    net nettle nut oar oboe onion orchard orchid organ ornament ostrich otter oven ox oyster paddle pail palette
    pancake parachute parcel parrot parsley peach peacock peanut pear pearl pebble pedal pelican pen pencil penguin
    pepper perch petal pier pigeon pillow pin pineapple pipe pistol pitchfork plank plate plum plumber pocket
    podium pole porcelain porch porridge potato pottery prawn pram puddle pulley pumpkin puppet purse puzzle quarry
    quill quilt raccoon radish raft rake raspberry rattle raven razor reed refrigerator ribbon rifle roller rope
    rowboat rudder ruler saddle sail sandal sandwich sauce saucepan saucer sausage saw saxophone scaffold scarecrow
    scarf scissors screw seal seaweed seesaw shark shawl shed shelf shell shield shirt shovel shutter sieve silk
    skeleton skirt skull sled slipper snail snorkel soap sock spade sparrow spear spinach sponge spoon squid
    squirrel stable stamp stapler stove straw strawberry submarine suitcase sundial swan sweater swing syringe
    table tambourine tank tap tart teapot tent thimble thistle thorn throne thumb tie tiger tile tongs tongue torch
    tortoise towel tray treadmill trellis tripod trombone trophy trousers trowel trumpet tulip turkey turnip turtle
    tusk twig typewriter vest vinegar violin vulture waffle wagon waist walnut walrus wand wardrobe wasp watermelon
    weasel wheel wheelbarrow whip whistle wick wig willow wing wool worm wreath wrench wrist xylophone yacht yarn
    yoghurt zebra zip
    """,
)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("submarin", "submarine"),
        ("sunest", "sunset"),
        ("earht", "earth"),
        ("cresent moon", "crescent moon"),
        ("spacraft", "spacecraft"),
        ("telescpoe", "telescope"),
        ("goldenhour", "golden hour"),
        ("elefant", "elephant"),
        ("beutiful sunset", "beautiful sunset"),
        ("a photo of a kichen, please", "a photo of a kitchen, please"),
        ("astronuat on the mooon", "astronaut on the moon"),
        ("an astronuat's suit", "an astronaut's suit"),
        ("a (cahtedral) at night", "a (cathedral) at night"),
        ("dalmation", "dalmatian"),
    ],
)
def test_what_was_probably_meant(typed: str, meant: str) -> None:
    assert suggestion(typed, KNOWN | {"dalmatian"}) == meant


def test_ordinary_nouns_are_left_alone() -> None:
    assert len(ORDINARY) >= 300
    assert {word: found for word in ORDINARY if (found := suggestion(word, KNOWN))} == {}
    assert {word: found for word in ORDINARY if (found := suggestion(f"two {word}s", KNOWN))} == {}


def test_what_comes_with_sextant_is_left_alone() -> None:
    texts = [text for key, entry in expansion.load().entries.items() for text in (key, *(one.text for one in entry))]
    assert {text: found for text in texts if (found := suggestion(text, KNOWN))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "colour",
        "neighbour",
        "theatre",
        "grey",
        "aluminium",
        "jewellery",
        "plough",
        "tyre",
        "organised",
        "fibre",
        "kerb",
        "travelled",
        "archaeology",
        "storey",
        "lorry",
        "pyjamas",
        "moustache",
        "programme",
        "skilful",
        "encyclopaedia",
    ],
)
def test_british_words_are_left_alone(text: str) -> None:
    assert suggestion(text, KNOWN) is None


@pytest.mark.parametrize(
    "text",
    [
        "Dalmaton",
        "Erath",
        "NASAA",
        "iPhne",
        "f/2.8",
        "t-shrit",
        "35mmm film",
        "apollo11",
        "3d",
        "hdr",
        "xyz",
        "dgo",
        "",
        " ",
        "façade",
        "Ærø",
        "ein Hund am Strand",
        "ein hund",
        "der hund liegt am strand",
        "夕焼けの海",
        "море",
        "q" * 41,
        "zzzzzz",
    ],
)
def test_names_numbers_short_words_and_other_languages_are_left_alone(text: str) -> None:
    assert suggestion(text, KNOWN) is None


def test_known_words_come_before_english_ones() -> None:
    assert suggestion("sunest", frozenset()) == "sunset"
    assert suggestion("sunest", {"surest"}) == "surest"
    assert suggestion("bokehh", {"bokeh"}) == "bokeh"


def test_a_known_word_is_never_replaced() -> None:
    assert suggestion("sunest", {"sunest"}) is None
    assert suggestion("sunests", {"sunest"}) is None


def test_one_step_is_what_levenshtein_and_swaps_say() -> None:
    """The slow oracle counts steps; both agree on every string of small letters near a word."""

    def steps(one: str, other: str) -> int:
        table = [[row + column for column in range(len(other) + 1)] for row in range(len(one) + 1)]
        for row in range(1, len(one) + 1):
            for column in range(1, len(other) + 1):
                change = one[row - 1] != other[column - 1]
                least = [table[row - 1][column] + 1, table[row][column - 1] + 1, table[row - 1][column - 1] + change]
                if row > 1 and column > 1 and one[row - 2 : row] == other[column - 2 : column][::-1]:
                    least.append(table[row - 2][column - 2] + 1)
                table[row][column] = min(least)
        return table[-1][-1]

    near = _one_step("earht")
    assert all(steps("earht", one) <= 1 for one in near)
    assert {"earth", "earh", "earhts", "eart", "earht", "pearht", "earit"} <= near
    assert not near & {"earthy", "heart", "ea", "earthh"}


def test_short_words_are_not_changed_letter_by_letter() -> None:
    assert suggestion("blib", {"blob"}) is None
    assert suggestion("bolb", {"blob"}) == "blob"


@given(st.text(max_size=40))
def test_any_text_has_a_suggestion_or_none_that_differs(text: str) -> None:
    found = suggestion(text, KNOWN)
    assert found is None or (found != text and suggestion(text, KNOWN) == found)


@given(st.lists(st.sampled_from(sorted(KNOWN)), max_size=6).map(" ".join))
def test_known_words_alone_have_no_suggestion(text: str) -> None:
    assert suggestion(text, KNOWN) is None


def test_english_words_and_their_frequencies_are_those_of_pyspellchecker() -> None:
    checker = SpellChecker(language="en", distance=1)
    known = sorted(checker.word_frequency.keys())
    words = [word for word in known[:: len(known) // 300] if word.isascii()]
    for word in (*words, *ORDINARY[:50], *(f"{word}qz" for word in words[::5]), "", "s", "'", "th", "hing"):
        assert _is_english(word) == (word in checker), word
        assert _frequency(word) == checker.word_usage_frequency(word), word


def test_the_english_words_are_read_for_an_unknown_word_and_counted_for_one_that_is_not_english() -> None:
    program = (
        "from sextant import spelling\n"
        "listed, counted = spelling._listed.cache_info, spelling._counts.cache_info\n"
        "assert spelling.suggestion('a dog', {'a', 'dog'}) is None; assert listed().misses == 0\n"
        "assert spelling.suggestion('a submarine', {'a'}) is None; assert listed().misses == 1\n"
        "assert counted().misses == 0\n"
        "assert spelling.suggestion('a submarin', {'a'}) == 'a submarine'; assert counted().misses == 1"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_the_list_where_it_is_looked_for_every_word_is_taken_as_meant() -> None:
    program = (
        "from importlib.machinery import ModuleSpec\n"
        "from sextant import spelling\n"
        "spelling.find_spec = lambda name: ModuleSpec(name, None, origin='/nowhere/__init__.py')\n"
        "assert spelling.suggestion('a submarin', {'a', 'submarine'}) is None\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
