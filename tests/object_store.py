"""An S3 in memory, on loopback: what Lance and pyarrow ask of one, and whatever fate a test wants for a request.

Signatures are not looked at. `SEXTANT_TEST_S3=URL` has the tests use another server instead, such as moto's.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

Fate = Callable[[str, str], float | None]
"""Of a method and a path: a status to refuse it with, seconds to wait before it is done, or None."""
CODES = {403: "AccessDenied", 404: "NoSuchKey", 412: "PreconditionFailed", 500: "InternalError", 503: "SlowDown"}
XML = "http://s3.amazonaws.com/doc/2006-03-01/"


class ObjectStore:
    """Objects by bucket and key; `asked` are the requests so far."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.asked: list[tuple[str, str]] = []
        self.fate: Fate = lambda *_: None
        self.lock = threading.RLock()
        handler = type("Handler", (_Handler,), {"store": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def empty(self) -> None:
        """Forgets everything; buckets need not be made."""
        self.objects, self.uploads, self.asked, self.fate = {}, {}, [], lambda *_: None

    def close(self) -> None:
        """Stops answering."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: ObjectStore
    wbufsize = -1  # an answer leaves in one piece: two would wait for each other

    def _any(self) -> None:
        parts = urlsplit(self.path)
        self.key, self.query = unquote(parts.path).lstrip("/"), parse_qs(parts.query, keep_blank_values=True)
        data = self._sent()
        self.store.asked.append((self.command, self.path))
        said = self.store.fate(self.command, self.path)
        if said is not None and said >= 400:
            self._refuse(int(said))
            return
        time.sleep(said or 0)
        with self.store.lock:
            getattr(self, f"_{self.command.lower()}")(data)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _any  # noqa: N815 – the names that it is called by

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def _get(self, _: bytes) -> None:
        if "list-type" in self.query:
            self._list()
        elif "/" not in self.key.rstrip("/"):
            self._answer(200, b"")
        elif self.key not in self.store.objects:
            self._refuse(404)
        else:
            data, at = self.store.objects[self.key]
            first, last, ranged = 0, len(data) - 1, self.headers.get("Range", "").removeprefix("bytes=")
            if ranged:
                start, _, end = ranged.partition("-")
                first = int(start) if start else len(data) - int(end)
                last = min(last, int(end)) if start and end else last
            headers = {"ETag": _tag(data), "Last-Modified": format_datetime(at, usegmt=True), "Accept-Ranges": "bytes"}
            if ranged:
                headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            self._answer(206 if ranged else 200, data[first : last + 1], headers)

    def handle_expect_100(self) -> bool:
        """Says at once that the body may come; whoever asks waits a second for it."""
        super().handle_expect_100()
        self.wfile.flush()
        return True

    _head = _get

    def _put(self, data: bytes) -> None:
        if "uploadId" in self.query:
            self.store.uploads[self.query["uploadId"][0]][int(self.query["partNumber"][0])] = data
        elif self.headers.get("If-None-Match") == "*" and self.key in self.store.objects:
            self._refuse(412)
            return
        elif "/" in self.key:
            self.store.objects[self.key] = data, datetime.now(UTC)
        self._answer(200, b"", {"ETag": _tag(data)})

    def _post(self, data: bytes) -> None:
        if "uploads" in self.query:
            number = f"upload{len(self.store.uploads)}"
            self.store.uploads[number] = {}
            self._xml("InitiateMultipartUploadResult", f"<UploadId>{number}</UploadId>")
        elif "uploadId" in self.query:
            parts = self.store.uploads.pop(self.query["uploadId"][0])
            whole = b"".join(parts[number] for number in sorted(parts))
            self.store.objects[self.key] = whole, datetime.now(UTC)
            self._xml("CompleteMultipartUploadResult", f"<ETag>{escape(_tag(whole))}</ETag>")
        else:
            found = [e.text or "" for e in ElementTree.fromstring(data).iter() if e.tag.endswith("Key")]
            for key in found:
                self.store.objects.pop(f"{self.key.rstrip('/')}/{key}", None)
            self._xml("DeleteResult", "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in found))

    def _delete(self, _: bytes) -> None:
        self.store.objects.pop(self.key, None)
        self._answer(204, b"")

    def _list(self) -> None:
        prefix, delimiter = self.query.get("prefix", [""])[0], self.query.get("delimiter", [""])[0]
        after = self.query.get("continuation-token", self.query.get("start-after", [""]))[0]
        most, bucket = int(self.query.get("max-keys", ["1000"])[0]), f"{self.key.rstrip('/')}/"
        keys = sorted(k.removeprefix(bucket) for k in self.store.objects if k.startswith(bucket + prefix))
        lines: dict[str, str] = {}
        for key in (k for k in keys if k > after):
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                shared = prefix + rest.partition(delimiter)[0] + delimiter
                if shared > after:
                    lines[shared] = f"<CommonPrefixes><Prefix>{escape(shared)}</Prefix></CommonPrefixes>"
                continue
            data, at = self.store.objects[bucket + key]
            lines[key] = (
                f"<Contents><Key>{escape(key)}</Key><LastModified>{at.strftime('%Y-%m-%dT%H:%M:%S.%f')[:-3]}Z</LastModified>"
                f"<ETag>{escape(_tag(data))}</ETag><Size>{len(data)}</Size></Contents>"
            )
        chosen = list(lines)[:most]
        more = len(lines) > most
        token = f"<NextContinuationToken>{escape(chosen[-1])}</NextContinuationToken>" if more else ""
        told = f"<KeyCount>{len(chosen)}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>{token}"
        self._xml("ListBucketResult", f"<Prefix>{escape(prefix)}</Prefix>{told}" + "".join(lines[k] for k in chosen))

    def _sent(self) -> bytes:
        """The body, out of whatever it is wrapped in: pieces of HTTP, and those of `aws-chunked`."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            data = _pieces(self.rfile)
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        wrapped = self.headers.get("x-amz-content-sha256", "").startswith("STREAMING")
        return _pieces(_Lines(data)) if wrapped else data

    def _xml(self, name: str, inside: str) -> None:
        text = f'<?xml version="1.0" encoding="UTF-8"?><{name} xmlns="{XML}">{inside}</{name}>'
        self._answer(200, text.encode(), {"Content-Type": "application/xml"})

    def _refuse(self, status: int) -> None:
        body = f"<Error><Code>{CODES[status]}</Code><Message>no</Message></Error>".encode()
        self._answer(status, body, {"Content-Type": "application/xml"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in {
            **(headers or {}),
            "Content-Length": str(len(body)),
            "x-amz-bucket-region": "us-east-1",
        }.items():
            if status != 204 or name != "Content-Length":
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Lines:
    """Bytes, read as a file is."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def readline(self) -> bytes:
        end = self.data.find(b"\n", self.at) + 1 or len(self.data)
        line, self.at = self.data[self.at : end], end
        return line

    def read(self, count: int) -> bytes:
        part, self.at = self.data[self.at : self.at + count], self.at + count
        return part


def _pieces(file: Any) -> bytes:
    """A body in pieces, each after its length in hexadecimal; what follows the last, empty one is passed over."""
    parts = []
    while size := int(file.readline().split(b";")[0], 16):
        parts.append(file.read(size))
        file.readline()
    while file.readline().strip():
        pass
    return b"".join(parts)


def _tag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
