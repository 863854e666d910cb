"""Targets that a person types or writes: vocabularies, rules, searches, SQL, other words, golden sets."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from fuzz_mutations import damaged, json_bytes, reworded
from fuzz_target import CODES, ROOT, Broken, Target

from sextant.errors import (
    ExchangeError,
    RuleError,
    SqlError,
    UsageError,
    VocabularyError,
)


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
