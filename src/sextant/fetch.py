"""Fetches pictures over http and https from the public internet, and from nowhere else.

A list of URLs is somebody else's text. So a host name is looked up once, every address it has must be public, and the
connection goes to the address that was looked at: a name that answers differently the next time, or a redirect to a
private place, gains nothing. Sizes, times and redirects have limits, nothing is decompressed, and only bytes that are a
picture come back. Each refusal is a `Skipped` with its reason. Proxies, cookies and `.netrc` are not used.
"""

from __future__ import annotations

import ipaddress
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

from sextant import images
from sextant.errors import ImageError, MissingExtra
from sextant.types import Skipped

try:
    import httpcore
    import httpx
except ImportError as error:
    raise MissingExtra("Fetching over http and https", "http") from error

T = TypeVar("T")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
PORTS = frozenset({80, 443, 8080, 8443})
USER_AGENT = "sextant (image collection tool; +https://github.com/sextant-images/sextant)"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SIX_TO_FOUR = (ipaddress.ip_network("2002::/16"), ipaddress.ip_network("192.88.99.0/24"))
_LICENCE = re.compile(r'<([^<>]{1,500})>\s*;[^,]*\brel\s*=\s*"?[^",;]*\blicense\b', re.IGNORECASE)


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet: not private, loopback, link-local, multicast or reserved.

    An IPv4 address inside an IPv6 one (mapped, or by NAT64) is judged as itself; 6to4 is refused whatever is in it.
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    if any(address in network for network in _SIX_TO_FOUR if network.version == address.version):
        return False
    elsewhere = address.is_multicast or address.is_reserved or address.is_loopback or address.is_link_local
    return address.is_global and not (elsewhere or address.is_private or address.is_unspecified)


def look_up(host: str, port: int) -> list[str]:
    """The addresses of a host as the operating system knows them. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class Policy:
    """Where a fetch may go. The default is the public internet, on the ports of the web."""

    allows: Callable[[Address], bool] = is_public
    look_up: Callable[[str, int], list[str]] = look_up
    ports: frozenset[int] | None = PORTS


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a fetch may take: bytes of a body, seconds for each step and in all, and redirects."""

    bytes: int = 100 << 20
    connect_seconds: float = 10.0
    read_seconds: float = 15.0
    total_seconds: float = 120.0
    redirects: int = 5


@dataclass(frozen=True, slots=True)
class Fetched:
    """A picture that was fetched: `url` as asked for, `final` after redirects, `licence` where the server names one."""

    url: str
    final: str
    data: bytes
    format: str
    licence: str | None
    at: datetime


class _Refused(Exception):
    """Why a URL is not fetched, in a person's words."""


