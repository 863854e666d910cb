"""HTTP requests to the web API over a small collection, made from its own OpenAPI description: paths, queries, bodies.

Every operation is asked with values that fit, values at the edge and values that are something else, in the query, the
path, the headers and the body. Held: no answer is a 500, each is whole, and every refusal is problem details in JSON.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fuzz_mutations import ODD_TEXTS, ODD_VALUES, damaged, json_bytes, revalued
from fuzz_target import ROOT, Broken, Target
from fuzz_words import Rules, Searches

WORDS = (
    "red",
    "warm",
    "photos",
    "red and not blue",
    "-red",
    "path",
    "csv",
    "json",
    "small",
    "accepted",
    "0",
    "1",
    "5",
    "0.5",
)


class Requests(Target):
    """One request, or two of which the second is like the first."""

    allowed = ()

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        sys.path.insert(0, str(ROOT / "tests"))
        from fastapi.testclient import TestClient

        from fakes import VOCABULARY, opened, picture, pictures
        from sextant import vocabulary
        from sextant.web.app import application

        folder = scratch / "photos"
        pictures(folder, "red", "green", "blue", "yellow", "orange", "grey")
        self.upload = [picture(scratch / f"upload.{kind}", "red", (9, 7)).read_bytes() for kind in ("png", "jpg")]
        self.collection = opened(folder)
        self.collection.add(folder)
        self.collection.tag(vocabulary.parse(VOCABULARY, "vocabulary.yaml"), center=25.5, scale=1.5)
        app = application([self.collection])
        self.app = app
        self.client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
        self.ids = sorted(self.collection.view().ids.to_pylist())
        described = app.openapi()
        self.schemas = described.get("components", {}).get("schemas", {})
        self.operations = [
            (method.upper(), path, operation)
            for path, methods in sorted(described["paths"].items())
            for method, operation in sorted(methods.items())
        ]
        pages = ("", "/columns", "/columns/{code}", "/images/{image}", "/vocabulary", "/review", "/feedback", "/models")
        self.operations += [("GET", f"/c/{{collection}}{page}", {}) for page in pages]
        self.operations += [("GET", "/static/{file}", {}), ("POST", "/sign-in", {}), ("GET", "/{file}", {})]

    def close(self) -> None:
        self.app.state.outbox.close()
        self.client.close()
        self.collection.close()

    def make(self, rng: random.Random) -> dict[str, Any]:
        method, path, operation = rng.choice(self.operations)
        if rng.random() < 0.03:
            method = rng.choice(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "X"))
        while "{" in path:
            name = path[path.index("{") + 1 : path.index("}")]
            path = path.replace(f"{{{name}}}", quote(self._part(rng, name), safe="/" if rng.random() < 0.1 else ""))
        asked = [(p["name"], self._text(rng, p["name"])) for p in operation.get("parameters", []) if p["in"] == "query"]
        query = [pair for pair in asked if rng.random() < 0.5]
        if rng.random() < 0.05:
            query.append((rng.choice(("limit", "cursor", "x", "")), rng.choice(ODD_TEXTS)))
        headers = {}
        if rng.random() < 0.1:
            names = (
                "Range",
                "If-None-Match",
                "Origin",
                "Content-Length",
                "Authorization",
                "X-Sextant-Visitor",
                "Cookie",
            )
            value = rng.choice(
                ("bytes=0-1", "bytes=-9", "*", "Bearer x", "sextant_session=x", "9" * 30, "\x80", "null")
            )
            headers[rng.choice(names)] = value
        content, kind = self._body(rng, operation)
        if kind:
            headers["Content-Type"] = kind
        return {"method": method, "path": path, "query": query, "headers": headers, "content": content}

    def check(self, case: dict[str, Any]) -> None:
        query = [(name, text.encode("utf-8", "replace").decode()) for name, text in case["query"]]
        headers = {name: value.encode("latin-1") for name, value in case["headers"].items()}
        answer = self.client.request(
            case["method"], case["path"], params=query, headers=headers, content=case["content"], follow_redirects=False
        )
        if answer.status_code == 500:
            raise Broken(f"500 from {case['method']} {_shape(case['path'])}")
        if answer.status_code >= 400 and case["path"].startswith("/api/") and case["method"] != "HEAD":
            said = answer.json()
            if not said.get("detail") or said.get("status") != answer.status_code:
                raise Broken(f"{answer.status_code} without details from {case['method']} {_shape(case['path'])}")

    def _part(self, rng: random.Random, name: str) -> str:
        if rng.random() < 0.15:
            odd = ("..", "../..", "%2e%2e", ".", "a/b", "\0", rng.choice(ODD_TEXTS)[:300], "nan", "-1", "1" * 40)
            return rng.choice(odd).encode("utf-8", "replace").decode() or "x"
        good = {"collection": ("photos",), "image": self.ids, "code": ("red", "warm"), "file": ("style.css", "api.js")}
        return str(rng.choice(tuple(good.get(name, ("1", "0", "red")))))

    def _text(self, rng: random.Random, name: str) -> str:
        kind = rng.randrange(6)
        if name in ("where", "text", "rule") and kind < 3:
            return Rules.make(self, rng).replace("earth", "red")  # type: ignore[arg-type]
        if name in ("q", "of") and kind < 3:
            return Searches.make(self, rng)  # type: ignore[arg-type]
        if name in ("limit", "k", "size", "offset") and kind < 4:
            return str(rng.choice((0, 1, 3, 50, 500, -1, 10**9, 10**30, "nan", "1.5")))
        if kind == 5:
            return rng.choice(ODD_TEXTS)
        return rng.choice((*WORDS, *self.ids))

    def _body(self, rng: random.Random, operation: dict[str, Any]) -> tuple[bytes | None, str | None]:
        content = operation.get("requestBody", {}).get("content", {})
        if not content:
            return (b"x" * rng.choice((1, 5000)), None) if rng.random() < 0.02 else (None, None)
        kind, described = next(iter(sorted(content.items())))
        if kind.startswith("multipart"):
            return self._form(rng)
        if kind != "application/json":
            return json_bytes(rng, "a: b"), kind
        value = self._value(rng, described.get("schema", {}), 0)
        if rng.random() < 0.6:
            return json.dumps(value).encode(), kind
        return json_bytes(rng, revalued(rng, value)), kind if rng.random() < 0.9 else "text/plain"

    def _value(self, rng: random.Random, schema: dict[str, Any], depth: int) -> Any:
        if "$ref" in schema:
            schema = self.schemas.get(schema["$ref"].rpartition("/")[2], {})
        options = schema.get("anyOf") or schema.get("oneOf")
        if options and depth < 6:
            return self._value(rng, rng.choice(options), depth + 1)
        if rng.random() < 0.06 or depth >= 6:
            return rng.choice(ODD_VALUES)
        if "enum" in schema or "const" in schema:
            return rng.choice(schema.get("enum") or [schema["const"]])
        kind = schema.get("type")
        if kind == "object" or "properties" in schema:
            wanted = schema.get("required", [])
            fields = schema.get("properties", {})
            return {n: self._value(rng, s, depth + 1) for n, s in fields.items() if n in wanted or rng.random() < 0.5}
        if kind == "array":
            return [self._value(rng, schema.get("items", {}), depth + 1) for _ in range(rng.randrange(3))]
        plain: dict[str, tuple[Any, ...]] = {
            "integer": (0, 1, 5, -1, 10**6, 2**63),
            "number": (0.0, 0.5, 1.0, -1.0, 25.5, 1e300),
            "boolean": (True, False),
            "null": (None,),
        }
        return rng.choice(plain.get(str(kind), (*WORDS, *self.ids, rng.choice(ODD_TEXTS))))

    def _form(self, rng: random.Random) -> tuple[bytes, str]:
        picture = damaged(rng, self.upload) if rng.random() < 0.8 else rng.choice(self.upload)
        name = rng.choice(("a.png", "../a.png", "a\0.jpg", "é.jpg", "", "a/b.png", ".sextant", "con.png", "x" * 300))
        parts = [
            b'--b\r\nContent-Disposition: form-data; name="files"; filename="' + name.encode() + b'"\r\n\r\n' + picture,
            b'--b\r\nContent-Disposition: form-data; name="tags"\r\n\r\n'
            + rng.choice(ODD_TEXTS).encode("utf-8", "replace"),
        ]
        body = b"\r\n".join(parts[: rng.randrange(1, 3)]) + b"\r\n--b--\r\n"
        return (damaged(rng, [body]) if rng.random() < 0.3 else body), "multipart/form-data; boundary=b"

    seeds = (*Rules.seeds, *Searches.seeds)
    tokens = (*Rules.tokens, *Searches.tokens)


def _shape(path: str) -> str:
    parts = path.split("/")
    return "/".join(part if part.isalpha() and len(part) < 16 else "…" for part in parts[:8])
