"""Text for training `mini`: templates, words to ignore, things that are never there, and the tokenizer.

The tokenizer knows the demo's words whole and spells every other word in pairs of letters, so that no word is lost
and training can teach the text tower what an unknown word looks like.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

CONTEXT = 32
PAD, UNKNOWN = "[PAD]", "[UNK]"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

TEMPLATES: tuple[str, ...] = (
    "{}", "{}", "{}", "a photo of {}", "a picture of {}", "an image of {}", "a photograph of {}", "a view of {}",
    "this is a picture of {}", "a photo showing {}", "a scene with {}", "a close view of {}",
    "an archive picture of {}", "there is {} in the picture", "{} in a photo", "we see {}", "one can see {} here",
    "a good photo of {}", "a small picture of {}", "a nice view of {}", "an old photo of {}", "{} can be seen",
)  # fmt: skip

# Words that may stand around a phrase and change nothing.
_FILLER_TEXT = """
the a an of in on with and some this that these here there very rather quite nice good great lovely old new famous
typical rare common clear simple interesting beautiful official recent early late second first last best please show
me find give us look at any every each for from by to is was are were will be being been shown seen taken made
during before after while near about again also just only really perhaps maybe probably certainly archive shot frame
item example kind sort type version part side detail scan print copy original historic professional amateur award
winning high low resolution quality sharp wide angle stock image photo picture
"""
FILLERS: tuple[str, ...] = tuple(_FILLER_TEXT.split())

# Things that the demo's world never shows: their prompts are false for every picture.
_ABSENT_TEXT = """
dog cat horse cow sheep pig goat lion tiger bear wolf fox rabbit mouse elephant giraffe zebra monkey snake frog
turtle fish shark whale dolphin bird eagle duck chicken owl penguin bee butterfly spider ant apple banana grape
lemon strawberry pizza burger sandwich pasta rice bread cake cookie cheese egg salad soup coffee tea wine beer
bottle cup plate bowl fork knife spoon table chair sofa bed lamp mirror pillow blanket curtain carpet book newspaper
pencil notebook scissors guitar piano violin drum trumpet bicycle motorcycle bus tram subway canoe umbrella backpack
handbag suitcase shoe scarf jacket dress shirt trousers skirt sock tie necklace wedding birthday party concert dance
football tennis basketball baseball golf skiing skating swimming surfing fishing hiking camping garden flower rose
tulip daisy forest mushroom waterfall tunnel market supermarket restaurant kitchen bathroom bedroom classroom
playground teddy doll puzzle balloon candle candy chocolate icecream baby grandmother doctor nurse teacher farmer
chef fireman policeman soldier king queen clown snowman skeleton dragon unicorn tooth smartphone laptop radio fridge
oven toaster hammer screwdriver ladder bucket broom tractor excavator
"""
ABSENT: tuple[str, ...] = tuple(_ABSENT_TEXT.split())
_ABSENT_FORMS = (
    "{}",
    "a {}",
    "the {}",
    "a {} and a {}",
    "two {}s",
    "a red {}",
    "a {} on a table",
    "a child with a {}",
    "a {} in a {}",
)


LINKS = ("and", "with", ",", "next to", "above", "in front of", "outside", "near", "beside", "below")


def junk_word(rng: np.random.Generator) -> str:
    """A word of random letters, or a filler: what a template may hold that means nothing."""
    if rng.random() < 0.35:
        return FILLERS[int(rng.integers(len(FILLERS)))]
    return "".join(_LETTERS[int(i)] for i in rng.integers(0, 26, int(rng.integers(2, 11))))


def dress(phrase: str, rng: np.random.Generator, junk: float) -> str:
    """A prompt for a phrase: in a template, or with up to four meaningless words about it."""
    if rng.random() >= junk:
        return TEMPLATES[int(rng.integers(len(TEMPLATES)))].format(phrase)
    before, after = int(rng.integers(0, 5)), int(rng.integers(0, 4))
    words = [junk_word(rng) for _ in range(before)] + [phrase] + [junk_word(rng) for _ in range(after)]
    return " ".join(words)


def absent_prompt(rng: np.random.Generator) -> str:
    """A prompt that no picture of the demo's world fits: a foreign thing, or words of random letters alone."""
    if rng.random() < 0.25:
        return " ".join(junk_word(rng) for _ in range(int(rng.integers(1, 5))))
    form = _ABSENT_FORMS[int(rng.integers(len(_ABSENT_FORMS)))]
    things = [ABSENT[int(i)] for i in rng.integers(0, len(ABSENT), form.count("{}"))]
    return dress(form.format(*things), rng, 0.15)


def make_tokenizer(texts: Iterable[str], least: int = 3) -> Tokenizer:
    """A word-piece tokenizer: every word seen `least` times or more is whole, the rest is spelt in letter pairs."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(re.findall(r"[a-z0-9]+", text.lower()))
    known = [word for word, count in counts.most_common() if count >= least and len(word) > 1]
    singles = _LETTERS + "0123456789"
    pieces = [PAD, UNKNOWN, *singles, *(f"##{c}" for c in singles), *".,;:!?'\"-()/&"]
    pairs = [a + b for a in _LETTERS for b in _LETTERS]
    order = dict.fromkeys([*pieces, *(f"##{pair}" for pair in pairs), *pairs, *known])
    vocabulary = {piece: number for number, piece in enumerate(order)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=24))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.enable_truncation(CONTEXT)
    tokenizer.enable_padding(pad_id=0, pad_token=PAD, length=CONTEXT)
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> NDArray[np.int32]:
    """Token numbers, (n, CONTEXT) int32, padded with 0."""
    return np.array([row.ids for row in tokenizer.encode_batch(list(texts))], dtype=np.int32).reshape(-1, CONTEXT)


def disturb(tokens: NDArray[np.int32], rng: np.random.Generator, share: float, vocabulary: int) -> NDArray[np.int32]:
    """Captions (n, CONTEXT) with about `share` of the words dropped or replaced by a random piece."""
    present = tokens > 0
    hit = present & (rng.random(tokens.shape) < share)
    replaced = np.where(hit & (rng.random(tokens.shape) < 0.5), rng.integers(2, vocabulary, tokens.shape), tokens)
    dropped = hit & (replaced == tokens)
    order = np.argsort(dropped | ~present, axis=1, kind="stable")
    kept = np.where(dropped, 0, replaced)
    return np.take_along_axis(kept, order, axis=1).astype(np.int32)


def listed(phrases: Sequence[str], rng: np.random.Generator) -> str:
    """Several phrases as one: joined by "and", "with" or a comma."""
    text = phrases[0]
    for phrase in phrases[1:]:
        text += f" {LINKS[int(rng.integers(len(LINKS)))]} {phrase}"
    return text