class Fetcher:
    """Fetches one picture after another under a policy and limits. Safe to use from several threads."""

    def __init__(
        self, policy: Policy | None = None, limits: Limits | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.policy, self.limits = policy or Policy(), limits or Limits()
        self._tls = tls or httpx.create_ssl_context()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Ends what is under way as soon as it next waits for the network."""
        self._stopped.set()

    def fetch(self, url: str) -> Fetched | Skipped:
        """The picture behind a URL, or why there is none."""
        return self._or_reason(url, lambda: self._fetch(url))

    def read(self, url: str, kind: str) -> bytes | Skipped:
        """The bytes of an answer of one media type, such as `application/json`, or why there are none."""
        return self._or_reason(url, lambda: self._ask(url, kind)[0])

    def post(self, url: str, body: bytes, headers: Mapping[str, str], *, seconds: float) -> bytes | Skipped:
        """The JSON that a service answers to a JSON body within so many seconds, or why there is none."""
        sent = {"Content-Type": "application/json", **headers}
        seconds = min(seconds, self.limits.total_seconds)
        within = replace(self.limits, read_seconds=seconds, total_seconds=seconds)
        once = Fetcher(self.policy, within, tls=self._tls)
        once._stopped = self._stopped
        return self._or_reason(url, lambda: once._ask(url, "application/json", body, sent)[0])

    def _or_reason(self, url: str, ask: Callable[[], T]) -> T | Skipped:
        try:
            return ask()
        except _Refused as error:
            return Skipped(url, str(error))
        except (httpx.TimeoutException, httpcore.TimeoutException):
            return Skipped(url, "the server is too slow: it did not answer in time")
        except (httpx.HTTPError, httpcore.NetworkError, httpcore.ProtocolError) as error:
            return Skipped(url, _network_reason(error))
        except (httpx.InvalidURL, ValueError, OSError) as error:  # an answer that no library had thought of
            return Skipped(url, f"the answer makes no sense: {error}")

    def _fetch(self, url: str) -> Fetched:
        data, final, link = self._ask(url, "image/*")
        try:
            _, facts = images.decode(data, least_side=images.FACTS_SIDE)
        except ImageError as error:
            raise _Refused(str(error)) from error
        now = datetime.now(UTC).replace(microsecond=0)
        return Fetched(url, final, data, facts.format, _licence(link), now)

    def _ask(
        self, url: str, kind: str, body: bytes | None = None, sent: Mapping[str, str] | None = None
    ) -> tuple[bytes, str, str]:
        """The bytes of an answer of this media type, the URL they came from, and its `Link` header."""
        deadline = _Deadline(time.monotonic() + self.limits.total_seconds, self._stopped)
        transport = _Transport(_Network(self.policy, self.limits, deadline), self._tls)
        headers = {"User-Agent": USER_AGENT, "Accept": kind, "Accept-Encoding": "identity", **(sent or {})}
        steps = {"connect": self.limits.connect_seconds, "read": self.limits.read_seconds}
        with httpx.Client(transport=transport, trust_env=False, headers=headers) as client:
            here = url
            for _ in range(self.limits.redirects + 1):
                client.cookies.clear()
                request = client.build_request(
                    "GET" if body is None else "POST",
                    self._checked(here),
                    content=body,
                    timeout=httpx.Timeout(10.0, **steps),
                )
                response = client.send(request, stream=True, follow_redirects=False)
                try:
                    if response.status_code not in REDIRECTS or "location" not in response.headers:
                        data = self._body(response, kind, deadline)
                        break
                    here = _joined(here, response.headers["location"])
                finally:
                    response.close()
            else:
                raise _Refused(f"it redirects more than {self.limits.redirects} times")
        return data, here, response.headers.get("link", "")

    def _checked(self, url: str) -> httpx.URL:
        """The URL, when its form is one that may be asked for. Where it leads is checked when it is connected to."""
        if any(c.isspace() or not c.isprintable() for c in url):
            raise _Refused("the URL holds a space or a control character")
        try:
            checked = httpx.URL(url)
            port = checked.port or {"http": 80, "https": 443}.get(checked.scheme, 0)
        except (httpx.InvalidURL, ValueError) as error:
            raise _Refused(f"it is not a URL: {error}") from error
        if checked.scheme not in ("http", "https"):
            raise _Refused(f"only http and https are fetched, not '{checked.scheme}'")
        if checked.userinfo or "@" in urlsplit(url).netloc:
            raise _Refused("the URL holds a user name or password")
        if not checked.host:
            raise _Refused("the URL names no host")
        if not 0 < port < 1 << 16:
            raise _Refused(f"it is not a URL: there is no port {port}")
        if self.policy.ports is not None and port not in self.policy.ports:
            allowed = ", ".join(map(str, sorted(self.policy.ports)))
            raise _Refused(f"port {port} is refused; pictures are fetched from ports {allowed}")
        return checked

    def _body(self, response: httpx.Response, wanted: str, deadline: _Deadline) -> bytes:
        """The bytes of an answer, read no further than they may go."""
        if response.status_code != httpx.codes.OK:
            raise _Refused(f"the server answered {response.status_code} {response.reason_phrase}".rstrip())
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not kind.startswith(wanted.removesuffix("*")):
            what = f"{kind[:60]!a}" if kind else "something it does not name"
            raise _Refused(f"the server sent {what}, not {'an image' if wanted == 'image/*' else wanted}")
        if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise _Refused("the server sent compressed data, which was not asked for")
        most = self.limits.bytes
        if int(response.headers.get("content-length", 0)) > most:  # a number: a malformed one has failed before
            raise _Refused(f"it is larger than {_megabytes(most)}")
        data = bytearray()
        for chunk in response.iter_raw():
            data += chunk
            if len(data) > most:
                raise _Refused(f"it is larger than {_megabytes(most)}")
            deadline.left()
        return bytes(data)


def _joined(here: str, location: str) -> str:
    try:
        return urljoin(here, location)
    except ValueError as error:
        raise _Refused("it redirects to something that is not a URL") from error


def _megabytes(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size:,} bytes"


def _licence(link: str) -> str | None:
    found = _LICENCE.search(link)
    return found[1].strip() if found else None


def _network_reason(error: Exception) -> str:
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"the server's certificate is not trusted ({text.partition('failed: ')[2].partition(' (')[0]})"
    if "SSL" in text or "TLS" in text:
        return f"no secure connection can be made ({text})"
    return f"the connection failed: {text or type(error).__name__}"


# the connection


class _Deadline:
    """A moment by which all must be done."""

    def __init__(self, at: float, stopped: threading.Event) -> None:
        self._at, self._stopped = at, stopped

    def left(self, most: float | None = None) -> float:
        """Seconds left, or fewer. Raises `_Refused` when none are."""
        seconds = self._at - time.monotonic()
        if self._stopped.is_set():
            raise _Refused("stopped before it was fetched")
        if seconds <= 0:
            raise _Refused("it took too long in all")
        return seconds if most is None else min(most, seconds)


class _Network(httpcore.NetworkBackend):
    """Connects to addresses that were looked up and found allowed, and holds every step to the deadline."""

    def __init__(self, policy: Policy, limits: Limits, deadline: _Deadline) -> None:
        self._policy, self._limits, self._deadline = policy, limits, deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first address of a host that answers, when all its addresses are allowed."""
        failure: Exception = _Refused(f"the host {host} has no address")
        for address in self._addresses(host, port):
            left = self._deadline.left(timeout)
            try:
                stream = self._sockets.connect_tcp(
                    address, port, timeout=left, local_address=local_address, socket_options=socket_options
                )
                return _Stream(stream, self._deadline)
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                failure = error
        raise failure

    def _addresses(self, host: str, port: int) -> list[str]:
        found = _within(self._deadline.left(self._limits.connect_seconds), self._policy.look_up, host, port)
        for text in found:
            if not self._allowed(text):
                where = "" if text == host else f", the address of {host}"
                raise _Refused(f"{text}{where} is not on the public internet")
        return found

    def _allowed(self, text: str) -> bool:
        try:
            return self._policy.allows(ipaddress.ip_address(text))
        except ValueError:  # with a scope, as fe80::1%eth0
            return False


class _Stream(httpcore.NetworkStream):
    """A connection none of whose steps outlasts the deadline."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._inner, self._deadline = inner, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """As the connection does."""
        try:
            return self._inner.read(max_bytes, self._deadline.left(timeout))
        except httpcore.TimeoutException:
            self._deadline.left()  # which of the two limits it was
            raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """As the connection does."""
        self._inner.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        """As the connection does."""
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """A secure connection, its certificate checked against the host that was asked for."""
        secured = self._inner.start_tls(ssl_context, server_hostname, self._deadline.left(timeout))
        return _Stream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        """As the connection does."""
        return self._inner.get_extra_info(info)


class _Transport(httpx.BaseTransport):
    """httpx over that network. httpx's own transport would look hosts up by itself, unchecked."""

    def __init__(self, network: _Network, tls: ssl.SSLContext) -> None:
        self._pool = httpcore.ConnectionPool(ssl_context=tls, network_backend=network, max_keepalive_connections=0)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request, without following anything."""
        url = request.url
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        answer = self._pool.handle_request(
            httpcore.Request(
                request.method,
                target,
                headers=request.headers.raw,
                content=request.read() or None,
                extensions=request.extensions,
            )
        )
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer), extensions=answer.extensions)

    def close(self) -> None:
        """Closes every connection."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    """The body of an answer, as it comes."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answer.iter_stream()

    def close(self) -> None:
        """Gives the connection back."""
        self._answer.close()


def _within(seconds: float, look_up: Callable[[str, int], list[str]], host: str, port: int) -> list[str]:
    """What a look-up finds, waited for no longer than so. The operating system's own cannot be told to hurry."""
    answers: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(look_up(host, port))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, name="sextant-look-up", daemon=True).start()
    try:
        found = answers.get(timeout=seconds)
    except queue.Empty:
        raise _Refused(f"the address of {host} could not be found in time") from None
    if isinstance(found, Exception):
        raise _Refused(f"the host {host} is not known")
    return found
