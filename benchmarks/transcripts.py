"""Runs the commands in a page's ```console blocks, and writes what they print under them.

    python benchmarks/transcripts.py README.md
    python benchmarks/transcripts.py docs/real-photos.md

A line that begins with `$ ` is run by bash, in an empty folder beside the repository that all blocks of a page share,
where `benchmarks` stands for the repository's own. What follows it is replaced by what it prints, progress lines left
out. Where a line `⋮` stands, as many lines before and after it are kept as there were; everything between is left out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)
CUT = "⋮"


def fresh(block: str, folder: Path) -> str:
    """A block with what its commands print now."""
    parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)[1:]
    lines = []
    for command, before in zip(parts[::2], parts[1::2], strict=True):
        lines += [f"$ {command}", *_cut(_run(command, folder), before.splitlines()), ""]
    return "\n".join(lines[:-1]) + "\n"


def _run(command: str, folder: Path) -> list[str]:
    """The lines that a command prints on both streams, in their order."""
    place = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": place, "PYTHONUNBUFFERED": "1", "COLUMNS": "110"}
    done = subprocess.run(
        ["bash", "-c", f"cd {folder} && [ ! -f .place ] || cd $(cat .place); {command}; pwd > {folder}/.place"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    lines = done.stdout.replace(f"{folder}/", "").replace(str(folder), "~/archive").rstrip().splitlines()
    return [line for line in lines if not line.startswith(('{"verb"', "INFO: "))]


def _cut(lines: list[str], before: list[str]) -> list[str]:
    if CUT not in before:
        return lines
    place = before.index(CUT)
    rest = before[place + 1 :]
    while rest and not rest[-1]:
        rest.pop()
    return [*lines[:place], CUT, *(lines[-len(rest) :] if rest else [])]


def main() -> None:
    for name in sys.argv[1:]:
        page = ROOT / name
        with tempfile.TemporaryDirectory(dir=ROOT.parent, prefix="transcript-") as folder:
            (Path(folder) / "benchmarks").symlink_to(ROOT / "benchmarks")
            text = BLOCK.sub(lambda found: fresh(found[0], Path(folder)), page.read_text(encoding="utf-8"))
        page.write_text(text, encoding="utf-8")
        print(f"wrote {page}")


if __name__ == "__main__":
    main()
