"""Environments of their own for the programs that Sextant is compared with, so that none of them changes the project's.

Each is a virtual environment below one folder, made once from the package registry. What cannot be installed, or does
not run, is a `Missing` with what was really said. Jobs run inside by `peers_inside.py`, each in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REQUIREMENTS = {
    "open_clip": ("open_clip_torch", "torch==2.13.0", "safetensors"),
    "rclip": ("rclip",),
    "clip-retrieval": ("clip-retrieval", "torch==2.13.0", "setuptools<81"),  # its CLIP still imports pkg_resources
    "fastembed": ("fastembed",),
    "lancedb": ("lancedb",),
    "cleanlab": ("cleanlab",),
    "imagededup": ("imagededup", "torch==2.13.0"),
}
PACKAGES = {"open_clip": "open_clip_torch"}
INSIDE = Path(__file__).with_name("peers_inside.py")
OWN = Path(__file__).with_name("peers_own.py")
SECONDS = 1800


class Missing(Exception):
    """A peer that could not be measured, and why."""


@dataclass
class Peers:
    """The environments below `folder`, and what went wrong with each that is missing."""

    folder: Path
    missing: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)

    def python(self, peer: str) -> Path:
        """The interpreter of a peer's environment, which is made where it is not there yet. Raises `Missing`."""
        place = self.folder / peer
        if not (place / "installed").is_file():
            print(f"installing {peer} into {place}", file=sys.stderr, flush=True)
            venv.create(place, with_pip=True, clear=True)
            pip = [place / "bin" / "pip", "install", "--quiet", *REQUIREMENTS[peer]]
            done = subprocess.run(pip, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Missing(f"does not install: {last(done.stderr)}")
            (place / "installed").touch()
        return place / "bin" / "python"

    def version(self, peer: str) -> str:
        """The version that is installed."""
        code = f"from importlib.metadata import version; print(version({PACKAGES.get(peer, peer)!r}))"
        command = [self.python(peer), "-c", code]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def run(self, peer: str, job: str, **given: Any) -> dict[str, Any]:
        """What a job of `peers_inside.py` says of itself. Raises `Missing` where it fails."""
        return answered([str(self.python(peer)), str(INSIDE), job], given, self.settings)


def own(job: str, settings: dict[str, str], **given: Any) -> dict[str, Any]:
    """What a job of `peers_own.py` says of itself, in this interpreter. Raises `Missing` where it fails."""
    return answered([sys.executable, str(OWN), job], given, settings)


def answered(command: list[str], given: dict[str, Any], settings: dict[str, str]) -> dict[str, Any]:
    """The JSON in the last line of a command's output. Raises `Missing` with the last line of its errors."""
    text = json.dumps(given, default=str)
    env = {**os.environ, **settings}
    try:
        done = subprocess.run(
            [*command, text], capture_output=True, text=True, check=False, env=env, timeout=SECONDS, cwd=env["HOME"]
        )
    except subprocess.TimeoutExpired as error:
        raise Missing(f"was ended after {SECONDS // 60} minutes") from error
    if done.returncode:
        raise Missing(f"does not run: {last(done.stderr)}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def last(errors: str) -> str:
    """The last line that says something, as it was said."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    told = [line for line in lines if "error" in line.lower() and not line.startswith("WARNING")]
    return (told or lines or ["it said nothing"])[-1][:300]
