"""Where candidates come from: lists of URLs, saved result files, search providers. Words in, no picture out.

A provider is anything with `search(query, limit)`. What one finds is somebody else's text: only strings are taken from
it, and the pictures behind its URLs are fetched like any other, by the strict rules of `fetch`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode, urljoin, urlsplit

from sextant.errors import ExchangeError, UsageError
from sextant.types import Skipped

MOST_PAGES = 10
LONGEST = 1000  # characters of a title or description that are kept
LONGEST_URL = 4000
MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Candidate:
    """A picture that may be chosen. `url` is where it lies; `source` the page or site that it was found on."""

    url: str
    title: str = ""
    source: str = ""
    licence: str | None = None
    description: str = ""


class Provider(Protocol):
    """Finds pictures for a phrase, most relevant first, and at most `limit` of them."""

    def search(self, query: str, limit: int) -> Iterable[Candidate]:
        """The candidates. May raise `SextantError` where the provider cannot be asked at all."""
        ...


class SearXng:
    """A SearXNG instance whose settings allow the JSON format; it may be on this machine, since a person named it.

    https://docs.searxng.org/dev/search_api.html
    """

    def __init__(self, url: str, *, seconds: float = 20.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise UsageError("a SearXNG instance is named by an http or https URL without a user name")
        self.url = url.rstrip("/").removesuffix("/search")
        self.seconds = seconds

    def search(self, query: str, limit: int) -> Iterator[Candidate]:
        """Result pages one after another, until there are enough or a page brings nothing new."""
        from sextant.fetch import Fetcher, Limits, Policy

        limits = Limits(bytes=MOST_BYTES, read_seconds=self.seconds, total_seconds=self.seconds, redirects=0)
        fetcher = Fetcher(Policy(allows=lambda _: True, ports=None), limits)  # this host alone: redirects are off
        seen: set[str] = set()
        for page in range(1, MOST_PAGES + 1):
            asked = {"q": query, "format": "json", "categories": "images", "pageno": page}
            answer = fetcher.read(f"{self.url}/search?{urlencode(asked)}", "application/json")
            if isinstance(answer, Skipped):
                if page == 1:
                    raise ExchangeError(_refusal(self.url, answer.reason))
                return
            fresh = [c for c in candidates_of(answer, self.url) if c.url not in seen]
            yield from fresh[: limit - len(seen)]
            seen.update(c.url for c in fresh)
            if not fresh or len(seen) >= limit:
                return


class SavedResults:
    """A file of results: what SearXNG answers, a JSON array, or JSON lines of objects with at least a URL.

    Keys: `img_src`, `image` or `url` for the picture; `title`, `content` or `description`, `licence` or `license`; and
    for the page `url` beside `img_src`, else `page` or `source`.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def search(self, query: str, limit: int) -> Iterator[Candidate]:  # noqa: ARG002 – it was asked when it was saved
        """The first candidates of the file."""
        try:
            data = self.file.read_bytes()
        except OSError as error:
            raise ExchangeError(f"{self.file}: cannot be read: {error.strerror or error}") from error
        found = candidates_of(data, "")
        if not found:
            raise ExchangeError(
                f"{self.file}: holds no results. It is to be JSON: what SearXNG answers, an array, or one object a line"
            )
        yield from found[:limit]


def candidates_of(data: bytes, base: str) -> list[Candidate]:
    """The candidates in a JSON answer, each picture once; rows that name none are passed over."""
    found = (_candidate(row, base) for row in _rows(data) if isinstance(row, Mapping))
    return list({c.url: c for c in reversed(list(filter(None, found)))}.values())[::-1]


def _rows(data: bytes) -> list[Any]:
    try:
        whole = json.loads(data)
        rows = whole.get("results", [whole]) if isinstance(whole, dict) else whole
        return rows if isinstance(rows, list) else []
    except (ValueError, RecursionError):
        return [row for line in data.splitlines() if (row := _line(line)) is not None]


def _line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _candidate(row: Mapping[str, Any], base: str) -> Candidate | None:
    picture = _text(row, "img_src") or _text(row, "image")
    page = _text(row, "url") if picture else _text(row, "page") or _text(row, "source")
    picture = picture or _text(row, "url")
    if not picture:
        return None
    try:
        url = urljoin(f"{base or 'https://host'}/", picture) if base or picture.startswith("//") else picture
    except ValueError:
        return None
    return Candidate(
        url[:LONGEST_URL],
        title=_text(row, "title"),
        source=page or _text(row, "source"),
        licence=_text(row, "licence") or _text(row, "license") or None,
        description=_text(row, "content") or _text(row, "description"),
    )


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if isinstance(value, str):
        value = value.encode("utf-8", "replace").decode()  # half of a surrogate pair can be stored nowhere
    return " ".join(value.split())[: LONGEST_URL if "://" in value else LONGEST] if isinstance(value, str) else ""


def _refusal(url: str, reason: str) -> str:
    hint = "; its settings must allow the format json (search: formats)" if " 403" in reason or "html" in reason else ""
    return f"{url}: the search provider could not be asked: {reason}{hint}"
