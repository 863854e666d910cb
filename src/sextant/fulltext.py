"""What people said of images, as words to be searched: one row an image, an index over it, and the images that match.

`said` repeats tags and descriptions folded to plain words, so every database splits them alike: accents and case are
gone, scripts that are written without spaces stand one character apart. SQLite indexes it with FTS5, PostgreSQL with
`to_tsvector`; a SQLite without FTS5 reads all of it. A person's text is always a bound parameter made of letters and
digits, so it can never be a syntax error. Knows nothing of vectors, and nothing of file names, which rules ask for.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

BATCH = 500  # a statement takes a limited number of values
PREFIX = 3  # a shorter word stands for itself alone
MOST_TOKENS = 64
TAG_WEIGHT = 3.0  # what a word among the tags counts, against 1 in a description
_BINDING = """
a an the of in on at to by for from with and or is are it its this that some
der die das den dem des ein eine einen einem einer und oder mit von im am auf zu
le la les un une du de et ou avec dans sur au aux el los las una unos unas y o con en del al
il lo gli i uno e di da nel della het een op met os as um uma do dos em com
"""
_MEDIUM = "photo photos photograph picture pictures image images foto fotos bild bilder"
STOP_WORDS = frozenset((*_BINDING.split(), *_MEDIUM.split()))
"""What binds words together in the languages that people here write, and what every image is."""
_ASCII_WORD = re.compile("[a-z0-9]+")
_SPACELESS = (
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF)),
    *((0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)),
)  # Thai, Lao, Burmese, Khmer, kana, Han

_METADATA = sa.MetaData()
said = sa.Table(
    "said",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("image", sa.Text, nullable=False, unique=True),
    sa.Column("tags", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
)
_tags = sa.table("tags", sa.column("image"), sa.column("tag"))
_descriptions = sa.table("descriptions", sa.column("image"), sa.column("text"))
_index = sa.table("said_words", sa.column("rowid"))
_FTS5 = (
    """CREATE VIRTUAL TABLE said_words USING fts5(tags, description, content='said', content_rowid='id',
       tokenize="unicode61 remove_diacritics 2 categories 'L* N* Co M*'", prefix='3')""",
    """CREATE TRIGGER said_put AFTER INSERT ON said BEGIN
       INSERT INTO said_words(rowid, tags, description) VALUES (new.id, new.tags, new.description); END""",
    """CREATE TRIGGER said_dropped AFTER DELETE ON said BEGIN
       INSERT INTO said_words(said_words, rowid, tags, description)
       VALUES ('delete', old.id, old.tags, old.description); END""",
    """CREATE TRIGGER said_changed AFTER UPDATE ON said BEGIN
       INSERT INTO said_words(said_words, rowid, tags, description)
       VALUES ('delete', old.id, old.tags, old.description);
       INSERT INTO said_words(rowid, tags, description) VALUES (new.id, new.tags, new.description); END""",
)
_GIN = """CREATE INDEX said_words ON said USING gin (
          (setweight(to_tsvector('simple', tags), 'A') || setweight(to_tsvector('simple', description), 'D')))"""

Found = tuple[str, float]
"""An image's id and how well its words match; higher is better, comparable within one answer only."""


# words


def tokens(text: str) -> list[str]:
    """The words of a text, folded: no case, no accents, no punctuation; spaceless scripts a character at a time."""
    return [word for run in _runs(text) for word in run]


def _runs(text: str) -> list[list[str]]:
    """The words of a text; a run of a spaceless script is several that belong together."""
    if text.isascii():
        return [[word] for word in _ASCII_WORD.findall(text.lower())]
    runs: list[list[str]] = []
    before = ""  # what the last character was: `word`, `alone`, or nothing
    for character in _folded(text):
        what = _kind(character)
        if what == "mark":
            if before:
                runs[-1][-1] += character
            continue
        if what == before == "word":
            runs[-1][-1] += character
        elif what == before == "alone":
            runs[-1].append(character)
        elif what:
            runs.append([character])
        before = what
    return runs


