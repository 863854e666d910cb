"""The background prompts: two hundred everyday phrases that belong to no one domain.

The mean logit of an image over them is its background, the level that the image gives to any phrase whatever. Changing
one phrase changes every background, so their hash is stored beside what was computed with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from sextant.errors import CollectionError, remedy

TEMPLATE = "a photo of {}"


@cache
def background_prompts() -> tuple[str, ...]:
    """The prompts as they are encoded, in the order of the file.

    Raises:
        CollectionError: the file cannot be read, as when too many are open.
    """
    try:
        lines = (files("sextant") / "background.txt").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        told = remedy(error, "Install sextant-images again")
        raise CollectionError(f"background.txt of the package cannot be read: {error.strerror}. {told}") from error
    return tuple(TEMPLATE.format(line) for line in lines if line)


def background_hash(prompts: Sequence[str] | None = None) -> str:
    """Thirty-two hex characters that change with any prompt and with their order."""
    listed = background_prompts() if prompts is None else prompts
    return hashlib.blake2b("\n".join(listed).encode(), digest_size=16).hexdigest()
