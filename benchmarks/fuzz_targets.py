"""What is fuzzed: for each target how an input is made from a seeded generator, what reads it, and what may come out.

`make` gives one input; `check` hands it to Sextant and returns when it was accepted. Whatever it raises that is not of
`allowed` is a finding. Everything is set up in the worker, in a scratch folder of its own.
"""

from __future__ import annotations

import io
import json
import random
import string
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from fuzz_mutations import damaged, json_bytes, png_repaired, reworded

from sextant.errors import (
    CollectionError,
    ExchangeError,
    ImageError,
    ModelError,
    RuleError,
    SextantError,
    SqlError,
    UsageError,
    VocabularyError,
)

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = ROOT.parent / "shared" / "real" / "photos"
CODES = ("earth", "moon", "dog", "red_car")


class Broken(Exception):
    """Something that must always hold does not."""


class Target:
    """One reader of input from outside."""

    allowed: tuple[type[Exception], ...] = (SextantError,)

    def __init__(self, scratch: Path) -> None:
        self.file = scratch / "input"

    def make(self, rng: random.Random) -> Any:
        raise NotImplementedError

    def check(self, case: Any) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Gives back what was set up."""

    def written(self, case: Any, suffix: str) -> Path:
        """The input as a file; a text may hold what UTF-8 cannot."""
        path = self.file.with_suffix(suffix)
        path.write_bytes(case if isinstance(case, bytes) else case.encode("utf-8", "surrogatepass"))
        return path


class Images(Target):
    """Small pictures of every format, and real photos where they are, through `images.decode`."""

    allowed = (ImageError,)

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self.drawn = list(_drawn())
        files = sorted(p for p in PHOTOS.rglob("*.*") if p.suffix in (".jpg", ".bmp") and p.stat().st_size < 40_000)
        self.photos = [p.read_bytes() for p in random.Random(0).sample(files, min(80, len(files)))]

    def make(self, rng: random.Random) -> tuple[bytes, int | None]:
        seeds = self.photos if self.photos and rng.random() < 0.2 else self.drawn
        return damaged(rng, seeds, repair=png_repaired), rng.choice((None, None, 8, 64, 256))

    def check(self, case: tuple[bytes, int | None]) -> None:
        from sextant import images

        picture, facts = images.decode(case[0], least_side=case[1])
        if picture.mode != "RGB" or min(facts.width, facts.height) < images.MIN_SIDE:
            raise Broken(f"{picture.mode} {facts}")
        if not all(np.isfinite([facts.sharpness, facts.darkness, facts.brightness])):
            raise Broken(str(facts))


def _drawn() -> Iterable[bytes]:
    from PIL import Image

    generator = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(24), np.arange(32))[:, :, None] * np.array([3, 2, 4]) % 256
    colour = Image.fromarray(np.where(generator.random((24, 32, 1)) < 0.2, 255 - smooth, smooth).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0110] = 6, "Canon", "Canon EOS 5D"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    exif.get_ifd(0x8825)[1] = "N"
    shapes = {
        "RGB": colour,
        "L": colour.convert("L"),
        "1": colour.convert("1"),
        "P": colour.quantize(16),
        "RGBA": Image.merge("RGBA", (*colour.split(), colour.convert("L"))),
        "LA": Image.merge("LA", (colour.convert("L"), colour.convert("L"))),
        "CMYK": colour.convert("CMYK"),
        "I;16": Image.fromarray((smooth[:, :, 0] * 257).astype(np.uint16)),
        "F": Image.fromarray(smooth[:, :, 0].astype(np.float32)),
    }
    wanted: list[tuple[str, str, dict[str, Any]]] = [
        *[("JPEG", mode, {"exif": exif, "progressive": p}) for mode in ("RGB", "L", "CMYK") for p in (False, True)],
        *[("PNG", mode, {"exif": exif}) for mode in ("RGB", "L", "1", "P", "RGBA", "LA", "I;16")],
        *[("TIFF", mode, {}) for mode in ("RGB", "L", "1", "P", "RGBA", "CMYK", "I;16", "F")],
        *[("TIFF", "RGB", {"compression": c}) for c in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")],
        *[("TIFF", "1", {"compression": c}) for c in ("group3", "group4")],
        *[("WEBP", "RGB", {"exif": exif}), ("WEBP", "RGBA", {"lossless": True})],
        *[("GIF", "P", {}), ("BMP", "RGB", {}), ("BMP", "P", {}), ("DIB", "RGB", {}), ("AVIF", "RGB", {"speed": 10})],
        *[("AVIF", "RGBA", {"speed": 10}), ("PPM", "RGB", {}), ("TGA", "RGB", {}), ("ICO", "RGBA", {})],
        *[("PCX", "RGB", {}), ("JPEG2000", "RGB", {}), ("SGI", "RGB", {}), ("DDS", "RGBA", {})],
        *[(k, "RGB", {"save_all": True, "append_images": [colour]}) for k in ("GIF", "WEBP", "TIFF", "PNG", "MPO")],
    ]  # fmt: skip
    for kind, mode, options in wanted:
        out = io.BytesIO()
        try:
            shapes[mode].save(out, kind, **options)
        except (KeyError, OSError, ValueError):  # a Pillow built without this format
            continue
        yield out.getvalue()
    yield from _heic(colour)


def _heic(picture: Any) -> Iterable[bytes]:
    try:
        import pillow_heif
    except ImportError:
        return
    out = io.BytesIO()
    pillow_heif.from_pillow(picture).save(out, quality=60)
    yield out.getvalue()


class Vocabularies(Target):
    """YAML text as a vocabulary, now and then as a file with damaged bytes."""

    allowed = (VocabularyError,)
    tokens = (
        *(
            "code",
            "label:",
            "description:",
            "type: x",
            "rule:",
            "all_of:",
            "any_of: [a]",
            "none_of: []",
            "- ",
            "{",
            "}",
        ),
        *("base_attributes:", "derived_attributes:", "thresholds: {accepted: 0.8}", "prompts:", "template: '{}'"),
        *("exclusive:", "groups:", "&a", "*a", "<<: *a", "!!python/object:os.system", "!!binary aa", "? x", "|", ">-"),
        *(
            "accepted: nan",
            ": ",
            ", ",
            "[",
            "]",
            "#",
            "---",
            "...",
            "%YAML 1.1",
            "earth",
            "moon",
            "0.5",
            "true",
            "null",
        ),
    )

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        demo = (ROOT / "src/sextant/demo/vocabulary.yaml").read_text(encoding="utf-8")
        small = "thresholds: {accepted: 0.8, tentative: 0.5}\nbase_attributes:\n" + "".join(
            f"  - {{code: {c}, label: {c}, description: a {c}, type: thing}}\n" for c in CODES
        )
        rules = "derived_attributes:\n  - {code: x, rule: {all_of: [earth], none_of: [{any_of: [moon, dog]}]}}\n"
        self.seeds = [demo, small, small + rules, small + rules]

    def make(self, rng: random.Random) -> str | bytes:
        text = reworded(rng, self.seeds[1:] if rng.random() < 0.9 else self.seeds, self.tokens)
        return damaged(rng, [text.encode("utf-8", "surrogatepass")]) if rng.random() < 0.2 else text

    def check(self, case: str | bytes) -> None:
        from sextant import vocabulary

        if isinstance(case, bytes):
            vocabulary.load(self.written(case, ".yaml"))
        else:
            vocabulary.parse(case, "vocabulary.yaml")


class Rules(Target):
    """The grammar of rules; what is accepted is evaluated and becomes SQL."""

    allowed = (RuleError,)
    seeds = (
        "earth and (moon >= 0.9 or not dog) and width > 1000",
        "red_car is accepted or taken_at >= '2024-05-01' and path like '%a_b%'",
        "tags contains 'sea' and description = 'x' and not gps and score('a sunset') > 0.5",
        "camera_model in ('Canon', 'Nikon') and megapixels between 2 and 5",
        "taken_at is null or earth is unknown or moon is not accepted",
    )
    tokens = (
        *(
            "and",
            "or",
            "not",
            "(",
            ")",
            "=",
            "!=",
            "<",
            "<=",
            ">",
            ">=",
            "<>",
            "==",
            "like",
            "contains",
            "in",
            "between",
        ),
        *("is", "null", "unknown", "accepted", "score('x')", "score(", "'", '"', ",", "0.5", "1e308", "-1", "'2024'"),
        *("'2024-05-01'", "'2024-05'", "true", "false", "width", "path", "taken_at", "tags", "gps", "aspect", *CODES),
    )

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        from sextant.maths.rules import METADATA_KINDS, AttributeValues

        self.known = {**METADATA_KINDS, **dict.fromkeys(CODES, "attribute")}
        confidence = np.array([0.95, 0.6, 0.1, np.nan])
        band = np.array([2, 1, 0, -1], np.int8)
        of_kind: dict[str, Any] = {
            "number": np.array([np.nan, 1.0, 1500.0, 3.5]),
            "text": np.array(["a_b", None, "Canon", "sea"], object),
            "date": np.array(["2024-05-01", "NaT", "2023-12-31T23:59:59", "1970-01-01"], "datetime64[us]"),
            "bool": np.array([True, False, None, True], object),
            "tags": np.array([["sea"], None, [], ["a", "b"]], object),
            "attribute": AttributeValues(confidence, band),
        }
        self.values = {name: of_kind[kind] for name, kind in self.known.items()}
        self.phrase = confidence

    def make(self, rng: random.Random) -> str:
        return reworded(rng, self.seeds, self.tokens)

    def check(self, case: str) -> None:
        from sextant.maths import rules

        rule = rules.parse(case, self.known)  # type: ignore[arg-type]
        values = {**self.values, **{rules.score_key(phrase): self.phrase for phrase in rule.scores}}
        mask = rules.evaluate(rule, values, 4)
        _, parameters = rules.to_sql(rule)
        if mask.shape != (4,) or mask.dtype != np.bool_ or not isinstance(parameters, list):
            raise Broken(f"{mask!r}")
        rules.parse(case)


class Searches(Target):
    """How a search is written: its terms, its pieces, other words for it, its spelling."""

    allowed = (UsageError,)
    seeds = (
        "a red car on a beach without people",
        "2:sunset + 0.5:sea - 'a boat'",
        "a dog and a cat, not in the snow - people + hound",
        '"the moon" with an astronaut but no spacecraft',
        "a photo of a teh big hosue at nihgt",
    )
    tokens = (
        *("+", "-", ":", "2:", "0.5:", "without", "but not", "no", "not", "with", "and", "or", '"', "'", "a", "the"),
        *("dog", "car", "house", "red", "wooden", "panda", "1e3:", "-1:", "nan:", ",", ".", "–", "sofa", "kids", "-"),
    )

    def make(self, rng: random.Random) -> str:
        return reworded(rng, self.seeds, self.tokens)

    def check(self, case: str) -> None:
        from sextant import expansion, phrasing, spelling

        phrasing.parts(case[:2000])
        phrase = phrasing.parse(case)
        again = phrasing.parse(str(phrase))
        if (again.positives, again.negatives) != (phrase.positives, phrase.negatives):
            raise Broken(f"{phrase} is read back as {again}")
        words = expansion.load()
        for term in (*phrase.positives, *phrase.negatives):
            if len(words.variants(term.text)) > 10:
                raise Broken(term.text)
        if len(case) < 120:
            spelling.suggestion(case, words.words)


class Statements(Target):
    """SQL, much of it after files, settings and other statements; none of it may see a file that lies beside it."""

    allowed = (SqlError,)
    seeds = (
        "SELECT path, earth, moon FROM images WHERE width > 700 ORDER BY earth DESC",
        "SELECT attribute_code, count(*) FROM feature_image_attribute WHERE band = 'accepted' GROUP BY ALL",
        "WITH a AS (FROM images) SELECT * FROM a JOIN bands USING (id) WHERE score('a sunset') > 0.5",
        "PIVOT feature_image_attribute ON attribute_code USING first(confidence) GROUP BY image_id",
        "SELECT * FROM read_csv('{canary}')",
        "COPY images TO '{canary}.out'",
        "ATTACH '{canary}' AS x; SELECT 1",
        "EXPLAIN ANALYZE SELECT * FROM '{canary}'",
        "SELECT content FROM read_text('{canary}')",
        "SUMMARIZE images",
    )
    tokens = (
        *(
            "SELECT",
            "FROM",
            "images",
            "WHERE",
            "(",
            ")",
            "*",
            ",",
            ";",
            "UNION ALL",
            "JOIN",
            "score('x')",
            "score(path)",
        ),
        *("read_text('{canary}')", "read_csv_auto('{canary}')", "glob('*')", "getenv('HOME')", "INSTALL httpfs", "--"),
        *("SET enable_external_access = true", "PRAGMA version", "CREATE TABLE t AS", "COPY", "CALL", "'{canary}'"),
        *(
            "EXPLAIN",
            "DESCRIBE",
            "PIVOT",
            "ON",
            "USING",
            "?",
            "$1",
            "::INT",
            "NULL",
            "LIMIT 1",
            "VALUES (1)",
            "LATERAL",
        ),
        *("list_transform([1], x -> x)", "struct_pack(a := 1)", "1/0", "'a'::DATE", "current_setting('memory_limit')"),
    )

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        import pyarrow as pa

        from sextant import sql

        canary = scratch / "canary.csv"
        canary.write_text("SECRET,of\nSECRET,the file\n", encoding="utf-8")
        self.scratch, self.canary = scratch, str(canary)
        wide = {"id": list("abc"), "path": ["x.jpg", "y.jpg", "z.jpg"], "width": [640, 1000, 2000]}
        confidences = {"earth": pa.array([0.9, None, 0.1], pa.float64()), "moon": pa.array([0.7, 0.5, 0.2])}
        said = {code: ["accepted", "unknown", "rejected"] for code in confidences}
        ids = {"id": list("abc")}
        self.tables = sql.Tables(
            pa.table({**wide, **confidences}), pa.table({**ids, **said}), pa.table({**ids, **said})
        )

    def make(self, rng: random.Random) -> str:
        return reworded(rng, self.seeds, self.tokens).replace("{canary}", self.canary)

    def check(self, case: str) -> None:
        from sextant import sql

        try:
            answer = sql.run(case, self.tables, score=lambda _: np.array([0.5, np.nan, 0.1]), memory="512MB", threads=1)
        finally:
            if [path.name for path in self.scratch.iterdir() if path.name not in ("canary.csv", "input")]:
                raise Broken("the statement wrote a file")
        if answer.num_rows < 1000 and "SECRET" in str(answer.to_pylist()):
            raise Broken("the statement read a file")


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


class Bundles(Target):
    """Encoders in folders with one damaged file: the card, a graph, the tokenizer; then one picture and one text."""

    allowed = (ModelError,)

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        sys.path.insert(0, str(ROOT / "tests"))
        from PIL import Image

        from tiny_bundles import bundle, hub

        self.folders = {"bundle": bundle(scratch / "bundle"), "hub": hub(scratch / "hub")}
        self.picture = Image.new("RGB", (12, 9), (200, 30, 30))
        self.parts = [(f, p.relative_to(self.folders[f])) for f in self.folders for p in self.folders[f].rglob("*.*")]
        self.good = {(f, p): (self.folders[f] / p).read_bytes() for f, p in self.parts}

    def make(self, rng: random.Random) -> tuple[str, str, bytes]:
        folder, part = rng.choice(self.parts)
        good = self.good[folder, part]
        data = json_bytes(rng, json.loads(good)) if part.suffix == ".json" else damaged(rng, [good])
        return folder, str(part), data

    def check(self, case: tuple[str, str, bytes]) -> None:
        from sextant.encoder.bundle import OnnxEncoder

        folder, part, data = case
        path = self.folders[folder] / part
        try:
            path.write_bytes(data)
            encoder = OnnxEncoder(self.folders[folder], device="cpu", precision="fp32", threads=1)
            encoder.encode_texts(["a red thing"])
            encoder.encode_images([self.picture])
        finally:
            path.write_bytes(self.good[folder, Path(part)])


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


class Expansions(Target):
    """Files of other words for searches."""

    allowed = (VocabularyError,)
    seeds = ("dog: [puppy, hound: 0.8]\ncar: [=automobile, vehicle: 0.5]\nsofa: []\nkid:\n", "a: [b]\nc: [=d, =e]\n")
    tokens = (
        "dog",
        ":",
        "[",
        "]",
        ",",
        "=",
        "0.8",
        "- x",
        "nan",
        "1",
        "{a: b}",
        "null",
        "~",
        "&a",
        "*a",
        "? [x]",
        "<<:",
        "!!set",
    )

    def make(self, rng: random.Random) -> bytes:
        text = reworded(rng, self.seeds, self.tokens).encode("utf-8", "surrogatepass")
        return damaged(rng, [text]) if rng.random() < 0.2 else text

    def check(self, case: bytes) -> None:
        from sextant import expansion

        expansion.load(self.written(case, ".yaml")).variants("a dog in a car")


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


class GoldenSets(Target):
    """Golden sets of queries, and the baselines that they are compared with."""

    allowed = (UsageError, ExchangeError)
    seeds = (
        "name: x\ntruth: t.csv\nk: 5\nqueries:\n  - {query: the sea, rule: sea}\n  - {query: an elk, nothing: true}\n",
        "queries:\n  - {query: a, paths: [a.jpg, b.jpg], k: 3, where: width > 5, note: x}\n",
    )
    baseline: ClassVar[Any] = {
        "format": 1,
        "name": "x",
        "figures": {"precision": 0.5},
        "queries": [{"query": "the sea", "k": 5, "relevant": 3, "quiet": None, "precision": 0.5}],
    }
    tokens = (
        "query:",
        "rule:",
        "k:",
        "- ",
        "nothing: true",
        "paths: [a]",
        "where:",
        "{",
        "}",
        "[",
        "]",
        "&a",
        "*a",
        "1e9",
        "truth:",
    )

    def make(self, rng: random.Random) -> tuple[str, bytes]:
        if rng.random() < 0.4:
            return ".json", json_bytes(rng, self.baseline)
        text = reworded(rng, self.seeds, self.tokens).encode("utf-8", "surrogatepass")
        return ".yaml", damaged(rng, [text]) if rng.random() < 0.2 else text

    def check(self, case: tuple[str, bytes]) -> None:
        from sextant import golden

        path = self.written(case[1], case[0])
        if case[0] == ".yaml":
            golden.load(path).codes()
            return
        measured = golden.Measured("the sea", 5, 3, None, True, None)
        golden.compare(golden.GoldenReport("x", (measured,), {}, None), path)


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


class Vectors(Target):
    """Vectors made elsewhere, as `.npy` and as Parquet."""

    allowed = (ExchangeError,)

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
        self.names = scratch / "names.txt"
        self.names.write_text("a\nb\nc\nd\n")
        out = io.BytesIO()
        np.save(out, rows)
        self.npy = [out.getvalue()]
        self.parquet = []
        for compression in ("none", "snappy", "zstd"):
            sink = io.BytesIO()
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 8)
            pq.write_table(pa.table({"path": list("abcd"), "vector": vectors}), sink, compression=compression)
            self.parquet.append(sink.getvalue())

    def make(self, rng: random.Random) -> tuple[str, bytes]:
        suffix = rng.choice((".npy", ".parquet"))
        return suffix, damaged(rng, self.npy if suffix == ".npy" else self.parquet)

    def check(self, case: tuple[str, bytes]) -> None:
        from sextant import exchange

        brought = exchange.read_vectors(self.written(case[1], case[0]), self.names)
        for rows in brought.batches():
            if rows.shape[1] != brought.dim:
                raise Broken(str(rows.shape))


TARGETS: dict[str, type[Target]] = {
    "images": Images,
    "vocabularies": Vocabularies,
    "rules": Rules,
    "searches": Searches,
    "sql": Statements,
    "cursors": Cursors,
    "bundles": Bundles,
    "sidecars": Sidecars,
    "expansions": Expansions,
    "labels": Labels,
    "results": Results,
    "golden": GoldenSets,
    "manifests": Manifests,
    "vectors": Vectors,
}
