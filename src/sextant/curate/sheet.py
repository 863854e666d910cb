"""A curation as one HTML page to choose from: pictures inside, no script, nothing fetched, every text escaped.

Ticking pictures composes the command that keeps them, by style rules alone. Refused candidates and near-duplicates
are folded away.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from html import escape
from importlib.resources import files
from urllib.parse import urlsplit

from sextant.curate.request import Curation, Refused, Shown

LARGE, SMALL = 480, 160
"""Pixels of the longer side of a picture, and of one that is folded away."""
REFUSED_SHOWN = 60
ALLOWED = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
PARTS: Mapping[str, str] = {
    "clip": "likeness",
    "keyword": "keywords",
    "resolution": "resolution",
    "orientation": "orientation",
    "vlm": "model",
}
STATES: Mapping[str, str] = {
    "prior": "Confidences are a prior: nobody has labelled anything for this query.",
    "uncalibrated": "Confidences are uncalibrated: trust their order, not their size.",
}


def page(curation: Curation, pictures: Mapping[str, str]) -> str:
    """The page. `pictures` has data URLs by image id."""
    parts = [
        *_head(curation),
        *_cards(curation, pictures),
        *_refused(curation, pictures),
        *_skipped(curation),
        *_command(curation),
    ]
    css = (files("sextant.curate") / "sheet.css").read_text(encoding="utf-8")
    ticks = "".join(f"body:has(#p{one.rank}:checked) .k{one.rank} {{ display: inline; }}\n" for one in curation.shown)
    title = escape(curation.query)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{ALLOWED}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{css}{ticks}</style>\n</head>\n<body>\n<main>\n" + "\n".join(parts) + "\n</main>\n</body>\n</html>\n"
    )


def _head(curation: Curation) -> Iterator[str]:
    folded = sum(len(one.alike) for one in curation.shown)
    counts = [
        (f"{len(curation.shown):,}", "shown"),
        (f"{curation.candidates:,}", "candidates"),
        (f"{len(curation.refused):,}", "refused"),
    ]
    if curation.more:
        counts.append((f"{curation.more:,}", "more passed, of lower score"))
    if folded:
        counts.append((f"{folded:,}", "near-duplicate folded" if folded == 1 else "near-duplicates folded"))
    if curation.usage:
        counts.append((f"{curation.usage.answered:,} of {curation.usage.asked:,}", f"judged by {curation.usage.model}"))
    yield f'<p class="kicker">Curation {curation.number}</p><h1>{escape(curation.query)}</h1>'
    yield '<ul class="facts">' + "".join(f"<li><b>{n}</b> {escape(what)}</li>" for n, what in counts) + "</ul>"
    yield f'<p class="soft">{STATES.get(curation.state, escape(curation.state))}</p>'
    for note in curation.notes:
        yield f'<p class="warn">{escape(note)}</p>'
    names = dict.fromkeys(part.name for one in curation.shown for part in one.parts)
    key = "".join(f'<span><i class="{name}"></i>{PARTS[name]}</span>' for name in names)
    if key:
        yield f'<p class="key soft"><span>What a score is made of:</span> {key}</p>'


def _cards(curation: Curation, pictures: Mapping[str, str]) -> Iterator[str]:
    if not curation.shown:
        yield '<p class="none">Nothing here passes. What was refused, and why, is below.</p>'
        return
    yield '<ol class="cards">'
    for one in curation.shown:
        yield _card(one, curation, pictures)
    yield "</ol>"


def _card(one: Shown, curation: Curation, pictures: Mapping[str, str]) -> str:
    name = escape(_name(one))
    picture = _picture(pictures.get(one.image), one.title or one.where, one.width, one.height)
    bar = "".join(
        f'<i class="{part.name}" style="width:{100 * part.points:.2f}%"></i>' for part in one.parts if part.points > 0
    )
    rows = "".join(
        f"<tr><th><i class={part.name}></i>{PARTS[part.name]}</th><td>{part.value:.2f}</td><td>× {part.weight:.2f}</td>"
        f"<td>= {part.points:.3f}</td></tr>"
        for part in one.parts
    )
    facts = [f"{one.width:,} × {one.height:,}", f"confidence {_cut(one.confidence)} <small>{curation.state}</small>"]
    whole = f"<tr><th>score</th><td></td><td></td><td>= {one.score:.3f}</td></tr>"
    return (
        f'<li><label class="shot" for="p{one.rank}">{picture}</label>'
        f'<div class="line"><input type="checkbox" id="p{one.rank}"><label for="p{one.rank}"><b>{one.rank}</b></label>'
        f'<span class="bar" title="score {one.score:.3f}">{bar}</span><b class="score">{one.score:.3f}</b></div>'
        f'<p class="title" title="{escape(one.where)}">{name}</p><p class="soft">{" · ".join(facts)}</p>'
        f"{_verdict(one)}{_source(one)}"
        f"<details><summary>how it scores</summary><table>{rows}{whole}</table>"
        f"<p class=soft>best phrase: {escape(one.matched)}<br>margin {one.margin:+.3f} in cosine</p></details>"
        f"{_alike(one, pictures)}</li>"
    )


def _name(one: Shown) -> str:
    """What a picture is called: its title, or the end of its path."""
    return (
        one.title or "/".join(one.where.rpartition("?")[2].split("/")[-1 if _is_web(one.where) else -2 :]) or one.where
    )


def _verdict(one: Shown) -> str:
    if one.verdict is not None:
        said = one.verdict
        words = [
            f"relevance {said.relevance:g} of 10",
            f"quality {said.quality:g} of 10",
            "single subject" if said.single_subject else "not by itself",
            f"{said.view} view",
            f"fills {100 * said.fill:.0f} %",
        ]
        note = f"<br>“{escape(said.note)}”" if said.note else ""
        return f'<p class="verdict">{escape(" · ".join(words))}{note}</p>'
    return f'<p class="verdict soft">no verdict: {escape(one.remark)}</p>' if one.remark else ""


def _source(one: Shown) -> str:
    where = one.page or one.where
    parts = [_link(where)] if _is_web(where) or one.title else []
    if one.licence:
        parts.append(f"licence {_link(one.licence)}")
    elif _is_web(one.where):
        parts.append("licence not known")
    return f'<p class="source soft">{" · ".join(parts)}</p>' if parts else ""


def _link(text: str) -> str:
    """A link where it leads to the web, else the text; nothing else is ever a link."""
    if not _is_web(text):
        return escape(text)
    parts = urlsplit(text)
    short = f"{parts.hostname}{parts.path if len(parts.path) > 1 else ''}"
    short = short if len(short) <= 60 else f"{short[:40]}…{short[-18:]}"
    return f'<a href="{escape(text)}" rel="noreferrer noopener" title="{escape(text)}">{escape(short)}</a>'


def _is_web(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _alike(one: Shown, pictures: Mapping[str, str]) -> str:
    if not one.alike:
        return ""
    items = "".join(
        f"<li>{_picture(pictures.get(a.image), a.where)}<span>{escape(a.where.rpartition('/')[2])}<br>"
        f"cosine {_cut(a.similarity)}</span></li>"
        for a in one.alike
    )
    count = "1 near-duplicate" if len(one.alike) == 1 else f"{len(one.alike)} near-duplicates"
    return f"<details><summary>{count}</summary><ul class=strip>{items}</ul></details>"


def _refused(curation: Curation, pictures: Mapping[str, str]) -> Iterator[str]:
    if not curation.refused:
        return
    rules = Counter(refusal.rule for one in curation.refused for refusal in one.refusals)
    why = ", ".join(f"{rule} {count}" for rule, count in rules.most_common())
    count, shown = len(curation.refused), curation.refused[:REFUSED_SHOWN]
    yield f"<details class=more><summary><b>{count:,} refused</b> <span class=soft>{escape(why)}</span></summary>"
    yield "<ul class=refused>" + "".join(_refusal(one, pictures) for one in shown) + "</ul>"
    if count > len(shown):
        yield f"<p class=soft>and {count - len(shown):,} more of lower score; --json lists them all</p>"
    yield "</details>"


def _refusal(one: Refused, pictures: Mapping[str, str]) -> str:
    reasons = "<br>".join(escape(refusal.reason) for refusal in one.refusals)
    name = escape(one.title or one.where.rpartition("/")[2] or one.where)
    return (
        f"<li>{_picture(pictures.get(one.image), one.title or one.where)}<span><b>{name}</b><br>{reasons}</span></li>"
    )


def _skipped(curation: Curation) -> Iterator[str]:
    if not curation.skipped:
        return
    yield f"<details class=more><summary><b>{len(curation.skipped):,} could not be had</b></summary><ul class=plain>"
    for item in curation.skipped[:REFUSED_SHOWN]:
        yield f"<li>{escape(item.path)}<br><span class=soft>{escape(item.reason)}</span></li>"
    yield "</ul></details>"


def _command(curation: Curation) -> Iterator[str]:
    if not curation.shown:
        return
    ticked = "".join(f'<span class="k k{one.rank}">{one.rank},</span>' for one in curation.shown)
    yield (
        '<footer><span class="hint">Tick the pictures to keep, then run the command that appears here.</span>'
        f'<code class="go">sextant curate --of {curation.number} --keep {ticked}</code></footer>'
    )


def _picture(data: str | None, words: str, width: int = 0, height: int = 0) -> str:
    if data is None:
        return '<span class="gone">no picture</span>'
    size = f' width="{width}" height="{height}"' if width and height else ""
    return f'<img src="{data}" alt="{escape(words)}"{size}>'


def _cut(value: float) -> str:
    """A share to three digits, never rounded up."""
    return "–" if math.isnan(value) else f"{math.floor(value * 1000 + 1e-9) / 1000:.3f}"
