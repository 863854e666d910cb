"""`serve` and `keys`: the gallery and the API, and who may use them from elsewhere."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sextant import output
from sextant.cli.invocation import Invocation, json_option, spare_pandas, verb
from sextant.errors import CollectionError, MissingExtra, UsageError
from sextant.output import Heading

if TYPE_CHECKING:
    from sextant.collection import Collection
    from sextant.web.keys import Keys

PORT = 8765
KEYS = "~/.config/sextant/keys.json"
SCOPES = ("read", "label", "write")


@verb(
    examples="""
    sextant serve
    sextant serve --also ~/holidays --also ~/archive
    sextant serve --swap
    sextant keys add ada --scope read --scope label && sextant serve --host 0.0.0.0 --keys ~/.config/sextant/keys.json
    """,
)
@click.option("--also", metavar="FOLDER", multiple=True, type=click.Path(), help="Serve this collection as well.")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    metavar="N",
    help="The port; 0 takes any that is free.",
)
@click.option(
    "--keys",
    "keys_file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Ask for keys of this file. Without it, only this machine is answered.",
)
@click.option(
    "--most-upload", type=click.IntRange(1), default=100, show_default=True, metavar="MIB", help="The largest upload."
)
@click.option(
    "--swap", is_flag=True, help="Turn neighbours of answers round by chance, so that feedback tells where people look."
)
def serve(
    run: Invocation, also: tuple[str, ...], host: str, port: int, keys_file: str | None, most_upload: int, swap: bool
) -> None:
    """Open the gallery in a browser, and the API behind it.

    The collections are that of -C and those of --also, each under the name of its folder. Without --keys the server
    listens on this machine alone, and whoever uses it may do everything.
    """
    from sextant.web import sparing

    sparing.fewer_arenas()  # before the first thread begins
    spare_pandas()
    try:
        from sextant.web import app, server
    except ImportError as error:
        raise MissingExtra("The gallery", "web") from error
    if keys_file is None and not _loopback(host):
        raise UsageError(
            f"{host} can be reached from elsewhere, and without keys anybody could change everything: make one with "
            f"`sextant keys add NAME` and say --keys {KEYS}, or leave out --host"
        )
    keys = _keys(keys_file, must_exist=True) if keys_file else None
    try:
        listener = server.listening(host, port)
    except OSError as error:
        raise UsageError(f"cannot listen at {host}:{port}: {error.strerror or error}. Try another --port") from error
    collections = [run.collection(), *(_opened(folder) for folder in also)]
    try:
        for photos in collections:
            photos.view()
        most = most_upload * 1024 * 1024
        application = app.application(collections, keys=keys, hosts=[host], most_upload=most, swapping=swap)
        shown = f"[{host}]" if ":" in host else host
        output.note(f"http://{shown}:{listener.getsockname()[1]}/ · stop with Ctrl-C")
        server.run(application, listener)
    finally:
        for photos in collections:
            photos.close()
        listener.close()


def _opened(folder: str) -> Collection:
    from sextant.collection import open_collection

    return open_collection(folder)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _keys(file: str | None, *, must_exist: bool = False) -> Keys:
    from sextant.web.keys import Keys

    path = Path(file or os.environ.get("SEXTANT_KEYS") or KEYS).expanduser()
    if must_exist and not path.is_file():
        raise CollectionError(f"{path}: there is no such file. `sextant keys add NAME --keys {path}` makes it")
    keys = Keys(path)
    keys.all()
    return keys


def _file_option(command: click.decorators.FC) -> click.decorators.FC:
    return click.option(
        "--keys", "file", type=click.Path(dir_okay=False), metavar="FILE", help=f"The file of keys.  [default: {KEYS}]"
    )(command)


@click.group(name="keys")
def keys() -> None:
    """Make, list and revoke the keys that `serve --keys` asks for."""


def _print_keys(run: Invocation, found: Keys) -> None:
    rows = [
        {
            "id": key.id,
            "name": key.name,
            "scopes": list(key.scopes),
            "collections": list(key.collections),
            "created_at": key.created_at,
        }
        for key in found.all()
    ]
    if run.form == "json":
        output.write_json(rows)
        return
    headings = [Heading(name) for name in ("id", "name", "scopes", "collections", "made")]
    output.write_table(
        headings,
        [
            [
                output.plain(k.id),
                output.plain(k.name),
                ", ".join(k.scopes),
                ", ".join(k.collections) or "all",
                k.created_at,
            ]
            for k in found.all()
        ],
    )


@verb("add", examples="sextant keys add ada --scope label\nsextant keys add backup --scope read --for holidays")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    default=("read",),
    show_default=True,
    help="What it may do; label and write include reading. Repeatable.",
)
@click.option(
    "--for",
    "collections",
    metavar="COLLECTION",
    multiple=True,
    help="Only this collection, by the name it is served by. Repeatable.",
)
@_file_option
@json_option
def keys_add(
    run: Invocation, name: str, scopes: tuple[str, ...], collections: tuple[str, ...], file: str | None
) -> None:
    """Make a key. It is shown this once and kept nowhere: only its hash is."""
    key, token = _keys(file).add(name, scopes, collections)
    if run.form == "json":
        output.write_json({"id": key.id, "name": key.name, "scopes": list(key.scopes), "key": token})
        return
    print(token)
    output.note(f"key {key.id} of {key.name}, for {', '.join(key.scopes)}; keep it: it cannot be shown again")


@verb("list", examples="sextant keys list")
@_file_option
@json_option
def keys_list(run: Invocation, file: str | None) -> None:
    """List the keys, without what makes them keys."""
    _print_keys(run, _keys(file))


@verb("revoke", examples="sextant keys revoke ada")
@click.argument("key")
@_file_option
@json_option
def keys_revoke(run: Invocation, key: str, file: str | None) -> None:
    """Revoke a key, by its id or its name; a running server refuses it at once."""
    gone = _keys(file).revoke(key)
    if run.form == "json":
        output.write_json({"id": gone.id, "name": gone.name})
    else:
        print(f"revoked {output.plain(gone.name)} ({gone.id})")


for _command in (keys_add, keys_list, keys_revoke):
    keys.add_command(_command)
