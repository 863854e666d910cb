"""Writes a table of figures into its own section of a page of `docs/`, with the machine and the command."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Sequence
from datetime import date
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE, RELIABILITY = DOCS / "performance.md", DOCS / "reliability.md"


def machine() -> str:
    """The processor's name, the cores of this process, and what of its instructions matters here."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {k.strip(): v.strip() for k, v in found.items()}
    flags = [f for f in ("avx512_bf16", "avx512_vnni", "amx_bf16") if f in facts.get("flags", "").split()]
    name = facts.get("model name", platform.processor() or platform.machine())
    cores = len(os.sched_getaffinity(0))
    return f"{name}, {cores} cores, {', '.join(flags) or 'no bf16'}; Python {platform.python_version()}"


def peak_mib() -> float:
    """The most memory that this process had resident, in MiB.

    What `getrusage` says holds the memory of whoever started the process as well, if that was more.
    """
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return float(found[0]) / 1024 if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [list(head), ["---"] * len(head), *[list(row) for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def section(
    name: str, command: str, head: Sequence[str], rows: Sequence[Sequence[str]], note: str = "", *, page: Path = PAGE
) -> None:  # fmt: skip
    """Replaces the section `name` of a page, between its markers; makes it at the end where there is none."""
    body = f"`{command}` on {date.today().isoformat()}: {machine()}.\n\n{table(head, rows)}\n"
    body += f"\n{note}\n" if note else ""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    text = page.read_text(encoding="utf-8") if page.exists() else "# Performance\n"
    block = f"{begin}\n{body}{end}"
    if begin in text:
        head_part, rest = text.split(begin, 1)
        text = head_part + block + rest.split(end, 1)[1]
    else:
        text = text.rstrip() + f"\n\n{block}\n"
    page.write_text(text, encoding="utf-8")
