"""Fetching, against real servers on this machine: they are reached only by a policy that is handed in."""

from __future__ import annotations

import gzip
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from loopback import HERE, PNG, Answer, Server, leads_to, running, send, trickle
from sextant import fetch
from sextant.fetch import Fetched, Fetcher, Limits, Policy
from sextant.types import Skipped


@pytest.fixture
def server() -> Iterator[Server]:
    with running(Server()) as server:
        yield server


def got(server: Server, path: str = "/a", fetcher: Fetcher | None = None) -> Fetched | Skipped:
    return (fetcher or Fetcher(HERE)).fetch(server.url(path))


def refusal(found: Fetched | Skipped) -> str:
    assert isinstance(found, Skipped), found
    return found.reason


# what comes back


def test_a_picture_comes_back_whole_with_where_it_came_from(server: Server) -> None:
    server.answers["/a"] = send(PNG, Link='<https://creativecommons.org/licenses/by/4.0/>; rel="license"')
    found = got(server)
    assert isinstance(found, Fetched)
    assert (found.data, found.format, found.url) == (PNG, "PNG", server.url("/a"))
    assert found.licence == "https://creativecommons.org/licenses/by/4.0/"
    ((_, headers),) = server.asked
    assert headers["User-Agent"] == fetch.USER_AGENT
    assert headers["Accept-Encoding"] == "identity"
    assert headers["Host"] == f"127.0.0.1:{server.server_port}"


def test_redirects_are_followed_without_cookies_and_not_forever(server: Server) -> None:
    server.answers["/a"] = send(b"", None, 301, Location="/b?x=1", Set_Cookie="who=me")
    server.answers["/b?x=1"] = send(PNG)
    found = got(server)
    assert isinstance(found, Fetched)
    assert found.final == server.url("/b?x=1")
    assert all("Cookie" not in headers for _, headers in server.asked)
    server.answers["/loop"] = leads_to("/loop", 307)
    assert refusal(got(server, "/loop")) == "it redirects more than 5 times"
    assert sum(path == "/loop" for path, _ in server.asked) == 6


def test_nothing_of_the_environment_is_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.answers["/a"] = send(PNG)
    assert isinstance(got(server), Fetched)


# where it may not go


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "localhost.", "0.0.0.0", "0"),
        *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[::]"),
        *("10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "[fe80::1]", "[fd00::1]"),
    ],
)
def test_the_default_policy_reaches_nothing_private(host: str, server: Server) -> None:
    everywhere = Policy(ports=None)
    reason = refusal(Fetcher(everywhere).fetch(server.url("/a", host)))
    assert "not on the public internet" in reason or "is not known" in reason or "not a URL" in reason
    assert server.asked == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *[(a, True) for a in ("8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")],
        *[(a, False) for a in ("224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1", "192.88.99.1")],
        *[(a, False) for a in ("ff02::1", "fec0::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::", "::7f00:1")],
        *[(a, False) for a in ("64:ff9b::a00:1", "::ffff:10.0.0.1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "100::1")],
    ],
)
def test_addresses_are_judged_by_what_they_really_are(address: str, public: bool) -> None:
    assert fetch.is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/passwd", "not 'file'"),
        ("ftp://example.org/a.jpg", "not 'ftp'"),
        ("data:image/png;base64,AAAA", "not 'data'"),
        ("//example.org/a.jpg", "only http and https"),
        ("http:///a.jpg", "names no host"),
        ("http://me:secret@example.org/a.jpg", "user name or password"),
        ("http://@example.org/a.jpg", "user name or password"),
        ("http://example.org:22/a.jpg", "port 22 is refused"),
        ("http://example.org:99999/a.jpg", "not a URL"),
        ("http://example.org/a b.jpg", "space or a control character"),
        ("http://example.org/\r\nX: y", "space or a control character"),
        ("http://[::1/a.jpg", "not a URL"),
        ("http://" + "a" * 300 + ".org/", "is not known"),
    ],
)
def test_urls_of_another_form_are_refused_before_anything_is_asked(url: str, reason: str) -> None:
    def never(host: str, port: int) -> list[str]:
        raise OSError(host)

    assert reason in refusal(Fetcher(Policy(look_up=never)).fetch(url))