def _folded(text: str) -> str:
    """Lower case without the accents of Latin, Greek and Cyrillic; compatibility forms made plain."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", "".join(c for c in apart if not 0x300 <= ord(c) <= 0x36F)).casefold()


def _kind(character: str) -> str:
    category = unicodedata.category(character)[0]
    if category == "M":
        return "mark"
    if category not in "LN":
        return ""
    return "alone" if any(low <= ord(character) <= high for low, high in _SPACELESS) else "word"


def asked(text: str) -> list[list[str]]:
    """What a query asks for: its words, each once and without those that bind words together, unless only those."""
    runs = list({tuple(run): None for run in _runs(text)})[:MOST_TOKENS]
    telling = [run for run in runs if len(run) > 1 or run[0] not in STOP_WORDS]
    return [list(run) for run in telling or runs]


# the index


def create(connection: Connection) -> None:
    """Makes the table and its index, and fills them from the tags and descriptions that are there."""
    _METADATA.create_all(connection, tables=[said])
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_GIN)
    elif connection.dialect.name == "sqlite" and _has_fts5(connection):
        for statement in _FTS5:
            connection.exec_driver_sql(statement)
    images = sa.union(sa.select(_tags.c.image), sa.select(_descriptions.c.image))
    refresh(connection, connection.execute(images).scalars().all())


def _has_fts5(connection: Connection) -> bool:
    found = connection.exec_driver_sql("SELECT count(*) FROM pragma_module_list WHERE name = 'fts5'")
    return bool(found.scalar())


def refresh(connection: Connection, images: Iterable[str]) -> None:
    """Brings the words of these images up to date, within the transaction that changed what was said of them."""
    wanted = list(dict.fromkeys(images))
    if wanted and connection.dialect.name == "postgresql":  # two writers of one image: the second sees the first's
        connection.exec_driver_sql("LOCK TABLE said IN SHARE ROW EXCLUSIVE MODE")
    for start in range(0, len(wanted), BATCH):
        part = wanted[start : start + BATCH]
        new = _words(connection, part)
        old = {r.image: r for r in connection.execute(sa.select(said).where(said.c.image.in_(part)))}
        gone = [image for image in old if image not in new]
        if gone:
            connection.execute(said.delete().where(said.c.image.in_(gone)))
        added = [{"image": i, "tags": t, "description": d} for i, (t, d) in new.items() if i not in old]
        if added:
            connection.execute(said.insert(), added)
        for image, (words, text) in new.items():
            if image in old and (old[image].tags, old[image].description) != (words, text):
                change = said.update().where(said.c.image == image)
                connection.execute(change.values(tags=words, description=text))


def _words(connection: Connection, images: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Tags and description by image, folded; images of which nothing is said are left out."""
    tagged: dict[str, list[str]] = {}
    for row in connection.execute(sa.select(_tags).where(_tags.c.image.in_(images)).order_by(_tags.c.tag)):
        tagged.setdefault(row.image, []).append(" ".join(tokens(row.tag)))
    texts = connection.execute(sa.select(_descriptions).where(_descriptions.c.image.in_(images)))
    described = {row.image: " ".join(tokens(row.text)) for row in texts}
    pairs = {i: (" ".join(tagged.get(i, ())), described.get(i, "")) for i in {**tagged, **described}}
    return {image: pair for image, pair in pairs.items() if any(pair)}


# the question


