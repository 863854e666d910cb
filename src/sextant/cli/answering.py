"""`label ask`: one image after another, the picture where a terminal can show one, and a key for every answer.

Reads keys from a terminal one at a time and from anything else line by line, so that a file can answer too.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TextIO

from sextant import output
from sextant.errors import ImageError
from sextant.place import lies, read

if TYPE_CHECKING:
    from sextant.collection import Collection
    from sextant.types import Asked

Protocol = Literal["kitty", "iterm2", "none"]
KITTY_PIECE = 4096  # characters of base64 that one escape sequence may carry
SIDE = 512  # pixels of a picture's longer side
ROWS = 18  # of the terminal that a picture takes
ANSWERS = {"y": True, "n": False}
HELP = "y yes · n no · s skip · b back · q quit"


def protocol(wanted: bool | None = None) -> Protocol:
    """How this terminal shows pictures, by what it says of itself; `wanted` True takes its word for kitty's."""
    if wanted is False:
        return "none"
    term, program = os.environ.get("TERM", ""), os.environ.get("TERM_PROGRAM", "")
    if "kitty" in term or "KITTY_WINDOW_ID" in os.environ or program in ("ghostty", "konsole"):
        return "kitty"
    if program in ("iTerm.app", "WezTerm", "mintty", "rio") or os.environ.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    return "kitty" if wanted else "none"


def escape(jpeg: bytes, how: Protocol) -> str:
    """The sequence that shows a JPEG inline; nothing for `none`."""
    if how == "iterm2":
        text = base64.b64encode(jpeg).decode()
        return f"\x1b]1337;File=inline=1;size={len(jpeg)};height={ROWS};preserveAspectRatio=1:{text}\a\n"
    if how == "kitty":
        return "".join(_kitty(jpeg)) + "\n"
    return ""


def _kitty(jpeg: bytes) -> Iterator[str]:
    """kitty takes PNG or raw pixels, in pieces of which all but the last say that more follow."""
    from PIL import Image

    png = io.BytesIO()
    Image.open(io.BytesIO(jpeg)).save(png, "PNG")
    text = base64.b64encode(png.getvalue()).decode()
    pieces = [text[i : i + KITTY_PIECE] for i in range(0, len(text), KITTY_PIECE)]
    for number, piece in enumerate(pieces):
        head = f"a=T,f=100,r={ROWS}," if number == 0 else ""
        yield f"\x1b_G{head}q=2,m={int(number < len(pieces) - 1)};{piece}\x1b\\"


@dataclass
class Session:
    """One sitting: the images asked for, and what was answered. Answers are kept as they are given."""

    photos: Collection
    code: str
    asked: Sequence[Asked]
    person: str = ""
    answers: dict[str, bool] = field(default_factory=dict)

    def run(self, keys: TextIO, out: TextIO, how: Protocol) -> None:
        """Asks until all is answered or somebody quits, and says what came of it."""
        question = self._question()
        place, read = 0, reader(keys)
        while 0 <= place < len(self.asked):
            item = self.asked[place]
            print(self._picture(item, how) + output.plain(item.path), file=out)
            key = self._key(read, out, f"{place + 1}/{len(self.asked)}  {question}  [y/n/s/b/q] ")
            if key == "q":
                break
            place = max(0, place - 1) if key == "b" else place + 1
            if key in ANSWERS:
                self.photos.label(item.id, self.code, ANSWERS[key], person=self.person)
                self.answers[item.id] = ANSWERS[key]
        yes = sum(self.answers.values())
        output.note(f"{output.amount(len(self.answers), 'label')} kept, {yes} of them yes; use them: sextant calibrate")

    def _question(self) -> str:
        chosen = self.photos.vocabulary
        known = chosen[self.code] if chosen and self.code in chosen else None
        return f"{output.plain((known and (known.label or known.description)) or self.code)}?"

    def _picture(self, item: Asked, how: Protocol) -> str:
        if how == "none":
            return ""
        from sextant import images

        try:
            return escape(images.thumbnail(read(lies(self.photos.folder, item.path)), SIDE), how)
        except (OSError, ImageError) as error:
            return output.plain(f"(no picture: {error})") + "\n"

    def _key(self, read: Callable[[], str], out: TextIO, prompt: str) -> str:
        while True:
            print(prompt, end="", file=out, flush=True)
            key = read()
            if key in ("y", "n", "s", "b", "q"):
                return key
            print(HELP, file=out)


def reader(keys: TextIO) -> Callable[[], str]:
    """A function that waits for the next answer: a key of a terminal, or the first letter of a line; `q` at the end."""
    if not keys.isatty():
        return lambda: "q" if not (line := keys.readline()) else line.strip().lower()[:1] or "?"

    def one_key() -> str:
        import click

        try:
            key = click.getchar(echo=True).lower()
        except (KeyboardInterrupt, EOFError):
            key = "q"
        print()
        return {"\x1b": "q", "\x7f": "b", "\b": "b"}.get(key, key[:1])

    return one_key


__all__ = ["Protocol", "Session", "escape", "protocol", "reader"]