@pytest.mark.parametrize(
    "target", ["http://10.0.0.1:8080/a", "file:///etc/passwd", "http://u:p@127.0.0.1/a", "ftp://x/"]
)
def test_a_redirect_is_held_to_the_same_rules(target: str, server: Server) -> None:
    server.answers["/a"] = leads_to(target)
    assert refusal(got(server)).startswith(("10.0.0.1 is not", "only http", "the URL holds a user"))


@pytest.mark.parametrize(
    "target", ["http://[::1/", "http://:x/", "http://a b/", "http://\xe9\xff/", "http://%00/", "?" * 70000]
)
def test_a_redirect_to_nonsense_ends_nothing(target: str, server: Server) -> None:
    server.answers["/a"] = leads_to(target)
    fetcher = Fetcher(Policy(allows=HERE.allows, look_up=lambda _host, _port: [], ports=None))
    assert refusal(got(server, fetcher=Fetcher(HERE)))
    assert "has no address" in refusal(fetcher.fetch(server.url("/a")))


def test_one_private_address_among_several_is_enough_to_refuse(server: Server) -> None:
    policy = Policy(allows=HERE.allows, look_up=lambda _host, _port: ["127.0.0.1", "10.0.0.1"], ports=None)
    reason = refusal(Fetcher(policy).fetch(server.url("/a", "pictures.example")))
    assert reason == "10.0.0.1, the address of pictures.example is not on the public internet"


def test_a_name_whose_answers_change_is_asked_once_and_the_checked_address_is_used(server: Server) -> None:
    answers = [["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"]]
    asked: list[str] = []

    def changing(host: str, _port: int) -> list[str]:
        asked.append(host)
        return answers[len(asked) - 1]

    server.answers["/a"] = send(PNG)
    server.answers["/b"] = leads_to("/a")
    fetcher = Fetcher(Policy(allows=HERE.allows, look_up=changing, ports=None))
    assert isinstance(fetcher.fetch(server.url("/a", "changing.example")), Fetched)
    assert asked == ["changing.example"]
    assert server.asked[0][1]["Host"] == f"changing.example:{server.server_port}"
    assert "10.0.0.1, the address of changing.example" in refusal(fetcher.fetch(server.url("/a", "changing.example")))
    del answers[0], asked[:]
    answers[0] = ["127.0.0.1"]  # and again, between a redirect and where it leads
    assert "169.254.169.254" in refusal(fetcher.fetch(server.url("/b", "changing.example")))


def test_a_name_server_that_does_not_answer_is_waited_for_no_longer_than_allowed() -> None:
    over = threading.Event()

    def slow(_host: str, _port: int) -> list[str]:
        over.wait(60)
        return []

    policy = Policy(look_up=slow)
    try:
        reason = refusal(Fetcher(policy, Limits(connect_seconds=0.1)).fetch("http://slow.example/"))
    finally:
        over.set()  # until here nobody answered
    assert reason == "the address of slow.example could not be found in time"


