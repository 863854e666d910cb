"""Writes a table of figures into its own section of `docs/performance.md`, with the machine and the command."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import date
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"


def machine() -> str:
    """The processor's name, the cores of this process, and what of its instructions matters here."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {k.strip(): v.strip() for k, v in found.items()}
    flags = [f for f in ("avx512_bf16", "avx512_vnni", "amx_bf16") if f in facts.get("flags", "").split()]
    name = facts.get("model name", platform.processor() or platform.machine())
    cores = len(os.sched_getaffinity(0))
    return f"{name}, {cores} cores, {', '.join(flags) or 'no bf16'}; Python {platform.python_version()}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [list(head), ["---"] * len(head), *[list(row) for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def section(name: str, command: str, head: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> None:
    """Replaces the section `name` of the page, between its markers; makes it at the end where there is none."""
    body = f"`{command}` on {date.today().isoformat()}: {machine()}.\n\n{table(head, rows)}\n"
    body += f"\n{note}\n" if note else ""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Performance\n"
    block = f"{begin}\n{body}{end}"
    if begin in page:
        head_part, rest = page.split(begin, 1)
        page = head_part + block + rest.split(end, 1)[1]
    else:
        page = page.rstrip() + f"\n\n{block}\n"
    PAGE.write_text(page, encoding="utf-8")
