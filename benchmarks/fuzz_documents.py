"""Targets that another program wrote: cursors, sidecars, labels, results of providers, manifests."""

from __future__ import annotations

import random
import string
from pathlib import Path
from typing import Any, ClassVar

from fuzz_mutations import damaged, json_bytes, reworded
from fuzz_target import CODES, Broken, Target

from sextant.errors import (
    CollectionError,
    ExchangeError,
    UsageError,
)


class Cursors(Target):
    """Cursors of the web API: damaged, of another question, or with what no server would have written."""

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        from sextant.web import cursors
        from sextant.web.problems import Problem

        self.allowed = (Problem,)
        self.cursors, self.question = cursors, {"where": "earth", "sort": "-earth"}
        self.seeds = [cursors.write(self.question, offset, "ab" * 16).encode() for offset in (0, 1, 60, 10**9)]

    def make(self, rng: random.Random) -> str:
        if rng.random() < 0.2:
            return "".join(rng.choices(string.printable + "é\0", k=rng.randrange(300)))
        return damaged(rng, self.seeds).decode("latin-1")

    def check(self, case: str) -> None:
        offset, image = self.cursors.read(case, self.question)
        if offset < 0 or not isinstance(image, str):
            raise Broken(f"{offset} {image}")


class Sidecars(Target):
    """XMP sidecars that somebody else wrote, into which keywords go."""

    allowed = (ExchangeError,)
    tokens = (
        *(
            "<rdf:li>",
            "</rdf:li>",
            "<rdf:Bag>",
            "</rdf:Bag>",
            "<dc:subject>",
            "</dc:subject>",
            "<!--",
            "-->",
            "<![CDATA[",
        ),
        *("]]>", "<!DOCTYPE a [<!ENTITY b 'c'>]>", "&b;", "&amp;", "&#0;", "<?x y?>", "xmlns:dc='x'", "rdf:about=''"),
        *("<rdf:Description", "/>", ">", "<", "digiKam:PickLabel='1'", "encoding='utf-16'", "<sextant:Subject>"),
    )

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        from sextant import xmp

        self.words = xmp.Words(("earth", "a & b"), ("thing/earth",), 3)
        ours = xmp.written(xmp.EMPTY, self.words).decode()
        other = xmp.EMPTY.decode().replace(
            " </rdf:RDF>",
            '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:digiKam='
            '"http://www.digikam.org/ns/1.0/" digiKam:PickLabel="0"><dc:subject><rdf:Bag><rdf:li>sea</rdf:li></rdf:Bag>'
            "</dc:subject></rdf:Description></rdf:RDF>",
        )
        self.seeds = [ours, other, xmp.written(other.encode(), self.words).decode()]

    def make(self, rng: random.Random) -> bytes:
        if rng.random() < 0.4:
            codec = rng.choice(("utf-8", "utf-16", "utf-32", "latin-1"))
            return damaged(rng, [seed.encode(codec, "replace") for seed in self.seeds])
        return reworded(rng, self.seeds, self.tokens).encode("utf-8", "surrogatepass")

    def check(self, case: bytes) -> None:
        from sextant import xmp

        once = xmp.written(case, self.words)
        if xmp.written(once, self.words) != once:
            raise Broken("writing the same words twice changes the document")


class Labels(Target):
    """Labels as CSV and as JSON lines, in each of their forms; people's words likewise."""

    allowed = (ExchangeError,)
    seeds = (
        "path,code,value\na.jpg,earth,yes\nb.jpg,moon,no\n",
        "path,earth,moon\na.jpg,yes,no\nb.jpg,,1\n",
        "id,tags,description\na.jpg,sea;sand,'=1+1\n",
    )
    objects = (
        {"path": "a.jpg", "attributes": ["earth", "moon"], "person": "ann", "source": "thumb"},
        {"path": "a.jpg", "code": "earth", "value": True},
        {"id": "b.jpg", "tags": ["sea", "sand"], "description": "a beach"},
    )
    tokens = (
        ",",
        '"',
        "\n",
        "\r",
        "path",
        "id",
        "code",
        "value",
        "yes",
        "no",
        "a.jpg",
        "earth",
        "'=",
        "\0",
        ";",
        "tags",
        "true",
    )

    def make(self, rng: random.Random) -> tuple[str, bytes]:
        if rng.random() < 0.5:
            text = reworded(rng, self.seeds, self.tokens).encode("utf-8", "surrogatepass")
            return ".csv", damaged(rng, [text]) if rng.random() < 0.2 else text
        return ".jsonl", b"\n".join(json_bytes(rng, rng.choice(self.objects)) for _ in range(rng.randrange(1, 4)))

    def check(self, case: tuple[str, bytes]) -> None:
        from sextant import exchange

        path = self.written(case[1], case[0])
        refused: list[ExchangeError] = []
        for read in (self._labels, exchange.read_words):
            try:
                read(path, lambda name: name if name in ("a.jpg", "b.jpg") else None)
            except ExchangeError as error:
                refused.append(error)
        for error in refused[1:]:
            raise error

    def _labels(self, path: Path, find: Any) -> None:
        from sextant import labels

        labels.table(labels.read(path, find, CODES, person="me"), {})


class Results(Target):
    """Saved results of a search provider, and what a vision-language model answers."""

    allowed = (ExchangeError,)
    good: ClassVar[Any] = {
        "query": "x",
        "results": [
            {"img_src": "//host/a.jpg", "url": "https://host/page", "title": "a", "content": "b", "license": "CC0"},
            {"image": "https://host/b.jpg", "source": "host", "description": "c"},
        ],
    }
    said: ClassVar[Any] = {
        "choices": [{"message": {"content": '{"relevance": 8, "single_subject": true, "view": "front", "fill": 0.5}'}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    }

    def make(self, rng: random.Random) -> bytes:
        return json_bytes(rng, rng.choice((self.good, self.good["results"], self.good["results"][0], self.said)))

    def check(self, case: bytes) -> None:
        from sextant import vlm
        from sextant.curate.candidates import SavedResults, candidates_of

        vlm.read(case)
        candidates_of(case, "https://host/search")
        for candidate in SavedResults(self.written(case, ".json")).search("x", 50):
            "".join(filter(None, (candidate.url, candidate.title, candidate.source, candidate.description))).encode()


class Manifests(Target):
    """`collection.json`, and the settings file."""

    allowed = (CollectionError, UsageError)
    good: ClassVar[Any] = {
        "format": 1,
        "model": "mini",
        "precision": "auto",
        "encoder": "mini@3",
        "dim": 64,
        "logit_scale": 100.0,
        "logit_bias": 0.0,
        "catalog": "catalog.db",
        "prior": None,
    }

    def make(self, rng: random.Random) -> bytes:
        return json_bytes(rng, self.good)

    def check(self, case: bytes) -> None:
        from sextant import manifest

        folder = self.file.parent / manifest.FOLDER
        folder.mkdir(exist_ok=True)
        (folder / "collection.json").write_bytes(case)
        manifest.read(self.file.parent)
