"""A PostgreSQL that tests start for themselves, on loopback and a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def free_port() -> int:
    """A port of loopback that nobody listens on at this moment."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


class Postgres:
    """A PostgreSQL of its own in a temporary folder, run by somebody who is not root; all who reach it are trusted."""

    def __init__(self) -> None:
        self.bin = next((f for f in reversed(BINARIES) if (f / "initdb").exists()), None) or _on_path()
        self.port = free_port()
        self.home = Path(tempfile.mkdtemp(prefix="sextant-postgres-"))
        self.url = f"postgresql://sextant@127.0.0.1:{self.port}/postgres"
        if os.geteuid() == 0:  # initdb refuses to run as root
            nobody = pwd.getpwnam("nobody")
            os.chown(self.home, nobody.pw_uid, nobody.pw_gid)
        self._run("initdb", "-D", str(self.home / "data"), "-U", "sextant", "-A", "trust", "-E", "UTF8",
                  "--locale=C.UTF-8", "--no-sync")  # fmt: skip
        self.start()

    @staticmethod
    def reason() -> str:
        """Why there can be no server here; empty where there can."""
        if not any((f / "initdb").exists() for f in BINARIES) and not shutil.which("initdb"):
            return "PostgreSQL is not installed: no initdb below /usr/lib/postgresql or on the PATH"
        if os.geteuid() == 0 and not shutil.which("setpriv"):
            return "PostgreSQL does not run as root, and there is no setpriv to run it as somebody else"
        return ""

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=40"
        self._run("pg_ctl", "-D", str(self.home / "data"), "-o", options, "-l", str(self.home / "log"), "-w", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stops the server; `immediate` is as if it had been killed."""
        self._run("pg_ctl", "-D", str(self.home / "data"), "-m", mode, "-w", "stop")

    def close(self) -> None:
        """Stops the server and deletes what it kept."""
        self.stop("immediate")
        shutil.rmtree(self.home, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        root = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
        command = [*root, str(self.bin / program), *arguments]
        quiet = subprocess.DEVNULL
        done = subprocess.run(command, cwd="/", stdin=quiet, stdout=quiet, stderr=quiet, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"{program} ended with {done.returncode}: {' '.join(command)}")


def _on_path() -> Path:
    return Path(shutil.which("initdb") or "initdb").parent