# what may not come


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (send(b"<html>hello</html>", "text/html; charset=utf-8"), "sent 'text/html', not an image"),
        (send(b"<!DOCTYPE html><html></html>", "image/jpeg"), "it is a web page"),
        (send(PNG, None), "something it does not name"),
        (send(PNG[:40]), "damaged or truncated"),
        (send(b""), "the file is empty"),
        (send(PNG, status=404), "the server answered 404"),
        (send(PNG, status=206), "the server answered 206"),
        (send(b"", None, 302), "the server answered 302"),
        (send(gzip.compress(PNG), Content_Encoding="gzip"), "compressed data"),
        (send(PNG, Content_Length="5000"), "the connection failed"),
        (send(PNG, Content_Length=str(1 << 30)), "larger than 1 MiB"),
        (send(PNG, Content_Length="9" * 4000), "the connection failed"),
        (send(PNG, Content_Length="-1"), "the connection failed"),
        (send(PNG, Content_Length="many"), "the connection failed"),
        (send(PNG, Content_Length="9" * 20), "larger than 1 MiB"),
        (trickle(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n", bytes(1 << 18), 0), "larger than 1 MiB"),
        (
            trickle(
                b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"%x\r\n%b\r\n" % (1 << 18, bytes(1 << 18)),
                0,
            ),
            "larger than 1 MiB",
        ),
        (trickle(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 9000 + b"\r\n", 0), "the connection failed"),
        (trickle(b"no http at all\r\n\r\n", b"", 1, 0.1), "the connection failed"),
    ],
)
def test_what_is_no_picture_or_too_much_is_refused_with_its_reason(answer: Answer, reason: str, server: Server) -> None:
    server.answers["/a"] = answer
    limits = Limits(bytes=1 << 20, read_seconds=60, total_seconds=60)
    assert reason in refusal(got(server, fetcher=Fetcher(HERE, limits)))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (trickle(b"", b"", 0.05, 3), "too slow"),
        (trickle(b"HTTP/1.1 200 OK\r\nX: ", b"y", 0.05, 3), "too long in all"),
        (trickle(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n", b"y", 0.05, 3), "too long in all"),
    ],
)
def test_neither_silence_nor_a_trickle_outlasts_its_time(answer: Answer, reason: str, server: Server) -> None:
    server.answers["/a"] = answer
    found = got(server, fetcher=Fetcher(HERE, Limits(read_seconds=0.3, total_seconds=0.6)))
    assert reason in refusal(found)


def test_a_port_where_nobody_listens_is_a_reason() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "Connection refused" in refusal(Fetcher(HERE).fetch(f"http://127.0.0.1:{port}/"))


def test_a_fetch_can_be_stopped(server: Server) -> None:
    server.answers["/a"] = trickle(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n", b"y", 0.02, 5)
    fetcher = Fetcher(HERE)
    threading.Timer(0.2, fetcher.stop).start()
    assert refusal(got(server, fetcher=fetcher)) == "stopped before it was fetched"


# TLS


@pytest.fixture(scope="module")
def authority() -> object:
    return pytest.importorskip("trustme", reason="trustme makes the certificates").CA()


@contextmanager
def secure(authority: object, name: str) -> Iterator[tuple[Server, ssl.SSLContext]]:
    """A server with a certificate for one name, and what a client trusts who trusts its authority."""
    there, here = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(name).configure_cert(there)  # type: ignore[attr-defined]
    authority.configure_trust(here)  # type: ignore[attr-defined]
    server = Server()
    server.socket = there.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.answers["/a"] = send(PNG)
    with running(server):
        yield server, here


def test_a_certificate_must_be_trusted_and_for_the_host_that_was_asked_for(authority: object) -> None:
    named = Policy(allows=HERE.allows, look_up=lambda _host, _port: ["127.0.0.1"], ports=None)
    with secure(authority, "pictures.example") as (server, trusting):
        url = server.url("/a", "pictures.example", "https")
        assert isinstance(Fetcher(named, tls=trusting).fetch(url), Fetched)
        assert "certificate is not trusted (unable to get local issuer" in refusal(Fetcher(named).fetch(url))
        other = refusal(Fetcher(named, tls=trusting).fetch(server.url("/a", "other.example", "https")))
        assert "certificate is not trusted (Hostname mismatch" in other
        assert "certificate is not trusted" in refusal(
            Fetcher(named, tls=trusting).fetch(server.url("/a", "127.0.0.1", "https"))
        )


def test_https_from_a_server_that_speaks_http_is_refused(server: Server) -> None:
    server.answers["/a"] = send(PNG)
    assert "no secure connection" in refusal(Fetcher(HERE).fetch(server.url("/a", scheme="https")))
