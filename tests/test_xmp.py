"""XMP sidecars: a person's words are never lost, ours come out again, and the rest stays to the byte."""

from __future__ import annotations

import codecs
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sextant import xmp
from sextant.errors import ExchangeError
from sextant.xmp import EMPTY, Words, written

DOG = Words(("Dog", "Beach"), ("Sextant/animal/Dog", "Sextant/place/Beach"), 3)

DIGIKAM = b"""<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:mystery="urn:mystery"
   digiKam:PickLabel="0"
   digiKam:ColorLabel='0'
   mystery:Deep="a &gt; b &#10; c">
   <!-- keep me -->
   <digiKam:TagsList>
    <rdf:Seq>
     <rdf:li>People/Ada</rdf:li>
    </rdf:Seq>
   </digiKam:TagsList>
   <dc:subject>
    <rdf:Bag>
     <rdf:li>Ada</rdf:li>
     <rdf:li xml:lang="de">Hund</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <mystery:Struct rdf:parseType="Resource"><dc:subject>inner</dc:subject></mystery:Struct>
   <mystery:Raw><![CDATA[ <a> & ]]></mystery:Raw>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""
ELEMENTS = b"""<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dk="http://www.digikam.org/ns/1.0/">
<rdf:Description rdf:about="uuid:&quot;1&quot;"><dk:PickLabel>0</dk:PickLabel></rdf:Description></rdf:RDF>"""
BARE = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'
UNUSUAL = b"""<RDF xmlns="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><Description about="" xmlns:s="http://purl.org/dc/elements/1.1/">
<s:subject><Bag><li>cat</li></Bag></s:subject></Description></RDF>"""


def said(document: bytes) -> tuple[list[str], list[str], str | None]:
    """Keywords, tags and pick label of a document."""
    read = xmp._read(xmp._utf8(document)[0])
    keywords, tags = ([item.text for item in read.items(name)] for name in (xmp.SUBJECT, xmp.TAGS_LIST))
    return keywords, tags, read.value(xmp.PICK_LABEL)


@pytest.mark.parametrize("document", [DIGIKAM, ELEMENTS, EMPTY, UNUSUAL, codecs.BOM_UTF8 + ELEMENTS])
@pytest.mark.parametrize("words", [DOG, Words(("<b>&amp;\x00\x1b[31m\n=1+1",), ("a]]>b",)), Words(pick=2), Words()])
def test_what_is_put_in_comes_out_again_and_leaves_every_byte_as_it_was(document: bytes, words: Words) -> None:
    changed = written(document, words)
    assert written(changed, Words()) == document
    assert written(changed, words) == changed
    assert (changed != document) is bool(words)


def test_words_join_those_of_a_person_in_their_own_places() -> None:
    keywords, tags, pick = said(written(DIGIKAM, DOG))
    assert keywords == ["Ada", "Hund", "Dog", "Beach"]
    assert tags == ["People/Ada", "Sextant/animal/Dog", "Sextant/place/Beach"]
    assert pick == "3"
    assert written(DIGIKAM, DOG).count(b"PickLabel=") == 1
    assert said(written(UNUSUAL, DOG))[0] == ["cat", "Dog", "Beach"]


def test_a_keyword_that_a_person_has_is_theirs_and_stays() -> None:
    first = written(DIGIKAM, Words(("Ada", "Dog")))
    assert said(first)[0] == ["Ada", "Hund", "Dog"]
    assert said(written(first, Words()))[0] == ["Ada", "Hund"]


def test_other_words_replace_ours_alone() -> None:
    second = written(written(EMPTY, DOG), Words(("Cat",), ("Sextant/animal/Cat",), 2))
    assert said(second) == (["Cat"], ["Sextant/animal/Cat"], "2")


def test_what_a_person_does_to_the_file_meanwhile_outlives_us() -> None:
    ours = written(EMPTY, DOG)
    before, _, after = ours.rpartition(b"<rdf:li>Dog</rdf:li>")
    edited = before + b"<rdf:li>Dog</rdf:li><rdf:li>mine</rdf:li>" + after
    edited = edited.replace(b"<digiKam:PickLabel>3<", b"<digiKam:PickLabel>1<")
    assert said(written(edited, Words())) == (["mine"], [], "1")
    assert said(written(edited, DOG))[2] == "1"


def test_a_pick_label_that_a_person_chose_is_left_alone() -> None:
    chosen = DIGIKAM.replace(b'PickLabel="0"', b'PickLabel="1"')
    assert said(written(chosen, DOG))[2] == "1"
    assert written(written(chosen, DOG), Words()) == chosen


def test_notes_that_another_program_wrote_its_own_way_are_still_ours() -> None:
    merged = f"""<rdf:RDF xmlns:rdf="{xmp.RDF}" xmlns:dc="{xmp.DC}" xmlns:k="{xmp.DIGIKAM}" xmlns:zz="{xmp.OURS}">
    <rdf:Description rdf:about="" zz:PickLabel="3" k:PickLabel="3" zz:PickLabelBefore="0" dc:format="image/jpeg">
    <dc:subject><rdf:Bag><rdf:li> Dog </rdf:li><rdf:li>mine</rdf:li></rdf:Bag></dc:subject>
    <zz:Subject><rdf:Bag><rdf:li>Dog</rdf:li></rdf:Bag></zz:Subject>
    </rdf:Description></rdf:RDF>""".encode()
    back = written(merged, Words())
    assert said(back) == (["mine"], [], "0")
    assert b"zz:Subject" not in back
    assert b"zz:Pick" not in back
    assert b'dc:format="image/jpeg"' in back


def test_a_document_without_descriptions_gets_one() -> None:
    assert said(written(BARE, DOG)) == (list(DOG.keywords), list(DOG.tags), "3")


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "iso8859-1"])
def test_other_encodings_come_back_in_their_own(codec: str) -> None:
    head = "\ufeff" if codec.startswith("utf") else '<?xml version="1.0" encoding="ISO-8859-1"?>'
    document = (head + ELEMENTS.decode() + "<!-- é -->").encode(codec)
    changed = written(document, Words(("日本 é",)))
    assert said(changed)[0] == ["日本 é"]
    assert "é -->" in changed.decode(codec)
    assert written(changed, Words()) == document


BILLION = b'<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
OUTSIDE = b'<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (BILLION + ELEMENTS.replace(b">0<", b">&b;<"), "document type declaration"),
        (OUTSIDE + ELEMENTS.replace(b">0<", b">&a;<"), "document type declaration"),
        (b'<!DOCTYPE r SYSTEM "http://127.0.0.1/x.dtd">' + ELEMENTS, "document type declaration"),
        (b"", "not well-formed"),
        (b"not xml", "not well-formed"),
        (DIGIKAM[:-60], "not well-formed"),
        (b"<a/>", "no rdf:RDF"),
        (b"\xff\xfe\x00", "cannot be read as utf-16-le"),
        (b'<?xml version="1.0" encoding="unicode_escape"?>' + ELEMENTS, "cannot be read as unicode"),
        (b"<a>" * 300 + b"</a>" * 300, "deeply nested"),
        (UNUSUAL.replace(b"<Bag><li>cat</li></Bag>", b"cat"), "dc:subject is not one list"),
        (b" " * (xmp.MOST_BYTES + 1), "larger than 16 MiB"),
    ],
)
def test_what_cannot_be_changed_safely_is_refused_with_its_reason(document: bytes, reason: str) -> None:
    with pytest.raises(ExchangeError, match=reason):
        written(document, DOG)


LINES = st.lists(st.text(max_size=12), max_size=4).map(tuple)


@given(LINES, LINES, st.none() | st.integers(1, 3), st.sampled_from([DIGIKAM, EMPTY, ELEMENTS]))
def test_any_words_can_be_written_and_withdrawn(
    keywords: tuple[str, ...], tags: tuple[str, ...], pick: int | None, document: bytes
) -> None:
    keywords, tags = (tuple(w for w in words if w.isprintable()) for words in (keywords, tags))
    changed = written(document, Words(keywords, tags, pick))
    had = said(document)[0]
    assert said(changed)[0] == [*had, *(dict.fromkeys(w for w in map(xmp.clean, keywords) if w and w not in had))]
    assert written(changed, Words()) == document


# exiftool


def exiftool(*arguments: str) -> str:
    program = shutil.which("exiftool")
    if program is None:
        pytest.skip("exiftool is not installed (Debian: libimage-exiftool-perl)")
    run = subprocess.run([program, *arguments], capture_output=True, text=True, check=True)
    return run.stdout


def by_exiftool(file: Path) -> dict[str, Any]:
    (read,) = json.loads(exiftool("-j", "-G1", "-struct", str(file)))
    return dict(read)


def test_exiftool_reads_what_we_write_and_finds_nothing_to_warn_of(tmp_path: Path) -> None:
    plain = DIGIKAM.replace(b"<![CDATA[ <a> & ]]>", b"x")  # exiftool takes CDATA for markup
    for number, document in enumerate((EMPTY, plain, BARE, ELEMENTS)):  # a default namespace is beyond exiftool
        file = tmp_path / f"{number}.xmp"
        file.write_bytes(written(document, DOG))
        read = by_exiftool(file)
        assert {"Dog", "Beach"} <= set(read["XMP-dc:Subject"])
        assert {"Sextant/animal/Dog", "Sextant/place/Beach"} <= set(read["XMP-digiKam:TagsList"])
        assert read["XMP-digiKam:PickLabel"] in (3, "Accepted")
        assert not [text for name, text in read.items() if "Warning" in name or "Error" in name]


def test_ours_come_out_again_after_exiftool_rewrote_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.xmp"
    file.write_bytes(written(DIGIKAM, DOG))
    exiftool("-q", "-overwrite_original", "-XMP-dc:Subject+=mine", "-XMP-dc:Title=Hello", str(file))
    assert b"Title" in file.read_bytes() or b"title" in file.read_bytes()
    file.write_bytes(written(file.read_bytes(), Words()))
    read = by_exiftool(file)
    assert set(read["XMP-dc:Subject"]) == {"Ada", "Hund", "mine"}
    assert read["XMP-digiKam:TagsList"] in ("People/Ada", ["People/Ada"])
    assert read["XMP-dc:Title"] == "Hello"
    assert b"sextant" not in file.read_bytes().replace(xmp.OURS.encode(), b"")