def matching(connection: Connection, text: str, limit: int, *, every: bool = True, prefix: bool = True) -> list[Found]:
    """The images whose words match, best first; equal ones by id.

    All words must be there, or with `every` off at least one. With `prefix` a word of three characters or more also
    finds longer ones that begin with it, which count less. Nothing matches a text without a word.
    """
    runs = asked(text)
    if not runs or limit < 1:
        return []
    if connection.dialect.name == "postgresql":
        query = _in_postgres(runs, every=every, prefix=prefix)
    elif connection.dialect.name == "sqlite" and sa.inspect(connection).has_table("said_words"):
        query = _in_fts5(runs, every=every, prefix=prefix)
    else:
        query = _by_reading(runs, every=every, prefix=prefix)
    rows = connection.execute(query.order_by(sa.desc("score"), said.c.image).limit(limit))
    return [(row.image, float(row.score)) for row in rows]


def _in_fts5(runs: Sequence[Sequence[str]], *, every: bool, prefix: bool) -> sa.Select[Any]:
    """BM25 over both columns; a whole word counts twice, once for itself and once as the beginning of itself."""
    phrases = ['"' + " ".join(run) + '"' for run in runs]
    tests = [f"({p} OR {p} *)" if prefix and _long(run) else p for p, run in zip(phrases, runs, strict=True)]
    whole: sa.ColumnElement[Any] = sa.literal_column("said_words")
    score = (-sa.func.bm25(whole, TAG_WEIGHT, 1.0)).label("score")
    joined = _index.join(said, said.c.id == _index.c.rowid)
    match = whole.op("MATCH")((" AND " if every else " OR ").join(tests))
    return sa.select(said.c.image, score).select_from(joined).where(match)


def _in_postgres(runs: Sequence[Sequence[str]], *, every: bool, prefix: bool) -> sa.Select[Any]:
    """`ts_rank` over the indexed expression, once for whole words and once for beginnings."""
    whole = ["(" + " <-> ".join(f"'{word}'" for word in run) + ")" for run in runs]
    begun = [f"{w[:-1]}:*)" if prefix and _long(run) else w for w, run in zip(whole, runs, strict=True)]
    join = " & " if every else " | "
    words = _vector(said.c.tags, "A").op("||")(_vector(said.c.description, "D"))
    simple: sa.ColumnElement[Any] = sa.literal_column("'simple'::regconfig")
    loose, exact = (sa.func.to_tsquery(simple, join.join(part)) for part in (begun, whole))
    weights: sa.ColumnElement[Any] = sa.literal_column("'{0.3333, 0.3333, 0.3333, 1}'::real[]")
    score = (sa.func.ts_rank(weights, words, loose) / 10 + sa.func.ts_rank(weights, words, exact)).label("score")
    return sa.select(said.c.image, score).where(words.op("@@")(loose))


def _vector(column: sa.ColumnElement[Any], weight: str) -> sa.ColumnElement[Any]:
    simple: sa.ColumnElement[Any] = sa.literal_column("'simple'")
    letter: sa.ColumnElement[Any] = sa.literal_column(f"'{weight}'")
    return sa.func.setweight(sa.func.to_tsvector(simple, column), letter)


def _by_reading(runs: Sequence[Sequence[str]], *, every: bool, prefix: bool) -> sa.Select[Any]:
    """The same images by LIKE over every row; a score of whole words and beginnings that are found."""
    score: sa.ColumnElement[Any] = sa.literal(0.0)
    tests: list[sa.ColumnElement[bool]] = []
    for run in runs:
        found: list[sa.ColumnElement[bool]] = []
        for column, weight in ((said.c.tags, TAG_WEIGHT), (said.c.description, 1.0)):
            spaced = sa.literal(" ").concat(column).concat(" ")
            begun = prefix and _long(run)
            patterns = {f"% {' '.join(run)} %": weight, **({f"% {' '.join(run)}%": weight / 10} if begun else {})}
            found += [spaced.like(pattern) for pattern in patterns]
            score = score + sum(sa.case((spaced.like(p), value), else_=0.0) for p, value in patterns.items())
        tests.append(sa.or_(*found))
    return sa.select(said.c.image, score.label("score")).where((sa.and_ if every else sa.or_)(*tests))


def _long(run: Sequence[str]) -> bool:
    return len(run) > 1 or len(run[0]) >= PREFIX
