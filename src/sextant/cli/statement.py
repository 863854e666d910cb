"""A rule as the SELECT that answers the same question: what `query --sql` prints."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sextant.errors import UsageError

if TYPE_CHECKING:
    from sextant.collection import Collection


def select(photos: Collection, rule: str, *, show: Sequence[str], sort: str | None, limit: int | None) -> str:
    """The statement, with every value of the rule written out as a literal."""
    from sextant.maths import rules
    from sextant.vocabulary import did_you_mean

    known = photos.known()
    parsed = rules.parse(rule, known)
    key = sort.removeprefix("-") if sort else None
    for name in (*show, *([key] if key else [])):
        if name not in known:
            raise UsageError(f"no attribute or fact '{name}'.{did_you_mean(name, known)}")
    where, parameters = rules.to_sql(parsed)
    names = dict.fromkeys(["id", "path", *parsed.names, *show])
    lines = [
        "SELECT " + ", ".join(f"i.{quoted(name)}" for name in names),
        "FROM images i JOIN bands b USING (id)",
        "WHERE " + filled(where, parameters),
        f"ORDER BY i.{quoted(key)}{' DESC' if sort != key else ''} NULLS LAST, i.path" if key else "ORDER BY i.path",
    ]
    return "\n".join(lines + ([f"LIMIT {limit}"] if limit is not None else []))


def filled(text: str, parameters: Sequence[Any]) -> str:
    """A statement with each `?` outside quotes replaced by its parameter as a literal."""
    parts: list[str] = []
    values = iter(parameters)
    quote = ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "?":
            parts.append(literal(next(values)))
            continue
        parts.append(character)
    return "".join(parts)


def literal(value: Any) -> str:
    """A value as SQL writes it. Quotes in a text are doubled, so a text stays a text."""
    match value:
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            return str(value)
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
        case datetime():
            return f"TIMESTAMP '{value.isoformat(sep=' ')}'"
        case _:
            return "'" + str(value).replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A name as SQL quotes it."""
    return '"' + name.replace('"', '""') + '"'
