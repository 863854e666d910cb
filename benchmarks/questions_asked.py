"""What the benchmark of questions asks: words for what is there, and phrases for what is not.

The words for the Caltech photos are everyday ones of those that WordNet 3.1 puts into one set with the name of a
folder, or right below it, picked by hand; a folder's own name comes first. The phrases for what is not there are nouns
that the encoder knows and no folder is called by.
"""

from __future__ import annotations

from pathlib import Path

CALTECH: dict[str, tuple[str, ...]] = {
    "accordion": ("accordion", "squeeze box"),
    "airplanes": ("airplane", "aeroplane", "plane"),
    "ant": ("ant", "emmet"),
    "barrel": ("barrel", "cask"),
    "beaver": ("beaver",),
    "binocular": ("binoculars", "field glasses", "opera glasses"),
    "butterfly": ("butterfly",),
    "camera": ("camera", "photographic camera"),
    "cannon": ("cannon",),
    "car_side": ("car", "automobile"),
    "cellphone": ("cellular telephone", "cellphone", "mobile phone", "cellular phone"),
    "chair": ("chair", "armchair"),
    "chandelier": ("chandelier", "pendant"),
    "crab": ("crab",),
    "crayfish": ("crayfish", "crawfish", "crawdad"),
    "crocodile": ("crocodile",),
    "cup": ("cup", "coffee cup"),
    "dalmatian": ("dalmatian", "coach dog"),
    "dolphin": ("dolphin",),
    "dragonfly": ("dragonfly", "darning needle"),
    "electric_guitar": ("electric guitar",),
    "elephant": ("elephant",),
    "Faces": ("face",),
    "ferry": ("ferry", "ferryboat"),
    "flamingo": ("flamingo",),
    "grand_piano": ("grand piano", "baby grand"),
    "headphone": ("headphone", "earphone"),
    "hedgehog": ("hedgehog",),
    "helicopter": ("helicopter", "chopper", "whirlybird"),
    "kangaroo": ("kangaroo",),
    "lamp": ("lamp", "table lamp"),
    "laptop": ("laptop", "laptop computer"),
    "Leopards": ("leopard",),
    "llama": ("llama",),
    "lobster": ("lobster",),
    "Motorbikes": ("motorcycle", "motorbike"),
    "octopus": ("octopus",),
    "pagoda": ("pagoda",),
    "panda": ("panda", "giant panda", "panda bear"),
    "pigeon": ("pigeon", "dove"),
    "pizza": ("pizza", "pizza pie"),
    "pyramid": ("pyramid",),
    "revolver": ("revolver", "six-shooter"),
    "rhino": ("rhinoceros", "rhino"),
    "rooster": ("rooster", "cock"),
    "saxophone": ("saxophone", "sax"),
    "schooner": ("schooner",),
    "scissors": ("scissors", "pair of scissors"),
    "scorpion": ("scorpion",),
    "sea_horse": ("seahorse", "sea horse"),
    "soccer_ball": ("soccer ball",),
    "starfish": ("starfish", "sea star"),
    "stop_sign": ("stop sign",),
    "strawberry": ("strawberry",),
    "sunflower": ("sunflower", "helianthus"),
    "umbrella": ("umbrella", "brolly"),
    "watch": ("watch",),
    "wheelchair": ("wheelchair",),
    "wrench": ("wrench", "spanner"),
}
ALSO: dict[str, str] = {"Faces": "Faces_easy", "crocodile": "crocodile_head", "flamingo": "flamingo_head"}
"""A second folder of the same things."""

NOT_IN_CALTECH: tuple[str, ...] = (
    *("mint candy", "billiard table", "stepladder", "measuring cup", "cigarette", "tote bag", "soap", "donkey"),
    *("sombrero", "pliers", "stove", "egg roll", "beret", "quiche", "place mat", "power shovel", "duct tape"),
    *("watering can", "hairbrush", "bottle cap", "raincoat", "piggy bank", "cabbage", "pastry", "shotgun"),
    *("french toast", "vending machine", "shower head", "hamburger", "walking cane", "toothpick", "funnel", "harp"),
    *("kayak", "goldfish", "lettuce", "clarinet", "birthday card", "escargot", "eclair", "paper towel", "hockey stick"),
    *("skateboard", "bathtub", "dishtowel", "toolbox", "lab coat", "apricot", "bullhorn", "chessboard"),
)


def not_in_demo(count: int = 50) -> tuple[str, ...]:
    """Nouns that the demo never draws and that no training text of `mini` holds, evenly from the list of them."""
    file = Path(__file__).resolve().parents[1] / "training" / "absent_held_out.txt"
    words = [w for line in file.read_text().splitlines() if not line.startswith("#") for w in line.split()]
    return tuple(words[i * len(words) // count] for i in range(count))


def phrase(noun: str) -> str:
    """The noun with its article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
