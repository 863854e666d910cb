"""Draws a contact sheet: a strip of pictures for every question, each with its confidence and whether it is right.

Takes paths and numbers, gives one PNG file. Pictures are shown whole, on paper, in the order that they come in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

PAPER, INK, FAINT = (246, 243, 236), (38, 36, 34), (128, 122, 112)
RIGHT, WRONG = (46, 125, 80), (190, 74, 58)
FRAME, SHADOW = (255, 255, 255), (222, 216, 204)
CELL, GAP, MARGIN, CAPTION, HEADING, TITLE = 200, 16, 36, 30, 54, 106
BORDER = 6
SUPERSAMPLED = 4


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture with the confidence to write under it; `right` is None where nobody knows."""

    path: Path
    confidence: str
    right: bool | None = None


@dataclass(frozen=True, slots=True)
class Strip:
    """A question with the pictures that answer it, best first, and a remark."""

    question: str
    remark: str
    shots: tuple[Shot, ...]


def draw(strips: Sequence[Strip], target: Path, *, title: str, subtitle: str) -> None:
    """Writes the sheet to `target`, whole or not at all. Raises OSError where it or a picture cannot be opened."""
    columns = max((len(strip.shots) for strip in strips), default=1) or 1
    width = 2 * MARGIN + columns * CELL + (columns - 1) * GAP
    strip_height = HEADING + CELL + CAPTION + GAP
    sheet = Image.new("RGB", (width, TITLE + MARGIN + len(strips) * strip_height + MARGIN // 2), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN + 22), title, INK, _font(30), anchor="ls")
    pen.text((MARGIN, MARGIN + 36), subtitle, FAINT, _font(15), anchor="lt")
    pen.line((MARGIN, TITLE, width - MARGIN, TITLE), SHADOW, 2)
    for number, strip in enumerate(strips):
        _strip(sheet, strip, TITLE + GAP + number * strip_height)
    partial = target.with_name(f".{target.name}.partial")
    sheet.save(partial, "PNG", optimize=True)
    partial.replace(target)


def _strip(sheet: Image.Image, strip: Strip, top: int) -> None:
    pen = ImageDraw.Draw(sheet)
    line = top + HEADING - 16
    pen.text((MARGIN, line), strip.question, INK, _font(21), anchor="ls")
    pen.text((sheet.width - MARGIN, line), strip.remark, FAINT, _font(15), anchor="rs")
    for number, shot in enumerate(strip.shots):
        _shot(sheet, shot, (MARGIN + number * (CELL + GAP), top + HEADING))


def _shot(sheet: Image.Image, shot: Shot, corner: tuple[int, int]) -> None:
    """A print with a white border and a soft edge, and its caption below."""
    left, top = corner
    pen = ImageDraw.Draw(sheet)
    with Image.open(shot.path) as opened:
        room = CELL - 2 * BORDER
        picture = ImageOps.contain(opened.convert("RGB"), (room, room), Image.Resampling.LANCZOS)
    x, y = left + (CELL - picture.width) // 2, top + (CELL - picture.height) // 2
    edge = (x - BORDER, y - BORDER, x + picture.width + BORDER - 1, y + picture.height + BORDER - 1)
    pen.rectangle((edge[0] + 2, edge[1] + 3, edge[2] + 2, edge[3] + 3), SHADOW)
    pen.rectangle(edge, FRAME)
    sheet.paste(picture, (x, y))
    line = top + CELL + CAPTION // 2 + 3
    indent = 0
    if shot.right is not None:
        mark = _mark(right=shot.right)
        sheet.paste(mark, (left + 2, line - mark.height // 2), mark)
        indent = mark.width + 8
    pen.text((left + 2 + indent, line), shot.confidence, INK, _font(16), anchor="lm")
    pen.text((left + CELL - 2, line), shot.path.name, FAINT, _font(13), anchor="rm")


def _mark(*, right: bool) -> Image.Image:
    """A tick or a cross on a disc, drawn large and scaled down for smooth edges."""
    side = 18 * SUPERSAMPLED
    mark = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    pen = ImageDraw.Draw(mark)
    pen.ellipse((0, 0, side - 1, side - 1), RIGHT if right else WRONG)

    def line(*points: tuple[float, float]) -> None:
        pen.line([(px * side, py * side) for px, py in points], FRAME, side // 9, joint="curve")

    if right:
        line((0.27, 0.52), (0.44, 0.68), (0.74, 0.34))
    else:
        line((0.32, 0.32), (0.68, 0.68))
        line((0.68, 0.32), (0.32, 0.68))
    return mark.resize((side // SUPERSAMPLED, side // SUPERSAMPLED), Image.Resampling.LANCZOS)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own typeface, so that a sheet looks the same everywhere."""
    return ImageFont.load_default(size)
