"""Keywords into an XMP sidecar and out again, by splicing: what is not Sextant's own stays as it is, to the byte.

Keywords go into `dc:subject` and `digiKam:TagsList`, a band into `digiKam:PickLabel`. What was added is noted beside it
in a namespace of our own, and only what is noted there is ever taken out again: a keyword that was there before is a
person's, and is neither noted nor removed. Documents with a DTD are refused, so no entity, internal or external, is
ever expanded. Knows nothing of files or collections.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from sextant.errors import ExchangeError

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
DIGIKAM = "http://www.digikam.org/ns/1.0/"
OURS = "https://sextant-images.github.io/ns/1.0/"
SUBJECT, TAGS_LIST, PICK_LABEL = (DC, "subject"), (DIGIKAM, "TagsList"), (DIGIKAM, "PickLabel")
LISTS = {SUBJECT: ("Subject", "dc:subject", "Bag"), TAGS_LIST: ("TagsList", "digiKam:TagsList", "Seq")}
"""For each list: the name under which we note what we put there, and how we write a new one."""
NO_LABEL = "0"
MOST_BYTES = 16 << 20
EMPTY = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    b' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n </rdf:RDF>\n</x:xmpmeta>\n'
    b'<?xpacket end="w"?>\n'
)
_TAG = re.compile(rb"""<[^"'>]*(?:"[^"]*"[^"'>]*|'[^']*'[^"'>]*)*>""")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Name = tuple[str, str]
"""Namespace and local name."""


@dataclass(frozen=True, slots=True)
class Words:
    """What Sextant says of a picture: flat keywords, hierarchical tags (`/` between), and a pick label or None."""

    keywords: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    pick: int | None = None

    def __bool__(self) -> bool:
        return bool(self.keywords or self.tags or self.pick is not None)


def written(document: bytes, words: Words) -> bytes:
    """The document with these words instead of those that Sextant wrote before.

    Raises:
        ExchangeError: it is no XMP, or of a shape that cannot be changed without guessing.
    """
    plain, codec = _utf8(document)
    result = _added(_withdrawn(plain), words)
    _read(result)  # nothing is handed out that could not be read back
    if codec == "utf-8":
        return result
    return result.decode().encode(codec, "xmlcharrefreplace")


def clean(text: str) -> str:
    """A text as one line that XML can hold."""
    return " ".join(_NOT_XML.sub("", text).split())


# reading


@dataclass
class _Element:
    name: Name
    start: int
    opened: int  # where its start tag ends
    attributes: dict[Name, str]
    prefixes: dict[Name, str]
    close: int = 0  # where its end tag begins; for <a/> the same as `end`
    end: int = 0
    text: str = ""
    children: list[_Element] = field(default_factory=list)

    def below(self) -> Iterator[_Element]:
        """Elements below this one, in the order of their starts."""
        for child in self.children:
            yield child
            yield from child.below()


@dataclass
class _Document:
    data: bytes
    rdf: _Element

    def descriptions(self) -> list[_Element]:
        return [e for e in self.rdf.children if e.name == (RDF, "Description")]

    def properties(self, name: Name) -> list[_Element]:
        return [e for d in self.descriptions() for e in d.children if e.name == name]

    def items(self, name: Name) -> list[_Element]:
        """The entries of a list property."""
        return [
            item
            for prop in self.properties(name)
            for box in prop.children
            for item in box.children
            if item.name == (RDF, "li")
        ]

    def noted(self, name: Name) -> list[str]:
        """What we wrote into a list."""
        return [item.text.strip() for item in self.items((OURS, LISTS[name][0]))]

    def value(self, name: Name) -> str | None:
        """A simple property, in either of its two forms."""
        for description in self.descriptions():
            if name in description.attributes:
                return description.attributes[name].strip()
        found = self.properties(name)
        return found[0].text.strip() if found else None


def _utf8(document: bytes) -> tuple[bytes, str]:
    """The document in UTF-8, and the encoding it was in."""
    if len(document) > MOST_BYTES:
        raise ExchangeError(f"it is larger than {MOST_BYTES >> 20} MiB")
    codec = next((c for bom, c in _BOMS if document.startswith(bom)), None)
    if codec is None:
        declared = re.match(rb"""<\?xml[^>]*?\bencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""", document)
        codec = declared[1].decode() if declared else "utf-8"
    try:
        codec = codecs.lookup(codec).name
        if not codec.startswith(("utf-8", "utf-16-", "utf-32-", "ascii", "iso8859-", "cp125")):
            raise LookupError(codec)
        return document.decode(codec).encode(), codec
    except (LookupError, UnicodeError) as error:
        raise ExchangeError(f"its text cannot be read as {codec}") from error


_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Decoded with the byte order named, so that the mark stays a character of the text and comes back as it was."""


def _read(data: bytes) -> _Document:
    """Where everything lies. Raises `ExchangeError`."""
    root = _Element(("", ""), 0, 0, {}, {})
    stack = [root]
    parser = expat.ParserCreate("utf-8", " ")
    parser.buffer_text = parser.namespace_prefixes = True

    def start(name: str, attributes: dict[str, str]) -> None:
        at = parser.CurrentByteIndex
        tag = _TAG.match(data, at)
        if tag is None or len(stack) > 200:
            raise ExchangeError("it is too deeply nested")
        named = {_name(k): v for k, v in attributes.items()}
        prefixes = {_name(k): k.split(" ")[2] for k in attributes if k.count(" ") == 2}
        element = _Element(_name(name), at, tag.end(), named, prefixes)
        stack[-1].children.append(element)
        stack.append(element)

    def end(_: str) -> None:
        element = stack.pop()
        element.close = element.end = element.opened
        if not data.endswith(b"/>", element.start, element.opened):
            element.close = parser.CurrentByteIndex
            element.end = data.index(b">", element.close) + 1

    def text(data: str) -> None:
        stack[-1].text += data

    def refuse(*_: object) -> None:
        raise ExchangeError("it has a document type declaration, which no XMP needs and which could name other files")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ExchangeError(f"it is not well-formed XML: {error}") from error
    found = next((e for e in root.below() if e.name == (RDF, "RDF")), None)
    if found is None:
        raise ExchangeError("it holds no rdf:RDF, so it is no XMP")
    return _Document(data, found)


def _name(text: str) -> Name:
    """Of `namespace local prefix`; the last, or the last two, may be missing."""
    namespace, _, rest = text.rpartition(" ") if text.count(" ") < 2 else text.partition(" ")
    return namespace, rest.partition(" ")[0]


# taking out


def _withdrawn(data: bytes) -> bytes:
    """The document without what we noted as ours, and without the notes."""
    document = _read(data)
    cuts: list[tuple[int, int, bytes]] = []
    for name in LISTS:
        cuts += _cut_items(document, name)
    cuts += _cut_pick(document)
    data = _spliced(data, cuts)
    document = _read(data)
    cuts = []
    for description in document.descriptions():
        ours = [e for e in description.children if e.name[0] == OURS]
        attributes = [n for n in description.attributes if n[0] == OURS]
        rest = [n for n in description.attributes if n[1] != "about" and n[0] != OURS]
        if (ours or attributes) and len(ours) == len(description.children) and not rest:
            cuts.append((*_with_space(data, description), b""))
            continue
        cuts += [(*_with_space(data, e), b"") for e in ours]
        cuts += [_cut_attribute(data, description, n) for n in attributes]
    return _spliced(data, cuts)


def _cut_items(document: _Document, name: Name) -> list[tuple[int, int, bytes]]:
    """Our entries of a list; the whole property where nothing else is in it."""
    left = document.noted(name)
    cuts: list[tuple[int, int, bytes]] = []
    for prop in document.properties(name):
        items = [item for box in prop.children for item in box.children]
        ours: list[_Element] = []
        for item in reversed(items):  # where a person has the same word, theirs stood first
            if item.text.strip() in left and not item.children and not item.attributes:
                left.remove(item.text.strip())
                ours.append(item)
        gone = [prop] if ours and len(ours) == len(items) else ours
        cuts += [(*_with_space(document.data, e), b"") for e in gone]
    return cuts


def _cut_pick(document: _Document) -> list[tuple[int, int, bytes]]:
    """Our pick label, put back to what it was; one that was changed since is a person's."""
    ours, before = document.value((OURS, "PickLabel")), document.value((OURS, "PickLabelBefore"))
    if ours is None or document.value(PICK_LABEL) != ours:
        return []
    if before is not None:
        return [_set_pick(document, before)]
    for description in document.descriptions():
        if PICK_LABEL in description.attributes:
            return [_cut_attribute(document.data, description, PICK_LABEL)]
    return [(*_with_space(document.data, document.properties(PICK_LABEL)[0]), b"")]


def _with_space(data: bytes, element: _Element) -> tuple[int, int]:
    """An element with the white space before it."""
    return len(data[: element.start].rstrip(b" \t\r\n")), element.end


def _cut_attribute(data: bytes, element: _Element, name: Name) -> tuple[int, int, bytes]:
    start, end, _ = _attribute(data, element, name)
    return start, end, b""


def _attribute(data: bytes, element: _Element, name: Name) -> tuple[int, int, int]:
    """Where an attribute begins, with the space before it, where it ends, and where its value begins."""
    qname = re.escape(f"{element.prefixes[name]}:{name[1]}".encode())
    found = re.search(rb"""\s+%b\s*=\s*(?:"([^"]*)"|'([^']*)')""" % qname, data[element.start : element.opened])
    if found is None or (found[1] or found[2] or b"").decode().strip() != element.attributes[name].strip():
        raise ExchangeError(f"its {name[1]} is written in a way that cannot be changed")  # such as inside a value
    value = found.start(1 if found[1] is not None else 2)
    return element.start + found.start(), element.start + found.end(), element.start + value


def _spliced(data: bytes, cuts: Sequence[tuple[int, int, bytes]]) -> bytes:
    """The data with the bytes from `start` to `end` of every cut replaced."""
    for start, end, new in sorted(cuts, reverse=True):
        data = data[:start] + new + data[end:]
    return data


# putting in


def _added(data: bytes, words: Words) -> bytes:
    """The document with our words, and notes of those that were not there before."""
    document = _read(data)
    cuts: list[tuple[int, int, bytes]] = []
    inside: list[str] = []
    for name, said in ((SUBJECT, words.keywords), (TAGS_LIST, words.tags)):
        note, qname, box = LISTS[name]
        there = {item.text.strip() for item in document.items(name)}
        new = [w for w in dict.fromkeys(map(clean, said)) if w and w not in there]
        if not new:
            continue
        inside.append(_list(f"sextant:{note}", "Bag", new))
        found = document.properties(name)
        if found or any(name in d.attributes for d in document.descriptions()):
            cuts.append(_into(document, found, qname, new))
        else:
            inside.append(_list(qname, box, new))
    cuts += _pick_cuts(document, words.pick, inside)
    if inside:
        cuts.append(_block(document, inside))
    return _spliced(data, cuts)


def _into(document: _Document, found: list[_Element], qname: str, new: list[str]) -> tuple[int, int, bytes]:
    """Entries at the end of a list that is there."""
    boxes = [box for prop in found for box in prop.children if box.name[0] == RDF and box.name[1] in ("Bag", "Seq")]
    if len(found) != 1 or len(boxes) != 1:
        raise ExchangeError(f"its {qname} is not one list")
    data, box = document.data, boxes[0]
    tag = re.match(rb"<([^\s/>]+)", data[box.start : box.opened])
    prefix = tag[1].decode().rpartition(":")[0] if tag else ""
    li = f"{prefix}:li" if prefix else "li"
    last = box.children[-1] if box.children else None
    space = data[len(data[: last.start].rstrip(b" \t\r\n")) : last.start] if last else b""
    entries = b"".join(space + f"<{li}>{escape(w)}</{li}>".encode() for w in new)
    if data.endswith(b"/>", box.start, box.opened):
        name = tag[1] if tag else b"rdf:Bag"
        return box.opened - 2, box.opened, b">" + entries + b"</" + name + b">"
    at = last.end if last else box.opened
    return at, at, entries


def _pick_cuts(document: _Document, pick: int | None, inside: list[str]) -> list[tuple[int, int, bytes]]:
    """The pick label in its place, unless a person chose one."""
    held = document.value(PICK_LABEL)
    if pick is None or held not in (None, NO_LABEL):
        return []
    inside.append(f"<sextant:PickLabel>{pick}</sextant:PickLabel>")
    if held is None:
        inside.append(f"<digiKam:PickLabel>{pick}</digiKam:PickLabel>")
        return []
    inside.append(f"<sextant:PickLabelBefore>{held}</sextant:PickLabelBefore>")
    return [_set_pick(document, str(pick))]


def _set_pick(document: _Document, value: str) -> tuple[int, int, bytes]:
    for description in document.descriptions():
        if PICK_LABEL in description.attributes:
            _, end, start = _attribute(document.data, description, PICK_LABEL)
            return start, end - 1, escape(value).encode()
    prop = document.properties(PICK_LABEL)[0]
    return prop.opened, prop.close, escape(value).encode()


def _list(qname: str, box: str, words: Sequence[str]) -> str:
    entries = "".join(f"\n     <rdf:li>{escape(word)}</rdf:li>" for word in words)
    return f"<{qname}>\n    <rdf:{box}>{entries}\n    </rdf:{box}>\n   </{qname}>"


def _block(document: _Document, inside: Sequence[str]) -> tuple[int, int, bytes]:
    """A description of our own at the end of the document's."""
    rdf, data = document.rdf, document.data
    about = next((v for d in document.descriptions() for n, v in d.attributes.items() if n[1] == "about"), "")
    lines = "".join(f"\n   {part}" for part in inside)
    block = (
        f'\n  <rdf:Description rdf:about={quoteattr(about)} xmlns:rdf="{RDF}" xmlns:dc="{DC}" xmlns:digiKam="{DIGIKAM}"'
        f' xmlns:sextant="{OURS}">{lines}\n  </rdf:Description>'
    ).encode()
    if data.endswith(b"/>", rdf.start, rdf.opened):
        tag = re.match(rb"<([^\s/>]+)", data[rdf.start : rdf.opened])
        return rdf.opened - 2, rdf.opened, b">" + block + b"</" + (tag[1] if tag else b"rdf:RDF") + b">"
    at = rdf.children[-1].end if rdf.children else rdf.opened
    return at, at, block
