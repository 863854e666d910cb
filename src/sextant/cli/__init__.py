"""The command line: one file a group of verbs, each loaded when its verb is asked for.

A command body is parse → one method of `Collection` → print. Data goes to standard output, all else to standard error.
To add a verb: write it in a module of this package, and name it in `verbs.VERBS`.
"""

from __future__ import annotations

from sextant.cli.program import cli, main

__all__ = ["cli", "main"]
